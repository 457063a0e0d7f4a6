"""What the processes do that faults befall: one thing each, as the commands do it.

All that is needed is imported here, so that a process forked with it begins at once; but nothing that runs a Polars
query when it is imported, since the threads of its pool are lost in a fork.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import sqlalchemy as sa

from etl_assets.cli import quarantine, runs  # noqa: F401  # what `app` would import
from etl_assets.cli.main import app
from etl_assets.database import bulk_load
from etl_assets.database import database as database_module
from etl_assets.definitions import build_defs  # noqa: F401  # takes seconds to import
from etl_assets.inbox.ingest import ingest_inbox
from etl_assets.orchestration import run_in_process  # noqa: F401  # as above
from etl_assets.quarantine.corrections import import_corrections
from etl_assets.quarantine.requeue import requeue
from etl_assets.quarantine.spreadsheet import read_corrections
from etl_assets.raw_orders.importing import import_file
from etl_assets.raw_orders.load import fail_interrupted_imports
from etl_assets.reverts.imports import restore_imports, revert_imports
from etl_assets.run.registry import STEPS, build_services, run_asset
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database


def run(*assets: str) -> None:
    """Run assets, all of them where none is named, upstream first; a few first rows drop indexes as many do."""
    cast("Any", bulk_load).LEAST_DEFERRED_ROWS = 0
    services = build_services(Settings())
    for asset in assets or STEPS:
        run_asset(cast("AssetName", asset), services)


def run_through_bulk_reader(*assets: str) -> None:
    """Run assets as if they had many rows to read: through ConnectorX's connections."""
    cast("Any", database_module).FEW_ROWS = 0
    run(*assets)


def import_one(path: str) -> None:
    """Import a file."""
    from etl_assets_tests.helpers.pipeline import PRESET  # noqa: PLC0415  # a preset's time zone is looked up by Polars

    database = build_services(Settings()).database
    fail_interrupted_imports(database)
    result = import_file(database, Path(path), PRESET)
    if result.status != "completed":
        raise SystemExit(1)


def take_in_inbox() -> None:
    """Take in what is in the inbox; a file that stays there is a failure."""
    settings = Settings()
    ingest_inbox(build_services(settings).database, settings.inbox_folder, settle_seconds=0)
    if list(settings.inbox_folder.glob("*.csv")):
        raise SystemExit(1)


def replay() -> None:
    """Run all open rows of quarantine again."""
    services = build_services(Settings())
    requeue(services.database)
    run()


def replay_corrected(path: str) -> None:
    """Run the rows of a corrected file."""
    import_corrections(build_services(Settings()).database, read_corrections(Path(path)), Path(path))
    run()


def revert(path: str) -> None:
    """Revert the imports of a file."""
    database = build_services(Settings()).database
    revert_imports(database, imports_of(database, path))


def restore(path: str) -> None:
    """Restore the imports of a file."""
    database = build_services(Settings()).database
    restore_imports(database, imports_of(database, path))


def imports_of(database: Database, path: str) -> list[UUID]:
    """Return the imports of a file."""
    with database.transaction() as connection:
        statement = sa.text("SELECT import_id FROM import_tasks WHERE source = :source")
        return list(connection.execute(statement, {"source": path}).scalars())


def command(*words: str) -> None:
    """Call `etl-assets`."""
    app(list(words), standalone_mode=True)


OPERATIONS: Final[dict[str, Callable[..., None]]] = {
    "run": run,
    "run through bulk reader": run_through_bulk_reader,
    "import": import_one,
    "inbox": take_in_inbox,
    "replay": replay,
    "replay corrected": replay_corrected,
    "revert": revert,
    "restore": restore,
    "command": command,
}
