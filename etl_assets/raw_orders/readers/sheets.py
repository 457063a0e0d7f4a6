"""Sheets of cells, as workbooks and pages of tables have them: the sheet with the headers becomes tables of text.

A format gives its rows, which may be read as they are asked for. Opening files does not belong here (`xlsx`, `xls`,
`html`).
"""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.limits import MAX_SHEET_CELL_CHARACTERS, PIECE_CELLS
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, named_headers, too_long_cell
from etl_assets.raw_orders.readers.errors import ImportFileError, reported_as_file_error
from etl_assets.raw_orders.readers.header_row import SEARCHED_ROWS, find_header_row
from etl_assets.raw_orders.readers.open_file import TableStream
from etl_assets.raw_orders.readers.row_errors import as_table, with_row_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
    from etl_assets.raw_orders.readers.header_row import HeaderRow
    from etl_assets.raw_orders.readers.open_file import FileInput

    Cell = object
    Row = tuple[int, Sequence[Cell]]
    """Number of a row, from 1, and its cells."""

CHUNK_ROWS: Final = 10_000
SEARCHED_SHEETS: Final = 100
EXACT_NUMBERS_BELOW: Final = 1e15


@dataclass(frozen=True)
class Wording:
    """Words for one format in errors."""

    problem: str = "it can't be read as a workbook"
    remedy: str = "Open it in a spreadsheet program and save it again as .xlsx, or as CSV"
    nothing: str = "the workbook has no sheet"
    empty: str = "the workbook is empty"


class Sheet:
    """Sheet of cells: its first rows, read when they are searched for headers, and the rows after a header."""

    def __init__(self, path: Path, rows: Iterator[Row], name: str = "", *, is_hidden: bool = False) -> None:
        """Keep the rows; none is read yet."""
        self.name = name
        self.is_hidden = is_hidden
        self._rows = rows
        self._path = path
        self._head: list[Row] | None = None

    def find_headers(self, expected: ExpectedFormat) -> HeaderRow | None:
        """Return the header row among the first rows; None where all are empty."""
        if self._head is None:
            self._head = list(itertools.islice(self._rows, SEARCHED_ROWS))
        return find_header_row([(line, _trimmed(self._path, line, row)) for line, row in self._head], expected)

    def rows_after(self, header_line: int) -> Iterator[Row]:
        """Return the rows below a line, once."""
        return itertools.chain((row for row in self._head or () if row[0] > header_line), self._rows)


def sheets_reader(sheets: Sequence[Sheet], file: FileInput, words: Wording) -> Callable[[ExpectedFormat], TableStream]:
    """Return what reads the sheet with most of the expected headers: of several the first, hidden ones last.

    Of a format that names its sheet, that one, where there is one of the name.

    Raises:
        ImportFileError: there is no sheet.
    """
    if not sheets:
        raise ImportFileError(file.path, None, words.nothing, words.remedy)

    def read(expected: ExpectedFormat) -> TableStream:
        with reported_as_file_error(file.path, (Exception,), words.problem, words.remedy):
            return _read_sheet(sheets, file, expected, words)

    return read


def _read_sheet(sheets: Sequence[Sheet], file: FileInput, expected: ExpectedFormat, words: Wording) -> TableStream:
    ordered = sorted(enumerate(sheets, start=1), key=lambda one: one[1].is_hidden)
    found = [(at, sheet, row) for at, sheet in ordered if (row := sheet.find_headers(expected)) is not None]
    if not found:
        raise ImportFileError(file.path, None, words.empty, "Export it again")
    named = [one for one in found if expected.is_named(one[1].name)] or found
    at, sheet, header = max(named, key=lambda one: one[2].matches)  # the first of several
    headers, findings = named_headers(file.path, header.cells, header.line, expected)
    further = sum(1 for other in named if other[1] is not sheet and other[2].matches)
    if at > 1 and not expected.is_named(sheet.name):
        findings.append(("SHEET_FOUND", f"{at} of {len(sheets)}", 1, None))
    if further:
        findings.append(("SHEETS_NOT_READ", f"{at} of {len(sheets)}", further, None))
    findings += header.findings
    tables = _tables(sheet.rows_after(header.line), file, headers, words)
    seen = [(other.name, row.cells) for _, other, row in found]
    return TableStream(headers, tables, findings, header.line, seen)


def _tables(rows: Iterator[Row], file: FileInput, headers: tuple[str, ...], words: Wording) -> Iterator[pa.Table]:
    path = file.path
    width = len(headers)
    schema = {LINE_NUMBER: pl.Int64, **dict.fromkeys(headers, pl.String)}
    size = max(1, min(CHUNK_ROWS, PIECE_CELLS // width))
    with reported_as_file_error(path, (Exception,), words.problem, words.remedy):
        while chunk := list(itertools.islice(rows, size)):
            file.progress()
            texts = []
            for line, row in chunk:
                cells = _trimmed(path, line, row)
                if len(cells) > width:
                    problem = f"the row has {len(cells)} cells, the header {width}"
                    raise ImportFileError(path, line, problem, "Give every column a header, or empty the further cells")
                if cells:
                    texts.append((line, *cells, *([""] * (width - len(cells)))))
            if texts:
                columns = dict(zip(schema, zip(*texts, strict=True), strict=True))
                yield as_table(with_row_errors(pl.DataFrame(columns, schema=schema), headers))


def _trimmed(path: Path, line: int, row: Sequence[Cell]) -> list[str]:
    texts = [cell if isinstance(cell, str) and cell.isascii() else _text_of(cell) for cell in row]
    while texts and not texts[-1].strip():
        texts.pop()
    if texts and max(map(len, texts)) > MAX_SHEET_CELL_CHARACTERS:
        raise too_long_cell(path, line, MAX_SHEET_CELL_CHARACTERS)
    return texts


def _text_of(cell: Cell) -> str:
    match cell:
        case str():
            return cell if cell.isascii() else cell.encode("utf-8", "replace").decode()  # half a pair is no text
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case int() | float():
            return _number_text(cell)
        case dt.datetime():
            return (cell + dt.timedelta(milliseconds=500)).strftime("%Y-%m-%d %H:%M:%S")
        case _:
            return f"{cell} 00:00:00" if isinstance(cell, dt.date) else str(cell)


def _number_text(number: float) -> str:
    """Write a number; from 16 digits on, which a spreadsheet has rounded, all digits of the file with an exponent."""
    if abs(number) >= EXACT_NUMBERS_BELOW:
        return f"{Decimal(repr(number)).normalize():E}"
    return str(int(number)) if float(number).is_integer() else repr(number)
