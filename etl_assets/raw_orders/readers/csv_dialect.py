"""Dialect of delimited text: encoding, delimiter and header row are found, the whole file is checked for them.

The hazard is bytes of one encoding that are valid in another. The check of quotes is in `csv_quotes`.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass, replace
from itertools import islice
from typing import IO, TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from etl_assets.raw_orders.readers.columns import named_headers
from etl_assets.raw_orders.readers.csv_quotes import QUOTE_REMEDY, check_quotes, count_line_breaks
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
    from collections.abc import Iterator
    from pathlib import Path

    from etl_assets.raw_orders.readers.columns import ReaderFinding
    from etl_assets.raw_orders.readers.expected_format import ExpectedFormat

DEFAULT_ENCODINGS: Final = ("utf-8", "gb18030")
DELIMITERS: Final = (",", "\t", ";", "|")
HEAD_BYTES: Final = 1 << 20
BLOCK_BYTES: Final = 1 << 20
CONTINUATION, FIRST_OF_SEVERAL, FIRST_OF_THREE, FIRST_OF_FOUR = 0x80, 0xC0, 0xE0, 0xF0
"""Least bytes in UTF-8 that go on with a character of several bytes, and that begin one."""
SURE_MATCHES: Final = 3
"""Expected headers in one row from which no other delimiter is tried: a title has fewer."""
SEPARATOR_LINE: Final = re.compile(r'"?sep=([^\r\n"])"?[ \t,;|]*(?:\r\n|\r|\n)', re.IGNORECASE)
"""First line by which Excel is told the delimiter."""


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
            check_quotes(path, _text_blocks(handle, path, dialect.encoding), dialect.delimiter)
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


def _text_blocks(handle: IO[bytes], path: Path, encoding: str) -> Iterator[bytes]:
    """Yield the text of a file in UTF-8, whole characters, and at last an empty block."""
    handle.seek(len(codecs.BOM_UTF8) if encoding == "utf-8-sig" else 0)
    as_utf8 = _Utf8Check() if encoding in {"utf-8", "utf-8-sig"} else _Transcoder(encoding)
    lines = 0
    is_ascii = True
    while True:
        block = handle.read(BLOCK_BYTES)
        try:
            text = as_utf8(block)
        except UnicodeDecodeError as error:
            line = lines + error.object.count(b"\n", 0, error.start) + 1
            before, sample = error.object[: error.start], error.object[max(error.start - 1, 0) :]
            is_first = is_ascii and before.isascii()
            failure = _bad_bytes(path, line, encoding, sample)
            raise _WrongEncodingError(failure, sample, is_first_beyond_ascii=is_first) from None
        lines += count_line_breaks(block)
        is_ascii = is_ascii and text.isascii()
        if text or not block:
            yield text
        if not block:
            return


class _Transcoder:
    """Converts blocks of bytes of another encoding."""

    def __init__(self, encoding: str) -> None:
        self._decoder = codecs.getincrementaldecoder(encoding)()

    def __call__(self, block: bytes) -> bytes:
        return self._decoder.decode(block, not block).encode()


class _Utf8Check:
    """Cuts blocks of bytes between characters; raises `UnicodeDecodeError` as a decoder would.

    Arrow checks the bytes in a twentieth of the time that decoding them takes.
    """

    def __init__(self) -> None:
        self._left = b""

    def __call__(self, block: bytes) -> bytes:
        found = self._left + block
        cut = len(found) - (_begun_bytes(found) if block else 0)
        text, self._left = found[:cut], found[cut:]
        one_text = [None, pa.py_buffer(np.array([0, cut])), pa.py_buffer(text)]
        try:
            pa.Array.from_buffers(pa.large_string(), 1, one_text).validate(full=True)
        except pa.ArrowInvalid:
            codecs.utf_8_decode(found, "strict", not block)
            raise
        return text


def _begun_bytes(text: bytes) -> int:
    """Return how many bytes at the end begin a character that may go on."""
    for count, byte in enumerate(reversed(text[-3:]), start=1):
        if byte >= FIRST_OF_SEVERAL:
            size = 2 + (byte >= FIRST_OF_THREE) + (byte >= FIRST_OF_FOUR)
            return count if count < size else 0
        if byte < CONTINUATION:
            break
    return 0
