"""The products store's tables.

Belongs here: the present schema. Doesn't: earlier schemas (`migrations/`), queries.
"""

import sqlalchemy as sa

from contimg_resources.calibration.antenna_record import AntennaMark
from contimg_resources.database.paths import StoredPath
from contimg_resources.database.records import NumberOrNan, named
from contimg_resources.observations.model import ObservationOrigin
from contimg_resources.products.epochs import EpochKind, MosaicState
from contimg_resources.products.events import (
    AnnotationKind,
    CandidateKind,
    CandidateState,
    Mark,
    NewSourceState,
    Subject,
)
from contimg_resources.products.model import ObservationState

metadata = sa.MetaData()

#: One row for each observation, with its description and state.
observations = sa.Table(
    "observations",
    metadata,
    sa.Column("key", sa.String(16), primary_key=True),
    sa.Column("path", StoredPath, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),
    sa.Column("start_mjd", sa.Double, nullable=False),
    sa.Column("mid_mjd", sa.Double, nullable=False),
    sa.Column("end_mjd", sa.Double, nullable=False),
    sa.Column("declination_deg", sa.Double, nullable=False),
    sa.Column("calibrator", sa.Text, nullable=False),
    sa.Column("state", named(ObservationState), nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("updated_mjd", sa.Double, nullable=False),
    sa.Column("superseded_by", sa.String(16), nullable=False, server_default=""),
    sa.Column("origin", named(ObservationOrigin), nullable=False, server_default="measurement_set"),
    # Large, so last: queries of the columns above never read it.
    sa.Column("observation", sa.Text, nullable=False),
    sa.Index("ix_observations_path", "path"),
    sa.Index("ix_observations_state_mid", "state", "mid_mjd"),
    sa.Index("ix_observations_mid", "mid_mjd"),
    sa.Index("ix_observations_updated", "updated_mjd", "mid_mjd"),
)

#: Sub-band files of the observations that the correlator delivered: one row for each.
sub_bands = sa.Table(
    "sub_bands",
    metadata,
    sa.Column("key", sa.ForeignKey("observations.key"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("path", StoredPath, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("modified_ns", sa.BigInteger, nullable=False),
    sa.Index("ix_sub_bands_path", "path"),
)

#: History of the observations; rows are only ever added.
observation_events = sa.Table(
    "observation_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", sa.ForeignKey("observations.key"), nullable=False),
    sa.Column("at_mjd", sa.Double, nullable=False),
    sa.Column("state", named(ObservationState), nullable=False),
    sa.Column("step", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Index("ix_observation_events_key", "key"),
)

#: Runs that were given up: whatever they still do isn't recorded.
superseded_runs = sa.Table(
    "superseded_runs",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("at_mjd", sa.Double, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

#: Products: one row for each observation, kind and version.
artefacts = sa.Table(
    "artefacts",
    metadata,
    sa.Column("key", sa.ForeignKey("observations.key"), primary_key=True),
    sa.Column("kind", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("path", StoredPath, nullable=False),
    sa.Column("checksum", sa.String(80), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("set_name", sa.String(128), nullable=False),
    sa.Column("set_version", sa.Integer),
    sa.Column("borrowed", sa.Boolean, nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    sa.Column("software", sa.JSON, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("created_mjd", sa.Double, nullable=False),
    sa.Index("ix_artefacts_path", "path"),
    sa.Index("ix_artefacts_set", "set_name", "set_version"),
)

#: Image statistics: one row for each observation and version.
images = sa.Table(
    "images",
    metadata,
    sa.Column("key", sa.ForeignKey("observations.key"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("rms_mjy", sa.Double),
    sa.Column("expected_rms_mjy", sa.Double),
    sa.Column("peak_jy", sa.Double),
    sa.Column("dynamic_range", sa.Double),
    sa.Column("bmaj_arcsec", sa.Double),
    sa.Column("bmin_arcsec", sa.Double),
    sa.Column("bpa_deg", sa.Double),
    sa.Column("n_sources", sa.Integer),
    sa.Column("n_matched", sa.Integer),
    sa.Column("flux_ratio", sa.Double),
    sa.Column("offset_arcsec", sa.Double),
    sa.Column("flag_fraction", sa.Double),
    sa.Column("extra", sa.JSON, nullable=False),
)

#: What each observation shows about its antennas: one row for each observation.
antenna_evidence = sa.Table(
    "antenna_evidence",
    metadata,
    sa.Column("key", sa.ForeignKey("observations.key"), primary_key=True),
    sa.Column("telescope", sa.String(64), nullable=False),
    sa.Column("mid_mjd", sa.Double, nullable=False),
    sa.Column("n_antennas", sa.Integer, nullable=False),
    sa.Column("faults", sa.JSON, nullable=False),
    sa.Column("unexamined", sa.JSON, nullable=False),
    sa.Column("left_out", sa.JSON, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("created_mjd", sa.Double, nullable=False),
    # Large, so last: queries of the columns above never read it.
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Index("ix_antenna_evidence_mid", "mid_mjd"),
)

#: One row for each time that a person judged an antenna; rows are only ever added.
antenna_marks = sa.Table(
    "antenna_marks",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("antenna", sa.String(64), nullable=False),
    sa.Column("mark", named(AntennaMark), nullable=False),
    sa.Column("from_mjd", sa.Double, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("created_mjd", sa.Double, nullable=False),
)

#: The primary beam that each observation shows: one row for each observation.
primary_beams = sa.Table(
    "primary_beams",
    metadata,
    sa.Column("key", sa.ForeignKey("observations.key"), primary_key=True),
    sa.Column("telescope", sa.String(64), nullable=False),
    sa.Column("mid_mjd", sa.Double, nullable=False),
    sa.Column("ra_deg", sa.Double, nullable=False),
    sa.Column("declination_deg", sa.Double, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("created_mjd", sa.Double, nullable=False),
    # Large, so last.
    sa.Column("measured", sa.JSON, nullable=False),
    sa.Index("ix_primary_beams_mid", "mid_mjd"),
)

#: One row for each mosaic.
mosaics = sa.Table(
    "mosaics",
    metadata,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("start_mjd", sa.Double, nullable=False),
    sa.Column("mid_mjd", sa.Double, nullable=False),
    sa.Column("end_mjd", sa.Double, nullable=False),
    sa.Column("declination_deg", sa.Double, nullable=False),
    sa.Column("state", named(MosaicState), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("tiles", sa.JSON, nullable=False),
    sa.Column("directory", StoredPath, nullable=False),
    sa.Column("checksum", sa.String(80), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("statistics", sa.JSON, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("created_mjd", sa.Double, nullable=False),
    sa.Column("software", sa.JSON, nullable=False, server_default=sa.text("'{}'")),
    sa.Index("ix_mosaics_mid", "mid_mjd"),
)

#: One row for each image or mosaic whose sources were measured.
epochs = sa.Table(
    "epochs",
    metadata,
    sa.Column("epoch", sa.String(32), primary_key=True),
    sa.Column("kind", named(EpochKind), primary_key=True),
    sa.Column("mid_mjd", sa.Double, nullable=False),
    sa.Column("measured_from", sa.String(80), nullable=False),
    sa.Column("catalogue", sa.Text, nullable=False),
    sa.Column("path", StoredPath, nullable=False),
    sa.Column("checksum", sa.String(80), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("n_sources", sa.Integer, nullable=False),
    sa.Column("n_measured", sa.Integer, nullable=False),
    sa.Column("epoch_ok", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("scale", sa.Double),
    sa.Column("scale_error", sa.Double),
    sa.Column("statistics", sa.JSON, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("created_mjd", sa.Double, nullable=False),
    sa.Column("software", sa.JSON, nullable=False, server_default=sa.text("'{}'")),
    sa.Index("ix_epochs_mid", "mid_mjd"),
)

#: Products made from other products (see `contimg_resources.products.derived`): one row for each
#: kind and key.
products = sa.Table(
    "products",
    metadata,
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    # Null: it belongs to no time.
    sa.Column("mid_mjd", sa.Double),
    sa.Column("path", StoredPath, nullable=False),
    sa.Column("checksum", sa.String(80), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    sa.Column("software", sa.JSON, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("created_mjd", sa.Double, nullable=False),
    # Large, so last: queries of the columns above never read it.
    sa.Column("inputs", sa.JSON, nullable=False),
    sa.Index("ix_products_path", "path"),
)

#: Further files of these products: one row for each.
product_files = sa.Table(
    "product_files",
    metadata,
    sa.Column("kind", sa.String(32), primary_key=True),
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("path", StoredPath, primary_key=True),
    sa.Column("checksum", sa.String(80), nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.ForeignKeyConstraint(["kind", "key"], ["products.kind", "products.key"], ondelete="CASCADE"),
    sa.Index("ix_product_files_path", "path"),
)

#: One row for each candidate.
candidates = sa.Table(
    "candidates",
    metadata,
    sa.Column("id", sa.String(128), primary_key=True),
    sa.Column("source_id", sa.Text, nullable=False),
    # Null: an added light curve without a position.
    sa.Column("ra_deg", NumberOrNan),
    sa.Column("dec_deg", NumberOrNan),
    sa.Column("state", named(CandidateState), nullable=False),
    sa.Column("start_mjd", sa.Double, nullable=False),
    sa.Column("mid_mjd", sa.Double, nullable=False),
    sa.Column("end_mjd", sa.Double, nullable=False),
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("parameters", sa.JSON, nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("searched_day", sa.Integer, nullable=False),
    sa.Column("first_day", sa.Integer, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("created_mjd", sa.Double, nullable=False),
    sa.Column("kind", named(CandidateKind), nullable=False, server_default="ese"),
    sa.Index("ix_candidates_source", "source_id"),
)

#: One row for each source that the reference catalogue lacks.
new_sources = sa.Table(
    "new_sources",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("ra_deg", sa.Double, nullable=False),
    sa.Column("dec_deg", sa.Double, nullable=False),
    sa.Column("east_error_arcsec", sa.Double, nullable=False),
    sa.Column("north_error_arcsec", sa.Double, nullable=False),
    sa.Column("state", named(NewSourceState, 24), nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("searched_day", sa.Integer, nullable=False),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("created_mjd", sa.Double, nullable=False),
)

#: One row for each time that a person marked a candidate.
marks = sa.Table(
    "marks",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    # No foreign key: a mark outlives whatever recomputation does to its candidate.
    sa.Column("candidate_id", sa.String(128), nullable=False),
    sa.Column("mark", named(Mark), nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("created_mjd", sa.Double, nullable=False),
    sa.Index("ix_marks_candidate", "candidate_id"),
)

#: One row for each tag, comment or favourite that a person added or withdrew.
annotations = sa.Table(
    "annotations",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("subject", named(Subject), nullable=False),
    # No foreign key, like marks.
    sa.Column("subject_id", sa.Text, nullable=False),
    sa.Column("kind", named(AnnotationKind), nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("is_withdrawn", sa.Boolean, nullable=False),
    sa.Column("created_mjd", sa.Double, nullable=False),
    sa.Index("ix_annotations_subject", "subject", "subject_id"),
)

#: One row for each alert.
alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("key", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("created_mjd", sa.Double, nullable=False),
    sa.Column("sent_mjd", sa.Double),
    sa.Column("n_tries", sa.Integer, nullable=False),
    sa.Column("error", sa.Text, nullable=False),
    sa.Column("channels", sa.JSON, nullable=False),
    sa.Column("next_try_mjd", sa.Double),
    sa.Column("claimed_until_mjd", sa.Double),
)

#: One row for each delivery that is in a watched directory and was rejected.
rejections = sa.Table(
    "rejections",
    metadata,
    sa.Column("directory", StoredPath, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("since_mjd", sa.Double, nullable=False),
)
