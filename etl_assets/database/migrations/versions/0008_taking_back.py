"""Imports can be reverted and restored: deleted orders and shops are noted, rows of sources name their import."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import UUID

from etl_assets.database.columns import BYTES

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_REDECIDED = "reverted once, or with corrections of such an import: its orders are decided anew from all versions"


def upgrade() -> None:
    """Go to this revision: new columns are null or have a default, so no row is written."""
    is_redecided: sa.Column[bool] = sa.Column(
        "is_redecided", sa.Boolean(), server_default=sa.text("false"), nullable=False, comment=_REDECIDED
    )
    op.add_column("import_tasks", is_redecided)
    corrects = "true: the row that it corrects is of a reverted import"
    op.add_column("raw_orders", sa.Column("corrects_reverted", sa.Boolean(), comment=corrects))
    landed_by = "the import that landed it: once reverted, the row counts as new"
    op.add_column("source_rows", sa.Column("import_id", UUID(as_uuid=True), comment=landed_by))
    _create_shop_tables()
    _create_deleted_orders()
    op.create_index(
        "ix_detached_orders_reverted",
        "detached_orders",
        ["shop_id", "order_id"],
        postgresql_where=sa.text("reason = 'reverted'"),
    )


def downgrade() -> None:
    """Go back to the revision before, whose code reads reverted imports like any other."""
    op.drop_index("ix_detached_orders_reverted", table_name="detached_orders")
    for table in ("deleted_orders", "deleted_shops", "doubtful_shops"):
        op.drop_table(table)
    op.drop_column("source_rows", "import_id")
    op.drop_column("raw_orders", "corrects_reverted")
    op.drop_column("import_tasks", "is_redecided")


def _create_shop_tables() -> None:
    named = "named by a reverted import: see shop.unnamed"
    op.create_table(
        "doubtful_shops",
        sa.Column("shop_id", sa.Integer(), autoincrement=False, nullable=False, comment=named),
        sa.PrimaryKeyConstraint("shop_id", name=op.f("pk_doubtful_shops")),
    )
    op.create_table(
        "deleted_shops",
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("shop_name", sa.Text(), nullable=False),
        sa.Column("shop_id", sa.Integer(), nullable=False, comment="the id that the shop gets if it comes again"),
        sa.Column("deleted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("platform", "shop_name", name=op.f("pk_deleted_shops")),
    )


def _create_deleted_orders() -> None:
    op.create_table(
        "deleted_orders",
        sa.Column("deletion_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False, comment="the orders batch that deleted the order"),
        sa.Column("raw_id", sa.BigInteger(), nullable=False, comment="the raw row it had come from"),
        sa.Column("order_no", sa.BigInteger(), nullable=False, comment="of the order: the key of its lines"),
        sa.Column("shop_id", sa.Integer(), nullable=False),
        sa.Column("order_id", BYTES, nullable=False),
        sa.PrimaryKeyConstraint("deletion_id", name=op.f("pk_deleted_orders")),
    )
    op.create_index("ix_deleted_orders_batch_id_raw_id", "deleted_orders", ["batch_id", "raw_id"])
