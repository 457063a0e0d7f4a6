"""The embedded PostgreSQL: a real server from a pip wheel, started on demand under `ETL_HOME`, reached by a socket.

Of the wheel only the programs are used. Nothing is ever signalled but the server of the very directory.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import psutil
from sqlalchemy import URL

from etl_assets.database import postmaster
from etl_assets.database.data_directory import (
    FOLDER_MODE,
    Account,
    InitError,
    account_for,
    binaries_for,
    configure,
    make_directory,
)
from etl_assets.errors import DatabaseUnavailableError, EtlError
from etl_assets.folders import locked, problem_of

logger = logging.getLogger(__name__)

START_SECONDS: Final = 600.0
"""How long a server may recover after a crash before a command gives up waiting; the server goes on."""
STOP_SECONDS: Final = 300.0
ORPHAN_SECONDS: Final = 20.0
"""How long processes of a killed server may take to notice and end."""
QUIET_SECONDS: Final = 10.0
"""After so long a wait, it is said what is waited for."""
PORT: Final = 5432
"""No port: a part of the socket's name."""
WAL_SEGMENT_BYTES: Final = 16 << 20
"""Least free disk of a server: with less, it ends or does not start."""
LONGEST_SOCKET_FOLDER: Final = 85
"""In bytes: with the socket's name it has to fit into the 104 that the systems have at least."""

REASONS: Final = {
    "No space left on device": "the disk is full. Free space on it, then try again",
    "Disk quota exceeded": "the disk is full. Free space on it, then try again",
    "Read-only file system": "its disk is mounted read-only. Mount it writable, or set ETL_HOME to another folder",
    "Permission denied": "its user may not write there. Give back the files' owner, or set ETL_HOME to another folder",
    "has wrong ownership": "it belongs to another user. Start the command as that user, or set ETL_HOME",
    "pre-existing shared memory block": "processes of the server that crashed still run. End them, then try again",
    "could not map anonymous shared memory": "there is not enough memory. End other programs, then try again",
    "invalid locale": "the system lacks the locale that LANG or LC_ALL names. Set them to C.UTF-8, then try again",
}
"""Meanings of a server's or initdb's own words, with the remedy."""


def start(directory: Path) -> URL:
    """Start the server that keeps its data in `directory` (or find it running) and return its URL.

    The server outlives this process; `stop` ends it. Of several processes that start it at once, one does.

    Raises:
        DatabaseUnavailableError: the server can't be started, and why.
    """
    directory = directory.resolve()
    deadline = time.monotonic() + START_SECONDS
    try:
        while (server := postmaster.find_server(directory)) is None or server.state != "ready":
            if server is None:
                directory.parent.mkdir(parents=True, exist_ok=True)
                with locked(directory.with_name(f".{directory.name}.lock"), seconds=START_SECONDS):
                    if postmaster.find_server(directory) is None:
                        _launch(directory, deadline)
            _pause(directory, deadline)
    except InitError as error:
        raise _failure(directory, str(error)) from None
    except OSError as error:
        raise _failure_of_system(directory, error) from None
    return URL.create("postgresql", username="postgres", database="postgres", query={"host": str(server.socket_folder)})


def lost(directory: Path) -> DatabaseUnavailableError:
    """The error for a connection to the server of `directory` that broke off: why, as far as can be told."""
    why = f"it crashed or was stopped, and is started again when it is needed: see {_log(directory)}"
    if _is_full(directory):
        why = REASONS["No space left on device"]
    return DatabaseUnavailableError(f"The embedded PostgreSQL in {directory} broke the connection off: {why}.")


def stop(directory: Path) -> bool:
    """Stop the server of `directory`; whether one was running.

    Raises:
        DatabaseUnavailableError: it runs, and can't be stopped from here.
    """
    directory = directory.resolve()
    try:
        server = postmaster.find_server(directory)
    except OSError as error:
        raise _failure_of_system(directory, error) from None
    if server is None:
        return False
    if server.process is None:
        msg = (
            f"A server answers for {directory}, but its process can't be seen from here: another container or another"
            " machine runs it. Stop it there."
        )
        raise DatabaseUnavailableError(msg)
    _end(server.process, directory)
    _take_note_of_ended()
    return True


def _end(process: psutil.Process, directory: Path) -> None:
    try:
        process.send_signal(signal.SIGINT)  # checks by the start time that the number has not passed on meanwhile
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied:
        msg = f"The server of {directory} runs as another user: stop it as that user or as root."
        raise DatabaseUnavailableError(msg) from None
    deadline = time.monotonic() + STOP_SECONDS
    while postmaster.is_alive(process):
        if time.monotonic() > deadline:
            msg = (
                f"The server of {directory} still writes what it has in memory, after {STOP_SECONDS:.0f} s. It ends by"
                f" itself; see {_log(directory)}."
            )
            raise DatabaseUnavailableError(msg)
        time.sleep(0.05)


def _launch(directory: Path, deadline: float) -> None:
    """Start the server, while nobody else does, and wait until it is ready."""
    account = account_for(directory)
    make_directory(directory, account)
    _wait_for_orphans(directory)
    folder = directory if _suits_socket(directory) else _short_folder(directory, account)
    for file in (directory / postmaster.PID_FILE, folder / f"{postmaster.SOCKET.format(port=PORT)}.lock"):
        left = postmaster.disown(file)
        if left is not None:
            logger.warning("The embedded PostgreSQL was not shut down: its %s names %s.", file.name, left)
    configure(directory, account)
    with open(_log(directory), "ab", opener=_no_links) as log:  # Path.open takes no opener
        began = log.tell()
        if account is not None:
            os.fchown(log.fileno(), account.uid, account.gid)
        process = subprocess.Popen(  # noqa: S603  # the wheel's own program
            [binaries_for(directory) / "postgres", "-D", directory, "-h", "", "-p", str(PORT), "-k", folder],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it outlives this process, and Ctrl-C
            cwd="/",
            **(account.for_process if account else {}),  # type: ignore[call-overload]  # users and groups
        )
    _take_note_of_ended()
    _children.append(process)
    while (server := postmaster.find_server(directory)) is None or server.state != "ready":
        if process.poll() is not None:
            raise _failure(directory, _log(directory).read_bytes()[began:].decode(errors="replace"))
        _pause(directory, deadline)


_children: Final[list[subprocess.Popen[bytes]]] = []
"""The servers that this process started and that may still run: they outlive it, so nothing waits for them."""


def _take_note_of_ended() -> None:
    """Let go of servers of this process that have ended: until then they are zombies."""
    _children[:] = [child for child in _children if child.poll() is None]


def _wait_for_orphans(directory: Path) -> None:
    """Wait until all processes of a killed server have ended: they end when they notice."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    while orphans := postmaster.processes_in(directory):
        if time.monotonic() > deadline:
            numbers = ", ".join(str(process.pid) for process in orphans)
            msg = (
                f"PostgreSQL's processes {numbers} still work in {directory}, without the file {postmaster.PID_FILE} of"
                " a server. End them, then try again."
            )
            raise DatabaseUnavailableError(msg)
        time.sleep(0.1)


def _suits_socket(folder: Path) -> bool:
    """Whether a socket in it has a name that the system takes, and that a URL and libpq don't read otherwise."""
    return len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER and bool(re.fullmatch(r"[\w/.\-]+", str(folder)))


def _short_folder(directory: Path, account: Account | None) -> Path:
    """A folder with a short name that only the server's user can enter: whoever reaches the socket is let in."""
    uid = account.uid if account else os.geteuid()
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"etl-assets-{uid}-{name}"
    if not _suits_socket(folder):
        folder = Path("/tmp") / folder.name  # noqa: S108  # its owner and rights are looked at
    try:
        folder.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        pass
    else:
        os.chown(folder, uid, account.gid if account else -1)
    found = folder.lstat()
    if found.st_uid != uid or found.st_mode != stat.S_IFDIR | FOLDER_MODE:
        msg = f"{folder}, the place for the socket of {directory}, is another user's: delete it, or use a shorter path."
        raise DatabaseUnavailableError(msg)
    return folder


def _pause(directory: Path, deadline: float) -> None:
    """Wait a little; say what for if it takes long, and give up in the end."""
    left = deadline - time.monotonic()
    if left < 0:
        msg = (
            f"The embedded PostgreSQL in {directory} is not ready after {START_SECONDS:.0f} s: it recovers from a"
            f" crash, or shuts down. It goes on by itself: try again later; see {_log(directory)}."
        )
        raise DatabaseUnavailableError(msg)
    time.sleep(_PAUSE_SECONDS)
    if left - _PAUSE_SECONDS < START_SECONDS - QUIET_SECONDS <= left:
        logger.warning(
            "Waiting for the embedded PostgreSQL, which recovers from a crash or shuts down: %s", _log(directory)
        )


_PAUSE_SECONDS: Final = 0.02


def _failure(directory: Path, said: str) -> DatabaseUnavailableError:
    """The error for what a server or initdb said before it ended."""
    reason = next((meaning for words, meaning in REASONS.items() if words in said), None)
    log = _log(directory)
    if reason is None and _is_full(directory):
        reason = REASONS["No space left on device"]  # a full disk does not take the server's words either
    elif reason is None and not log.exists():  # initdb's line names files and settings, no data
        reason = said
    return DatabaseUnavailableError(
        f"The embedded PostgreSQL in {directory} does not start: {f'{reason}.' if reason else f'see {log}.'}"
    )


def _failure_of_system(directory: Path, error: OSError) -> EtlError:
    problem = problem_of(error, "set ETL_HOME to another folder") or f"{error.strerror or type(error).__name__}."
    at = error.filename or directory
    return DatabaseUnavailableError(f"The embedded PostgreSQL in {directory} can't be used; {at}: {problem}")


def _is_full(directory: Path) -> bool:
    return shutil.disk_usage(directory.parent).free < WAL_SEGMENT_BYTES


def _log(directory: Path) -> Path:
    return directory / "log"


def _no_links(path: str, flags: int) -> int:
    """Open a file of the server's user, who may not lead root to another one by a link."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
