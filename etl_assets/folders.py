"""The folders that the project writes into: locks in them, and what is wrong with one, in plain words."""

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
"""Meanings of the system's errors, with what to do."""

_POLL_SECONDS: Final = 0.1


def problem_of(error: BaseException, instead: str) -> str | None:
    """Explain an error of a folder, with the remedy or what to do `instead`; None where it is about something else.

    Of errors that were raised for others, and of those that a driver of SQLite raised (Dagster's records are in such
    databases), the cause counts.
    """
    while True:
        number = _number_of(error)
        if number in PROBLEMS:
            return f"{PROBLEMS[number].format(instead=instead)} ({os.strerror(number)})."
        if error.__cause__ is None:
            return None
        error = error.__cause__


def _number_of(error: BaseException) -> int:
    """The system's number of an error; 0 where it has none."""
    if isinstance(error, OSError):
        return error.errno or 0
    original = getattr(error, "orig", error)
    if isinstance(original, sqlite3.Error):
        return _OF_SQLITE.get(getattr(original, "sqlite_errorcode", 0) & _PRIMARY_CODE, 0)
    return 0


_PRIMARY_CODE: Final = 0xFF
_OF_SQLITE: Final = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_IOERR: errno.EIO,
    sqlite3.SQLITE_READONLY: errno.EACCES,
    sqlite3.SQLITE_CANTOPEN: errno.EACCES,
    sqlite3.SQLITE_PERM: errno.EACCES,
}
"""The system's numbers of SQLite's codes."""


@contextmanager
def writing_into(folder: Path, setting: str) -> Iterator[None]:
    """Turn what keeps the block from writing into `FolderError`.

    Args:
        folder: where the block writes.
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
    """Hold the lock of a file against other processes; the system lets go of it if this process ends.

    Raises:
        FolderError: another process held it all the time.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _wait_for(descriptor, path, time.monotonic() + seconds)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                msg = f"Another process holds {path} and does not let go: see what it waits for, then try again."
                raise FolderError(msg) from None
            time.sleep(_POLL_SECONDS)
        else:
            return
