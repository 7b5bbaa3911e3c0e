"""Candidates without a position, from added light curves."""

import sqlalchemy as sa
from alembic import op

revision = "products_0004"
down_revision = "products_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Allow a null position of a candidate."""
    with op.batch_alter_table("candidates") as table:
        table.alter_column("ra_deg", existing_type=sa.Double, nullable=True)
        table.alter_column("dec_deg", existing_type=sa.Double, nullable=True)
