"""Opening an import file in the child process: the format of each suffix, and the interface of the formats.

Each format is a module beside this one with a function ``open_content(file: FileInput) -> Callable[[ExpectedFormat],
TableStream]``: it opens the file, and what it returns reads the headers and the rows. Its libraries are imported with
it, when a file needs them: the child has to be ready quickly. The parent process uses `file_reader` instead.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Any, Final, cast

from etl_assets.raw_orders.readers.content_type import find_format
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.regular_file import open_regular_file
from etl_assets.raw_orders.readers.unpack import (
    GZIP,
    GZIP_MAGIC,
    ZIP,
    list_members,
    split_member,
    unpack_gzip,
    unpack_member,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from etl_assets.raw_orders.readers.columns import ReaderFinding
    from etl_assets.raw_orders.readers.expected_format import ExpectedFormat

FORMATS: Final = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".xlsx": "xlsx",
    ".xls": "xls",
    ".parquet": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ZIP: "xlsx",
}
"""The module of each suffix; an archive that is no workbook is unpacked before."""
SUFFIXES: Final = (*FORMATS, ".csv.gz")
BLOCK_BYTES: Final = 1 << 20
PACKAGE: Final = "etl_assets.raw_orders.readers"


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
class TableStream:
    """Output of a format: the headers, and Arrow tables of rows (String), with `LINE_NUMBER` and `ROW_ERROR`."""

    headers: tuple[str, ...]
    tables: Iterator[pa.Table]
    findings: list[ReaderFinding]
    """Complete when the tables have been read."""
    header_line: int | None = None
    sheets: Sequence[tuple[str, Sequence[str]]] = ()
    """Of a workbook, the names of its filled sheets, with the headers of each."""


class OpenFile:
    """Import file in the child process, opened once for its headers and its rows."""

    def __init__(self, path: Path, progress: Callable[[], None] | None = None) -> None:
        """Open it; `progress` is called whenever something was read or made.

        Raises:
            ImportFileError: it can't be opened, or no format has its suffix.
        """
        container, member = split_member(path)
        with ExitStack() as stack:
            handle = stack.enter_context(open_regular_file(container, progress))
            file = FileInput(path, handle, progress or (lambda: None), stack)
            name, handle = _unpacked(file, container, member)
            suffix = PurePath(name).suffix.lower()
            by_name = FORMATS.get(suffix)
            if by_name is None:
                problem = (
                    f"files that end in {suffix!r} are not supported" if suffix else "the file's name has no ending"
                )
                raise ImportFileError(path, None, problem, f"Save it as one of {', '.join(SUFFIXES)}")
            found, self._findings = find_format(path, handle, by_name)
            self._input = replace(file, handle=handle, resources=stack.pop_all())
        self._format: Any = import_module(f"{PACKAGE}.{found}")
        self._read: Callable[[ExpectedFormat], TableStream] | None = None

    def read(self, expected: ExpectedFormat) -> TableStream:
        """Read the headers, and the rows as the tables are iterated; these only once.

        Args:
            expected: the notation, and the headers by which the header row is found.

        Raises:
            ImportFileError: here or from the tables: the file can't be read.
        """
        if self._read is None:
            self._read = cast("Callable[[ExpectedFormat], TableStream]", self._format.open_content(self._input))
        stream = self._read(expected)
        stream.findings[:0] = self._findings
        return replace(stream, tables=self._closed_after(stream.tables))

    def digest(self) -> str:
        """Return the SHA-256 of the content, unpacked, in hex."""
        handle = self._input.handle
        handle.seek(0)
        digest = hashlib.sha256()
        while block := handle.read(BLOCK_BYTES):
            digest.update(block)
            self._input.progress()
        return digest.hexdigest()

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


def list_exports(path: Path, progress: Callable[[], None] | None = None) -> list[str]:
    """Return the names of the files in an archive of exports; none where the file is none, or holds one file only.

    Raises:
        ImportFileError: the archive can't be read.
    """
    if path.suffix.lower() != ZIP:
        return []
    with open_regular_file(path, progress) as handle:
        names = list_members(handle, path)
    return names if len(names) > 1 else []


def _unpacked(file: FileInput, container: Path, member: str | None) -> tuple[str, IO[bytes]]:
    """Return the name and the content of a file: of a member of an archive, or of what gzip has compressed.

    An archive of one file stands for that file.
    """
    name, handle = member or file.path.name, file.handle
    if member is None and file.path.suffix.lower() == ZIP and (names := list_members(handle, file.path)):
        if len(names) > 1:
            problem = f"it holds {len(names):,} files"
            raise ImportFileError(file.path, None, problem, f"Name one of them, such as {file.path.name}/{names[0]}")
        name = member = names[0]
    if member is not None:
        return name, unpack_member(handle, container, member, file.progress, file.resources)
    handle.seek(0)
    if handle.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
        bare = name[: -len(GZIP)] if name.lower().endswith(GZIP) else name
        return bare, unpack_gzip(handle, file.path, file.progress, file.resources)
    return name, handle


def load_format(suffix: str) -> None:
    """Import the module of a suffix, where there is one."""
    if suffix in FORMATS:
        import_module(f"{PACKAGE}.{FORMATS[suffix]}")
