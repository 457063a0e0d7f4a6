"""Dialect of delimited text: encoding, delimiter and header row are found, the quoting of the whole file is checked.

The hazard is Arrow's reader (`csv`): it takes a quote that is never closed, or text behind a closing quote, for part
of a cell, and rows would be lost without an error.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import IO, TYPE_CHECKING, Final

from etl_assets.limits import MAX_CELL_CHARACTERS
from etl_assets.raw_orders.readers.columns import named_headers
from etl_assets.raw_orders.readers.encoding_evidence import (
    GUESSED,
    SAMPLE_BYTES,
    guess_encoding,
    may_be_guessed,
    name_fitting,
)
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.header_row import SEARCHED_ROWS, HeaderRow, find_header_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from etl_assets.raw_orders.readers.columns import ReaderFinding
    from etl_assets.raw_orders.readers.expected_format import ExpectedFormat

DEFAULT_ENCODINGS: Final = ("utf-8", "gb18030")
DELIMITERS: Final = (",", "\t", ";", "|")
HEAD_BYTES: Final = 1 << 20
BLOCK_BYTES: Final = 1 << 20
SURE_MATCHES: Final = 3
"""Expected headers in one row from which no other delimiter is tried: a title has fewer."""
SEPARATOR_LINE: Final = re.compile(r'"?sep=([^\r\n"])"?[ \t,;|]*(?:\r\n|\r|\n)', re.IGNORECASE)
"""First line by which Excel is told the delimiter."""
UNCLOSED: Final = "a quote that is opened here is never closed"
QUOTE_REMEDY: Final = (
    "Correct the quotes in this row (a quote inside a quoted cell is doubled), or export the file again"
)


@dataclass(frozen=True)
class Dialect:
    """Notation of one file."""

    encoding: str
    delimiter: str
    header: HeaderRow
    headers: tuple[str, ...]
    """Those of the header row, named and numbered."""
    findings: tuple[ReaderFinding, ...]
    may_guess: bool
    """True if the encoding may be guessed where the bytes fit none of the expected ones."""


def choose_dialects(handle: IO[bytes], path: Path, expected: ExpectedFormat) -> list[Dialect]:
    """Find the dialects that the beginning of the file allows, the likeliest first (never none).

    An encoding in which the header has what is expected is preferred: bytes of one encoding are often valid in
    another, but they don't spell its header.
    """
    handle.seek(0)
    head = handle.read(HEAD_BYTES)
    is_whole = len(head) < HEAD_BYTES
    dialects = []
    failures = []
    may_guess = may_be_guessed(expected.encodings)
    for encoding in _candidate_encodings(head, expected, may_guess=may_guess):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(head, is_whole)
        except UnicodeDecodeError as error:
            failures.append((error.start, encoding))
            text = head[: error.start].decode(encoding)
            if "\n" not in text:
                continue
        delimiter, header = _find_header(path, text, expected)
        headers, findings = named_headers(path, header.cells, header.line, expected)
        dialects.append(Dialect(encoding, delimiter, header, headers, (*findings, *header.findings), may_guess))
        if is_whole and header.matches and not failures:
            break  # no other encoding can be needed
    if not dialects:
        start, encoding = max(failures)
        raise _bad_bytes(path, head.count(b"\n", 0, start) + 1, encoding, head[start:])
    best = max(dialects, key=lambda dialect: dialect.header.matches > 0)  # the first of several
    return [dialect for dialect in dialects if dialect.headers == best.headers]


def check_text(handle: IO[bytes], path: Path, dialects: list[Dialect]) -> Dialect:
    """Read the whole file once, in blocks, and return the first dialect that its bytes are valid in.

    Raises:
        ImportFileError: with the line, for invalid bytes and unsound quoting.

    """
    failures: list[ImportFileError] = []
    left = list(dialects)
    while left:
        dialect = left.pop(0)
        try:
            _check_quotes(path, _decoded_blocks(handle, path, dialect.encoding), dialect.delimiter)
        except _WrongEncodingError as wrong:
            is_first = not failures
            failures.append(wrong.error)
            may_guess = is_first and dialect.may_guess and wrong.is_first_beyond_ascii
            if may_guess and (guess := guess_encoding(wrong.sample)):
                left.insert(0, replace(dialect, encoding=guess))
            continue
        if dialect.encoding in GUESSED and dialect.may_guess:
            return replace(dialect, findings=(*dialect.findings, ("GUESSED_ENCODING", dialect.encoding, 1, None)))
        return dialect
    raise max(failures, key=lambda error: error.line or 0)


class _WrongEncodingError(Exception):
    def __init__(self, error: ImportFileError, sample: bytes, *, is_first_beyond_ascii: bool) -> None:
        super().__init__(str(error))
        self.error = error
        self.sample = sample
        """Bytes from the invalid one on."""
        self.is_first_beyond_ascii = is_first_beyond_ascii


def _candidate_encodings(head: bytes, expected: ExpectedFormat, *, may_guess: bool) -> tuple[str, ...]:
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ("utf-16",)
    if head.startswith(codecs.BOM_UTF8):
        return ("utf-8-sig",)
    encodings = expected.encodings or DEFAULT_ENCODINGS
    # Before gb18030, which accepts nearly any bytes.
    guess = guess_encoding(head) if may_guess else None
    return (guess, *encodings) if guess else encodings


def _find_header(path: Path, text: str, expected: ExpectedFormat) -> tuple[str, HeaderRow]:
    """Return the delimiter and the header row: those that show most of what is expected."""
    directive = SEPARATOR_LINE.match(text)
    body = text[directive.end() :] if directive else text
    first_line = next((line for line in body.splitlines() if line.strip()), "")
    if not first_line:
        raise ImportFileError(path, None, "the file is empty", "Export it again")
    likely = (directive[1],) if directive else tuple(dict.fromkeys((expected.delimiter, *DELIMITERS)))
    found = []
    for delimiter in likely:
        header = find_header_row(islice(_rows(body, delimiter, 1 if directive else 0), SEARCHED_ROWS), expected)
        if header is not None:
            found.append((delimiter, header))
            if header.matches >= SURE_MATCHES:
                break
    if not found:
        raise ImportFileError(path, 1, "the header can't be read", QUOTE_REMEDY)
    best = max(found, key=lambda one: one[1].matches)
    if best[1].matches:
        return best
    if expected.header_sets:  # it will be refused
        return max(found, key=lambda one: len(one[1].cells))
    counts = {delimiter: first_line.count(delimiter) for delimiter in likely}
    delimiter = likely[0] if counts[likely[0]] else max(likely, key=lambda one: counts[one])
    return next((one for one in found if one[0] == delimiter), best)


def _rows(text: str, delimiter: str, lines_before: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows with the lines that they start at, up to one that can't be read."""
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    while True:
        line = rows.line_num + lines_before + 1
        try:
            row = next(rows)
        except (csv.Error, StopIteration):
            return
        yield line, row


def _bad_bytes(path: Path, line: int, encoding: str, sample: bytes) -> ImportFileError:
    problem = f"it holds bytes that are not {encoding.removesuffix('-sig')}"
    fitting = name_fitting(sample[:SAMPLE_BYTES])
    known = f" (if its text is Chinese: encodings: [utf-8, {fitting}])" if fitting not in {None, encoding} else ""
    remedy = f"Save the file as UTF-8, or name its encoding in the mapping{known}"
    return ImportFileError(path, line, problem, remedy)


def _decoded_blocks(handle: IO[bytes], path: Path, encoding: str) -> Iterator[str]:
    handle.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)()
    lines = 0
    is_ascii = True
    while True:
        block = handle.read(BLOCK_BYTES)
        try:
            text = decoder.decode(block, not block)
        except UnicodeDecodeError as error:
            line = lines + error.object.count(b"\n", 0, error.start) + 1
            before, sample = error.object[: error.start], error.object[max(error.start - 1, 0) :]
            is_first = is_ascii and before.isascii()
            failure = _bad_bytes(path, line, encoding, sample)
            raise _WrongEncodingError(failure, sample, is_first_beyond_ascii=is_first) from None
        lines += block.count(b"\n")
        is_ascii = is_ascii and text.isascii()
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
