"""Reader of import files within the tests' own process, with small blocks and limits."""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from etl_assets.presets.catalog import list_presets
from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
from etl_assets.raw_orders.readers.file_reader import FileContent, FileReader, ImportFile
from etl_assets.raw_orders.readers.open_file import OpenFile, list_exports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.readers.open_file import TableStream


class FilesHere(FileReader):
    """Reader without a child process, for tests that are not about files: starting one takes longer than many tests."""

    def start(self, path: Path) -> None:
        """Start nothing."""

    @contextmanager
    def open(self, path: Path) -> Iterator[Any]:
        """Open a file in this process."""
        yield FileHere(path, self.presets_folder)

    def with_exports(self, path: Path) -> list[Path]:
        return [path / name for name in list_exports(path)] or [path]


def _sheets(stream: TableStream) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple((name, tuple(headers)) for name, headers in stream.sheets)


class FileHere(ImportFile):
    """An import file that is read without a child process."""

    def __init__(self, path: Path, presets_folder: Path | None = None) -> None:
        self.path = path
        self._presets_folder = presets_folder

    def presets(self) -> list[Preset]:
        return list_presets(self._presets_folder)

    def digest(self) -> str:
        file = OpenFile(self.path)
        try:
            return file.digest()
        finally:
            file.close()

    def _open(self, expected: ExpectedFormat) -> FileContent:
        file = OpenFile(self.path)
        try:
            stream = file.read(expected)
        except BaseException:
            file.close()
            raise
        frames = self._frames_of(file, stream)
        weakref.finalize(frames, file.close)  # where they are never asked for
        return FileContent(stream.headers, frames, stream.findings, stream.header_line, _sheets(stream))

    def _detected(self) -> FileContent:
        file = OpenFile(self.path)
        try:
            stream = file.read(ExpectedFormat.of_any(self.presets()))
        finally:
            file.close()
        return FileContent(stream.headers, iter(()), [], stream.header_line, _sheets(stream))

    def _frames_of(self, file: OpenFile, stream: TableStream) -> Iterator[pl.DataFrame]:
        try:
            yield from (cast("pl.DataFrame", pl.from_arrow(table)) for table in stream.tables)
        finally:
            file.close()
