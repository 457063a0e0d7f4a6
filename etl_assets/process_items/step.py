"""The `process_items` asset: the processes (工艺) of changed orders' items, and of the orders themselves.

Reading and writing; the rules are in `process_items.transform`, code shared with `order_items` in
`pipeline.order_lines`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.ledger.queue import max_rows
from etl_assets.ledger.range_sql import changed_orders, raw_rows
from etl_assets.pipeline.order_lines import (
    OrderChildTable,
    ParsedLines,
    parse_lines,
    reject_order,
    sync_lines,
    with_lines_of_files,
)
from etl_assets.pipeline.protocol import Batch, LoadResult, Step
from etl_assets.process_items.transform import PROCESS_SCHEMA, read_processes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.ledger.queue import RawIdRange
    from etl_assets.vectorized_queries import VectorizedQueries

PROCESS_ITEMS: Final = OrderChildTable(
    asset="process_items",
    schema={
        "order_no": pl.Int64(),
        **{name: dtype for name, dtype in PROCESS_SCHEMA.items() if name != "raw_id"},
    },
)


ORDER_PROCESSES_SCHEMA: Final = {
    "raw_id": pl.Int64(),
    "order_no": pl.Int64(),
    "shop_id": pl.Int32(),
    "order_id": pl.String(),
    "processes": pl.String(),
}
LINE_PROCESSES_SCHEMA: Final = {
    "raw_id": pl.Int64(),
    "line_no": pl.Int32(),
    "quantity": pl.Int32(),
    "processes": pl.String(),
}


class ProcessItemsStep(Step):
    """order_items → process_items."""

    asset: AssetName = "process_items"

    def extract(self, database: Database, ranges: Sequence[RawIdRange]) -> pl.DataFrame:
        """Read the changed orders with their own processes (`ORDER_PROCESSES_SCHEMA`)."""
        rows = database.read(
            "SELECT coalesce(o.lines_raw_id, o.raw_id) AS raw_id, o.order_no, o.shop_id, o.order_id, r.processes,"  # noqa: S608  # integers only
            f" o.lines_raw_id FROM {changed_orders(ranges)} {raw_rows()}",
            {**ORDER_PROCESSES_SCHEMA, "lines_raw_id": pl.Int64()},
            rows=max_rows(ranges),
        )
        return with_lines_of_files(database, ranges, rows, "processes")

    def transform(self, queries: VectorizedQueries, rows: pl.DataFrame, ranges: Sequence[RawIdRange]) -> ParsedLines:
        """Read the processes of the orders and of their lines; an order whose items can't be read has no lines."""
        # The bounds let the server read a part of the index, where the orders lie close together, and not the table.
        low, high = rows.select(low=pl.col("order_no").min(), high=pl.col("order_no").max()).fill_null(0).row(0)
        lines = queries.database.read(
            "SELECT coalesce(o.lines_raw_id, o.raw_id) AS raw_id, i.line_no, i.quantity, i.processes"  # noqa: S608  # integers only
            f" FROM {changed_orders(ranges)} JOIN order_items i USING (order_no)"
            f" WHERE i.order_no BETWEEN {low:d} AND {high:d}",
            LINE_PROCESSES_SCHEMA,
            rows=max_rows(ranges),
        )
        return parse_lines(PROCESS_ITEMS, rows, [read_processes(rows, lines)])

    def load(self, batch: Batch, transformed: ParsedLines) -> LoadResult:
        """Replace the process rows of each order."""
        counts = sync_lines(batch, PROCESS_ITEMS, transformed)
        return LoadResult(counts, (), ranges_to_check=batch.ranges)

    def reject_row(self, batch: Batch, rejected: pl.DataFrame) -> LoadResult:
        """Leave the order without process rows."""
        return LoadResult(reject_order(batch, PROCESS_ITEMS, rejected), (), ranges_to_check=batch.ranges)
