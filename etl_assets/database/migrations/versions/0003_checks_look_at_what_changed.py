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
    op.execute(_LIST_ORDER_TYPES)
    op.drop_index("ix_lead_orders_lead_id", table_name="lead_orders", if_exists=True)
    op.execute(_INDEX_ORDERS_OF_LEADS)


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_index("ix_lead_orders_lead_id", table_name="lead_orders", if_exists=True)
    op.create_index("ix_lead_orders_lead_id", "lead_orders", ["lead_id"])
    op.drop_table("order_types")
    op.drop_table("etl_unchecked")


# What no index can hold must not keep the schema back. How long that may be depends on how well a text compresses, so it is tried.
_LIST_ORDER_TYPES = """
DO $$
DECLARE
    one record;
BEGIN
    INSERT INTO order_types (order_type, first_seen_at)
    SELECT order_type, min(created_at) FROM orders WHERE octet_length(order_type) <= 2600 GROUP BY order_type;
    FOR one IN
        SELECT order_type, min(created_at) AS first_seen_at FROM orders WHERE octet_length(order_type) > 2600
        GROUP BY order_type
    LOOP
        BEGIN
            INSERT INTO order_types (order_type, first_seen_at) VALUES (one.order_type, one.first_seen_at);
        EXCEPTION WHEN program_limit_exceeded THEN
            RAISE NOTICE 'an order type that no index can hold is not listed in order_types';
        END;
    END LOOP;
END $$
"""
_INDEX_ORDERS_OF_LEADS = """
DO $$
BEGIN
    CREATE INDEX ix_lead_orders_lead_id ON lead_orders (lead_id) INCLUDE (shop_id, order_id);
EXCEPTION WHEN program_limit_exceeded THEN
    -- An order id that just fits the key does not fit here: the orders of leads are then read from the table.
    CREATE INDEX ix_lead_orders_lead_id ON lead_orders (lead_id);
END $$
"""
