"""Hints about unreadable values: the format that reads a column, and nothing where none or more than one can."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest

from etl_assets.orders.value_hints import HINT_COLUMNS, unreadable_values_hint
from etl_assets.values.timestamp_formats import fitting_formats
from etl_assets_tests.helpers.pipeline import PRESET

if TYPE_CHECKING:
    from etl_assets.presets.model import Preset


def hint(preset: Preset = PRESET, **columns: list[str | None]) -> str | None:
    height = max(map(len, columns.values()))
    texts = {name: columns.get(name, [None] * height) for name in HINT_COLUMNS}
    return unreadable_values_hint(pl.DataFrame(texts, schema=dict.fromkeys(HINT_COLUMNS, pl.String())), preset)


@pytest.mark.parametrize(
    ("texts", "formats"),
    [
        (["05/15/26", "5/6/26"], ["%m/%d/%y"]),
        (["15/05/26", "5/6/26", None, " "], ["%d/%m/%y"]),
        (["05/06/26", "5/6/26"], ["%m/%d/%y", "%d/%m/%y"]),
        (["05/15/2026 1:05 PM", "5/6/2026 11:59 am"], ["%m/%d/%Y %I:%M %p"]),
        (["15.05.2026 13:05"], ["%d.%m.%Y %H:%M"]),
        (["2026年5月15日 13:05:01"], ["%Y年%m月%d日 %H:%M:%S"]),
        (["May 15, 2026"], ["%b %d, %Y"]),
        (["15-May-26 10:00:00"], ["%d-%b-%y %H:%M:%S"]),
        (["05-15-26 10:00:00 +0800"], ["%m-%d-%y %H:%M:%S %z"]),
        (["20260515"], ["%Y%m%d"]),
        (["05/15/26", "15/05/26"], []),
        (["05/15/26", "unknown"], []),
        (["45292.5", "46143"], ["excel"]),
        (["1767225600"], []),
        ([None, ""], []),
    ],
)
def test_a_format_is_named_if_it_reads_every_text(texts: list[str | None], formats: list[str]) -> None:
    assert fitting_formats(pl.Series(texts, dtype=pl.String)) == formats


@pytest.mark.parametrize(
    ("texts", "formats"),
    [
        (["05/15/26", "5/6/26"], "'%m/%d/%y'"),
        (["15/05/26", "5/6/26", None, " "], "'%d/%m/%y'"),
        (["05/15/2026 1:05 PM", "5/6/2026 11:59 am"], "'%m/%d/%Y %I:%M %p'"),
        (["15.05.2026 13:05", "16.05.2026"], "'%d.%m.%Y %H:%M', '%d.%m.%Y'"),
        (["46157.5"], "'excel'"),
        (["05/06/26"], "'%d/%m/%y' or '%m/%d/%y'"),
    ],
)
def test_formats_that_read_every_text_are_named(texts: list[str | None], formats: str) -> None:
    assert f", try {formats} in timestamp_formats of the mapping" in str(hint(ordered_at=texts))


@pytest.mark.parametrize("texts", [["05/15/26", "15/05/26"], ["05/15/26", "unknown"], ["1767225600"]])
def test_no_format_is_named_where_none_reads_every_text(texts: list[str | None]) -> None:
    assert "try" not in str(hint(ordered_at=texts))


def test_a_hint_shows_the_commonest_shape_and_the_format_that_reads_all() -> None:
    said = hint(ordered_at=["05/15/26", "06/16/26", "7/1/26", "2026-01-02"])
    assert said == "ordered_at looks like 99/99/99, try '%m/%d/%y' in timestamp_formats of the mapping"


def test_a_format_that_the_mapping_has_is_no_fault() -> None:
    assert hint(PRESET.model_copy(update={"timestamp_formats": ("%m/%d/%y",)}), ordered_at=["05/15/26"]) is None


def test_day_and_month_are_left_open_where_the_column_does_not_decide() -> None:
    assert "do not show whether the day or the month comes first" in str(hint(ordered_at=["05/06/26"]))


@pytest.mark.parametrize(
    ("texts", "notation"),
    [
        (["1,50", "1.234,5", "7"], '{decimal: ",", thousands: "."}'),
        (["1,50", "free"], '{decimal: ",", thousands: "."}'),
        (["1 234,50"], '{decimal: ",", thousands: " "}'),
        (["1'234.50"], """{decimal: ".", thousands: "'"}"""),
    ],
)
def test_the_notation_of_amounts_is_named_as_it_is_typed(texts: list[str | None], notation: str) -> None:
    assert str(hint(amount=texts)).endswith(f", try numbers: {notation} in the mapping")


def test_the_column_with_most_faults_comes_first_and_no_value_is_shown() -> None:
    said = str(hint(amount=["five", None, None], ordered_at=["Ann B.", "Bob C.", "Cid D."]))
    assert said == "ordered_at looks like aaa a.; amount looks like aaaa"
