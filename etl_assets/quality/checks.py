"""Data quality checks of the tables: each declared once, in plain SQL, without Dagster.

A check's query returns violations; where only a rule of the pipeline can tell whether a row is one, the check names a
function that filters them. The checks that every asset has are made from the asset graph, so that a new asset has them;
checks of one asset's meaning are constants here. `quality.running` runs them, `orchestration.asset_checks` makes
Dagster asset checks of them (https://docs.dagster.io/guides/test/asset-checks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from etl_assets.asset_graph import ASSETS, SCOPE_COLUMNS, TABLE_SPECS, AssetSpec, Reference
from etl_assets.database.schema import metadata
from etl_assets.presets.model import Preset
from etl_assets.raw_orders.findings import DRIFT
from etl_assets.values.text import normalize_case_str
from etl_assets.vectorized_queries import VectorizedQueries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database

Severity = Literal["error", "warn"]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """Check of one asset. It fails if its query returns a row that `post_filter` (if any) leaves.

    `query` may use the parameter `:asset`. Where it reads the rows `t` of a `table`, `{scope}` stands for a condition:
    all rows, or those that belong to changed orders. A blocking check stops the downstream assets of the same run.

    Raises:
        ValueError: `query` has a scope that the table can't be narrowed to, as declared in the asset graph.
    """

    name: str
    asset: AssetName
    description: str
    query: str
    table: str | None = None
    full_table_only: bool = False
    """Its result makes sense of whole tables only: in a run, the last one may stand (`orchestration.asset_checks`)."""
    severity: Severity = "error"
    is_blocking: bool = False
    post_filter: Callable[[Database, list[Row]], list[Row]] | None = None
    count_column: str | None = None
    """Column of the query with the number of rows that a violation stands for; None: one."""

    def __post_init__(self) -> None:
        if ("{scope}" in self.query) != (self.table is not None):
            msg = f"{self.asset}:{self.name}: a table and {{scope}} in the query go together."
            raise ValueError(msg)
        if self.table is not None:
            columns = SCOPE_COLUMNS[TABLE_SPECS[self.table].scope]
            if not columns or not set(columns) <= set(metadata.tables[self.table].columns.keys()):
                msg = f"{self.asset}:{self.name}: no scope of {self.table} is declared in the asset graph that it has."
                raise ValueError(msg)


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


def _unique_keys(asset: AssetName, table: str, columns: Sequence[str]) -> Check:
    key, names = ", ".join(columns), ", ".join(f"'{column}'" for column in sorted(columns))
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
                    ) = array[{names}]
                ) GROUP BY {key} HAVING count(*) > 1
            ) d HAVING count(*) > 0
        """,  # noqa: S608  # a table of ours; with the index there is nothing to count
        is_blocking=True,
        count_column="keys_that_occur_twice",
    )


def _no_orphans(asset: AssetName, table: str, reference: Reference) -> Check:
    parent, same_key = reference.parent, " AND ".join(f"p.{column} = t.{column}" for column in reference.columns)
    return Check(
        name=f"no_orphans_of_{parent}",
        asset=asset,
        description=f"Every row of {table} has its row in {parent}.",
        query=(
            f"SELECT count(*) AS orphans FROM {table} t WHERE {{scope}}"  # noqa: S608  # names of ours
            f" AND NOT EXISTS (SELECT FROM {parent} p WHERE {same_key}) HAVING count(*) > 0"
        ),
        table=table,
        count_column="orphans",
    )


def _open_quarantine(asset: AssetName) -> Check:
    return Check(
        name="no_open_quarantine",
        asset=asset,
        description="No row waits in quarantine: correct it with the jobs `export_quarantine` and `replay_quarantine`,"
        " or close it with `dismiss_quarantine`.",
        query=(
            "SELECT file, line, reason_code, reason, date_trunc('second', quarantined_at) AS quarantined_at,"
            " quarantine_id FROM quarantine_list WHERE asset = :asset AND is_open ORDER BY quarantine_id"
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

ROWS_AGREE: Final = Check(
    name="rows_of_orders_agree",
    asset="raw_orders",
    description="In the imports of the last 30 days, rows of one order name the same customer, time and amount.",
    query="""
        SELECT t.import_id, f.subject AS column_name, f.row_count AS orders, f.first_line,
               date_trunc('second', t.completed_at) AS completed_at
        FROM import_findings f JOIN import_tasks t USING (import_id)
        WHERE f.code = 'DISAGREEING_ROWS' AND t.status = 'completed' AND t.completed_at > now() - interval '30 days'
        ORDER BY t.completed_at DESC, f.subject
    """,
    severity="warn",
    count_column="orders",
)

COLUMNS_AS_BEFORE: Final = Check(
    name="columns_as_before",
    asset="raw_orders",
    description="The last import of each feed has the headers and filled columns of the one before.",
    query=f"""
        SELECT t.import_id, t.source, f.code AS finding, f.subject, date_trunc('second', t.completed_at) AS completed_at
        FROM import_findings f JOIN import_tasks t USING (import_id)
        WHERE f.code IN ({", ".join(f"'{code}'" for code in DRIFT)}) AND t.status = 'completed'
          AND NOT EXISTS (
              SELECT FROM import_tasks n WHERE n.feed = t.feed AND n.batch_id > t.batch_id AND n.status = 'completed'
          )
        ORDER BY t.batch_id DESC, f.code
    """,  # noqa: S608  # codes of ours
    severity="warn",
)


def _still_unknown(_: Database, found: list[Row]) -> list[Row]:
    """Leave out the statuses that the last import of their feed knows."""

    def is_known(row: Row) -> bool:
        known = Preset.model_validate(row["mapping"]).all_known_statuses()
        return not known or normalize_case_str(row["status"]) in map(normalize_case_str, known)

    return [{name: row[name] for name in row if name != "mapping"} for row in found if not is_known(row)]


STATUSES_ARE_KNOWN: Final = Check(
    name="statuses_are_known",
    asset="orders",
    description="The preset knows every status; orders with another one count as not cancelled: add it to"
    " `known_statuses` or `cancelled_statuses`.",
    query="""
        SELECT DISTINCT ON (t.feed, f.subject) f.subject AS status, f.row_count AS orders, t.preset, t.import_id, (
            SELECT n.mapping FROM import_tasks n WHERE n.feed = t.feed AND n.status = 'completed'
            ORDER BY n.batch_id DESC LIMIT 1
        ) AS mapping
        FROM import_findings f JOIN import_tasks t USING (import_id)
        WHERE f.code = 'UNKNOWN_STATUS' AND t.status = 'completed'
        ORDER BY t.feed, f.subject, t.batch_id DESC
    """,
    severity="warn",
    post_filter=_still_unknown,
    count_column="orders",
)

_NO_IMPORT_IS_HELD: Final = Check(
    name="no_import_is_held",
    asset="orders",
    description="No import is held by the brake: accept or revert it with the jobs `accept_import`, `revert_import`.",
    query="""
        SELECT t.import_id, t.source, t.row_count AS orders, h.key AS table_name,
               h.value -> 'removed' AS would_remove, h.value -> 'rows' AS of_rows
        FROM import_tasks t CROSS JOIN LATERAL jsonb_each(t.held -> 'tables') h
        WHERE t.status = 'held' ORDER BY t.batch_id DESC, h.key
    """,
    severity="warn",
)

_LINES_HAVE_ORDERS: Final = Check(
    name="lines_have_orders",
    asset="orders",
    description="The orders of which a file holds lines are here: where they are not, import the file of the orders.",
    query="""
        SELECT t.import_id, t.source, count(*) AS orders, date_trunc('second', t.completed_at) AS completed_at
        FROM line_versions v JOIN raw_orders r USING (raw_id) JOIN import_tasks t USING (import_id)
        WHERE v.is_waiting GROUP BY t.import_id ORDER BY t.batch_id DESC
    """,
    severity="warn",
    count_column="orders",
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
                   array[t.total_amount, t.sample_amount, t.proof_amount, t.bulk_amount, t.refunded_amount]
                       AS lead_amounts,
                   array[coalesce(sum(o.amount) FILTER (WHERE is_own), 0),
                         coalesce(sum(o.amount) FILTER (WHERE is_own AND o.system_order_type = 'SAMPLE'), 0),
                         coalesce(sum(o.amount) FILTER (WHERE is_own AND o.system_order_type = 'PROOF'), 0),
                         coalesce(sum(o.amount) FILTER (WHERE is_own AND o.system_order_type = 'BULK'), 0),
                         coalesce(sum(o.refunded_amount) FILTER (WHERE is_own), 0)]
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


def _checks_of(spec: AssetSpec) -> Iterator[Check]:
    """Yield the checks that every asset of its kind has."""
    yield _row_count_equation(spec.name)
    yield _table_matches_ledger(spec.name, spec.table)
    if spec.enqueued_by is not None:
        yield _unique_keys(spec.name, spec.table, spec.key)
        yield _within_time_limit(spec.name, spec.seconds_per_1000_rows)
        yield _near_recent_median(spec.name)
    if spec.is_quarantining:
        yield _open_quarantine(spec.name)
    for table in spec.tables:
        for reference in table.references:
            yield _no_orphans(spec.name, table.name, reference)


CHECKS: Final[tuple[Check, ...]] = (
    *(check for spec in ASSETS for check in _checks_of(spec)),
    _ONE_ACTIVE_LEAD,
    _FIGURES_EQUAL_ORDERS,
    UNMAPPED_ORDER_TYPES,
    ROWS_AGREE,
    COLUMNS_AS_BEFORE,
    STATUSES_ARE_KNOWN,
    _NO_IMPORT_IS_HELD,
    _LINES_HAVE_ORDERS,
)
"""All checks, each declared once."""
