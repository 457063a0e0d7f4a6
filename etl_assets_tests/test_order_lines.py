"""What was read of the lines of a batch's orders, put together as it will be stored."""

from __future__ import annotations

from typing import Final

import polars as pl
from polars.testing import assert_frame_equal

from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.pipeline.order_lines import OrderChildTable, parse_lines
from etl_assets_tests.helpers.literal_frames import frame_of

TABLE: Final = OrderChildTable(
    asset="order_items",
    schema={"order_no": pl.Int64(), "line_no": pl.Int32(), "product": pl.String()},
)
BATCH: Final = frame_of(
    {"raw_id": pl.Int64(), "order_no": pl.Int64(), "shop_id": pl.Int32(), "order_id": pl.String(), "items": pl.String},
    [(21, 1, 7, "a", "…"), (22, 9, 7, "b", "…"), (23, 5, 8, "a", None), (24, 6, 8, "c", "[broken")],
)
READ: Final = {"product": pl.String(), "line_no": pl.Int32(), "raw_id": pl.Int64()}


def test_read_lines_gives_each_line_the_number_of_its_order() -> None:
    first = frame_of(READ, [("cup", 1, 22), ("mug", 2, 22)]), frame_of(REJECTED_SCHEMA, [])
    second = frame_of(READ, [("pin", 1, 21)]), frame_of(REJECTED_SCHEMA, [(24, 8, "c", "BAD_ITEMS", "broken")])
    read = parse_lines(TABLE, BATCH, [first, second])
    assert_frame_equal(read.lines, frame_of(TABLE.schema, [(9, 1, "cup"), (9, 2, "mug"), (1, 1, "pin")]))
    assert_frame_equal(read.unreadable, frame_of(REJECTED_SCHEMA, [(24, 8, "c", "BAD_ITEMS", "broken")]))


def test_read_lines_keeps_all_orders_also_those_without_lines() -> None:
    schema = {"order_no": pl.Int64(), "shop_id": pl.Int32(), "order_id": pl.String(), "raw_id": pl.Int64()}
    read = parse_lines(TABLE, BATCH, [])
    expected = [(1, 7, "a", 21), (9, 7, "b", 22), (5, 8, "a", 23), (6, 8, "c", 24)]
    assert_frame_equal(read.orders, frame_of(schema, expected))
    assert_frame_equal(read.lines, frame_of(TABLE.schema, []))
    assert_frame_equal(read.unreadable, frame_of(REJECTED_SCHEMA, []))
