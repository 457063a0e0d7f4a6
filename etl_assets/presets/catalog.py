"""Catalogue of presets: those of the package (the YAML files beside this module) and mapping files of users.

A new preset of the package is a YAML file here; its keys are in `model`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Final

import yaml
from pydantic import ValidationError

from etl_assets.errors import EtlError
from etl_assets.presets.headers import normal_header
from etl_assets.presets.model import WRITTEN, Preset
from etl_assets.presets.plain_errors import describe_problems
from etl_assets.presets.yaml_text import load_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

REMEDY: Final = "See docs/importing.md for the format of mapping files."


class PresetError(EtlError):
    """Error of an unknown preset or an unusable mapping file: names the file, the key and the remedy."""


def list_presets() -> list[Preset]:
    """Return the presets of the package, by name."""
    return list(_presets().values())


def get_preset(name: str) -> Preset:
    """Return a preset of the package. An unknown name raises `PresetError` with the names there are."""
    presets = _presets()
    if name not in presets:
        msg = f"There is no preset {name!r}. Use one of {', '.join(presets)}, or write a mapping file. {REMEDY}"
        raise PresetError(msg)
    return presets[name]


def load_mapping(path: Path) -> Preset:
    """Read a mapping file (YAML). Raises `PresetError` with the file and the keys."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        msg = f"{path}: the mapping file is not UTF-8. Save it as UTF-8."
        raise PresetError(msg) from None
    except OSError as error:
        msg = f"{path}: the mapping file can't be read ({error.strerror}). Check the path."
        raise PresetError(msg) from None
    return parse_mapping(text, str(path))


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
    try:
        return Preset.model_validate(content, context=WRITTEN)
    except ValidationError as error:
        msg = f"{origin}: {describe_problems(error, Preset)}. {REMEDY}"
        raise PresetError(msg) from None


def detect_preset(headers: Iterable[str]) -> Preset | None:
    """Return the preset with a set of `detect_headers` that are all present, of several the largest set; else None."""
    present = {normal_header(header) for header in headers}
    fitting = [
        (len(wanted), preset)
        for preset in list_presets()
        for wanted in preset.detect_headers
        if present >= set(map(normal_header, wanted))
    ]
    return max(fitting, key=lambda one: one[0], default=(0, None))[1]


@cache
def _presets() -> dict[str, Preset]:
    files = sorted(
        (file for file in resources.files("etl_assets.presets").iterdir() if file.name.endswith(".yaml")),
        key=lambda file: file.name,
    )
    presets = (parse_mapping(file.read_text(encoding="utf-8"), file.name) for file in files)
    return {preset.name: preset for preset in presets}
