"""`etl-assets import`: lands files as raw orders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer

from etl_assets.cli.import_paths import files_of
from etl_assets.cli.output import (
    FAILED,
    AsJson,
    WrongUseError,
    count_progress,
    failures_reported,
    note,
    print_json,
    print_records,
)
from etl_assets.cli.previews import show_preview
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.presets.catalog import PresetError, get_preset, load_mapping
from etl_assets.presets.field_types import is_timezone
from etl_assets.raw_orders.import_order import oldest_first
from etl_assets.raw_orders.importing import Overrides, import_sheets, require_preset
from etl_assets.raw_orders.load import fail_interrupted_imports
from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets.user_actions import os_user_name
from etl_assets.values.currencies import currency_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.database.database import Database
    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.load import ImportResult
    from etl_assets.settings import Settings
    from etl_assets.values.date_order import DateOrder

app = typer.Typer(add_completion=False)


@app.command("import")
def import_files(  # noqa: PLR0913  # the options of the command
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH…", help="Files to import; each is one import."),
    ],
    *,
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="Format of the files. Default: detected.")] = None,
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Mapping file to use instead of a preset.")
    ] = None,
    platform: Annotated[str | None, typer.Option(help="Platform; overrides the file.")] = None,
    shop: Annotated[str | None, typer.Option(help="Shop; overrides the file.")] = None,
    timezone: Annotated[str | None, typer.Option(metavar="TZ", help="Time zone of new shops.")] = None,
    currency: Annotated[str | None, typer.Option(metavar="CUR", help="Currency of orders that name none.")] = None,
    day_first: Annotated[
        bool | None, typer.Option("--day-first/--month-first", help="Order of dates that the file does not decide.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what import and run would do, and write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Land files as raw orders. A file that can't be imported lands no row; the others are not affected."""
    with failures_reported(as_json=as_json):
        files = files_of(paths)
        settings = load_settings()
        chosen = _choose_preset(preset, mapping, settings.presets_folder)
        order: DateOrder | None = None if day_first is None else "day" if day_first else "month"
        overrides = replace(require_overrides(platform, shop, timezone, currency), date_order=order)
        with FileReader(settings.reader_memory_mb, presets_folder=settings.presets_folder) as reader:
            reader.start(files[0])  # starts while the database is opened
            files = [export for path in files for export in reader.with_exports(path)]
            if dry_run:
                given_by = f"--mapping {mapping}" if mapping is not None else f"--preset {preset}"
                _preview(settings, reader, files, chosen, overrides, given_by=given_by, as_json=as_json)
                return
            with opened_database(settings) as database:
                fail_interrupted_imports(database)
                ordered = oldest_first(files, reader, lambda file: chosen or require_preset(file))
                results = land_with_progress(database, reader, [(path, chosen, overrides) for path in ordered])
        if ordered != files:
            note(f"Imported in the order of the newest time in each: {', '.join(path.name for path in ordered)}.")
        show_imports(results, as_json=as_json)
        if any(result.rows for result in results) and not as_json:
            note("The tables follow in the next run: `etl-assets run` does it, or a sensor that is on.")
        if any(result.status == "failed" for result in results):
            raise typer.Exit(FAILED)


def _preview(  # noqa: PLR0913  # as the command has them
    settings: Settings,
    reader: FileReader,
    files: Sequence[Path],
    chosen: Preset | None,
    overrides: Overrides,
    *,
    given_by: str,
    as_json: bool,
) -> None:
    """Show what the import of files and the run after it would do."""
    from etl_assets.preview.preview import preview_files  # noqa: PLC0415  # not needed by an import
    from etl_assets.preview.store import opened_store  # noqa: PLC0415  # as above

    ordered = oldest_first(files, reader, lambda file: chosen or require_preset(file))
    with opened_store(settings) as store:
        preview = preview_files(
            store,
            reader,
            [(path, chosen, overrides) for path in ordered],
            settings,
            given_by,
            lambda name: count_progress(name, "lines"),
        )
    if as_json:
        print_json(preview.as_dict())
    else:
        show_preview(preview)
    if preview.has_failed:
        raise typer.Exit(FAILED)


def land_with_progress(
    database: Database, reader: FileReader, files: Sequence[tuple[Path, Preset | None, Overrides]]
) -> list[ImportResult]:
    """Import files one after the other, with progress on stderr."""
    results = []
    for path, preset, overrides in files:
        with count_progress(path.name, "lines") as on_progress:
            results += import_sheets(
                database,
                path,
                preset,
                reader=reader,
                overrides=overrides,
                on_progress=on_progress,
                user_name=os_user_name(),
            )
    return results


def show_imports(results: Sequence[ImportResult], *, as_json: bool) -> None:
    """Print the results of imports; on stderr, findings and, without `--json`, the errors."""
    records = [result.as_dict() for result in results]
    for result in results:
        for finding in result.findings:
            note(f"{result.source}: {finding.message}", "yellow")
    if as_json:
        print_json({"imports": records})
        return
    print_records("Imports", records, ["import_id", "source", "preset", "lines", "rows", "status"])
    for result in results:
        if result.error is not None:
            note(f"Not imported: {result.error}", "red")


def _choose_preset(preset: str | None, mapping: Path | None, presets_folder: Path) -> Preset | None:
    if preset is not None and mapping is not None:
        msg = "Give either --preset or --mapping, not both."
        raise WrongUseError(msg)
    try:
        if mapping is not None:
            return load_mapping(mapping)
        return get_preset(preset, presets_folder) if preset is not None else None
    except PresetError as error:
        raise WrongUseError(str(error)) from None


def require_overrides(platform: str | None, shop: str | None, timezone: str | None, currency: str | None) -> Overrides:
    """Return what options name for the orders of a file. Raises `WrongUseError`."""
    for option, value in (("--platform", platform), ("--shop", shop)):
        if value is not None and not value.strip():
            msg = f"{option} is empty."
            raise WrongUseError(msg)
    if timezone is not None and not is_timezone(timezone):
        msg = f"--timezone: there is no time zone {timezone!r}; use a name such as Asia/Shanghai or Europe/London."
        raise WrongUseError(msg)
    return Overrides(platform=platform, shop=shop, timezone=timezone, currency=_require_currency(currency))


def _require_currency(currency: str | None) -> str | None:
    try:
        return None if currency is None else currency_code(currency)
    except ValueError as error:
        msg = f"--currency: {error}."
        raise WrongUseError(msg) from None
