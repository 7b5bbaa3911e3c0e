"""The primary beam that each observation shows."""

import sqlalchemy as sa
from alembic import op

revision = "products_0014"
down_revision = "products_0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of measured primary beams."""
    op.create_table(
        "primary_beams",
        sa.Column("key", sa.String(16), sa.ForeignKey("observations.key"), primary_key=True),
        sa.Column("telescope", sa.String(64), nullable=False),
        sa.Column("mid_mjd", sa.Double, nullable=False),
        sa.Column("ra_deg", sa.Double, nullable=False),
        sa.Column("declination_deg", sa.Double, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("created_mjd", sa.Double, nullable=False),
        sa.Column("measured", sa.JSON, nullable=False),
    )
    op.create_index("ix_primary_beams_mid", "primary_beams", ["mid_mjd"])
