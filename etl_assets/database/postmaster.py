"""Identification of the server that runs in a data directory; starts and stops nothing.

Hazard: after a power cut or the restart of a container, `postmaster.pid` names a process that is gone, and its number
may belong to another program. A process counts as the server only if it is alive, is called `postgres`, and has this
very directory as its working directory. Its start time is not compared with the file's, since a change of the clock
would make them differ. See docs/decisions.md, "Embedded server".
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

PID_FILE: Final = "postmaster.pid"
SOCKET: Final = ".s.PGSQL.{port}"
_ANY_BYTES: Final[dict[str, Any]] = {"encoding": "utf-8", "errors": "surrogateescape"}
_LINES: Final = 8
"""Lines of a complete file: pid, directory, start time, port, socket folder, address, shared memory, state."""


@dataclass(frozen=True, slots=True)
class Server:
    """Running server, as its pid file describes it."""

    process: psutil.Process | None
    """None if the server answers but its process is invisible, for example in another container."""
    socket_folder: Path
    state: str
    """`starting` (possibly recovering), `ready` or `stopping`; empty while the file is being written."""


@dataclass(frozen=True, slots=True)
class _PidFile:
    pid: int | None
    port: str
    socket_folder: str
    state: str


def find_server(directory: Path) -> Server | None:
    """Return the server that runs in `directory` (an absolute path); None if there is none."""
    pid_file = _read_pid_file(directory)
    if pid_file is None:
        return None
    process = _process_in(directory, pid_file.pid) if pid_file.pid is not None else None
    if process is None and not _accepts_connections(pid_file):
        return None
    return Server(process, Path(pid_file.socket_folder), pid_file.state)


def processes_in(directory: Path) -> list[psutil.Process]:
    """Return all processes of PostgreSQL that work in `directory`, including those that outlived their server."""
    return [process for process in psutil.process_iter() if _is_at_work(process, directory)]


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process exists and is no zombie, which only waits to be reaped by its parent."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def disown(file: Path) -> str | None:
    """Let the next server take over a pid or lock file of a crashed one; return what it named, None without a file.

    No process of the directory's server may run. The file is not removed but made to name this process: postgres
    treats a file that names its parent as stale, but still checks by the rest of the file whether shared memory of the
    crashed server is in use.
    """
    try:
        text = file.read_text(**_ANY_BYTES)
    except FileNotFoundError:
        return None
    number, _, rest = text.partition("\n")
    with file.open("r+", **_ANY_BYTES) as opened:
        opened.write(f"{os.getpid()}\n{rest}")
        opened.truncate()
    return _describe_process(_parse_pid(number))


def _read_pid_file(directory: Path) -> _PidFile | None:
    """Read the pid file; None if there is none. A truncated one names no process."""
    try:
        text = (directory / PID_FILE).read_text(**_ANY_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    lines = [line.strip() for line in text.split("\n")]
    lines += [""] * (_LINES - len(lines))
    return _PidFile(_parse_pid(lines[0]), lines[3], lines[4], lines[7])


def _parse_pid(line: str) -> int | None:
    """Parse the first line; None if it is incomplete."""
    found = re.fullmatch(r"\s*([1-9]\d{0,8})\s*", line, re.ASCII)
    return int(found[1]) if found else None


def _process_in(directory: Path, pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
    return process if _is_at_work(process, directory) else None


def _is_at_work(process: psutil.Process, directory: Path) -> bool:
    """Return whether a process is alive and a PostgreSQL's in this directory."""
    try:
        return is_alive(process) and process.name() == "postgres" and _works_in(process, directory)
    except psutil.NoSuchProcess:
        return False


def _works_in(process: psutil.Process, directory: Path) -> bool:
    """Compare a process's working directory, or its arguments if that is invisible, with the data directory."""
    try:
        at = process.cwd()
    except psutil.AccessDenied:
        arguments = process.cmdline()
        at = arguments[arguments.index("-D") + 1] if "-D" in arguments[:-1] else ""
    try:
        return os.path.samefile(at, directory)  # noqa: PTH121  # the name of a deleted folder is no path
    except OSError:
        return False


def _accepts_connections(pid_file: _PidFile) -> bool:
    """Return whether a process listens at the socket that the file names."""
    if not pid_file.socket_folder or not pid_file.port:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect(str(Path(pid_file.socket_folder) / SOCKET.format(port=pid_file.port)))
        except OSError:
            return False
    return True


def _describe_process(pid: int | None) -> str:
    if pid is None:
        return "no process"
    try:
        return f"process {pid}, which is gone" if not is_alive(psutil.Process(pid)) else f"process {pid}, another one"
    except psutil.NoSuchProcess:
        return f"process {pid}, which is gone"
