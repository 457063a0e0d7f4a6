"""Format of workbooks (.xlsx): tables of text of one sheet, in chunks of rows and within fixed limits.

The hazard is the zip file that a workbook is: a small one can unpack to gigabytes, so its table of contents is checked
first.
"""

from __future__ import annotations

import datetime as dt
import io
import itertools
import zipfile
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, Final

import polars as pl
from openpyxl.reader.excel import ExcelReader

from etl_assets.limits import (
    MAX_COLUMNS,
    MAX_ENTRIES,
    MAX_RATIO,
    MAX_SHARED_TEXT_BYTES,
    MAX_SHEET_CELL_CHARACTERS,
    MAX_SHEET_ROWS,
    MAX_UNPACKED_BYTES,
    MAX_WORKBOOK_BYTES,
    PIECE_CELLS,
    UNCHECKED_BYTES,
)
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, named_headers, too_long_cell, too_many_columns
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

CHUNK_ROWS: Final = 10_000
SEARCHED_SHEETS: Final = 100
EXACT_NUMBERS_BELOW: Final = 1e15

TOO_BIG: Final = "Save the sheet as CSV and import that"
PROBLEM: Final = "it can't be read as a workbook"
REMEDY: Final = "Open it in a spreadsheet program and save it again as .xlsx, or as CSV"

NO_WORKBOOK: Final = "Unpack it and import the files in it; save a sheet of another program as .xlsx or CSV"

Cell = object


def open_content(file: FileInput) -> Callable[[ExpectedFormat], TableStream]:
    """Open a workbook; formulas count as their saved values."""
    path = file.path
    with reported_as_file_error(path, (Exception,), PROBLEM, REMEDY):
        _check_size(file.handle, path)
        reader = ExcelReader(file.handle, read_only=True, data_only=True, keep_links=False)
        reader.archive = file.resources.enter_context(_WatchedArchive(file.handle, file.progress))
        reader.read()
        if not reader.wb.worksheets:
            raise ImportFileError(path, None, "the workbook has no sheet", REMEDY)
        sheets = [_Sheet(sheet, path) for sheet in reader.wb.worksheets[:SEARCHED_SHEETS]]
    return lambda expected: _read_sheet(sheets, file, expected)


class _Sheet:
    """Sheet of a workbook: its first rows, read when they are searched for headers, and the rows after a header."""

    def __init__(self, sheet: Any, path: Path) -> None:  # noqa: ANN401  # openpyxl has no type for it
        self.name = str(sheet.title)
        self.is_hidden = sheet.sheet_state != "visible"
        self._rows = _rows(sheet, path)
        self._path = path
        self._head: list[tuple[int, Sequence[Cell]]] | None = None

    def find_headers(self, expected: ExpectedFormat) -> HeaderRow | None:
        if self._head is None:
            self._head = list(itertools.islice(self._rows, SEARCHED_ROWS))
        return find_header_row([(line, _trimmed(self._path, line, row)) for line, row in self._head], expected)

    def rows_after(self, header_line: int) -> Iterator[tuple[int, Sequence[Cell]]]:
        return itertools.chain((row for row in self._head or () if row[0] > header_line), self._rows)


def _read_sheet(sheets: Sequence[_Sheet], file: FileInput, expected: ExpectedFormat) -> TableStream:
    """Read the sheet with most of the expected headers; of several the first, hidden ones last.

    Of a format that names its sheet, that one, where there is one of the name.
    """
    path = file.path
    with reported_as_file_error(path, (Exception,), PROBLEM, REMEDY):
        ordered = sorted(enumerate(sheets, start=1), key=lambda one: one[1].is_hidden)
        found = [(at, sheet, row) for at, sheet in ordered if (row := sheet.find_headers(expected)) is not None]
        if not found:
            raise ImportFileError(path, None, "the workbook is empty", "Export it again")
        named = [one for one in found if expected.is_named(one[1].name)] or found
        at, sheet, header = max(named, key=lambda one: one[2].matches)  # the first of several
        headers, findings = named_headers(path, header.cells, header.line, expected)
    further = sum(1 for other in named if other[1] is not sheet and other[2].matches)
    if at > 1 and not expected.is_named(sheet.name):
        findings.append(("SHEET_FOUND", f"{at} of {len(sheets)}", 1, None))
    if further:
        findings.append(("SHEETS_NOT_READ", f"{at} of {len(sheets)}", further, None))
    findings += header.findings
    seen = [(other.name, row.cells) for _, other, row in found]
    return TableStream(headers, _tables(sheet.rows_after(header.line), file, headers), findings, header.line, seen)


class _WatchedArchive(zipfile.ZipFile):
    """Zip file that calls back when a part of it is unpacked: little that is read may unpack to much."""

    def __init__(self, handle: IO[bytes], progress: Callable[[], None]) -> None:
        super().__init__(handle)
        self._progress = progress

    def open(self, *arguments: Any, **options: Any) -> IO[bytes]:  # noqa: ANN401  # those of ZipFile.open
        part: Any = super().open(*arguments, **options)
        return io.BufferedReader(_WatchedPart(part, self._progress), 1 << 16)


class _WatchedPart(io.RawIOBase):
    def __init__(self, part: IO[bytes], progress: Callable[[], None]) -> None:
        self._part = part
        self._progress = progress

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401  # anything to write to
        self._progress()
        data = self._part.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._part.close()
        super().close()


def _rows(sheet: Any, path: Path) -> Iterator[tuple[int, Sequence[Cell]]]:  # noqa: ANN401  # openpyxl has no type for it
    """Yield the rows that hold cells, with their numbers (openpyxl makes empty ones of those that are left out)."""
    sheet.reset_dimensions()
    for line, row in enumerate(sheet.iter_rows(values_only=True), start=1):
        if line > MAX_SHEET_ROWS:
            problem = f"it has a row with a number beyond {MAX_SHEET_ROWS:,}, the last that a sheet can have"
            raise ImportFileError(path, None, problem, REMEDY)
        if len(row) > MAX_COLUMNS:
            raise too_many_columns(path, line, len(row))
        if row:
            yield line, row


def _tables(
    rows: Iterator[tuple[int, Sequence[Cell]]], file: FileInput, headers: tuple[str, ...]
) -> Iterator[pa.Table]:
    path = file.path
    width = len(headers)
    schema = {LINE_NUMBER: pl.Int64, **dict.fromkeys(headers, pl.String)}
    size = max(1, min(CHUNK_ROWS, PIECE_CELLS // width))
    with reported_as_file_error(path, (Exception,), PROBLEM, REMEDY):
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
                frame = with_row_errors(pl.DataFrame(texts, schema=schema, orient="row"), headers)
                yield as_table(frame)


def _check_size(handle: IO[bytes], path: Path) -> None:
    size = handle.seek(0, 2)
    handle.seek(0)
    if size > MAX_WORKBOOK_BYTES:
        raise ImportFileError(path, None, f"the workbook is larger than {MAX_WORKBOOK_BYTES >> 20} MiB", TOO_BIG)
    with zipfile.ZipFile(handle) as archive:
        entries = archive.infolist()
    # The sizes declared here are upper bounds: zipfile hands out no more bytes of an entry than that.
    unpacked = sum(entry.file_size for entry in entries)
    shared = sum(entry.file_size for entry in entries if entry.filename.endswith("sharedStrings.xml"))
    if len(entries) > MAX_ENTRIES or unpacked > MAX_UNPACKED_BYTES or shared > MAX_SHARED_TEXT_BYTES:
        raise ImportFileError(path, None, "the workbook is too large once it is unpacked", TOO_BIG)
    if unpacked > UNCHECKED_BYTES and unpacked > MAX_RATIO * size:
        raise ImportFileError(path, None, "the workbook unpacks to more than its size allows", TOO_BIG)
    if not any(entry.filename.startswith("xl/") for entry in entries):
        raise ImportFileError(path, None, "by its content it is a zip archive, and no workbook", NO_WORKBOOK)
    handle.seek(0)


def _trimmed(path: Path, line: int, row: Sequence[Cell]) -> list[str]:
    texts = [_text_of(cell) for cell in row]
    while texts and not texts[-1].strip():
        texts.pop()
    if any(len(text) > MAX_SHEET_CELL_CHARACTERS for text in texts):
        raise too_long_cell(path, line, MAX_SHEET_CELL_CHARACTERS)
    return texts


def _text_of(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            return cell.encode("utf-8", "replace").decode()  # half a surrogate pair is no text
        case bool():
            return "true" if cell else "false"
        case int() | float():
            return _number_text(cell)
        case dt.datetime():
            return (cell + dt.timedelta(milliseconds=500)).strftime("%Y-%m-%d %H:%M:%S")
        case _:
            return str(cell)


def _number_text(number: float) -> str:
    """Write a number; from 16 digits on, which a spreadsheet has rounded, all digits of the file with an exponent."""
    if abs(number) >= EXACT_NUMBERS_BELOW:
        return f"{Decimal(repr(number)).normalize():E}"
    return str(int(number)) if float(number).is_integer() else repr(number)
