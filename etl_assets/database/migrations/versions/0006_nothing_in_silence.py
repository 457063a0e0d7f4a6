"""Imports keep their headers and findings, orders the platform's own id, shops what users set; actions of users."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_PLATFORM_ID = "the platform's own id of the order, where the mapping names an identity"


def upgrade() -> None:
    """Go to this revision: new columns are null but for the raw ids of imports, found in one pass over the raw rows."""
    op.add_column("import_tasks", sa.Column("headers", ARRAY(sa.Text()), comment="headers of the source, in its order"))
    op.add_column("raw_orders", sa.Column("platform_order_id", sa.Text(), comment=_PLATFORM_ID))
    op.add_column("orders", sa.Column("platform_order_id", sa.Text(), comment=_PLATFORM_ID))
    op.add_column(
        "shop_configs",
        sa.Column("default_currency", sa.Text(), comment="set by users: the currency of orders that name none"),
    )
    op.add_column("shop_configs", sa.Column("shown_name", sa.Text(), comment="set by users: the name on pages"))
    op.add_column(
        "import_tasks",
        sa.Column("feed", sa.Text(), comment="imports of one feed should look alike: see raw_orders.drift"),
    )
    op.add_column(
        "import_tasks", sa.Column("profile", JSONB(), comment="counts of filled columns: see raw_orders.profile")
    )
    op.add_column(
        "import_tasks", sa.Column("first_raw_id", sa.BigInteger(), comment="its raw rows have ids from here on …")
    )
    op.add_column(
        "import_tasks",
        sa.Column(
            "last_raw_id", sa.BigInteger(), comment="… up to here, both inclusive; other imports may have rows between"
        ),
    )
    op.execute(_FIND_RAW_IDS)
    op.create_index(op.f("ix_import_tasks_feed_batch_id"), "import_tasks", ["feed", "batch_id"])
    op.create_index(op.f("ix_import_tasks_created_at"), "import_tasks", ["created_at"])
    op.create_table(
        "import_findings",
        sa.Column("import_id", UUID(as_uuid=True), nullable=False),
        sa.Column("code", sa.Text(), nullable=False, comment="kind of finding: see raw_orders.findings"),
        sa.Column("subject", sa.Text(), nullable=False, comment="the header, column or status that it is about"),
        sa.Column("row_count", sa.BigInteger(), nullable=False, comment="rows, lines or columns concerned"),
        sa.Column("first_line", sa.Integer(), comment="line of the source at which it was first met"),
        sa.PrimaryKeyConstraint("import_id", "code", "subject", name=op.f("pk_import_findings")),
    )
    is_open = sa.text("resolved_at IS NULL")
    op.create_index("ix_quarantine_open_import", "quarantine", ["import_id"], postgresql_where=is_open)
    op.create_table(
        "user_actions",
        sa.Column("action_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False, comment="the command, or the action of a page"),
        sa.Column("target", sa.Text(), nullable=False, comment="what it was about"),
        sa.Column("before", JSONB(), comment="what was changed, as it was"),
        sa.Column("after", JSONB(), comment="the same as it is then"),
        sa.Column("done_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("action_id", name=op.f("pk_user_actions")),
    )


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_index("ix_quarantine_open_import", table_name="quarantine")
    op.drop_table("user_actions")
    op.drop_table("import_findings")
    for column in ("shown_name", "default_currency"):
        op.drop_column("shop_configs", column)
    op.drop_column("orders", "platform_order_id")
    op.drop_column("raw_orders", "platform_order_id")
    op.drop_index(op.f("ix_import_tasks_created_at"), table_name="import_tasks")
    op.drop_index(op.f("ix_import_tasks_feed_batch_id"), table_name="import_tasks")
    for column in ("last_raw_id", "first_raw_id", "profile", "feed", "headers"):
        op.drop_column("import_tasks", column)


_FIND_RAW_IDS = """
    UPDATE import_tasks t SET first_raw_id = r.low, last_raw_id = r.high FROM (
        SELECT import_id, min(raw_id) AS low, max(raw_id) AS high FROM raw_orders GROUP BY import_id
    ) r WHERE t.import_id = r.import_id
"""
