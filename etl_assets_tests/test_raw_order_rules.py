"""The rules that map the columns of an export to raw orders, as tables of cases; and those for rows with defects."""

from __future__ import annotations

import json
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from etl_assets.presets.column_mapping import ColumnMapping, ValueRule
from etl_assets.presets.model import Preset
from etl_assets.raw_orders.json_text import json_object, json_objects, json_text, json_text_literal
from etl_assets.raw_orders.readers.columns import BAD_TEXT, LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.readers.row_errors import as_table, with_row_errors, without_empty_rows
from etl_assets.raw_orders.transform import (
    RAW_ORDER_SCHEMA,
    blank_to_null,
    file_headers,
    mapped_value,
    order_constant,
    order_value,
    to_raw_orders,
    unmapped_headers,
)
from etl_assets_tests.helpers.literal_frames import frame_of

PRESET: Final = Preset.model_validate(
    {
        "name": "export",
        "columns": {
            "shop": {"columns": ["Store"], "constant": "main"},
            "order_id": "No.",
            "customer_name": ["Mail", "Phone"],
            "order_status": {"columns": ["Status"], "rules": [{"when": "Cancelled", "matches": ".", "value": "off"}]},
        },
    }
)
HEADERS: Final = ("Store", "No.", "Mail", "Phone", "Status", "Cancelled", "Note", "Tag")
LINES: Final = {LINE_NUMBER: pl.Int64(), ROW_ERROR: pl.String(), **dict.fromkeys(HEADERS, pl.String())}


def value_of(expression: pl.Expr, **texts: str | None) -> str | None:
    value: str | None = frame_of(dict.fromkeys(texts, pl.String()), [texts]).select(expression).item()
    return value


# --- to_raw_orders ----------------------------------------------------------------------------------------------------


def test_to_raw_orders_maps_each_row_and_leaves_the_text_as_it_is() -> None:
    lines: list[dict[str, Any]] = [
        {LINE_NUMBER: 2, "Store": " my shop ", "No.": "１", "Mail": "a@b.de", "Status": "paid", "Note": 'say "hi"\n'},
        {
            LINE_NUMBER: 4,
            ROW_ERROR: BAD_TEXT,
            "Store": "",
            "No.": "2",
            "Phone": "017",
            "Status": "paid",
            "Cancelled": "today",
        },
    ]
    expected: list[dict[str, Any]] = [
        {
            "row_no": 2, "platform": "export", "shop": " my shop ", "order_id": "１", "customer_name": "a@b.de",
            "order_status": "paid", "extra": r'{"Note":"say \"hi\"\n"}',
        },
        {
            "row_no": 4, "platform": "export", "shop": "main", "order_id": "2", "customer_name": "017",
            "order_status": "off", "defect": "BAD_TEXT",
        },
    ]  # fmt: skip
    assert_frame_equal(to_raw_orders(frame_of(LINES, lines), PRESET), frame_of(RAW_ORDER_SCHEMA, expected))


def test_file_headers_are_those_of_the_file_and_not_the_readers_own() -> None:
    assert file_headers(frame_of(LINES, [])) == HEADERS


def test_unmapped_headers_are_those_that_no_column_item_or_rule_names() -> None:
    assert unmapped_headers(HEADERS, PRESET) == ["Note", "Tag"]
    of_lines = Preset.model_validate(
        {"name": "x", "shape": "line_item", "columns": {"order_id": "No."}, "item": {"name": ["Title", "Name"]}}
    )
    assert unmapped_headers(["No.", "Name", "Qty", "Title"], of_lines) == ["Qty"]


# --- where a value comes from -----------------------------------------------------------------------------------------

FIRST_OF: Final = ColumnMapping(columns=("a", "b"), constant="none")
BY_RULE: Final = ColumnMapping(
    columns=("a",),
    rules=(
        ValueRule(when="b", matches="^refund", value="refunded"),
        ValueRule(when="b", matches=".", value="changed"),
        ValueRule(when="not in this file", matches="", value="never"),
    ),
)


@pytest.mark.parametrize(
    ("source", "a", "b", "value"),
    [
        pytest.param(FIRST_OF, "x", "y", "x", id="the first column"),
        pytest.param(FIRST_OF, None, "y", "y", id="the next where it is null"),
        pytest.param(FIRST_OF, " ", "y", "y", id="the next where it is blank"),
        pytest.param(FIRST_OF, '=""', "y", "y", id="the next where a spreadsheet says nothing"),
        pytest.param(FIRST_OF, "", None, "none", id="the constant where no column says anything"),
        pytest.param(FIRST_OF, " x ", None, " x ", id="text stays untouched"),
        pytest.param(BY_RULE, "x", "refund of 5", "refunded", id="the first rule that matches"),
        pytest.param(BY_RULE, "x", "no refund", "changed", id="the next rule"),
        pytest.param(BY_RULE, "x", None, "x", id="no rule matches: the column"),
        pytest.param(BY_RULE, None, None, None, id="nothing at all"),
        pytest.param(None, "x", "y", None, id="no source"),
    ],
)
def test_source_value_is_the_first_matching_rule_then_the_first_column_then_the_constant(
    source: ColumnMapping | None, a: str | None, b: str | None, value: str | None
) -> None:
    assert value_of(mapped_value(source, ("a", "b")), a=a, b=b) == value


def test_source_value_passes_over_columns_that_the_file_does_not_have() -> None:
    source = ColumnMapping(columns=("absent", "a"), constant="none")
    assert value_of(mapped_value(source, ("a",)), a="x") == "x"


@pytest.mark.parametrize(
    ("column", "with_constant", "value"),
    [
        pytest.param("shop", True, "main", id="the constant"),
        pytest.param("shop", False, None, id="without the constant"),
        pytest.param("platform", True, "export", id="the platform is the preset's name where it says nothing"),
        pytest.param("platform", False, None, id="the preset's name is a constant"),
        pytest.param("amount", True, None, id="a column that the preset does not name"),
    ],
)
def test_order_value_of_a_row_that_says_nothing_is_the_constant(
    column: str, value: str | None, *, with_constant: bool
) -> None:
    expression = order_value(PRESET, column, HEADERS, with_constant=with_constant)
    assert value_of(expression, **dict.fromkeys(HEADERS)) == value
    assert expression.meta.output_name() == column


@pytest.mark.parametrize(
    ("column", "constant"), [("shop", "main"), ("platform", "export"), ("order_id", None), ("amount", None)]
)
def test_order_constant_is_what_stands_where_the_export_says_nothing(column: str, constant: str | None) -> None:
    assert pl.select(order_constant(PRESET, column)).item() == constant


@pytest.mark.parametrize(
    ("text", "kept"), [("x", "x"), (" x ", " x "), ("", None), (" \t\n", None), ('=""', None), (None, None)]
)
def test_filled_keeps_what_says_anything_as_it_is(text: str | None, kept: str | None) -> None:
    assert value_of(blank_to_null(pl.col("text")), text=text) == kept


# --- what no mapping names, as JSON -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        pytest.param("x", "y", '{"a":"x","the \\"b\\"":"y"}', id="both"),
        pytest.param(None, "y", '{"the \\"b\\"":"y"}', id="null is left out"),
        pytest.param("", None, '{"a":""}', id="an empty text is not"),
        pytest.param(None, None, None, id="nothing left: null"),
    ],
)
def test_json_object_has_the_values_that_are_not_null(a: str | None, b: str | None, text: str | None) -> None:
    assert value_of(json_object({"a": pl.col("a"), 'the "b"': pl.col("b")}), a=a, b=b) == text


def test_json_object_of_no_values_is_null() -> None:
    assert pl.select(json_object({})).item() is None


@pytest.mark.parametrize(
    "text",
    ["plain", "", 'a "quote"', "back\\slash", "\\n", "line\nbreak\r\ttab", "\x01\x1f\x7f", "白色 😀", "\u2028", '\\"'],
)
def test_json_text_reads_back_as_the_text(text: str) -> None:
    written = value_of(json_text(pl.col("text")), text=text)
    assert json.loads(written or "") == text
    assert json_text_literal(text) == written


@given(st.data())
def test_json_objects_writes_what_json_object_does(data: st.DataObject) -> None:
    keys = ["a", 'the "b"', "c\\", "空"]
    some = data.draw(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=4), label="texts of this frame")
    rows = data.draw(st.lists(st.tuples(*[st.sampled_from(some)] * len(keys)), max_size=5), label="rows")
    frame = pl.DataFrame(rows, schema=dict.fromkeys(keys, pl.String), orient="row")
    columns = {key: key for key in keys}
    values = {key: pl.col(key) for key in keys}
    assert json_objects(frame, columns).to_list() == frame.select(json_object(values)).to_series().to_list()
    without_blank = frame.select(json_object({key: blank_to_null(value) for key, value in values.items()}))
    assert json_objects(frame, columns, blank_is_null=True).to_list() == without_blank.to_series().to_list()


TEXTS: Final = (
    None, "", " ", "\u3000", "\u2028", '=""', '＝"　"', "=1", "x", " x", "白色", 'a "b"', "back\\slash", "\n", "a\tb",
    "\x01", "\x7f", "$1",
)  # fmt: skip


# --- rows with defects, and empty rows --------------------------------------------------------------------------------

TWO: Final = {"a": pl.String(), "b": pl.String()}


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param("x", "y", ("x", "y", None), id="good"),
        pytest.param("x\0", "y", ("x␀", "y", BAD_TEXT), id="NUL is shown and marked"),
        pytest.param("\0\0", "\0", ("␀␀", "␀", BAD_TEXT), id="each NUL"),
        pytest.param(None, "\0", (None, "␀", BAD_TEXT), id="beside null"),
        pytest.param("␀", None, ("␀", None, None), id="the sign for it is a text like any other"),
    ],
)
def test_with_defects_marks_the_rows_that_hold_what_the_store_can_not(
    a: str | None, b: str | None, expected: tuple[str | None, ...]
) -> None:
    made = with_row_errors(frame_of(TWO, [("good", None), (a, b)]), ("a", "b"))
    schema = {**TWO, ROW_ERROR: pl.String()}
    assert_frame_equal(made, frame_of(schema, [("good", None, None), expected]), check_column_order=False)


def test_with_defects_leaves_rows_marked_that_are_marked_already() -> None:
    schema = {"a": pl.String(), ROW_ERROR: pl.String()}
    given = frame_of(schema, [("x", "cut off"), ("y", None), ("\0", None)])
    assert_frame_equal(
        with_row_errors(given, ["a"]), frame_of(schema, [("x", "cut off"), ("y", None), ("␀", BAD_TEXT)])
    )


def test_without_empty_rows_keeps_the_rows_that_say_something() -> None:
    given = frame_of({**TWO, LINE_NUMBER: pl.Int64()}, [("x", None, 1), (None, None, 2), ("", None, 3), ("", " ", 4)])
    assert without_empty_rows(given, ("a", "b"))[LINE_NUMBER].to_list() == [1, 4]


def test_as_table_is_the_frame_in_arrow() -> None:
    given = frame_of({**TWO, LINE_NUMBER: pl.Int64()}, [("x", None, 1), ("白", "", 2)])
    assert_frame_equal(pl.DataFrame(as_table(given)), given)
