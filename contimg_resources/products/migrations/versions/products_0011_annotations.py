"""Tags, comments and favourites of sources and candidates."""

import sqlalchemy as sa
from alembic import op
from contimg_resources.database.records import named
from contimg_resources.products.events import AnnotationKind, Subject

revision = "products_0011"
down_revision = "products_0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of annotations."""
    op.create_table(
        "annotations",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("subject", named(Subject), nullable=False),
        sa.Column("subject_id", sa.Text, nullable=False),
        sa.Column("kind", named(AnnotationKind), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("is_withdrawn", sa.Boolean, nullable=False),
        sa.Column("created_mjd", sa.Double, nullable=False),
    )
    op.create_index("ix_annotations_subject", "annotations", ["subject", "subject_id"])
