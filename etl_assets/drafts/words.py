"""Header words: which headers of a file fit which column of a mapping, by the table `header_words.yaml`.

Pure: no file is read but the table. Tests of values do not belong here (`profile`, `choice`).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST_SHARE: Final = 0.5
"""Share of a header's letters that a phrase must have to fit."""
LOSS_PER_RANK: Final = 0.01
LOSS_OF_BRACKETS: Final = 0.005
CANCELLED_WORDS: Final = "cancelled_status_words"

_ORDINALS: Final = re.compile("[ºª°]")  # N.º is No. and N.
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_BRACKETS: Final = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_NO_WORD: Final = re.compile(r"[\W_]+")
_WIDE: Final = re.compile("[\u0e00-\u0e7f\u3040-\u9fff]")
"""Characters of scripts without blanks between words."""


@dataclass(frozen=True)
class _Words:
    phrases: tuple[tuple[str, int], ...]
    """Phrases with their rank in the list of their language."""
    whole: tuple[str, ...]
    """Phrases that fit as the whole header only, the best first."""
    excluded: tuple[str, ...]


def plain_words(text: str) -> str:
    """Return a header as words in lower case, without accents and punctuation, between single blanks."""
    spaced = _CAMEL.sub(" ", unicodedata.normalize("NFKC", _ORDINALS.sub("", text)))
    letters = (char for char in unicodedata.normalize("NFKD", spaced) if not unicodedata.combining(char))
    return _NO_WORD.sub(" ", "".join(letters).replace("#", " number ").casefold()).strip()


def fitting_headers(column: str, headers: Iterable[str]) -> list[str]:
    """Return the headers that fit a column (of `raw_orders`, or ``item.…``), the best first."""
    scored = [(fit_of(column, header), header) for header in headers]
    return [header for score, header in sorted(scored, key=lambda one: -one[0]) if score > 0]


def fit_of(column: str, header: str) -> float:
    """Return how well a header fits a column: 1 is best, 0 not at all."""
    words = _table()[column]
    forms = {plain_words(header): 0.0}
    forms.setdefault(plain_words(_BRACKETS.sub(" ", header)), LOSS_OF_BRACKETS)
    return max(_fit(form, words) - loss for form, loss in forms.items())


def usual_headers(column: str) -> tuple[str, ...]:
    """Return the usual headers of a column, by which the header row of a file may be found."""
    return tuple(phrase for phrase, _ in _table()[column].phrases)


def says_cancelled(status: str) -> bool:
    """Test that a status has a word for cancelled."""
    form = plain_words(status)
    return any(phrase in form for phrase, _ in _table()[CANCELLED_WORDS].phrases)


def _fit(form: str, words: _Words) -> float:
    if not form:
        return 0.0
    best = LEAST_SHARE - LOSS_PER_RANK * words.whole.index(form) if form in words.whole else 0.0
    for phrase, rank in words.phrases:
        share = 1.0 if form == phrase else _share(form, phrase)
        if share == 1.0 or (share >= LEAST_SHARE and not any(_share(form, word) for word in words.excluded)):
            best = max(best, share - LOSS_PER_RANK * rank)
    return best


def _share(form: str, phrase: str) -> float:
    """Return the share of a header that a phrase in it has; 0 where it is not in it as a whole."""
    if phrase not in form:
        return 0.0
    is_whole = f" {phrase} " in f" {form} " or _WIDE.search(phrase)
    return min(len(phrase) / len(form), 0.99) if is_whole else 0.0


@cache
def _table() -> dict[str, _Words]:
    text = resources.files("etl_assets.drafts").joinpath("header_words.yaml").read_text(encoding="utf-8")
    return {column: _words(entry) for column, entry in yaml.safe_load(text).items()}


def _words(entry: dict[str, Any]) -> _Words:
    ranks: dict[str, int] = {}
    for language, phrases in entry.items():
        if language not in {"not", "exact"}:
            for rank, phrase in enumerate(phrases):
                form = plain_words(phrase)
                ranks[form] = min(rank, ranks.get(form, rank))
    whole, excluded = (tuple(plain_words(word) for word in entry.get(key, ())) for key in ("exact", "not"))
    return _Words(tuple(ranks.items()), whole, excluded)
