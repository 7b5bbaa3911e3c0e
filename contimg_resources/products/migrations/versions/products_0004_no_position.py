"""Candidates without a position: of light curves that were added without one."""

import sqlalchemy as sa
from alembic import op

revision = "products_0004"
down_revision = "products_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let the position of a candidate be null."""
    with op.batch_alter_table("candidates") as table:
        table.alter_column("ra_deg", existing_type=sa.Double, nullable=True)
        table.alter_column("dec_deg", existing_type=sa.Double, nullable=True)
