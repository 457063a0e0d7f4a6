"""Reads JSON lines (.jsonl, .ndjson) as frames of text, in blocks of whole lines; nested values stay JSON text."""

from __future__ import annotations

import io
import json
from typing import IO, TYPE_CHECKING, Final

import polars as pl

from etl_assets.raw_orders.errors import ImportFileError, reported_as_file_error
from etl_assets.raw_orders.source import LINE, Source, named_headers, with_defects, without_empty_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK_BYTES: Final = 8 << 20
MAX_LINE_BYTES: Final = 64 << 20
PROBLEM: Final = "it can't be read as JSON lines"
REMEDY: Final = "Write one JSON object per line, in UTF-8"
BOM: Final = b"\xef\xbb\xbf"


def open_jsonl(handle: IO[bytes], path: Path) -> Source:
    """Open JSON lines. The file is read once for its keys, which may first appear anywhere, and once for its rows."""
    keys: dict[str, None] = {}
    for first_line, block in _blocks(handle, path):
        keys.update(dict.fromkeys(_keys_of(path, first_line, block)))
    if not keys:
        raise ImportFileError(path, None, "no line holds a JSON object with values", REMEDY)
    named = named_headers(path, keys, None)
    return Source(named, _frames(handle, path, dict(zip(keys, named, strict=True))))


def _frames(handle: IO[bytes], path: Path, headers: dict[str, str]) -> Iterator[pl.DataFrame]:
    names = list(headers.values())
    for first_line, block in _blocks(handle, path):
        with reported_as_file_error(path, (pl.exceptions.PolarsError,), PROBLEM, REMEDY):
            frame = pl.read_ndjson(io.BytesIO(block), schema=dict.fromkeys(headers, pl.String)).rename(headers)
        frame = frame.with_columns(_line_numbers(path, first_line, block, frame.height))
        yield with_defects(without_empty_rows(frame, names), names)


def _blocks(handle: IO[bytes], path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (number of the first line, whole lines)."""
    handle.seek(0)
    line = 1
    carried = b""
    while block := handle.read(BLOCK_BYTES):
        block = (carried + block).removeprefix(BOM) if line == 1 else carried + block
        at = block.rfind(b"\n") + 1
        if at == 0 and len(block) > MAX_LINE_BYTES:
            raise ImportFileError(path, line, f"the line is longer than {MAX_LINE_BYTES >> 20} MiB", REMEDY)
        carried = block[at:]
        if block[:at].strip():
            yield line, block[:at]
        line += block.count(b"\n", 0, at)
    if carried.strip():
        yield line, carried


def _keys_of(path: Path, first_line: int, block: bytes) -> list[str]:
    try:
        with reported_as_file_error(path, (), PROBLEM, REMEDY):
            return pl.scan_ndjson(io.BytesIO(block), infer_schema_length=None).collect_schema().names()
    except (pl.exceptions.PolarsError, ImportFileError):
        raise _bad_line(path, first_line, block) from None


def _bad_line(path: Path, first_line: int, block: bytes) -> ImportFileError:
    for line, text in enumerate(block.split(b"\n"), start=first_line):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
        except UnicodeDecodeError:
            return ImportFileError(path, line, "it holds bytes that are not UTF-8", REMEDY)
        except (ValueError, RecursionError):
            return ImportFileError(path, line, "the line is not valid JSON; it may be cut off", REMEDY)
        if not isinstance(value, dict):
            return ImportFileError(path, line, "the line is not a JSON object", REMEDY)
    return ImportFileError(path, None, PROBLEM, REMEDY)


def _line_numbers(path: Path, first_line: int, block: bytes, rows: int) -> pl.Series:
    texts = block.removesuffix(b"\n").split(b"\n")
    if len(texts) == rows:
        return pl.int_range(first_line, first_line + rows, dtype=pl.Int64, eager=True).alias(LINE)
    filled = [line for line, text in enumerate(texts, start=first_line) if text.strip()]
    if len(filled) != rows:
        raise _bad_line(path, first_line, block)
    return pl.Series(LINE, filled, pl.Int64)
