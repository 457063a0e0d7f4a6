"""The rules of customers as tables of cases: whom orders name, and what a customer's figures are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import uuid5

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from etl_assets.customers.transform import (
    CUSTOMER_ORDER_SCHEMA,
    summarise_customers,
    without_orders,
)
from etl_assets.frame_schemas import CUSTOMER_SCHEMA
from etl_assets.values.identifiers import CUSTOMER_NAMESPACE, customer_global_id, customer_key
from etl_assets_tests.helpers.literal_frames import Row, frame_of, january

if TYPE_CHECKING:
    from datetime import datetime

SUMMARY: Final = {**CUSTOMER_SCHEMA, "raw_id": pl.Int64(), "order_id": pl.String()}
SHOPS: Final = frame_of(
    {"shop_id": pl.Int32(), "platform": pl.String(), "shop_name": pl.String()},
    [(7, "taobao", "花间"), (8, "shopify", "a:b")],
)


def order(order_id: str, customer: str = "ann", **values: object) -> Row:
    usual = {"shop_id": 7, "customer_nickname": "Ann", "is_cancelled": False, "ordered_at": january(1), "raw_id": 1}
    return {"order_id": order_id, "customer_global_id": customer, **usual, **values}


def summary_of(*rows: Row) -> pl.DataFrame:
    return summarise_customers(frame_of(CUSTOMER_ORDER_SCHEMA, rows), SHOPS)


def test_summarise_customers_makes_a_row_of_each_customer() -> None:
    made = summary_of(
        order("3", raw_id=12, ordered_at=january(4)),
        order("1", raw_id=14, ordered_at=january(2)),
        order("2", raw_id=13, ordered_at=january(9)),
        order("1", "bob", raw_id=2, shop_id=8, customer_nickname="Bob\\"),
    )
    expected: list[Row] = [
        {
            "customer_global_id": "ann", "customer_key": "taobao:花间:Ann", "shop_id": 7, "customer_nickname": "Ann",
            "first_order_at": january(2), "last_order_at": january(9), "order_count": 3,
            "raw_id": 14, "order_id": "1",
        },
        {
            "customer_global_id": "bob", "customer_key": r"shopify:a\:b:Bob\\", "shop_id": 8,
            "customer_nickname": "Bob\\", "first_order_at": january(1), "last_order_at": january(1), "order_count": 1,
            "raw_id": 2, "order_id": "1",
        },
    ]  # fmt: skip
    assert_frame_equal(made, frame_of(SUMMARY, expected))


@pytest.mark.parametrize(
    ("of_customer", "first", "last", "count"),
    [
        pytest.param([(2, False), (3, False)], january(2), january(3), 2, id="two orders"),
        pytest.param(
            [(1, True), (2, False), (9, True)], january(2), january(2), 1, id="cancelled ones are not counted"
        ),
        pytest.param([(1, True)], None, None, 0, id="all cancelled: a customer without counted orders"),
        pytest.param([(None, False), (2, False)], january(2), january(2), 2, id="one without a time is counted"),
        pytest.param([(None, False)], None, None, 1, id="none with a time"),
    ],
)
def test_summarise_customers_counts_the_orders_that_are_not_cancelled(
    of_customer: list[tuple[int | None, bool]], first: datetime | None, last: datetime | None, count: int
) -> None:
    rows = [
        order(str(number), ordered_at=day and january(day), is_cancelled=is_cancelled)
        for number, (day, is_cancelled) in enumerate(of_customer)
    ]
    made = summary_of(*rows).row(0, named=True)
    assert (made["first_order_at"], made["last_order_at"], made["order_count"]) == (first, last, count)


def test_summarise_customers_names_the_latest_raw_row_also_of_a_cancelled_order() -> None:
    made = summary_of(order("1", raw_id=5), order("2", raw_id=9, is_cancelled=True), order("3", raw_id=8))
    assert made.select("raw_id", "order_id").rows() == [(9, "2")]


def test_summarise_customers_of_no_orders_are_none() -> None:
    assert_frame_equal(summary_of(), frame_of(SUMMARY, []))


def test_without_orders_a_customer_has_no_times_and_a_count_of_zero() -> None:
    stored: Row = {
        "customer_global_id": "ann", "customer_key": "taobao:花间:Ann", "shop_id": 7, "customer_nickname": "Ann",
        "first_order_at": january(2), "last_order_at": january(9), "order_count": 3,
    }  # fmt: skip
    left = {**stored, "first_order_at": None, "last_order_at": None, "order_count": 0}
    assert_frame_equal(without_orders(frame_of(CUSTOMER_SCHEMA, [stored])), frame_of(CUSTOMER_SCHEMA, [left]))


@pytest.mark.parametrize(
    ("platform", "shop", "nickname", "key"),
    [
        pytest.param("taobao", "花间", "张三", "taobao:花间:张三", id="three parts"),
        pytest.param("p", "a:b", "c", r"p:a\:b:c", id="a colon of a part is escaped"),
        pytest.param("p", "a", "b:c", r"p:a:b\:c", id="so that parts can not run into each other"),
        pytest.param("p", "a\\", "b", r"p:a\\:b", id="a backslash is escaped"),
        pytest.param("p", r"a\:", "b", r"p:a\\\::b", id="both"),
        pytest.param("p", "s", None, None, id="no name: no customer"),
    ],
)
def test_customer_key_names_platform_shop_and_nickname(
    platform: str, shop: str, nickname: str | None, key: str | None
) -> None:
    parts = (pl.lit(part, pl.String) for part in (platform, shop, nickname))
    made = pl.select(key=customer_key(*parts)).with_columns(id=customer_global_id(pl.col("key")))
    assert made.row(0) == (key, key and str(uuid5(CUSTOMER_NAMESPACE, key)))
