"""The `process_items` asset: the processes (工艺) of changed orders' items, and of the orders themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.ledger.quarantine import REJECTED_SCHEMA
from etl_assets.order_items.step import extract_order_texts
from etl_assets.order_items.transform import read_items
from etl_assets.pipeline.line_sets import LineTable, replace_lines
from etl_assets.pipeline.step import Batch, Loaded
from etl_assets.presets.imports import rows_by_preset
from etl_assets.process_items.transform import PROCESS_SCHEMA, read_processes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.database.database import Database
    from etl_assets.events.subjects import AssetName
    from etl_assets.ledger.work import WorkRange

PROCESS_ITEMS: Final = LineTable(
    asset="process_items",
    key=("shop_id", "order_id", "line_no", "process_no"),
    schema={name: dtype for name, dtype in PROCESS_SCHEMA.items() if name != "raw_id"},
)


class ProcessItemsStep:
    """order_items → process_items."""

    asset: AssetName = "process_items"
    batch_factor = 1

    def extract(self, database: Database, ranges: Sequence[WorkRange]) -> pl.DataFrame:
        """The changed orders with their items and processes."""
        return extract_order_texts(database, ranges)

    def load(self, batch: Batch, rows: pl.DataFrame) -> Loaded:
        """Replace the process rows of each order; unreadable items, `order_items`' to report, have none."""
        processes = [pl.DataFrame(schema=PROCESS_ITEMS.schema)]
        unreadable = [pl.DataFrame(schema=REJECTED_SCHEMA)]
        for preset, part in rows_by_preset(batch.connection, rows):
            lines, _ = read_items(part, preset.numbers)
            read, bad = read_processes(part, lines)
            processes.append(read.select(*PROCESS_ITEMS.schema))
            unreadable.append(bad.select(*REJECTED_SCHEMA))
        counts = replace_lines(
            batch.connection,
            PROCESS_ITEMS,
            rows.select("shop_id", "order_id", "raw_id"),
            pl.concat(processes),
            pl.concat(unreadable),
        )
        return Loaded(counts, ())
