"""Observations may arrive as sub-band files of the correlator."""

import sqlalchemy as sa
from alembic import op
from contimg_resources.database.paths import StoredPath

revision = "products_0008"
down_revision = "products_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of sub-band files."""
    op.create_table(
        "sub_bands",
        sa.Column("key", sa.String(16), sa.ForeignKey("observations.key"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("path", StoredPath, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("modified_ns", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_sub_bands_path", "sub_bands", ["path"])
