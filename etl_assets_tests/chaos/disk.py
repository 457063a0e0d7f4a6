"""A disk that is full when wanted: a tablespace on a small tmpfs, or, where nobody may mount one, triggers that say so."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from psycopg import sql

if TYPE_CHECKING:
    from etl_assets_tests.chaos.server import Server

TABLESPACE: Final = "small_disk"
SIZE: Final = "48m"
"""Room for one database, and for what its batches write."""


class SmallDisk:
    """A disk that holds one database at a time."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._folder = folder / "disk"
        self._folder.mkdir()
        self._filler = self._folder / "filler"
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", str(self._folder)]
        self.is_real = subprocess.run(mounting, check=False, capture_output=True).returncode == 0
        if self.is_real:
            tables = self._folder / "tables"
            tables.mkdir()
            os.chown(tables, *server.owner)
            place = sql.Literal(str(tables))
            server.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(sql.Identifier(TABLESPACE), place))

    def fill(self) -> None:
        """Leave no byte."""
        with self._filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def empty(self) -> None:
        """Give the space back."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it, once the server has ended."""
        if self.is_real:
            subprocess.run(["umount", str(self._folder)], check=True)
