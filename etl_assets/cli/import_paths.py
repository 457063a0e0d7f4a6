"""Paths that are passed to a command: quoted globs are expanded; what is no file is wrong use, and no failed import.

The content of files does not belong here (`raw_orders.readers`).
"""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from etl_assets.cli.output import WrongUseError
from etl_assets.presets.headers import did_you_mean
from etl_assets.raw_orders.readers.open_file import SUFFIXES
from etl_assets.raw_orders.readers.unpack import split_member

if TYPE_CHECKING:
    from collections.abc import Iterable

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)")
"""A URL, or what is left of it as a path, which joins its slashes."""


def files_of(paths: Iterable[Path]) -> list[Path]:
    """Return the files that paths name, in their order, those of a glob by name. Raises `WrongUseError`."""
    return [file for path in paths for file in _files_of(path)]


def _files_of(path: Path) -> list[Path]:
    if split_member(path)[0].is_file():
        return [path]
    if url := _URL.fullmatch(str(path)):
        # Its query may hold a token, so it is not shown.
        address = f"{url[1]}://{url[2].partition('?')[0].rpartition('@')[2]}"
        msg = f"{address} is a URL. Download the file first (curl -L -o orders.csv URL), then import that file."
        raise WrongUseError(msg)
    if path.is_dir():
        shown = path / f"*{_usual_suffix(path)}"
        msg = f"{path} is a folder. Name its files, for example: etl-assets import '{shown}'"
        raise WrongUseError(msg)
    if path.exists():
        msg = f"{path} is not a regular file. Save the export to a file first, and import that."
        raise WrongUseError(msg)
    if glob.has_magic(str(path)):
        names = glob.glob(str(path), recursive=True)  # noqa: PTH207  # Path.glob takes no absolute patterns
        found = sorted(file for name in names if (file := Path(name)).is_file())
        if found:
            return found
        msg = f"No file matches {path}. {_what_is_there(path)}"
        raise WrongUseError(msg)
    msg = f"There is no file {path}. {_what_is_there(path)}"
    raise WrongUseError(msg)


def _what_is_there(path: Path) -> str:
    """Say what the folder of a path holds: the nearest name, or that there is no such folder."""
    folder = path.parent
    if glob.has_magic(str(folder)):
        return "Check the path."
    if not folder.is_dir():
        return f"There is no folder {folder}: check the path."
    return did_you_mean([path.name], _names(folder)) or "Check the path."


def _usual_suffix(folder: Path) -> str:
    return next(
        (suffix for suffix in SUFFIXES if any(name.lower().endswith(suffix) for name in _names(folder))), ".csv"
    )


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []
