"""Checks look at what changed, and the orders of a lead are found in an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision."""
    op.create_table(
        "etl_unchecked",
        sa.Column("note_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column(
            "asset",
            sa.Text(),
            nullable=False,
            comment="the asset whose checks have yet to look at what it has processed",
        ),
        sa.Column("batch_id", sa.BigInteger(), nullable=False, comment="the batch of orders"),
        sa.Column("low", sa.BigInteger(), nullable=False, comment="first raw_id, inclusive"),
        sa.Column("high", sa.BigInteger(), nullable=False, comment="last raw_id, inclusive"),
        sa.PrimaryKeyConstraint("note_id", name=op.f("pk_etl_unchecked")),
    )
    op.create_index("ix_etl_unchecked_asset_note_id", "etl_unchecked", ["asset", "note_id"])
    op.create_table(
        "order_types",
        sa.Column("order_type", sa.Text(), nullable=False, comment="as it stands in orders"),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("order_type", name=op.f("pk_order_types")),
    )
    op.execute(
        "INSERT INTO order_types (order_type, first_seen_at)"
        " SELECT order_type, min(created_at) FROM orders WHERE order_type IS NOT NULL GROUP BY order_type"
    )
    op.drop_index("ix_lead_orders_lead_id", table_name="lead_orders", if_exists=True)
    op.create_index("ix_lead_orders_lead_id", "lead_orders", ["lead_id"], postgresql_include=["shop_id", "order_id"])


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_index("ix_lead_orders_lead_id", table_name="lead_orders", if_exists=True)
    op.create_index("ix_lead_orders_lead_id", "lead_orders", ["lead_id"])
    op.drop_table("order_types")
    op.drop_table("etl_unchecked")
