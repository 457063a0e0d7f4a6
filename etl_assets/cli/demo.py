"""`etl-assets demo`: runs the whole pipeline once, from generated exports to leads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from etl_assets.cli.generate import as_records
from etl_assets.cli.imports import land_with_progress, show_imports
from etl_assets.cli.output import (
    FAILED,
    AsJson,
    failures_reported,
    heading,
    print_json,
    print_pairs,
    print_records,
    print_table,
    say,
)
from etl_assets.cli.runs import report_dict, run_with_progress, show_report
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.generator.demo import MIN_ORDERS, DemoFile, write_demo_files
from etl_assets.orders.order_types import set_order_types
from etl_assets.presets.catalog import get_preset
from etl_assets.raw_orders.importing import Overrides
from etl_assets.raw_orders.load import fail_interrupted_imports
from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets.reporting.platforms import read_platforms
from etl_assets.reporting.status import read_status

if TYPE_CHECKING:
    from etl_assets.settings import Settings

app = typer.Typer(add_completion=False)

ORDER_TYPES: Final = {
    "样品": "SAMPLE",
    "sample": "SAMPLE",
    "打样": "PROOF",
    "proof": "PROOF",
    "大货": "BULK",
    "bulk": "BULK",
}
"""Mappings of the generated exports' order types; two types are left out, for the check of unmapped ones."""


@app.command("demo")
def demo(
    *,
    orders: Annotated[int, typer.Option(min=MIN_ORDERS, help="Orders to generate.")] = 3000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the generated orders.")] = 7,
    as_json: AsJson = False,
) -> None:
    """Generate exports under ETL_HOME/demo, import them, run all assets, print a summary. Safe to repeat."""
    with failures_reported(as_json=as_json):
        outcome, failed = _run_demo(load_settings(), orders, seed, as_json=as_json)
        if as_json:
            print_json(outcome)
        if failed:
            raise typer.Exit(FAILED)


def _run_demo(settings: Settings, orders: int, seed: int, *, as_json: bool) -> tuple[dict[str, Any], bool]:
    heading("1 of 4: generating exports")
    files = write_demo_files(settings.home.resolve() / "demo", orders=orders, seed=seed)
    if not as_json:
        print_records("Written", as_records(files), ["path", "preset", "shop", "currency"])
    heading("2 of 4: opening the database and importing")
    with FileReader(settings.reader_memory_mb) as reader, opened_database(settings) as database:
        reader.start(files[0].path)
        fail_interrupted_imports(database)
        order_types = set_order_types(database, ORDER_TYPES)
        imports = land_with_progress(
            database, reader, [(file.path, get_preset(file.preset), _options(file)) for file in files]
        )
        if not as_json:
            print_table("Order types", ["raw_order_type", "system_order_type"], order_types.items())
            show_imports(imports, as_json=False)
        heading("3 of 4: running the assets")
        report = run_with_progress(settings)
        if not as_json:
            show_report(report)
        heading("4 of 4: summary")
        with database.transaction() as connection:
            status = read_status(connection)
            platforms = read_platforms(connection)
        if not as_json:
            _show_outcome(settings, status, platforms)
    failed = report.status == "failed" or any(result.status == "failed" for result in imports)
    return {
        "files": as_records(files),
        "imports": [result.as_dict() for result in imports],
        "run": report_dict(report),
        "status": status,
        "platforms": platforms,
    }, failed


def _options(file: DemoFile) -> Overrides:
    return Overrides(shop=file.shop, currency=file.currency, timezone=file.timezone)


def _show_outcome(settings: Settings, status: dict[str, Any], platforms: list[dict[str, Any]]) -> None:
    """Print the leads of each platform, what waits for a correction, and what to do next."""
    print_records("Leads by platform", platforms, ["platform", "shops", "orders", "customers", "leads"])
    bad = sum(entry["open"] for entry in status["quarantine"])
    say(f"{bad:,} rows are in quarantine, as the files have faults on purpose: etl-assets quarantine list")
    heading("What to do next", stderr=False)
    print_pairs(
        [
            ("See the leads and the bad rows", "make dev, then http://127.0.0.1:3001 (the web page: docs/web.md)"),
            ("See runs, assets and checks", "make dev, then http://127.0.0.1:3000 (Dagster's UI: docs/ui.md)"),
            ("Formats that are recognised", "etl-assets presets list (docs/platforms.md)"),
            ("Look at an export of yours", "etl-assets import --dry-run FILE --shop NAME"),
            ("Bring it in", f"drop it into {settings.inbox_folder}, or: etl-assets import FILE --shop NAME"),
            ("Compute the leads", "etl-assets run"),
            ("Begin without the demo's orders", "set ETL_HOME to another folder, or: etl-assets imports revert ID"),
        ]
    )
