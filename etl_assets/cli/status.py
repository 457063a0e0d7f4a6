"""`etl-assets status`: shows imports, batches, pending work, stored rows and the open quarantine."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import typer

from etl_assets.cli.output import AsJson, failures_reported, note, print_json, print_records, print_table, say
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.health.disk import free_bytes
from etl_assets.health.needs import HealthState, find_needs, headline
from etl_assets.health.tables import read_table_state
from etl_assets.reporting.status import read_status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from etl_assets.database.database import Database
    from etl_assets.health.needs import Need

app = typer.Typer(add_completion=False)


@app.command("status")
def status(*, as_json: AsJson = False) -> None:
    """Show the last imports and batches, pending rows per asset, stored rows and the open quarantine."""
    with failures_reported(as_json=as_json), opened_database(load_settings()) as database:
        with database.transaction() as connection:
            found = read_status(connection)
        needs = _read_needs(database)
        if as_json:
            print_json({"needs": [need.as_dict() for need in needs], **found})
        else:
            _show_needs(needs)
            show_status(found)


def _read_needs(database: Database) -> list[Need]:
    """Return what needs somebody by tables and disk; Dagster's records, slow to load, are on the health page."""
    free = free_bytes(database.settings.home)
    return find_needs(HealthState(dt.datetime.now(dt.UTC), read_table_state(database), None, free))


def _show_needs(needs: Sequence[Need]) -> None:
    say(headline(needs))
    for need in needs:
        note(need.text, "red" if need.severity == "error" else "yellow")


def show_status(status: Mapping[str, Any]) -> None:
    """Print the status as tables."""
    imports = ["import_id", "source", "preset", "status", "line_count", "row_count", "created_at", "error"]
    print_records("Last imports", status["imports"], imports)
    batches = [
        "batch_id", "asset", "status", "input_rows", "inserted", "updated", "unchanged", "superseded", "quarantined",
        "duration", "finished_at",
    ]  # fmt: skip
    print_records("Last batches", status["batches"], batches)
    pending = [{"asset": asset, **entry} for asset, entry in status["pending"].items()]
    print_records("Pending", pending, ["asset", "ranges", "rows"])
    held = status["held"]
    if held["imports"]:
        say(f"{held['imports']:,} imports are held ({held['rows']:,} orders, which are not pending for an asset)")
    for one in held["last"]:
        note(one["message"], "red")
    print_records("Open quarantine", status["quarantine"], ["asset", "reason_code", "open"])
    print_records(f"Findings of the last {status['days']} days", status["findings"], ["code", "imports", "rows"])
    waiting = status["waiting_lines"]
    if waiting["orders"]:
        note(
            f"Lines of {waiting['orders']:,} orders, of {waiting['imports']:,} imports, wait for their orders", "yellow"
        )
    failed, unreadable = status["failed_imports"], status["unreadable_orders"]
    last = f"the last {status['days']} days"
    say(f"{failed['count']:,} imports failed, and were neither imported later nor dismissed")
    for one in failed["last"]:
        note(one["error"], "red")
    say(f"{unreadable['orders']:,} orders of {unreadable['imports']:,} imports of {last} could not be read")
    for one in unreadable["first"]:
        note(one["message"], "yellow")
    print_table("Rows stored", ["table", "rows"], status["tables"].items())
