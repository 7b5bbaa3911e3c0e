"""Evidence about antennas, and what persons say about them."""

import sqlalchemy as sa
from alembic import op
from contimg_resources.calibration.antenna_record import AntennaMark
from contimg_resources.database.records import named

revision = "products_0012"
down_revision = "products_0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of evidence and marks of antennas."""
    op.create_table(
        "antenna_evidence",
        sa.Column("key", sa.String(16), sa.ForeignKey("observations.key"), primary_key=True),
        sa.Column("telescope", sa.String(64), nullable=False),
        sa.Column("mid_mjd", sa.Double, nullable=False),
        sa.Column("n_antennas", sa.Integer, nullable=False),
        sa.Column("faults", sa.JSON, nullable=False),
        sa.Column("unexamined", sa.JSON, nullable=False),
        sa.Column("left_out", sa.JSON, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("created_mjd", sa.Double, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
    )
    op.create_index("ix_antenna_evidence_mid", "antenna_evidence", ["mid_mjd"])
    op.create_table(
        "antenna_marks",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("antenna", sa.String(64), nullable=False),
        sa.Column("mark", named(AntennaMark), nullable=False),
        sa.Column("from_mjd", sa.Double, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("created_mjd", sa.Double, nullable=False),
    )
