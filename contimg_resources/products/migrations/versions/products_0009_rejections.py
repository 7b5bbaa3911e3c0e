"""Rejected deliveries are rows."""

import sqlalchemy as sa
from alembic import op
from contimg_resources.database.paths import StoredPath

revision = "products_0009"
down_revision = "products_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of rejected deliveries."""
    op.create_table(
        "rejections",
        sa.Column("directory", StoredPath, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("since_mjd", sa.Double, nullable=False),
    )
