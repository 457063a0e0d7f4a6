"""Rows of totals: the rule for cells as text, needed by the parent and the child; the standard library only."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

TOTAL_ROWS: Final = "TOTAL_ROWS"
SKIPPED_ROWS: Final = "SKIPPED_ROWS"
"""Codes of the findings about rows that are left out."""
TOTAL_WORDS: Final = (
    "total", "totals", "grand total", "subtotal", "sub total", "sum", "sums",
    "summe", "summen", "gesamt", "gesamtsumme", "zwischensumme", "insgesamt",
    "somme", "total général", "sous-total", "totaux",
    "suma", "total general", "totales", "soma", "total geral", "totais", "totale",
    "合计", "总计", "小计", "总和", "汇总", "合計", "總計", "小計",
    "共计", "累计", "总合计", "合计金额", "月合计", "月小计", "本月合计", "本月小计", "本月总计", "当月合计",
    "本页合计", "本页小计",
    *(f"{month}{end}" for month in range(1, 13) for end in ("月合计", "月份合计", "月小计", "月总计")),
)  # fmt: skip
"""Words that name a total, as a cell of their own, in lower case."""
LONGEST_TOTAL_WORD: Final = max(map(len, TOTAL_WORDS)) + 1
LONGEST_NUMBER: Final = 40
_WORDS: Final = frozenset(TOTAL_WORDS)
_NUMBER: Final = re.compile(
    r"(?:[A-Z]{3}\s?|[$€£¥]\s?)?[-+(]?\s?[$€£¥]?\s?\d[\d.,'’\s]*[-)%]?(?:[$€£¥元]|[A-Z]{3}|kr|zł)?"
)
"""A number (after NFKC) with an optional sign, currency or per cent sign."""


def spellings() -> list[str]:
    """Return the words as cells have them: in lower case, with a capital, in capitals; with a colon or without."""
    forms = {form for word in TOTAL_WORDS for form in (word, word.capitalize(), word.title(), word.upper())}
    return sorted(form + colon for form in forms for colon in ("", ":", "："))


def is_total_row(cells: Sequence[str]) -> bool:
    """Test that a row is one of totals: its first filled cell is a word for it, and all others hold numbers or dashes.

    A row with a date, a name or an order number is none.
    """
    filled = [text for cell in cells if (text := unicodedata.normalize("NFKC", cell).strip())]
    if not filled or not _is_word(filled[0]):
        return False
    return all(_is_word(cell) or cell.strip("-—–") == "" or _is_number(cell) for cell in filled[1:])


def _is_number(cell: str) -> bool:
    return len(cell) <= LONGEST_NUMBER and _NUMBER.fullmatch(cell) is not None


def _is_word(cell: str) -> bool:
    return len(cell) <= LONGEST_TOTAL_WORD and cell.rstrip(":").rstrip().casefold() in _WORDS
