"""The rules of orders as tables of cases: what a raw row says, which version of an order wins, and what it changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations
from typing import Any, Final
from uuid import uuid5

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.orders.conflicts import OTHER_ORDER_STORED, reject_conflicts, split_conflicts, with_known_identity
from etl_assets.orders.transform import (
    ORDER_SCHEMA,
    compare_with_stored,
    newest_versions,
    read_orders,
)
from etl_assets.presets.column_mapping import ColumnMapping
from etl_assets.presets.model import Preset
from etl_assets.quarantine.reasons import REASONS, SHARED_BY_SHOPS, SHOP_NOT_MADE
from etl_assets.values.identifiers import CUSTOMER_NAMESPACE
from etl_assets.values.numbers import NumberFormat
from etl_assets.values.order_keys import order_keys
from etl_assets_tests.helpers.literal_frames import Row, frame_of, january

# --- newest_versions, compare_with_stored: which version wins ---------------------------------------------------------

STORED_SCHEMA: Final = {**ORDER_SCHEMA, "lines_differ": pl.Boolean()}
FATES: Final = {
    **ORDER_SCHEMA,
    "change": pl.String(),
    "stored_raw_id": pl.Int64(),
    "stored_customer": pl.String(),
    "lines_differ": pl.Boolean(),
    "customer_differs": pl.Boolean(),
    "names_identity": pl.Boolean(),
}


def version(order_id: str, raw_id: int, updated_at: datetime | None = None, **values: object) -> Row:
    usual = {
        "shop_id": 7, "customer_nickname": "Ann", "customer_global_id": "ann", "latest_status": "paid",
        "is_cancelled": False, "order_type": "sample", "system_order_type": "SAMPLE", "amount": Decimal("12.5"),
        "refunded_amount": None, "currency": "CNY", "ordered_at": january(1),
    }  # fmt: skip
    return {"order_id": order_id, "raw_id": raw_id, "source_updated_at": updated_at, **usual, **values}


def versions(*rows: Row) -> pl.DataFrame:
    return frame_of(ORDER_SCHEMA, rows)


def stored(*rows: Row, lines_differ: bool = False) -> pl.DataFrame:
    return frame_of(STORED_SCHEMA, [{**row, "lines_differ": lines_differ} for row in rows])


OLDEST_FIRST: Final = {
    "no time, row 2": (None, 2),
    "no time, row 9": (None, 9),
    "year 1, row 1": (datetime(1, 1, 1, tzinfo=UTC), 1),
    "1970, row 5": (datetime(1970, 1, 1, tzinfo=UTC), 5),
    "january 1, row 3": (january(1), 3),
    "january 1, row 8": (january(1), 8),
    "a microsecond later, row 4": (january(1) + timedelta(microseconds=1), 4),
    "january 2, row 0": (january(2), 0),
}
"""The total order of the versions of an order: by time of change, none before any; then by raw_id."""

PAIRS: Final = [
    pytest.param(older, newer, id=f"{name} < {newer_name}")
    for (name, older), (newer_name, newer) in combinations(OLDEST_FIRST.items(), 2)
]
Moment = tuple[datetime | None, int]


@pytest.mark.parametrize(("older", "newer"), PAIRS)
def test_newest_versions_go_by_the_time_of_change_and_then_by_raw_id(older: Moment, newer: Moment) -> None:
    pair = [version("1", raw_id, time) for time, raw_id in (older, newer)]
    expected = versions(pair[1])
    assert_frame_equal(newest_versions(versions(*pair)), expected)
    assert_frame_equal(newest_versions(versions(*reversed(pair))), expected)


@pytest.mark.parametrize(("older", "newer"), PAIRS)
def test_compare_with_stored_goes_by_the_same_order_whichever_version_comes_first(older: Moment, newer: Moment) -> None:
    first, second = (version("1", raw_id, time, amount=Decimal(raw_id)) for time, raw_id in (older, newer))
    assert compare_with_stored(versions(second), stored(first))["change"].to_list() == ["updated"]
    assert compare_with_stored(versions(first), stored(second))["change"].to_list() == ["superseded"]


@pytest.mark.parametrize("time", [None, january(1), january(3)], ids=["no time now", "an earlier time", "a later one"])
def test_a_row_that_is_read_again_with_another_result_is_the_same_version(time: datetime | None) -> None:
    decided = compare_with_stored(versions(version("1", 5, time)), stored(version("1", 5, january(2))))
    assert decided["change"].to_list() == ["updated"]


def test_newest_versions_are_one_of_each_order_of_each_shop() -> None:
    given = [
        version("1", 1, january(1), amount=Decimal(1)),
        version("1", 2, january(3), amount=Decimal(2)),
        version("1", 3, january(2), amount=Decimal(3)),
        version("2", 4, None),
        version("1", 5, None, shop_id=8),
    ]
    expected = versions(given[1], given[3], given[4])
    assert_frame_equal(newest_versions(versions(*given)), expected, check_row_order=False)


def test_newest_versions_of_nothing_are_none() -> None:
    assert_frame_equal(newest_versions(versions()), versions())


def test_compare_with_stored_inserts_an_order_that_is_not_stored() -> None:
    of_another_shop = version("1", 1, shop_id=8)
    of_another_number = version("2", 1)
    decided = compare_with_stored(versions(version("1", 9)), stored(of_another_shop, of_another_number))
    assert_frame_equal(decided.select(*ORDER_SCHEMA), versions(version("1", 9)))
    assert decided.select("change", "stored_raw_id", "stored_customer", "lines_differ").rows() == [
        ("inserted", None, None, None)
    ]


@pytest.mark.parametrize(
    ("changed", "customer_differs"),
    [
        pytest.param({"customer_nickname": "Bob"}, True, id="nickname"),
        pytest.param({"customer_global_id": "bob"}, True, id="customer"),
        pytest.param({"customer_nickname": None, "customer_global_id": None}, True, id="no customer any more"),
        pytest.param({"is_cancelled": True}, True, id="cancelled"),
        pytest.param({"system_order_type": "BULK"}, True, id="system order type"),
        pytest.param({"amount": Decimal("12.5001")}, True, id="amount"),
        pytest.param({"amount": None}, True, id="no amount any more"),
        pytest.param({"refunded_amount": Decimal("0.5")}, True, id="refund"),
        pytest.param({"currency": "EUR"}, True, id="currency"),
        pytest.param({"ordered_at": january(2)}, True, id="time of the order"),
        pytest.param({"latest_status": "sent"}, False, id="status: nothing of a customer is made of it"),
        pytest.param({"order_type": "Sample"}, False, id="the type as the shop writes it: likewise"),
        pytest.param({"source_updated_at": january(9)}, False, id="time of change: likewise"),
    ],
)
def test_compare_with_stored_updates_an_order_of_which_anything_differs(
    changed: Row, *, customer_differs: bool
) -> None:
    newer = {**version("1", 9), **changed}
    expected = {
        **newer, "change": "updated", "stored_raw_id": 2, "stored_customer": "ann",
        "lines_differ": False, "customer_differs": customer_differs, "names_identity": False,
    }  # fmt: skip
    decided = compare_with_stored(versions(newer), stored(version("1", 2)))
    assert_frame_equal(decided.select(*FATES), frame_of(FATES, [expected]))


@pytest.mark.parametrize(
    ("raw_id", "lines_differ", "change"),
    [
        pytest.param(9, False, "unchanged", id="a newer row that says the same"),
        pytest.param(2, False, "unchanged", id="the very row, read again"),
        pytest.param(1, False, "superseded", id="an older row that says the same"),
        pytest.param(9, True, "updated", id="a newer row with other items or processes"),
        pytest.param(1, True, "superseded", id="an older row with other items or processes"),
    ],
)
def test_compare_with_stored_of_versions_that_say_the_same_of_the_order(
    raw_id: int, change: str, *, lines_differ: bool
) -> None:
    decided = compare_with_stored(versions(version("1", raw_id)), stored(version("1", 2), lines_differ=lines_differ))
    expected = {
        **version("1", raw_id), "change": change, "stored_raw_id": 2, "stored_customer": "ann",
        "lines_differ": lines_differ, "customer_differs": False, "names_identity": False,
    }  # fmt: skip
    assert_frame_equal(decided.select(*FATES), frame_of(FATES, [expected]))


def test_compare_with_stored_takes_null_in_both_versions_for_the_same() -> None:
    nothing = dict.fromkeys(("customer_nickname", "customer_global_id", "amount", "currency", "ordered_at"))
    decided = compare_with_stored(versions(version("1", 9, **nothing)), stored(version("1", 2, **nothing)))
    assert decided.select("change", "customer_differs").rows() == [("unchanged", False)]


def test_compare_with_stored_decides_each_order_by_itself_and_keeps_their_order() -> None:
    newest = versions(version("3", 30), version("1", 10, amount=None), version("2", 20))
    decided = compare_with_stored(newest, stored(version("1", 1), version("2", 25), version("4", 4)))
    assert decided.select("order_id", "change").rows() == [("3", "inserted"), ("1", "updated"), ("2", "superseded")]


# --- read_orders: what a raw row says ---------------------------------------------------------------------------------

TEXTS: Final = (
    "platform", "shop", "order_id", "customer_name", "order_status", "order_type", "amount", "currency", "ordered_at",
    "updated_at", "defect", "platform_order_id", "refunded_amount",
)  # fmt: skip
RAW: Final = {"raw_id": pl.Int64(), **dict.fromkeys(TEXTS, pl.String())}
SHOPS: Final = frame_of(
    {"shop_id": pl.Int32(), **dict.fromkeys(("platform", "shop_name", "timezone", "default_currency"), pl.String())},
    [(7, "taobao", "花间", "Asia/Shanghai", None), (8, "shopify", "Mugs & more", "UTC", "CAD")],
)
TYPES: Final = frame_of(
    dict.fromkeys(("order_type", "system_order_type"), pl.String()),
    [("sample", "SAMPLE"), (" Sample ", "SAMPLE"), ("打样", "PROOF"), (None, "BULK"), ("other", "BULK")],
)
COLUMNS: Final = {"order_id": ColumnMapping(columns=("order_id",))}
PRESET: Final = Preset(name="p", columns=COLUMNS, cancelled_statuses=("Cancelled", "交易关闭"))
GERMAN: Final = PRESET.model_copy(update={"numbers": NumberFormat(decimal=",", thousands=".")})
DAY_FIRST: Final = PRESET.model_copy(update={"timestamp_formats": ("%d/%m/%Y %H:%M",)})


def raw_row(raw_id: int = 1, /, **texts: str | None) -> Row:
    return {"raw_id": raw_id, "platform": "taobao", "shop": "花间", "order_id": "1", **texts}


def read(preset: Preset = PRESET, /, **texts: str | None) -> dict[str, Any]:
    """Read one raw row that is good."""
    good, rejected = read_orders(frame_of(RAW, [raw_row(**texts)]), preset, SHOPS, TYPES)
    assert rejected.is_empty()
    return good.row(0, named=True)


def test_read_orders_makes_an_order_of_a_raw_row() -> None:
    raw = raw_row(
        12, customer_name="张三", order_status="paid", order_type="sample", amount="¥1,234.50", currency="cny",
        ordered_at="2024-01-02 11:30:00", updated_at="2024-01-03T10:00:00Z", refunded_amount="¥34.5",
    )  # fmt: skip
    good, rejected = read_orders(frame_of(RAW, [raw]), PRESET, SHOPS, TYPES)
    expected: Row = {
        "shop_id": 7, "order_id": "1", "raw_id": 12,
        "customer_nickname": "张三", "customer_global_id": str(uuid5(CUSTOMER_NAMESPACE, "taobao:花间:张三")),
        "latest_status": "paid", "is_cancelled": False, "order_type": "sample", "system_order_type": "SAMPLE",
        "amount": Decimal("1234.5"), "refunded_amount": Decimal("34.5"), "currency": "CNY",
        "ordered_at": datetime(2024, 1, 2, 3, 30, tzinfo=UTC),  # the shop is in Shanghai
        "source_updated_at": datetime(2024, 1, 3, 10, tzinfo=UTC),
    }  # fmt: skip
    assert_frame_equal(good, versions(expected))
    assert_frame_equal(rejected, frame_of(REJECTED_SCHEMA, []))


@pytest.mark.parametrize(
    ("texts", "shop_id", "order_id"),
    [
        pytest.param({"order_id": " 1001\t"}, 7, "1001", id="an order number is trimmed"),
        pytest.param({"order_id": "１００１"}, 7, "1001", id="full-width digits are plain ones"),
        pytest.param({"order_id": '="001"'}, 7, "001", id="a spreadsheet's quotes are taken off"),
        pytest.param({"order_id": "'001"}, 7, "001", id="a spreadsheet's apostrophe too"),
        pytest.param({"order_id": "#A-1b"}, 7, "#A-1b", id="marks and case are left alone"),
        pytest.param({"shop": " 花间 "}, 7, "1", id="a shop is trimmed"),
        pytest.param(
            {"platform": "ｓｈｏｐｉｆｙ", "shop": "Mugs ＆ more"}, 8, "1", id="full-width names are plain ones"
        ),
    ],
)
def test_read_orders_finds_the_order_by_cleaned_texts(texts: dict[str, str], shop_id: int, order_id: str) -> None:
    order = read(**texts)
    assert (order["shop_id"], order["order_id"]) == (shop_id, order_id)


@pytest.mark.parametrize(
    ("name", "nickname"),
    [
        pytest.param(" 张三 ", "张三", id="trimmed"),
        pytest.param("Ａｎｎ", "Ann", id="full-width"),
        pytest.param(None, None, id="none: no error"),
        pytest.param("  ", None, id="blank: none"),
        pytest.param("张**", None, id="masked: names nobody"),
        pytest.param("张＊＊", None, id="masked with full-width stars"),
    ],
)
def test_read_orders_names_the_customer(name: str | None, nickname: str | None) -> None:
    order = read(customer_name=name)
    made = nickname and str(uuid5(CUSTOMER_NAMESPACE, f"taobao:花间:{nickname}"))
    assert (order["customer_nickname"], order["customer_global_id"]) == (nickname, made)


@pytest.mark.parametrize(
    ("status", "latest_status", "is_cancelled"),
    [
        pytest.param("Cancelled", "Cancelled", True, id="as the preset writes it"),
        pytest.param(" CANCELLED ", "CANCELLED", True, id="case and blanks do not matter"),
        pytest.param("Ｃａｎｃｅｌｌｅｄ", "Cancelled", True, id="nor does full width"),
        pytest.param("交易关闭", "交易关闭", True, id="another status of the preset"),
        pytest.param("not cancelled", "not cancelled", False, id="only the whole text counts"),
        pytest.param("paid", "paid", False, id="another status"),
        pytest.param(None, None, False, id="no status"),
    ],
)
def test_read_orders_knows_the_cancelled_statuses_of_the_preset(
    status: str | None, latest_status: str | None, *, is_cancelled: bool
) -> None:
    order = read(order_status=status)
    assert (order["latest_status"], order["is_cancelled"]) == (latest_status, is_cancelled)


@pytest.mark.parametrize(
    ("text", "order_type", "system_order_type"),
    [("sample", "sample", "SAMPLE"), (" Sample ", "Sample", "SAMPLE"), ("打样", "打样", "PROOF"), (None, None, "BULK")],
)
def test_read_orders_takes_the_system_order_type_of_the_text_as_it_stands(
    text: str | None, order_type: str | None, system_order_type: str
) -> None:
    order = read(order_type=text)
    assert (order["order_type"], order["system_order_type"]) == (order_type, system_order_type)


@pytest.mark.parametrize(
    ("preset", "text", "amount"),
    [
        pytest.param(PRESET, "12.5", "12.5", id="plain"),
        pytest.param(PRESET, "1,234,567.89", "1234567.89", id="groups of thousands"),
        pytest.param(PRESET, "￥12.50", "12.5", id="a sign before it"),
        pytest.param(PRESET, "12.50 元", "12.5", id="a sign behind it"),
        pytest.param(PRESET, "-3", "-3", id="a negative amount"),
        pytest.param(PRESET, "0", "0", id="zero is an amount"),
        pytest.param(PRESET, "99999999999999.9999", "99999999999999.9999", id="the largest amount"),
        pytest.param(GERMAN, "1.234,50 €", "1234.5", id="a decimal comma, as the preset says"),
        pytest.param(PRESET, "", None, id="empty: no error"),
        pytest.param(PRESET, None, None, id="none: no error"),
    ],
)
def test_read_orders_reads_the_amount_as_the_preset_says(preset: Preset, text: str | None, amount: str | None) -> None:
    assert read(preset, amount=text)["amount"] == (amount and Decimal(amount))


@pytest.mark.parametrize(
    ("preset", "texts", "instant"),
    [
        pytest.param(PRESET, {"ordered_at": "2024-01-02 08:00"}, january(2), id="naive: in the shop's time zone"),
        pytest.param(
            PRESET, {"ordered_at": "2024-01-02 08:00", "platform": "shopify", "shop": "Mugs & more"}, january(2, 8),
            id="naive, of a shop in UTC",
        ),
        pytest.param(PRESET, {"ordered_at": "2024-01-02T02:00:00+02:00"}, january(2), id="with an offset: by it"),
        pytest.param(DAY_FIRST, {"ordered_at": "02/01/2024 08:00"}, january(2), id="in a format of the preset"),
        pytest.param(PRESET, {"ordered_at": None}, None, id="none: no error"),
        pytest.param(PRESET, {"ordered_at": " "}, None, id="blank: no error"),
        pytest.param(PRESET, {"ordered_at": "0000-00-00 00:00:00"}, None, id="MySQL's no date: no error"),
    ],
)  # fmt: skip
def test_read_orders_reads_a_time_in_the_zone_of_the_shop(
    preset: Preset, texts: dict[str, str | None], instant: datetime | None
) -> None:
    assert read(preset, **texts)["ordered_at"] == instant
    assert read(preset, **texts, updated_at=texts["ordered_at"])["source_updated_at"] == instant


@pytest.mark.parametrize(
    ("text", "currency"), [("CNY", "CNY"), (" eur ", "EUR"), ("ＵＳＤ", "USD"), (None, None), (" ", None)]
)
def test_read_orders_cleans_the_currency(text: str | None, currency: str | None) -> None:
    assert read(currency=text)["currency"] == currency


@pytest.mark.parametrize(("text", "currency"), [(None, "CAD"), ("$", "CAD"), ("¥", "¥"), ("EUR", "EUR")])
def test_read_orders_takes_the_currency_that_users_set_for_the_shop(text: str | None, currency: str) -> None:
    assert read(platform="shopify", shop="Mugs & more", amount="3", currency=text)["currency"] == currency


def test_read_orders_takes_the_word_of_the_mapping_for_a_symbol() -> None:
    assert read(PRESET.model_copy(update={"currency_symbols": {"$": "AUD"}}), currency="$")["currency"] == "AUD"


# --- read_orders: which rows are rejected -----------------------------------------------------------------------------

NAMED: Final = (7, "1")


@pytest.mark.parametrize(
    ("texts", "code", "named", "starts"),
    [
        pytest.param({"shop": None}, "MISSING_SHOP", (None, "1"), "shop: ", id="no shop"),
        pytest.param({"shop": " \n"}, "MISSING_SHOP", (None, "1"), "shop: ", id="a blank shop"),
        pytest.param({"platform": None}, "MISSING_SHOP", (None, "1"), "platform: ", id="no platform"),
        pytest.param({"order_id": None}, "MISSING_ORDER_ID", (7, None), "order_id: ", id="no order number"),
        pytest.param({"order_id": '=""'}, "MISSING_ORDER_ID", (7, None), "order_id: ", id="a spreadsheet's empty one"),
        pytest.param({"amount": "free"}, "BAD_AMOUNT", NAMED, "amount looks like aaaa: ", id="an amount in words"),
        pytest.param({"refunded_amount": "all"}, "BAD_AMOUNT", NAMED, "refunded_amount looks like aaa: ", id="refund"),
        pytest.param({"amount": "12,34"}, "BAD_AMOUNT", NAMED, "amount looks like 99,99: ", id="incomplete thousands"),
        pytest.param({"amount": "1.5E+3"}, "BAD_AMOUNT", NAMED, "amount looks like 9.9a+9: ", id="an exponent"),
        pytest.param({"amount": "1" + "0" * 14}, "BAD_AMOUNT", NAMED, "amount looks like 9", id="too many digits"),
        pytest.param({"amount": "12.50 zł"}, "BAD_AMOUNT", NAMED, "amount looks like 99.99 aa: ", id="an unknown sign"),
        pytest.param({"ordered_at": "yesterday"}, "BAD_TIMESTAMP", NAMED, "ordered_at looks like a", id="words"),
        pytest.param({"ordered_at": "2024-02-30"}, "BAD_TIMESTAMP", NAMED, "ordered_at looks like 9999-", id="no date"),
        pytest.param(
            {"ordered_at": "02/01/2024 08:00"}, "BAD_TIMESTAMP", NAMED, "ordered_at looks like 99/99/9999 99:99: ",
            id="a format of another preset",
        ),
        pytest.param({"updated_at": "45292.5"}, "BAD_TIMESTAMP", NAMED, "updated_at looks like 9", id="time of change"),
        pytest.param({"defect": "BAD_TEXT"}, "BAD_TEXT", NAMED, "The row holds ", id="what the reader has marked"),
        pytest.param(
            {"order_id": "1.23E+17"}, "ROUNDED_ORDER_ID", (7, "1.23E+17"), "order_id looks like 9.99a+99: ",
            id="a rounded order number",
        ),
        pytest.param(
            {"defect": "CONFLICTING_ORDER", "platform_order_id": "5"}, "CONFLICTING_ORDER", NAMED,
            "platform_order_id: several orders of the file ", id="different orders by their ids",
        ),
        pytest.param({"defect": "CONFLICTING_ORDER"}, "CONFLICTING_ORDER", NAMED, "shop: several ", id="or by shops"),
    ],
)  # fmt: skip
def test_read_orders_rejects_a_row_with_its_code_and_what_it_names(
    texts: dict[str, str | None], code: str, named: tuple[int | None, str | None], starts: str
) -> None:
    good, rejected = read_orders(frame_of(RAW, [raw_row(12, **texts)]), PRESET, SHOPS, TYPES)
    assert good.is_empty()
    assert rejected.drop("reason").rows() == [(12, *named, code)]
    (text,) = rejected["reason"]
    assert text.startswith(starts)
    assert code == "CONFLICTING_ORDER" or text.endswith(REASONS[code])


@pytest.mark.parametrize(
    ("order_id", "is_rounded"),
    [
        pytest.param("1.23E+17", True, id="a spreadsheet's"),
        pytest.param("1,23457E+17", True, id="with a decimal comma"),
        pytest.param("１．２３Ｅ＋１７", True, id="in full width"),
        pytest.param('="1.23e+17"', True, id="protected too late, in lower case"),
        pytest.param("1E+17", True, id="without decimals"),
        pytest.param("1.2345678901234567e17", True, id="a database's, without a sign"),
        pytest.param("7E10", False, id="an order number of letters and digits"),
        pytest.param("12E5", False, id="another"),
        pytest.param("123456789012345678", False, id="all digits"),
        pytest.param("A1.23E+17", False, id="more than a number"),
        pytest.param("1.23", False, id="no exponent"),
    ],
)
def test_read_orders_takes_no_rounded_number_for_an_order_number(order_id: str, is_rounded: bool) -> None:  # noqa: FBT001  # a parameter of the test
    good, rejected = read_orders(frame_of(RAW, [raw_row(order_id=order_id)]), PRESET, SHOPS, TYPES)
    assert (good.height, rejected["reason_code"].to_list()) == ((0, ["ROUNDED_ORDER_ID"]) if is_rounded else (1, []))


def test_read_orders_tells_all_faults_of_a_row_at_once_without_its_values() -> None:
    texts = {
        "order_id": "1.23E+17", "shop": None, "amount": "kim@x.test", "ordered_at": "31/12/24", "updated_at": "soon",
        "defect": "BAD_TEXT CONFLICTING_ORDER",
    }  # fmt: skip
    _, rejected = read_orders(frame_of(RAW, [raw_row(**texts)]), PRESET, SHOPS, TYPES)
    assert rejected["reason_code"].to_list() == ["BAD_TEXT"]
    (text,) = rejected["reason"]
    parts = (
        REASONS["BAD_TEXT"], "order_id looks like 9.99a+99: ", SHARED_BY_SHOPS, "shop: the row names none.",
        "amount looks like aaa@a.aaaa: ", "ordered_at looks like 99/99/99: ", "updated_at looks like aaaa: ",
    )  # fmt: skip
    places = [text.find(part) for part in parts]
    assert places == sorted(places)
    assert -1 not in places
    assert not any(value in text for value in ("kim", "31/12", "soon", "1.23"))


def test_read_orders_tells_a_shop_that_has_not_been_made_from_one_that_is_not_named() -> None:
    _, rejected = read_orders(frame_of(RAW, [raw_row(shop="unknown")]), PRESET, SHOPS, TYPES)
    assert_frame_equal(rejected, frame_of(REJECTED_SCHEMA, [(1, None, "1", "MISSING_SHOP", SHOP_NOT_MADE)]))


@pytest.mark.parametrize(
    ("texts", "entry"),
    [
        pytest.param({"order_id": "x" * 2600}, None, id="an order number that an index just holds"),
        pytest.param({"order_id": "x" * 2601}, "order_id", id="one byte more"),
        pytest.param({"order_type": "花" * 867}, "order_type", id="an order type of 2,601 bytes"),
        pytest.param({"shop": "x" * 2600}, "platform and shop together", id="platform and shop count together"),
        pytest.param({"remark": "x" * 5000}, None, id="no key: as long as it likes"),
    ],
)
def test_read_orders_rejects_a_key_that_no_index_can_hold(texts: dict[str, str], entry: str | None) -> None:
    raw = frame_of({**RAW, "remark": pl.String()}, [raw_row(**texts)])
    good, rejected = read_orders(raw, PRESET, SHOPS, TYPES)
    assert good.height == (entry is None)
    assert rejected["reason_code"].to_list() == (["BAD_TEXT"] if entry else [])
    assert all(reason.startswith(f"{entry}: ") for reason in rejected["reason"])


def test_read_orders_gives_each_raw_row_one_fate_whatever_its_neighbours_are() -> None:
    raw = [raw_row(1), raw_row(2, amount="free"), raw_row(3), raw_row(4, shop=None), raw_row(5, order_id="9")]
    good, rejected = read_orders(frame_of(RAW, raw), PRESET, SHOPS, TYPES)
    assert good.select("raw_id", "order_id").rows() == [(1, "1"), (3, "1"), (5, "9")]
    assert rejected.select("raw_id", "reason_code").rows() == [(2, "BAD_AMOUNT"), (4, "MISSING_SHOP")]


def test_read_orders_of_nothing_is_nothing() -> None:
    good, rejected = read_orders(frame_of(RAW, []), PRESET, SHOPS, TYPES)
    assert_frame_equal(good, versions())
    assert_frame_equal(rejected, frame_of(REJECTED_SCHEMA, []))


@pytest.mark.parametrize(
    ("texts", "shop_id", "order_id"),
    [
        pytest.param({"order_id": " １ "}, 7, "1", id="cleaned"),
        pytest.param({"shop": "unknown"}, None, "1", id="of no known shop"),
        pytest.param({"shop": None}, None, "1", id="without a shop"),
        pytest.param({"order_id": " "}, 7, None, id="without a number"),
        pytest.param({"amount": "free"}, 7, "1", id="a row that is rejected for something else belongs to its order"),
    ],
)
def test_order_keys_are_those_of_the_order_that_a_raw_row_belongs_to(
    texts: dict[str, str | None], shop_id: int | None, order_id: str | None
) -> None:
    keys = order_keys(frame_of(RAW, [raw_row(12, **texts)]), SHOPS)
    schema = {"raw_id": pl.Int64(), "shop_id": pl.Int32(), "order_id": pl.String()}
    assert_frame_equal(keys, frame_of(schema, [(12, shop_id, order_id)]))


# --- conflicts: versions of different orders under one number ---------------------------------------------------------


def identified(raw_id: int, identity: str | None, order_id: str = "1", day: int = 1) -> Row:
    return version(order_id, raw_id, platform_order_id=identity, source_updated_at=january(day))


@pytest.mark.parametrize(
    ("given", "known", "others"),
    [
        pytest.param([(1, "a"), (2, "a")], None, [], id="one order"),
        pytest.param([(1, None), (2, "a")], "b", [2], id="another one is stored"),
        pytest.param([(1, None), (2, None)], "b", [], id="no id conflicts with nothing"),
        pytest.param([(1, "a"), (2, "b"), (3, "a")], None, [2], id="the first by raw_id keeps the number"),
        pytest.param([(1, None), (2, "b"), (3, "a")], None, [3], id="the first that names an id"),
        pytest.param([(3, "a"), (2, "b")], None, [3], id="however the rows are sorted"),
        pytest.param([(1, "a"), (2, "b")], "b", [1], id="the stored one keeps it"),
        pytest.param([(1, "a"), (2, "b")], "c", [1, 2], id="neither is stored"),
    ],
)
def test_a_number_belongs_to_the_stored_id_or_else_to_the_first(
    given: list[tuple[int, str | None]], known: str | None, others: list[int]
) -> None:
    every = versions(*(identified(*one) for one in given), identified(9, "x", order_id="2"))
    before = stored(identified(0, known)) if known else stored()
    same, other = split_conflicts(every, newest_versions(every), before)
    assert other["raw_id"].to_list() == [raw_id for raw_id, _ in given if raw_id in others]
    assert sorted(same["raw_id"].to_list() + other["raw_id"].to_list()) == sorted(every["raw_id"])
    assert reject_conflicts(other)["reason"].to_list() == [OTHER_ORDER_STORED] * len(others)


@pytest.mark.parametrize(
    ("old", "new", "kept", "names_identity"),
    [
        pytest.param(None, "a", "a", True, id="filled"),
        pytest.param("a", None, "a", False, id="kept"),
        pytest.param("a", "a", "a", False, id="known"),
        pytest.param(None, None, None, False, id="none"),
    ],
)
def test_an_order_keeps_the_first_id_that_is_known(
    old: str | None,
    new: str | None,
    kept: str | None,
    names_identity: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    (decided,) = compare_with_stored(versions(identified(9, new)), stored(identified(2, old))).to_dicts()
    assert (decided["platform_order_id"], decided["names_identity"], decided["change"]) == (
        kept, names_identity, "unchanged",
    )  # fmt: skip


def test_the_newest_version_has_the_id_that_an_older_one_names() -> None:
    given = versions(identified(1, "a", day=1), identified(2, None, day=2), identified(3, None, order_id="2"))
    found = with_known_identity(newest_versions(given), given)
    assert dict(found.select("order_id", "platform_order_id").iter_rows()) == {"1": "a", "2": None}
