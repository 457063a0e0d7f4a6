"""Tables of the pipeline's own state: findings of imports, ledger, change log, queue, deleted shops, fencing tokens,
events, alerts, inbox, sources.

Tables of data are in `schema`, which imports this module: its `metadata` has all tables.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Double,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from etl_assets.database.columns import count_column, metadata, now_column, timestamp_column


def _server(*, primary_key: bool = False) -> Column[int]:
    return Column(
        "server",
        BigInteger,
        primary_key=primary_key,
        autoincrement=False,
        nullable=False,
        server_default=text("(pg_control_system()).system_identifier"),
        comment="the system identifier of the server that counts these transactions",
    )


etl_batches: Final = Table(
    "etl_batches",
    metadata,
    Column("batch_id", BigInteger, Identity(always=False), primary_key=True),
    Column("asset", Text, nullable=False),
    Column("run_id", Text),
    Column("import_ids", ARRAY(UUID(as_uuid=True)), nullable=False),
    Column("status", Text, nullable=False, comment="outcome, as in the payload of the event"),
    count_column("input_rows"),
    count_column("inserted"),
    count_column("updated"),
    count_column("unchanged"),
    count_column("superseded"),
    count_column("quarantined"),
    count_column("deleted"),
    count_column("anonymous_orders"),
    Column("duration", Double, nullable=False, comment="seconds"),
    timestamp_column("started_at", required=True),
    now_column("finished_at"),
    Index(None, "asset", "batch_id"),
)

import_findings: Final = Table(
    "import_findings",
    metadata,
    Column("import_id", UUID(as_uuid=True), primary_key=True),
    Column("code", Text, primary_key=True, comment="kind of finding: see raw_orders.findings"),
    Column("subject", Text, primary_key=True, comment="the header, column or status that it is about"),
    Column("row_count", BigInteger, nullable=False, comment="rows, lines or columns concerned"),
    Column("first_line", Integer, comment="line of the source at which it was first met"),
)

etl_work: Final = Table(
    "etl_work",
    metadata,
    Column("work_id", BigInteger, Identity(always=False), primary_key=True),
    Column("asset", Text, nullable=False, comment="the asset that has yet to consume it"),
    Column("batch_id", BigInteger, nullable=False, comment="the upstream batch that made it"),
    Column("low", BigInteger, nullable=False, comment="first raw_id, inclusive"),
    Column("high", BigInteger, nullable=False, comment="last raw_id, inclusive"),
    now_column("queued_at"),
    Index(None, "asset", "batch_id", "low"),
)

etl_pending_checks: Final = Table(
    "etl_pending_checks",
    metadata,
    Column("note_id", BigInteger, Identity(always=False), primary_key=True),
    Column("asset", Text, nullable=False, comment="the asset whose checks have yet to look at what it has processed"),
    Column("batch_id", BigInteger, nullable=False, comment="the batch of orders"),
    Column("low", BigInteger, nullable=False, comment="first raw_id, inclusive"),
    Column("high", BigInteger, nullable=False, comment="last raw_id, inclusive"),
    Index(None, "asset", "note_id"),
)

row_changes: Final = Table(
    "row_changes",
    metadata,
    Column("batch_id", BigInteger, primary_key=True, autoincrement=False, comment="the batch that made the change"),
    Column("change_id", BigInteger, Identity(always=False), primary_key=True),
    Column("row_key", JSONB, nullable=False, comment="the primary key of the row, by column"),
    Column("created_batch_id", BigInteger, comment="the batch that had inserted the row"),
    Column("before", JSONB, nullable=False, comment="old values of the columns that changed; null ones are left out"),
    Column("after", JSONB, comment="new values of the same columns; null where the row was deleted"),
)

doubtful_shops: Final = Table(
    "doubtful_shops",
    metadata,
    Column(
        "shop_id",
        Integer,
        primary_key=True,
        autoincrement=False,
        comment="named by a reverted import: see shop.unnamed",
    ),
)

deleted_shops: Final = Table(
    "deleted_shops",
    metadata,
    Column("platform", Text, primary_key=True),
    Column("shop_name", Text, primary_key=True),
    Column("shop_id", Integer, nullable=False, comment="the id that the shop gets if it comes again"),
    now_column("deleted_at"),
)

asset_epochs: Final = Table(
    "asset_epochs",
    metadata,
    Column("asset", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False, comment="commits of the asset so far: the fencing token"),
)

user_actions: Final = Table(
    "user_actions",
    metadata,
    Column("action_id", BigInteger, Identity(always=False), primary_key=True),
    Column("user_name", Text, nullable=False),
    Column("action", Text, nullable=False, comment="the command, or the action of a page"),
    Column("target", Text, nullable=False, comment="what it was about"),
    Column("before", JSONB, comment="what was changed, as it was"),
    Column("after", JSONB, comment="the same as it is then"),
    now_column("done_at"),
    Column("lead_id", UUID(as_uuid=True), comment="the lead that it was about, if it was one: part of its history"),
    Index(None, "lead_id", "action_id", postgresql_where=text("lead_id IS NOT NULL")),
)

saved_views: Final = Table(
    "saved_views",
    metadata,
    Column("view_id", BigInteger, Identity(always=False), primary_key=True, comment="number of the view"),
    Column("user_name", Text, nullable=False, comment="the user who saved it, and sees it"),
    Column("name", Text, nullable=False, comment="the user's name for it"),
    Column("filters", JSONB, nullable=False, comment="filters and sort of the list of leads: see reporting.leads_list"),
    now_column("saved_at"),
    UniqueConstraint("user_name", "name"),
)

etl_events: Final = Table(
    "etl_events",
    metadata,
    Column("event_id", BigInteger, Identity(always=False), primary_key=True),
    Column("subject", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    now_column("created_at"),
    Column(
        "tx",
        BigInteger,
        nullable=False,
        server_default=text("pg_current_xact_id()::text::bigint"),
        comment="the transaction that wrote it: read below the snapshot's xmin, so that no late commit is overlooked",
    ),
    _server(),
    Index(None, "subject", "tx"),
)

event_listeners: Final = Table(
    "event_listeners",
    metadata,
    Column("listener", Text, primary_key=True),
    _server(primary_key=True),
    Column("heard_until", BigInteger, nullable=False, comment="it has heard the events of all transactions before"),
    now_column("updated_at"),
)

refused_events: Final = Table(
    "refused_events",
    metadata,
    Column("listener", Text, primary_key=True),
    Column("event_id", BigInteger, primary_key=True, autoincrement=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False),
    now_column("refused_at"),
)

shop_arrivals: Final = Table(
    "shop_arrivals",
    metadata,
    Column("platform", Text, primary_key=True),
    Column("shop_name", Text, primary_key=True),
    Column("day", Date, primary_key=True, comment="a day, in UTC, on which imports brought orders of the shop"),
    Column("imports", Integer, nullable=False, comment="imports of that day that name the shop"),
)

told_facts: Final = Table(
    "told_facts",
    metadata,
    Column("kind", Text, primary_key=True, comment="kind of fact: see alerts.facts"),
    Column("subject", Text, primary_key=True, comment="the import, feed or input that it is about"),
    Column("count", BigInteger, nullable=False, comment="rows that were told of, as far as they are bad still"),
    now_column("told_at"),
)

inbox_files: Final = Table(
    "inbox_files",
    metadata,
    Column("content_hash", Text, primary_key=True, comment="SHA-256 of the file, in hex"),
    Column("import_id", UUID(as_uuid=True), nullable=False),
    Column("file_name", Text, nullable=False),
    Column("byte_count", BigInteger, nullable=False),
    now_column("imported_at"),
)

source_progress: Final = Table(
    "source_progress",
    metadata,
    Column("source", Text, primary_key=True, comment="its name in sources.yaml"),
    Column("position", JSONB, comment="how far the source was read, in the terms of its kind"),
    Column("epoch", BigInteger, nullable=False, comment="pulls so far: the fencing token"),
    timestamp_column("pulled_at"),
    timestamp_column("reconciled_at"),
)

source_rows: Final = Table(
    "source_rows",
    metadata,
    Column("source", Text, primary_key=True, comment="its name in sources.yaml"),
    Column("row_key", UUID(as_uuid=True), primary_key=True, comment="a hash of the order's key in the source"),
    Column("row_hash", UUID(as_uuid=True), nullable=False, comment="a hash of what was landed of it last"),
    Column("import_id", UUID(as_uuid=True), comment="the import that landed it: once reverted, the row counts as new"),
)
