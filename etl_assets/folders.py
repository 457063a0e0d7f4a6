"""Folders that the project writes into: file locks, and explanations of system errors with the remedy.

The only table of such explanations; those of the database's codes are in `database/sqlstates.py`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from etl_assets.errors import FolderError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
PROBLEMS: Final = {
    **dict.fromkeys(FULL, "the disk is full. Free space on it, then try again"),
    errno.EIO: "the disk is full or faulty. Free space on it, or see the system's log",
    errno.EROFS: "its disk is mounted read-only. Mount it writable, or {instead}",
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        "this user may not write there. Give the user the right to, or {instead}",
    ),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a part of the path is a file, no folder. Correct it, or {instead}"),
}
"""Explanations of system errors, with the remedy."""

_POLL_SECONDS: Final = 0.1


def problem_of(error: BaseException, instead: str) -> str | None:
    """Explain an error of a folder, with the remedy or an alternative (`instead`); None for other errors.

    Looks at the causes of an error as well, and at errors of SQLite, which Dagster's store uses.
    """
    while True:
        number = _errno_of(error)
        if number in PROBLEMS:
            return f"{PROBLEMS[number].format(instead=instead)} ({os.strerror(number)})."
        if error.__cause__ is None:
            return None
        error = error.__cause__


def _errno_of(error: BaseException) -> int:
    """Return the errno of an error; 0 if it has none."""
    if isinstance(error, OSError):
        return error.errno or 0
    original = getattr(error, "orig", error)
    if isinstance(original, sqlite3.Error):
        return _ERRNO_OF_SQLITE.get(getattr(original, "sqlite_errorcode", 0) & _PRIMARY_CODE, 0)
    return 0


_PRIMARY_CODE: Final = 0xFF
_ERRNO_OF_SQLITE: Final = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
}
"""Equivalents of SQLite's codes."""


@contextmanager
def writing_into(folder: Path, setting: str) -> Iterator[None]:
    """Turn errors of writing within the block into `FolderError`.

    Args:
        folder: the folder that the block writes to.
        setting: the variable that names it.
    """
    try:
        yield
    except Exception as error:
        problem = problem_of(error, f"set {setting} to another folder")
        if problem is None:
            raise
        msg = f"{getattr(error, 'filename', None) or folder} can't be written: {problem}"
        raise FolderError(msg) from None


@contextmanager
def locked(path: Path, *, seconds: float) -> Iterator[None]:
    """Hold an exclusive lock on a file; the system releases it if this process ends.

    Raises:
        FolderError: another process held it for `seconds`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _wait_for_lock(descriptor, path, time.monotonic() + seconds)
        yield
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                msg = f"Another process holds the lock {path}: see why it does not end, then try again."
                raise FolderError(msg) from None
            time.sleep(_POLL_SECONDS)
        else:
            return
