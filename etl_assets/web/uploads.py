"""Uploaded export files: kept under ETL_HOME until their user imports or discards them, and removed after a day.

The hazards are names that point elsewhere (a file gets a safe name in a folder of our own), disks that fill up (size
and number are limited), and an upload that is imported twice (it is claimed by a rename). Uploads belong to their user.
Reading and importing files is done elsewhere, by the same functions as for the command.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from starlette.datastructures import UploadFile

from etl_assets.errors import EtlError
from etl_assets.folders import problem_of
from etl_assets.web.language import N_

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from starlette.datastructures import FormData

MAX_NAME_BYTES: Final = 150
MOST_WAITING: Final = 20
KEPT_SECONDS: Final = 24 * 3600.0
BLOCK_BYTES: Final = 1 << 20
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_ABOUT: Final = "about.json"
_CLAIMED: Final = ".claimed"
_IMPORTED: Final = "imported"


class UploadError(EtlError):
    """Raised for an upload that is refused; `text` is to be translated, with `values`."""

    def __init__(self, text: str, **values: str) -> None:
        """Build the English text from its parts."""
        self.text, self.values = text, values
        super().__init__(text % values if values else text)


@dataclass(frozen=True, slots=True)
class Options:
    """Options of an import that the form names; empty ones are those of the file and of its preset."""

    preset: str = ""
    platform: str = ""
    shop: str = ""
    timezone: str = ""
    currency: str = ""
    date_order: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """Upload that waits for its user."""

    token: str
    path: Path
    user_name: str
    options: Options

    @property
    def name(self) -> str:
        """Return the name of the file."""
        return self.path.name


class Uploads:
    """Uploads under a folder."""

    def __init__(self, home: Path) -> None:
        self.folder = home.resolve() / "uploads"

    def add(self, file: UploadFile | str | None, user_name: str, options: Options, suffixes: Sequence[str]) -> Upload:
        """Keep an uploaded file. Raises `UploadError`."""
        self.remove_old()
        if len(self._waiting()) >= MOST_WAITING:
            raise UploadError(N_("Too many uploads wait to be imported. Import or discard some first."))
        token = secrets.token_urlsafe(16)
        folder = self.folder / token
        try:
            folder.mkdir(parents=True, mode=0o700)
            path = save_upload(file, folder, suffixes)
            about = {"file": path.name, "user_name": user_name, "options": asdict(options)}
            (folder / _ABOUT).write_text(json.dumps(about), encoding="utf-8")
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise _not_kept(error) from None
            raise
        return Upload(token, path, user_name, options)

    def find(self, token: str, user_name: str) -> Upload | None:
        """Return an upload of a user; None where it was imported or discarded, is old, or another user's."""
        if not _TOKEN.fullmatch(token):
            return None
        try:
            about = json.loads((self.folder / token / _ABOUT).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        if about["user_name"] != user_name:
            return None
        return Upload(token, self.folder / token / about["file"], user_name, Options(**about["options"]))

    def change(self, upload: Upload, options: Options) -> None:
        """Change the options of an upload."""
        about = {"file": upload.name, "user_name": upload.user_name, "options": asdict(options)}
        beside = upload.path.parent / f".{_ABOUT}"
        beside.write_text(json.dumps(about), encoding="utf-8")
        beside.replace(upload.path.parent / _ABOUT)

    def claim(self, upload: Upload) -> Path | None:
        """Take an upload to import it; return the path of its file, or None where it was taken before.

        The path is the same for all files of a user with this name: as with the inbox, a corrected file comes from
        where the refused one did. So the caller imports one upload at a time.
        """
        claimed = self.folder / f"{upload.token}{_CLAIMED}"
        try:
            upload.path.parent.rename(claimed)
        except FileNotFoundError:
            return None
        path = self.folder / _IMPORTED / safe_name(upload.user_name) / upload.name
        path.parent.mkdir(parents=True, exist_ok=True)
        (claimed / upload.name).replace(path)
        shutil.rmtree(claimed, ignore_errors=True)
        return path

    def discard(self, upload: Upload) -> None:
        """Remove an upload."""
        shutil.rmtree(upload.path.parent, ignore_errors=True)

    def remove_old(self) -> None:
        """Remove uploads that were left alone for a day."""
        for entry in self._waiting():
            with suppress(OSError):  # gone meanwhile
                if time.time() - entry.stat(follow_symlinks=False).st_mtime > KEPT_SECONDS:
                    shutil.rmtree(entry.path, ignore_errors=True)

    def _waiting(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self.folder) as entries:
                return [entry for entry in entries if _TOKEN.fullmatch(entry.name.removesuffix(_CLAIMED))]
        except (FileNotFoundError, NotADirectoryError):
            return []


def save_upload(file: UploadFile | str | None, folder: Path, suffixes: Sequence[str]) -> Path:
    """Write an uploaded file into a folder under a safe name. Raises `UploadError`."""
    if not isinstance(file, UploadFile) or not file.filename:
        raise UploadError(N_("No file was chosen."))
    name = safe_name(file.filename)
    if not name.lower().endswith(tuple(suffixes)):
        raise UploadError(N_("This kind of file can't be read. Upload one of: %(kinds)s."), kinds=", ".join(suffixes))
    path = folder / name
    try:
        with path.open("xb") as target:
            while block := file.file.read(BLOCK_BYTES):
                target.write(block)
    except OSError as error:
        raise _not_kept(error) from None
    if not path.stat().st_size:
        raise UploadError(N_("The file is empty."))
    return path


def safe_name(name: str) -> str:
    """Return a name for an uploaded file: without folders, control characters and leading dots, and not too long."""
    plain = re.split(r"[/\\]", name)[-1]
    kept = "".join(one for one in plain if one.isprintable() and one not in '<>:"|?*').strip(" .")
    stem, dot, suffix = kept.rpartition(".")
    if not dot:
        stem, suffix = kept, ""
    room = MAX_NAME_BYTES - len(os.fsencode(dot + suffix))
    while len(os.fsencode(stem)) > max(room, 1):
        stem = stem[:-1]
    return f"{stem or 'file'}{dot}{suffix}"


def options_of(form: FormData) -> Options:
    """Return the options that a form names."""
    names = Options.__slots__
    texts = {name: form.get(name, "") for name in names}
    return Options(**{name: text.strip() for name, text in texts.items() if isinstance(text, str)})


def _not_kept(error: OSError) -> UploadError:
    why = problem_of(error, "set ETL_HOME to another folder") or os.strerror(error.errno or 0)
    return UploadError(N_("The file can't be kept: %(why)s"), why=why)
