"""Tables as SQLAlchemy metadata: the description that migrations are generated from and tested against.

Names carry no schema: every connection sets `search_path` to the configured one. Large tables have no foreign keys,
which would double the time of a load; asset checks look for orphans instead (docs/decisions.md, "No foreign keys").
Which asset writes which table is stated in the asset graph, not here.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


DEFERRED_INDEX: Final = "deferred_indexes"
"""Key in the `info` of an index that a first load builds at its end, several times as fast as row by row.

Batches of that load read the table instead of the index, while it is new and small. Never a key: other programs rely
on keys at all times, and duplicates left by a killed load would prevent its creation (docs/decisions.md, "Deferred
indexes" and "Keys are never dropped").
"""


def _timestamp(name: str, *, required: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=not required)


def _now(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


def _money(name: str) -> Column[object]:
    return Column(name, Numeric(18, 4))


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


_BYTES: Final = Text(collation="C")
"""Text compared as bytes, as in Polars, so that rows sorted there are in the order of the index."""


def _total(name: str) -> Column[object]:
    return Column(name, Numeric(38, 4), nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=text("0"))


import_tasks: Final = Table(
    "import_tasks",
    metadata,
    Column("import_id", UUID(as_uuid=True), primary_key=True),
    Column("source", Text, nullable=False),
    Column("preset", Text),
    Column("mapping", JSONB, comment="the preset in force, so that the rows are read the same way for ever"),
    Column("status", Text, nullable=False, comment="state of the import"),
    Column("row_count", BigInteger),
    Column("line_count", BigInteger, comment="lines read from the source"),
    Column("batch_id", BigInteger, unique=True, comment="the ledger's batch of a completed import"),
    Column("error", Text),
    Column("unmatched", ARRAY(Text), comment="columns that the mapping takes from headers that the source lacks"),
    _now("created_at"),
    _timestamp("completed_at"),
)

raw_orders: Final = Table(
    "raw_orders",
    metadata,
    Column("raw_id", BigInteger, Identity(always=False), primary_key=True),
    Column("import_id", UUID(as_uuid=True), nullable=False),
    Column("row_no", Integer, nullable=False, comment="the line of the source that the row starts at"),
    *(
        Column(name, Text)
        for name in (
            "platform", "shop", "order_id", "customer_name", "order_status", "order_type", "amount", "currency",
            "ordered_at", "updated_at", "items", "processes", "remark",
        )
    ),
    Column("extra", JSONB, comment="columns that no mapping named"),
    Column("defect", Text, comment="why the row can't be loaded as it was (its text had to be changed to be stored)"),
    Column("replaces_raw_id", BigInteger, comment="the quarantined row that this one corrects"),
    Index(None, "replaces_raw_id", postgresql_where=text("replaces_raw_id IS NOT NULL")),
)  # fmt: skip

shop_configs: Final = Table(
    "shop_configs",
    metadata,
    Column("shop_id", Integer, Identity(always=False), primary_key=True),
    Column("platform", Text, nullable=False),
    Column("shop_name", Text, nullable=False),
    Column("currency", Text),
    Column("timezone", Text, nullable=False),
    _now("created_at"),
    UniqueConstraint("platform", "shop_name"),
)

order_type_mappings: Final = Table(
    "order_type_mappings",
    metadata,
    Column("raw_order_type", Text, primary_key=True, comment="compared trimmed and case-insensitively"),
    Column("system_order_type", Text, nullable=False, comment="SAMPLE, PROOF or BULK"),
)

order_types: Final = Table(
    "order_types",
    metadata,
    Column("order_type", Text, primary_key=True, comment="as it stands in orders"),
    _now("first_seen_at"),
)

orders: Final = Table(
    "orders",
    metadata,
    Column("shop_id", Integer, primary_key=True, autoincrement=False),
    Column("order_id", _BYTES, primary_key=True),
    Column("order_no", BigInteger, nullable=False, comment="the raw row of its first version: the narrow key of lines"),
    Column("customer_nickname", Text),
    Column("customer_global_id", UUID(as_uuid=True), comment="null where the order names no customer"),
    Column("latest_status", Text),
    Column("is_cancelled", Boolean, nullable=False),
    Column("order_type", Text),
    Column("system_order_type", Text, nullable=False),
    _money("amount"),
    Column("currency", Text),
    _timestamp("ordered_at"),
    _timestamp("source_updated_at"),
    Column("raw_id", BigInteger, nullable=False, comment="the raw row it came from"),
    Column("batch_id", BigInteger, nullable=False, comment="the batch of the ledger that last changed the row"),
    _now("created_at"),
    _now("updated_at"),
    Column(
        "latest_raw_id",
        BigInteger,
        comment="a later good raw row that was an older version, read before earlier rows; null where there is none",
    ),
    Index(None, "batch_id", "raw_id", info={DEFERRED_INDEX: True}),
    Index(
        None,
        "customer_global_id",
        postgresql_where=text("customer_global_id IS NOT NULL"),
        info={DEFERRED_INDEX: True},
    ),
)

order_items: Final = Table(
    "order_items",
    metadata,
    Column("order_no", BigInteger, primary_key=True, autoincrement=False, comment="of the order"),
    Column("shop_id", Integer, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("line_no", Integer, primary_key=True, autoincrement=False),
    Column("product", Text),
    Column("variant", Text),
    Column("sku", Text),
    Column("quantity", Integer, nullable=False),
    _money("unit_price"),
    Column("processes", Text, comment="the item's processes as the export gives them: what process_items is made from"),
)

process_items: Final = Table(
    "process_items",
    metadata,
    Column("order_no", BigInteger, primary_key=True, autoincrement=False, comment="of the order"),
    Column("shop_id", Integer, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("line_no", Integer, primary_key=True, autoincrement=False, comment="0 for a process of the whole order"),
    Column("process_no", Integer, primary_key=True, autoincrement=False),
    Column("process_type", Text, nullable=False),
    Column("position", Text),
    Column("picture_count", Integer, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("picture_print_quantity", BigInteger, nullable=False),
)

customers: Final = Table(
    "customers",
    metadata,
    Column("customer_global_id", UUID(as_uuid=True), primary_key=True),
    Column("customer_key", Text, nullable=False, unique=True),
    Column("shop_id", Integer, nullable=False),
    Column("customer_nickname", Text, nullable=False),
    _timestamp("first_order_at"),
    _timestamp("last_order_at"),
    Column("order_count", Integer, nullable=False),
    _now("created_at"),
    _now("updated_at"),
)

business_leads: Final = Table(
    "business_leads",
    metadata,
    Column("lead_id", UUID(as_uuid=True), primary_key=True),
    Column("customer_global_id", UUID(as_uuid=True), nullable=False),
    Column("lead_no", Integer, comment="how many leads the customer had before; null for leads made by hand"),
    Column("current_stage", Text, nullable=False, comment="owned by the users; the pipeline sets OPEN and COLD only"),
    _timestamp("opened_at"),
    _timestamp("reopened_at"),
    Column("reopen_count", Integer, nullable=False, server_default=text("0")),
    _timestamp("first_order_at"),
    _timestamp("last_order_at"),
    Column("order_count", Integer, nullable=False),
    _total("total_amount"),
    Column("sample_count", Integer, nullable=False),
    _total("sample_amount"),
    Column("proof_count", Integer, nullable=False),
    _total("proof_amount"),
    Column("bulk_count", Integer, nullable=False),
    _total("bulk_amount"),
    Column("currency", Text, comment="of the lead's first order; amounts in another one are counted, never added"),
    Column("other_currency_count", Integer, nullable=False, comment="orders whose amount is in another currency"),
    _now("created_at"),
    _now("updated_at"),
    Column("batch_id", BigInteger, comment="the batch of the ledger that made it"),
    Index(None, "customer_global_id"),
    Index(
        "uq_business_leads_active_customer",
        "customer_global_id",
        unique=True,
        postgresql_where=text("current_stage IN ('OPEN', 'COLD')"),
    ),
)

lead_orders: Final = Table(
    "lead_orders",
    metadata,
    Column("shop_id", Integer, primary_key=True, autoincrement=False),
    Column("order_id", _BYTES, primary_key=True),
    Column("lead_id", UUID(as_uuid=True), nullable=False),
    Column("strategy", Text, nullable=False, comment="the rule that attached the order: see leads.explanations"),
    _now("attached_at"),
    Column("batch_id", BigInteger, comment="the batch of the ledger that attached it"),
    # With the key, so that the orders of a lead are found without reading rows from all over the table.
    Index(None, "lead_id", postgresql_include=["shop_id", "order_id"], info={DEFERRED_INDEX: True}),
)

deleted_leads: Final = Table(
    "deleted_leads",
    metadata,
    Column("lead_id", UUID(as_uuid=True), primary_key=True, comment="noted by a trigger when the lead is deleted"),
    Column("customer_global_id", UUID(as_uuid=True), nullable=False),
    _now("deleted_at"),
)

lead_changes: Final = Table(
    "lead_changes",
    metadata,
    Column("change_id", BigInteger, Identity(always=False), primary_key=True),
    Column("lead_id", UUID(as_uuid=True), nullable=False),
    Column("batch_id", BigInteger, nullable=False, comment="the batch of the ledger that made the change"),
    _now("changed_at"),
    Column("what", Text, nullable=False, comment="kind of change: see leads.explanations"),
    Column("shop_id", Integer, comment="with order_id: the order that reopened the lead"),
    Column("order_id", Text),
    _timestamp("first_order_at"),
    _timestamp("last_order_at"),
    Column("order_count", Integer, comment="this and the other figures are those before the change"),
    Column("total_amount", Numeric(38, 4)),
    Column("sample_count", Integer),
    Column("sample_amount", Numeric(38, 4)),
    Column("proof_count", Integer),
    Column("proof_amount", Numeric(38, 4)),
    Column("bulk_count", Integer),
    Column("bulk_amount", Numeric(38, 4)),
    Column("currency", Text),
    Column("other_currency_count", Integer),
    Index(None, "lead_id", "change_id"),
)

detached_orders: Final = Table(
    "detached_orders",
    metadata,
    Column("departure_id", BigInteger, Identity(always=False), primary_key=True),
    Column("lead_id", UUID(as_uuid=True), nullable=False, index=True, comment="the lead that the order left"),
    Column("shop_id", Integer, nullable=False),
    Column("order_id", Text, nullable=False),
    Column("reason", Text, nullable=False, comment="why it was detached: see leads.explanations"),
    Column("strategy", Text, nullable=False, comment="the rule that had attached the order"),
    _timestamp("attached_at", required=True),
    Column("attached_batch_id", BigInteger, comment="the batch of the ledger that had attached it"),
    _now("left_at"),
    Column("batch_id", BigInteger, nullable=False, comment="the batch of the ledger that took it out"),
)

quarantine: Final = Table(
    "quarantine",
    metadata,
    Column("quarantine_id", BigInteger, Identity(always=False), primary_key=True),
    Column("asset", Text, nullable=False),
    Column("import_id", UUID(as_uuid=True)),
    Column("raw_id", BigInteger, nullable=False),
    Column("shop_id", Integer),
    Column("order_id", Text, comment="cleaned, where it could be read: a later good row of it resolves this one"),
    Column("reason_code", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("row", JSONB, nullable=False),
    _now("quarantined_at"),
    _timestamp("resolved_at"),
    Column("resolution", Text, comment="how the row was resolved: see the package quarantine"),
    Column("note", Text, comment="reason of a dismissal"),
    UniqueConstraint("asset", "raw_id", "reason_code"),
    Index("ix_quarantine_open_order", "shop_id", "order_id", postgresql_where=text("resolved_at IS NULL")),
    Index("ix_quarantine_open_row", "raw_id", postgresql_where=text("resolved_at IS NULL")),
)

etl_batches: Final = Table(
    "etl_batches",
    metadata,
    Column("batch_id", BigInteger, Identity(always=False), primary_key=True),
    Column("asset", Text, nullable=False),
    Column("run_id", Text),
    Column("import_ids", ARRAY(UUID(as_uuid=True)), nullable=False),
    Column("status", Text, nullable=False, comment="outcome, as in the payload of the event"),
    _count("input_rows"),
    _count("inserted"),
    _count("updated"),
    _count("unchanged"),
    _count("superseded"),
    _count("quarantined"),
    _count("deleted"),
    _count("anonymous_orders"),
    Column("duration", Double, nullable=False, comment="seconds"),
    _timestamp("started_at", required=True),
    _now("finished_at"),
    Index(None, "asset", "batch_id"),
)

etl_events: Final = Table(
    "etl_events",
    metadata,
    Column("event_id", BigInteger, Identity(always=False), primary_key=True),
    Column("subject", Text, nullable=False),
    Column("payload", JSONB, nullable=False),
    _now("created_at"),
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
    _now("updated_at"),
)

refused_events: Final = Table(
    "refused_events",
    metadata,
    Column("listener", Text, primary_key=True),
    Column("event_id", BigInteger, primary_key=True, autoincrement=False),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False),
    _now("refused_at"),
)

inbox_files: Final = Table(
    "inbox_files",
    metadata,
    Column("content_hash", Text, primary_key=True, comment="SHA-256 of the file, in hex"),
    Column("import_id", UUID(as_uuid=True), nullable=False),
    Column("file_name", Text, nullable=False),
    Column("byte_count", BigInteger, nullable=False),
    _now("imported_at"),
)

source_progress: Final = Table(
    "source_progress",
    metadata,
    Column("source", Text, primary_key=True, comment="its name in sources.yaml"),
    Column("position", JSONB, comment="how far the source was read, in the terms of its kind"),
    Column("epoch", BigInteger, nullable=False, comment="pulls so far: the fencing token"),
    _timestamp("pulled_at"),
    _timestamp("reconciled_at"),
)

source_rows: Final = Table(
    "source_rows",
    metadata,
    Column("source", Text, primary_key=True, comment="its name in sources.yaml"),
    Column("row_key", UUID(as_uuid=True), primary_key=True, comment="a hash of the order's key in the source"),
    Column("row_hash", UUID(as_uuid=True), nullable=False, comment="a hash of what was landed of it last"),
)

etl_work: Final = Table(
    "etl_work",
    metadata,
    Column("work_id", BigInteger, Identity(always=False), primary_key=True),
    Column("asset", Text, nullable=False, comment="the asset that has yet to consume it"),
    Column("batch_id", BigInteger, nullable=False, comment="the upstream batch that made it"),
    Column("low", BigInteger, nullable=False, comment="first raw_id, inclusive"),
    Column("high", BigInteger, nullable=False, comment="last raw_id, inclusive"),
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

asset_epochs: Final = Table(
    "asset_epochs",
    metadata,
    Column("asset", Text, primary_key=True),
    Column("epoch", BigInteger, nullable=False, comment="commits of the asset so far: the fencing token"),
)

order_moves: Final = Table(
    "order_moves",
    metadata,
    Column("move_id", BigInteger, Identity(always=False), primary_key=True),
    Column("batch_id", BigInteger, nullable=False, comment="the orders batch that moved the order"),
    Column("raw_id", BigInteger, nullable=False),
    Column("customer_global_id", UUID(as_uuid=True), nullable=False, comment="the customer it left"),
    Index(None, "batch_id", "raw_id"),
)
