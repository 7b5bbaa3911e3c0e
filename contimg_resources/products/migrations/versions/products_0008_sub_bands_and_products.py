"""Sub-band files, images made elsewhere, every product a row, and paths relative to the state."""

import sqlalchemy as sa
from alembic import op
from contimg_resources.database.paths import StoredPath, make_relative

revision = "products_0008"
down_revision = "products_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make paths relative, allow for new kinds of observations, and add the tables of products.

    Existing files of products stay without a row until they are made again: to read them all would
    take hours.
    """
    # Candidates from added light curves may have no position.
    with op.batch_alter_table("candidates") as candidates:
        candidates.alter_column("ra_deg", existing_type=sa.Double, nullable=True)
        candidates.alter_column("dec_deg", existing_type=sa.Double, nullable=True)
    op.add_column(
        "observations",
        sa.Column("origin", sa.String(16), nullable=False, server_default="measurement_set"),
    )
    for table, column in (
        ("observations", "path"),
        ("artefacts", "path"),
        ("mosaics", "directory"),
        ("epochs", "path"),
    ):
        make_relative(op.get_bind(), table, column)
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
    op.create_table(
        "sub_bands",
        sa.Column("key", sa.String(16), sa.ForeignKey("observations.key"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("path", StoredPath, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("modified_ns", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_sub_bands_path", "sub_bands", ["path"])
