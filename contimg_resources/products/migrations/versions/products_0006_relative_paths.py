"""Paths under the state directory are relative to it."""

from alembic import op
from contimg_resources.database.paths import make_relative

revision = "products_0006"
down_revision = "products_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the paths of everything under the directory of the store relative to it."""
    for table, column in (
        ("observations", "path"),
        ("artefacts", "path"),
        ("mosaics", "directory"),
        ("epochs", "path"),
    ):
        make_relative(op.get_bind(), table, column)
