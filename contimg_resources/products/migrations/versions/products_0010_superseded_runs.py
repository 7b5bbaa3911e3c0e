"""Runs that were given up write no more."""

import sqlalchemy as sa
from alembic import op

revision = "products_0010"
down_revision = "products_0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of superseded runs."""
    op.create_table(
        "superseded_runs",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("at_mjd", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
