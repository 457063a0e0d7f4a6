"""The rules of order lines as tables of cases: what the items of an order say, whichever way they are written."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from etl_assets.order_items.transform import (
    BAD_ITEMS,
    LINE_SCHEMA,
    UNREADABLE_SCHEMA,
    join_faults,
    read_items,
    unreadable,
)
from etl_assets.values.numbers import NumberFormat
from etl_assets_tests.helpers.literal_frames import frame_of

ORDERS: Final = {"shop_id": pl.Int32(), "order_id": pl.String(), "raw_id": pl.Int64(), "items": pl.String()}
POINT: Final = NumberFormat()
COMMA: Final = NumberFormat(decimal=",", thousands=".")


def orders(*items: str | None) -> pl.DataFrame:
    """Orders "a", "b", … of shop 7, from the raw rows 11, 12, …, with these items."""
    return frame_of(ORDERS, [(7, "abcdef"[at], 11 + at, text) for at, text in enumerate(items)])


def test_read_items_makes_a_line_of_each_item_in_the_order_of_the_text() -> None:
    given = orders(
        '[{"name": "Mug", "variant": "白;L", "sku": "M-1", "quantity": 2, "unit_price": "12.50",'
        ' "processes": "刺绣:左胸", "personalisation": "Ａnna"}, {"sku": "C-2"}]',
        "杯子*3; Mug (White) @1.5",
    )
    lines, bad = read_items(given, POINT)
    expected = [
        (7, "a", 1, "Mug", "白;L", "M-1", 2, Decimal("12.5"), 11, "刺绣:左胸", "Ａnna"),
        (7, "a", 2, None, None, "C-2", 1, None, 11, None, None),
        (7, "b", 1, "杯子", None, None, 3, None, 12, None, None),
        (7, "b", 2, "Mug", "White", None, 1, Decimal("1.5"), 12, None, None),
    ]
    assert_frame_equal(lines, frame_of(LINE_SCHEMA, expected))
    assert bad.is_empty()


def test_read_items_of_orders_that_can_not_be_read_are_none_and_leave_the_others_alone() -> None:
    given = orders("Mug", '[{"name": "a"}, {"variant": "b"}]', None, "[broken", '[{"name": "Cup"}]')
    lines, bad = read_items(given, POINT)
    assert lines.select("order_id", "product").rows() == [("a", "Mug"), ("e", "Cup")]
    expected = [
        (12, 7, "b", "BAD_ITEMS", "line 2 has neither a name nor a sku"),
        (14, 7, "d", "BAD_ITEMS", "the text is not a JSON array of objects"),
    ]
    assert_frame_equal(bad, frame_of(UNREADABLE_SCHEMA, expected))


@pytest.mark.parametrize(
    "layout", ['[{{"name":"Mug","personalisation":{}}}]', '[{{"personalisation": {}, "sku": "M"}}]']
)
@pytest.mark.parametrize(
    ("written", "personalisation"),
    [
        pytest.param("\"Ａnna ① × 2, *3; 'Bob'\"", "Ａnna ① × 2, *3; 'Bob'", id="as it was written, no grammar"),
        pytest.param('"two\\nlines: \\"A\\""', 'two\nlines: "A"', id="line breaks and quotes"),
        pytest.param('" Bob\\t"', "Bob", id="without blanks around it"),
        pytest.param('" "', None, id="blank: none"),
    ],
)
def test_read_items_leaves_the_personalisation_as_the_buyer_wrote_it(
    layout: str, written: str, personalisation: str | None
) -> None:
    lines, bad = read_items(orders(layout.format(written)), POINT)
    assert bad.is_empty()
    assert lines.select("personalisation", "quantity", "processes").rows() == [(personalisation, 1, None)]


@pytest.mark.parametrize(
    ("items", "quantity"),
    [
        pytest.param("Mug", 1, id="not given: one"),
        pytest.param('[{"name": "Mug"}]', 1, id="not given in JSON: one"),
        pytest.param('[{"name": "Mug", "quantity": null}]', 1, id="null: one"),
        pytest.param('[{"name": "Mug", "quantity": " "}]', 1, id="blank: one"),
        pytest.param("Mug*3", 3, id="counted in free text"),
        pytest.param("Mug＊３", 3, id="full-width"),
        pytest.param("Mug 3件", 3, id="with a unit"),
        pytest.param('[{"name": "Mug", "quantity": 3}]', 3, id="a JSON number"),
        pytest.param('[{"name": "Mug", "quantity": "3"}]', 3, id="a text"),
        pytest.param('[{"name": "Mug", "quantity": 0}]', 0, id="zero stays zero"),
        pytest.param("Mug*-2", -2, id="a return in free text"),
        pytest.param('[{"name": "Mug", "quantity": -2}]', -2, id="a return in JSON"),
        pytest.param('[{"name": "Mug", "quantity": 2147483647}]', 2147483647, id="the largest"),
    ],
)
def test_read_items_reads_the_quantity(items: str, quantity: int) -> None:
    lines, _ = read_items(orders(items), POINT)
    assert lines.select("product", "quantity").rows() == [("Mug", quantity)]


@pytest.mark.parametrize(
    ("numbers", "items", "price"),
    [
        pytest.param(POINT, '[{"name": "a", "unit_price": "1,250.5"}]', "1250.5", id="a text, in the export's format"),
        pytest.param(COMMA, '[{"name": "a", "unit_price": "1.250,5"}]', "1250.5", id="another export's format"),
        pytest.param(COMMA, '[{"name": "a", "unit_price": 1.25}]', "1.25", id="a JSON number is JSON's whatever it is"),
        pytest.param(POINT, '[{"name": "a", "unit_price": "￥3"}]', "3", id="with a currency sign"),
        pytest.param(POINT, '[{"name": "a", "unit_price": 0}]', "0", id="zero is a price"),
        pytest.param(POINT, '[{"name": "a", "unit_price": 0.00005}]', "0", id="further decimals: half to even, down"),
        pytest.param(POINT, '[{"name": "a", "unit_price": 0.00015}]', "0.0002", id="half to even, up"),
        pytest.param(POINT, '[{"name": "a", "unit_price": ""}]', None, id="empty: none"),
        pytest.param(POINT, "a @1,250.50 x2", "1250.5", id="in free text"),
        pytest.param(COMMA, "a @1.250,50 x2", "1250.5", id="in free text of another export"),
    ],
)
def test_read_items_reads_the_price_in_the_number_format(numbers: NumberFormat, items: str, price: str | None) -> None:
    lines, _ = read_items(orders(items), numbers)
    assert lines.select("product", "unit_price").rows() == [("a", price and Decimal(price))]


@pytest.mark.parametrize(
    ("processes", "text"),
    [
        pytest.param('"刺绣:左胸*2"', "刺绣:左胸*2", id="a text"),
        pytest.param('"[broken"', "[broken", id="a text that can not be read: that is for process_items to say"),
        pytest.param("null", None, id="null"),
    ],
)
def test_read_items_hands_the_processes_of_a_line_on_as_they_are(processes: str, text: str | None) -> None:
    lines, _ = read_items(orders(f'[{{"name":"a","processes":{processes}}}]'), POINT)
    assert lines["processes"].to_list() == [text]


def test_read_items_hands_an_array_of_processes_on_as_json() -> None:
    lines, _ = read_items(
        orders('[{"name":"a","processes":[{"process":"刺绣","pictures":2},{"process":"印"}]}]'), POINT
    )
    handed_on = json.loads(lines["processes"].item())
    assert [(one["process"], one.get("pictures")) for one in handed_on] in (
        [("刺绣", 2), ("印", None)],
        [("刺绣", "2"), ("印", None)],
    )


def test_unreadable_names_the_order_of_each_fault() -> None:
    keys = frame_of(
        {"row": pl.UInt32(), "shop_id": pl.Int32(), "order_id": pl.String(), "raw_id": pl.Int64()},
        [(0, 7, "a", 11), (1, 7, "b", 12), (2, 8, "a", 13)],
    )
    faults = frame_of({"row": pl.UInt32(), "reason": pl.String()}, [(2, "too long"), (1, "line 1 is odd")])
    expected = [(13, 8, "a", "BAD_ITEMS", "too long"), (12, 7, "b", "BAD_ITEMS", "line 1 is odd")]
    assert_frame_equal(unreadable(keys, faults, BAD_ITEMS), frame_of(UNREADABLE_SCHEMA, expected))


def test_join_faults_names_all_of_an_order_up_to_ten() -> None:
    schema = {"row": pl.UInt32(), "reason": pl.String()}
    given = frame_of(schema, [(1, "line 1 a"), (2, "line 1 b"), (1, "line 3 c"), *((3, f"f{at}") for at in range(12))])
    ten = "; ".join(f"f{at}" for at in range(10))
    expected = [(1, "line 1 a; line 3 c"), (2, "line 1 b"), (3, f"{ten}; and 2 more faults")]
    assert_frame_equal(join_faults(given, "row", "reason"), frame_of(schema, expected))
