"""A disk that is full when wanted: a tablespace on a small tmpfs, or triggers where nobody may mount one."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from etl_assets.database.schema import metadata

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets_tests.chaos.server import Server

SIZE: Final = "48m"
"""Room for one database, and for what its batches write."""
_LOCK: Final = 53_100
"""The advisory lock that is held while there is no space."""
_REFUSING: Final = f"""
    CREATE FUNCTION etl.refuse_when_full() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT pg_try_advisory_xact_lock_shared({_LOCK}) THEN
            RAISE 'No space left on device' USING ERRCODE = 'disk_full';
        END IF;
        RETURN NULL;
    END $$
"""  # an integer of ours


class SmallDisk:
    """A disk that holds one database at a time."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server, self._folder = server, folder / "disk"
        self._folder.mkdir()
        self._filler = self._folder / "filler"
        self._holding: psycopg.Connection[Any] | None = None
        mounting = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", str(self._folder)]
        has_mount = shutil.which("mount") is not None
        self.is_real = has_mount and subprocess.run(mounting, check=False, capture_output=True).returncode == 0
        self.tablespace = "small_disk" if self.is_real else "pg_default"
        if self.is_real:
            tables = self._folder / "tables"
            tables.mkdir()
            os.chown(tables, *server.owner)
            place = (sql.Identifier(self.tablespace), sql.Literal(str(tables)))
            server.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(*place))

    def ingest_inbox(self, database: str) -> None:
        """Make a database that lies on this disk ready for it to be full."""
        if not self.is_real:
            with psycopg.connect(self._server.address(database)) as connection:
                connection.execute(_REFUSING)
                for table in metadata.sorted_tables:
                    connection.execute(
                        sql.SQL(
                            "CREATE TRIGGER refuse_when_full BEFORE INSERT OR UPDATE OR DELETE ON {}"
                            " FOR EACH STATEMENT EXECUTE FUNCTION etl.refuse_when_full()"
                        ).format(sql.Identifier("etl", table.name))
                    )

    def fill(self, database: str) -> None:
        """Leave no byte for the database."""
        if not self.is_real:
            self._holding = psycopg.connect(self._server.address(database), autocommit=True)
            self._holding.execute(sql.SQL("SELECT pg_try_advisory_lock({})").format(sql.Literal(_LOCK)))
            return
        with self._filler.open("wb", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(4096))

    def empty(self) -> None:
        """Give the space back."""
        self._filler.unlink(missing_ok=True)
        if self._holding is not None:
            self._holding.close()

    def close(self) -> None:
        """Unmount it, once the server has ended."""
        if self.is_real:
            subprocess.run(["umount", str(self._folder)], check=True)
