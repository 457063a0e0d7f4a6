"""Tables of data as SQLAlchemy metadata: migrations are generated from it and tested against it.

`metadata` has all tables, including those of `ledger_schema` and `web_schema`. Names carry no schema: every
connection sets `search_path`. Large tables have no foreign keys, which would double the time of a load; asset checks
look for orphans instead (docs/decisions.md, "No foreign keys"). Which asset writes which table is stated in the asset
graph.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    column,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from etl_assets.database import ledger_schema, web_schema  # noqa: F401  # they add their tables to the metadata
from etl_assets.database.columns import (
    BYTES,
    DEFERRED_INDEX,
    created_batch_column,
    metadata,
    money_column,
    now_column,
    timestamp_column,
    total_column,
)
from etl_assets.database.comments import explain_columns

__all__ = ["metadata"]

ORIGIN_OF_IMPORT: Final = r"regexp_replace(regexp_replace(source, '/failed/([^/]*)$', '/\1'), '\.[^./]*$', '')"
"""SQL of what imports of one file have in common: its path without the suffix, and without the folder `failed`."""

REWRITES_OTHERS: Final = "is_redecided OR (mapping->>'holds') = 'lines'"
"""SQL condition on imports whose batches write orders that come from rows of others: reverted ones, files of lines."""

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
    Column("headers", ARRAY(Text), comment="headers of the source, in its order"),
    now_column("created_at"),
    timestamp_column("completed_at"),
    Column("feed", Text, comment="imports of one feed should look alike: see raw_orders.drift"),
    Column("profile", JSONB, comment="counts of filled columns: see raw_orders.profile"),
    Column("first_raw_id", BigInteger, comment="its raw rows have ids from here on …"),
    Column("last_raw_id", BigInteger, comment="… up to here, both inclusive; other imports may have rows between"),
    Column(
        "is_redecided",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="reverted once, or with corrections of such an import: its orders are decided anew from all versions",
    ),
    Column("held", JSONB, comment="what a held import would remove from each table; null once it is accepted"),
    timestamp_column("dismissed_at"),
    Column("note", Text, comment="reason of a dismissal"),
    Column("user_name", Text, comment="user who imported it; null where the inbox, a source or a run did"),
    Index(None, "feed", "batch_id"),
    Index(None, "created_at"),
    Index("ix_import_tasks_origin", text(ORIGIN_OF_IMPORT), postgresql_using="hash"),
    Index(
        "ix_import_tasks_rewriting", "import_id", postgresql_where=text("is_redecided OR (mapping->>'holds') = 'lines'")
    ),
    Index("ix_import_tasks_failed", "created_at", postgresql_where=text("status = 'failed' AND dismissed_at IS NULL")),
)

REFUNDED: Final = "given back to the buyer, part of amount; null where the export says nothing"
REFUNDED_OF_LEAD: Final = "sum over its orders in its currency, null counting as 0; the totals are gross"
PERSONALISATION: Final = "the buyer's text for this line, as it was written"
PLATFORM_ORDER_ID: Final = "the platform's own id of the order, where the mapping names an identity"
AS_EXPORTED: Final = "as in the export, untouched"

raw_orders: Final = Table(
    "raw_orders",
    metadata,
    Column("raw_id", BigInteger, Identity(always=False), primary_key=True),
    Column("import_id", UUID(as_uuid=True), nullable=False),
    Column("row_no", Integer, nullable=False, comment="the line of the source that the row starts at"),
    *(
        Column(name, Text, comment=AS_EXPORTED)
        for name in (
            "platform", "shop", "order_id", "customer_name", "order_status", "order_type", "amount", "currency",
            "ordered_at", "updated_at", "items", "processes", "remark",
        )
    ),
    Column("extra", JSONB, comment="columns that no mapping named"),
    Column("defect", Text, comment="why the row can't be loaded as it was (its text had to be changed to be stored)"),
    Column("replaces_raw_id", BigInteger, comment="the quarantined row that this one corrects"),
    Column("platform_order_id", Text, comment=PLATFORM_ORDER_ID),
    Column("corrects_reverted", Boolean, comment="true: the row that it corrects is of a reverted import"),
    Column("refunded_amount", Text, comment=AS_EXPORTED),
    Index(None, "replaces_raw_id", postgresql_where=text("replaces_raw_id IS NOT NULL")),
)  # fmt: skip

shop_configs: Final = Table(
    "shop_configs",
    metadata,
    Column("shop_id", Integer, Identity(always=False), primary_key=True),
    Column("platform", Text, nullable=False),
    Column("shop_name", Text, nullable=False),
    Column("currency", Text, comment="as in its first import"),
    Column("timezone", Text, nullable=False),
    now_column("created_at"),
    Column("default_currency", Text, comment="set by users: the currency of orders that name none"),
    Column("shown_name", Text, comment="set by users: the name on pages"),
    Column(
        "is_provisional",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="named by files of lines only: the first import of orders gives its settings",
    ),
    created_batch_column(),
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
    now_column("first_seen_at"),
)

orders: Final = Table(
    "orders",
    metadata,
    Column("shop_id", Integer, primary_key=True, autoincrement=False),
    Column("order_id", BYTES, primary_key=True),
    Column("order_no", BigInteger, nullable=False, comment="the raw row of its first version: the narrow key of lines"),
    Column("customer_nickname", Text),
    Column("customer_global_id", UUID(as_uuid=True), comment="null where the order names no customer"),
    Column("latest_status", Text),
    Column("is_cancelled", Boolean, nullable=False),
    Column("order_type", Text),
    Column("system_order_type", Text, nullable=False),
    money_column("amount"),
    Column("currency", Text),
    timestamp_column("ordered_at"),
    timestamp_column("source_updated_at"),
    Column("raw_id", BigInteger, nullable=False, comment="the raw row it came from"),
    Column("batch_id", BigInteger, nullable=False, comment="the batch of the ledger that last changed the row"),
    now_column("created_at"),
    now_column("updated_at"),
    Column(
        "latest_raw_id",
        BigInteger,
        comment="a later good raw row that was an older version, read before earlier rows; null where there is none",
    ),
    Column("platform_order_id", Text, comment=PLATFORM_ORDER_ID),
    money_column("refunded_amount", comment=REFUNDED),
    Column("lines_raw_id", BigInteger, comment="the raw row that its lines come from, if a file of lines brought them"),
    created_batch_column(),
    Index(None, "batch_id", "raw_id", info={DEFERRED_INDEX: True}),
    Index(
        None,
        "customer_global_id",
        postgresql_where=text("customer_global_id IS NOT NULL"),
        info={DEFERRED_INDEX: True},
    ),
    # Without an entry as long as there are no files of lines, so that a first load need not do without it.
    Index(None, "lines_raw_id", postgresql_where=text("lines_raw_id IS NOT NULL")),
)

line_versions: Final = Table(
    "line_versions",
    metadata,
    Column("shop_id", Integer, primary_key=True, autoincrement=False),
    Column("order_id", BYTES, primary_key=True),
    Column("raw_id", BigInteger, nullable=False, comment="the newest row of a file of lines for this order"),
    timestamp_column("source_updated_at"),
    Column("latest_raw_id", BigInteger, nullable=False, comment="the last good such row, the newest version or not"),
    Column("is_waiting", Boolean, nullable=False, comment="the order is not in orders"),
    Index(None, "raw_id", postgresql_where=text("is_waiting")),
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
    money_column("unit_price"),
    Column("processes", Text, comment="the item's processes as the export gives them: what process_items is made from"),
    Column("personalisation", Text, comment=PERSONALISATION),
    created_batch_column(),
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
    created_batch_column(),
)

customers: Final = Table(
    "customers",
    metadata,
    Column("customer_global_id", UUID(as_uuid=True), primary_key=True),
    Column("customer_key", Text, nullable=False, unique=True),
    Column("shop_id", Integer, nullable=False),
    Column("customer_nickname", Text, nullable=False),
    timestamp_column("first_order_at"),
    timestamp_column("last_order_at"),
    Column("order_count", Integer, nullable=False),
    now_column("created_at"),
    now_column("updated_at"),
    created_batch_column(),
    # For searches by the beginning of a name, in any collation of the database.
    Index(
        "ix_customers_lower_name",
        func.lower(column("customer_nickname")).label("name"),
        postgresql_ops={"name": "text_pattern_ops"},
        info={DEFERRED_INDEX: True},
    ),
)

business_leads: Final = Table(
    "business_leads",
    metadata,
    Column("lead_id", UUID(as_uuid=True), primary_key=True),
    Column("customer_global_id", UUID(as_uuid=True), nullable=False),
    Column("lead_no", Integer, comment="how many leads the customer had before; null for leads made by hand"),
    Column("current_stage", Text, nullable=False, comment="owned by the users; the pipeline sets OPEN and COLD only"),
    timestamp_column("opened_at"),
    timestamp_column("reopened_at"),
    Column("reopen_count", Integer, nullable=False, server_default=text("0")),
    timestamp_column("first_order_at"),
    timestamp_column("last_order_at"),
    Column("order_count", Integer, nullable=False),
    total_column("total_amount"),
    Column("sample_count", Integer, nullable=False),
    total_column("sample_amount"),
    Column("proof_count", Integer, nullable=False),
    total_column("proof_amount"),
    Column("bulk_count", Integer, nullable=False),
    total_column("bulk_amount"),
    Column("currency", Text, comment="of the lead's first order; amounts in another one are counted, never added"),
    Column("other_currency_count", Integer, nullable=False, comment="orders whose amount is in another currency"),
    now_column("created_at"),
    now_column("updated_at"),
    Column("batch_id", BigInteger, comment="the batch of the ledger that made it"),
    total_column("refunded_amount", server_default="0", comment=REFUNDED_OF_LEAD),
    Index(None, "customer_global_id"),
    Index(
        "uq_business_leads_active_customer",
        "customer_global_id",
        unique=True,
        postgresql_where=text("current_stage IN ('OPEN', 'COLD')"),
    ),
    # The sorts of the list of leads: see reporting.leads_list.
    Index(
        "ix_business_leads_last_order",
        text("coalesce(last_order_at, '-infinity')"),
        "lead_id",
        info={DEFERRED_INDEX: True},
    ),
    Index("ix_business_leads_total_amount", "total_amount", "lead_id", info={DEFERRED_INDEX: True}),
    Index("ix_business_leads_reopened", "reopened_at", postgresql_where=text("reopened_at IS NOT NULL")),
)

lead_orders: Final = Table(
    "lead_orders",
    metadata,
    Column("shop_id", Integer, primary_key=True, autoincrement=False),
    Column("order_id", BYTES, primary_key=True),
    Column("lead_id", UUID(as_uuid=True), nullable=False),
    Column("strategy", Text, nullable=False, comment="the rule that attached the order: see leads.explanations"),
    now_column("attached_at"),
    Column("batch_id", BigInteger, comment="the batch of the ledger that attached it"),
    # With the key, so that the orders of a lead are found without reading rows from all over the table.
    Index(None, "lead_id", postgresql_include=["shop_id", "order_id"], info={DEFERRED_INDEX: True}),
)

deleted_leads: Final = Table(
    "deleted_leads",
    metadata,
    Column("lead_id", UUID(as_uuid=True), primary_key=True, comment="noted by a trigger when the lead is deleted"),
    Column("customer_global_id", UUID(as_uuid=True), nullable=False),
    now_column("deleted_at"),
)

lead_changes: Final = Table(
    "lead_changes",
    metadata,
    Column("change_id", BigInteger, Identity(always=False), primary_key=True),
    Column("lead_id", UUID(as_uuid=True), nullable=False),
    Column("batch_id", BigInteger, nullable=False, comment="the batch of the ledger that made the change"),
    now_column("changed_at"),
    Column("what", Text, nullable=False, comment="kind of change: see leads.explanations"),
    Column("shop_id", Integer, comment="with order_id: the order that reopened the lead"),
    Column("order_id", Text),
    timestamp_column("first_order_at"),
    timestamp_column("last_order_at"),
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
    Column("refunded_amount", Numeric(38, 4)),
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
    timestamp_column("attached_at", required=True),
    Column("attached_batch_id", BigInteger, comment="the batch of the ledger that had attached it"),
    now_column("left_at"),
    Column("batch_id", BigInteger, nullable=False, comment="the batch of the ledger that took it out"),
    Index("ix_detached_orders_reverted", "shop_id", "order_id", postgresql_where=text("reason = 'reverted'")),
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
    now_column("quarantined_at"),
    timestamp_column("resolved_at"),
    Column("resolution", Text, comment="how the row was resolved: see the package quarantine"),
    Column("note", Text, comment="reason of a dismissal"),
    UniqueConstraint("asset", "raw_id", "reason_code"),
    Index("ix_quarantine_open_order", "shop_id", "order_id", postgresql_where=text("resolved_at IS NULL")),
    Index("ix_quarantine_open_import", "import_id", postgresql_where=text("resolved_at IS NULL")),
    Index("ix_quarantine_open_row", "raw_id", postgresql_where=text("resolved_at IS NULL")),
    Index("ix_quarantine_open_reason", "reason_code", "raw_id", postgresql_where=text("resolved_at IS NULL")),
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

deleted_orders: Final = Table(
    "deleted_orders",
    metadata,
    Column("deletion_id", BigInteger, Identity(always=False), primary_key=True),
    Column("batch_id", BigInteger, nullable=False, comment="the orders batch that deleted the order"),
    Column("raw_id", BigInteger, nullable=False, comment="the raw row it had come from"),
    Column("order_no", BigInteger, nullable=False, comment="of the order: the key of its lines"),
    Column("shop_id", Integer, nullable=False),
    Column("order_id", BYTES, nullable=False),
    Index(None, "batch_id", "raw_id"),
)

explain_columns(metadata)
