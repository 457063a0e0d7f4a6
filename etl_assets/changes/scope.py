"""Rows that an import is about, where batches had rows of other imports as well.

Orders are told apart by the raw rows that they came from before and after a change. Their lines, customers and leads
belong to them: of a customer who has orders of several imports, the change is one of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from etl_assets.database.change_log import key_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

EVERYTHING: Final = "true"
"""The condition of all rows."""


def note_scope(connection: sa.Connection, import_id: UUID, batches: Sequence[int]) -> None:
    """Note, until the transaction ends, the orders that an import changed in batches of `orders`, and all of theirs."""
    for name in _SCOPE:
        connection.execute(sa.text(f"DROP TABLE IF EXISTS pg_temp.{name}"))
    for name, query in _SCOPE.items():
        statement = f"CREATE TEMPORARY TABLE {name} ON COMMIT DROP AS {query}"
        connection.execute(sa.text(statement), {"import_id": import_id, "batches": list(batches)})


def within_scope(table: str) -> str:
    """Return the SQL condition, on `{row_key}`, of the rows of a table that the noted import is about."""
    for column, kind, scope in _COLUMNS:
        if column in key_of(table):
            return f"CAST({{row_key}} ->> '{column}' AS {kind}) IN (SELECT {column} FROM {scope})"  # noqa: S608  # constants
    return "{row_key} IN (SELECT row_key FROM scope_orders)" if table == "orders" else EVERYTHING


_COLUMNS: Final = (
    ("order_no", "bigint", "scope_lines"),
    ("customer_global_id", "uuid", "scope_customers"),
    ("lead_id", "uuid", "scope_leads"),
)
_OF_ORDERS: Final = "row_changes c JOIN etl_batches e ON e.batch_id = c.batch_id AND e.asset = 'orders'"
_SCOPE: Final = {
    "scope_rows": """
        SELECT r.raw_id FROM import_tasks t JOIN raw_orders r
        ON r.import_id = t.import_id AND r.raw_id BETWEEN t.first_raw_id AND t.last_raw_id
        WHERE t.import_id = :import_id
    """,
    "scope_orders": f"""
        SELECT row_key FROM row_changes CROSS JOIN LATERAL (
            VALUES (CAST(before ->> 'raw_id' AS bigint)), (CAST(after ->> 'raw_id' AS bigint)),
                   (CAST(before ->> 'lines_raw_id' AS bigint)), (CAST(after ->> 'lines_raw_id' AS bigint))
        ) named (raw_id) JOIN scope_rows USING (raw_id)
        WHERE batch_id = ANY (:batches)
        UNION
        SELECT jsonb_build_object('shop_id', o.shop_id, 'order_id', o.order_id)
        FROM orders o JOIN scope_rows r ON r.raw_id = o.order_no WHERE o.created_batch_id = ANY (:batches)
        UNION
        SELECT c.row_key FROM {_OF_ORDERS} JOIN scope_rows r ON r.raw_id = CAST(c.before ->> 'order_no' AS bigint)
        WHERE c.after IS NULL AND c.created_batch_id = ANY (:batches)
    """,  # noqa: S608  # constants only
    "scope_stored": """
        SELECT o.shop_id, o.order_id, o.order_no, o.customer_global_id
        FROM scope_orders k CROSS JOIN LATERAL jsonb_populate_record(CAST(NULL AS orders), k.row_key) r
        JOIN orders o ON o.shop_id = r.shop_id AND o.order_id = r.order_id
    """,
    "scope_lines": f"""
        SELECT order_no FROM scope_stored
        UNION
        SELECT CAST(c.before ->> 'order_no' AS bigint) FROM {_OF_ORDERS} JOIN scope_orders USING (row_key)
        WHERE c.after IS NULL
    """,  # noqa: S608  # constants only
    "scope_customers": f"""
        SELECT customer_global_id FROM scope_stored
        UNION
        SELECT CAST(values ->> 'customer_global_id' AS uuid)
        FROM {_OF_ORDERS} JOIN scope_orders USING (row_key) CROSS JOIN LATERAL (VALUES (before), (after)) v (values)
    """,  # noqa: S608  # constants only
    "scope_leads": """
        SELECT lead_id FROM business_leads JOIN scope_customers USING (customer_global_id)
        UNION
        SELECT CAST(c.row_key ->> 'lead_id' AS uuid)
        FROM row_changes c JOIN etl_batches e ON e.batch_id = c.batch_id AND e.asset = 'leads'
        JOIN scope_customers s ON s.customer_global_id = CAST(c.before ->> 'customer_global_id' AS uuid)
        WHERE c.after IS NULL
    """,
}
"""Temporary tables, each made from those before it."""
