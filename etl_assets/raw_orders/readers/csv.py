"""Format of delimited text (.csv, .tsv, .txt): tables of untouched text, one block of the file at a time.

Arrow's reader is fast and lenient; `csv_dialect` finds encoding and delimiter, and refuses faults that Arrow ignores.
Polars is not imported here but for a NUL in the file: that import takes longer than the rest of the child's start.
"""

from __future__ import annotations

import csv
from typing import IO, TYPE_CHECKING, Any, Final, cast

import numpy as np
import pyarrow as pa
from pyarrow import csv as arrow_csv

from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR, SHORTER
from etl_assets.raw_orders.readers.csv_dialect import check_text, choose_dialects
from etl_assets.raw_orders.readers.errors import ImportFileError, reported_as_file_error
from etl_assets.raw_orders.readers.open_file import TableStream
from etl_assets.raw_orders.readers.total_rows import SKIPPED_ROWS, TOTAL_ROWS, is_total_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from etl_assets.raw_orders.readers.columns import ReaderFinding
    from etl_assets.raw_orders.readers.csv_dialect import Dialect
    from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
    from etl_assets.raw_orders.readers.open_file import FileInput

BLOCK_BYTES: Final = 4 << 20
"""A row has to fit in one block."""
MANY_BORDERS: Final = 1000
DOS_END_OF_FILE: Final = "\x1a"
TOO_LONG: Final = "straddling object"
"""Part of Arrow's message about a row that does not fit in a block."""


def open_content(file: FileInput) -> Callable[[ExpectedFormat], TableStream]:
    """Open delimited text."""

    def read(expected: ExpectedFormat) -> TableStream:
        dialects = choose_dialects(file.handle, file.path, expected)
        findings: list[ReaderFinding] = []
        tables = _tables(file, dialects, expected, findings)
        return TableStream(dialects[0].headers, tables, findings, dialects[0].header.line)

    return read


def _tables(
    file: FileInput, dialects: list[Dialect], expected: ExpectedFormat, findings: list[ReaderFinding]
) -> Iterator[pa.Table]:
    dialect = check_text(file.handle, file.path, dialects)
    findings += dialect.findings
    file.handle.seek(0)
    lines = _LineCounter(file.path, dialect, expected.skip_rows_matching)
    remedy = "Export the file again, or save it as CSV in UTF-8"
    header_is_due = True
    with reported_as_file_error(file.path, (pa.ArrowException,), "it can't be read as delimited text", remedy):
        for block in _blocks(file, dialect, lines):
            file.progress()
            table = lines.numbered(block)
            if header_is_due and table.num_rows:
                header_is_due, table = False, table.slice(1)
            if table.num_rows:
                yield table
        lines.finish()
    findings += lines.findings


def _blocks(file: FileInput, dialect: Dialect, lines: _LineCounter) -> Iterator[pa.RecordBatch]:
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
            skip_rows=dialect.header.line - 1,
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
    """Counts the line that each row starts at: rows may span lines, and blank ones are left out."""

    def __init__(self, path: Path, dialect: Dialect, skip_rows_matching: Sequence[str]) -> None:
        self._path = path
        self._width = len(dialect.headers)
        self._delimiter = dialect.delimiter
        self._skip_rows_matching = skip_rows_matching
        self._next_line = dialect.header.line
        self._next_row = dialect.header.line  # Arrow counts the lines that it skips as rows
        self._left_out: dict[str, tuple[int, int]] = {}  # how many, and the line of the first, by the code
        self._bad_rows: list[tuple[int, int, str]] = []  # number of the row, cells, text: the reader runs ahead

    def note_bad_row(self, row: arrow_csv.InvalidRow) -> str:
        self._bad_rows.append((row.number or 0, row.actual_columns, row.text))
        return "skip"

    def numbered(self, block: pa.RecordBatch) -> pa.Table:
        """Add `LINE_NUMBER` and `ROW_ERROR` and leave out empty rows.

        A row with too few or too many cells raises `ImportFileError`, unless it is to be left out.
        """
        parts = []
        while True:
            bad_at = self._bad_rows[0][0] if self._bad_rows else None
            length = block.num_rows if bad_at is None else min(block.num_rows, max(bad_at - self._next_row, 0))
            parts.append(self._numbered_run(block.slice(0, length)))
            block = block.slice(length)
            if not block.num_rows:
                return pa.concat_tables(parts)
            self._pass_bad_row()

    @property
    def findings(self) -> list[ReaderFinding]:
        """Return the rows left out so far."""
        return [(code, "", count, first) for code, (count, first) in self._left_out.items()]

    def finish(self) -> None:
        """Report a bad row at the very end, after which no good one comes."""
        while self._bad_rows:
            self._pass_bad_row()

    def _numbered_run(self, rows: pa.RecordBatch) -> pa.Table:
        texts = _TextSizes(rows)
        further = texts.breaks + 1
        after = self._next_line + np.cumsum(further)
        table = pa.Table.from_batches([rows]).append_column(LINE_NUMBER, pa.array(after - further))
        table = table.append_column(ROW_ERROR, pa.nulls(rows.num_rows, pa.large_string()))
        if rows.num_rows:
            self._next_line = int(after[-1])
            self._next_row += rows.num_rows
        if not texts.sizes.all():
            table = _without(table, texts.sizes == 0)
        return _with_row_errors(table, rows.schema.names) if texts.has_nul else table

    def _pass_bad_row(self) -> None:
        _, cells, text = self._bad_rows.pop(0)
        code = self._code_of_left_out(text)
        if code is not None:
            count, first = self._left_out.get(code, (0, self._next_line))
            self._left_out[code] = (count + 1, first)
        elif text.strip(f" \t\r\n{DOS_END_OF_FILE}"):
            problem = f"the row has {cells} cells, the header {self._width}"
            remedy = (
                "Correct this row (a missing or unquoted delimiter, a cut-off file), or export the file again; "
                "lines that are no orders are left out by skip_rows_matching in a mapping"
            )
            raise ImportFileError(self._path, self._next_line, problem, remedy)
        self._next_line += 1 + text.count("\n")
        self._next_row += 1

    def _code_of_left_out(self, text: str) -> str | None:
        try:
            cells = next(csv.reader([text], delimiter=self._delimiter), [])
        except csv.Error:
            return None
        if is_total_row(cells):
            return TOTAL_ROWS
        if not self._skip_rows_matching:
            return None
        import polars as pl  # noqa: PLC0415  # as in `_with_row_errors`

        from etl_assets.raw_orders.readers.row_patterns import CELL_SEPARATOR, is_any_in  # noqa: PLC0415  # as above

        is_skipped = pl.select(is_any_in(pl.lit(CELL_SEPARATOR.join(cells)), self._skip_rows_matching)).item()
        return SKIPPED_ROWS if is_skipped else None


class _TextSizes:
    """Bytes and line breaks of each row, all columns together, and whether there is a NUL in any."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        self.sizes = np.zeros(rows.num_rows, np.int64)
        self.breaks = np.zeros(rows.num_rows, np.int64)
        self.has_nul = False
        for column in rows.columns if rows.num_rows else ():
            _, offsets, data = column.buffers()
            ends = np.frombuffer(offsets, np.int64)[column.offset : column.offset + rows.num_rows + 1]
            self.sizes += np.diff(ends)
            if data is None or ends[0] == ends[-1]:
                continue
            text = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
            self.has_nul = self.has_nul or text.min() == 0
            is_break = text == ord("\n")
            if is_break.any():
                at_rows = np.searchsorted(ends - ends[0], np.flatnonzero(is_break), side="right") - 1
                self.breaks += np.bincount(at_rows, minlength=rows.num_rows)


def _without(table: pa.Table, is_left_out: np.ndarray[Any, Any]) -> pa.Table:
    """Leave out rows; by slices where they are few, as nearly always: Arrow's filters take long to import."""
    borders = np.flatnonzero(np.diff(is_left_out, prepend=True, append=True))
    if len(borders) > MANY_BORDERS:
        return table.filter(pa.array(~is_left_out))
    kept = [table.slice(start, end - start) for start, end in borders.reshape(-1, 2).tolist()]
    return pa.concat_tables([table.slice(0, 0), *kept])


def _with_row_errors(table: pa.Table, headers: list[str]) -> pa.Table:
    import polars as pl  # noqa: PLC0415  # most files do without, and it takes longer to load than all of them

    from etl_assets.raw_orders.readers.row_errors import as_table, with_row_errors  # noqa: PLC0415  # as above

    return as_table(with_row_errors(cast("pl.DataFrame", pl.from_arrow(table)), headers))
