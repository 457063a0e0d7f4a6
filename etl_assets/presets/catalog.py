"""Catalogue of presets: those of the package (the YAML files beside this module) and mapping files of users.

A new preset of the package is a YAML file here; its keys are in `model`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import yaml
from pydantic import ValidationError

from etl_assets.errors import EtlError
from etl_assets.presets.headers import normal_header
from etl_assets.presets.model import Preset

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

TO_DECIDE: Final = "DECIDE"
"""Value of a key that a draft leaves to its reader."""
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
        content = yaml.safe_load(text)
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
        return Preset.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_problem(one) for one in error.errors(include_url=False))
        msg = f"{origin}: {problems}. {REMEDY}"
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


def _keys_to_decide(content: object, key: str = "") -> Iterator[str]:
    """Yield the keys whose value is `TO_DECIDE`."""
    if content == TO_DECIDE:
        yield key
    elif isinstance(content, dict):
        for name, value in content.items():
            yield from _keys_to_decide(value, f"{key}.{name}" if key else str(name))


def _problem(error: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in error["loc"] if part != "[key]")
    text = "there is no such key" if error["type"] == "extra_forbidden" else str(error["msg"])
    text = text.removeprefix("Value error, ")
    return f"{key}: {text}" if key else text
