"""Opening an import file in the child process: the format of each suffix, and the interface of the formats.

Each format is a module beside this one with a function ``open_tables(file: FileInput, text_format: TextFormat | None)
-> TableStream``. Its libraries are imported with it, when a file needs them: the child has to be ready quickly. The
parent process uses `file_reader` instead.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any, Final

from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.regular_file import open_regular_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa

TEXT_SUFFIXES: Final = (".csv", ".tsv", ".txt")
FORMATS: Final = {
    **dict.fromkeys(TEXT_SUFFIXES, "csv"),
    ".xlsx": "xlsx",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""The module of each suffix."""
SUFFIXES: Final = tuple(FORMATS)


@dataclass(frozen=True)
class FileInput:
    """Input of a format: the opened file."""

    path: Path
    handle: IO[bytes]
    progress: Callable[[], None]
    """To be called whenever a table, or a part of one, was made."""
    resources: ExitStack
    """Closed with the file."""


@dataclass(frozen=True)
class TextFormat:
    """Notation of delimited text that a preset prescribes."""

    encodings: tuple[str, ...]
    delimiter: str
    order_headers: tuple[str, ...]
    """Headers that the order number may have."""


@dataclass(frozen=True)
class TableStream:
    """Output of a format: the headers, and Arrow tables of rows (String), with `LINE_NUMBER` and `ROW_ERROR`."""

    headers: tuple[str, ...]
    tables: Iterator[pa.Table]


class OpenFile:
    """Import file in the child process, opened once for its headers and its rows."""

    def __init__(self, path: Path, progress: Callable[[], None] | None = None) -> None:
        """Open it; `progress` is called whenever something was read or made.

        Raises:
            ImportFileError: it can't be opened, or no format has its suffix.
        """
        suffix = path.suffix.lower()
        with ExitStack() as stack:
            handle = stack.enter_context(open_regular_file(path, progress))
            self._format: Any = load_format(suffix)
            if self._format is None:
                problem = (
                    f"files that end in {suffix!r} are not supported" if suffix else "the file's name has no ending"
                )
                raise ImportFileError(path, None, problem, f"Save it as one of {', '.join(SUFFIXES)}")
            self._input = FileInput(path, handle, progress or (lambda: None), stack.pop_all())
        self._is_text = suffix in TEXT_SUFFIXES
        self._stream: TableStream | None = None

    def read(self, text_format: TextFormat | None) -> TableStream:
        """Read the headers, and the rows as the tables are iterated; these only once.

        Args:
            text_format: the encodings and the delimiter; without it they are guessed.

        Raises:
            ImportFileError: here or from the tables: the file can't be read.
        """
        if self._stream is None or self._is_text:
            stream: TableStream = self._format.open_tables(self._input, text_format)
            self._stream = TableStream(stream.headers, self._closed_after(stream.tables))
        return self._stream

    def close(self) -> None:
        """Close the file, read to its end or not."""
        with suppress(ImportFileError):  # that it has changed only matters where all of it was read
            self._input.resources.close()

    def _closed_after(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        try:
            yield from tables
            self._input.resources.close()  # checks that the file is still the one that was opened
        finally:
            self.close()


def load_format(suffix: str) -> Any | None:  # noqa: ANN401  # a module
    """Import the module of a suffix; None where there is none."""
    name = FORMATS.get(suffix)
    return None if name is None else import_module(f"etl_assets.raw_orders.readers.{name}")
