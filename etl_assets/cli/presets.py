"""`etl-assets presets`: shows the known export formats and detects the format of a file."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import Annotated

import typer
import yaml

from etl_assets.cli.output import AsJson, WrongUseError, failures_reported, print_json, print_records, say
from etl_assets.cli.session import load_settings
from etl_assets.presets.catalog import PresetError, get_preset, list_presets
from etl_assets.raw_orders.importing import require_preset
from etl_assets.raw_orders.readers.file_reader import FileReader

app = typer.Typer(help="Known export formats.", no_args_is_help=True, add_completion=False)


@app.command("list")
def list_all(*, as_json: AsJson = False) -> None:
    """List the presets."""
    with failures_reported(as_json=as_json):
        records = [
            {"name": preset.name, "description": preset.description, "shape": preset.shape} for preset in list_presets()
        ]
        if as_json:
            print_json({"presets": records})
        else:
            print_records("Presets", records, ["name", "description", "shape"])


@app.command("show")
def show(name: Annotated[str, typer.Argument(metavar="NAME")], *, as_json: AsJson = False) -> None:
    """Print a preset as a mapping file."""
    with failures_reported(as_json=as_json):
        try:
            preset = get_preset(name)
        except PresetError as error:
            raise WrongUseError(str(error)) from None
        if as_json:
            print_json(preset.model_dump(mode="json"))
        else:
            content = preset.model_dump(mode="json", exclude_defaults=True)
            typer.echo(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), nl=False)


@app.command("detect")
def detect(file: Annotated[Path, typer.Argument(metavar="FILE")], *, as_json: AsJson = False) -> None:
    """Print the name of the preset that fits a file."""
    with failures_reported(as_json=as_json):
        with FileReader(load_settings().reader_memory_mb) as reader, reader.open(file) as opened:
            preset = require_preset(opened)
        if as_json:
            print_json({"file": str(file), "preset": preset.name})
        else:
            say(preset.name)
