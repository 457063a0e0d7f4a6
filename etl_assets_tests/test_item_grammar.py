"""Items are read as documented, from JSON and from free text, and a row that can't be read harms no other."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.order_items.transform import LINE_SCHEMA, UNREADABLE_SCHEMA, read_items
from etl_assets.values.numbers import NumberFormat
from etl_assets_tests.helpers.reference_items import BadItems, reference_items

PLAIN = NumberFormat()
GERMAN = NumberFormat(decimal=",", thousands=".")

Line = tuple[str | None, str | None, str | None, int, str | None]


def orders(texts: list[str | None]) -> pl.DataFrame:
    rows = [(1, f"o{number}", number + 100, text, None) for number, text in enumerate(texts)]
    schema = {
        "shop_id": pl.Int32, "order_id": pl.String, "raw_id": pl.Int64, "items": pl.String, "remark": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def lines_of(text: str | None, numbers: NumberFormat = PLAIN) -> list[Line] | str:
    lines, unreadable = read_items(orders([text]), numbers)
    if unreadable.height:
        assert lines.height == 0
        return str(unreadable["reason"][0])
    return [
        (row["product"], row["variant"], row["sku"], row["quantity"], row["unit_price"] and str(row["unit_price"]))
        for row in lines.iter_rows(named=True)
    ]


FREE_TEXTS: list[tuple[str, list[Line]]] = [
    ("定制T恤", [("定制T恤", None, None, 1, None)]),
    ("杯子*3", [("杯子", None, None, 3, None)]),
    ("杯子＊３；Ｍｕｇ　ｘ２", [("杯子", None, None, 3, None), ("Mug", None, None, 2, None)]),
    ("Mug x3, Cup X 2", [("Mug", None, None, 3, None), ("Cup", None, None, 2, None)]),
    ("Mug×3\nCup * 4", [("Mug", None, None, 3, None), ("Cup", None, None, 4, None)]),
    ("帆布包3件|抱枕 2 个", [("帆布包", None, None, 3, None), ("抱枕", None, None, 2, None)]),
    ("2 x Mug; 3× 杯子", [("Mug", None, None, 2, None), ("杯子", None, None, 3, None)]),
    ("Mug*-1", [("Mug", None, None, -1, None)]),
    ("Mug*0", [("Mug", None, None, 0, None)]),
    ("Mug (x3)", [("Mug", None, None, 3, None)]),
    ("T恤 颜色分类:白色;尺码:L", [("T恤", "颜色分类:白色;尺码:L", None, 1, None)]),
    (
        "T恤；颜色分类：白色；尺码：L＊2，杯子",
        [("T恤", "颜色分类:白色;尺码:L", None, 2, None), ("杯子", None, None, 1, None)],
    ),
    ("T恤[白色;L]x2", [("T恤", "白色;L", None, 2, None)]),
    ("Mug (White / L) x2", [("Mug", "White / L", None, 2, None)]),
    ("杯子【白色，大】2件", [("杯子", "白色,大", None, 2, None)]),
    ("Mug @12.50 x2", [("Mug", None, None, 2, "12.5000")]),
    ("Mug x2 @US$1,250.50, Cup", [("Mug", None, None, 2, "1250.5000"), ("Cup", None, None, 1, None)]),
    ("杯子 ￥12.5*2", [("杯子", None, None, 2, "12.5000")]),
    ("标题一，标题二,标题三、标题四", [(f"标题{n}", None, None, 1, None) for n in "一二三四"]),
    ("[白色]杯子*3", [("[白色]杯子", None, None, 3, None)]),
    ("【新品】杯子", [("【新品】杯子", None, None, 1, None)]),
    ("相框10*15", [("相框10*15", None, None, 1, None)]),
    ("Photo 10 x 15; iPhone15 *2", [("Photo 10 x 15", None, None, 1, None), ("iPhone15", None, None, 2, None)]),
    ("Linux3, 3XL shirt", [("Linux3", None, None, 1, None), ("3XL shirt", None, None, 1, None)]),
    ("餐具3件套", [("餐具3件套", None, None, 1, None)]),
    ("😀杯*2", [("😀杯", None, None, 2, None)]),
    ("杯子, *2", [("杯子", None, None, 2, None)]),
    ("Star Wars: The Game", [("Star Wars: The Game", None, None, 1, None)]),
    (";;\n,", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), FREE_TEXTS)
def test_free_text_reads_as_documented(text: str, expected: list[Line]) -> None:
    assert lines_of(text) == expected


@pytest.mark.parametrize("text", [None, "", "  ", "null", "[]", " [ ] "])
def test_no_items_is_no_error(text: str | None) -> None:
    assert lines_of(text) == []


def test_json_values_may_be_text_or_numbers_and_stay_exact() -> None:
    text = (
        '[{"name": " Ｍug ", "variant": "白;L", "sku": 1234567890123456789012.10, "quantity": "-2", '
        '"unit_price": 99999999999999.9999}, {"sku": "=\\"0012\\"", "unit_price": "¥1,250.5", "extra": [[{"a": 1}]]}]'
    )
    assert lines_of(text) == [
        ("Mug", "白;L", "1234567890123456789012.10", -2, "99999999999999.9999"),
        (None, None, "0012", 1, "1250.5000"),
    ]


@pytest.mark.parametrize("number", ["1.0", "-0", "1e5", "12345678901234567890123.5"])
def test_processes_that_are_a_number_stay_as_they_are_written(number: str) -> None:
    lines, unreadable = read_items(orders([f'[{{"name": "a", "processes": {number}}}]']), PLAIN)
    assert (lines["processes"].to_list(), unreadable.height) == ([number], 0)


@pytest.mark.parametrize("numbers", [GERMAN, NumberFormat(decimal="$", thousands='"'), NumberFormat(decimal="\\")])
def test_a_json_quantity_is_read_as_json_writes_it_and_text_as_the_export_does(numbers: NumberFormat) -> None:
    assert lines_of('[{"name": "a", "quantity": 1.000, "unit_price": 2.5}]', numbers) == [
        ("a", None, None, 1, "2.5000")
    ]
    grouped = json.dumps([{"name": "a", "quantity": f"1{numbers.thousands}000"}])
    assert lines_of(grouped, numbers) == [("a", None, None, 1000, None)]


def test_of_a_repeated_key_the_first_counts_be_it_text_or_a_number() -> None:
    text = '[{"name": "a", "unit_price": 3, "unit_price": "4", "quantity": 5, "quantity": "6"}]'
    assert lines_of(text) == [("a", None, None, 5, "3.0000")]


def test_a_json_number_is_not_read_in_the_exports_number_format() -> None:
    assert lines_of('[{"name": "a", "unit_price": 1.250}]', GERMAN) == [("a", None, None, 1, "1.2500")]
    assert lines_of('[{"name": "a", "unit_price": "1.250"}]', GERMAN) == [("a", None, None, 1, "1250.0000")]
    assert lines_of("a @12,50; b", GERMAN) == [("a", None, None, 1, "12.5000"), ("b", None, None, 1, None)]


BAD = {
    '[{"name": "a"}': "the text is not a JSON array of objects",
    '{"name": "a"': "the text is not a JSON array of objects",
    "[broken": "the text is not a JSON array of objects",
    '[{"name": "a"}],[{"name": "b"}]': "the text is not a JSON array of objects",
    '[{"name": "a"},]': "the text is not a JSON array of objects",
    '{"name": "a"}': "the text is not a JSON array of objects",
    "[1]": "the text is not a JSON array of objects",
    '[{"name": ["a"]}]': "the JSON holds something else than text and numbers",
    '[{"name": "a"}, null]': "line 2 is not an object",
    '[{"name": "a"}, {"variant": "b"}]': "line 2 has neither a name nor a sku",
    '[{"name": "a", "quantity": "many"}]': "line 1 has a quantity that is not a whole number in range",
    '[{"name": "a", "quantity": 1.5}]': "line 1 has a quantity that is not a whole number in range",
    '[{"name": "a", "quantity": 2147483648}]': "line 1 has a quantity that is not a whole number in range",
    '[{"name": "a", "unit_price": "free"}]': "line 1 has a unit_price that is not an amount in range",
    '[{"name": "a", "unit_price": 1e5}]': "line 1 has a unit_price that is not an amount in range",
    '[{"name": "a", "unit_price": 100000000000000}]': "line 1 has a unit_price that is not an amount in range",
    '[{"name": "a\\u0000b"}]': "line 1 holds a NUL character",
    '[{"name": "a"}, {"name": "b", "processes": "c\\u0000"}]': "line 2 holds a NUL character",
    '[{"name": "\\ud83d"}]': "the text is not a JSON array of objects",
    "a\0b": "the text holds a NUL character",
    "*3": "line 1 has neither a name nor a sku",
    "杯子*99999999999": "line 1 has a quantity that is not a whole number in range",
    "杯子*2;尺码:L*3": "line 1 has a quantity that is not a whole number in range",
}


@pytest.mark.parametrize(("text", "reason"), BAD.items())
def test_unreadable_items_say_what_is_wrong(text: str, reason: str) -> None:
    assert lines_of(text) == reason


def test_unreadable_rows_leave_their_neighbours_alone() -> None:
    splits = ["[[]", "]", '[]],[[{"z":[[2', "3]]}]", '[{"name":"a', '"}]', "[],[]", "[", '[{"name":"x"},{"name":"y"}']
    texts: list[str | None] = []
    for number, bad in enumerate([*splits, *BAD]):
        texts += [bad, f'[{{"name": "good {number}", "zzz": [[]]}}]', f"good {number}"]
    lines, unreadable = read_items(orders(texts), PLAIN)
    good = lines.filter(pl.col("product").str.starts_with("good")).select("raw_id", "product").rows()
    assert good == [
        (100 + 3 * number + kind, f"good {number}") for number in range(len(splits) + len(BAD)) for kind in (1, 2)
    ]
    assert set(unreadable["reason_code"]) == {"BAD_ITEMS"}
    assert set(unreadable["raw_id"]) >= {100 + 3 * (len(splits) + number) for number in range(len(BAD))}


def items_of(count: int) -> dict[str, str]:
    """So many lines, in each way of writing them that is read in a way of its own."""
    usual = ",".join(['{"name":"a"}'] * count)
    return {
        "usual": f"[{usual}]",
        "with blanks": f"[ {usual} ]",
        "odd": f'[{usual[:-1]},"z":{{"k":[","]}}}}]',
        "odd processes": f'[{usual[:-1]},"processes":["x"]}}]',
        "not an object at last": f"[{usual[:-12]}null]",
        "free text": "a;" * count,
        "of keys and values": "a" + ";k:v" * (count - 1),
    }


@pytest.mark.slow
def test_an_order_of_the_most_lines_loads_and_one_more_is_refused() -> None:
    most, more = items_of(10_000), items_of(10_001)
    agree([*most.values(), *more.values(), "a"], PLAIN)
    lines, unreadable = read_items(orders([*most.values(), *more.values(), "a"]), PLAIN)
    assert unreadable["raw_id"].to_list() == [104, *range(107, 114)]
    assert unreadable["reason"].to_list() == [
        "line 10000 is not an object",
        *["the text has more than 10,000 lines"] * 7,
    ]
    assert lines["raw_id"].n_unique() == 7


@pytest.mark.slow
def test_a_text_of_the_greatest_length_loads_and_a_longer_one_is_refused() -> None:
    around = len('[{"name":"a","z":""}]')
    texts = [f'[{{"name":"a","z":"{"x" * ((16 << 20) - around + more)}"}}]' for more in (0, 1)]
    lines, unreadable = read_items(orders([*texts, "a"]), PLAIN)
    assert lines["raw_id"].to_list() == [100, 102]
    assert unreadable["reason"].to_list() == ["the text is longer than 16 MiB"]
    assert [len(text) > 16 * 1024 * 1024 for text in texts] == [False, True]


def test_json_is_read_to_the_depth_of_127_levels() -> None:
    def nested(levels: int) -> list[str]:
        arrays, objects = ["[" * (levels - 2), "]" * (levels - 2)], ['{"k":' * (levels - 2), "1" + "}" * (levels - 2)]
        return [f'[{{"name":"[[[","z":{"".join(inner)}}}]' for inner in (arrays, objects)]

    agree([*nested(127), *nested(128), *nested(900)], PLAIN)
    lines, unreadable = read_items(orders([*nested(127), *nested(128)]), PLAIN)
    assert lines["raw_id"].to_list() == [100, 101]
    assert set(unreadable["reason"]) == {"the text is not a JSON array of objects"}


def test_processes_that_are_no_array_of_objects_are_kept_as_the_line_gives_them() -> None:
    text = (
        '[{"name":"a","processes":["x, ]",{"y":"}"}]}, {"name":"b","processes":{"process":"c"}},{"name":"c"},'
        '{"name":"d","processes":[{"process":"e"}], "z":[{"processes":1},[]]},{"name":"e","processes":"f"}]'
    )
    lines, unreadable = read_items(orders([text, ODD_PROCESSES, "[]"]), PLAIN)
    assert unreadable.height == 0
    assert lines["processes"].to_list() == [
        '["x, ]",{"y":"}"}]', '{"process":"c"}', None, '[{"process":"e"}]', "f", None, "[[]]",
    ]  # fmt: skip


ODD_PROCESSES = ' [ {"name" : "a" } , {"name":"b\\"}],","processes":[[]]} ] '


def test_an_empty_frame_keeps_the_schemas() -> None:
    lines, unreadable = read_items(orders([]), PLAIN)
    assert lines.schema == LINE_SCHEMA
    assert unreadable.schema == UNREADABLE_SCHEMA
    filled, none = read_items(orders(["a"]), PLAIN)
    assert filled.schema == LINE_SCHEMA
    assert none.schema == UNREADABLE_SCHEMA


FREE_PIECES = st.sampled_from(
    [
        "杯子", "Mug", "iPhone15", "T恤", "😀", "10", "L", "颜色分类:白色", "Size: L", "尺码：L", "Poster:",
        ":", "http://a",
        ";", "；", "\n", "\r\n", "|", ",", "，", "、", " ", " ", "　", "*", "×", "x", "X", "＊", "-", "+", "3",
        "２", "件", "个",
        "pcs", "PC", "@", "¥", "￥", "$", "US$", "USD", "元", "12.50", "1,250.00", "1.250,5", "(", ")", "[",
        "]", "【", "】",
        "（", "）", "(White / L)", "[白;L]", "x3", "*-1", "3件", "(x2)", "2 x ", ".", "/", "'", '="1"', "\x85",
        "½", "①", "null",
    ]
)  # fmt: skip
NAMES = st.sampled_from(
    ["杯子", "Mug", "iPhone15", "相框10", "😀", "Star Wars:", "[白]杯", "2", "Size:L", "颜色:白 大", ""]
)
GAPS = st.sampled_from(["", " ", "  "])
VARIANTS = st.sampled_from(["", "", "(White / L)", "[白;L]", "【大】", "size:L", "尺码：L", "a: b", "()", "(a)(b)"])
PRICES = st.sampled_from(["", "", "@12.50", "@ 1,250.00", "¥1.250,5", "US$3", "@3元", "@USD 5", "$-2", "@5.5 eur"])
COUNTS = st.builds(
    "".join,
    st.tuples(st.sampled_from(["", "*", "×", "x", "X", "(x", "-"]), GAPS, st.sampled_from(["", "3", "-1", "+2", "15"]))
    .map("".join)
    .flatmap(lambda text: st.tuples(st.just(text), GAPS, st.sampled_from(["", "件", "pcs", "个", "件套", ")"]))),
)
PREFIXES = st.sampled_from(["", "", "2 x ", "3×", "3x", "-1 * ", "10x15 "])
SEGMENTS = st.tuples(PREFIXES, NAMES, GAPS, VARIANTS, GAPS, PRICES, GAPS, COUNTS, GAPS, PRICES).map("".join)
SEPARATORS = st.sampled_from([";", "；", ",", "，", "、", "|", "\n", "; "])
LISTED = st.lists(st.tuples(SEGMENTS, SEPARATORS).map("".join), max_size=4).map("".join)
FREE = st.one_of(st.lists(FREE_PIECES, max_size=14).map("".join), LISTED, LISTED)
TEXT = st.one_of(
    st.sampled_from(["Mug", "杯子", "😀", "", " ", "Ａ", '="1"', "'1", 'q"q', "a\\b", "\0", "null", ": 5"]),
    st.just('"processes": "x"'),
    st.text(st.characters(codec="utf-8", max_codepoint=0x2FF), max_size=6),
)  # fmt: skip
NUMBER_TEXT = st.sampled_from(
    [
        "", "1", "-2", "3.0", "1.5", "x", "２", "2147483648", "-2147483648", "1,250.00", "1.250,00", "¥5", "5元", "$-5",
        "-US$ 5", "1.000", "1,000", "1.00001", "0.00005", "0.00015", "99999999999999.9999",
        "99999999999999.99995", "1,2", ".5", "5.", "1e5", " 8 ",
    ]
)  # fmt: skip
NUMBER = st.one_of(st.integers(-(2**70), 2**70), st.integers(-5, 5), st.floats(-1e9, 1e9).map(lambda x: round(x, 3)))
SCALAR = st.one_of(TEXT, NUMBER_TEXT, NUMBER, st.booleans(), st.none())
PROCESS = st.fixed_dictionaries({}, optional={"process": SCALAR, "position": SCALAR, "pictures": SCALAR})
ANY = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2), max_leaves=4
)
ITEM = st.fixed_dictionaries(
    {"name": st.one_of(TEXT, TEXT, TEXT, SCALAR)},
    optional={
        "variant": SCALAR, "sku": SCALAR, "quantity": NUMBER_TEXT | NUMBER, "unit_price": NUMBER_TEXT | NUMBER,
        "processes": st.one_of(st.lists(PROCESS, max_size=2), FREE, ANY), "other": ANY, "personalisation": SCALAR,
    },
)  # fmt: skip
ITEMS = st.lists(ITEM | ITEM | ITEM | ANY, max_size=3)
SPACING = st.sampled_from([None, 1])


def dump(value: Any, indent: int | None, *, escape: bool) -> str:
    return json.dumps(value, ensure_ascii=escape, indent=indent)


JSON_TEXT = st.builds(lambda value, indent, escape: dump(value, indent, escape=escape), ITEMS, SPACING, st.booleans())


@st.composite
def mutated(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    text = draw(texts)
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        inserted = draw(st.sampled_from([*'[]{}",:0-.e\\ x', "", "\\u0041", "\n", "],["]))
        text = text[:at] + inserted + text[at + draw(st.integers(0, 1)) :]
    return text


def agree(texts: list[str], numbers: NumberFormat) -> None:
    """The whole batch at once gives what the reference gives row by row."""
    lines, unreadable = read_items(orders(list(texts)), numbers)
    columns = ("line_no", "product", "variant", "sku", "quantity", "unit_price", "personalisation")
    expected: list[tuple[Any, ...]] = []
    bad = []
    for raw_id, text in enumerate(texts, 100):
        try:
            expected += [(raw_id, *(line[key] for key in columns)) for line in reference_items(text, numbers)]
        except BadItems:
            bad.append(raw_id)
    assert unreadable["raw_id"].to_list() == bad
    assert lines.select("raw_id", *columns).rows() == expected


@settings(max_examples=2 * settings().max_examples)
@given(st.lists(FREE | mutated(LISTED), max_size=8), st.sampled_from([PLAIN, GERMAN]))
def test_free_text_agrees_with_the_reference(texts: list[str], numbers: NumberFormat) -> None:
    agree(texts, numbers)


@settings(max_examples=2 * settings().max_examples)
@given(st.lists(mutated(JSON_TEXT) | JSON_TEXT, max_size=6), st.sampled_from([PLAIN, GERMAN]))
def test_json_agrees_with_the_reference(texts: list[str], numbers: NumberFormat) -> None:
    agree(texts, numbers)
