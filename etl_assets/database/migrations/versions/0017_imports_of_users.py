"""Imports name their user, and open rows of quarantine are found by their reason."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision: new columns are null, so no row is written; the index has open rows only."""
    op.add_column(
        "import_tasks",
        sa.Column("user_name", sa.Text(), comment="user who imported it; null where the inbox, a source or a run did"),
    )
    rewrites_others = sa.text("is_redecided OR (mapping->>'holds') = 'lines'")
    op.create_index("ix_import_tasks_rewriting", "import_tasks", ["import_id"], postgresql_where=rewrites_others)
    op.create_index(
        "ix_quarantine_open_reason",
        "quarantine",
        ["reason_code", "raw_id"],
        postgresql_where=sa.text("resolved_at IS NULL"),
    )


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_index("ix_quarantine_open_reason", table_name="quarantine")
    op.drop_index("ix_import_tasks_rewriting", table_name="import_tasks")
    op.drop_column("import_tasks", "user_name")
