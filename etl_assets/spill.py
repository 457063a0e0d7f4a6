"""Partition files: rows that do not fit in memory, spread by a hash, so that each partition fits.

The rows of one key are all in one partition. The files lie in a folder that the caller makes and removes.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Literal, Self, cast

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

PARTITIONS: Final = 64
_PARTITION: Final = "__partition"


class PartitionFiles:
    """Files of rows in a folder, one for each partition; to be closed before they are read."""

    def __init__(self, folder: Path, partitions: int = PARTITIONS, compression: Literal["lz4"] | None = "lz4") -> None:
        self._folder, self._partitions, self._compression = folder, partitions, compression
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}

    def write(self, rows: pl.DataFrame, key: pl.Expr) -> None:
        """Append rows to the partitions of their keys."""
        import pyarrow as pa  # noqa: PLC0415  # with numpy 0.2 s of the start of each process, and rarely needed

        numbered = rows.with_columns((key.hash() % self._partitions).alias(_PARTITION))
        for (partition,), part in numbered.partition_by(_PARTITION, as_dict=True, include_key=False).items():
            table = part.to_arrow()
            if partition not in self._writers:
                options = pa.ipc.IpcWriteOptions(compression=self._compression)
                file = str(self._folder / f"{partition:06}.arrow")
                self._writers[partition] = pa.ipc.new_stream(file, table.schema, options=options)
            self._writers[partition].write_table(table)

    def close(self) -> None:
        """Complete the files."""
        while self._writers:
            self._writers.popitem()[1].close()

    def read(self) -> Iterator[pl.DataFrame]:
        """Yield the partitions; the file of each is removed once it has been read."""
        import pyarrow as pa  # noqa: PLC0415  # as above

        self.close()
        for file in sorted(self._folder.iterdir()):
            with pa.OSFile(str(file)) as opened, pa.ipc.open_stream(opened) as reader:
                rows = cast("pl.DataFrame", pl.from_arrow(reader.read_all()))
            file.unlink()
            yield rows


class Spill:
    """Rows in memory, or in partition files once there are more than `in_memory` of them."""

    def __init__(self, key: pl.Expr, in_memory: int) -> None:
        self._key, self._in_memory = key, in_memory
        self._rows: list[pl.DataFrame] = []
        self._folder: TemporaryDirectory[str] | None = None
        self._files: PartitionFiles | None = None
        self.height = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the files."""
        if self._files is not None:
            self._files.close()
        if self._folder is not None:
            self._folder.cleanup()

    def add(self, rows: pl.DataFrame) -> None:
        """Take rows, all of the same columns."""
        self.height += rows.height
        self._rows.append(rows)
        if self.height <= self._in_memory:
            return
        if self._files is None:
            self._folder = TemporaryDirectory(prefix="etl-assets-")
            self._files = PartitionFiles(Path(self._folder.name), compression=None)  # half the time, twice the room
        for part in self._rows:
            self._files.write(part, self._key)
        self._rows.clear()

    def parts(self) -> Iterator[pl.DataFrame]:
        """Yield all rows, those of one key together, about as many at once as may be in memory."""
        joined: list[pl.DataFrame] = []
        for partition in self._rows if self._files is None else self._files.read():
            joined.append(partition)
            if self._files is not None and sum(part.height for part in joined) >= self._in_memory / 2:
                yield pl.concat(joined)
                joined = []
        if joined:
            yield pl.concat(joined)
