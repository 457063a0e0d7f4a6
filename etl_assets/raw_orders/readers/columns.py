"""The columns of the tables that the formats make: the ones added to each row, and checks of headers and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from etl_assets.limits import MAX_CELL_CHARACTERS, MAX_COLUMNS
from etl_assets.raw_orders.readers.errors import ImportFileError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from etl_assets.raw_orders.readers.expected_format import ExpectedFormat

ReaderFinding = tuple[str, str, int, int | None]
"""Code, subject, count and first line of a finding (`raw_orders.findings`), as the child process sends it."""

LINE_NUMBER: Final = "__line"
"""Int64: the line of the file (text and spreadsheets: the header is line 1), or the number of the row (Parquet)."""
ROW_ERROR: Final = "__defect"
"""String: why the row can't be an order as it stands (`BAD_TEXT`); null for nearly every row."""
BAD_TEXT: Final = "BAD_TEXT"

MOST_REPEATS_SHOWN: Final = 10
NUL: Final = "\0"
NUL_SYMBOL: Final = "␀"
HALF_CHARACTER: Final = "\ufffd"
"""Replaces half a surrogate pair and bytes of another encoding."""
WITHOUT_THEM: Final = "Leave out the columns that orders do not need, or import the sheet of orders only"
SHORTER: Final = "Shorten the text, or leave the column out"


def named_headers(
    path: Path, names: Iterable[str], line: int | None, expected: ExpectedFormat
) -> tuple[tuple[str, ...], list[ReaderFinding]]:
    """Trim headers, name unnamed ones ``column_7``, and number further ones of the same name: ``Units (2)``.

    Returns:
        The headers, all different, and a finding for each name that occurs several times.

    Raises:
        ImportFileError: there are too many, or several have a name that the mapping uses.
    """
    headers = tuple(name.strip().replace(NUL, NUL_SYMBOL) or f"column_{at}" for at, name in enumerate(names, start=1))
    if len(headers) > MAX_COLUMNS:
        raise too_many_columns(path, line, len(headers))
    first_at: dict[str, int] = {LINE_NUMBER: 0, ROW_ERROR: 0}
    repeats: dict[str, int] = {}
    numbered = []
    for at, header in enumerate(headers, start=1):
        if header not in first_at:
            first_at[header] = at
            numbered.append(header)
            continue
        if expected.is_mapped(header):
            problem = f"columns {first_at[header]} and {at} have the same header {header!r}, which the mapping uses"
            raise ImportFileError(path, line, problem, "Rename or remove one of the two columns")
        number = repeats.get(header, 1) + 1
        while (name := f"{header} ({number})") in headers:
            number += 1
        repeats[header] = number
        numbered.append(name)
    shown = list(repeats.items())[:MOST_REPEATS_SHOWN]
    findings: list[ReaderFinding] = [("REPEATED_HEADER", header, number, line) for header, number in shown]
    if len(repeats) > len(shown):
        findings.append(("REPEATED_HEADERS", "", len(repeats) - len(shown), line))
    return tuple(numbered), findings


def too_many_columns(path: Path, line: int | None, columns: int) -> ImportFileError:
    """Return the error of a file with more columns than a file may have."""
    return ImportFileError(path, line, f"it has {columns:,} columns, at most {MAX_COLUMNS:,} are read", WITHOUT_THEM)


def too_long_cell(path: Path, line: int | None, most: int = MAX_CELL_CHARACTERS) -> ImportFileError:
    """Return the error of a file with a cell longer than a cell may be."""
    return ImportFileError(path, line, f"a cell has more than {most:,} characters", SHORTER)
