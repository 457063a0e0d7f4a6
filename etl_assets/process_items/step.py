"""The `process_items` asset: the processes (工艺) of changed orders' items, and of the orders themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.order_items.step import extract_order_texts
from etl_assets.order_items.transform import read_items
from etl_assets.pipeline.line_sets import LineTable, ReadLines, read_lines, replace_lines
from etl_assets.pipeline.step import Batch, Loaded
from etl_assets.process_items.transform import PROCESS_SCHEMA, read_processes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.database.database import Database
    from etl_assets.events.subjects import AssetName
    from etl_assets.ledger.work import WorkRange
    from etl_assets.vectorized_queries import VectorizedQueries

PROCESS_ITEMS: Final = LineTable(
    asset="process_items",
    key=("order_no", "line_no", "process_no"),
    schema={
        "order_no": pl.Int64(),
        **{name: dtype for name, dtype in PROCESS_SCHEMA.items() if name != "raw_id"},
    },
)


class ProcessItemsStep:
    """order_items → process_items."""

    asset: AssetName = "process_items"
    batch_factor = 1

    def extract(self, database: Database, ranges: Sequence[WorkRange]) -> pl.DataFrame:
        """The changed orders with their items and processes."""
        return extract_order_texts(database, ranges)

    def transform(self, queries: VectorizedQueries, rows: pl.DataFrame, ranges: Sequence[WorkRange]) -> ReadLines:  # noqa: ARG002  # of the protocol
        """Read the processes of each order; one whose items can't be read, `order_items`' to report, has none."""
        return read_lines(
            queries,
            PROCESS_ITEMS,
            rows,
            lambda part, preset: read_processes(part, read_items(part, preset.numbers)[0]),
        )

    def load(self, batch: Batch, transformed: ReadLines) -> Loaded:
        """Replace the process rows of each order."""
        return Loaded(replace_lines(batch.connection, PROCESS_ITEMS, transformed), ())
