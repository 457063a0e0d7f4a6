"""Tests of amounts that are sums: of columns, of rows, of quantity × unit price, with charges that count once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from etl_assets.orders.transform import read_orders
from etl_assets.presets.catalog import parse_mapping
from etl_assets.presets.model import Preset
from etl_assets.raw_orders.extract import ReadCounts, extract_raw_orders
from etl_assets.raw_orders.group_lines import group_lines
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.transform import to_raw_orders
from etl_assets_tests.helpers.in_process_reader import FileHere
from etl_assets_tests.helpers.literal_frames import frame_of
from etl_assets_tests.helpers.reference_files import Line, land_lines

if TYPE_CHECKING:
    from etl_assets.raw_orders.shared_numbers import Disagreement

Cells = dict[str, str | None]


def preset_of(amount: object, *, shape: str = "order", **changed: object) -> Preset:
    item = {"item": {"name": "Item", "quantity": "Qty", "unit_price": "Price"}} if shape == "line_item" else {}
    columns = {"shop": {"constant": "s"}, "order_id": "No.", "amount": amount}
    return Preset.model_validate({"name": "p", "shape": shape, "columns": columns, **item, **changed})


def frame(rows: list[Cells]) -> pl.DataFrame:
    headers = dict.fromkeys(name for row in rows for name in row)
    schema = {LINE_NUMBER: pl.Int64(), ROW_ERROR: pl.String(), **dict.fromkeys(headers, pl.String())}
    return frame_of(schema, [{LINE_NUMBER: number, **row} for number, row in enumerate(rows, 2)])


def landed(preset: Preset, *rows: Cells, found: list[Disagreement] | None = None) -> pl.DataFrame:
    lines = frame(list(rows))
    if preset.shape == "order":
        return to_raw_orders(lines, preset)
    return pl.concat(group_lines([lines], preset, found=found))


def amounts(preset: Preset, *rows: Cells) -> list[str | None]:
    return landed(preset, *rows)["amount"].to_list()


ETSY_ORDERS: Final = preset_of(
    {"sum": {"plus": ["Order Value", ["Shipping", "Delivery"]], "minus": ["Discount Amount", "Shipping Discount"]}}
)
ETSY_ITEMS: Final = preset_of(
    {
        "sum": {
            "plus_rows": ["Item Total"],
            "plus": ["Order Shipping"],
            "minus": ["Discount Amount", "Shipping Discount"],
        }
    },
    shape="line_item",
)
AMAZON: Final = preset_of(
    {
        "sum": {
            "plus_rows": ["item-price", "shipping-price", "gift-wrap-price"],
            "minus_rows": ["item-promotion-discount", "ship-promotion-discount"],
        }
    },
    shape="line_item",
)
LAZADA: Final = preset_of({"sum": {"plus_rows": ["paidPrice", "shippingFee"]}}, shape="line_item")


@pytest.mark.parametrize(
    ("preset", "rows", "amount"),
    [
        pytest.param(
            ETSY_ORDERS,
            [{"Order Value": "40.00", "Shipping": "5.00", "Discount Amount": "4.00", "Shipping Discount": "0.00"}],
            "41",
            id="several columns of one row, some with minus",
        ),
        pytest.param(
            ETSY_ORDERS, [{"Order Value": "40.00", "Delivery": "5.00", "Discount Amount": ""}], "45",
            id="another header of the same part; a blank part counts as 0",
        ),
        pytest.param(ETSY_ORDERS, [{"Order Value": " ", "Shipping": None}], None, id="nothing filled: no amount"),
        pytest.param(
            ETSY_ITEMS,
            [
                {"Item Total": "20.00", "Order Shipping": "5.00", "Discount Amount": "3.00"},
                {"Item Total": "10.50", "Order Shipping": "5.00", "Discount Amount": "3.00"},
            ],
            "32.5",
            id="line totals of all rows; charges that stand on each row once",
        ),
        pytest.param(
            ETSY_ITEMS,
            [{"Item Total": "20.00", "Order Shipping": None}, {"Item Total": "1.00", "Order Shipping": "5.00"}],
            "26",
            id="a charge that stands on a later row only",
        ),
        pytest.param(
            AMAZON,
            [
                {"item-price": "30.00", "shipping-price": "4.99", "item-promotion-discount": "3.00"},
                {"item-price": "10.00", "shipping-price": None, "gift-wrap-price": "2.50"},
            ],
            "44.49",
            id="each column of each row",
        ),
        pytest.param(
            LAZADA, [{"paidPrice": "9.90", "shippingFee": "1"}, {"paidPrice": "9.90", "shippingFee": "0"}], "20.8",
            id="rows that are units",
        ),
        pytest.param(
            preset_of({"sum": {"plus": ["Shipping"], "minus": ["Off"]}}, shape="line_item", amount_from_items=True),
            [
                {"Qty": "2", "Price": "3.3333", "Shipping": "4", "Off": "0.5"},
                {"Qty": "3", "Price": "1", "Shipping": "4", "Off": "0.5"},
            ],
            "13.1666",
            id="quantity × unit price, with a charge and a discount of the order",
        ),
        pytest.param(
            preset_of({"sum": {"minus": ["Back"]}}), [{"Back": "-3.20"}], "3.2", id="a sign that is turned round"
        ),
        pytest.param(
            preset_of({"sum": {"plus": ["A", "B"]}}, numbers={"decimal": ","}), [{"A": "1.000,10", "B": "€0,20"}],
            "1000,3", id="the notation of the export",
        ),
    ],
)  # fmt: skip
def test_an_amount_is_the_exact_sum_of_its_parts(preset: Preset, rows: list[Cells], amount: str | None) -> None:
    assert amounts(preset, *({"No.": "1", **row} for row in rows)) == [amount]


def test_orders_are_summed_apart() -> None:
    rows = [("1", "1"), ("2", "10"), ("1", "2"), (None, "5"), (None, "6")]
    read = amounts(LAZADA, *({"No.": number, "paidPrice": price} for number, price in rows))
    assert read == ["3", "10", "5", "6"]


def test_the_parts_stay_in_extra() -> None:
    (order,) = landed(ETSY_ORDERS, {"No.": "1", "Order Value": "40.00", "Discount Amount": "4.00"}).to_dicts()
    assert (order["amount"], order["extra"]) == ("36", '{"Order Value":"40.00","Discount Amount":"4.00"}')


def test_refunds_are_sums_too() -> None:
    columns = {"order_id": "No.", "amount": "Total", "refunded_amount": {"sum": {"plus_rows": ["refund"]}}}
    preset = preset_of("Total", shape="line_item", columns=columns)
    orders = landed(
        preset,
        {"No.": "1", "Total": "30", "refund": "5.5"},
        {"No.": "1", "Total": "30", "refund": "4.5"},
        {"No.": "2", "Total": "7", "refund": None},
    )
    assert orders.select("amount", "refunded_amount").rows() == [("30", "10"), ("7", None)]


# --- parts that can't be read -----------------------------------------------------------------------------------------

SHOPS: Final = frame_of(
    {"shop_id": pl.Int32(), **dict.fromkeys(("platform", "shop_name", "timezone", "default_currency"), pl.String())},
    [(7, "p", "s", "UTC", None)],
)
TYPES: Final = frame_of(dict.fromkeys(("order_type", "system_order_type"), pl.String()), [(None, "BULK")])


def reasons(preset: Preset, *rows: Cells) -> list[str]:
    """Reasons of the orders that are held back; the code of each is BAD_AMOUNT."""
    raw = landed(preset, *({"No.": "1", **row} for row in rows)).with_columns(raw_id=pl.lit(1, pl.Int64))
    _, rejected = read_orders(raw, preset, SHOPS, TYPES)
    assert set(rejected["reason_code"]) <= {"BAD_AMOUNT"}
    return rejected["reason"].to_list()


NO_NUMBER: Final = "no number that the mapping's format allows, or beyond numeric(18,4)."


@pytest.mark.parametrize(
    ("preset", "rows", "reason"),
    [
        pytest.param(
            ETSY_ORDERS, [{"Order Value": "40", "Shipping": "Kim 5"}],
            "amount (Shipping or Delivery, line 2) looks like aaa 9: ", id="of one row",
        ),
        pytest.param(
            LAZADA, [{"paidPrice": "1"}, {"paidPrice": "2", "shippingFee": "12,5x"}, {"paidPrice": "bad"}],
            "amount (shippingFee, line 3) looks like 99,9a: ", id="the first one of several rows",
        ),
        pytest.param(
            ETSY_ITEMS, [{"Item Total": "1", "Order Shipping": "2"}, {"Item Total": "1", "Order Shipping": "?"}],
            "amount (Order Shipping, line 3) looks like ?: ", id="also where the row would not count",
        ),
        pytest.param(
            LAZADA, [{"paidPrice": "99999999999999"}] * 2, "amount looks like ", id="too large a sum has no place",
        ),
    ],
)  # fmt: skip
def test_a_part_that_can_not_be_read_holds_the_order_back_and_names_header_and_line(
    preset: Preset, rows: list[Cells], reason: str
) -> None:
    (found,) = reasons(preset, *rows)
    assert found.startswith(reason)
    assert found.endswith(NO_NUMBER)


def test_a_text_of_that_form_in_a_column_that_is_not_computed_is_a_value_and_not_shown() -> None:
    (reason,) = reasons(preset_of("Total"), {"Total": "Kim, line 3: x"})
    assert reason == f"amount looks like aaa, aaaa 9: a: {NO_NUMBER}"


# --- what the mapping may say, and what the file lacks ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "shape", "message"),
    [
        ({"sum": {}}, "order", "name at least one column in plus, minus, plus_rows or minus_rows"),
        ({"sum": {"plus": ["A", ["B", "A"]]}}, "order", "'A' is named twice"),
        ({"sum": {"plus": ["A"]}, "columns": ["B"]}, "order", "sum stands alone"),
        ({"sum": {"plus_rows": ["A"]}}, "order", "need shape: line_item"),
        ({"sum": {"plus": ["A"], "times": ["B"]}}, "line_item", "times"),
    ],
)
def test_a_sum_that_makes_no_sense_is_refused(amount: object, shape: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        preset_of(amount, shape=shape)


def test_only_amounts_are_sums() -> None:
    with pytest.raises(ValidationError, match="sum is for amount and refunded_amount only"):
        preset_of("A", columns={"order_id": "No.", "remark": {"sum": {"plus": ["A"]}}})


def test_rows_that_disagree_on_a_charge_that_counts_once_are_a_finding() -> None:
    found: list[Disagreement] = []
    rows = [("1", "5"), ("1", "5.00"), ("2", "1"), ("2", "3"), ("3", None), ("3", "3")]
    orders = landed(
        ETSY_ITEMS, *({"No.": number, "Item Total": "1", "Order Shipping": text} for number, text in rows), found=found
    )
    assert orders["amount"].to_list() == ["7", "3", "5"]
    assert [tuple(one) for one in found] == [("amount (Order Shipping)", 1, 4)]


@pytest.mark.parametrize("is_detected", [True, False])
def test_a_part_that_the_file_lacks_is_a_finding_of_the_import(tmp_path: Path, *, is_detected: bool) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("No.,order value,DELIVERY\n1,40.00,5.00\n")
    counts = ReadCounts()
    (orders,) = extract_raw_orders(FileHere(path), ETSY_ORDERS, counts, is_detected=is_detected)
    assert orders["amount"].to_list() == ["45"]
    found = [(one.code, one.subject) for one in counts.findings]
    assert found == [("MISSING_PART", "amount (Discount Amount)"), ("MISSING_PART", "amount (Shipping Discount)")]


def test_a_file_without_any_part_lacks_the_column(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("No.,Total\n1,40.00\n")
    counts = ReadCounts()
    (orders,) = extract_raw_orders(FileHere(path), ETSY_ORDERS, counts)
    assert (orders["amount"].to_list(), counts.unmatched) == ([None], ("amount",))


# --- against a plain loop ---------------------------------------------------------------------------------------------

HEADERS: Final = ("A", "B", "C", "D")
KEYS: Final = ("plus", "minus", "plus_rows", "minus_rows")
TEXT: Final = st.sampled_from(
    [None, "", " ", '=""', "1", "0.1", "-2.5555", "1,000.10", "$3", "0.00005", "99999999999999.9999", "x", "1E3", "1,0"]
)
ROW: Final = st.fixed_dictionaries(
    {
        "No.": st.sampled_from(["1", "2", None]),
        "Item": st.just("a"),
        "Qty": TEXT,
        "Price": TEXT,
        **dict.fromkeys(HEADERS, TEXT),
    }
)


@st.composite
def sums(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a sum of some of the columns, some of them alternatives of one part."""
    headers = list(draw(st.permutations(HEADERS)))[: draw(st.integers(1, 4))]
    parts: dict[str, list[list[str]]] = {}
    while headers:
        size = draw(st.integers(1, 2))
        part, headers = headers[:size], headers[size:]
        parts.setdefault(draw(st.sampled_from(KEYS)), []).append(part)
    return parts


@settings(max_examples=2 * settings().max_examples)
@given(rows=st.lists(ROW, min_size=1, max_size=8), columns=sums(), from_items=st.booleans(), by_order=st.booleans())
def test_sums_equal_a_plain_loop_in_decimals(
    rows: list[Cells], columns: dict[str, Any], *, from_items: bool, by_order: bool
) -> None:
    if by_order:
        columns = {key: columns[key] for key in ("plus", "minus") if key in columns} or {"plus": ["A"]}
        preset = preset_of({"sum": columns})
    else:
        preset = preset_of({"sum": columns}, shape="line_item", amount_from_items=from_items)
    expected = land_lines([Line(number, row) for number, row in enumerate(rows, 2)], preset)
    actual = dict(landed(preset, *rows).select("row_no", "amount").rows())
    assert actual == {one.row_no: one.columns["amount"] for one in expected}


# --- the documentation ------------------------------------------------------------------------------------------------


def test_the_example_of_the_documentation_is_right() -> None:
    page = (Path(__file__).parents[1] / "docs" / "importing.md").read_text(encoding="utf-8")
    (block,) = (text for text in page.split("```") if text.startswith("yaml\nname: craft_market"))
    preset = parse_mapping(block.removeprefix("yaml"), "importing.md")
    table = page.split("```" + block + "```\n\n")[1].split("\n\n")[0]
    header, *rows = [[cell.strip() or None for cell in line.strip("|").split("|")] for line in table.splitlines()]
    cells = [dict(zip(header[:6], row[:6], strict=True)) for row in rows[1:]]
    read = landed(preset, *({str(name): text for name, text in row.items()} for row in cells))
    computed = [tuple(row[6:]) for row in rows[1:] if row[6]]
    assert len(computed) == 3
    assert read.select("amount", "refunded_amount").rows() == computed
