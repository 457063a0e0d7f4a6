"""Embedded PostgreSQL: starts and stops a server from a pip wheel, on demand, under `ETL_HOME`, reached by a socket.

Only the wheel's programs are used. Hazard: a pid file may name another program's process. No process is signalled
except the server of this very directory, which `postmaster` identifies (docs/decisions.md, "Embedded server"). Creating
the data directory belongs in `data_directory`.
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
"""Time to wait for a server that recovers from a crash; after that the command fails, the server goes on."""
STOP_SECONDS: Final = 300.0
ORPHAN_SECONDS: Final = 20.0
"""Time for the processes of a killed server to end."""
QUIET_SECONDS: Final = 10.0
"""Waiting time after which a log line names the reason."""
PORT: Final = 5432
"""Part of the socket's name; no port is opened."""
WAL_SEGMENT_BYTES: Final = 16 << 20
"""Free disk space that a server needs to start and run."""
LONGEST_SOCKET_FOLDER: Final = 85
"""In bytes: with the socket's name, the path must fit into the 104 bytes that all systems allow."""

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
"""Meanings of messages of the server and of initdb, with the remedy."""


def start(directory: Path) -> URL:
    """Start the server of the data directory, unless it runs, and return its URL.

    The server outlives this process; `stop` ends it. Of several processes that call this at once, one starts it.

    Raises:
        DatabaseUnavailableError: the server can't be started; the message has the reason.
    """
    directory = directory.resolve()
    deadline = time.monotonic() + START_SECONDS
    try:
        while (server := postmaster.find_server(directory)) is None or server.state != "ready":
            if server is None:
                directory.parent.mkdir(parents=True, exist_ok=True)
                with locked(directory.with_name(f".{directory.name}.lock"), seconds=START_SECONDS):
                    if postmaster.find_server(directory) is None:
                        _start_server(directory, deadline)
            _wait_briefly(directory, deadline)
    except InitError as error:
        raise _start_error(directory, str(error)) from None
    except OSError as error:
        raise _system_error(directory, error) from None
    return URL.create("postgresql", username="postgres", database="postgres", query={"host": str(server.socket_folder)})


def lost(directory: Path) -> DatabaseUnavailableError:
    """Return the error for a lost connection to the server of `directory`, with the reason if known."""
    reason = f"it crashed or was stopped, and is started again when it is needed: see {_log_path(directory)}"
    if _is_full(directory):
        reason = REASONS["No space left on device"]
    return DatabaseUnavailableError(f"The embedded PostgreSQL in {directory} broke the connection off: {reason}.")


def stop(directory: Path) -> bool:
    """Stop the server of `directory`; return whether one was running.

    Raises:
        DatabaseUnavailableError: it can't be stopped from here.
    """
    directory = directory.resolve()
    try:
        server = postmaster.find_server(directory)
    except OSError as error:
        raise _system_error(directory, error) from None
    if server is None:
        return False
    if server.process is None:
        msg = (
            f"A server answers for {directory}, but its process can't be seen from here: another container or another"
            " machine runs it. Stop it there."
        )
        raise DatabaseUnavailableError(msg)
    _stop_process(server.process, directory)
    _reap_children()
    return True


def _stop_process(process: psutil.Process, directory: Path) -> None:
    """Request a fast shutdown and wait for it; never kills."""
    try:
        process.send_signal(signal.SIGINT)  # psutil compares start times: a reused pid is not signalled
    except psutil.NoSuchProcess:
        return
    except psutil.AccessDenied:
        msg = f"The server of {directory} runs as another user: stop it as that user or as root."
        raise DatabaseUnavailableError(msg) from None
    deadline = time.monotonic() + STOP_SECONDS
    while postmaster.is_alive(process):
        if time.monotonic() > deadline:
            msg = (
                f"The server of {directory} is still writing its memory to disk after {STOP_SECONDS:.0f} s. It ends by"
                f" itself; see {_log_path(directory)}."
            )
            raise DatabaseUnavailableError(msg)
        time.sleep(0.05)


def _start_server(directory: Path, deadline: float) -> None:
    """Start the server and wait until it is ready; the caller holds the lock."""
    account = account_for(directory)
    make_directory(directory, account)
    _wait_for_orphans(directory)
    folder = directory if _suits_socket(directory) else _short_folder(directory, account)
    for file in (directory / postmaster.PID_FILE, folder / f"{postmaster.SOCKET.format(port=PORT)}.lock"):
        left = postmaster.disown(file)
        if left is not None:
            logger.warning("The embedded PostgreSQL was not shut down: its %s names %s.", file.name, left)
    configure(directory, account)
    with open(_log_path(directory), "ab", opener=_no_links) as log:  # Path.open takes no opener
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
    _reap_children()
    _children.append(process)
    while (server := postmaster.find_server(directory)) is None or server.state != "ready":
        if process.poll() is not None:
            raise _start_error(directory, _log_path(directory).read_bytes()[began:].decode(errors="replace"))
        _wait_briefly(directory, deadline)


_children: Final[list[subprocess.Popen[bytes]]] = []
"""Servers that this process started: they outlive it, so nothing waits for them."""


def _reap_children() -> None:
    """Reap servers of this process that have ended: until then they are zombies."""
    _children[:] = [child for child in _children if child.poll() is None]


def _wait_for_orphans(directory: Path) -> None:
    """Wait until all processes of a killed server have ended, which they do by themselves."""
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
    """Return whether the path of a socket in the folder is short enough, and unambiguous in a URL and to libpq."""
    return len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER and bool(re.fullmatch(r"[\w/.\-]+", str(folder)))


def _short_folder(directory: Path, account: Account | None) -> Path:
    """Return a folder with a short name that only the server's user can enter, as the socket has no password."""
    uid = account.uid if account else os.geteuid()
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"etl-assets-{uid}-{name}"
    if not _suits_socket(folder):
        folder = Path("/tmp") / folder.name  # noqa: S108  # owner and rights are checked below
    try:
        folder.mkdir(mode=FOLDER_MODE)
    except FileExistsError:
        pass
    else:
        os.chown(folder, uid, account.gid if account else -1)
    found = folder.lstat()
    if found.st_uid != uid or found.st_mode != stat.S_IFDIR | FOLDER_MODE:
        msg = f"{folder}, for the socket of {directory}, belongs to another user: delete it, or use a shorter path."
        raise DatabaseUnavailableError(msg)
    return folder


def _wait_briefly(directory: Path, deadline: float) -> None:
    """Wait briefly; log the reason if it takes long, and raise after the deadline."""
    left = deadline - time.monotonic()
    if left < 0:
        msg = (
            f"The embedded PostgreSQL in {directory} is not ready after {START_SECONDS:.0f} s: it is recovering from a"
            f" crash, or shutting down. Try again later; see {_log_path(directory)}."
        )
        raise DatabaseUnavailableError(msg)
    time.sleep(_PAUSE_SECONDS)
    if left - _PAUSE_SECONDS < START_SECONDS - QUIET_SECONDS <= left:
        logger.warning(
            "Waiting for the embedded PostgreSQL, which is recovering from a crash or shutting down: %s",
            _log_path(directory),
        )


_PAUSE_SECONDS: Final = 0.02


def _start_error(directory: Path, output: str) -> DatabaseUnavailableError:
    """Return the error for the output of a server or of initdb that ended."""
    reason = next((meaning for words, meaning in REASONS.items() if words in output), None)
    log = _log_path(directory)
    if reason is None and _is_full(directory):
        reason = REASONS["No space left on device"]  # the server can't log to a full disk
    elif reason is None and not log.exists():  # initdb's line names files and settings, no data
        reason = output
    return DatabaseUnavailableError(
        f"The embedded PostgreSQL in {directory} does not start: {f'{reason}.' if reason else f'see {log}.'}"
    )


def _system_error(directory: Path, error: OSError) -> EtlError:
    problem = problem_of(error, "set ETL_HOME to another folder") or f"{error.strerror or type(error).__name__}."
    at = error.filename or directory
    return DatabaseUnavailableError(f"The embedded PostgreSQL in {directory} can't be used; {at}: {problem}")


def _is_full(directory: Path) -> bool:
    return shutil.disk_usage(directory.parent).free < WAL_SEGMENT_BYTES


def _log_path(directory: Path) -> Path:
    return directory / "log"


def _no_links(path: str, flags: int) -> int:
    """Open a file without following links, by which the server's user could redirect root to another file."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
