"""Events name the server that numbered their transactions: a restored database is heard on any other one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# A database that was restored before this revision may hold transactions that its server has yet to reach.
_OF_ANOTHER_SERVER = "CAST(CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text) AS bigint)"


def upgrade() -> None:
    """Go to this revision."""
    for table, position in (("etl_events", "tx"), ("event_listeners", "heard_until")):
        op.add_column(
            table,
            sa.Column(
                "server",
                sa.BigInteger(),
                server_default=sa.text("(pg_control_system()).system_identifier"),
                nullable=False,
                comment="the system identifier of the server that counts these transactions",
            ),
        )
        op.execute(f"UPDATE {table} SET server = 0 WHERE {position} > {_OF_ANOTHER_SERVER}")  # noqa: S608  # constants only
    op.drop_constraint("pk_event_listeners", "event_listeners")
    op.create_primary_key("pk_event_listeners", "event_listeners", ["listener", "server"])


def downgrade() -> None:
    """Go back to the revision before."""
    op.execute("DELETE FROM event_listeners WHERE server <> (pg_control_system()).system_identifier")
    op.drop_constraint("pk_event_listeners", "event_listeners")
    op.create_primary_key("pk_event_listeners", "event_listeners", ["listener"])
    for table in ("etl_events", "event_listeners"):
        op.drop_column(table, "server")
