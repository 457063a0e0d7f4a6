"""Headers of files and sources: when two are the same, which one a mapping means, which one comes nearest to a name.

Headers match without regard to case, blanks and full width; a file's own spelling stays in `raw_orders.extra`, in
messages and in `import_tasks.headers`. The reader process imports this module too, so it needs nothing beyond the
standard library. Detecting a preset does not belong here (`catalog`).
"""

from __future__ import annotations

import difflib
import unicodedata
from typing import TYPE_CHECKING, Final, TypeVar

from etl_assets.errors import EtlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etl_assets.presets.column_mapping import ColumnMapping, RowPattern
    from etl_assets.presets.model import Preset

    Pattern = TypeVar("Pattern", bound=RowPattern)

SIMILAR: Final = 0.72
"""Similarity (0 to 1) from which a name is worth asking about."""
MOST_SHOWN: Final = 30
LONGEST_SHOWN: Final = 40
DIGITS_OF_DATA: Final = 4
SHARE_OF_DATA: Final = 0.25


class AmbiguousHeaderError(EtlError):
    """Error of a name that several headers match, none of them exactly."""

    def __init__(self, name: str, headers: Sequence[str]) -> None:
        """Build the text from the name that a mapping has and the headers that match it."""
        self.problem = f"the headers {' and '.join(map(repr, headers))} both match {name!r} of the mapping"
        self.remedy = "Write the one that is meant in the mapping, letter for letter"
        super().__init__(f"{self.problem}. {self.remedy}.")


def normal_header(header: str) -> str:
    """Return the form in which headers are compared: plain width, one blank between words, no case."""
    return " ".join(unicodedata.normalize("NFKC", header).split()).casefold()


def find_header(name: str, headers: Iterable[str]) -> str | None:
    """Return the header that a name means, in its own spelling; None where there is none.

    Raises:
        AmbiguousHeaderError: several match, and none exactly.
    """
    found = []
    wanted = normal_header(name)
    for header in headers:
        if header == name:
            return name
        if normal_header(header) == wanted:
            found.append(header)
    if len(found) > 1:
        raise AmbiguousHeaderError(name, found)
    return found[0] if found else None


def fit_to_headers(preset: Preset, headers: Sequence[str]) -> Preset:
    """Return the preset with the names of its columns in the spelling of these headers; names not found stay.

    Raises:
        AmbiguousHeaderError: several headers match a name, and none exactly.
    """

    def fit(mapping: ColumnMapping) -> ColumnMapping:
        columns, times = tuple(map(spelling, mapping.columns)), tuple(map(spelling, mapping.latest_of))
        parts = None if mapping.sum is None else mapping.sum.renamed(spelling)
        changed = {"columns": columns, "latest_of": times, "sum": parts, "rules": fit_rows(mapping.rules)}
        changed["continued_where_empty"] = tuple(map(spelling, mapping.continued_where_empty))
        return mapping.model_copy(update=changed)

    def fit_rows(patterns: tuple[Pattern, ...]) -> tuple[Pattern, ...]:
        return tuple(one.model_copy(update={"when": tuple(map(spelling, one.when))}) for one in patterns)

    def spelling(name: str) -> str:
        return name if name in present else find_header(name, headers) or name

    present = frozenset(headers)
    counts = preset.item_counts
    return preset.model_copy(
        update={
            "columns": {column: fit(mapping) for column, mapping in preset.columns.items()},
            "item": {column: fit(mapping) for column, mapping in preset.item.items()},
            "skip_rows_matching": fit_rows(preset.skip_rows_matching),
            "summary_rows": fit_rows(preset.summary_rows),
            "fill_down": tuple(map(spelling, preset.fill_down)),
            "item_counts": counts and counts.model_copy(update={name: fit(mapping) for name, mapping in counts}),
        }
    )


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate most like a name (a header, a key, a file), in its own spelling; None if none is like it."""
    spellings: dict[str, str] = {}
    for candidate in candidates:
        spellings.setdefault(normal_header(candidate), candidate)
    wanted = normal_header(name)
    for form, candidate in spellings.items():
        if letters_of(form) == letters_of(wanted) != "":
            return candidate
    found = difflib.get_close_matches(wanted, spellings, n=1, cutoff=SIMILAR)
    return spellings[found[0]] if found else None


def did_you_mean(names: Iterable[str], candidates: Iterable[str]) -> str:
    """Ask about the first candidate that is near one of the names; empty where none is."""
    candidates = tuple(candidates)
    found = next((near for name in names if (near := nearest(name, candidates)) is not None), None)
    return "" if found is None else f"Did you mean {found!r}?"


def letters_of(text: str) -> str:
    """Return the letters and digits of a text: what is left of a name without blanks and punctuation."""
    return "".join(char for char in text if char.isalnum())


def show_headers(headers: Sequence[str]) -> str | None:
    """List headers for a message; None if one of them looks like a value, as in a row of data taken for headers.

    The hazard is a file without headers: its first row holds customers. An order has a number, so that a row of
    data nearly always has a cell of digits; a header hardly has one.
    """
    if any(_looks_like_value(header) for header in headers):
        return None
    shown = [repr(header[:LONGEST_SHOWN]) for header in headers[:MOST_SHOWN]]
    further = len(headers) - len(shown)
    return ", ".join(shown) + (f" and {further:,} more" if further else "")


def _looks_like_value(header: str) -> bool:
    if header.startswith("column_"):  # the name of a column without a header
        return False
    text = unicodedata.normalize("NFKC", header)
    digits = sum(char.isdecimal() for char in text)
    return "@" in text or digits >= DIGITS_OF_DATA or digits >= SHARE_OF_DATA * len("".join(text.split())) > 0
