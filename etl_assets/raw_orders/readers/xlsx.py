"""Format of workbooks (.xlsx): tables of text of one sheet, in chunks of rows and within fixed limits.

The hazard is the zip file that a workbook is: a small one can unpack to gigabytes, so its table of contents is checked
first.
"""

from __future__ import annotations

import io
import re
import resource
import zipfile
from typing import IO, TYPE_CHECKING, Any, Final

from etl_assets.limits import (
    MAX_COLUMNS,
    MAX_ENTRIES,
    MAX_RATIO,
    MAX_SHARED_TEXT_BYTES,
    MAX_SHEET_ROWS,
    MAX_UNPACKED_BYTES,
    MAX_WORKBOOK_BYTES,
    READER_MEMORY_MB,
    UNCHECKED_BYTES,
)
from etl_assets.raw_orders.readers.columns import too_many_columns
from etl_assets.raw_orders.readers.errors import ImportFileError, reported_as_file_error
from etl_assets.raw_orders.readers.sheets import SEARCHED_SHEETS, Sheet, Wording, sheets_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
    from etl_assets.raw_orders.readers.open_file import FileInput, TableStream
    from etl_assets.raw_orders.readers.sheets import Row

SCANNED_BYTES: Final = 1 << 20
TOO_BIG: Final = "Save the sheet as CSV and import that"
WORDS: Final = Wording()
PROBLEM, REMEDY = WORDS.problem, WORDS.remedy

NO_WORKBOOK: Final = "Unpack it and import the files in it; save a sheet of another program as .xlsx or CSV"

CELL_BYTES: Final = 100
"""Memory that a cell takes, all in all, where a whole sheet is loaded."""
MOST_LOADED_CELLS: Final = 8_000_000
SHARE_OF_MEMORY: Final = 0.5
_SHEET_PART: Final = re.compile(r"xl/worksheets/[^/]+\.xml")
_FAR_COLUMN: Final = re.compile(rb' r="([A-Z]{2,3})\d')
_ROW: Final = re.compile(rb'<row [^>]*?\br="(\d{1,10})"')
_UNUSUAL: Final = (b"<c>", b"<c/", b"<row>", b":row ", b":row>", b' t="e"')
"""Cells and rows without their place, tags with a prefix, errors."""
_LONGEST_CELL_TAG: Final = 200


def open_content(file: FileInput) -> Callable[[ExpectedFormat], TableStream]:
    """Open a workbook; formulas count as their saved values.

    Its cells are counted first. Where they fit in memory, calamine loads the sheets; a larger or unusual workbook is
    read row by row, which takes fifteen times as long (docs/decisions.md, "Two readers of workbooks").
    """
    path = file.path
    with reported_as_file_error(path, (Exception,), PROBLEM, REMEDY):
        _check_size(file.handle, path)
        archive = file.resources.enter_context(_WatchedArchive(file.handle, file.progress))
        if _may_be_loaded(archive):
            from etl_assets.raw_orders.readers.calamine import load_sheets  # noqa: PLC0415  # one of the two is needed

            return sheets_reader(load_sheets(file.handle, path, file.progress), file, WORDS)
        return sheets_reader(_streamed_sheets(file.handle, archive, path), file, WORDS)


def _streamed_sheets(handle: IO[bytes], archive: zipfile.ZipFile, path: Path) -> list[Sheet]:
    from openpyxl.reader.excel import ExcelReader  # noqa: PLC0415  # one of the two is needed

    reader = ExcelReader(handle, read_only=True, data_only=True, keep_links=False)
    reader.archive = archive
    reader.read()
    sheets = reader.wb.worksheets[:SEARCHED_SHEETS]
    return [
        Sheet(path, _rows(sheet, path), str(sheet.title), is_hidden=sheet.sheet_state != "visible") for sheet in sheets
    ]


def _may_be_loaded(archive: zipfile.ZipFile) -> bool:
    """Test that the cells of all sheets fit in memory, and that none is unusual: an error, or without its place.

    calamine reserves memory for all cells between the first and the last one, and returns errors as empty cells.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
    memory = limit if limit != resource.RLIM_INFINITY else READER_MEMORY_MB << 20
    most = min(MOST_LOADED_CELLS, int(memory * SHARE_OF_MEMORY) // CELL_BYTES)
    for entry in archive.infolist():
        if _SHEET_PART.fullmatch(entry.filename):
            with archive.open(entry) as part:
                most -= _count_cells(part, most)
            if most < 0:
                return False
    return True


def _count_cells(part: IO[bytes], most: int) -> int:
    """Return the size of the rectangle that has all cells of a sheet; more than `most` where it can't be told.

    A sheet whose cells lie about their rows takes more: the limit of the process's memory ends it.
    """
    columns = {b"Z"}
    last_row = 0
    carried = b""
    while block := part.read(SCANNED_BYTES):
        text = carried + block
        cut = text.rfind(b"<") if len(text) - text.rfind(b"<") < _LONGEST_CELL_TAG else len(text)
        carried, text = text[cut:], text[:cut]
        rows = _ROW.findall(text)
        columns.update(_FAR_COLUMN.findall(text))
        last_row = max(last_row, max(map(int, rows), default=0))
        is_usual = len(rows) == text.count(b"<row ") and text.count(b'<c r="') == text.count(b"<c ")
        if not is_usual or last_row > MAX_SHEET_ROWS or any(mark in text for mark in _UNUSUAL):
            return most + 1
    last_column = max(map(_column_number, columns))
    return last_row * last_column if last_column <= MAX_COLUMNS else most + 1


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


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


def _rows(sheet: Any, path: Path) -> Iterator[Row]:  # noqa: ANN401  # openpyxl has no type for it
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
