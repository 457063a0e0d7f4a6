"""Reads delimited text (.csv, .tsv, .txt) as frames of untouched text, a few MiB at a time."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final, cast

import polars as pl
import pyarrow as pa
from pyarrow import csv as arrow_csv

from etl_assets.raw_orders.csv_text import check_text, choose_dialects
from etl_assets.raw_orders.errors import ImportFileError, reported_as_file_error
from etl_assets.raw_orders.source import LINE, Source, with_defects, without_empty_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.csv_text import Dialect

BLOCK_BYTES: Final = 4 << 20
DOS_END_OF_FILE: Final = "\x1a"


def open_csv(handle: IO[bytes], path: Path, preset: Preset | None) -> Source:
    """Open delimited text; its headers are read at once, its rows as the frames are asked for."""
    dialects = choose_dialects(handle, path, preset)
    return Source(dialects[0].headers, _frames(handle, path, dialects))


def _frames(handle: IO[bytes], path: Path, dialects: list[Dialect]) -> Iterator[pl.DataFrame]:
    dialect = check_text(handle, path, dialects)
    handle.seek(0)
    lines = _LineCounter(path, len(dialect.headers))
    remedy = "Export the file again, or save it as CSV in UTF-8"
    header_is_due = True
    with reported_as_file_error(path, (pa.ArrowException,), "it can't be read as delimited text", remedy):
        for batch in _open_stream(handle, dialect, lines):
            frame = lines.numbered(cast("pl.DataFrame", pl.from_arrow(batch)))
            frame = without_empty_rows(frame, dialect.headers)
            if header_is_due and frame.height:
                header_is_due, frame = False, frame.slice(1)
            if frame.height:
                yield with_defects(frame, dialect.headers)
        lines.finish()


def _open_stream(handle: IO[bytes], dialect: Dialect, lines: _LineCounter) -> arrow_csv.CSVStreamingReader:
    return arrow_csv.open_csv(
        handle,
        read_options=arrow_csv.ReadOptions(
            column_names=list(dialect.headers),
            block_size=BLOCK_BYTES,
            encoding=dialect.encoding.removesuffix("-sig"),
            use_threads=False,  # only then are the numbers of bad rows known
        ),
        parse_options=arrow_csv.ParseOptions(
            delimiter=dialect.delimiter,
            newlines_in_values=True,
            ignore_empty_lines=False,
            invalid_row_handler=lines.note_bad_row,
        ),
        convert_options=arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(dialect.headers, pa.large_string()), strings_can_be_null=False
        ),
    )


class _LineCounter:
    """Knows the line that each row starts at: rows may span lines, and blank ones are left out."""

    def __init__(self, path: Path, width: int) -> None:
        self._path = path
        self._width = width
        self._next_line = 1
        self._next_row = 1
        self._bad_rows: list[tuple[int, int, str]] = []  # number of the row, cells, text: the reader runs ahead

    def note_bad_row(self, row: arrow_csv.InvalidRow) -> str:
        self._bad_rows.append((row.number or 0, row.actual_columns, row.text))
        return "skip"

    def numbered(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add `LINE`; a row with too few or too many cells raises `ImportFileError`."""
        parts = []
        while frame.height:
            bad_at = self._bad_rows[0][0] if self._bad_rows else None
            length = frame.height if bad_at is None else min(frame.height, max(bad_at - self._next_row, 0))
            parts.append(self._numbered_run(frame.head(length)))
            frame = frame.slice(length)
            if frame.height:
                self._pass_bad_row()
        return pl.concat(parts) if parts else frame.with_columns(pl.lit(None, pl.Int64).alias(LINE))

    def finish(self) -> None:
        """Report a bad row at the very end, after which no good one comes."""
        while self._bad_rows:
            self._pass_bad_row()

    def _numbered_run(self, frame: pl.DataFrame) -> pl.DataFrame:
        further = pl.sum_horizontal(pl.all().str.count_matches("\n", literal=True)).cast(pl.Int64) + 1
        after = self._next_line + further.cum_sum()
        numbered = frame.with_columns((after - further).alias(LINE))
        if frame.height:
            self._next_line += frame.select(further.sum()).item()
            self._next_row += frame.height
        return numbered

    def _pass_bad_row(self) -> None:
        _, cells, text = self._bad_rows.pop(0)
        if text.strip(f" \t\r\n{DOS_END_OF_FILE}"):
            problem = f"the row has {cells} cells, the header {self._width}"
            remedy = "Mend this row (a missing or unquoted delimiter, a cut-off file), or export the file again"
            raise ImportFileError(self._path, self._next_line, problem, remedy)
        self._next_line += 1 + text.count("\n")
        self._next_row += 1
