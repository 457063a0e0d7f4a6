"""Dialect of delimited text: encoding, delimiter and header are found, and the quoting of the whole file is checked.

The hazard is Arrow's reader (`csv`): it takes a quote that is never closed, or text behind a closing quote, for part
of a cell, and rows would be lost without an error.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from etl_assets.limits import MAX_CELL_CHARACTERS
from etl_assets.raw_orders.readers.columns import named_headers
from etl_assets.raw_orders.readers.errors import ImportFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from etl_assets.raw_orders.readers.open_file import TextFormat

DEFAULT_ENCODINGS: Final = ("utf-8", "gb18030")
DELIMITERS: Final = (",", "\t", ";", "|")
HEAD_BYTES: Final = 1 << 20
BLOCK_BYTES: Final = 1 << 20
UNCLOSED: Final = "a quote that is opened here is never closed"
QUOTE_REMEDY: Final = (
    "Correct the quotes in this row (a quote inside a quoted cell is doubled), or export the file again"
)


@dataclass(frozen=True)
class Dialect:
    """Notation of one file."""

    encoding: str
    delimiter: str
    headers: tuple[str, ...]


def choose_dialects(handle: IO[bytes], path: Path, text_format: TextFormat | None) -> list[Dialect]:
    """Find the dialects that the beginning of the file allows, the likeliest first (never none).

    An encoding in which the header shows the order number is preferred: bytes of one encoding are often valid
    in another, but they don't spell its header.
    """
    handle.seek(0)
    head = handle.read(HEAD_BYTES)
    is_whole = len(head) < HEAD_BYTES
    dialects = []
    failures = []
    for encoding in _candidate_encodings(head, text_format):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(head, is_whole)
        except UnicodeDecodeError as error:
            failures.append((error.start, encoding))
            text = head[: error.start].decode(encoding)
            if "\n" not in text:
                continue
        delimiter, headers = _header_of(path, text, text_format)
        dialects.append(Dialect(encoding, delimiter, headers))
    if not dialects:
        start, encoding = max(failures)
        raise _bad_bytes(path, head.count(b"\n", 0, start) + 1, encoding)
    wanted = set(text_format.order_headers) if text_format else set()
    spelled = [dialect for dialect in dialects if wanted.intersection(dialect.headers)]
    best = (spelled or dialects)[0]
    return [dialect for dialect in dialects if dialect.headers == best.headers]


def check_text(handle: IO[bytes], path: Path, dialects: list[Dialect]) -> Dialect:
    """Read the whole file once, in blocks, and return the first dialect that its bytes are valid in.

    Raises:
        ImportFileError: with the line, for invalid bytes and unsound quoting.

    """
    failures: list[ImportFileError] = []
    for dialect in dialects:
        try:
            _check_quotes(path, _decoded_blocks(handle, path, dialect.encoding), dialect.delimiter)
        except _WrongEncodingError as wrong:
            failures.append(wrong.error)
            continue
        return dialect
    raise max(failures, key=lambda error: error.line or 0)


class _WrongEncodingError(Exception):
    def __init__(self, error: ImportFileError) -> None:
        super().__init__(str(error))
        self.error = error


def _candidate_encodings(head: bytes, text_format: TextFormat | None) -> tuple[str, ...]:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    if head.startswith(codecs.BOM_UTF8):
        return ("utf-8-sig",)
    return text_format.encodings if text_format else DEFAULT_ENCODINGS


def _header_of(path: Path, text: str, text_format: TextFormat | None) -> tuple[str, tuple[str, ...]]:
    first_line = next((line for line in text.splitlines() if line.strip()), "")
    if not first_line:
        raise ImportFileError(path, None, "the file is empty", "Export it again")
    likely = (text_format.delimiter if text_format else ",", *DELIMITERS)
    counts = {delimiter: first_line.count(delimiter) for delimiter in likely}
    delimiter = likely[0] if counts[likely[0]] else max(likely, key=lambda one: counts[one])
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = next(row for row in rows if any(name.strip() for name in row))
    except (csv.Error, StopIteration):
        raise ImportFileError(path, 1, "the header can't be read", QUOTE_REMEDY) from None
    return delimiter, named_headers(path, names, rows.line_num)


def _bad_bytes(path: Path, line: int, encoding: str) -> ImportFileError:
    problem = f"it holds bytes that are not {encoding.removesuffix('-sig')}"
    return ImportFileError(path, line, problem, "Save the file as UTF-8, or name its encoding in the mapping")


def _decoded_blocks(handle: IO[bytes], path: Path, encoding: str) -> Iterator[str]:
    handle.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 0
    while True:
        block = handle.read(BLOCK_BYTES)
        try:
            text = decoder.decode(block, not block)
        except UnicodeDecodeError as error:
            line = lines + error.object.count(b"\n", 0, error.start) + 1
            raise _WrongEncodingError(_bad_bytes(path, line, encoding)) from None
        lines += block.count(b"\n")
        yield text
        if not block:
            return


def _check_quotes(path: Path, blocks: Iterable[str], delimiter: str) -> None:
    """Follow the cells of a file; a quoted cell that does not end where it should raises `ImportFileError`."""
    end = re.escape(delimiter) + r"\r\n"
    cells = re.compile(rf'(?:"[^"]*+(?:""[^"]*+)*+"(?=[{end}]|\Z)|[^"{end}][^{end}]*+|[{end}]++)*+')
    closed = re.compile(r'"[^"]*+(?:""[^"]*+)*+"')
    line = 1
    carried = ""
    for block in blocks:
        is_last = not block
        text = carried + block
        if not is_last and '"' not in text:  # most files: nothing to follow, but the cell at the block's end
            at = max(text.rfind(delimiter), text.rfind("\n"), text.rfind("\r")) + 1
            carried, line = text[at:], line + text.count("\n", 0, at)
            continue
        held = "" if is_last else text[len(text.rstrip('"')) :]  # a quote at the very end may be one half of two
        text = text.removesuffix(held) if held else text
        found = cells.match(text)
        at = found.end() if found else 0
        line += text.count("\n", 0, at)
        if at < len(text):
            if closed.match(text, at):
                raise ImportFileError(path, line, "a quoted cell goes on after its closing quote", QUOTE_REMEDY)
            if is_last or len(text) - at > MAX_CELL_CHARACTERS:
                raise ImportFileError(path, line, UNCLOSED, QUOTE_REMEDY)
        else:
            cut = max(text.rfind(delimiter), text.rfind("\n"), text.rfind("\r")) + 1
            line -= text.count("\n", cut)
            at = cut
        carried = text[at:] + held
