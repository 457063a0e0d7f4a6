"""Formats of the web page: amounts, numbers, times and durations in both languages."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import pytest

from etl_assets.web.formats import Formats

if TYPE_CHECKING:
    from etl_assets.web.language import Language

MOMENT: Final = datetime(2026, 11, 2, 18, 30, tzinfo=UTC)


def shown(filter_name: str, *values: Any, language: Language = "en") -> str:
    text = Formats(language, ZoneInfo("Asia/Shanghai")).filters()[filter_name](*values)
    return re.sub(r"<[^>]+>", "", text)


@pytest.mark.parametrize(
    ("filter_name", "values", "english", "chinese"),
    [
        ("money", (Decimal("1234.5"), "EUR"), "€1,234.50", "€1,234.50"),
        ("money", (Decimal(-7), "CNY"), "-CN¥7.00", "-¥7.00"),
        ("money", (1000, "JPY"), "¥1,000", "JP¥1,000"),
        ("money", (Decimal("1234.5"), "XTS?"), "XTS? 1,234.50", "XTS? 1,234.50"),
        ("money", (Decimal("0.005"), None), "0.00", "0.00"),
        ("money", (None, "EUR"), "–", "–"),
        ("number", (1234567,), "1,234,567", "1,234,567"),
        ("number", (Decimal("0.12345"),), "0.123", "0.123"),
        ("number", (None,), "–", "–"),
        ("percent", (0.256,), "26%", "26%"),
        ("percent", (0.0312,), "3.1%", "3.1%"),
        ("percent", (0,), "0%", "0%"),
        ("date", (MOMENT,), "2026-11-03", "2026-11-03"),
        ("date", (date(2026, 11, 2),), "2026-11-02", "2026-11-02"),
        ("datetime", (MOMENT,), "2026-11-03 02:30", "2026-11-03 02:30"),
        ("datetime", (None,), "–", "–"),
        ("days", (12,), "12 days", "12天"),
        ("days", (1.9,), "1 day", "1天"),
        ("days", (timedelta(hours=5),), "5 hours", "5小时"),
        ("days", (None,), "–", "–"),
        ("short_id", ("7d9f1c52-1111-4222-8333-abcdefabcdef",), "7d9f1c52", "7d9f1c52"),
        ("short_id", ("etsy:Maple",), "etsy:Maple", "etsy:Maple"),
    ],
)
def test_a_value_is_shown_in_the_language_of_the_page(
    filter_name: str, values: tuple[Any, ...], english: str, chinese: str
) -> None:
    assert (shown(filter_name, *values), shown(filter_name, *values, language="zh")) == (english, chinese)


def test_a_time_says_how_long_ago_it_was_and_when_exactly() -> None:
    text = Formats("en", ZoneInfo("Asia/Shanghai")).ago(datetime.now(tz=UTC) - timedelta(days=3, hours=1))
    assert re.fullmatch(r'<time datetime="[-\dT:]+\+08:00" title="[-\d :]+ CST">3 days ago</time>', text)
