"""`etl-assets quarantine`: lists bad rows, exports them for correction, replays or dismisses them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etl_assets.cli.output import (
    FAILED,
    AsJson,
    WrongUseError,
    failures_reported,
    note,
    print_json,
    print_records,
    say,
)
from etl_assets.cli.runs import report_dict, run_with_progress, show_report
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.quarantine.corrections import import_corrections
from etl_assets.quarantine.dismiss import Dismissed, dismiss, dismiss_chosen
from etl_assets.quarantine.open_rows import list_open_rows, open_ids, open_raw_ids
from etl_assets.quarantine.requeue import requeue
from etl_assets.quarantine.row_filter import ALL_OPEN_ROWS, RowFilter, RowFilterError, build_filter
from etl_assets.quarantine.spreadsheet import SUFFIXES, export_quarantine, read_corrections
from etl_assets.reporting.status import is_anything_pending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from etl_assets.database.database import Database
    from etl_assets.orchestration.run_in_process import RunReport
    from etl_assets.raw_orders.load import ImportResult

app = typer.Typer(
    help="Rows that can't be loaded: list, export for correction, replay, dismiss.",
    no_args_is_help=True,
    add_completion=False,
)


OfAsset = Annotated[str | None, typer.Option("--asset", metavar="ASSET", help="Only rows rejected by this asset.")]
OfImport = Annotated[
    str | None, typer.Option("--import", metavar="ID", help="Only rows of this import; the first digits do.")
]
OfReason = Annotated[
    str | None, typer.Option("--reason-code", metavar="CODE", help="Only rows with this code, such as BAD_AMOUNT.")
]


@app.command("list")
def list_rows(
    *,
    import_id: OfImport = None,
    reason_code: OfReason = None,
    asset: OfAsset = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of rows; the oldest come first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List open rows: ids, reasons and order ids."""
    with failures_reported(as_json=as_json):
        with opened_database(load_settings()) as database:
            chosen = _choose(database, import_id, reason_code, asset)
            with database.transaction() as connection:
                rows, total = list_open_rows(connection, limit=limit, chosen=chosen)
        if as_json:
            print_json({"open": total, "rows": rows})
            return
        columns = [
            "quarantine_id",
            "asset",
            "reason_code",
            "order_id",
            "raw_id",
            "quarantined_at",
            "source",
            "line",
            "reason",
        ]
        print_records("Open quarantine", rows, columns)
        say(f"{len(rows):,} of {total:,} open rows")


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv or .xlsx file.")],
    *,
    import_id: OfImport = None,
    reason_code: OfReason = None,
    asset: OfAsset = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the open rows with their raw texts to a file; correct them there, then `quarantine replay --file FILE`."""
    with failures_reported(as_json=as_json):
        if file.suffix.lower() not in SUFFIXES:
            msg = f"{file}: name a file that ends in {' or '.join(SUFFIXES)}."
            raise WrongUseError(msg)
        if file.exists() and not overwrite:
            msg = f"{file} exists and may hold corrected rows. Name another file, or pass --overwrite."
            raise WrongUseError(msg)
        with opened_database(load_settings()) as database:
            rows = export_quarantine(database, file, _choose(database, import_id, reason_code, asset))
        if as_json:
            print_json({"file": str(file), "rows": rows})
        else:
            say(f"{rows:,} open rows written to {file}")


@app.command("replay")
def replay(
    *,
    ids: Annotated[
        list[int] | None,
        typer.Option("--id", metavar="N", help="Replay only this row; repeatable. Default: all open rows."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Corrected export: replay its changed rows.")
    ] = None,
    import_id: OfImport = None,
    reason_code: OfReason = None,
    asset: OfAsset = None,
    as_json: AsJson = False,
) -> None:
    """Replay rows: as they are, or as corrected in an export. Safe to repeat."""
    with failures_reported(as_json=as_json):
        if sum((bool(ids), file is not None, any((import_id, reason_code, asset)))) > 1:
            msg = "Give --id, --file, or any of --import, --reason-code, --asset: of a file, all changes are replayed."
            raise WrongUseError(msg)
        settings = load_settings()
        with opened_database(settings) as database:
            if file is not None:
                done = _land_file(database, file)
            else:
                done = _requeue(database, ids, _choose(database, import_id, reason_code, asset))
            with database.transaction() as connection:
                is_pending = is_anything_pending(connection)
            report = run_with_progress(settings) if is_pending else None
            done.count_open(database)
        if as_json:
            print_json(done.as_dict(report))
        else:
            _show_replay(done, report)
        if done.has_failed or (report is not None and report.status == "failed"):
            raise typer.Exit(FAILED)


@app.command("dismiss")
def dismiss_rows(
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Reason; stored with the row.")],
    ids: Annotated[list[int] | None, typer.Option("--id", metavar="N", help="Row to dismiss; repeatable.")] = None,
    import_id: OfImport = None,
    reason_code: OfReason = None,
    asset: OfAsset = None,
    as_json: AsJson = False,
) -> None:
    """Close rows that need no correction, such as test orders. They are not replayed."""
    with failures_reported(as_json=as_json):
        if not reason.strip():
            msg = "--reason is empty: say why these rows are dismissed."
            raise WrongUseError(msg)
        if bool(ids) == any((import_id, reason_code, asset)):
            msg = "Name the rows: with --id, or with --import, --reason-code and --asset."
            raise WrongUseError(msg)
        with opened_database(load_settings()) as database:
            if ids:
                done = dismiss(database, ids, reason.strip())
                rows = len(done.dismissed)
            else:
                done = Dismissed((), (), ())
                rows = dismiss_chosen(database, _choose(database, import_id, reason_code, asset), reason.strip())
        if as_json:
            named = {"dismissed": done.dismissed, "already_resolved": done.resolved, "unknown": done.unknown}
            print_json({"dismissed_rows": rows, **({name: list(of) for name, of in named.items()} if ids else {})})
        else:
            say(f"{rows:,} rows dismissed")
            _note_ids({"Already resolved": done.resolved, "Unknown ids": done.unknown})
        if done.unknown:
            raise typer.Exit(FAILED)


@dataclass(slots=True)
class _ReplayOutcome:
    """Outcome of a replay; rows as quarantine ids unless said otherwise."""

    replayed: Sequence[int]
    raw_ids: Sequence[int] | None = None
    """Raw rows that a corrected file replaced; None without a file."""
    imports: Sequence[ImportResult] = ()
    unchanged: Sequence[int] = ()
    outdated: Sequence[int] = ()
    already_resolved: Sequence[int] = ()
    unknown: Sequence[int] = ()
    open_after: int = 0

    @property
    def total(self) -> int:
        """Number of rows replayed: rows of quarantine, or corrected orders."""
        return len(self.replayed if self.raw_ids is None else self.raw_ids)

    @property
    def has_failed(self) -> bool:
        """Return whether a requested row is unknown or an import failed."""
        return bool(self.unknown) or any(result.status == "failed" for result in self.imports)

    def count_open(self, database: Database) -> None:
        """Count the rows that are still open after the run."""
        if self.raw_ids is None:
            self.open_after = len(open_ids(database, self.replayed))
        else:
            self.open_after = len(open_raw_ids(database, self.raw_ids))

    def as_dict(self, report: RunReport | None) -> dict[str, Any]:
        """Return the outcome as `--json` prints it."""
        return {
            "replayed": self.total,
            "resolved": self.total - self.open_after,
            "still_open": self.open_after,
            "unchanged": list(self.unchanged),
            "outdated": list(self.outdated),
            "already_resolved": list(self.already_resolved),
            "unknown": list(self.unknown),
            "imports": [result.as_dict() for result in self.imports],
            "run": None if report is None else report_dict(report),
        }


def _choose(database: Database, import_id: str | None, reason_code: str | None, asset: str | None) -> RowFilter:
    """Return the filter of the options. Raises `WrongUseError` with the possible values."""
    if not any((import_id, reason_code, asset)):
        return ALL_OPEN_ROWS
    try:
        with database.transaction() as connection:
            return build_filter(connection, asset=asset, import_id=import_id, reason_code=reason_code)
    except RowFilterError as error:
        raise WrongUseError(str(error)) from None


def _requeue(database: Database, ids: Sequence[int] | None, chosen: RowFilter) -> _ReplayOutcome:
    found = requeue(database, ids or None, chosen)
    return _ReplayOutcome(
        replayed=found.queued, outdated=found.outdated, already_resolved=found.resolved, unknown=found.unknown
    )


def _land_file(database: Database, file: Path) -> _ReplayOutcome:
    corrected = import_corrections(database, read_corrections(file, database.settings.reader_memory_mb), file)
    return _ReplayOutcome(
        replayed=corrected.landed,
        raw_ids=corrected.raw_ids,
        imports=corrected.imports,
        unchanged=corrected.unchanged,
        already_resolved=corrected.resolved,
        unknown=corrected.unknown,
    )


def _show_replay(done: _ReplayOutcome, report: RunReport | None) -> None:
    if report is not None:
        show_report(report)
    say(f"{done.total:,} rows replayed: {done.total - done.open_after:,} resolved, {done.open_after:,} still open")
    for result in done.imports:
        if result.error is not None:
            note(f"Not landed: {result.error}", "red")
    _note_ids(
        {
            "Not changed in the file, so not replayed": done.unchanged,
            "Outdated: a newer row of their order has been loaded": done.outdated,
            "Already resolved": done.already_resolved,
            "Unknown ids": done.unknown,
        }
    )


def _note_ids(groups: Mapping[str, Sequence[int]]) -> None:
    for label, ids in groups.items():
        if ids:
            note(f"{label}: {_shortened(ids)}", "yellow")


def _shortened(ids: Sequence[int], limit: int = 20) -> str:
    shown = ", ".join(str(number) for number in ids[:limit])
    return shown if len(ids) <= limit else f"{shown} and {len(ids) - limit:,} more"
