"""Archive of the inbox: moves files to `done` and `failed`, without overwriting one or moving one that was changed.

The hazard is a file that takes the name of the imported one in between: it was not read, and must stay.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from etl_assets.inbox.ready_files import DONE, ERROR_ENDING, FAILED, is_open_for_writing, stamp_of

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.inbox.ready_files import FileStamp

logger = logging.getLogger(__name__)

MAX_ERROR_CHARACTERS: Final = 8192
MAX_NAME_BYTES: Final = 255 - len(ERROR_ENDING)


def move_to_done(path: Path, stamp: FileStamp) -> Path | None:
    """Move an imported file; return its new path, or None if it has changed since `stamp` or is gone."""
    return _move(path, stamp, path.parent / DONE)


def move_to_failed(path: Path, stamp: FileStamp, error: str, what: str) -> Path | None:
    """Move a file that can't be imported, and write its error beside it; like `move_to_done` otherwise.

    Args:
        path: the file.
        stamp: when it was read.
        error: the text for the user.
        what: words for the part of it that is imported.
    """
    target = _move(path, stamp, path.parent / FAILED)
    if target is not None:
        text = (
            f"{error}\n\n{what} imported. Once it is corrected, move it back to {path.parent}:"
            " it is tried again, and this text goes once it is imported.\n"
        )
        (target.parent / (target.name + ERROR_ENDING)).write_text(text, encoding="utf-8", errors="replace")
    return target


class OldErrors:
    """Error texts of files that failed earlier, to be removed when the corrected file is imported.

    A corrected file has the name of the failed one, perhaps with another suffix; the failed one may have got a number
    in the archive, so its error is recognised by the name that it begins with. Each folder is listed once.
    """

    def __init__(self) -> None:
        """Begin without having listed any folder."""
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def remove(self, path: Path) -> None:
        """Remove the errors of a file of the inbox, in `failed` and beside it; the failed file itself stays."""
        beside = path.parent / (path.name + ERROR_ENDING)
        stem = path.stem.encode("utf-8", "replace").decode()
        is_about = re.compile(rf"(?:^|.*/){re.escape(stem)}(?:\.[^./]*)?(?:: |, line )")
        for error in (beside, *self._errors_of(path.parent / FAILED).get(path.stem, ())):
            with suppress(OSError):  # gone meanwhile, or not ours to read or remove: it is only a text
                with error.open(encoding="utf-8", errors="replace") as text:
                    is_meant = is_about.match(text.readline(MAX_ERROR_CHARACTERS)) is not None
                if is_meant:
                    error.unlink()

    def _errors_of(self, folder: Path) -> dict[str, list[Path]]:
        """Return the error texts of a folder by the stem of the file, with and without a number at its end."""
        if folder not in self._listed:
            found: dict[str, list[Path]] = {}
            for error in folder.glob(f"*{ERROR_ENDING}"):
                stem = error.name.removesuffix(ERROR_ENDING).rpartition(".")[0] or error.name.removesuffix(ERROR_ENDING)
                for name in {stem, re.sub(r"-\d+$", "", stem)}:
                    found.setdefault(name, []).append(error)
            self._listed[folder] = found
        return self._listed[folder]


def _move(path: Path, stamp: FileStamp, folder: Path) -> Path | None:
    if stamp_of(path) != stamp or is_open_for_writing(path):
        logger.info("%a was changed after it was read: it stays and is read again.", path.name)
        return None
    folder.mkdir(exist_ok=True)
    target = _reserve(folder, path.name)
    try:
        path.replace(target)
    except FileNotFoundError:
        target.unlink()
        logger.info("%a is gone: it was moved or deleted at the last moment.", path.name)
        return None
    except OSError:
        target.unlink()
        raise
    moved = stamp_of(target)
    if moved is None or (moved.inode, moved.size, moved.modified) != (stamp.inode, stamp.size, stamp.modified):
        # Another file took its name at the last moment: it has not been read.
        target.replace(_reserve(path.parent, path.name))
        return None
    return target


def _reserve(folder: Path, name: str) -> Path:
    """Create an empty file of this name, or of ``name-2``, ``name-3``, … where it is taken, to be replaced."""
    stem, dot, ending = name.rpartition(".")
    if not stem:
        stem, dot, ending = name, "", ""
    for number in itertools.count(1):
        tail = dot + ending if number == 1 else f"-{number}{dot}{ending}"
        target = folder / (_shortened(stem, MAX_NAME_BYTES - len(os.fsencode(tail))) + tail)
        try:
            os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            continue
        return target
    raise AssertionError  # numbers do not end


def _shortened(stem: str, size: int) -> str:
    while len(os.fsencode(stem)) > size:
        stem = stem[:-1]
    return stem
