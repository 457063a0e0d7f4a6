"""Reader of import files within the tests' own process, with small blocks and limits."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import polars as pl

from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets.raw_orders.readers.open_file import OpenFile
from etl_assets.raw_orders.readers.opened_file import OpenedFile, TextFormat

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.readers.opened_file import Tables


class FilesHere(FileReader):
    """Reader without a child process, for tests that are not about files: starting one takes longer than many tests."""

    @contextmanager
    def open(self, path: Path) -> Iterator[Any]:
        """Open a file in this process."""
        yield FileHere(path)


class FileHere:
    """`ImportFile` without a child process."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def headers(self) -> tuple[str, ...]:
        file = OpenFile(self.path)
        try:
            return file.read(None).headers
        finally:
            file.close()

    def source(self, preset: Preset | None) -> OpenedFile:
        file = OpenFile(self.path)
        text = None
        if preset is not None:
            text = TextFormat(preset.encodings, preset.delimiter, preset.columns["order_id"].headers)
        try:
            tables = file.read(text)
        except BaseException:
            file.close()
            raise
        return OpenedFile(tables.headers, self._frames(file, tables))

    def _frames(self, file: OpenFile, tables: Tables) -> Iterator[pl.DataFrame]:
        try:
            yield from (cast("pl.DataFrame", pl.from_arrow(table)) for table in tables.tables)
        finally:
            file.close()
