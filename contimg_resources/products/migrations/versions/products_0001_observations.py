"""Observations, their history, artefacts and image statistics."""

import sqlalchemy as sa
from alembic import op

revision = "products_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "observations",
        sa.Column("key", sa.String(16), primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
        sa.Column("start_mjd", sa.Double, nullable=False),
        sa.Column("mid_mjd", sa.Double, nullable=False),
        sa.Column("end_mjd", sa.Double, nullable=False),
        sa.Column("declination_deg", sa.Double, nullable=False),
        sa.Column("calibrator", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("updated_mjd", sa.Double, nullable=False),
        sa.Column("superseded_by", sa.String(16), nullable=False, server_default=""),
        sa.Column("observation", sa.Text, nullable=False),
    )
    op.create_index("ix_observations_path", "observations", ["path"])
    op.create_index("ix_observations_state_mid", "observations", ["state", "mid_mjd"])
    op.create_index("ix_observations_mid", "observations", ["mid_mjd"])
    op.create_table(
        "observation_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(16), sa.ForeignKey("observations.key"), nullable=False),
        sa.Column("at_mjd", sa.Double, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("step", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
    )
    op.create_index("ix_observation_events_key", "observation_events", ["key"])
    op.create_table(
        "artefacts",
        sa.Column("key", sa.String(16), sa.ForeignKey("observations.key"), primary_key=True),
        sa.Column("kind", sa.String(64), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("checksum", sa.String(80), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("set_name", sa.String(128), nullable=False),
        sa.Column("set_version", sa.Integer),
        sa.Column("borrowed", sa.Boolean, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("software", sa.JSON, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("created_mjd", sa.Double, nullable=False),
    )
    op.create_index("ix_artefacts_path", "artefacts", ["path"])
    op.create_index("ix_artefacts_set", "artefacts", ["set_name", "set_version"])
    op.create_table(
        "images",
        sa.Column("key", sa.String(16), sa.ForeignKey("observations.key"), primary_key=True),
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
