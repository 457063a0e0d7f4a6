"""The rules for single values as tables of cases: how text is cleaned and compared, and how amounts are read."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

import polars as pl
import pytest

from etl_assets.values.numbers import MONEY, NumberFormat, parse_money
from etl_assets.values.text import (
    MAX_KEY_BYTES,
    clean_name,
    clean_text,
    fits_an_index,
    is_not_blank,
    normalize_case,
    normalize_case_str,
)
from etl_assets.values.timestamps import has_timestamp
from etl_assets_tests.helpers.reference_values import clean_name as reference_clean_name

# --- text -------------------------------------------------------------------------------------------------------------


def value_of(expression: pl.Expr, text: str | None) -> str | bool | Decimal | None:
    value: str | bool | Decimal | None = pl.DataFrame({"text": [text]}, {"text": pl.String}).select(expression).item()
    return value


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        pytest.param("Mug", "Mug", id="plain"),
        pytest.param(" \t花间\u3000\n", "花间", id="white space around it, also the wide one"),
        pytest.param("Ａｂ＃１", "Ab#1", id="full-width forms"),
        pytest.param("ﬁ①½", "fi11⁄2", id="other compatibility forms"),
        pytest.param("e\u0301", "é", id="a letter and its accent are one character"),
        pytest.param("a  b", "a  b", id="blanks within are left alone"),
        pytest.param("MUG", "MUG", id="the case is left alone"),
        pytest.param('="00123"', "00123", id="what spreadsheets put around long numbers"),
        pytest.param('=" x "', "x", id="and the blanks within it"),
        pytest.param("'00123", "00123", id="an apostrophe before a digit"),
        pytest.param("'tis", "'tis", id="an apostrophe before a letter is text"),
        pytest.param("=A1", "=A1", id="another formula is text"),
        pytest.param("", None, id="empty"),
        pytest.param(" \u3000", None, id="blank"),
        pytest.param('=""', None, id="a spreadsheet's empty text"),
        pytest.param(None, None, id="null"),
    ],
)
def test_clean_text_normalises_trims_and_makes_null_of_nothing(text: str | None, cleaned: str | None) -> None:
    assert value_of(clean_text(pl.col("text")), text) == cleaned
    assert value_of(is_not_blank(pl.col("text")), text) is (cleaned is not None)


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        pytest.param(" Cancelled ", "cancelled", id="trimmed, in small letters"),
        pytest.param("ＣＡＮＣＥＬＬＥＤ", "cancelled", id="full-width capitals"),
        pytest.param("ÉTÉ", "été", id="letters beyond ASCII"),
        pytest.param("交易关闭", "交易关闭", id="letters without case"),
        pytest.param(" ", None, id="nothing"),
    ],
)
def test_fold_text_ignores_the_case_and_folded_does_so_for_one_text(text: str, compared: str | None) -> None:
    assert value_of(normalize_case(pl.col("text")), text) == compared
    assert normalize_case_str(text) == compared


@pytest.mark.parametrize(
    ("name", "cleaned"),
    [
        pytest.param(" 张三 ", "张三", id="a name"),
        pytest.param("张**", None, id="masked"),
        pytest.param("t*8", None, id="one star is enough"),
        pytest.param("张＊＊", None, id="full-width stars"),
        pytest.param("张﹡", None, id="small stars"),
        pytest.param("**", None, id="nothing but the mask"),
        pytest.param("Kim", "Kim", id="the case of a name is left alone"),
        pytest.param(" Kim@X.com", "kim@x.com", id="an e-mail address, in lower case"),
        pytest.param("ＫＩＭ＠Ｘ．com", "kim@x.com", id="a full-width e-mail address"),
        pytest.param("ÉVA@ÀB.fr", "éva@àb.fr", id="letters beyond ASCII in an e-mail address"),
        pytest.param("ΚΙΜΟΣ@x.gr", "κιμος@x.gr", id="a letter whose small form depends on its place"),
        pytest.param("İ@x.com", "i̇@x.com", id="a letter that becomes two"),
        pytest.param("J\u030cim@x.com", "ǰim@x.com", id="a letter whose small form has an accent of its own"),
        pytest.param("Kim@home", "Kim@home", id="no dot behind the @: a name"),
        pytest.param("@Kim.Lee", "@Kim.Lee", id="nothing before the @: a name"),
        pytest.param("Kim@x.com (Ann)", "Kim@x.com (Ann)", id="a blank: a name"),
        pytest.param("Kim@a@b.C", "Kim@a@b.C", id="two @: a name"),
        pytest.param("K*m@x.com", None, id="a masked e-mail address"),
        pytest.param("", None, id="empty"),
        pytest.param(None, None, id="null"),
    ],
)
def test_clean_name_makes_null_of_a_masked_name_and_ignores_the_case_of_an_email_address(
    name: str | None, cleaned: str | None
) -> None:
    assert value_of(clean_name(pl.col("text")), name) == cleaned
    assert value_of(clean_name(pl.col("text")), cleaned) == cleaned
    assert reference_clean_name(name) == cleaned


@pytest.mark.parametrize(
    ("parts", "fits"),
    [
        pytest.param(["x" * MAX_KEY_BYTES], True, id="as long as may be"),
        pytest.param(["x" * (MAX_KEY_BYTES + 1)], False, id="one byte more"),
        pytest.param(["花" * (MAX_KEY_BYTES // 3)], True, id="bytes count: three for a Chinese character"),
        pytest.param(["花" * (MAX_KEY_BYTES // 3 + 1)], False, id="one character more"),
        pytest.param(["x" * MAX_KEY_BYTES, "y"], False, id="parts count together"),
        pytest.param(["x" * MAX_KEY_BYTES, None], True, id="null takes no room"),
        pytest.param([None], True, id="nothing but null"),
    ],
)
def test_fits_an_index_counts_the_bytes_of_all_parts(parts: list[str | None], *, fits: bool) -> None:
    expression = fits_an_index(*(pl.lit(part, pl.String) for part in parts))
    assert pl.select(expression).item() is fits


@pytest.mark.parametrize(
    ("text", "is_there"),
    [("2024-01-02", True), ("nonsense", True), ("0000-00-00", False), ("０000-00-00 00:00", False), (" ", False)],
)
def test_has_timestamp_tells_a_time_that_is_given_from_none(text: str, *, is_there: bool) -> None:
    assert value_of(has_timestamp(pl.col("text")), text) is is_there


# --- amounts ----------------------------------------------------------------------------------------------------------

POINT: Final = NumberFormat()
COMMA: Final = NumberFormat(decimal=",", thousands=".")
SWISS: Final = NumberFormat(thousands="'", currency_signs=("Fr.",))
NO_GROUPS: Final = NumberFormat(thousands="")


@pytest.mark.parametrize(
    ("number_format", "text", "amount"),
    [
        pytest.param(POINT, "12", "12", id="whole"),
        pytest.param(POINT, "12.5", "12.5", id="decimals"),
        pytest.param(POINT, "12.", "12", id="a point and nothing behind it"),
        pytest.param(POINT, ".5", "0.5", id="a point and nothing before it"),
        pytest.param(POINT, "007", "7", id="zeros in front"),
        pytest.param(POINT, "-12.5", "-12.5", id="negative"),
        pytest.param(POINT, "+12.5", "12.5", id="a plus"),
        pytest.param(POINT, " １２．５ ", "12.5", id="full-width, with blanks"),
        pytest.param(POINT, '="12.5"', "12.5", id="as spreadsheets write it"),
        pytest.param(POINT, "1,234.50", "1234.5", id="a group of thousands"),
        pytest.param(POINT, "1,234,567", "1234567", id="groups of thousands"),
        pytest.param(POINT, "1,2", None, id="an incomplete group"),
        pytest.param(POINT, "1234,567", None, id="a group before it that is too long"),
        pytest.param(POINT, "1,,234", None, id="an empty group"),
        pytest.param(POINT, "1.234.567", None, id="two points"),
        pytest.param(POINT, "1 234", None, id="a blank between groups"),
        pytest.param(POINT, "¥12", "12", id="a sign before it"),
        pytest.param(POINT, "￥12", "12", id="a full-width sign"),
        pytest.param(POINT, "US$ 12", "12", id="a sign of several characters, and a blank"),
        pytest.param(POINT, "-€12", "-12", id="a sign between minus and digits"),
        pytest.param(POINT, "12 eur", "12", id="a sign behind it, in small letters"),
        pytest.param(POINT, "12元", "12", id="a Chinese sign"),
        pytest.param(POINT, "12 zł", None, id="a sign that the format does not name"),
        pytest.param(POINT, "€", None, id="nothing but a sign"),
        pytest.param(POINT, "--1", None, id="two signs"),
        pytest.param(POINT, "1e3", None, id="an exponent: a spreadsheet has rounded"),
        pytest.param(POINT, "free", None, id="a word"),
        pytest.param(POINT, "nan", None, id="not a number"),
        pytest.param(POINT, "٣", None, id="digits of another script"),
        pytest.param(POINT, "", None, id="empty"),
        pytest.param(POINT, None, None, id="null"),
        pytest.param(POINT, "0.00005", "0", id="half a unit of the last place goes to the even one: down"),
        pytest.param(POINT, "0.00015", "0.0002", id="and up"),
        pytest.param(POINT, "99999999999999.9999", "99999999999999.9999", id="the largest"),
        pytest.param(POINT, "-99999999999999.9999", "-99999999999999.9999", id="the smallest"),
        pytest.param(POINT, "100000000000000", None, id="beyond the largest"),
        pytest.param(COMMA, "1.234,50", "1234.5", id="a decimal comma"),
        pytest.param(COMMA, "12,5", "12.5", id="without groups"),
        pytest.param(COMMA, "1.234", "1234", id="its point groups thousands"),
        pytest.param(COMMA, "12.5", None, id="and is no decimal one"),
        pytest.param(SWISS, "Fr. 1'234.50", "1234.5", id="another mark of thousands, another sign"),
        pytest.param(SWISS, "€12", None, id="and only that sign"),
        pytest.param(NO_GROUPS, "1234.5", "1234.5", id="no mark of thousands"),
        pytest.param(NO_GROUPS, "1,234.5", None, id="so none is read"),
    ],
)
def test_parse_money_reads_an_amount_as_the_format_says(
    number_format: NumberFormat, text: str | None, amount: str | None
) -> None:
    assert value_of(parse_money(pl.col("text"), number_format), text) == (amount and Decimal(amount))


@pytest.mark.parametrize(
    ("text", "amount"), [("50.000", None), ("₫50.000", None), (".125", None), ("50.00", "50"), ("$1,234.5", "1234.5")]
)
def test_an_amount_of_more_decimals_than_the_format_has_is_none(text: str, amount: str | None) -> None:
    read = value_of(parse_money(pl.col("text"), NumberFormat(decimals=2)), text)
    assert read == (amount and Decimal(amount))


def test_parse_money_reads_each_row_by_itself() -> None:
    frame = pl.DataFrame({"text": ["1,234.5", "12", None, "free", "€3"]})
    read = frame.select(parse_money(pl.col("text"), POINT)).to_series()
    assert read.dtype == MONEY
    assert read.to_list() == [Decimal("1234.5"), Decimal(12), None, None, Decimal(3)]
