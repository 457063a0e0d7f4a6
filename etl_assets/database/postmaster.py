"""Which server runs in a data directory: judged by what runs there, never by a number in a file alone.

After a power cut or the restart of a container, `postmaster.pid` names a process that is gone, and its number may be
another program's by now. So a process counts as the server only if it lives, is a `postgres`, and works in this very
directory. Its start time is not compared with the file's: a clock that was set meanwhile would make them differ.
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
"""Lines of a whole file: pid, directory, start time, port, folder of the socket, address, shared memory, state."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs, as its pid file tells of it."""

    process: psutil.Process | None
    """None where it answers, but its process can't be seen: it runs in another container, say."""
    socket_folder: Path
    state: str
    """`starting` (recovering, perhaps), `ready` or `stopping`; empty while the file is being written."""


@dataclass(frozen=True, slots=True)
class _PidFile:
    pid: int | None
    port: str
    socket_folder: str
    state: str


def find_server(directory: Path) -> Server | None:
    """The server that runs in `directory` (an absolute path), or None where none does."""
    said = _read(directory)
    if said is None:
        return None
    process = _process_in(directory, said.pid) if said.pid is not None else None
    if process is None and not _answers(said):
        return None
    return Server(process, Path(said.socket_folder), said.state)


def processes_in(directory: Path) -> list[psutil.Process]:
    """All processes of PostgreSQL that work in `directory`: also those that outlived their server."""
    return [process for process in psutil.process_iter() if _is_at_work(process, directory)]


def is_alive(process: psutil.Process) -> bool:
    """Whether a process is there and no zombie, which only waits for its parent to take note of its end."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def disown(file: Path) -> str | None:
    """Let the next server take over a pid or lock file that a crashed one left; says what it names, None without one.

    Nothing of the directory's server may run. The file is not removed: it then names this process, and a postgres
    takes a file that names its parent for one that was left, but first sees by the rest of it whether shared memory
    of the crashed server is still in use.
    """
    try:
        text = file.read_text(**_ANY_BYTES)
    except FileNotFoundError:
        return None
    number, _, rest = text.partition("\n")
    with file.open("r+", **_ANY_BYTES) as opened:
        opened.write(f"{os.getpid()}\n{rest}")
        opened.truncate()
    return _description_of(_number(number))


def _read(directory: Path) -> _PidFile | None:
    """The pid file; None where there is none. One that was cut short names no process."""
    try:
        text = (directory / PID_FILE).read_text(**_ANY_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    lines = [line.strip() for line in text.split("\n")]
    lines += [""] * (_LINES - len(lines))
    return _PidFile(_number(lines[0]), lines[3], lines[4], lines[7])


def _number(line: str) -> int | None:
    """The process of a first line; None where it is not whole."""
    found = re.fullmatch(r"\s*([1-9]\d{0,8})\s*", line, re.ASCII)
    return int(found[1]) if found else None


def _process_in(directory: Path, pid: int) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
    return process if _is_at_work(process, directory) else None


def _is_at_work(process: psutil.Process, directory: Path) -> bool:
    """Whether a process lives and is a PostgreSQL's in this directory."""
    try:
        return is_alive(process) and process.name() == "postgres" and _works_in(process, directory)
    except psutil.NoSuchProcess:
        return False


def _works_in(process: psutil.Process, directory: Path) -> bool:
    """A server's processes stay in its data directory; where that can't be seen, its arguments name it."""
    try:
        at = process.cwd()
    except psutil.AccessDenied:
        arguments = process.cmdline()
        at = arguments[arguments.index("-D") + 1] if "-D" in arguments[:-1] else ""
    try:
        return os.path.samefile(at, directory)  # noqa: PTH121  # the name of a deleted folder is no path
    except OSError:
        return False


def _answers(said: _PidFile) -> bool:
    """Whether somebody listens at the socket that the file names."""
    if not said.socket_folder or not said.port:
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(1)
        try:
            client.connect(str(Path(said.socket_folder) / SOCKET.format(port=said.port)))
        except OSError:
            return False
    return True


def _description_of(pid: int | None) -> str:
    if pid is None:
        return "no process"
    try:
        return f"process {pid}, which is gone" if not is_alive(psutil.Process(pid)) else f"process {pid}, another one"
    except psutil.NoSuchProcess:
        return f"process {pid}, which is gone"
