"""Shapes of values: every digit and letter is masked, the rest tells the format."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_assets.values.shapes import MAX_SHAPE_CHARACTERS, value_shape


def shape(text: str | None) -> str | None:
    found: str | None = pl.select(value_shape(pl.lit(text, pl.String))).item()
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(None, None, id="null"),
        pytest.param("", "", id="empty"),
        pytest.param("31/12/24", "99/99/99", id="date"),
        pytest.param("2024-01-05T10:00:00Z", "9999-99-99a99:99:99a", id="ISO time"),
        pytest.param("1.234,56 €", "9.999,99 €", id="amount"),
        pytest.param("Ann.Lee+x@mail.test", "aaa.aaa+a@aaaa.aaaa", id="address"),
        pytest.param("Müller 張", "aaaaaa a", id="letters of all scripts"),
        pytest.param("１２３，Ⅳ", "999，9", id="digits of all scripts, full-width marks"),
        pytest.param("a\nb\x07🙂", "a?a??", id="control characters and pictures"),
        pytest.param("7" * 41, "9" * 40 + "…", id="cut"),
    ],
)
def test_the_shape_shows_the_format_and_nothing_of_the_value(text: str | None, expected: str | None) -> None:
    assert shape(text) == expected


@given(st.text())
def test_no_letter_or_digit_of_a_text_is_in_its_shape(text: str) -> None:
    found = shape(text)
    assert found is not None
    assert {char for char in found if char.isalnum()} <= {"9", "a"}
    assert len(found) <= MAX_SHAPE_CHARACTERS + 1
