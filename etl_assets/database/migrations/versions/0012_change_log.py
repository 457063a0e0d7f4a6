"""The change log: old and new values of rows that batches update or delete; the batch that inserted each row."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TABLES = ("shop_configs", "orders", "order_items", "process_items", "customers")


def upgrade() -> None:
    """Go to this revision: new columns are null, so no row is written."""
    for table in _TABLES:
        comment = "the batch of the ledger that inserted the row"
        op.add_column(table, sa.Column("created_batch_id", sa.BigInteger(), comment=comment))
    changed_by = "the batch that made the change"
    op.create_table(
        "row_changes",
        sa.Column("batch_id", sa.BigInteger(), autoincrement=False, nullable=False, comment=changed_by),
        sa.Column("change_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("row_key", JSONB(), nullable=False, comment="the primary key of the row, by column"),
        sa.Column("created_batch_id", sa.BigInteger(), comment="the batch that had inserted the row"),
        sa.Column(
            "before",
            JSONB(),
            nullable=False,
            comment="old values of the columns that changed; null ones are left out",
        ),
        sa.Column("after", JSONB(), comment="new values of the same columns; null where the row was deleted"),
        sa.PrimaryKeyConstraint("batch_id", "change_id", name=op.f("pk_row_changes")),
    )


def downgrade() -> None:
    """Go back to the revision before."""
    op.drop_table("row_changes")
    for table in reversed(_TABLES):
        op.drop_column(table, "created_batch_id")
