"""The registry's tables.

Belongs here: the present schema. Doesn't: earlier schemas (`migrations/`), queries.
"""

import sqlalchemy as sa

from contimg_resources.database.paths import StoredPath
from contimg_resources.database.records import named
from contimg_resources.instrument.caltables import CaltableType
from contimg_resources.registry.model import SetStatus

metadata = sa.MetaData()

#: Antennas and spectral windows, shared by all sets that have the same.
layouts = sa.Table(
    "layouts",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("antenna_names", sa.JSON, nullable=False),
    sa.Column("spectral_windows_hz", sa.JSON, nullable=False),
)

#: One row for each version of a set. Only `status` and `reasons` ever change.
caltable_sets = sa.Table(
    "caltable_sets",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(128), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("status", named(SetStatus), nullable=False),
    sa.Column("calibrator", sa.Text, nullable=False),
    sa.Column("refant", sa.Text, nullable=False),
    sa.Column("mid_mjd", sa.Double, nullable=False),
    sa.Column("start_mjd", sa.Double, nullable=False),
    sa.Column("end_mjd", sa.Double, nullable=False),
    # Longest distance from mid_mjd to an end of the window: bounds the search for the nearest.
    sa.Column("reach_days", sa.Double, nullable=False),
    sa.Column("declination_deg", sa.Double),
    sa.Column("layout_id", sa.ForeignKey("layouts.id"), nullable=False),
    sa.Column("registered_mjd", sa.Double, nullable=False),
    sa.Column("reasons", sa.JSON, nullable=False),
    sa.Column("quality", sa.JSON, nullable=False),
    sa.Column("origin", sa.JSON, nullable=False),
    sa.UniqueConstraint("name", "version", name="uq_caltable_sets_name_version"),
    sa.CheckConstraint("start_mjd <= end_mjd", name="ck_caltable_sets_window"),
    sa.CheckConstraint("status IN ('active', 'retired', 'failed')", name="ck_caltable_sets_status"),
    sa.Index("ix_caltable_sets_status_mid", "status", "mid_mjd"),
    sa.Index("ix_caltable_sets_status_reach", "status", "reach_days"),
    sa.Index(
        "uq_caltable_sets_one_active",
        "name",
        unique=True,
        sqlite_where=sa.text("status = 'active'"),
        postgresql_where=sa.text("status = 'active'"),
    ),
)

#: Every table of a set, also GA where FLUX replaces it (`applied` is true for the used ones).
caltables = sa.Table(
    "caltables",
    metadata,
    sa.Column("set_id", sa.ForeignKey("caltable_sets.id"), primary_key=True),
    sa.Column("type", named(CaltableType, 8), primary_key=True),
    sa.Column("path", StoredPath, nullable=False),
    sa.Column("apply_order", sa.Integer, nullable=False),
    sa.Column("applied", sa.Boolean, nullable=False),
    sa.Column("checksum", sa.String(80), nullable=False),
)

#: History of the sets; rows are only ever added.
set_events = sa.Table(
    "set_events",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("set_id", sa.ForeignKey("caltable_sets.id"), nullable=False),
    sa.Column("event", sa.String(16), nullable=False),
    sa.Column("at_mjd", sa.Double, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("user", sa.Text, nullable=False),
    sa.Index("ix_set_events_set", "set_id"),
)
