"""Paths under the state directory are relative to it."""

from alembic import op
from contimg_resources.database.paths import make_relative

revision = "registry_0002"
down_revision = "registry_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the paths of caltables under the directory of the store relative to it."""
    make_relative(op.get_bind(), "caltables", "path")
