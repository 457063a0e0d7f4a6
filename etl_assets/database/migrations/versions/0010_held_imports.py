"""Imports that would remove too much are held: what they would remove is stored with them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision: the new column is null."""
    what = "what a held import would remove from each table; null once it is accepted"
    op.add_column("import_tasks", sa.Column("held", JSONB(), comment=what))


def downgrade() -> None:
    """Go back to the revision before, whose code knows no held imports: they count as reverted."""
    op.execute("UPDATE import_tasks SET status = 'reverted', is_redecided = true WHERE status = 'held'")
    op.drop_column("import_tasks", "held")
