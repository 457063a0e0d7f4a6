"""The rules of currencies as tables of cases: the ISO code of what an export writes, and of what it leaves out."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from etl_assets.presets.column_mapping import ColumnMapping
from etl_assets.presets.model import Preset
from etl_assets.values.currencies import AMBIGUOUS, SYMBOLS, ambiguous_symbols, currency_code, currency_codes
from etl_assets_tests.helpers import strategies
from etl_assets_tests.helpers.reference_values import read_currency


def texts(*values: str | None) -> pl.Series:
    return pl.Series(values, dtype=pl.String)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("EUR", "EUR", id="a code"),
        pytest.param(" eur ", "EUR", id="a code in small letters"),
        pytest.param("ＵＳＤ", "USD", id="a full-width code"),
        pytest.param("€", "EUR", id="a symbol"),
        pytest.param("￡", "GBP", id="a full-width symbol"),
        pytest.param("zł", "PLN", id="a symbol of letters"),
        pytest.param("US $", "USD", id="blanks within"),
        pytest.param("RMB", "CNY", id="another word for a code"),
        pytest.param("人民币", "CNY", id="a Chinese word"),
        pytest.param("元", "CNY", id="a Chinese unit"),
        pytest.param("$", "$", id="a symbol of several currencies stays"),
        pytest.param("￥", "¥", id="another one"),
        pytest.param("Kr.", "KR", id="another one, in capitals"),
        pytest.param("bitcoin", "BITCOIN", id="an unknown word stays, in capitals"),
        pytest.param(" ", None, id="blank"),
        pytest.param(None, None, id="null"),
    ],
)
def test_the_currency_of_an_order_is_the_code_that_its_text_means(text: str | None, code: str | None) -> None:
    assert currency_codes(texts(text)).to_list() == [code]
    assert read_currency(text, None, {}) == code


@pytest.mark.parametrize(
    ("text", "amount", "default", "code"),
    [
        pytest.param(None, "12.50", "CHF", "CHF", id="nothing: the shop's"),
        pytest.param("", "12.50", None, None, id="nothing, and none of the shop"),
        pytest.param("EUR", "12.50", "CHF", "EUR", id="the text precedes the shop's"),
        pytest.param("$", "12.50", "CAD", "CAD", id="a symbol of several: the shop's, as it is one of them"),
        pytest.param("￥", "12.50", "JPY", "JPY", id="yen"),
        pytest.param("￥", "12.50", "CNY", "CNY", id="yuan"),
        pytest.param("$", "12.50", "EUR", "$", id="the shop's is none of them"),
        pytest.param(None, "€12.50", None, "EUR", id="a symbol before the amount"),
        pytest.param(None, "-12,50 zł", "EUR", "PLN", id="a symbol behind the amount precedes the shop's"),
        pytest.param(None, "usd 7", None, "USD", id="a code beside the amount"),
        pytest.param("EUR", "$12", None, "EUR", id="the text precedes a symbol beside the amount"),
        pytest.param(None, "$12", "CAD", "CAD", id="a symbol of several beside the amount: the shop's, if one of them"),
        pytest.param(None, "$12", "EUR", None, id="a symbol beside the amount that the shop's contradicts"),
        pytest.param(None, "$12", None, None, id="a symbol of several beside the amount alone"),
        pytest.param(None, "Fr. 12", "CHF", "CHF", id="an unknown symbol beside the amount: the shop's"),
        pytest.param(None, None, "CHF", "CHF", id="no amount"),
    ],
)
def test_a_blank_currency_is_that_of_the_symbol_beside_the_amount_or_the_one_set_for_the_shop(
    text: str | None, amount: str | None, default: str | None, code: str | None
) -> None:
    assert currency_codes(texts(text), texts(amount), texts(default)).to_list() == [code]
    assert read_currency(text, amount, {}, default) == code


@pytest.mark.parametrize(
    ("words", "text", "code"),
    [
        pytest.param({"$": "CAD"}, "$", "CAD", id="a symbol of several"),
        pytest.param({"￥": "JPY"}, "¥", "JPY", id="full width or not"),
        pytest.param({"Fr.": "CHF"}, "fr", "CHF", id="an unknown one, without regard to case and dot"),
        pytest.param({"元": "TWD"}, "元", "TWD", id="one that otherwise means another"),
        pytest.param({"$": "CAD"}, "€", "EUR", id="the others mean what they do"),
    ],
)
def test_the_word_of_the_mapping_precedes_all(words: dict[str, str], text: str, code: str) -> None:
    assert currency_codes(texts(text), symbols=words).to_list() == [code]
    assert currency_codes(texts(None), texts(f"{text}12"), texts("USD"), symbols=words).to_list() == [code]
    assert read_currency(text, None, words) == code


ROWS = st.tuples(
    st.sampled_from([*strategies.CURRENCIES, *SYMBOLS, *AMBIGUOUS]) | strategies.any_text(),
    st.none() | st.sampled_from(strategies.AMOUNTS),
    st.sampled_from([None, "CNY", "JPY", "CAD", "EUR"]),
)


@given(st.lists(ROWS, max_size=20), st.sampled_from([{}, {"￥": "JPY", "Kr": "DKK"}]))
def test_currencies_are_read_as_the_reference_reads_them(
    rows: list[tuple[str | None, str | None, str | None]], words: dict[str, str]
) -> None:
    currencies, amounts, defaults = (texts(*(row[at] for row in rows)) for at in range(3))
    assert currency_codes(currencies, amounts, defaults, words).to_list() == [
        read_currency(*row[:2], words, row[2]) for row in rows
    ]


def test_ambiguous_symbols_are_the_texts_that_no_word_of_the_mapping_decides() -> None:
    found = ambiguous_symbols(texts("$", " ￥", "EUR", None, "kr", "$", "x"), {"kr": "SEK"})
    assert sorted(found) == [" ￥", "$"]


@pytest.mark.parametrize(("text", "code"), [("€", "EUR"), ("eur", "EUR"), ("人民币", "CNY")])
def test_a_currency_that_a_user_names_is_a_code(text: str, code: str) -> None:
    assert currency_code(text) == code


@pytest.mark.parametrize(("text", "said"), [("$", "USD, CAD"), ("euro coins", "ISO code"), ("", "ISO code")])
def test_a_currency_that_a_user_names_and_no_one_knows_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        currency_code(text)


def test_the_word_of_a_mapping_for_a_symbol_is_a_code() -> None:
    columns = {"order_id": ColumnMapping(columns=("order_id",))}
    assert Preset(name="p", columns=columns, currency_symbols={"$": "cad"}).currency_symbols == {"$": "CAD"}
    with pytest.raises(ValidationError, match="names no single currency"):
        Preset(name="p", columns=columns, currency_symbols={"$": "dollars"})
