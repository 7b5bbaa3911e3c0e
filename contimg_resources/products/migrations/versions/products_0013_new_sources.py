"""Sources that the catalogue lacks, and kinds of candidates."""

import sqlalchemy as sa
from alembic import op

revision = "products_0013"
down_revision = "products_0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of new sources; all candidates so far are for Extreme Scattering Events."""
    op.add_column(
        "candidates", sa.Column("kind", sa.String(16), nullable=False, server_default="ese")
    )
    op.create_table(
        "new_sources",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("ra_deg", sa.Double, nullable=False),
        sa.Column("dec_deg", sa.Double, nullable=False),
        sa.Column("east_error_arcsec", sa.Double, nullable=False),
        sa.Column("north_error_arcsec", sa.Double, nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("searched_day", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("created_mjd", sa.Double, nullable=False),
    )
