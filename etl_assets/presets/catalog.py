"""Catalogue of presets: those of the package (the YAML files beside this module), the user's own, mapping files.

A new preset of the package is a YAML file here; its keys are in `model`. The user's own are the YAML files of a folder:
where one can't be used, everything that needs the catalogue fails with its name. Detection by headers is in `detect`.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Final

import yaml
from pydantic import ValidationError

from etl_assets.errors import EtlError
from etl_assets.presets.field_types import WRITTEN
from etl_assets.presets.headers import did_you_mean
from etl_assets.presets.model import Preset
from etl_assets.presets.plain_errors import describe_problems
from etl_assets.presets.yaml_text import load_yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TO_DECIDE: Final = "DECIDE"
"""Value of a key that a draft leaves to its reader."""
YAML_SUFFIXES: Final = (".yaml", ".yml")
REMEDY: Final = "See docs/importing.md for the format of mapping files."


class PresetError(EtlError):
    """Error of an unknown preset or an unusable mapping file: names the file, the key and the remedy."""


def list_presets(folder: Path | None = None) -> list[Preset]:
    """Return the user's own presets and those of the package, each by name; an own one replaces one of the package.

    Args:
        folder: the folder of own presets; it need not exist.

    Raises:
        PresetError: an own preset can't be used; the message names its file.
    """
    own = {name: load_mapping(path) for name, path in own_presets(folder).items()}
    of_package = {name: preset for name, preset in _presets().items() if name not in own}
    return [preset for presets in (own, of_package) for _, preset in sorted(presets.items())]


def own_presets(folder: Path | None) -> dict[str, Path]:
    """Return the files of the user's own presets by the presets' names. Raises as `list_presets` does."""
    files: dict[str, Path] = {}
    for path in _yaml_files(folder) if folder is not None else ():
        name = load_mapping(path).name
        if name in files:
            msg = f"{path} and {files[name]} are both presets with the name {name!r}. Rename or delete one."
            raise PresetError(msg)
        files[name] = path
    return files


def is_of_package(name: str) -> bool:
    """Test that the package has a preset of this name."""
    return name in _presets()


def get_preset(name: str, folder: Path | None = None) -> Preset:
    """Return a preset of the catalogue. An unknown name raises `PresetError` with the names there are."""
    presets = {preset.name: preset for preset in list_presets(folder)}
    if name not in presets:
        meant = did_you_mean([name], presets)
        known = f"Use one of {', '.join(presets)}, or write a mapping file."
        msg = " ".join(filter(None, (f"There is no preset {name!r}.", meant, known, REMEDY)))
        raise PresetError(msg)
    return presets[name]


def load_mapping(path: Path) -> Preset:
    """Read a mapping file (YAML). Raises `PresetError` with the file and the keys."""
    return _parse(read_mapping(path), str(path))


def read_mapping(path: Path) -> str:
    """Return the text of a mapping file. Raises `PresetError`."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        msg = f"{path}: the mapping file is not UTF-8. Save it as UTF-8."
        raise PresetError(msg) from None
    except OSError as error:
        msg = f"{path}: the mapping file can't be read ({error.strerror}). Check the path."
        raise PresetError(msg) from None


def parse_mapping(text: str, origin: str) -> Preset:
    """Validate the text of a mapping file; `origin` names it in messages. Raises `PresetError`."""
    try:
        content = load_yaml(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        msg = f"{origin}{where}: not valid YAML ({getattr(error, 'problem', None) or 'unreadable'}). {REMEDY}"
        raise PresetError(msg) from None
    if not isinstance(content, dict):
        msg = f"{origin}: the mapping file must hold keys such as name and columns. {REMEDY}"
        raise PresetError(msg)
    open_keys = list(_keys_to_decide(content))
    if open_keys:
        keys = " and ".join(open_keys)
        msg = f"{origin}: {keys} is still to be decided: put a value for {TO_DECIDE}, as the comment above it says."
        raise PresetError(msg)
    try:
        return Preset.model_validate(content, context=WRITTEN)
    except ValidationError as error:
        msg = f"{origin}: {describe_problems(error, Preset)}. {REMEDY}"
        raise PresetError(msg) from None


@lru_cache(maxsize=256)
def _parse(text: str, origin: str) -> Preset:
    """Parse a mapping once for each of its texts: an import asks for the catalogue several times."""
    return parse_mapping(text, origin)


def _yaml_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix in YAML_SUFFIXES)
    except OSError as error:
        if not folder.exists():  # ETL_HOME may even be a file, where a server is configured
            return []
        msg = f"{folder}: the folder of presets can't be read ({error.strerror}). Check ETL_PRESETS."
        raise PresetError(msg) from None


@cache
def _presets() -> dict[str, Preset]:
    files = sorted(
        (file for file in resources.files("etl_assets.presets").iterdir() if file.name.endswith(".yaml")),
        key=lambda file: file.name,
    )
    presets = (parse_mapping(file.read_text(encoding="utf-8"), file.name) for file in files)
    return {preset.name: preset for preset in presets}


def _keys_to_decide(content: object, key: str = "") -> Iterator[str]:
    """Yield the keys whose value is `TO_DECIDE`."""
    if content == TO_DECIDE:
        yield key
    elif isinstance(content, dict):
        for name, value in content.items():
            yield from _keys_to_decide(value, f"{key}.{name}" if key else str(name))
