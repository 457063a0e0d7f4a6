"""The opened file, its headers, and how its rows are handed on: shared by the readers of all formats."""

from __future__ import annotations

import io
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, Protocol

from etl_assets.limits import MAX_CELL_CHARACTERS, MAX_COLUMNS
from etl_assets.raw_orders.readers.errors import ImportFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import ExitStack
    from pathlib import Path

    import polars as pl
    import pyarrow as pa

    from etl_assets.presets.model import Preset

LINE_NUMBER: Final = "__line"
"""Int64: the line of the file (text and spreadsheets: the header is line 1), or the number of the row (Parquet)."""
ROW_ERROR: Final = "__defect"
"""String: why the row can't be an order as it stands (`BAD_TEXT`); null for nearly every row."""
BAD_TEXT: Final = "BAD_TEXT"

NUL: Final = "\0"
NUL_SYMBOL: Final = "␀"
HALF_CHARACTER: Final = "\ufffd"
"""Stands for what is no character: half a surrogate pair, bytes of another encoding."""
BLOCK_BYTES: Final = 1 << 20
WITHOUT_THEM: Final = "Leave out the columns that orders do not need, or import the sheet of orders only"
SHORTER: Final = "Shorten the text, or leave the column out"


@dataclass(frozen=True)
class OpenedFile:
    """Opened import: its headers, and frames of rows with those headers (String), `LINE_NUMBER`, `ROW_ERROR`."""

    headers: tuple[str, ...]
    frames: Iterator[pl.DataFrame]


class ImportFile(Protocol):
    """A file to be imported, opened once for its headers and its rows."""

    path: Path

    def headers(self) -> tuple[str, ...]:
        """The headers as they are without a preset, for finding one. Raises `ImportFileError`."""
        ...

    def source(self, preset: Preset | None) -> OpenedFile:
        """The file as a preset says that it is written; without one that is guessed. Raises `ImportFileError`."""
        ...


@dataclass(frozen=True)
class Tables:
    """A file as its reader hands it on: like `OpenedFile`, in Arrow tables, which go through a pipe."""

    headers: tuple[str, ...]
    tables: Iterator[pa.Table]


@dataclass(frozen=True)
class Opened:
    """The opened file that a reader gets."""

    path: Path
    handle: IO[bytes]
    progress: Callable[[], None]
    """To be called whenever something was made."""
    closing: ExitStack
    """Closed with the file."""


@dataclass(frozen=True)
class TextFormat:
    """The notation of delimited text that a preset prescribes."""

    encodings: tuple[str, ...]
    delimiter: str
    order_headers: tuple[str, ...]
    """Headers that the order number may have."""


@contextmanager
def open_regular_file(path: Path, on_read: Callable[[], None] | None = None) -> Iterator[IO[bytes]]:
    """Open a file once, for all that is read from it; what is no regular file raises `ImportFileError`.

    `on_read` is called whenever something was read from the disk.
    """
    try:
        # Not to hang on a pipe that nobody writes to.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ImportFileError(path, None, "there is no such file", "Check the path") from None
    except OSError as error:
        problem = f"it can't be opened ({os.strerror(error.errno or 0)})"
        raise ImportFileError(path, None, problem, "Check the path and who may read it") from None
    before = os.fstat(descriptor)
    if stat.S_ISDIR(before.st_mode):
        os.close(descriptor)
        raise ImportFileError(path, None, "this is a folder", "Name the files in it, for example with *.csv")
    with io.BufferedReader(_Watched(descriptor, on_read), BLOCK_BYTES) as handle:
        if not stat.S_ISREG(before.st_mode):
            raise ImportFileError(path, None, "this is not a regular file", "Save the export to a file first")
        if before.st_size == 0:
            raise ImportFileError(path, None, "the file is empty", "Export it again")
        yield handle
        after = os.fstat(handle.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ImportFileError(path, None, "the file changed while it was read", "Import it once it is complete")


class _Watched(io.FileIO):
    """A file that tells when something is read from it."""

    def __init__(self, descriptor: int, on_read: Callable[[], None] | None) -> None:
        super().__init__(descriptor, "rb")
        self._on_read = on_read

    def readinto(self, buffer: object) -> int | None:
        count = super().readinto(buffer)  # type: ignore[arg-type]
        if self._on_read is not None:
            self._on_read()
        return count


def named_headers(path: Path, names: Iterable[str], line: int | None) -> tuple[str, ...]:
    """Trim headers and name unnamed ones ``column_7``; too many, or two of one name, raise `ImportFileError`."""
    headers = tuple(name.strip().replace(NUL, NUL_SYMBOL) or f"column_{at}" for at, name in enumerate(names, start=1))
    if len(headers) > MAX_COLUMNS:
        raise too_many_columns(path, line, len(headers))
    first_at: dict[str, int] = {LINE_NUMBER: 0, ROW_ERROR: 0}
    for at, header in enumerate(headers, start=1):
        if header in first_at:
            problem = f"columns {first_at[header]} and {at} have the same header"
            raise ImportFileError(path, line, problem, "Rename or remove one of the two columns")
        first_at[header] = at
    return headers


def too_many_columns(path: Path, line: int | None, columns: int) -> ImportFileError:
    """The error of a file with more columns than a file may have."""
    return ImportFileError(path, line, f"it has {columns:,} columns, at most {MAX_COLUMNS:,} are read", WITHOUT_THEM)


def too_long_cell(path: Path, line: int | None, most: int = MAX_CELL_CHARACTERS) -> ImportFileError:
    """The error of a file with a cell longer than a cell may be."""
    return ImportFileError(path, line, f"a cell has more than {most:,} characters", SHORTER)
