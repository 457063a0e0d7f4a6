"""Processes are read as documented, from JSON and from free text, of lines and of whole orders."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.order_items.transform import UNREADABLE_SCHEMA, read_items
from etl_assets.process_items.transform import PROCESS_SCHEMA, read_processes
from etl_assets.values.numbers import NumberFormat
from etl_assets_tests.helpers.reference_items import BadItems, BadProcesses, reference_items, reference_processes
from etl_assets_tests.test_item_grammar import ANY, FREE, JSON_TEXT, PROCESS, SPACING, dump, mutated

NUMBERS = NumberFormat()

Process = tuple[str, str | None, int]


def orders(texts: list[tuple[str | None, str | None]]) -> pl.DataFrame:
    rows = [(1, f"o{number}", number + 100, *pair) for number, pair in enumerate(texts)]
    schema = {
        "shop_id": pl.Int32, "order_id": pl.String, "raw_id": pl.Int64, "items": pl.String, "processes": pl.String,
    }  # fmt: skip
    return pl.DataFrame(rows, schema=schema, orient="row")


def read(texts: list[tuple[str | None, str | None]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    frame = orders(texts)
    return read_processes(frame, read_items(frame, NUMBERS)[0])


FREE_TEXTS: list[tuple[str, list[Process]]] = [
    ("刺绣:左胸*2;丝印:后背", [("刺绣", "左胸", 2), ("丝印", "后背", 1)]),
    ("刺绣：左胸＊２；丝印：后背", [("刺绣", "左胸", 2), ("丝印", "后背", 1)]),
    ("Embroidery@left chest x2, print: back", [("Embroidery", "left chest", 2), ("print", "back", 1)]),
    ("烫画(胸口)x2", [("烫画", "胸口", 2)]),
    ("烫画（胸口、后背） 2张", [("烫画", "胸口、后背", 2)]),
    ("UV打印+激光雕刻", [("UV打印", None, 1), ("激光雕刻", None, 1)]),
    ("刺绣*0", [("刺绣", None, 0)]),
    ("😀绣:帽檐|丝印\n烫金", [("😀绣", "帽檐", 1), ("丝印", None, 1), ("烫金", None, 1)]),
    ("null", []),
    ("[]", []),
]


@pytest.mark.parametrize(("text", "expected"), FREE_TEXTS)
def test_free_text_reads_as_documented(text: str, expected: list[Process]) -> None:
    rows, unreadable = read([("A*2;B*3", text)])
    assert unreadable.height == 0
    assert rows.select("process_type", "position", "picture_count").rows() == expected
    assert rows["quantity"].to_list() == [5] * len(expected)
    assert rows["picture_print_quantity"].to_list() == [5 * count for _, _, count in expected]


def test_processes_of_lines_count_their_lines_quantity() -> None:
    items = (
        '[{"name": "a", "quantity": 3, "processes": [{"process": "绣", "position": "胸", "pictures": 2},'
        ' {"process": "印"}]},'
        ' {"name": "b"}, {"name": "c", "quantity": -1, "processes": "UV:front*4"}]'
    )
    rows, unreadable = read([(items, "烫")])
    assert unreadable.height == 0
    assert rows.drop("shop_id", "order_id", "raw_id").rows() == [
        (0, 1, "烫", None, 1, 3, 3),
        (1, 1, "绣", "胸", 2, 3, 6),
        (1, 2, "印", None, 1, 3, 3),
        (3, 1, "UV", "front", 4, -1, -4),
    ]


BAD: dict[tuple[str | None, str | None], str] = {
    (None, "刺绣*-1"): "process 1 has a number of pictures that is not a whole number from 0",
    (None, "刺绣*99999999999"): "process 1 has a number of pictures that is not a whole number from 0",
    (None, "绣;:左胸"): "process 2 has no process type",
    (None, "a\0"): "the text holds a NUL character",
    (None, "[broken"): "the text is not a JSON array of objects",
    (None, '{"process": "a"}'): "the text is not a JSON array of objects",
    (None, '[{"process": "a"}, null]'): "process 2 is not an object",
    (
        None,
        '[{"process": "a", "pictures": 1.5}]',
    ): "process 1 has a number of pictures that is not a whole number from 0",
    (None, '[{"process": "a", "position": "\\u0000"}]'): "process 1 holds a NUL character",
    (
        '[{"name": "a", "processes": ["x"]}]',
        None,
    ): "the text is not a JSON array of objects",
    ('[{"name": "a", "processes": [{"position": "x"}]}]', "good"): "process 1 has no process type",
}


@pytest.mark.parametrize(("texts", "reason"), BAD.items())
def test_unreadable_processes_yield_none_for_their_order_only(
    texts: tuple[str | None, str | None], reason: str
) -> None:
    rows, unreadable = read([("a", "good"), texts, ("a", "good")])
    assert rows["order_id"].to_list() == ["o0", "o2"]
    assert unreadable["order_id"].to_list() == ["o1"]
    assert unreadable["reason_code"].to_list() == ["BAD_PROCESSES"]
    place = "the order" if texts[0] is None else "the line 1"
    assert unreadable["reason"][0] == f"processes of {place}: {reason}"


def test_a_total_quantity_beyond_the_store_is_unreadable() -> None:
    rows, unreadable = read([("a*2147483647;b*1", "绣"), ("a*2147483647;b*1", None), ("a*2147483647", "绣*2147483647")])
    assert unreadable["order_id"].to_list() == ["o0"]
    assert rows["picture_print_quantity"].to_list() == [2147483647**2]


@pytest.mark.slow
def test_an_order_of_the_most_processes_loads_and_one_more_is_refused() -> None:
    def parts(count: int) -> list[str]:
        return ["[" + ",".join(['{"process":"a"}'] * count) + "]", "a+" * count, "a;" * count]

    of_lines = '[{"name":"a","processes":"a+b"},{"name":"b"}]'
    texts: list[tuple[str | None, str | None]] = [
        *(("a", text) for text in parts(50_000)),
        *(("a", text) for text in parts(50_001)),
        *((of_lines, text) for text in (*parts(49_998)[:2], *parts(49_999)[:2])),
        ("a", "a"),
    ]
    rows, unreadable = read(texts)
    assert unreadable["raw_id"].to_list() == [103, 104, 105, 108, 109]
    assert unreadable["reason"].to_list() == [
        *["processes of the order: more than 50,000 processes"] * 3,
        *["the order has more than 50,000 processes"] * 2,
    ]
    assert rows.group_by("raw_id", maintain_order=True).len()["len"].to_list() == [*[50_000] * 5, 1]
    assert [raw_id for raw_id, pair in enumerate(texts, 100) if refused_by_the_reference(*pair)] == [
        103, 104, 105, 108, 109,
    ]  # fmt: skip


def refused_by_the_reference(items: str | None, processes: str | None) -> bool:
    try:
        reference_processes(processes, reference_items(items, NUMBERS))
    except BadProcesses:
        return True
    return False


def test_empty_frames_keep_the_schemas() -> None:
    rows, unreadable = read([])
    assert rows.schema == PROCESS_SCHEMA
    assert unreadable.schema == UNREADABLE_SCHEMA


PIECES = st.sampled_from(
    [
        "刺绣", "Print", "UV打印", "左胸", "left chest", ":", "：", "@", "(", ")", "[", "]", "【", "】",
        "(胸口)", "[后背]", "*", "x", "×",
        "2", "*2", "x3", "*-1", "2张", "处", "个", ";", "；", ",", "、", "\n", "|", "+", " ", " ", "-", ".",
        "😀", "\0",
    ]
)  # fmt: skip
PROCESS_TEXT = st.lists(PIECES, max_size=12).map("".join)
PROCESS_JSON = st.builds(
    lambda value, indent, escape: dump(value, indent, escape=escape),
    st.lists(PROCESS | PROCESS | ANY, max_size=3),
    SPACING,
    st.booleans(),
)
PROCESSES = st.one_of(st.none(), PROCESS_TEXT, PROCESS_TEXT, PROCESS_JSON, mutated(PROCESS_JSON))


@settings(max_examples=2 * settings().max_examples)
@given(st.lists(st.tuples(st.one_of(FREE, JSON_TEXT, JSON_TEXT), PROCESSES), max_size=5))
def test_processes_agree_with_the_reference(texts: list[tuple[str | None, str | None]]) -> None:
    rows, unreadable = read(texts)
    expected: list[dict[str, Any]] = []
    bad = []
    for raw_id, (items, processes) in enumerate(texts, 100):
        try:
            lines = reference_items(items, NUMBERS)
        except BadItems:
            lines = []
        try:
            expected += [{"raw_id": raw_id, **row} for row in reference_processes(processes, lines)]
        except BadProcesses:
            bad.append(raw_id)
    assert unreadable["raw_id"].to_list() == bad
    assert rows.drop("shop_id", "order_id").select(["raw_id", *rows.columns[2:-1]]).to_dicts() == expected
