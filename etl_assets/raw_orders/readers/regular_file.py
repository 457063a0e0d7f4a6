"""Opening a regular file for reading: no folder, no pipe, nothing empty, and nothing that changes while it is read."""

from __future__ import annotations

import io
import os
import stat
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from etl_assets.raw_orders.readers.errors import ImportFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BLOCK_BYTES: Final = 1 << 20


@contextmanager
def open_regular_file(path: Path, on_read: Callable[[], None] | None = None) -> Iterator[IO[bytes]]:
    """Open a file once, for all that is read from it, and check at the end that it did not change meanwhile.

    Args:
        path: the file.
        on_read: called whenever something was read from the disk.

    Raises:
        ImportFileError: it is no regular file, is empty or can't be opened; or it has changed.
    """
    try:
        # Without blocking: opening a pipe without a writer would wait for ever.
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
    with io.BufferedReader(_WatchedFile(descriptor, on_read), BLOCK_BYTES) as handle:
        if not stat.S_ISREG(before.st_mode):
            raise ImportFileError(path, None, "this is not a regular file", "Save the export to a file first")
        if before.st_size == 0:
            raise ImportFileError(path, None, "the file is empty", "Export it again")
        yield handle
        after = os.fstat(handle.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ImportFileError(path, None, "the file changed while it was read", "Import it once it is complete")


class _WatchedFile(io.FileIO):
    """File that calls back when something is read from it."""

    def __init__(self, descriptor: int, on_read: Callable[[], None] | None) -> None:
        super().__init__(descriptor, "rb")
        self._on_read = on_read

    def readinto(self, buffer: object) -> int | None:
        count = super().readinto(buffer)  # type: ignore[arg-type]
        if self._on_read is not None:
            self._on_read()
        return count
