"""Caltable sets, their tables, layouts and history."""

import sqlalchemy as sa
from alembic import op

revision = "registry_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the first tables."""
    op.create_table(
        "layouts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False, unique=True),
        sa.Column("antenna_names", sa.JSON, nullable=False),
        sa.Column("spectral_windows_hz", sa.JSON, nullable=False),
    )
    op.create_table(
        "caltable_sets",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("calibrator", sa.Text, nullable=False),
        sa.Column("refant", sa.Text, nullable=False),
        sa.Column("mid_mjd", sa.Double, nullable=False),
        sa.Column("start_mjd", sa.Double, nullable=False),
        sa.Column("end_mjd", sa.Double, nullable=False),
        sa.Column("reach_days", sa.Double, nullable=False),
        sa.Column("declination_deg", sa.Double),
        sa.Column("layout_id", sa.Integer, sa.ForeignKey("layouts.id"), nullable=False),
        sa.Column("registered_mjd", sa.Double, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("quality", sa.JSON, nullable=False),
        sa.Column("origin", sa.JSON, nullable=False),
        sa.UniqueConstraint("name", "version", name="uq_caltable_sets_name_version"),
        sa.CheckConstraint("start_mjd <= end_mjd", name="ck_caltable_sets_window"),
        sa.CheckConstraint(
            "status IN ('active', 'retired', 'failed')", name="ck_caltable_sets_status"
        ),
    )
    op.create_index("ix_caltable_sets_status_mid", "caltable_sets", ["status", "mid_mjd"])
    op.create_index("ix_caltable_sets_status_reach", "caltable_sets", ["status", "reach_days"])
    op.create_index(
        "uq_caltable_sets_one_active",
        "caltable_sets",
        ["name"],
        unique=True,
        sqlite_where=sa.text("status = 'active'"),
        postgresql_where=sa.text("status = 'active'"),
    )
    op.create_table(
        "caltables",
        sa.Column("set_id", sa.Integer, sa.ForeignKey("caltable_sets.id"), primary_key=True),
        sa.Column("type", sa.String(8), primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("apply_order", sa.Integer, nullable=False),
        sa.Column("applied", sa.Boolean, nullable=False),
        sa.Column("checksum", sa.String(80), nullable=False),
    )
    op.create_table(
        "set_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("set_id", sa.Integer, sa.ForeignKey("caltable_sets.id"), nullable=False),
        sa.Column("event", sa.String(16), nullable=False),
        sa.Column("at_mjd", sa.Double, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
    )
    op.create_index("ix_set_events_set", "set_events", ["set_id"])
