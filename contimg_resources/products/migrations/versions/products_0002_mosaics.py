"""Mosaics, and epochs of measurements."""

import sqlalchemy as sa
from alembic import op

revision = "products_0002"
down_revision = "products_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of mosaics and epochs, and an index of recent changes."""
    op.create_index("ix_observations_updated", "observations", ["updated_mjd", "mid_mjd"])
    op.create_table(
        "mosaics",
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("start_mjd", sa.Double, nullable=False),
        sa.Column("mid_mjd", sa.Double, nullable=False),
        sa.Column("end_mjd", sa.Double, nullable=False),
        sa.Column("declination_deg", sa.Double, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("tiles", sa.JSON, nullable=False),
        sa.Column("directory", sa.Text, nullable=False),
        sa.Column("checksum", sa.String(80), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("statistics", sa.JSON, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("created_mjd", sa.Double, nullable=False),
    )
    op.create_index("ix_mosaics_mid", "mosaics", ["mid_mjd"])
    op.create_table(
        "epochs",
        sa.Column("epoch", sa.String(32), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("mid_mjd", sa.Double, nullable=False),
        sa.Column("measured_from", sa.String(80), nullable=False),
        sa.Column("catalogue", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
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
    )
    op.create_index("ix_epochs_mid", "epochs", ["mid_mjd"])
