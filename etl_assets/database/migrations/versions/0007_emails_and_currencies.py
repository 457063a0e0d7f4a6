"""Customers whose names are e-mail addresses, and currencies, take the form in which orders are read now.

Orders, customers, leads and attachments are brought along; figures follow in the next run, for which the orders are put
on the queue of `customers`. A lead in a stage that only users set keeps its id. An OPEN or COLD one gets the id that the
rules give it, and is united with the one that the customer has by its other spelling: at most one may be active.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import sqlalchemy as sa
from alembic import op

from etl_assets.database.frames import fetch_frame
from etl_assets.values.currencies import currency_codes
from etl_assets.values.identifiers import customer_global_id, customer_key, lead_id
from etl_assets.values.text import lower_emails

if TYPE_CHECKING:
    from collections.abc import Sequence

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Go to this revision: only rows that change are written."""
    _make_temporary("corrected_orders", {"batch_id": "bigint", "raw_id": "bigint"}, [])
    _rename_customers()
    _name_currencies()
    op.execute(_ENQUEUE)
    op.execute("UPDATE asset_epochs SET epoch = epoch + 1 WHERE EXISTS (SELECT FROM corrected_orders)")


def downgrade() -> None:
    """Go back to the revision before, whose code reads these rows as well."""


def _rename_customers() -> None:
    connection = op.get_bind()
    texts = ("customer_global_id", "customer_nickname", "platform", "shop_name")
    named = fetch_frame(connection, _EMAILS, dict.fromkeys(texts, pl.String()))
    nickname = lower_emails(named["customer_nickname"])
    renamed = (
        named.rename({"customer_global_id": "old_id"})
        .with_columns(nickname=nickname)
        .filter(pl.col("nickname") != pl.col("customer_nickname"))
        .with_columns(key=customer_key(pl.col("platform"), pl.col("shop_name"), pl.col("nickname")))
        .with_columns(new_id=customer_global_id(pl.col("key")))
    )
    if renamed.is_empty():
        return
    columns = {"old_id": "uuid", "new_id": "uuid", "nickname": "text", "key": "text"}
    _make_temporary("renamed_customers", columns, renamed.select(*columns).rows())
    for statement in _RENAME:
        op.execute(statement)
    merged = connection.execute(sa.text(_DELETE_MERGED_CUSTOMERS)).rowcount
    _add_to_ledger("customers", merged)
    _move_leads()


def _move_leads() -> None:
    schema = {
        **dict.fromkeys(("lead_id", "customer", "current_stage", "opened_at"), pl.String()),
        "lead_no": pl.Int32(),
        "is_moved": pl.Boolean(),
    }
    leads = fetch_frame(op.get_bind(), _LEADS, schema)
    is_active, is_open = pl.col("current_stage").is_in(["OPEN", "COLD"]), pl.col("current_stage") == "OPEN"
    leads = leads.with_columns(is_active=is_active, is_cold=~is_open).sort(
        "customer", "is_cold", "is_moved", "opened_at", "lead_id"
    )
    active = leads.filter("is_active").unique("customer", keep="first", maintain_order=True)
    rest = leads.filter(~pl.col("is_active") | pl.col("lead_id").is_in(active["lead_id"].implode()))
    numbered = rest.filter("is_moved").sort("customer", "is_active", "lead_no", "opened_at", "lead_id")
    known = rest.filter(~pl.col("is_moved")).group_by("customer").agg(next_no=pl.col("lead_no").max() + 1)
    number = pl.col("next_no").fill_null(0) + pl.int_range(pl.len(), dtype=pl.Int32).over("customer")
    moved = (
        numbered.join(known, on="customer", how="left", maintain_order="left")
        .with_columns(lead_no=pl.when(pl.col("lead_no").is_not_null()).then(number))
        .with_columns(made=lead_id(pl.col("customer"), pl.col("lead_no")))
        .with_columns(new_id=pl.when("is_active").then(pl.coalesce("made", "lead_id")).otherwise("lead_id"))
    )
    ids = active.select("customer", "lead_id").join(moved.select("lead_id", "new_id"), on="lead_id", how="left")
    targets = ids.select("customer", target=pl.coalesce("new_id", "lead_id"))
    merged = leads.join(rest, on="lead_id", how="anti").join(targets, on="customer")
    columns = {"lead_id": "uuid", "new_id": "uuid", "customer": "uuid", "lead_no": "integer"}
    _make_temporary("moved_leads", columns, moved.select(*columns).rows())
    columns = {"lead_id": "uuid", "target": "uuid"}
    _make_temporary("merged_leads", columns, merged.select(*columns).rows())
    batch_id = _add_to_ledger("leads", merged.height)
    if batch_id is not None:
        op.get_bind().execute(sa.text(_LOG_MERGED), {"batch_id": batch_id})
    for statement in _MOVE_LEADS:
        op.execute(statement)


def _name_currencies() -> None:
    connection = op.get_bind()
    named = fetch_frame(connection, _CURRENCIES, {"old": pl.String()})
    named = named.with_columns(new=currency_codes(named["old"])).filter(pl.col("old") != pl.col("new"))
    _make_temporary("named_currencies", {"old": "text", "new": "text"}, named.rows())
    for statement in _NAME_CURRENCIES:
        op.execute(statement)
    blank = fetch_frame(connection, _BESIDE_AMOUNTS, {"raw_id": pl.Int64(), "amount": pl.String()})
    nothing = pl.Series([None] * blank.height, dtype=pl.String)
    found = blank.select("raw_id", code=currency_codes(nothing, blank["amount"])).drop_nulls()
    _make_temporary("found_currencies", {"raw_id": "bigint", "code": "text"}, found.rows())
    op.execute(_FIND_CURRENCIES)


def _make_temporary(name: str, columns: dict[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Make a temporary table of rows, for the length of the transaction."""
    defined = ", ".join(f"{column} {sql_type}" for column, sql_type in columns.items())
    op.execute(f"DROP TABLE IF EXISTS pg_temp.{name}")
    op.execute(f"CREATE TEMPORARY TABLE {name} ({defined}) ON COMMIT DROP")
    if rows:
        arrays = ", ".join(f"CAST(:{column} AS {sql_type}[])" for column, sql_type in columns.items())
        values = dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))
        op.get_bind().execute(sa.text(f"INSERT INTO {name} SELECT * FROM unnest({arrays})"), values)  # noqa: S608  # constants
    op.execute(f"ANALYZE {name}")


def _add_to_ledger(asset: str, deleted: int) -> int | None:
    """Add rows that are deleted here to the ledger, which counts all rows of its tables; return the batch."""
    if not deleted:
        return None
    batch_id: int = (
        op.get_bind()
        .execute(
            sa.text(
                "INSERT INTO etl_batches (asset, import_ids, status, deleted, duration, started_at)"
                " VALUES (:asset, '{}', 'success', :deleted, 0, now()) RETURNING batch_id"
            ),
            {"asset": asset, "deleted": deleted},
        )
        .scalar_one()
    )
    return batch_id


_EMAILS = """
    SELECT DISTINCT c.customer_global_id, c.customer_nickname, s.platform, s.shop_name FROM (
        SELECT customer_global_id, customer_nickname, shop_id FROM customers WHERE customer_nickname LIKE '%@%'
        UNION ALL
        SELECT customer_global_id, customer_nickname, shop_id FROM orders WHERE customer_nickname LIKE '%@%'
    ) c JOIN shop_configs s USING (shop_id)
"""
_RENAME = (
    """
    WITH corrected AS (
        UPDATE orders o SET customer_global_id = r.new_id, customer_nickname = r.nickname, updated_at = now()
        FROM renamed_customers r WHERE o.customer_global_id = r.old_id RETURNING o.batch_id, o.raw_id
    )
    INSERT INTO corrected_orders SELECT batch_id, raw_id FROM corrected
    """,
    """
    UPDATE order_moves m SET customer_global_id = r.new_id
    FROM renamed_customers r WHERE m.customer_global_id = r.old_id
    """,
    """
    UPDATE deleted_leads d SET customer_global_id = r.new_id
    FROM renamed_customers r WHERE d.customer_global_id = r.old_id
    """,
    """
    WITH kept AS (
        SELECT DISTINCT ON (r.new_id) r.* FROM renamed_customers r
        JOIN customers c ON c.customer_global_id = r.old_id
        WHERE NOT EXISTS (SELECT FROM customers t WHERE t.customer_global_id = r.new_id)
        ORDER BY r.new_id, c.created_at, r.old_id
    )
    UPDATE customers c SET customer_global_id = k.new_id, customer_key = k.key, customer_nickname = k.nickname,
        updated_at = now()
    FROM kept k WHERE c.customer_global_id = k.old_id
    """,
)
_DELETE_MERGED_CUSTOMERS = """
    DELETE FROM customers c USING renamed_customers r WHERE c.customer_global_id = r.old_id
"""
_LEADS = """
    SELECT l.lead_id, coalesce(r.new_id, l.customer_global_id), l.current_stage, CAST(l.opened_at AS text), l.lead_no,
           r.old_id IS NOT NULL
    FROM business_leads l LEFT JOIN renamed_customers r ON r.old_id = l.customer_global_id
    WHERE r.old_id IS NOT NULL OR l.customer_global_id IN (SELECT new_id FROM renamed_customers)
"""
_FIGURES = (
    "first_order_at, last_order_at, order_count, total_amount, sample_count, sample_amount, proof_count, proof_amount,"
    " bulk_count, bulk_amount, currency, other_currency_count"
)
_LOG_MERGED = f"""
    INSERT INTO lead_changes (lead_id, batch_id, what, {_FIGURES})
    SELECT lead_id, :batch_id, 'withdrawn', {_FIGURES} FROM business_leads JOIN merged_leads USING (lead_id)
"""  # noqa: S608  # constants
_MOVE_LEADS = (
    # Before the leads are deleted: their trigger notes leads that still have orders.
    "UPDATE lead_orders a SET lead_id = m.target FROM merged_leads m WHERE a.lead_id = m.lead_id",
    "DELETE FROM business_leads l USING merged_leads m WHERE l.lead_id = m.lead_id",
    """
    UPDATE business_leads l SET lead_id = m.new_id, customer_global_id = m.customer, lead_no = m.lead_no,
        updated_at = now()
    FROM moved_leads m WHERE l.lead_id = m.lead_id
    """,
    *(
        f"UPDATE {table} t SET lead_id = m.new_id FROM moved_leads m"  # noqa: S608  # constants
        " WHERE t.lead_id = m.lead_id AND m.new_id <> m.lead_id"
        for table in ("lead_orders", "lead_changes", "detached_orders")
    ),
)
_CURRENCIES = """
    SELECT currency FROM orders WHERE currency IS NOT NULL
    UNION SELECT currency FROM shop_configs WHERE currency IS NOT NULL
"""
_NAME_CURRENCIES = (
    """
    WITH corrected AS (
        UPDATE orders o SET currency = n.new, updated_at = now()
        FROM named_currencies n WHERE o.currency = n.old RETURNING o.batch_id, o.raw_id
    )
    INSERT INTO corrected_orders SELECT batch_id, raw_id FROM corrected
    """,
    "UPDATE shop_configs s SET currency = n.new FROM named_currencies n WHERE s.currency = n.old",
)
_BESIDE_AMOUNTS = """
    SELECT raw_id, r.amount FROM orders o JOIN raw_orders r USING (raw_id)
    WHERE o.currency IS NULL AND r.amount ~ '[^0-9.,''[:space:]+-]'
"""
_FIND_CURRENCIES = """
    WITH corrected AS (
        UPDATE orders o SET currency = f.code, updated_at = now()
        FROM found_currencies f WHERE o.raw_id = f.raw_id RETURNING o.batch_id, o.raw_id
    )
    INSERT INTO corrected_orders SELECT batch_id, raw_id FROM corrected
"""
# Orders less than a thousand raw rows apart share a range, so that there are few; what lies between is unchanged.
_ENQUEUE = """
    WITH apart AS (
        SELECT batch_id, raw_id, raw_id - lag(raw_id) OVER (PARTITION BY batch_id ORDER BY raw_id) > 1000 AS is_apart
        FROM corrected_orders
    ), numbered AS (
        SELECT batch_id, raw_id, count(*) FILTER (WHERE is_apart) OVER (PARTITION BY batch_id ORDER BY raw_id) AS part
        FROM apart
    )
    INSERT INTO etl_work (asset, batch_id, low, high)
    SELECT 'customers', batch_id, min(raw_id), max(raw_id) FROM numbered GROUP BY batch_id, part
"""
