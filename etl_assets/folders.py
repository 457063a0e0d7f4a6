"""The folders that the project writes into: locks in them, and what is wrong with one, in plain words."""

from __future__ import annotations

import errno
import fcntl
import os
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
    errno.EROFS: "its disk is mounted read-only. Mount it writable, or set {setting} to a folder that can be written",
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM),
        "this user may not write there. Give the user the right to, or set {setting} to a folder of its own",
    ),
    errno.ENOTDIR: "a part of the path is a file, no folder. Set {setting} to a folder",
}
"""What errors of the system mean to the user, and what to do."""

_POLL_SECONDS: Final = 0.1


def problem_of(error: OSError, setting: str) -> str | None:
    """What an error says of the folder that `setting` names, and the remedy; None where it is about something else."""
    text = PROBLEMS.get(error.errno or 0)
    return text and f"{text.format(setting=setting)} ({os.strerror(error.errno or 0)})."


@contextmanager
def writing_into(folder: Path, setting: str) -> Iterator[None]:
    """Turn what keeps the block from writing into `FolderError`.

    Args:
        folder: where the block writes.
        setting: the variable that names it.
    """
    try:
        yield
    except OSError as error:
        problem = problem_of(error, setting)
        if problem is None:
            raise
        msg = f"{error.filename or folder} can't be written: {problem}"
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
