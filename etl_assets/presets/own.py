"""Own presets of the user: adds a mapping file to their folder. Reading them is in `catalog`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from etl_assets.folders import writing_into
from etl_assets.presets.catalog import PresetError, is_of_package, own_presets, parse_mapping, read_mapping

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.presets.model import Preset

SETTING: Final = "ETL_PRESETS"


@dataclass(frozen=True)
class AddedPreset:
    """Preset that was added to the folder."""

    preset: Preset
    path: Path
    replaces: str | None
    """``own`` or ``package``: the preset of the same name that it replaces."""


def add_preset(file: Path, folder: Path, *, replace: bool) -> AddedPreset:
    """Copy a mapping file into the folder of own presets, comments included, once it is valid.

    Raises:
        PresetError: it can't be used, or its name is taken and `replace` is not set.
        FolderError: the folder can't be written.
    """
    text = read_mapping(file)
    preset = parse_mapping(text, str(file))
    own = own_presets(folder)
    replaces = "own" if preset.name in own else "package" if is_of_package(preset.name) else None
    if replaces is not None and not replace:
        whose = "your own" if replaces == "own" else "the package's"
        msg = f"There is a preset {preset.name!r} ({whose}). Give yours another name, or replace it with --replace."
        raise PresetError(msg)
    path = own.get(preset.name, folder / f"{preset.name}.yaml")
    if path in own.values() and preset.name not in own:
        msg = f"{path} holds a preset of another name. Rename that file first."
        raise PresetError(msg)
    with writing_into(folder, SETTING):
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    return AddedPreset(preset, path, replaces)
