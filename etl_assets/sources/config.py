"""Configuration of sources: reads `sources.yaml`, and the URLs of the sources from the environment."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import yaml
from dotenv import dotenv_values
from pydantic import ValidationError

from etl_assets.errors import EtlError, SettingsUrlError
from etl_assets.presets.catalog import get_preset, load_mapping
from etl_assets.presets.field_types import WRITTEN
from etl_assets.presets.plain_errors import describe_problems
from etl_assets.presets.yaml_text import load_yaml
from etl_assets.sources.errors import SourceConfigError
from etl_assets.sources.model import BACKENDS, SourceConfig
from etl_assets.urls import database_url

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sqlalchemy import URL

    from etl_assets.settings import Settings

REMEDY: Final = "See docs/sources.md for the format."
KNOWN_BACKENDS: Final = BACKENDS["reconcile"]
MAPPING_KEYS: Final = ("mapping", "mapping_file", "preset")


def load_sources(settings: Settings) -> list[SourceConfig]:
    """Read the sources of the file that ETL_SOURCES names, in its order; none where it is not set.

    Raises:
        SourceConfigError: the file or an entry of it can't be used; names the source and the key.
    """
    path = settings.sources
    if path is None:
        return []
    entries = _entries(path)
    sources = [_source(entry, at, path, settings.presets_folder) for at, entry in enumerate(entries, start=1)]
    seen: set[str] = set()
    for source in sources:
        if source.name in seen:
            msg = f"{path}: two sources have the name {source.name!r}. Give each its own: progress is kept by name."
            raise SourceConfigError(msg)
        seen.add(source.name)
    return sources


def source_url(source: SourceConfig) -> URL:
    """Return the URL of a source's database, from the environment or the file `.env`.

    Raises:
        SourceConfigError: it is missing, no URL, or of a database that the source's `changes` is not made for. The
            message does not hold it.
    """
    text = os.environ.get(source.url_env) or dotenv_values(".env").get(source.url_env)
    if not text:
        msg = f"Source {source.name}: {source.url_env} is not set. Put the URL of the database in it."
        raise SourceConfigError(msg)
    try:
        url = database_url(text, source.url_env, "postgresql://, mysql://, mariadb:// or sqlite://", KNOWN_BACKENDS)
    except SettingsUrlError as error:
        msg = f"Source {source.name}: {error}"
        raise SourceConfigError(msg) from None
    backend, allowed = url.get_backend_name(), BACKENDS[source.changes.kind]
    if backend not in allowed:
        msg = (
            f"Source {source.name}: changes: {source.changes.kind} works with {' or '.join(allowed)}, but "
            f"{source.url_env} names {backend}."
        )
        raise SourceConfigError(msg)
    return url


def _entries(path: Path) -> list[Any]:
    try:
        content = load_yaml(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        msg = f"{path}: the file of sources can't be read ({error.strerror}). Check ETL_SOURCES."
        raise SourceConfigError(msg) from None
    except UnicodeDecodeError:
        msg = f"{path}: the file of sources is not UTF-8. Save it as UTF-8."
        raise SourceConfigError(msg) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        msg = f"{path}{where}: not valid YAML ({getattr(error, 'problem', None) or 'unreadable'}). {REMEDY}"
        raise SourceConfigError(msg) from None
    if not isinstance(content, dict) or set(content) != {"sources"} or not isinstance(content["sources"], list):
        msg = f"{path}: the file must hold one key, sources, with a list. {REMEDY}"
        raise SourceConfigError(msg)
    return content["sources"]


def _source(entry: object, at: int, path: Path, presets_folder: Path) -> SourceConfig:
    name = entry.get("name") if isinstance(entry, dict) else None
    origin = f"{path}: source {name if isinstance(name, str) else f'no. {at}'}"
    if not isinstance(entry, dict):
        msg = f"{origin}: must hold keys such as name, url_env and table. {REMEDY}"
        raise SourceConfigError(msg)
    fields = {key: value for key, value in entry.items() if key not in MAPPING_KEYS}
    try:
        mapping = _mapping(entry, path, presets_folder)
        return SourceConfig.model_validate({**fields, "mapping": mapping}, context=WRITTEN)
    except ValidationError as error:
        msg = f"{origin}: {describe_problems(error, SourceConfig, hidden=BACKENDS)}. {REMEDY}"
        raise SourceConfigError(msg) from None
    except EtlError as error:
        msg = f"{origin}: {error}"
        raise SourceConfigError(msg) from None


def _mapping(entry: Mapping[str, Any], path: Path, presets_folder: Path) -> object:
    given = [key for key in MAPPING_KEYS if key in entry]
    if len(given) != 1:
        msg = f"name one of {', '.join(MAPPING_KEYS)}. {REMEDY}"
        raise SourceConfigError(msg)
    value = entry[given[0]]
    match given[0]:
        case "preset":
            return get_preset(str(value), presets_folder)
        case "mapping_file":
            return load_mapping(path.parent / str(value))
        case _:
            return {"name": entry.get("name"), **value} if isinstance(value, dict) else value
