"""Reads the first sheet of a workbook (.xlsx) as frames of text, in chunks of rows and within fixed limits.

A workbook is a zip file of XML: a small one can unpack to gigabytes, so its table of contents is checked first.
"""

from __future__ import annotations

import datetime as dt
import itertools
import zipfile
from typing import IO, TYPE_CHECKING, Final

import openpyxl
import polars as pl

from etl_assets.raw_orders.errors import ImportFileError, reported_as_file_error
from etl_assets.raw_orders.source import LINE, Source, named_headers, with_defects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CHUNK_ROWS: Final = 10_000
MAX_FILE_BYTES: Final = 200 << 20
MAX_UNPACKED_BYTES: Final = 1 << 30
MAX_SHARED_TEXT_BYTES: Final = 128 << 20
"""The table of shared texts is the one part that has to be in memory as a whole."""
MAX_RATIO: Final = 200
MAX_ENTRIES: Final = 10_000
UNCHECKED_BYTES: Final = 16 << 20
EXACT_FLOATS_BELOW: Final = 1e15

TOO_BIG: Final = "Save the sheet as CSV and import that"
PROBLEM: Final = "it can't be read as a workbook"
REMEDY: Final = "Open it in a spreadsheet program and save it again as .xlsx, or as CSV"

Cell = object


def open_xlsx(handle: IO[bytes], path: Path) -> Source:
    """Open the first sheet of a workbook; formulas count as their saved values."""
    with reported_as_file_error(path, (Exception,), PROBLEM, REMEDY):
        _check_size(handle, path)
        book = openpyxl.load_workbook(handle, read_only=True, data_only=True, keep_links=False)
        if not book.worksheets:
            raise ImportFileError(path, None, "the workbook has no sheet", REMEDY)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()
        rows = enumerate(sheet.iter_rows(values_only=True), start=1)
        line, header = next(((at, _trimmed(row)) for at, row in rows if _trimmed(row)), (0, []))
        if not header:
            raise ImportFileError(path, None, "the first sheet is empty", "Put the sheet to import first")
        headers = named_headers(path, header, line)
    return Source(headers, _frames(rows, path, headers))


def _frames(rows: Iterator[tuple[int, Sequence[Cell]]], path: Path, headers: tuple[str, ...]) -> Iterator[pl.DataFrame]:
    width = len(headers)
    schema = {LINE: pl.Int64, **dict.fromkeys(headers, pl.String)}
    with reported_as_file_error(path, (Exception,), PROBLEM, REMEDY):
        while chunk := list(itertools.islice(rows, CHUNK_ROWS)):
            texts = []
            for line, row in chunk:
                cells = _trimmed(row)
                if len(cells) > width:
                    problem = f"the row has {len(cells)} cells, the header {width}"
                    raise ImportFileError(path, line, problem, "Give every column a header, or empty the further cells")
                if cells:
                    texts.append((line, *cells, *([""] * (width - len(cells)))))
            if texts:
                yield with_defects(pl.DataFrame(texts, schema=schema, orient="row"), headers)


def _check_size(handle: IO[bytes], path: Path) -> None:
    size = handle.seek(0, 2)
    handle.seek(0)
    if size > MAX_FILE_BYTES:
        raise ImportFileError(path, None, f"the workbook is larger than {MAX_FILE_BYTES >> 20} MiB", TOO_BIG)
    with zipfile.ZipFile(handle) as archive:
        entries = archive.infolist()
    # The sizes declared here are upper bounds: zipfile hands out no more bytes of an entry than that.
    unpacked = sum(entry.file_size for entry in entries)
    shared = sum(entry.file_size for entry in entries if entry.filename.endswith("sharedStrings.xml"))
    if len(entries) > MAX_ENTRIES or unpacked > MAX_UNPACKED_BYTES or shared > MAX_SHARED_TEXT_BYTES:
        raise ImportFileError(path, None, "the workbook is too large once it is unpacked", TOO_BIG)
    if unpacked > UNCHECKED_BYTES and unpacked > MAX_RATIO * size:
        raise ImportFileError(path, None, "the workbook unpacks to more than its size allows", TOO_BIG)
    handle.seek(0)


def _trimmed(row: Sequence[Cell]) -> list[str]:
    texts = [_text_of(cell) for cell in row]
    while texts and not texts[-1].strip():
        texts.pop()
    return texts


def _text_of(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case str():
            return cell.encode("utf-8", "replace").decode()  # half a surrogate pair is no text
        case bool():
            return "true" if cell else "false"
        case float():
            # Beyond 15 digits a spreadsheet has rounded the number: its exponent stays, and shows it.
            is_whole = cell.is_integer() and abs(cell) < EXACT_FLOATS_BELOW
            return str(int(cell)) if is_whole else repr(cell).replace("e+", "E+")
        case dt.datetime():
            return (cell + dt.timedelta(milliseconds=500)).strftime("%Y-%m-%d %H:%M:%S")
        case _:
            return str(cell)
