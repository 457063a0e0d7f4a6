"""The grammar of items and processes written as free text, piece by piece: segments, counts, prices, variants."""

from __future__ import annotations

from typing import Any, Final

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from etl_assets.order_items.grammar import (
    ITEM_COUNT,
    ITEM_SEPARATORS,
    PROCESS_COUNT,
    PROCESS_SEPARATORS,
    count_text,
    prepare_text,
    read_free_text,
    split_segments,
    split_texts,
    without_count,
)
from etl_assets.values.numbers import NumberFormat
from etl_assets_tests.helpers.literal_frames import frame_of

TEXTS: Final = {"row": pl.UInt32(), "items": pl.String()}
SEGMENTS: Final = {
    "row": pl.UInt32(),
    "line_no": pl.Int32(),
    **dict.fromkeys(("name", "variant", "sku", "quantity", "unit_price"), pl.String()),
}


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        pytest.param("Ｍｕｇ＊２；（Ｌ）", "Mug*2;(L)", id="full-width forms"),
        pytest.param("a \t\u3000b", "a b", id="white space is one blank"),
        pytest.param("a \r\n \r b", "a\nb", id="with a line break in it: one line break"),
        pytest.param("颜色：白色", "颜色:白色", id="a full-width colon"),
        pytest.param("杯子、帽子", "杯子、帽子", id="a Chinese comma is no other form of a plain one"),
    ],
)
def test_prepare_text_normalises_forms_and_white_space(text: str, prepared: str) -> None:
    assert pl.select(prepare_text(pl.lit(text))).item() == prepared


@pytest.mark.parametrize(
    ("separators", "text", "segments"),
    [
        pytest.param(ITEM_SEPARATORS, "a;b,c、d|e\nf", list("abcdef"), id="each separator of items"),
        pytest.param(PROCESS_SEPARATORS, "a;b,c、d|e\nf+g", list("abcdefg"), id="each of processes: + too"),
        pytest.param(ITEM_SEPARATORS, "a+b", ["a+b"], id="+ separates no items"),
        pytest.param(ITEM_SEPARATORS, ";a;; b ;", ["a", "b"], id="empty ones are left out, blanks taken off"),
        pytest.param(ITEM_SEPARATORS, "T(a;b)x2;c", ["T(a;b)x2", "c"], id="within ( ) nothing is split"),
        pytest.param(ITEM_SEPARATORS, "T[a,b];c", ["T[a,b]", "c"], id="nor within [ ]"),
        pytest.param(ITEM_SEPARATORS, "T【a、b】;c", ["T【a、b】", "c"], id="nor within 【 】"),
        pytest.param(ITEM_SEPARATORS, "T(a;b", ["T(a", "b"], id="a bracket that is not closed protects nothing"),
        pytest.param(ITEM_SEPARATORS, ";;", [], id="nothing but separators"),
        pytest.param(ITEM_SEPARATORS, "", [], id="nothing"),
    ],
)
def test_split_segments_splits_at_separators_outside_brackets(separators: str, text: str, segments: list[str]) -> None:
    assert pl.select(split_segments(pl.lit(text), separators)).item().to_list() == segments


def test_split_segments_does_not_split_what_is_protected() -> None:
    split = split_segments(pl.lit("a 1,250,b 1,25"), ITEM_SEPARATORS, protected="[0-9],[0-9]{3}")
    assert pl.select(split).item().to_list() == ["a 1,250", "b 1", "25"]


def test_split_texts_makes_a_row_of_each_segment_and_names_the_texts_that_have_too_many() -> None:
    texts = frame_of(TEXTS, [(4, "a;b"), (5, "a;b;c;d"), (6, None), (7, ""), (8, "c;d;e")])
    pieces = split_segments(pl.col("items"), ITEM_SEPARATORS).alias("body")
    segments, too_long = split_texts(texts, "row", pieces, most=3)
    schema = {"row": pl.UInt32(), "body": pl.String()}
    assert_frame_equal(segments, frame_of(schema, [(4, "a"), (4, "b"), (8, "c"), (8, "d"), (8, "e")]))
    assert_frame_equal(too_long, frame_of({"row": pl.UInt32()}, [(5,)]))


COUNTS: Final = [
    pytest.param(ITEM_COUNT, "杯子*3", "3", "杯子", id="*"),
    pytest.param(ITEM_COUNT, "杯子×3", "3", "杯子", id="×"),
    pytest.param(ITEM_COUNT, "Mug x3", "3", "Mug", id="x behind a blank"),
    pytest.param(ITEM_COUNT, "Mug X 3", "3", "Mug", id="X, and blanks around it"),
    pytest.param(ITEM_COUNT, "杯子x3", "3", "杯子", id="x right behind a Chinese character"),
    pytest.param(ITEM_COUNT, "Linux3", None, "Linux3", id="x right behind a Latin letter is part of the word"),
    pytest.param(ITEM_COUNT, "Mug*-1", "-1", "Mug", id="negative"),
    pytest.param(ITEM_COUNT, "Mug*3件", "3", "Mug", id="with a unit"),
    pytest.param(ITEM_COUNT, "帆布包3件", "3", "帆布包", id="digits before a unit"),
    pytest.param(ITEM_COUNT, "抱枕 2 个", "2", "抱枕", id="digits before a unit, with blanks"),
    pytest.param(ITEM_COUNT, "Mug 2pcs", "2", "Mug", id="an English unit"),
    pytest.param(ITEM_COUNT, "Mug 2 PCS", "2", "Mug", id="in capitals"),
    pytest.param(ITEM_COUNT, "烫画 2张", None, "烫画 2张", id="a unit of pictures counts no items"),
    pytest.param(ITEM_COUNT, "Mug 2", None, "Mug 2", id="digits alone are no count"),
    pytest.param(ITEM_COUNT, "餐具3件套", None, "餐具3件套", id="a unit within a word is none"),
    pytest.param(ITEM_COUNT, "Mug (x3)", "3", "Mug", id="in brackets"),
    pytest.param(ITEM_COUNT, "Mug [3件]", "3", "Mug", id="in square brackets, with a unit"),
    pytest.param(ITEM_COUNT, "相框10*15", None, "相框10*15", id="right behind a digit: a size"),
    pytest.param(ITEM_COUNT, "Photo 10 x 15", None, "Photo 10 x 15", id="x among blanks behind a digit: a size"),
    pytest.param(ITEM_COUNT, "iPhone15 x2", "2", "iPhone15", id="x right before its number behind a digit: a count"),
    pytest.param(ITEM_COUNT, "*3", "3", "", id="nothing but a count"),
    pytest.param(PROCESS_COUNT, "刺绣:左胸*2", "2", "刺绣:左胸", id="pictures"),
    pytest.param(PROCESS_COUNT, "烫画(胸口) 2张", "2", "烫画(胸口)", id="pictures with their unit"),
    pytest.param(PROCESS_COUNT, "烫画 2件", None, "烫画 2件", id="a unit of items counts no pictures"),
]


@pytest.mark.parametrize(("pattern", "segment", "count", "rest"), COUNTS)
def test_count_text_is_the_count_at_the_end_and_without_count_the_rest(
    pattern: str, segment: str, count: str | None, rest: str
) -> None:
    frame = pl.DataFrame({"segment": [segment]})
    read = frame.select(count=count_text(pl.col("segment"), pattern), rest=without_count(pl.col("segment"), pattern))
    assert read.row(0) == (count, rest)


def said(read: pl.DataFrame) -> pl.DataFrame:
    """The lines with null for what an item does not say: `read_free_text` may leave it empty."""
    return read.with_columns(pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)))


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        pytest.param("Mug", [(1, "Mug", None, None, None, None)], id="a name"),
        pytest.param(
            "Mug x3, Cup", [(1, "Mug", None, None, "3", None), (2, "Cup", None, None, None, None)], id="two items"
        ),
        pytest.param("2 x Mug", [(1, "Mug", None, None, "2", None)], id="a count in front"),
        pytest.param("Mug @12.50 x2", [(1, "Mug", None, None, "2", "12.50")], id="a price before the count"),
        pytest.param("Mug x2 ¥1,250.5", [(1, "Mug", None, None, "2", "¥1,250.5")], id="behind it, with thousands"),
        pytest.param("Mug (White / L)", [(1, "Mug", "White / L", None, None, None)], id="a variant in brackets"),
        pytest.param("T恤 颜色:白", [(1, "T恤", "颜色:白", None, None, None)], id="a variant with a key"),
        pytest.param(
            "T恤;颜色:白;尺码:L*2;杯子",
            [(1, "T恤", "颜色:白;尺码:L", None, "2", None), (2, "杯子", None, None, None, None)],
            id="segments that continue an item",
        ),
        pytest.param("Mug, *2", [(1, "Mug", None, None, "2", None)], id="a count alone continues the item"),
        pytest.param("Mug*2;尺码:L*3", [(1, "Mug", "尺码:L", None, "2 3", None)], id="two counts: no number"),
        pytest.param("颜色:白", [(1, "颜色:白", None, None, None, None)], id="the first segment is always an item"),
    ],
)
def test_read_free_text_reads_items_as_texts(text: str, lines: list[tuple[Any, ...]]) -> None:
    read, too_long = read_free_text(frame_of(TEXTS, [(8, text)]), NumberFormat(), most=10)
    assert_frame_equal(said(read), frame_of(SEGMENTS, [(8, *line) for line in lines]))
    assert too_long.is_empty()


def test_read_free_text_numbers_the_items_of_each_text_and_names_those_with_too_many_segments() -> None:
    texts = frame_of(TEXTS, [(3, "a;b"), (1, "c;k:v;d"), (2, "e;f;g;h"), (5, ";;")])
    read, too_long = read_free_text(texts, NumberFormat(), most=3)
    assert said(read).select("row", "line_no", "name", "variant").rows() == [
        (3, 1, "a", None), (3, 2, "b", None), (1, 1, "c", "k:v"), (1, 2, "d", None),
    ]  # fmt: skip
    assert too_long["row"].to_list() == [2]
