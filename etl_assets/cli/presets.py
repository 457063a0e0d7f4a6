"""`etl-assets presets`: shows the known export formats and detects the format of a file."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from etl_assets.cli.imports import require_overrides
from etl_assets.cli.output import FAILED, AsJson, WrongUseError, failures_reported, note, print_json, print_records, say
from etl_assets.cli.session import load_settings
from etl_assets.drafts.draft import DraftOptions, draft_mapping
from etl_assets.presets.catalog import PresetError, get_preset, is_of_package, list_presets, own_presets
from etl_assets.presets.model import MEANING_OF_EVIDENCE
from etl_assets.presets.own import add_preset
from etl_assets.raw_orders.importing import NoPresetError, require_preset
from etl_assets.raw_orders.readers.file_reader import FileReader

if TYPE_CHECKING:
    from etl_assets.presets.model import Preset
    from etl_assets.values.date_order import DateOrder

app = typer.Typer(help="Known export formats.", no_args_is_help=True, add_completion=False)


@app.command("list")
def list_all(*, as_json: AsJson = False) -> None:
    """List the presets."""
    with failures_reported(as_json=as_json):
        folder = load_settings().presets_folder
        own = own_presets(folder)
        records = [
            {
                "name": preset.name,
                "platform": _platform(preset),
                "evidence": preset.evidence,
                "draft": preset.draft,
                "description": preset.description,
                "shape": preset.shape,
                "file": own.get(preset.name),
                "replaces_package": preset.name in own and is_of_package(preset.name),
            }
            for preset in list_presets(folder)
        ]
        if as_json:
            print_json({"presets": records})
        else:
            columns = ["name", "platform", "evidence", "draft", "description", "file"]
            print_records("Presets", records, columns)
            say("Evidence: " + "; ".join(f"{mark} {meaning}" for mark, meaning in MEANING_OF_EVIDENCE.items()))


@app.command("show")
def show(name: Annotated[str, typer.Argument(metavar="NAME")], *, as_json: AsJson = False) -> None:
    """Print a preset as a mapping file."""
    with failures_reported(as_json=as_json):
        try:
            preset = get_preset(name, load_settings().presets_folder)
        except PresetError as error:
            raise WrongUseError(str(error)) from None
        if as_json:
            print_json(preset.model_dump(mode="json"))
        else:
            content = preset.model_dump(mode="json", exclude_defaults=True)
            typer.echo(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), nl=False)


@app.command("detect")
def detect(file: Annotated[Path, typer.Argument(metavar="FILE")], *, as_json: AsJson = False) -> None:
    """Print the name of the preset that fits a file; where none does, those that come nearest, with exit code 1."""
    with failures_reported(as_json=as_json):
        with _reader() as reader, reader.open(file) as opened:
            try:
                preset = require_preset(opened)
            except NoPresetError as error:
                if not as_json:
                    raise
                nearest = [near.as_dict() for near in error.near]
                print_json({"file": str(file), "preset": None, "nearest": nearest, "error": str(error)})
                raise typer.Exit(FAILED) from None
        if as_json:
            print_json({"file": str(file), "preset": preset.name})
        else:
            say(preset.name)


@app.command("draft")
def draft(  # noqa: PLR0913  # the options of the command
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    *,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="New file for the mapping. Default: stdout.")] = None,
    platform: Annotated[str | None, typer.Option(help="Platform of the orders. Default: the mapping's name.")] = None,
    shop: Annotated[str | None, typer.Option(help="Shop of the orders, where the file does not name it.")] = None,
    currency: Annotated[
        str | None, typer.Option(help="Currency of the orders, where the file does not name it.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(metavar="TZ", help="Time zone of times without an offset.")] = None,
    day_first: Annotated[
        bool | None, typer.Option("--day-first/--month-first", help="Order of dates that the values do not decide.")
    ] = None,
    number_rows: Annotated[
        bool, typer.Option("--number-rows", help="The file is a ledger without order numbers: number its rows.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Draft a mapping from the headers and the values of a file; exit code 1 if something is left to decide."""
    with failures_reported(as_json=as_json):
        named = require_overrides(platform, shop, timezone, currency)
        order: DateOrder | None = None if day_first is None else "day" if day_first else "month"
        options = DraftOptions(named.platform, named.shop, named.currency, named.timezone, order, number_rows)
        with _reader() as reader, reader.open(file) as opened:
            drafted = draft_mapping(opened, options)
        if out is not None:
            _write_new_file(out, drafted.text)
        if as_json:
            print_json({"file": str(file), **drafted.as_dict()})
        elif out is None:
            typer.echo(drafted.text, nl=False)
        for question in drafted.questions:
            note(f"To decide: {question}.", "red")
        for text in drafted.notes:
            note(f"Note: {text}.", "yellow")
        if drafted.questions:
            raise typer.Exit(FAILED)


@app.command("add")
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    *,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the preset of the same name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Keep a mapping file as a preset of your own, for detection, `--preset`, the inbox and sources."""
    with failures_reported(as_json=as_json):
        try:
            added = add_preset(file, load_settings().presets_folder, replace=replace)
        except PresetError as error:
            raise WrongUseError(str(error)) from None
        if as_json:
            print_json({"preset": added.preset.name, "file": str(added.path), "replaces": added.replaces})
        else:
            say(f"{added.preset.name}: {added.path}")
        if not added.preset.detect_headers:
            note("It has no detect_headers, so that no file is taken for it: name it with --preset.", "yellow")


def _platform(preset: Preset) -> str | None:
    """Return the platform that all orders of a preset have; None where the file names it."""
    mapping = preset.columns.get("platform")
    return mapping.constant if mapping is not None and not mapping.headers else None


def _reader() -> FileReader:
    settings = load_settings()
    return FileReader(settings.reader_memory_mb, presets_folder=settings.presets_folder)


def _write_new_file(path: Path, text: str) -> None:
    """Write a file that must not exist yet: an older draft may have been edited."""
    try:
        with path.open("x", encoding="utf-8") as handle:
            handle.write(text)
    except FileExistsError:
        msg = f"{path} exists. Name another file, or delete it first."
        raise WrongUseError(msg) from None
    except OSError as error:
        msg = f"{path} can't be written ({error.strerror}). Name another file."
        raise WrongUseError(msg) from None
