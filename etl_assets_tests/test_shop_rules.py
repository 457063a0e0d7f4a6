"""The rules of shops as tables of cases: which shops raw rows name, and which of them are new."""

from __future__ import annotations

from typing import Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from etl_assets.presets.column_mapping import ColumnMapping
from etl_assets.presets.model import Preset
from etl_assets.shop.transform import distinct_shops, first_shops, new_shops, settled_shops
from etl_assets_tests.helpers.literal_frames import frame_of

RAW: Final = {"raw_id": pl.Int64(), **dict.fromkeys(("platform", "shop", "currency"), pl.String())}
SHOPS: Final = dict.fromkeys(("platform", "shop_name", "currency", "timezone"), pl.String())
KNOWN: Final = {"shop_id": pl.Int32(), **SHOPS}
IN_SHANGHAI: Final = Preset(
    name="p", columns={"order_id": ColumnMapping(columns=("order_id",))}, timezone="Asia/Shanghai"
)


def test_distinct_shops_are_the_pairs_of_platform_and_shop_that_rows_name() -> None:
    raw = frame_of(RAW, [(3, "taobao", "b", "CNY"), (1, "taobao", "a", "CNY"), (2, "shopify", "a", "EUR"),
                         (4, "taobao", "a", "CNY")])  # fmt: skip
    expected = [("shopify", "a", "EUR", "UTC"), ("taobao", "a", "CNY", "UTC"), ("taobao", "b", "CNY", "UTC")]
    assert_frame_equal(distinct_shops(raw, None).drop("is_provisional"), frame_of(SHOPS, expected))


@pytest.mark.parametrize(
    ("platform", "shop", "named"),
    [
        pytest.param(" taobao ", "\t花间\n", [("taobao", "花间")], id="trimmed"),
        pytest.param("ｔａｏｂａｏ", "Ｓｈｏｐ　１", [("taobao", "Shop 1")], id="full-width forms are plain ones"),
        pytest.param("taobao", "my  shop", [("taobao", "my  shop")], id="blanks within are left alone"),
        pytest.param("Taobao", "My Shop", [("Taobao", "My Shop")], id="the case is left alone"),
        pytest.param("taobao", None, [], id="no shop"),
        pytest.param("taobao", " ", [], id="an empty shop"),
        pytest.param(None, "a", [], id="no platform"),
        pytest.param("p", "x" * 2599, [("p", "x" * 2599)], id="names that an index just holds"),
        pytest.param("p", "x" * 2600, [], id="names that no index holds"),
        pytest.param("p", "花" * 867, [], id="it is bytes that count: 2601 of them"),
    ],
)
def test_distinct_shops_have_clean_names(platform: str | None, shop: str | None, named: list[tuple[str, str]]) -> None:
    made = distinct_shops(frame_of(RAW, [(1, platform, shop, None)]), None)
    assert made.select("platform", "shop_name").rows() == named


def test_distinct_shops_make_one_of_names_that_are_the_same_once_cleaned() -> None:
    raw = frame_of(RAW, [(1, "p", " a", None), (2, "p", "a", None), (3, "ｐ", "ａ", None)])
    assert_frame_equal(distinct_shops(raw, None).drop("is_provisional"), frame_of(SHOPS, [("p", "a", None, "UTC")]))


@pytest.mark.parametrize(
    ("currencies", "expected"),
    [
        pytest.param([(1, "CNY"), (2, "EUR")], "CNY", id="the first row's"),
        pytest.param([(2, "EUR"), (1, "CNY")], "CNY", id="the first by raw_id"),
        pytest.param([(1, None), (2, " "), (3, "EUR")], "EUR", id="the first that a row names"),
        pytest.param([(1, " eur")], "EUR", id="cleaned, in capitals"),
        pytest.param([(1, "€")], "EUR", id="of a symbol, its code"),
        pytest.param([(1, None)], None, id="none"),
    ],
)
def test_distinct_shops_take_the_first_currency_that_a_row_names(
    currencies: list[tuple[int, str | None]], expected: str | None
) -> None:
    raw = frame_of(RAW, [(raw_id, "p", "a", currency) for raw_id, currency in currencies])
    assert distinct_shops(raw, None)["currency"].to_list() == [expected]


def test_distinct_shops_get_the_time_zone_of_the_preset() -> None:
    made = distinct_shops(frame_of(RAW, [(1, "p", "a", None)]), IN_SHANGHAI)
    assert_frame_equal(made.drop("is_provisional"), frame_of(SHOPS, [("p", "a", None, "Asia/Shanghai")]))


def test_distinct_shops_of_no_rows_are_none() -> None:
    assert_frame_equal(distinct_shops(frame_of(RAW, []), None).drop("is_provisional"), frame_of(SHOPS, []))


def test_new_shops_are_those_that_are_not_known_by_platform_and_name() -> None:
    seen = frame_of(SHOPS, [("p", "a", "CNY", "UTC"), ("p", "b", "CNY", "UTC"), ("q", "a", "CNY", "UTC")])
    known = frame_of(KNOWN, [(1, "p", "a", "EUR", "Asia/Shanghai"), (2, "q", "b", "CNY", "UTC")])
    expected = frame_of(SHOPS, [("p", "b", "CNY", "UTC"), ("q", "a", "CNY", "UTC")])
    assert_frame_equal(new_shops(seen, known), expected)


@pytest.mark.parametrize("seen", [[], [("p", "a", "CNY", "UTC")]], ids=["none seen", "one seen"])
def test_new_shops_are_all_where_none_is_known(seen: list[tuple[str, ...]]) -> None:
    assert_frame_equal(new_shops(frame_of(SHOPS, seen), frame_of(KNOWN, [])), frame_of(SHOPS, seen))


OF_LINES = IN_SHANGHAI.model_copy(update={"holds": "lines", "timezone": "UTC"})


def test_a_shop_that_rows_of_lines_name_is_provisional_until_one_of_orders_does() -> None:
    named = frame_of(RAW, [(1, "p", "a", None)])
    by_lines, by_orders = distinct_shops(named, OF_LINES), distinct_shops(named, IN_SHANGHAI)
    assert (by_lines["is_provisional"].item(), by_orders["is_provisional"].item()) == (True, False)
    assert_frame_equal(first_shops(pl.concat([by_lines, by_orders])), by_orders)
    known = by_lines.with_columns(shop_id=pl.lit(7, pl.Int32))
    assert settled_shops(by_orders, known).rows() == [(7, None, "Asia/Shanghai", False)]
    assert settled_shops(by_lines, known).is_empty()
    assert settled_shops(by_orders, known.with_columns(is_provisional=pl.lit(value=False))).is_empty()
