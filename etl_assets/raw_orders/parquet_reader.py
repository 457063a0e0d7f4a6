"""Reads Parquet as frames of text, one batch of rows at a time; typed values become the text a person would write."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final, cast

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from etl_assets.raw_orders.errors import reported_as_file_error
from etl_assets.raw_orders.source import LINE, Source, named_headers, with_defects, without_empty_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BATCH_ROWS: Final = 50_000
FAILURES: Final = (pa.ArrowException, pl.exceptions.PolarsError, OSError)
PROBLEM: Final = "it can't be read as Parquet"
REMEDY: Final = "Write the file again; it may be cut off or of another format"
WRAPPER: Final = "value"


def open_parquet(handle: IO[bytes], path: Path) -> Source:
    """Open Parquet; `LINE` is the number of the row, from 1."""
    with reported_as_file_error(path, FAILURES, PROBLEM, REMEDY):
        file = parquet.ParquetFile(handle, pre_buffer=False, buffer_size=1 << 20)
        headers = named_headers(path, file.schema_arrow.names, None)
    return Source(headers, _frames(file, path, headers))


def _frames(file: parquet.ParquetFile, path: Path, headers: tuple[str, ...]) -> Iterator[pl.DataFrame]:
    rows = 0
    with reported_as_file_error(path, FAILURES, PROBLEM, REMEDY):
        for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
            typed = cast("pl.DataFrame", pl.from_arrow(batch.rename_columns(list(headers))))
            lines = pl.int_range(rows + 1, rows + 1 + pl.len(), dtype=pl.Int64).alias(LINE)
            frame = as_text(typed).with_columns(lines)
            rows += frame.height
            yield with_defects(without_empty_rows(frame, headers), headers)


def as_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Write every value as text, exactly; nested ones as JSON, NaN (a missing number in many tools) as null."""
    return frame.select(_text_of(name, dtype) for name, dtype in frame.schema.items())


def _text_of(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if dtype.is_float():
        text = column.fill_nan(None).cast(pl.String).str.strip_suffix(".0")
        # Beyond 15 digits a float is no longer what was typed: its exponent stays, and shows it.
        return text.str.replace("e+", "E+", literal=True)
    if isinstance(dtype, pl.Datetime):
        zone = "%z" if dtype.time_zone else ""
        return column.dt.to_string(f"%Y-%m-%d %H:%M:%S%.f{zone}")
    if dtype.is_nested():
        wrapped = pl.struct(column.alias(WRAPPER)).struct.json_encode()
        bare = wrapped.str.strip_prefix(f'{{"{WRAPPER}":').str.strip_suffix("}")
        return pl.when(column.is_not_null()).then(bare).alias(name)
    return column.cast(pl.String)
