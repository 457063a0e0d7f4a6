"""`etl-assets imports revert`, `restore` and `accept`: take imports back, bring them, and run what follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from etl_assets.asset_graph import STEP_ASSETS
from etl_assets.cli.output import FAILED, AsJson, WrongUseError, failures_reported, note, print_json, print_records
from etl_assets.cli.runs import report_dict, run_with_progress, show_report
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.ledger.import_ids import ImportIdError, find_import
from etl_assets.reporting.status import is_anything_pending
from etl_assets.reverts.imports import (
    ImportChange,
    RevertError,
    accept_imports,
    count_orders,
    restore_imports,
    revert_imports,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from uuid import UUID

    import sqlalchemy as sa

    from etl_assets.database.database import Database
    from etl_assets.orchestration.run_in_process import RunReport

Ids = Annotated[list[str], typer.Argument(metavar="ID…", help="Ids of imports, or their first digits.")]
NoRun = Annotated[bool, typer.Option("--no-run", help="Leave the work to the next run, or to a sensor that is on.")]


def revert(ids: Ids, *, no_run: NoRun = False, as_json: AsJson = False) -> None:
    """Take imports back: all tables become what they would be without them. Raw rows stay. Safe to repeat."""
    _change(revert_imports, ids, no_run=no_run, as_json=as_json)


def restore(ids: Ids, *, no_run: NoRun = False, as_json: AsJson = False) -> None:
    """Bring reverted imports back: all tables become what they were. Safe to repeat."""
    _change(restore_imports, ids, no_run=no_run, as_json=as_json)


def accept(ids: Ids, *, no_run: NoRun = False, as_json: AsJson = False) -> None:
    """Let held imports through, whatever they remove. Safe to repeat."""
    _change(accept_imports, ids, no_run=no_run, as_json=as_json)


def _change(
    change: Callable[[Database, Sequence[UUID]], list[ImportChange]], ids: list[str], *, no_run: bool, as_json: bool
) -> None:
    with failures_reported(as_json=as_json):
        settings = load_settings()
        with opened_database(settings) as database:
            try:
                with database.transaction() as connection:
                    found = [find_import(connection, typed) for typed in ids]
                    if change is revert_imports:
                        _note_revert(connection, found)
                changes = change(database, found)
            except (ImportIdError, RevertError) as error:
                raise WrongUseError(str(error)) from None
            with database.transaction() as connection:
                is_pending = is_anything_pending(connection)
            report = run_with_progress(settings, only=STEP_ASSETS) if is_pending and not no_run else None
        _show(changes, report, is_pending=is_pending, as_json=as_json)
        if report is not None and report.status == "failed":
            raise typer.Exit(FAILED)


def _note_revert(connection: sa.Connection, import_ids: Sequence[UUID]) -> None:
    """Say beforehand what a revert is about: whatever it removes, it counts as accepted."""
    concerned, stored = count_orders(connection, import_ids)
    if concerned:
        note(
            f"{concerned:,} of {stored:,} orders fall to their newest other version, or are deleted with what follows."
        )


def _show(changes: Sequence[ImportChange], report: RunReport | None, *, is_pending: bool, as_json: bool) -> None:
    records = [one.as_dict() for one in changes]
    if as_json:
        print_json({"imports": records, "run": None if report is None else report_dict(report)})
        return
    print_records("Imports", records, ["import_id", "source", "status", "rows", "orders", "corrections"])
    if not any(one.is_changed for one in changes):
        note("Nothing was to be changed.")
    if report is not None:
        show_report(report)
    elif is_pending:
        note("The tables follow in the next run: `etl-assets run` does it, or a sensor that is on.")
