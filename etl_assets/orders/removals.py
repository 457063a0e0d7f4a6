"""Counts of what imports remove from the stored tables: orders emptied, leads left without orders, lines that go.

Counted inside the batch's transaction, before downstream assets know of it, from the orders that the batch has changed:
they alone are read. What is too much is the brake's rule (`orders.brake`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.asset_graph import TABLE_OF
from etl_assets.database.frames import copy_rows, copy_to_temp_table, fetch_frame
from etl_assets.ledger.import_presets import rows_by_preset
from etl_assets.order_items.transform import read_items
from etl_assets.orders.transform import LOSSES, ORDER_KEY
from etl_assets.process_items.transform import read_processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from etl_assets.asset_graph import AssetName
    from etl_assets.pipeline.protocol import Batch

COUNTED: Final[Mapping[AssetName, str]] = {
    asset: TABLE_OF[asset] for asset in ("orders", "order_items", "process_items", "leads")
}
"""Assets whose tables the counts are about."""
_CANDIDATES: Final = "removal_candidates"
_CANDIDATE_COLUMNS: Final = (*ORDER_KEY, *LOSSES, "lines_differ", "is_of_lines")
_TEXT_SCHEMA: Final = {
    "raw_id": pl.Int64(),
    "import_batch_id": pl.Int64(),
    "shop_id": pl.Int32(),
    "order_id": pl.String(),
    "items": pl.String(),
    "processes": pl.String(),
    "stored_items": pl.Int64(),
    "stored_processes": pl.Int64(),
}
_LOSERS: Final = """
    CREATE TEMPORARY TABLE removal_losers ON COMMIT DROP AS
    SELECT o.shop_id, o.order_id, o.order_no, r.raw_id, o.raw_id AS order_raw_id, r.import_id,
           bool_or(c.loses_customer AND o.customer_global_id IS NULL OR c.loses_amount AND o.amount IS NULL
                   OR c.loses_time AND o.ordered_at IS NULL) AS is_emptied,
           bool_or(c.leaves_lead) AS leaves_lead,
           bool_or(c.lines_differ AND (c.is_of_lines OR o.lines_raw_id IS NULL)) AS lines_differ
    FROM removal_candidates c JOIN orders o USING (shop_id, order_id)
    JOIN raw_orders r ON r.raw_id = CASE WHEN c.is_of_lines THEN o.lines_raw_id ELSE o.raw_id END
    WHERE o.batch_id = :batch_id AND r.replaces_raw_id IS NULL AND r.import_id = ANY (:import_ids)
    GROUP BY o.shop_id, o.order_id, r.raw_id, r.import_id
"""
"""An order that has its lines from a file of lines loses none by a version of its own part."""
_COUNTS: Final = """
    SELECT import_id, count(*) FILTER (WHERE is_emptied) AS emptied, count(*) FILTER (WHERE leaves_lead) AS leaving,
           count(*) FILTER (WHERE lines_differ) AS differing
    FROM removal_losers GROUP BY import_id
"""
_ALL_LINES: Final = """
    SELECT (SELECT count(*) FROM orders o JOIN order_items i USING (order_no) WHERE o.batch_id = :batch_id),
           (SELECT count(*) FROM orders o JOIN process_items p USING (order_no) WHERE o.batch_id = :batch_id)
"""
_LEADS: Final = """
    SELECT left_leads.import_id, count(DISTINCT left_leads.lead_id) FROM (
        SELECT c.import_id, a.lead_id, l.customer_global_id
        FROM removal_losers c JOIN orders o USING (shop_id, order_id) JOIN lead_orders a USING (shop_id, order_id)
        JOIN business_leads l ON l.lead_id = a.lead_id
        WHERE c.leaves_lead AND (o.is_cancelled OR o.customer_global_id IS DISTINCT FROM l.customer_global_id)
    ) left_leads
    WHERE NOT EXISTS (
        SELECT FROM orders o LEFT JOIN lead_orders a USING (shop_id, order_id)
        LEFT JOIN business_leads l ON l.lead_id = a.lead_id
        WHERE o.customer_global_id = left_leads.customer_global_id AND NOT o.is_cancelled
        AND (a.lead_id IS NULL OR a.lead_id = left_leads.lead_id
             OR l.customer_global_id IS DISTINCT FROM left_leads.customer_global_id)
    )
    GROUP BY left_leads.import_id
"""
_TEXTS: Final = """
    SELECT c.raw_id, t.batch_id, c.shop_id, c.order_id,
           coalesce(r.items, own.items), coalesce(r.processes, own.processes),
           (SELECT count(*) FROM order_items i WHERE i.order_no = c.order_no),
           (SELECT count(*) FROM process_items p WHERE p.order_no = c.order_no)
    FROM removal_losers c JOIN raw_orders r USING (raw_id) JOIN raw_orders own ON own.raw_id = c.order_raw_id
    JOIN import_tasks t ON t.import_id = c.import_id
    WHERE c.lines_differ AND c.import_id = CAST(%(import_id)s AS uuid) AND c.raw_id > %(after)s
    ORDER BY c.raw_id LIMIT %(limit)s
"""


def removal_candidates(written: pl.DataFrame, *, of_lines: bool = False) -> pl.DataFrame:
    """Return the stored orders that new versions may take something from: `ORDER_KEY`, `LOSSES`, `lines_differ`.

    And `is_of_lines`: the versions are of their lines, from a file of lines.
    """
    may_lose = pl.any_horizontal(*LOSSES, "lines_differ")
    losing = written.filter((pl.col("change") == "updated") & may_lose)
    return losing.with_columns(is_of_lines=pl.lit(of_lines)).select(_CANDIDATE_COLUMNS)


def most_removals(batch: Batch, candidates: pl.DataFrame, least: int) -> dict[str, int]:
    """Return how many rows of each table candidates remove at most: of lines all that orders of the batch have."""
    is_emptied = pl.any_horizontal("loses_customer", "loses_amount", "loses_time")
    emptied, leaving, differing = candidates.select(
        is_emptied.sum(), pl.col("leaves_lead").sum(), pl.col("lines_differ").sum()
    ).row(0)
    items, processes = 0, 0
    if differing >= least:
        items, processes = batch.connection.execute(sa.text(_ALL_LINES), {"batch_id": batch.batch_id}).one()
    return {"orders": emptied, COUNTED["leads"]: leaving, "order_items": items, "process_items": processes}


def copy_candidates(connection: sa.Connection, candidates: pl.DataFrame, *, is_first: bool) -> None:
    """Add the candidates of one bucket to those of the buckets before, if any."""
    if is_first:
        copy_to_temp_table(connection, "orders", candidates, name=_CANDIDATES)
    else:
        copy_rows(connection, _CANDIDATES, candidates, like="orders")


def count_removals(
    batch: Batch, import_ids: Sequence[UUID], *, least: int, rows_in_memory: int
) -> dict[UUID, dict[str, int]]:
    """Count for each of the imports what it removes, by table; what concerns fewer than `least` orders is left out.

    An order counts for the import whose version is stored now. Corrected rows of quarantine don't count: users wrote
    them.
    """
    connection = batch.connection
    connection.execute(sa.text(_LOSERS), {"batch_id": batch.batch_id, "import_ids": list(import_ids)})
    connection.execute(sa.text("ANALYZE removal_losers"))
    counts = connection.execute(sa.text(_COUNTS)).all()
    removed = {row.import_id: {"orders": int(row.emptied)} for row in counts}
    if any(row.leaving >= least for row in counts):
        for import_id, leads in connection.execute(sa.text(_LEADS)):
            removed[import_id][COUNTED["leads"]] = int(leads)
    for row in counts:
        if row.differing >= least:
            removed[row.import_id] |= _count_lines(connection, row.import_id, rows_in_memory)
    return removed


def _count_lines(connection: sa.Connection, import_id: UUID, limit: int) -> dict[str, int]:
    """Count the lines and processes that an import's new texts no longer have, `limit` orders at a time."""
    total = {"order_items": 0, "process_items": 0}
    after = 0
    while True:
        page = fetch_frame(
            connection, _TEXTS, _TEXT_SCHEMA, {"import_id": str(import_id), "after": after, "limit": limit}
        )
        if page.is_empty():
            return total
        after = int(page["raw_id"][-1])
        for preset, rows in rows_by_preset(connection, page):
            lines, _ = read_items(rows, preset.numbers)
            processes, _ = read_processes(rows, lines)
            total["order_items"] += _count_fewer(rows, "stored_items", lines)
            total["process_items"] += _count_fewer(rows, "stored_processes", processes)


def _count_fewer(rows: pl.DataFrame, stored: str, read: pl.DataFrame) -> int:
    """Count by how many rows orders have fewer than are stored."""
    now = read.group_by("raw_id").agg(now=pl.len().cast(pl.Int64))
    fewer = pl.col(stored) - pl.col("now").fill_null(0)
    return int(rows.join(now, on="raw_id", how="left").select(fewer.clip(lower_bound=0).sum()).item())
