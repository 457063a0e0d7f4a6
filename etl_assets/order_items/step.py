"""The `order_items` asset: the items of changed orders become their lines.

Reading and writing; the rules are in `order_items.transform`, code shared with `process_items` in
`pipeline.order_lines`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.ledger.import_presets import rows_by_preset
from etl_assets.ledger.queue import max_rows
from etl_assets.ledger.range_sql import changed_orders, raw_rows
from etl_assets.order_items.transform import LINE_SCHEMA, read_items
from etl_assets.pipeline.order_lines import (
    OrderChildTable,
    ParsedLines,
    parse_lines,
    reject_order,
    sync_lines,
    with_lines_of_files,
)
from etl_assets.pipeline.protocol import Batch, LoadResult, Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.ledger.queue import RawIdRange
    from etl_assets.vectorized_queries import VectorizedQueries

ORDER_ITEMS: Final = OrderChildTable(
    asset="order_items",
    schema={"order_no": pl.Int64(), **{name: dtype for name, dtype in LINE_SCHEMA.items() if name != "raw_id"}},
)

ORDER_TEXT_SCHEMA: Final = {
    "raw_id": pl.Int64(),
    "order_no": pl.Int64(),
    "import_batch_id": pl.Int64(),
    "shop_id": pl.Int32(),
    "order_id": pl.String(),
    "items": pl.String(),
}


class OrderItemsStep(Step):
    """orders → order_items."""

    asset: AssetName = "order_items"

    def extract(self, database: Database, ranges: Sequence[RawIdRange]) -> pl.DataFrame:
        """Read the changed orders with the items of the raw row that their lines come from (`ORDER_TEXT_SCHEMA`)."""
        rows = database.read(
            "SELECT o.raw_id, o.order_no, t.batch_id AS import_batch_id, o.shop_id, o.order_id, r.items,"  # noqa: S608  # integers only
            f" o.lines_raw_id FROM {changed_orders(ranges)}"
            f" {raw_rows()} JOIN import_tasks t ON t.import_id = r.import_id",
            {**ORDER_TEXT_SCHEMA, "lines_raw_id": pl.Int64()},
            rows=max_rows(ranges),
        )
        return with_lines_of_files(database, ranges, rows, "items")

    def transform(
        self,
        queries: VectorizedQueries,
        rows: pl.DataFrame,
        ranges: Sequence[RawIdRange],  # noqa: ARG002  # of the protocol
    ) -> ParsedLines:
        """Read the items of each order as its lines, those of each preset by its rules."""
        with queries.database.autocommit() as connection:
            read = [read_items(part, preset.numbers) for preset, part in rows_by_preset(connection, rows)]
        return parse_lines(ORDER_ITEMS, rows, read)

    def load(self, batch: Batch, transformed: ParsedLines) -> LoadResult:
        """Replace the lines of each order."""
        counts = sync_lines(batch, ORDER_ITEMS, transformed)
        return LoadResult(counts, batch.ranges, ranges_to_check=batch.ranges)

    def reject_row(self, batch: Batch, rejected: pl.DataFrame) -> LoadResult:
        """Leave the order without lines."""
        return LoadResult(reject_order(batch, ORDER_ITEMS, rejected), batch.ranges, ranges_to_check=batch.ranges)
