"""Lines of orders, replaced as a set: new lines are inserted, different ones updated, all others of the order deleted.

For assets whose rows belong to an order and are stored under `order_no`. Reading the lines is each asset's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import sqlalchemy as sa

from etl_assets.asset_graph import SPECS
from etl_assets.database.bisect_write import write_bisecting
from etl_assets.database.columns import CREATED_BATCH_ID
from etl_assets.database.frames import (
    copy_rows,
    delete_logged,
    delete_rows,
    fetch_frame,
    look_up,
    update_rows,
)
from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.ledger.range_sql import changed_orders, deleted_orders, orders_without_lines
from etl_assets.pipeline.diff import count_changes, diff_rows
from etl_assets.quarantine.rows import quarantine_rows, resolve_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.ledger.batches import BatchCounts
    from etl_assets.ledger.queue import RawIdRange
    from etl_assets.pipeline.protocol import Batch


@dataclass(frozen=True, slots=True)
class OrderChildTable:
    """Table of an asset whose rows belong to an order; its name and its key are those of the asset graph."""

    asset: AssetName
    schema: dict[str, pl.DataType]
    """Its columns, `order_no` and the key among them."""

    def __post_init__(self) -> None:
        missing = {"order_no", *self.key} - set(self.schema)
        if missing:
            msg = f"{self.asset}: the schema of its rows lacks {', '.join(sorted(missing))}."
            raise ValueError(msg)

    @property
    def name(self) -> str:
        """Name of the table."""
        return SPECS[self.asset].table

    @property
    def key(self) -> tuple[str, ...]:
        """Columns that identify a row."""
        return SPECS[self.asset].key

    @property
    def lines_query(self) -> str:
        """Query of the stored lines of the orders that it names as `line_orders`."""
        columns = ", ".join("t." + name for name in self.schema)
        return f"SELECT {columns} FROM line_orders k JOIN {self.name} t USING (order_no)"  # noqa: S608  # constants

    def state_query(self, ranges: Sequence[RawIdRange]) -> str:
        """Query of the number of the last order that has stored lines, and whether orders of ranges are deleted."""
        deleted = f"SELECT FROM {deleted_orders(ranges)}"
        return f"SELECT coalesce(max(order_no), 0), EXISTS ({deleted}) FROM {self.name}"  # noqa: S608  # integers only

    def delete_lines_statement(self, ranges: Sequence[RawIdRange]) -> str:
        """Return the statement that deletes the lines of deleted orders."""
        gone = orders_without_lines("d.order_no", ranges)
        return f"DELETE FROM {self.name} t USING ({gone}) gone WHERE t.order_no = gone.order_no"  # noqa: S608  # ours


class ParsedLines(NamedTuple):
    """Lines of the orders of a batch, read from their texts."""

    orders: pl.DataFrame
    """`order_no`, `shop_id`, `order_id`, `raw_id` of all orders of the batch."""
    lines: pl.DataFrame
    """Their lines, in the table's columns."""
    unreadable: pl.DataFrame
    """Orders whose lines can't be read (`REJECTED_SCHEMA`): they have none."""


def with_lines_of_files(
    database: Database, ranges: Sequence[RawIdRange], rows: pl.DataFrame, column: str
) -> pl.DataFrame:
    """Take the text of orders from the row of a file of lines that they point to, where it has one.

    A second read, which nearly no database needs: a join would take a tenth of the first one everywhere. An order that
    changes in between is enqueued again (docs/decisions.md, "Lines from another file").

    Args:
        database: the store.
        ranges: those that `rows` were read from.
        rows: `order_no`, `lines_raw_id` and `column`; where they have `import_batch_id`, that becomes the row's, and
            `raw_id` its id.
        column: of `raw_orders`.

    Returns:
        The rows without `lines_raw_id`.
    """
    pointers = rows["lines_raw_id"]
    kept = rows.drop("lines_raw_id")
    if pointers.null_count() == rows.height:
        return kept
    found = database.read(
        f"SELECT o.order_no, l.{column}, l.raw_id, t.batch_id AS import_batch_id FROM {changed_orders(ranges)}"  # noqa: S608  # integers only
        " JOIN raw_orders l ON l.raw_id = o.lines_raw_id JOIN import_tasks t ON t.import_id = l.import_id"
        f" WHERE l.{column} IS NOT NULL",
        {"order_no": pl.Int64(), column: pl.String(), "raw_id": pl.Int64(), "import_batch_id": pl.Int64()},
        rows=pointers.len() - pointers.null_count(),
    )
    both = kept.join(found, on="order_no", how="left", suffix="_of_file", maintain_order="left")
    taken = [column, *({"raw_id", "import_batch_id"} if "import_batch_id" in rows.columns else ())]
    return both.select(
        pl.coalesce(f"{name}_of_file", name).alias(name) if name in taken else pl.col(name) for name in kept.columns
    )


def parse_lines(
    table: OrderChildTable, rows: pl.DataFrame, read: Sequence[tuple[pl.DataFrame, pl.DataFrame]]
) -> ParsedLines:
    """Collect the lines of a batch that were read group by group, as those of each preset are.

    Args:
        table: where the lines will be stored.
        rows: all orders of the batch, with `raw_id`, `order_no`, `shop_id`, `order_id`.
        read: for a group of the orders each, their lines, with `raw_id`, and the orders that could not be read.
    """
    numbers = rows.select("raw_id", "order_no")
    lines = [part.join(numbers, on="raw_id", how="left", maintain_order="left") for part, _ in read]
    return ParsedLines(
        rows.select("order_no", "shop_id", "order_id", "raw_id"),
        pl.concat([pl.DataFrame(schema=table.schema), *(part.select(*table.schema) for part in lines)]),
        pl.concat([pl.DataFrame(schema=REJECTED_SCHEMA), *(bad.select(*REJECTED_SCHEMA) for _, bad in read)]),
    )


def sync_lines(batch: Batch, table: OrderChildTable, read: ParsedLines) -> BatchCounts:
    """Make the stored lines of orders equal to those that were read; quarantine and resolve accordingly.

    Orders of the batch that a revert deleted lose their lines.

    Hazard: where the store refuses one line, its order must not keep a mix of old and new lines. So an order's lines
    are refused together, and the old ones go as well (docs/decisions.md, "Order lines replaced as a set").

    Returns:
        The counts, in lines; an unreadable order counts as one.
    """
    connection, (orders, lines, unreadable) = batch.connection, read
    last, has_deleted = connection.execute(sa.text(table.state_query(batch.ranges))).one()
    deleted = 0
    if has_deleted:
        deletion = table.delete_lines_statement(batch.ranges)
        deleted = delete_logged(connection, table.name, deletion, batch_id=batch.batch_id)
    stored = _stored_lines(connection, table, orders.filter(pl.col("order_no") <= last))
    decided = diff_rows(lines, stored, table.key)
    dropped = stored.join(lines, on=table.key, how="anti")
    delete_rows(connection, table.name, dropped.select(table.key), batch_id=batch.batch_id)
    refused = write_bisecting(
        connection,
        orders.join(decided, on="order_no", how="semi").sort("order_no"),
        lambda part: _write(batch, table, decided.join(part, on="order_no", how="semi", maintain_order="left")),
    )
    if refused.height:
        of_refused = stored.join(refused, on="order_no", how="semi").join(dropped, on=table.key, how="anti")
        delete_rows(connection, table.name, of_refused.select(table.key), batch_id=batch.batch_id)
        dropped = pl.concat([dropped, of_refused])
        decided = decided.join(refused, on="order_no", how="anti")
    rejected = pl.concat([unreadable, refused.select(*REJECTED_SCHEMA)])
    quarantine_rows(connection, table.asset, rejected)
    resolve_rows(
        connection, table.asset, orders.with_columns(is_good=~pl.col("raw_id").is_in(rejected["raw_id"].implode()))
    )
    return count_changes(decided, quarantined=rejected.height, deleted=deleted + dropped.height)


def reject_order(batch: Batch, table: OrderChildTable, rejected: pl.DataFrame) -> BatchCounts:
    """Quarantine the one order of a batch (`REJECTED_SCHEMA`); like any that can't be read it has no lines."""
    schema = {"order_no": pl.Int64(), "shop_id": pl.Int32(), "order_id": pl.String(), "raw_id": pl.Int64()}
    columns = ", ".join("o." + name for name in schema)
    orders = fetch_frame(batch.connection, f"SELECT {columns} FROM {changed_orders(batch.ranges)}", schema)  # noqa: S608  # integers only
    return sync_lines(batch, table, ParsedLines(orders, pl.DataFrame(schema=table.schema), rejected))


def _stored_lines(connection: sa.Connection, table: OrderChildTable, orders: pl.DataFrame) -> pl.DataFrame:
    """Return the stored lines of orders.

    Not to be asked for orders newer than any with lines: that took 4 s of the first load of two million lines, as
    docs/performance.md says. `order_no` only grows, so they have none.
    """
    if orders.is_empty():
        return pl.DataFrame(schema=table.schema)
    keys = orders.select("order_no")
    return look_up(connection, table.lines_query, table.schema, keys=keys, like="orders", name="line_orders")


def _write(batch: Batch, table: OrderChildTable, decided: pl.DataFrame) -> None:
    columns, created_by = list(table.schema), pl.lit(batch.batch_id, pl.Int64).alias(CREATED_BATCH_ID)
    inserted = decided.filter(pl.col("change") == "inserted").select(*columns, created_by)
    copy_rows(batch.connection, table.name, inserted)
    updated = decided.filter(pl.col("change") == "updated").select(columns)
    update_rows(batch.connection, table.name, updated, key=table.key, batch_id=batch.batch_id)
