"""How JSON arrays are read from a text column: told from free text, decoded, and no malformed row harms another one."""

from __future__ import annotations

from typing import Any, Final

import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from etl_assets.order_items.json_arrays import (
    FLAT_ARRAY,
    array_with,
    decode_arrays,
    decode_valid,
    explode_arrays,
    looks_like_json,
    quote_numbers,
    split_elements,
)
from etl_assets.order_items.usual_json import decode_exact
from etl_assets_tests.helpers.literal_frames import frame_of

TEXTS: Final = {"row": pl.UInt32(), "text": pl.String()}
OBJECTS: Final = pl.List(pl.Struct({"a": pl.String, "b": pl.String}))
DECODED: Final = {"row": pl.UInt32(), "decoded": OBJECTS}


def texts(*given: str) -> pl.DataFrame:
    return frame_of(TEXTS, list(enumerate(given)))


def is_matched(pattern: str, text: str) -> bool:
    matched: bool = pl.select(pl.lit(text).str.contains(f"^(?:{pattern})$")).item()
    return matched


@pytest.mark.parametrize(
    ("text", "is_json"),
    [
        pytest.param('[{"name": "a"}]', True, id="an array"),
        pytest.param(' \n{"name": "a"}', True, id="an object, behind white space"),
        pytest.param('[{"name":', True, id="one that is broken"),
        pytest.param("[]", True, id="an empty array"),
        pytest.param("[白色]", True, id="a bracket and nothing behind it"),
        pytest.param("[白色]杯子", False, id="a bracket that closes, and text behind it"),
        pytest.param("[new] [white] mug", False, id="two brackets, and text behind them"),
        pytest.param('["a"]杯子', True, id="a quote in the bracket"),
        pytest.param("[[a]]杯子", True, id="a bracket in the bracket"),
        pytest.param("杯子[白色]", False, id="a bracket at the end"),
        pytest.param("Mug", False, id="a name"),
        pytest.param("null", False, id="null"),
    ],
)
def test_looks_like_json_tells_json_from_free_text(text: str, *, is_json: bool) -> None:
    assert pl.select(looks_like_json(pl.lit(text))).item() is is_json


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        pytest.param('[{"n":1.50,"m":-2}]', '[{"n":"1.50","m":"-2"}]', id="digit for digit"),
        pytest.param('[{"n" : 1e5}]', '[{"n" : "1e5"}]', id="with an exponent, and blanks"),
        pytest.param('[{"n":"1"}]', '[{"n":"1"}]', id="quoted already"),
        pytest.param('[{"x":1}]', '[{"x":1}]', id="another key"),
        pytest.param('[{"n":null,"m":true}]', '[{"n":null,"m":true}]', id="no number"),
        pytest.param(r'[{"x":"\"n\":1"}]', r'[{"x":"\"n\":1"}]', id="within a text"),
        pytest.param(
            '[{"n":12345678901234567890.10}]', '[{"n":"12345678901234567890.10"}]', id="longer than any number"
        ),
    ],
)
def test_quote_numbers_quotes_the_bare_numbers_of_the_keys(text: str, quoted: str) -> None:
    assert pl.select(quote_numbers(pl.lit(text), ("n", "m"))).item() == quoted


@pytest.mark.parametrize(
    ("text", "is_flat", "is_nested"),
    [
        pytest.param("[]", True, True, id="empty"),
        pytest.param('[{}, {"a": "x", "b": -1.5}]', True, True, id="objects of texts and numbers"),
        pytest.param('[{"a":true,"b":null}]', True, True, id="booleans and null"),
        pytest.param(r'[{"a":"\"[{\\"}]', True, True, id="escaped quotes, and brackets in a text"),
        pytest.param('[{"a":"x","list":[{"b":"y"}]}]', False, True, id="an array under the key"),
        pytest.param('[{"a":[{"b":"y"}]}]', False, False, id="an array under another key"),
        pytest.param('[{"list":[{"list":[]}]}]', False, False, id="an array in that array"),
        pytest.param(r'[{"a":"\u0041"}]', False, False, id="an escape by number: for the careful way"),
        pytest.param('[{"a":01}]', False, False, id="no JSON number"),
        pytest.param('[{"a":"x"},]', False, False, id="a comma too many"),
        pytest.param('[{"a":"x"}]]', False, False, id="a bracket too many"),
        pytest.param('{"a":"x"}', False, False, id="no array"),
        pytest.param('["a"]', False, False, id="no objects"),
    ],
)
def test_array_with_matches_what_certainly_is_json(text: str, *, is_flat: bool, is_nested: bool) -> None:
    assert (is_matched(FLAT_ARRAY, text), is_matched(array_with("list"), text)) == (is_flat, is_nested)


DECODES: Final = [
    pytest.param('[{"a":"x","b":"y"}]', [{"a": "x", "b": "y"}], id="objects"),
    pytest.param('[{"b":"y","z":"w"}]', [{"a": None, "b": "y"}], id="a missing and an unknown key"),
    pytest.param('[null,{"a":"x"}]', [None, {"a": "x", "b": None}], id="null in place of an object"),
    pytest.param("[]", [], id="an empty array"),
]


@pytest.mark.parametrize(("text", "decoded"), DECODES)
def test_decode_arrays_decodes_arrays_of_objects(text: str, decoded: list[Any]) -> None:
    arrays = decode_arrays(texts(text), "text", OBJECTS, plain=FLAT_ARRAY, prepare=lambda text: text, most=10).arrays
    assert_frame_equal(arrays.select("row", "decoded"), frame_of(DECODED, [(0, decoded)]))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param('[{"a":"x"}]', "arrays", id="an array of objects"),
        pytest.param(r'[{"a":"\u00e9"}]', "arrays", id="one that is no plain one"),
        pytest.param("[null]", "arrays", id="null is what an object may be"),
        pytest.param('[{"a":["x"]}]', "others", id="a value of another type"),
        pytest.param('[{"a":{"x":1}}]', "others", id="an object for a text"),
        pytest.param('[{"a":"x"}', "malformed", id="not closed"),
        pytest.param('[{"a":"x"}],[{}]', "malformed", id="two arrays"),
        pytest.param('{"a":"x"}', "malformed", id="no array"),
        pytest.param('["x"]', "malformed", id="no objects"),
        pytest.param(f'[{{"a":{"[" * 130}{"]" * 130}}}]', "malformed", id="nested too deep"),
        pytest.param("[{},{},{},{}]", "too_long", id="more elements than it may have"),
        pytest.param("[null,null,null,null]", "too_long", id="more nulls"),
    ],
)
def test_decode_arrays_puts_each_text_in_one_place_whatever_its_neighbours_are(text: str, place: str) -> None:
    good = '[{"a":"good","b":"1"}]'
    found = decode_arrays(
        texts(good, text, good, "[[]", good), "text", OBJECTS, plain=FLAT_ARRAY, prepare=lambda text: text, most=3
    )
    places = {name: sorted(part["row"]) for name, part in found._asdict().items()}
    expected: dict[str, list[int]] = {"arrays": [0, 2, 4], "others": [], "malformed": [3], "too_long": []}
    expected[place] = sorted([*expected[place], 1])
    assert places == expected
    goods = found.arrays.filter(pl.col("row") != 1).select("row", "decoded")
    one = [{"a": "good", "b": "1"}]
    assert_frame_equal(goods, frame_of(DECODED, [(row, one) for row in (0, 2, 4)]), check_row_order=False)


def test_decode_arrays_prepares_the_texts_that_it_decodes() -> None:
    found = decode_arrays(
        texts('[{"a":1.50}]'),
        "text",
        OBJECTS,
        plain=FLAT_ARRAY,
        prepare=lambda text: quote_numbers(text, ("a",)),
        most=3,
    )
    assert_frame_equal(found.arrays.select("row", "decoded"), frame_of(DECODED, [(0, [{"a": "1.50", "b": None}])]))


def test_decode_valid_tells_the_texts_that_do_not_fit_the_type_from_the_others() -> None:
    given = ['[{"a":"x"}]'] * 40
    given[7] = given[38] = '[{"a":["x"]}]'
    arrays, others = decode_valid(texts(*given), "text", OBJECTS)
    assert others.rows() == [(7, '[{"a":["x"]}]'), (38, '[{"a":["x"]}]')]
    assert arrays["row"].to_list() == [row for row in range(40) if row not in {7, 38}]
    assert arrays["text"].to_list() == [[{"a": "x", "b": None}]] * 38


def test_decode_exact_decodes_what_is_known_to_be_of_the_type() -> None:
    given = texts('{"a":"é","n":1,"z":true}', '{"n":-2}')
    read = decode_exact(given, "text", pa.struct([("a", pa.string()), ("n", pa.int64())]))
    schema = {**TEXTS, "decoded": pl.Struct({"a": pl.String(), "n": pl.Int64()})}
    expected = [(*given.row(0), {"a": "é", "n": 1}), (*given.row(1), {"a": None, "n": -2})]
    assert_frame_equal(read, frame_of(schema, expected))


def test_decode_exact_of_no_texts_is_nothing() -> None:
    read = decode_exact(texts(), "text", pa.struct([("a", pa.string())]))
    assert_frame_equal(read, frame_of({**TEXTS, "decoded": pl.Struct({"a": pl.String()})}, []))


def test_explode_arrays_numbers_the_elements_of_each_array() -> None:
    one, two, three = ({"a": text, "b": None} for text in "xyz")
    given = frame_of(DECODED, [(7, [one, two]), (3, []), (5, [None, three])])
    schema = {"row": pl.UInt32(), "no": pl.Int32(), "is_object": pl.Boolean(), "a": pl.String(), "b": pl.String()}
    expected = [(7, 1, True, "x", None), (7, 2, True, "y", None), (5, 1, False, None, None), (5, 2, True, "z", None)]
    exploded = explode_arrays(given, "row", "no")
    assert_frame_equal(exploded, frame_of(schema, expected), check_column_order=False)


def test_split_elements_splits_arrays_into_the_texts_of_their_elements() -> None:
    given = frame_of(TEXTS, [(7, r'[{"a":"x, ]\""},{"b":[1,{"c":2}]} , null]'), (3, "[]"), (5, ' ["y"] ')])
    split = split_elements(given, "row", "text", "no")
    assert [(row, no, text.strip()) for row, no, text in split.select("row", "no", "text").rows()] == [
        (7, 1, r'{"a":"x, ]\""}'), (7, 2, '{"b":[1,{"c":2}]}'), (7, 3, "null"), (5, 1, '"y"'),
    ]  # fmt: skip
