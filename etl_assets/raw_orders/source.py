"""What every reader of an import file shares: the opened file, its headers and its frames of plain text."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

import polars as pl

from etl_assets.raw_orders.errors import ImportFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

LINE: Final = "__line"
"""Int64: the line of the file (text and spreadsheets: the header is line 1), or the number of the row (Parquet)."""
DEFECT: Final = "__defect"
"""String: why the row can't be an order as it stands (`BAD_TEXT`); null for nearly every row."""
BAD_TEXT: Final = "BAD_TEXT"

NUL: Final = "\0"
NUL_SYMBOL: Final = "␀"


@dataclass(frozen=True)
class Source:
    """An opened import: its headers, and its rows as frames with those headers (all String), `LINE` and `DEFECT`."""

    headers: tuple[str, ...]
    frames: Iterator[pl.DataFrame]


@contextmanager
def open_regular_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file once, for all that is read from it; what is no regular file raises `ImportFileError`."""
    try:
        # Not to hang on a pipe that nobody writes to.
        handle = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except FileNotFoundError:
        raise ImportFileError(path, None, "there is no such file", "Check the path") from None
    except IsADirectoryError:
        raise ImportFileError(path, None, "this is a folder", "Name the files in it, for example with *.csv") from None
    except OSError as error:
        problem = f"it can't be opened ({os.strerror(error.errno or 0)})"
        raise ImportFileError(path, None, problem, "Check the path and who may read it") from None
    with handle:
        before = os.fstat(handle.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise ImportFileError(path, None, "this is not a regular file", "Save the export to a file first")
        if before.st_size == 0:
            raise ImportFileError(path, None, "the file is empty", "Export it again")
        yield handle
        after = os.fstat(handle.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ImportFileError(path, None, "the file changed while it was read", "Import it once it is complete")


def named_headers(path: Path, names: Iterable[str], line: int | None) -> tuple[str, ...]:
    """Trim headers and name unnamed ones ``column_7``; two columns of one name raise `ImportFileError`."""
    headers = tuple(name.strip().replace(NUL, NUL_SYMBOL) or f"column_{at}" for at, name in enumerate(names, start=1))
    first_at: dict[str, int] = {LINE: 0, DEFECT: 0}
    for at, header in enumerate(headers, start=1):
        if header in first_at:
            problem = f"columns {first_at[header]} and {at} have the same header"
            raise ImportFileError(path, line, problem, "Rename or remove one of the two columns")
        first_at[header] = at
    return headers


def with_defects(frame: pl.DataFrame, headers: Sequence[str]) -> pl.DataFrame:
    """Replace NUL, which PostgreSQL's text can't hold, by ``␀`` and mark such rows in `DEFECT`."""
    found = frame.select(pl.col(header).str.contains(NUL, literal=True).any() for header in headers).row(0)
    bad = [header for header, has_nul in zip(headers, found, strict=True) if has_nul]
    if not bad:
        return frame.with_columns(pl.lit(None, pl.String).alias(DEFECT))
    is_bad = pl.any_horizontal(pl.col(header).str.contains(NUL, literal=True).fill_null(value=False) for header in bad)
    return frame.with_columns(
        pl.when(is_bad).then(pl.lit(BAD_TEXT)).alias(DEFECT),
        *(pl.col(header).str.replace_all(NUL, NUL_SYMBOL, literal=True) for header in bad),
    )


def without_empty_rows(frame: pl.DataFrame, headers: Sequence[str]) -> pl.DataFrame:
    """Drop the rows that say nothing in any column."""
    return frame.filter(pl.any_horizontal((pl.col(header) != "").fill_null(value=False) for header in headers))
