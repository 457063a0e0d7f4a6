"""Discovery of inbox files that are complete. Stateless: uses only stat() and checks that no process is writing.

Reading and moving files do not belong here (`ingest`, `archive`).
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from etl_assets.errors import EtlError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MAPPING_FILE: Final = "mapping.yaml"
SHOP_FILE: Final = "shop.txt"
DESCRIPTIONS: Final = (MAPPING_FILE, SHOP_FILE)
"""Files that say what the exports beside them do not; a sub-folder with one of them is part of the inbox."""
DONE: Final = "done"
FAILED: Final = "failed"
ERROR_ENDING: Final = ".error.txt"
UNFINISHED_ENDINGS: Final = (".part", ".tmp", ".crdownload", ".partial", ".filepart")
"""Suffixes that browsers and copying programs give to files that they still write."""
MAX_SKEW_SECONDS: Final = 3600
"""Skew allowed of the clock of the file server. A later change time is from before a clock was set back, and would make
the file wait until that time comes again; it is ignored."""


class InboxError(EtlError):
    """Error of an inbox that can't be read."""


@dataclass(frozen=True, slots=True)
class WaitingFile:
    """A file, or folder, that is not imported now, and why."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class FileStamp:
    """Identity of a file's content, from stat(); moving the file changes `changed` only."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int


def find_ready_files(folder: Path, *, settle_seconds: float) -> list[Path]:
    """Return the files of the inbox that are ready to be imported, those modified first at first.

    Searches the folder and its sub-folders that have a `mapping.yaml` or `shop.txt`. A file is ready when no process
    has it open for writing (known on Linux only) and neither its content nor its name has changed for `settle_seconds`.

    Args:
        folder: the inbox; made where it is missing.
        settle_seconds: how long a file must have been left alone, in seconds.

    Raises:
        InboxError: the folder can't be made or read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        candidates = [path for place in (folder, *_sub_folders(folder)) for path in _candidates(place)]
    except OSError as error:
        msg = f"{folder}: the inbox can't be read ({error.strerror}). Check ETL_INBOX and who may read the folder."
        raise InboxError(msg) from None
    ready = [path for path in candidates if is_ready(path, settle_seconds=settle_seconds)]
    stamps = ((stamp_of(path), path) for path in ready)
    return [path for _, path in sorted((stamp.modified, path) for stamp, path in stamps if stamp)]


def find_waiting_files(folder: Path, *, settle_seconds: float) -> list[WaitingFile]:
    """Return what lies in the inbox, by path, and why it is not imported now.

    Not listed are hidden files and those of the inbox itself: descriptions, errors, the archive.
    """
    try:
        return list(_waiting_in(folder, settle_seconds, is_inbox=True))
    except OSError:
        return []  # reported by `find_ready_files`


def _waiting_in(folder: Path, settle_seconds: float, *, is_inbox: bool) -> Iterator[WaitingFile]:
    with os.scandir(folder) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    beside = {entry.name for entry in listed}
    for entry in listed:
        path, name = folder / entry.name, entry.name.lower()
        if name in {*DESCRIPTIONS, DONE, FAILED} or name.startswith((".", "~$")) or name.endswith(ERROR_ENDING):
            continue
        if entry.is_symlink():
            yield WaitingFile(path, "links are not followed: put the file itself here")
        elif not entry.is_dir():
            yield WaitingFile(path, _why_waiting(path, beside, settle_seconds))
        elif not is_inbox:
            yield WaitingFile(path, "folders in sub-folders are not looked at: move it into the inbox itself")
        elif _is_described(path):
            yield from _waiting_in(path, settle_seconds, is_inbox=False)
        else:
            yield WaitingFile(path, f"the folder has neither {' nor '.join(DESCRIPTIONS)}: put one of them there")


def _why_waiting(path: Path, beside: Iterable[str], settle_seconds: float) -> str:
    if not _has_importable_name(path.name, beside):
        return "its name, or that of a file beside it, says that it is unfinished: rename it once it is complete"
    if is_open_for_writing(path):
        return "a program has it open for writing"
    if not is_ready(path, settle_seconds=settle_seconds):
        return f"it changed less than {settle_seconds:g} s ago"
    return "it is complete: the next run imports it"


def is_ready(path: Path, *, settle_seconds: float) -> bool:
    """Test that a file has not changed for so long, and that no process has it open for writing."""
    try:
        found = path.lstat()
    except OSError:
        return False  # gone meanwhile
    now = time.time()
    # A copy may have an old modification time, or one in the future: the change time of the inode is right, unless the
    # clock has been set back since.
    changed_at = max(
        found.st_ctime if found.st_ctime <= now + MAX_SKEW_SECONDS else 0,
        found.st_mtime if found.st_mtime <= now else 0,
    )
    return stat.S_ISREG(found.st_mode) and now - changed_at >= settle_seconds and not is_open_for_writing(path)


def is_open_for_writing(path: Path) -> bool:
    """Test that a process has a file open for writing. False where that is unknown: off Linux, or another user's file.

    The hazard is a file that is read half written (docs/decisions.md, "Write lease on inbox files").
    """
    if sys.platform != "linux":
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False  # the import will report why it can't be opened
    try:
        # If a process opens the file for writing at this moment, the kernel sends a signal, which by default kills.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False  # no leases on this file system: `settle_seconds` alone decides
    finally:
        os.close(descriptor)
    return False


def stamp_of(path: Path) -> FileStamp | None:
    """Return the stamp of a file; None where there is no regular file."""
    try:
        found = path.lstat()
    except OSError:
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return FileStamp(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _sub_folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.is_dir(follow_symlinks=False)
            and entry.name not in {DONE, FAILED}
            and not entry.name.startswith(".")
        ]
    return [folder / name for name in names if _is_described(folder / name)]


def _is_described(folder: Path) -> bool:
    return any((folder / name).is_file() for name in DESCRIPTIONS)


def _candidates(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = {entry.name for entry in entries if entry.is_file(follow_symlinks=False)}
    return [folder / name for name in names if _has_importable_name(name, names)]


def _has_importable_name(name: str, beside: Iterable[str]) -> bool:
    lower = name.lower()
    if lower in DESCRIPTIONS or lower.startswith((".", "~$")) or lower.endswith((*UNFINISHED_ENDINGS, ERROR_ENDING)):
        return False
    # Some browsers put an empty file in place of the one that they download beside it.
    return not any(name + ending in beside for ending in UNFINISHED_ENDINGS)
