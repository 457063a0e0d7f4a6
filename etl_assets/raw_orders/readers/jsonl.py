"""Format of JSON lines (.jsonl, .ndjson): tables of text; nested values stay JSON text, as they stand in the file.

A key may first appear anywhere, so all lines are read before the first table is returned. Frames that have been read
are spooled to a temporary file, in memory where it is small. The decoding of lines is in `json_lines`.
"""

from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Final, cast

import polars as pl
import pyarrow as pa

from etl_assets.limits import MAX_CELL_CHARACTERS, MAX_COLUMNS, MAX_LINE_BYTES, PIECE_CELLS
from etl_assets.raw_orders.readers.columns import (
    LINE_NUMBER,
    ROW_ERROR,
    named_headers,
    too_long_cell,
    too_many_columns,
)
from etl_assets.raw_orders.readers.errors import ImportFileError, reported_as_file_error
from etl_assets.raw_orders.readers.json_lines import UNREADABLE, TooManyKeysError, problem_of, read_block
from etl_assets.raw_orders.readers.open_file import TableStream
from etl_assets.raw_orders.readers.row_errors import as_table, with_row_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
    from etl_assets.raw_orders.readers.open_file import FileInput

BLOCK_BYTES: Final = 8 << 20
IN_MEMORY_BYTES: Final = 32 << 20
PROBLEM: Final = "it can't be read as JSON lines"
REMEDY: Final = "Write one JSON object per line, in UTF-8"
BOM: Final = b"\xef\xbb\xbf"


def open_content(file: FileInput) -> Callable[[ExpectedFormat], TableStream]:
    """Open JSON lines and read them all."""
    path = file.path
    with reported_as_file_error(path, (pl.exceptions.PolarsError, pa.ArrowException), PROBLEM, REMEDY):
        spool = SpooledTemporaryFile(IN_MEMORY_BYTES, prefix="etl-assets-")  # noqa: SIM115  # closed with the file
        spooled = _SpooledFrames(path, file.resources.enter_context(spool))
        for first_line, block in _blocks(file.handle, path):
            try:
                for frame in read_block(block, first_line):
                    spooled.put(frame)
                    file.progress()
            except TooManyKeysError as error:
                raise too_many_columns(path, None, error.keys) from None
        keys = spooled.keys()

    def read(expected: ExpectedFormat) -> TableStream:
        headers, findings = named_headers(path, keys, None, expected)
        return TableStream(headers, _tables(spooled, dict(zip(keys, headers, strict=True)), path), findings)

    return read


def _tables(spooled: _SpooledFrames, headers: dict[str, str], path: Path) -> Iterator[pa.Table]:
    with reported_as_file_error(path, (pl.exceptions.PolarsError, pa.ArrowException), PROBLEM, REMEDY):
        for frame in spooled.frames(max(1, PIECE_CELLS // len(headers))):
            lacking = [pl.lit(None, pl.String).alias(key) for key in headers if key not in frame.columns]
            whole = frame.with_columns(lacking).select(*headers, LINE_NUMBER, ROW_ERROR).rename(headers)
            yield as_table(with_row_errors(whole, list(headers.values())))


class _SpooledFrames:
    """Frames that have been read, kept until all keys are known."""

    def __init__(self, path: Path, file: SpooledTemporaryFile[bytes]) -> None:
        self._path = path
        self._file = file
        self._keys: dict[str, None] = {}
        self._has_object = False
        self._unreadable: ImportFileError | None = None

    def put(self, frame: pl.DataFrame) -> None:
        """Keep the rows that are not empty."""
        keys = [name for name in frame.columns if name not in {LINE_NUMBER, ROW_ERROR}]
        if not keys:
            return
        has_value = pl.any_horizontal((pl.col(key) != "").fill_null(value=False) for key in keys)
        frame = frame.filter(has_value | pl.col(ROW_ERROR).is_not_null())
        self._record_keys(frame, keys)
        table = as_table(frame)
        with pa.ipc.new_stream(self._file, table.schema) as writer:
            writer.write_table(table)

    def keys(self) -> list[str]:
        """Return all keys, in the order of their first lines. Raises `ImportFileError` where no line could be read."""
        if not self._has_object:
            nothing = ImportFileError(self._path, None, "no line holds a JSON object with values", REMEDY)
            raise self._unreadable or nothing
        return list(self._keys)

    def frames(self, rows: int) -> Iterator[pl.DataFrame]:
        """Yield the frames, cut to so many rows."""
        end = self._file.tell()
        self._file.seek(0)
        while self._file.tell() < end:
            with pa.ipc.open_stream(self._file) as reader:
                frame = cast("pl.DataFrame", pl.from_arrow(reader.read_all()))
            yield from frame.iter_slices(rows)

    def _record_keys(self, frame: pl.DataFrame, keys: list[str]) -> None:
        self._keys.update(dict.fromkeys(keys))
        if len(self._keys) > MAX_COLUMNS:
            raise too_many_columns(self._path, None, len(self._keys))
        self._has_object = self._has_object or any(frame[key].count() for key in keys if key != UNREADABLE)
        if UNREADABLE in keys and self._unreadable is None and (bad := frame.drop_nulls(UNREADABLE)).height:
            self._unreadable = ImportFileError(self._path, bad[LINE_NUMBER][0], problem_of(bad[UNREADABLE][0]), REMEDY)
        long = frame.filter(pl.any_horizontal(pl.col(keys).str.len_bytes() > MAX_CELL_CHARACTERS))
        if long.filter(pl.any_horizontal(pl.col(keys).str.len_chars() > MAX_CELL_CHARACTERS)).height:
            raise too_long_cell(self._path, long[LINE_NUMBER][0])


def _blocks(handle: IO[bytes], path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number of the first line, whole lines)."""
    handle.seek(0)
    line = 1
    carried = b""
    while block := handle.read(BLOCK_BYTES):
        block = (carried + block).removeprefix(BOM) if line == 1 else carried + block
        at = block.rfind(b"\n") + 1
        if len(block) - at > MAX_LINE_BYTES:
            at_line = line + block.count(b"\n", 0, at)
            raise ImportFileError(path, at_line, f"the line is longer than {MAX_LINE_BYTES >> 20} MiB", REMEDY)
        carried = block[at:]
        if block[:at].strip():
            yield line, block[:at]
        line += block.count(b"\n", 0, at)
    if carried.strip():
        yield line, carried
