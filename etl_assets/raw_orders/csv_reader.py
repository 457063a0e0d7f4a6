"""Reads delimited text (.csv, .tsv, .txt) as tables of untouched text, a few MiB at a time."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Final, cast

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from etl_assets.raw_orders.csv_text import check_text, choose_dialects
from etl_assets.raw_orders.errors import ImportFileError, reported_as_file_error
from etl_assets.raw_orders.source import DEFECT, LINE, SHORTER, Tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from etl_assets.raw_orders.csv_text import Dialect
    from etl_assets.raw_orders.source import Opened, TextFormat

BLOCK_BYTES: Final = 4 << 20
"""A row has to fit in."""
DOS_END_OF_FILE: Final = "\x1a"
TOO_LONG: Final = "straddling object"
"""What Arrow says of a row that does not fit in a block."""


def open_tables(file: Opened, text_format: TextFormat | None) -> Tables:
    """Open delimited text; its headers are read at once, its rows as the tables are asked for."""
    dialects = choose_dialects(file.handle, file.path, text_format)
    return Tables(dialects[0].headers, _tables(file, dialects))


def _tables(file: Opened, dialects: list[Dialect]) -> Iterator[pa.Table]:
    dialect = check_text(file.handle, file.path, dialects)
    file.handle.seek(0)
    lines = _LineCounter(file.path, len(dialect.headers))
    remedy = "Export the file again, or save it as CSV in UTF-8"
    header_is_due = True
    with reported_as_file_error(file.path, (pa.ArrowException,), "it can't be read as delimited text", remedy):
        for batch in _batches(file, dialect, lines):
            file.progress()
            table = lines.numbered(batch)
            if header_is_due and table.num_rows:
                header_is_due, table = False, table.slice(1)
            if table.num_rows:
                yield table
        lines.finish()


def _batches(file: Opened, dialect: Dialect, lines: _LineCounter) -> Iterator[pa.RecordBatch]:
    try:
        yield from _open_stream(file.handle, dialect, lines)
    except pa.ArrowInvalid as error:
        if TOO_LONG not in str(error):
            raise
        problem = f"a row is longer than {BLOCK_BYTES >> 20} MiB"
        raise ImportFileError(file.path, None, problem, SHORTER) from None


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

    def numbered(self, batch: pa.RecordBatch) -> pa.Table:
        """Add `LINE` and `DEFECT` and leave out empty rows.

        A row with too few or too many cells raises `ImportFileError`.
        """
        if not self._bad_rows and _is_plain(batch):
            numbers = pa.array(np.arange(self._next_line, self._next_line + batch.num_rows))
            self._next_line += batch.num_rows
            self._next_row += batch.num_rows
            defects = pa.nulls(batch.num_rows, pa.large_string())
            return pa.Table.from_batches([batch]).append_column(LINE, numbers).append_column(DEFECT, defects)
        return self._numbered_with_care(batch)

    def _numbered_with_care(self, batch: pa.RecordBatch) -> pa.Table:
        import polars as pl  # noqa: PLC0415  # most files do without, and it takes longer than all of them

        from etl_assets.raw_orders.defects import as_table, with_defects, without_empty_rows  # noqa: PLC0415  # as above

        frame = cast("pl.DataFrame", pl.from_arrow(batch))
        headers = frame.columns
        parts = [frame.clear().with_columns(pl.lit(None, pl.Int64).alias(LINE))]
        while frame.height:
            bad_at = self._bad_rows[0][0] if self._bad_rows else None
            length = frame.height if bad_at is None else min(frame.height, max(bad_at - self._next_row, 0))
            parts.append(self._numbered_run(frame.head(length)))
            frame = frame.slice(length)
            if frame.height:
                self._pass_bad_row()
        return as_table(with_defects(without_empty_rows(pl.concat(parts), headers), headers))

    def finish(self) -> None:
        """Report a bad row at the very end, after which no good one comes."""
        while self._bad_rows:
            self._pass_bad_row()

    def _numbered_run(self, frame: pl.DataFrame) -> pl.DataFrame:
        import polars as pl  # noqa: PLC0415  # as above

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


def _is_plain(batch: pa.RecordBatch) -> bool:
    """Whether each row is one line and says something, and nothing is to be marked or replaced: most batches."""
    lengths: Any = 0
    for column in batch.columns:
        _, offsets, data = column.buffers()
        ends = np.frombuffer(offsets, np.int64)[column.offset : column.offset + batch.num_rows + 1]
        text = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]] if data is not None else np.empty(0, np.uint8)
        if text.size and (text.min() == 0 or (text == ord("\n")).any()):
            return False
        lengths = lengths + np.diff(ends)
    return bool(np.all(lengths))
