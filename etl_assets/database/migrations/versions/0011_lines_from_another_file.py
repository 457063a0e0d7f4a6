"""Lines of orders may come from another file: their versions, the pointer of orders, provisional shops."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from etl_assets.database.columns import BYTES

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_PROVISIONAL = "named by files of lines only: the first import of orders gives its settings"


def upgrade() -> None:
    """Go to this revision: new columns are null or have a default, so no row is written."""
    is_provisional: sa.Column[bool] = sa.Column(
        "is_provisional", sa.Boolean(), server_default=sa.text("false"), nullable=False, comment=_PROVISIONAL
    )
    op.add_column("shop_configs", is_provisional)
    comes_from = "the raw row that its lines come from, if a file of lines brought them"
    op.add_column("orders", sa.Column("lines_raw_id", sa.BigInteger(), comment=comes_from))
    op.create_index(
        "ix_orders_lines_raw_id", "orders", ["lines_raw_id"], postgresql_where=sa.text("lines_raw_id IS NOT NULL")
    )
    newest = "the newest row of a file of lines for this order"
    last = "the last good such row, the newest version or not"
    op.create_table(
        "line_versions",
        sa.Column("shop_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("order_id", BYTES, nullable=False),
        sa.Column("raw_id", sa.BigInteger(), nullable=False, comment=newest),
        sa.Column("source_updated_at", sa.DateTime(timezone=True)),
        sa.Column("latest_raw_id", sa.BigInteger(), nullable=False, comment=last),
        sa.Column("is_waiting", sa.Boolean(), nullable=False, comment="the order is not in orders"),
        sa.PrimaryKeyConstraint("shop_id", "order_id", name=op.f("pk_line_versions")),
    )
    op.create_index("ix_line_versions_raw_id", "line_versions", ["raw_id"], postgresql_where=sa.text("is_waiting"))


def downgrade() -> None:
    """Go back to the revision before, whose code reads rows of lines as orders."""
    op.drop_table("line_versions")
    op.drop_index("ix_orders_lines_raw_id", table_name="orders")
    op.drop_column("orders", "lines_raw_id")
    op.drop_column("shop_configs", "is_provisional")
