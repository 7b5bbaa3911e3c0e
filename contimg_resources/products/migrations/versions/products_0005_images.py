"""Observations that are images made elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "products_0005"
down_revision = "products_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the origin of each observation: an MS or an image."""
    op.add_column(
        "observations",
        sa.Column("origin", sa.String(16), nullable=False, server_default="measurement_set"),
    )
