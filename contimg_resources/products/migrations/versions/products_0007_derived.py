"""Light curves, variability metrics, cards, cutouts and exports are rows, too."""

import sqlalchemy as sa
from alembic import op
from contimg_resources.database.paths import StoredPath

revision = "products_0007"
down_revision = "products_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of products made from other products; keep the software of the others.

    Existing files stay without a row until they are made again: to read them all would take hours.
    """
    op.create_table(
        "products",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("mid_mjd", sa.Double),
        sa.Column("path", StoredPath, nullable=False),
        sa.Column("checksum", sa.String(80), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("software", sa.JSON, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("created_mjd", sa.Double, nullable=False),
        sa.Column("inputs", sa.JSON, nullable=False),
    )
    op.create_index("ix_products_path", "products", ["path"])
    op.create_table(
        "product_files",
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("path", StoredPath, primary_key=True),
        sa.Column("checksum", sa.String(80), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["kind", "key"], ["products.kind", "products.key"], ondelete="CASCADE"
        ),
    )
    op.create_index("ix_product_files_path", "product_files", ["path"])
    for table in ("mosaics", "epochs"):
        op.add_column(
            table, sa.Column("software", sa.JSON, nullable=False, server_default=sa.text("'{}'"))
        )
