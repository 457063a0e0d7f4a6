"""Search for the header row of text and of sheets, which may have lines of a title above it.

The hazard is a row of data that is passed over: only a row with the order number's header, or with all headers by which
a preset is detected, ends the search below the first one (docs/decisions.md, "Header search").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etl_assets.raw_orders.readers.columns import ReaderFinding
    from etl_assets.raw_orders.readers.expected_format import ExpectedFormat

SEARCHED_ROWS: Final = 50


@dataclass(frozen=True)
class HeaderRow:
    """Header row of a file or a sheet."""

    cells: tuple[str, ...]
    line: int
    matches: int
    """Expected headers that it has; 0 where no row has what is expected."""
    passed_over: int
    """Filled rows above it."""
    first_passed: int | None

    @property
    def findings(self) -> list[ReaderFinding]:
        """Return what the user should know: the rows above it that are not read."""
        if not self.passed_over:
            return []
        return [("LINES_ABOVE_HEADERS", str(self.line), self.passed_over, self.first_passed)]


def find_header_row(rows: Iterable[tuple[int, Sequence[str]]], expected: ExpectedFormat) -> HeaderRow | None:
    """Return the row with most of the expected headers, of several the first; None where all are empty.

    Where no row has them, it is the first filled row if nothing is expected, else the first of the widest rows: the
    file is refused then, and the headers that its error shows are there rather than in a title.
    """
    filled = [(line, tuple(cells)) for line, cells in rows if any(cell.strip() for cell in cells)]
    if not filled:
        return None
    matches = [expected.count_matches(cells) for _, cells in filled]
    if max(matches):
        at = matches.index(max(matches))
    elif expected.header_sets:
        widths = [sum(1 for cell in cells if cell.strip()) for _, cells in filled]
        at = widths.index(max(widths))
    else:
        at = 0
    line, cells = filled[at]
    return HeaderRow(cells, line, matches[at], at, filled[0][0] if at else None)
