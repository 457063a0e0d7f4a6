"""What must hold in the tables: each check declared once, in plain SQL, without Dagster.

`quality.running` runs them and `orchestration.asset_checks` makes Dagster asset checks of them. A check's query returns
rows of violations; where only the pipeline's own rule can tell whether a row is one, the check names a function that
narrows them down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from etl_assets.asset_graph import TABLE_OF
from etl_assets.vectorized_queries import VectorizedQueries

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database

Severity = Literal["error", "warn"]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """Check of one asset. It fails if its query returns a row that `post_filter` (if any) leaves.

    `query` may use the parameter `:asset`. Where it reads the rows `t` of a `table`, `{scope}` says of which
    ones it has to: of all, or of those that belong to changed orders. A blocking check stops the downstream assets of
    the same run.
    """

    name: str
    asset: AssetName
    description: str
    query: str
    table: str | None = None
    full_table_only: bool = False
    """It says something of a whole table only, and is left out where only changes are looked at."""
    severity: Severity = "error"
    is_blocking: bool = False
    post_filter: Callable[[Database, list[Row]], list[Row]] | None = None


SECONDS_PER_1000_ROWS: Final[dict[AssetName, float]] = {
    "shop": 5.0,
    "orders": 5.0,
    "order_items": 10.0,
    "process_items": 10.0,
    "customers": 3.0,
    "leads": 10.0,
}
"""The outer limits: beyond these a batch is broken, not slow."""

SLOWER_THAN_MEDIAN: Final = 3
"""A batch that takes so many times the asset's recent median per row is worth a look."""


def _row_count_equation(asset: AssetName) -> Check:
    return Check(
        name="row_count_equation",
        asset=asset,
        description="In every batch: input = inserted + updated + unchanged + superseded + quarantined.",
        query=(
            "SELECT batch_id, input_rows, inserted, updated, unchanged, superseded, quarantined FROM etl_batches"
            " WHERE asset = :asset"
            " AND input_rows <> inserted + updated + unchanged + superseded + quarantined ORDER BY batch_id"
        ),
        is_blocking=True,
    )


def _table_matches_ledger(asset: AssetName, table: str) -> Check:
    return Check(
        name="table_matches_ledger",
        asset=asset,
        description=f"{table} holds as many rows as the ledger says were inserted less those deleted.",
        query=(
            f"SELECT t.rows AS table_rows, l.rows AS ledger_rows FROM (SELECT count(*) AS rows FROM {table}) t,"  # noqa: S608  # a table of ours
            " (SELECT coalesce(sum(inserted - deleted), 0) AS rows FROM etl_batches WHERE asset = :asset) l"
            " WHERE t.rows <> l.rows"
        ),
        full_table_only=True,
    )


def _unique_keys(asset: AssetName, table: str, key: str) -> Check:
    columns = ", ".join(f"'{column}'" for column in sorted(key.split(", ")))
    return Check(
        name="unique_keys",
        asset=asset,
        description=f"({key}) is unique in {table}: a valid unique index says so, or else no key occurs twice.",
        query=f"""
            SELECT count(*) AS keys_that_occur_twice FROM (
                SELECT {key} FROM {table} WHERE NOT EXISTS (
                    SELECT FROM pg_index i WHERE i.indrelid = CAST('{table}' AS regclass)
                    AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND array(
                        SELECT CAST(a.attname AS text) FROM pg_attribute a
                        WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) ORDER BY 1
                    ) = array[{columns}]
                ) GROUP BY {key} HAVING count(*) > 1
            ) d HAVING count(*) > 0
        """,  # noqa: S608  # a table of ours; with the index there is nothing to count
        is_blocking=True,
    )


def _no_orphans(asset: AssetName, table: str, parent: str, key: str) -> Check:
    same_key = " AND ".join(f"p.{column} = t.{column}" for column in key.split(", "))
    return Check(
        name=f"no_orphans_of_{parent}",
        asset=asset,
        description=f"Every row of {table} has its row in {parent}.",
        query=(
            f"SELECT count(*) AS orphans FROM {table} t WHERE {{scope}}"  # noqa: S608  # names of ours
            f" AND NOT EXISTS (SELECT FROM {parent} p WHERE {same_key}) HAVING count(*) > 0"
        ),
        table=table,
    )


def _open_quarantine(asset: AssetName) -> Check:
    return Check(
        name="no_open_quarantine",
        asset=asset,
        description="No row waits in quarantine: correct it with the jobs `export_quarantine` and `replay_quarantine`.",
        query=(
            "SELECT reason_code, count(*) AS rows, date_trunc('second', min(quarantined_at)) AS since FROM quarantine"
            " WHERE asset = :asset AND resolved_at IS NULL GROUP BY reason_code ORDER BY rows DESC"
        ),
        severity="warn",
    )


def _within_time_limit(asset: AssetName, limit: float) -> Check:
    return Check(
        name="within_time_limit",
        asset=asset,
        description=f"The last batch took less than {limit:g} s per 1,000 rows (smaller batches count as 1,000).",
        query=(
            f"{_PER_1000} SELECT batch_id, input_rows, seconds_per_1000 FROM timed"  # noqa: S608  # a number of ours
            f" WHERE recency = 1 AND seconds_per_1000 > {limit:g}"
        ),
    )


def _near_recent_median(asset: AssetName) -> Check:
    return Check(
        name="near_recent_median",
        asset=asset,
        description=f"The last batch took at most {SLOWER_THAN_MEDIAN} times the median of the 20 before it, per row.",
        query=(
            f"{_PER_1000}, usual AS (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds_per_1000) AS median"  # noqa: S608  # ours
            " FROM timed WHERE recency BETWEEN 2 AND 21 HAVING count(*) >= 5)"
            " SELECT batch_id, seconds_per_1000, median FROM timed, usual"
            f" WHERE recency = 1 AND seconds_per_1000 > {SLOWER_THAN_MEDIAN:d} * median AND duration > 0.5"
        ),
        severity="warn",
    )


_PER_1000: Final = (
    "WITH timed AS (SELECT batch_id, input_rows, duration,"
    " duration / greatest(input_rows / 1000.0, 1) AS seconds_per_1000,"
    " row_number() OVER (ORDER BY batch_id DESC) AS recency"
    " FROM etl_batches WHERE asset = :asset AND input_rows > 0)"
)


def _without_mapping(database: Database, order_types: list[Row]) -> list[Row]:
    found = VectorizedQueries(database).batch_lookup_order_type_mappings(row["order_type"] for row in order_types)
    unmapped = set(found.filter(~pl.col("is_mapped"))["order_type"])
    return [row for row in order_types if row["order_type"] in unmapped]


UNMAPPED_ORDER_TYPES: Final = Check(
    name="order_types_are_mapped",
    asset="orders",
    description="Every order type is mapped; others count as BULK: see `etl-assets order-types list --unmapped`.",
    query="""
        SELECT t.order_type, date_trunc('second', t.first_seen_at) AS first_seen_at
        FROM order_types t CROSS JOIN LATERAL (SELECT FROM orders o WHERE o.order_type = t.order_type LIMIT 1) used
        ORDER BY t.order_type
    """,  # the limit: no more orders are read than it takes to find one
    severity="warn",
    post_filter=_without_mapping,
)

_ONE_ACTIVE_LEAD: Final = Check(
    name="one_active_lead_per_customer",
    asset="leads",
    description="No customer has more than one OPEN or COLD lead: a valid unique index says so, or else none has.",
    query="""
        SELECT customer_global_id, count(*) AS active_leads FROM business_leads
        WHERE current_stage IN ('OPEN', 'COLD') AND NOT EXISTS (
            SELECT FROM pg_index i WHERE i.indexrelid = to_regclass('uq_business_leads_active_customer')
            AND i.indisunique AND i.indisvalid
        ) GROUP BY customer_global_id HAVING count(*) > 1
    """,
    is_blocking=True,
)

_FIGURES_EQUAL_ORDERS: Final = Check(
    name="figures_equal_orders",
    asset="leads",
    description="Every lead's counts and amounts are those of its attached orders that are not cancelled.",
    query="""
        SELECT lead_id, lead_counts, order_counts, lead_amounts, order_amounts
        FROM (
            SELECT t.lead_id, t.first_order_at, t.last_order_at,
                   min(o.ordered_at) AS first_at, max(o.ordered_at) AS last_at,
                   array[t.order_count, t.sample_count, t.proof_count, t.bulk_count, t.other_currency_count]::bigint[]
                       AS lead_counts,
                   array[count(o.order_id), count(*) FILTER (WHERE o.system_order_type = 'SAMPLE'),
                         count(*) FILTER (WHERE o.system_order_type = 'PROOF'),
                         count(*) FILTER (WHERE o.system_order_type = 'BULK'),
                         count(o.order_id) FILTER (WHERE NOT is_own)] AS order_counts,
                   array[t.total_amount, t.sample_amount, t.proof_amount, t.bulk_amount] AS lead_amounts,
                   array[coalesce(sum(o.amount) FILTER (WHERE is_own), 0),
                         coalesce(sum(o.amount) FILTER (WHERE is_own AND o.system_order_type = 'SAMPLE'), 0),
                         coalesce(sum(o.amount) FILTER (WHERE is_own AND o.system_order_type = 'PROOF'), 0),
                         coalesce(sum(o.amount) FILTER (WHERE is_own AND o.system_order_type = 'BULK'), 0)]
                       AS order_amounts
            FROM business_leads t
            LEFT JOIN (lead_orders a JOIN orders o USING (shop_id, order_id))
                ON a.lead_id = t.lead_id AND NOT o.is_cancelled
            CROSS JOIN LATERAL (SELECT o.currency IS NOT DISTINCT FROM t.currency) own (is_own)
            WHERE {scope}
            GROUP BY t.lead_id
        ) compared
        WHERE lead_counts <> order_counts OR lead_amounts <> order_amounts
           OR (first_order_at, last_order_at) IS DISTINCT FROM (first_at, last_at)
    """,
    table="business_leads",
)

_KEY_OF: Final[dict[AssetName, str]] = {
    "shop": "platform, shop_name",
    "orders": "shop_id, order_id",
    "order_items": "order_no, line_no",
    "process_items": "order_no, line_no, process_no",
    "customers": "customer_key",
    "leads": "lead_id",
}

CHECKS: Final[tuple[Check, ...]] = (
    *(_row_count_equation(asset) for asset in TABLE_OF),
    *(_table_matches_ledger(asset, table) for asset, table in TABLE_OF.items()),
    *(_unique_keys(asset, TABLE_OF[asset], key) for asset, key in _KEY_OF.items()),
    _no_orphans("orders", "orders", "shop_configs", "shop_id"),
    _no_orphans("order_items", "order_items", "orders", "order_no, shop_id, order_id"),
    _no_orphans("process_items", "process_items", "orders", "order_no, shop_id, order_id"),
    _no_orphans("customers", "customers", "shop_configs", "shop_id"),
    _no_orphans("leads", "business_leads", "customers", "customer_global_id"),
    _no_orphans("leads", "lead_orders", "business_leads", "lead_id"),
    _no_orphans("leads", "lead_orders", "orders", "shop_id, order_id"),
    _ONE_ACTIVE_LEAD,
    _FIGURES_EQUAL_ORDERS,
    UNMAPPED_ORDER_TYPES,
    *(_open_quarantine(asset) for asset in TABLE_OF if asset not in ("raw_orders", "shop")),
    *(_within_time_limit(asset, limit) for asset, limit in SECONDS_PER_1000_ROWS.items()),
    *(_near_recent_median(asset) for asset in SECONDS_PER_1000_ROWS),
)
"""All checks, each declared once."""
