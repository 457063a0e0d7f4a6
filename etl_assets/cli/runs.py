"""`etl-assets run`: runs the assets in a Dagster run; other commands use its functions to run and report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from etl_assets.asset_graph import STEP_ASSETS
from etl_assets.cli.output import (
    FAILED,
    AsJson,
    WrongUseError,
    count_progress,
    failures_reported,
    note,
    print_json,
    print_table,
    say,
)
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.reporting.imports import count_imports_by_status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.orchestration.run_in_process import RunReport
    from etl_assets.settings import Settings

app = typer.Typer(add_completion=False)

SHOWN_IMPORTS: Final = 20
COLUMNS: Final = (
    "status", "input_rows", "inserted", "updated", "unchanged", "superseded", "quarantined", "deleted", "duration",
)  # fmt: skip


@app.command("run")
def run(
    *,
    full_refresh: Annotated[
        bool, typer.Option("--full-refresh", help="Process all rows again, not only pending ones.")
    ] = False,
    only: Annotated[list[str] | None, typer.Option(metavar="ASSET", help="Run this asset only; repeatable.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the assets in order, in a Dagster run that the UI shows."""
    with failures_reported(as_json=as_json):
        assets = _require_known(only or [])
        settings = load_settings()
        with opened_database(settings) as database:
            if full_refresh:
                _note_full_refresh(database)
            report = run_with_progress(settings, only=assets, full_refresh=full_refresh)
        if as_json:
            print_json(report_dict(report))
        else:
            show_report(report)
        if report.status == "failed":
            raise typer.Exit(FAILED)


def _note_full_refresh(database: Database) -> None:
    """Say beforehand what a full refresh is about: whatever it removes, it counts as accepted."""
    with database.transaction() as connection:
        imports = count_imports_by_status(connection)
    read, held = imports["completed"], imports["held"]
    text = (
        f"All {read.rows:,} orders of {read.imports:,} imports are read again. Rows that the rules no longer make"
        " of them are deleted, however many: imports that have been processed before count as accepted."
    )
    note(text + (f" {held.imports:,} held imports ({held.rows:,} orders) stay held." if held.imports else ""))


def run_with_progress(settings: Settings, *, only: Sequence[AssetName] = (), full_refresh: bool = False) -> RunReport:
    """Run the assets, with the number of processed rows on stderr."""
    from etl_assets.definitions import build_defs  # noqa: PLC0415  # Dagster takes seconds to import
    from etl_assets.orchestration.run_in_process import run_in_process  # noqa: PLC0415  # as above

    rows = 0
    with count_progress("Running the assets", "rows") as on_rows:

        def on_progress(_asset: str, batch_rows: int) -> None:
            nonlocal rows
            rows += batch_rows
            on_rows(rows)

        return run_in_process(settings, build_defs, only=only, full_refresh=full_refresh, on_progress=on_progress)


def report_dict(report: RunReport) -> dict[str, Any]:
    """Return the report as `--json` prints it."""
    return {
        "status": report.status,
        "run_id": report.run_id,
        "assets": report.assets,
        "failed_checks": list(report.failed_checks),
        "unreadable_imports": [one.as_dict() for one in report.quarantined_imports if one.is_unreadable],
        "held_imports": [one.as_dict() for one in report.held_imports],
        "findings": list(report.findings),
        "inputs": report.inputs,
        "health": report.health,
        "partly_unreadable_imports": [one.as_dict() for one in report.quarantined_imports if not one.is_unreadable],
    }


def show_report(report: RunReport) -> None:
    """Print what was ingested and a row per asset; failures on stderr."""
    if report.inputs is not None:
        show_inputs(report.inputs)
    _show_assets(report)
    _show_imports(report)
    if any(entry.get("quarantined") for entry in report.assets.values()):
        note("`etl-assets quarantine list` shows the rows in quarantine.", "yellow")
    note(f"Health: {report.health}")


def _show_assets(report: RunReport) -> None:
    rows = ([asset, *(entry.get(column) for column in COLUMNS)] for asset, entry in report.assets.items())
    print_table("Assets", ["asset", *COLUMNS], rows)
    say(f"Run {report.run_id}: {report.status}")
    for asset, entry in report.assets.items():
        if entry["status"] == "failed":
            note(f"{asset}: {entry['error']}", "red")
    skipped = [asset for asset, entry in report.assets.items() if entry["status"] == "skipped"]
    if skipped:
        note(f"Not run, because an asset or a blocking check before them failed: {', '.join(skipped)}", "yellow")
    if report.failed_checks:
        note(f"Failed checks: {', '.join(report.failed_checks)}", "red")


def _show_imports(report: RunReport) -> None:
    for one in report.quarantined_imports[:SHOWN_IMPORTS]:
        note(one.message, "red" if one.is_unreadable else "yellow")
    if len(report.quarantined_imports) > SHOWN_IMPORTS:
        note(f"… and orders of {len(report.quarantined_imports) - SHOWN_IMPORTS:,} more imports.", "yellow")
    for held in report.held_imports[:SHOWN_IMPORTS]:
        note(held.message, "red")
    for found in report.findings:
        note(f"{found['code']}: {found['rows']:,} in {found['imports']:,} imports", "yellow")


def show_inputs(inputs: Mapping[str, Any]) -> None:
    """Print how many files and rows were ingested; refused and waiting ones on stderr."""
    counts = {name: inputs[f"{name}_count"] for name in ("imported", "refused", "known", "stuck", "waiting")}
    if any(counts.values()):
        imported = f"{counts['imported']:,} files imported ({inputs['imported_rows']:,} orders)"
        say(
            f"Inbox: {imported}, {counts['refused']:,} refused, {counts['known']:,} imported before,"
            f" {counts['stuck'] + counts['waiting']:,} waiting"
        )
    if inputs["pulled"]:
        say(f"Sources: {inputs['pulled_rows']:,} orders pulled")
    for one in inputs["imported"]:
        for finding in one.get("findings", ()):
            note(f"{one['source']}: {finding['message']}", "yellow")
    for one in inputs["waiting"][:SHOWN_IMPORTS]:
        note(f"Waiting: {one['source']}: {one['reason']}", "yellow")
    for problem in inputs["problems"][:SHOWN_IMPORTS]:
        note(problem, "red")
    hidden = sum(max(inputs[f"{name}_count"] - SHOWN_IMPORTS, 0) for name in ("waiting", "problem"))
    if hidden:
        note(f"… and {hidden:,} more: see `inputs` of --json, or the metadata of raw_orders.", "yellow")


def _require_known(names: Sequence[str]) -> list[AssetName]:
    unknown = [name for name in names if name not in STEP_ASSETS]
    if unknown:
        msg = f"--only: there is no asset {unknown[0]!r}; use one of {', '.join(STEP_ASSETS)}."
        raise WrongUseError(msg)
    return [cast("AssetName", name) for name in names]
