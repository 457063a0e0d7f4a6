"""Health and alerts: when work was queued, dismissed imports, days on which shops delivered, facts that were told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_ORIGIN = r"regexp_replace(regexp_replace(source, '/failed/([^/]*)$', '/\1'), '\.[^./]*$', '')"


def upgrade() -> None:
    """Go to this revision: pending work counts as queued when the batch upstream was committed."""
    queued_at = sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)
    op.add_column("etl_work", queued_at)
    op.execute("UPDATE etl_work w SET queued_at = b.finished_at FROM etl_batches b WHERE b.batch_id = w.batch_id")
    op.add_column("import_tasks", sa.Column("dismissed_at", sa.DateTime(timezone=True)))
    op.add_column("import_tasks", sa.Column("note", sa.Text(), comment="reason of a dismissal"))
    op.create_index("ix_import_tasks_origin", "import_tasks", [sa.text(_ORIGIN)], postgresql_using="hash")
    is_open = sa.text("status = 'failed' AND dismissed_at IS NULL")
    op.create_index("ix_import_tasks_failed", "import_tasks", ["created_at"], postgresql_where=is_open)
    day = "a day, in UTC, on which imports brought orders of the shop"
    op.create_table(
        "shop_arrivals",
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("shop_name", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment=day),
        sa.Column("imports", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("platform", "shop_name", "day", name=op.f("pk_shop_arrivals")),
    )
    subject, count = (
        "the import, feed or input that it is about",
        "rows that were told of, as far as they are bad still",
    )
    op.create_table(
        "told_facts",
        sa.Column("kind", sa.Text(), nullable=False, comment="kind of fact: see alerts.facts"),
        sa.Column("subject", sa.Text(), nullable=False, comment=subject),
        sa.Column("count", sa.BigInteger(), nullable=False, comment=count),
        sa.Column("told_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "subject", name=op.f("pk_told_facts")),
    )


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_table("told_facts")
    op.drop_table("shop_arrivals")
    op.drop_index("ix_import_tasks_failed", table_name="import_tasks")
    op.drop_index("ix_import_tasks_origin", table_name="import_tasks")
    op.drop_column("import_tasks", "note")
    op.drop_column("import_tasks", "dismissed_at")
    op.drop_column("etl_work", "queued_at")
