"""Format of pages with tables, as many systems call .xls: HTML, and the XML form of spreadsheets of 2003.

Read with the parser of the standard library, in blocks, within limits; each table is a sheet. Scripts, styles, links
and entities of documents are never followed.
"""

from __future__ import annotations

import codecs
import re
from html.parser import HTMLParser
from typing import IO, TYPE_CHECKING, Final

from etl_assets.limits import MAX_COLUMNS, MAX_PAGE_BYTES, MAX_SHEET_CELL_CHARACTERS
from etl_assets.raw_orders.readers.columns import too_long_cell, too_many_columns
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.sheets import SEARCHED_SHEETS, Sheet, Wording, sheets_reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
    from etl_assets.raw_orders.readers.open_file import FileInput, TableStream

BLOCK_BYTES: Final = 1 << 18
HEAD_BYTES: Final = 1 << 14
LONGEST_TAG: Final = 1 << 20
CHARSET: Final = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?([\w.-]+)", re.IGNORECASE)
DEFAULT_ENCODINGS: Final = ("utf-8", "gb18030")
EXPORT: Final = "Download the export itself: this may be a page that asks for a login, or an error"
WORDS: Final = Wording(
    "it can't be read as a page with a table", EXPORT, "by its content it is a page (HTML or XML) without a table", ""
)
_ROWS: Final = ("tr", "row")
_CELLS: Final = ("td", "th", "cell")
_BREAKS: Final = ("br", "p", "div")


def open_content(file: FileInput) -> Callable[[ExpectedFormat], TableStream]:
    """Open a page and read its tables."""
    if file.handle.seek(0, 2) > MAX_PAGE_BYTES:
        problem = f"the page is larger than {MAX_PAGE_BYTES >> 20} MiB"
        raise ImportFileError(file.path, None, problem, "Save it as .xlsx or CSV and import that")
    parser = _Tables(file.path)
    for text in _decoded(file):
        file.progress()
        parser.feed(text)
        if len(parser.rawdata) > LONGEST_TAG:
            problem = f"a tag or comment is longer than {LONGEST_TAG >> 20} MiB"
            raise ImportFileError(file.path, None, problem, WORDS.remedy)
    parser.close()
    tables = [table for table in parser.tables if table][:SEARCHED_SHEETS]
    return sheets_reader([Sheet(file.path, enumerate(table, start=1)) for table in tables], file, WORDS)


class _Tables(HTMLParser):
    """Parser that keeps the texts of the cells of all tables; a table within a cell is text of that cell."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[list[list[str]]] = []
        self._path = path
        self._depth = 0
        self._row: list[str] | None = None
        self._cell: list[str] | None = None
        self._size = 0
        self._span = 1
        self._below: dict[int, int] = {}  # columns that a cell of a row above still fills, and in how many rows

    def close(self) -> None:
        super().close()
        if self._depth:
            problem = "the page ends within a table: it was cut off"
            raise ImportFileError(self._path, None, problem, "Download it again")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = tag.rpartition(":")[2]
        if name == "table":
            self._depth += 1
            if self._depth == 1:
                self.tables.append([])
                self._below = {}
        elif self._depth == 1 and name in _ROWS:
            self._end_row()
            self._row = []
        elif self._depth == 1 and name in _CELLS and self._row is not None:
            self._end_cell()
            self._start_cell({key.rpartition(":")[2]: value or "" for key, value in attrs})
        elif name in _BREAKS and self._cell:
            self._cell.append("\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag.rpartition(":")[2] not in _BREAKS:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        name = tag.rpartition(":")[2]
        if name == "table" and self._depth:
            self._depth -= 1
            if not self._depth:
                self._end_row()
        elif self._depth == 1 and name in _ROWS:
            self._end_row()
        elif self._depth == 1 and name in _CELLS:
            self._end_cell()

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._size += len(data)
            if self._size > MAX_SHEET_CELL_CHARACTERS:
                raise too_long_cell(self._path, None, MAX_SHEET_CELL_CHARACTERS)
            self._cell.append(data)

    def _start_cell(self, attributes: dict[str, str]) -> None:
        row = self._row if self._row is not None else []
        at = _number(attributes.get("index"), 0) - 1  # of a row in XML that leaves empty cells out
        row += [""] * (min(at, MAX_COLUMNS) - len(row))
        while self._below.get(len(row), 0):
            self._below[len(row)] -= 1
            row.append("")
        span = attributes.get("colspan") or str(_number(attributes.get("mergeacross"), 0) + 1)
        self._span = min(max(_number(span, 1), 1), MAX_COLUMNS)
        further = _number(attributes.get("rowspan"), 1) - 1
        if further > 0:
            self._below |= dict.fromkeys(range(len(row), len(row) + self._span), further)
        self._cell, self._size = [], 0

    def _end_cell(self) -> None:
        if self._row is None or self._cell is None:
            return
        lines = (" ".join(line.split()) for line in "".join(self._cell).split("\n"))
        self._row += ["\n".join(filter(None, lines)), *([""] * (self._span - 1))]
        self._cell = None
        if len(self._row) > MAX_COLUMNS:
            raise too_many_columns(self._path, len(self.tables[-1]) + 1, len(self._row))

    def _end_row(self) -> None:
        self._end_cell()
        if self._row is not None:
            while self._below.get(len(self._row), 0):
                self._below[len(self._row)] -= 1
                self._row.append("")
            self.tables[-1].append(self._row)
        self._row = None


def _number(text: str | None, default: int) -> int:
    return int(text) if text is not None and text.isdecimal() and len(text) < 10 else default  # noqa: PLR2004  # digits


def _decoded(file: FileInput) -> Iterator[str]:
    """Yield the text, in the first encoding that all bytes are valid in: the declared one, UTF-8, GB18030."""
    handle = file.handle
    handle.seek(0)
    head = handle.read(HEAD_BYTES)
    declared = [found[1].decode() for found in [CHARSET.search(head)] if found]
    marks = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    marked = [encoding for mark, encoding in marks.items() if head.startswith(mark)]
    for encoding in [*marked, *map(_with_its_superset, declared), *DEFAULT_ENCODINGS]:
        try:
            for _ in _blocks(handle, encoding):
                file.progress()
        except (UnicodeError, LookupError):
            continue
        return _blocks(handle, encoding)
    raise ImportFileError(file.path, None, "it holds bytes that are not of its encoding", "Save it as .xlsx or CSV")


def _with_its_superset(encoding: str) -> str:
    return "gb18030" if encoding.lower() in {"gb2312", "gbk"} else encoding


def _blocks(handle: IO[bytes], encoding: str) -> Iterator[str]:
    handle.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    while block := handle.read(BLOCK_BYTES):
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)
