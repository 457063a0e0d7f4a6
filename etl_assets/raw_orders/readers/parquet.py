"""Format of Parquet files: tables of text, one chunk of rows at a time; typed values become exact text."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, cast

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from etl_assets.limits import MAX_CELL_CHARACTERS, MAX_ROWS_PER_BYTE, PIECE_CELLS, UNCHECKED_ROWS
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, named_headers, too_long_cell
from etl_assets.raw_orders.readers.errors import ImportFileError, reported_as_file_error
from etl_assets.raw_orders.readers.open_file import TableStream
from etl_assets.raw_orders.readers.row_errors import as_table, with_row_errors, without_empty_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
    from etl_assets.raw_orders.readers.open_file import FileInput

CHUNK_ROWS: Final = 50_000
FAILURES: Final = (pa.ArrowException, pl.exceptions.PolarsError, OSError)
PROBLEM: Final = "it can't be read as Parquet"
REMEDY: Final = "Write the file again; it may be cut off or of another format"
WRAPPER: Final = "value"
EXACT_FLOAT64: Final = float(1 << 53)
EXACT_FLOAT32: Final = float(1 << 24)
"""All integers up to here are exact; beyond, an order number may be another one's."""


def open_content(file: FileInput) -> Callable[[ExpectedFormat], TableStream]:
    """Open Parquet; `LINE_NUMBER` is the number of the row, from 1."""
    path = file.path
    with reported_as_file_error(path, FAILURES, PROBLEM, REMEDY):
        parquet_file = parquet.ParquetFile(file.handle, pre_buffer=False, buffer_size=1 << 20)
    most = max(UNCHECKED_ROWS, MAX_ROWS_PER_BYTE * os.fstat(file.handle.fileno()).st_size)
    if parquet_file.metadata.num_rows > most:
        problem = f"it has {parquet_file.metadata.num_rows:,} rows, at most {most:,} are read of a file of its size"
        raise ImportFileError(path, None, problem, "Its rows are all alike: export the orders again")

    def read(expected: ExpectedFormat) -> TableStream:
        with reported_as_file_error(path, FAILURES, PROBLEM, REMEDY):
            headers, findings = named_headers(path, parquet_file.schema_arrow.names, None, expected)
        return TableStream(headers, _tables(parquet_file, file, headers), findings)

    return read


def _tables(parquet_file: parquet.ParquetFile, file: FileInput, headers: tuple[str, ...]) -> Iterator[pa.Table]:
    rows = 0
    size = max(1, min(CHUNK_ROWS, PIECE_CELLS // max(1, len(headers))))
    with reported_as_file_error(file.path, FAILURES, PROBLEM, REMEDY):
        for chunk in parquet_file.iter_batches(size, use_threads=False):
            file.progress()
            chunk.validate(full=True)  # or bytes that are not UTF-8 would first be met by the server
            typed = cast("pl.DataFrame", pl.from_arrow(chunk.rename_columns(list(headers))))
            lines = pl.int_range(rows + 1, rows + 1 + pl.len(), dtype=pl.Int64).alias(LINE_NUMBER)
            frame = as_text(typed)
            _check_lengths(file.path, frame, rows + 1)
            rows += frame.height
            frame = with_row_errors(without_empty_rows(frame.with_columns(lines), headers), headers)
            yield as_table(frame)


def _check_lengths(path: Path, frame: pl.DataFrame, first_row: int) -> None:
    longest = frame.select(pl.all().str.len_bytes().max()).row(0)
    if max((size or 0 for size in longest), default=0) <= MAX_CELL_CHARACTERS:
        return
    too_long = frame.select(pl.any_horizontal(pl.all().str.len_chars() > MAX_CELL_CHARACTERS).fill_null(value=False))
    at = too_long.to_series().arg_max()
    if at is not None and too_long.item(at, 0):
        raise too_long_cell(path, first_row + at)


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Write every value as text, exactly; nested ones as JSON, NaN (a missing number in many tools) as null."""
    return frame.select(_text_of(name, dtype) for name, dtype in frame.schema.items())


def _text_of(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if dtype.is_float():
        return _float_as_text(column, dtype)
    if isinstance(dtype, pl.Datetime):
        zone = "%z" if dtype.time_zone else ""
        return column.dt.to_string(f"%Y-%m-%d %H:%M:%S%.f{zone}")
    if dtype.is_nested():
        wrapped = pl.struct(column.alias(WRAPPER)).struct.json_encode()
        bare = wrapped.str.strip_prefix(f'{{"{WRAPPER}":').str.strip_suffix("}")
        return pl.when(column.is_not_null()).then(bare).alias(name)
    return column.cast(pl.String)


def _float_as_text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Write a float as text; beyond the integers that the type holds exactly with an exponent, which shows the loss."""
    digits = column.fill_nan(None).cast(pl.String).str.strip_suffix(".0")
    exact = EXACT_FLOAT32 if dtype == pl.Float32 else EXACT_FLOAT64
    is_inexact = (column > exact) & digits.str.contains(r"^\d+$")
    exponent = (digits.str.len_chars() - 1).cast(pl.String)
    rounded = pl.concat_str(digits.str.slice(0, 1), pl.lit("."), digits.str.slice(1), pl.lit("E+"), exponent)
    return (
        pl.when(is_inexact)
        .then(rounded)
        .otherwise(digits.str.replace("e+", "E+", literal=True))
        .alias(column.meta.output_name())
    )
