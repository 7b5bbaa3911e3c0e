"""Candidates, marks and alerts."""

import sqlalchemy as sa
from alembic import op

revision = "products_0003"
down_revision = "products_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of candidates, marks and alerts."""
    op.create_table(
        "candidates",
        sa.Column("id", sa.String(128), primary_key=True),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("ra_deg", sa.Double, nullable=False),
        sa.Column("dec_deg", sa.Double, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("start_mjd", sa.Double, nullable=False),
        sa.Column("mid_mjd", sa.Double, nullable=False),
        sa.Column("end_mjd", sa.Double, nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("searched_day", sa.Integer, nullable=False),
        sa.Column("first_day", sa.Integer, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("created_mjd", sa.Double, nullable=False),
    )
    op.create_index("ix_candidates_source", "candidates", ["source_id"])
    op.create_table(
        "marks",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        # No foreign key: a mark outlives whatever recomputation does to its candidate.
        sa.Column("candidate_id", sa.String(128), nullable=False),
        sa.Column("mark", sa.String(16), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("created_mjd", sa.Double, nullable=False),
    )
    op.create_index("ix_marks_candidate", "marks", ["candidate_id"])
    op.create_table(
        "alerts",
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created_mjd", sa.Double, nullable=False),
        sa.Column("sent_mjd", sa.Double),
        sa.Column("n_tries", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("channels", sa.JSON, nullable=False),
        sa.Column("next_try_mjd", sa.Double),
        sa.Column("claimed_until_mjd", sa.Double),
    )
