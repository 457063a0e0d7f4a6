"""`etl-assets imports`: lists imports, shows one with its findings and what became of its rows; changes their status.

Reverts, restores and acceptance are in `reverts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from etl_assets.cli.output import (
    AsJson,
    WrongUseError,
    failures_reported,
    note,
    print_json,
    print_records,
    print_table,
    say,
)
from etl_assets.cli.reverts import accept, restore, revert
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.ledger.import_ids import ImportIdError, find_import
from etl_assets.raw_orders.dismiss import DismissImportError, dismiss_imports
from etl_assets.reporting.imports import describe_mapping, list_imports, read_import

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(
    help="Imports: list, show, revert, restore, accept, dismiss.", no_args_is_help=True, add_completion=False
)
app.command("revert")(revert)
app.command("restore")(restore)
app.command("accept")(accept)


@app.command("dismiss")
def dismiss(
    typed: Annotated[list[str], typer.Argument(metavar="ID…", help="Ids of failed imports, or their first digits.")],
    *,
    reason: Annotated[str, typer.Option("--note", metavar="TEXT", help="Why they need nobody any more.")],
    as_json: AsJson = False,
) -> None:
    """Dismiss failed imports that will not come again: checks, health and alerts no longer name them."""
    with failures_reported(as_json=as_json):
        with opened_database(load_settings()) as database:
            try:
                with database.transaction() as connection:
                    import_ids = [find_import(connection, one) for one in typed]
                dismissed = dismiss_imports(database, import_ids, reason)
            except (ImportIdError, DismissImportError) as error:
                raise WrongUseError(str(error)) from None
        records = [one.as_dict() for one in dismissed]
        if as_json:
            print_json({"imports": records})
            return
        print_records("Dismissed imports", records, ["import_id", "source"])
        if not any(one.is_changed for one in dismissed):
            note("Nothing was to be changed.")


@app.command("list")
def show_list(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of imports; the newest come first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the last imports, with the number of their findings and of their open rows in quarantine."""
    with failures_reported(as_json=as_json):
        with opened_database(load_settings()) as database, database.transaction() as connection:
            imports = list_imports(connection, limit=limit)
        if as_json:
            print_json({"imports": imports})
            return
        columns = [
            "import_id", "created_at", "source", "preset", "lines", "rows", "status", "findings", "quarantined",
        ]  # fmt: skip
        print_records("Imports", imports, columns)


@app.command("show")
def show_import(
    typed: Annotated[str, typer.Argument(metavar="ID", help="Id of an import, or its first digits.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show one import: its headers and mapping, its findings, and what became of its rows."""
    with failures_reported(as_json=as_json):
        with opened_database(load_settings()) as database, database.transaction() as connection:
            try:
                found = read_import(connection, find_import(connection, typed))
            except ImportIdError as error:
                raise WrongUseError(str(error)) from None
        if as_json:
            print_json(found)
        else:
            _print_import(found)


def _print_import(found: Mapping[str, Any]) -> None:
    one = found["import"]
    columns = ["source", "preset", "lines", "rows", "status", "created_at", "completed_at"]
    print_records(f"Import {one['import_id']}", [one], columns)
    if one["error"]:
        note(f"Not imported: {one['error']}", "red")
    for table, counts in (one["would_remove"] or {}).items():
        note(f"Held: it would remove or empty {counts['removed']:,} of {counts['rows']:,} rows of {table}.", "red")
    if found["headers"]:
        say(f"Headers: {', '.join(found['headers'])}")
    if found["mapping"]:
        print_table("Columns", ["column", "taken from"], describe_mapping(found["mapping"]))
    print_records("Findings", found["findings"], ["code", "count", "first_line", "message"])
    print_table("Rows", ["now", "rows"], [[fate.replace("_", " "), count] for fate, count in found["rows"].items()])
    if found["quarantine"]:
        print_records("Quarantine", found["quarantine"], ["asset", "reason_code", "open", "resolved"])
    if found["batches"]:
        counts = ["input_rows", "inserted", "updated", "unchanged", "superseded", "quarantined"]
        print_records("Batches of orders", found["batches"], ["batch_id", "run_id", "imports", *counts, "finished_at"])
