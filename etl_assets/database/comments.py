"""Comments of columns: shown by Dagster's UI, psql and BI tools.

A name means the same in every table, so it is explained once, here; where a column of that name is something else, its
`comment` in `schema` or `ledger_schema` goes first. Migrations need not repeat them: each upgrade writes those that
differ. Comments of views are in the migrations that create these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMENTS: Final[Mapping[str, str]] = {
    # keys
    "import_id": "id of the import",
    "import_ids": "ids of the imports concerned",
    "raw_id": "number of the raw row",
    "shop_id": "id of the shop: see shop_configs",
    "order_id": "number of the order in its shop",
    "line_no": "line of the order, from 1",
    "process_no": "process of the line, from 1",
    "customer_global_id": "id of the customer, the same in every database",
    "lead_id": "id of the lead, the same in every database",
    "batch_id": "number of the batch in the ledger",
    "run_id": "id of the Dagster run",
    "event_id": "number of the event",
    "quarantine_id": "number of the entry",
    "change_id": "number of the change",
    "departure_id": "number of the departure",
    "deletion_id": "number of the deletion",
    "move_id": "number of the move",
    "work_id": "number of the range",
    "note_id": "number of the note",
    "action_id": "number of the action",
    # imports and what they hold
    "source": "path of the file, or name of the source",
    "file_name": "name of the file in the inbox",
    "byte_count": "size of the file",
    "preset": "name of the mapping by which the source was read",
    "row_count": "raw orders landed",
    "error": "why it failed",
    # shops
    "platform": "platform of the shop, such as taobao",
    "shop_name": "name of the shop, as in the exports",
    "timezone": "time zone of the export's times",
    # orders and lines
    "customer_nickname": "the customer's name in the shop, normalised",
    "latest_status": "status of the order, as in the newest version",
    "is_cancelled": "the status is one of the preset's cancelled ones",
    "order_type": "type of the order, as in the export",
    "system_order_type": "SAMPLE, PROOF or BULK: mapped from order_type",
    "amount": "gross amount of the order",
    "currency": "ISO code of the currency of the amounts",
    "ordered_at": "when the order was placed",
    "source_updated_at": "when the platform last changed the order: decides which version is the newest",
    "product": "name of the product",
    "variant": "variant of the product, such as colour and size",
    "sku": "the seller's number of the product",
    "quantity": "pieces; negative for returns",
    "unit_price": "price of a piece",
    "process_type": "kind of the process (工艺), such as printing",
    "position": "where on the product",
    "picture_count": "pictures for each piece",
    "picture_print_quantity": "pictures to be printed: picture_count × quantity",
    # customers and leads
    "customer_key": "platform:shop:name, from which the customer's id is computed",
    "opened_at": "when the lead was created",
    "reopened_at": "when an order last reopened it from COLD",
    "reopen_count": "how often it was reopened",
    "first_order_at": "time of the first order that counts",
    "last_order_at": "time of the last order that counts",
    "order_count": "orders that are not cancelled",
    "total_amount": "sum of the amounts of its orders in its currency, before refunds",
    "sample_count": "its orders of samples",
    "sample_amount": "sum of the amounts of samples",
    "proof_count": "its orders of proofs",
    "proof_amount": "sum of the amounts of proofs",
    "bulk_count": "its bulk orders",
    "bulk_amount": "sum of the amounts of bulk orders",
    "other_currency_count": "its orders in another currency, which no sum includes",
    "refunded_amount": "given back to the buyer",
    "attached_at": "when the order was attached to the lead",
    "left_at": "when the order left the lead",
    # quarantine
    "reason_code": "kind of the fault",
    "reason": "the fault in words",
    "row": "the raw row, as it was imported",
    "quarantined_at": "when the row was put into quarantine",
    "resolved_at": "when it was resolved; null while it is open",
    # ledger, events, users
    "asset": "name of the asset",
    "input_rows": "rows processed: the sum of the five counts that follow",
    "inserted": "rows inserted",
    "updated": "rows changed",
    "unchanged": "rows that say what is stored",
    "superseded": "rows of which a newer version counts",
    "quarantined": "rows that could not be read",
    "deleted": "rows deleted",
    "anonymous_orders": "orders that name no customer",
    "subject": "subject of the event",
    "payload": "content of the event",
    "listener": "name of the listener",
    "user_name": "name of the user",
    "key_id": "number of the key",
    # times
    "created_at": "when the row was created",
    "updated_at": "when the row last changed",
    "changed_at": "when it was changed",
    "deleted_at": "when it was deleted",
    "completed_at": "when it was completed",
    "started_at": "when it began",
    "finished_at": "when it was committed",
    "imported_at": "when it was imported",
    "refused_at": "when it was refused",
    "first_seen_at": "when it was first stored",
    "pulled_at": "when the source was last pulled",
    "reconciled_at": "when the source was last read as a whole",
    "done_at": "when it was done",
    "first_at": "time of the first one",
    "expires_at": "when it expires",
    "queued_at": "when it was put on the queue",
    "dismissed_at": "when users dismissed the failed import; null otherwise",
    "told_at": "when users were told of it",
    "saved_at": "when it was saved",
}
"""Name of a column -> its comment."""

_STORED: Final = sa.text("""
    SELECT a.attrelid::regclass::text, a.attname, coalesce(col_description(a.attrelid, a.attnum), '')
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = to_regnamespace(current_schema()) AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
""")


def explain_columns(metadata: sa.MetaData) -> None:
    """Give each column without a comment of its own the one that its name has."""
    for table in metadata.tables.values():
        for column in table.columns:
            column.comment = column.comment or COMMENTS.get(column.name)


def write_comments(connection: sa.Connection, metadata: sa.MetaData) -> None:
    """Store the comments of the metadata that differ from the stored ones."""
    stored = {(table, column): comment for table, column, comment in connection.execute(_STORED)}
    statements = [
        sql.SQL("COMMENT ON COLUMN {} IS {}").format(sql.Identifier(table.name, column.name), column.comment)
        for table in metadata.tables.values()
        for column in table.columns
        if column.comment and stored.get((table.name, column.name), column.comment) != column.comment
    ]
    if statements:
        driver: Any = connection.connection.driver_connection
        driver.execute(sql.SQL("; ").join(statements))
