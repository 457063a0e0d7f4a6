"""Opens an import file of any supported format: the one place that knows which reader a suffix stands for.

Only the process that reads files calls this (`child`). A reader's libraries are imported when a file needs them:
the process has to be there quickly.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.opened_file import Opened, Tables, open_regular_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from etl_assets.raw_orders.readers.opened_file import TextFormat

TEXT_SUFFIXES: Final = (".csv", ".tsv", ".txt")
READERS: Final = {
    **dict.fromkeys(TEXT_SUFFIXES, "csv"),
    ".xlsx": "xlsx",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""The modules beside this one; each has a function `open_tables`."""
SUFFIXES: Final = tuple(READERS)


def _nothing() -> None:
    """Nobody wants to know."""


class OpenFile:
    """A file, opened once for its headers and its rows."""

    def __init__(self, path: Path, progress: Callable[[], None] = _nothing) -> None:
        """Open it; `progress` is called whenever something was read or made.

        Raises:
            ImportFileError: it can't be opened, or no reader knows its suffix.
        """
        suffix = path.suffix.lower()
        with ExitStack() as stack:
            handle = stack.enter_context(open_regular_file(path, progress))
            self._reader: Any = load_reader(suffix)
            if self._reader is None:
                problem = (
                    f"files that end in {suffix!r} are not supported" if suffix else "the file's name has no ending"
                )
                raise ImportFileError(path, None, problem, f"Save it as one of {', '.join(SUFFIXES)}")
            self._opened = Opened(path, handle, progress, stack.pop_all())
        self._is_text = suffix in TEXT_SUFFIXES
        self._known: Tables | None = None

    def read(self, text_format: TextFormat | None) -> Tables:
        """Read the headers, and the rows as the tables are asked for; those only once.

        `text_format` says the encodings and the delimiter; without it they are guessed.

        Raises:
            ImportFileError: here or from the tables, for whatever is wrong with the file.
        """
        if self._known is None or self._is_text:
            found: Tables = self._reader.open_tables(self._opened, text_format)
            self._known = Tables(found.headers, self._whole(found.tables))
        return self._known

    def close(self) -> None:
        """Close the file, read to its end or not."""
        with suppress(ImportFileError):  # whether it has changed only matters to who wanted all of it
            self._opened.closing.close()

    def _whole(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        try:
            yield from tables
            self._opened.closing.close()  # where it is checked that the file is still the one that was opened
        finally:
            self.close()


def load_reader(suffix: str) -> Any | None:  # noqa: ANN401  # a module
    """The module that reads files with this suffix; None where there is none."""
    name = READERS.get(suffix)
    return None if name is None else import_module(f"etl_assets.raw_orders.readers.{name}")
