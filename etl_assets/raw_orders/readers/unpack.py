"""Unpacking of compressed exports (.gz, .zip) into temporary files without a name, within limits.

The hazards are files that unpack to far more than their size, and names that point elsewhere: no file is written under
the name of a member. A file in an archive has a path of its own, ``orders.zip/may.csv``; archives in archives are not
read (docs/decisions.md, "Archives of exports"). Runs in the child process.
"""

from __future__ import annotations

import gzip
import re
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final

from etl_assets.limits import MAX_MEMBERS, MAX_RATIO, MAX_UNPACKED_FILE_BYTES, UNCHECKED_BYTES
from etl_assets.raw_orders.readers.errors import ImportFileError, reported_as_file_error

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

ZIP: Final = ".zip"
GZIP: Final = ".gz"
GZIP_MAGIC: Final = b"\x1f\x8b"
ZIP_MAGIC: Final = b"PK\x03\x04"
BLOCK_BYTES: Final = 1 << 20
IN_MEMORY_BYTES: Final = 8 << 20
UTF8_NAME: Final = 0x800
ENCRYPTED: Final = 0x1
NO_FILE: Final = re.compile(r"(?:^|/)(?:__MACOSX/|\.|Thumbs\.db$|desktop\.ini$)")
"""Members that systems add by themselves."""
PROBLEM: Final = "it can't be unpacked"
REMEDY: Final = "Unpack it and import the files in it"


def split_member(path: Path) -> tuple[Path, str | None]:
    """Return the file on disk that a path names, and the member of it where that is an archive."""
    for parent in path.parents:
        if parent.suffix.lower() == ZIP and parent.is_file():
            return parent, path.relative_to(parent).as_posix()
    return path, None


def list_members(handle: IO[bytes], path: Path) -> list[str]:
    """Return the names of the exports in an archive, sorted; none where the file is a workbook or no archive.

    Raises:
        ImportFileError: the archive is broken, exceeds a limit, has a password or a name that points elsewhere.
    """
    return sorted(_members(handle, path))


def unpack_member(
    handle: IO[bytes], path: Path, name: str, progress: Callable[[], None], resources: ExitStack
) -> IO[bytes]:
    """Return a member of an archive as a temporary file. Raises `ImportFileError`."""
    entry = _members(handle, path).get(name)
    if entry is None:
        raise ImportFileError(path, None, f"it has no file {name!r}", "List the archive and correct the name")
    with (
        reported_as_file_error(path, (Exception,), PROBLEM, REMEDY),
        zipfile.ZipFile(handle) as archive,
        archive.open(entry) as part,
    ):
        return _copied(part, path, entry.compress_size, progress, resources)


def unpack_gzip(handle: IO[bytes], path: Path, progress: Callable[[], None], resources: ExitStack) -> IO[bytes]:
    """Return the content of a file compressed with gzip as a temporary file. Raises `ImportFileError`."""
    size = handle.seek(0, 2)
    handle.seek(0)
    with reported_as_file_error(path, (OSError, EOFError, zlib.error), PROBLEM, "Download it again"):
        return _copied(gzip.GzipFile(fileobj=handle), path, size, progress, resources)


def _copied(
    part: IO[bytes] | gzip.GzipFile, path: Path, size: int, progress: Callable[[], None], resources: ExitStack
) -> IO[bytes]:
    spool = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, prefix="etl-assets-")  # noqa: SIM115  # closed with the file
    unpacked: IO[bytes] = resources.enter_context(spool)
    total = 0
    while block := part.read(BLOCK_BYTES):
        progress()
        total += len(block)
        if total > MAX_UNPACKED_FILE_BYTES or (total > UNCHECKED_BYTES and total > MAX_RATIO * size):
            raise ImportFileError(path, None, "it unpacks to more than its size allows", REMEDY)
        unpacked.write(block)
    unpacked.seek(0)
    return unpacked


def _members(handle: IO[bytes], path: Path) -> dict[str, zipfile.ZipInfo]:
    handle.seek(0)
    if handle.read(len(ZIP_MAGIC)) != ZIP_MAGIC:
        return {}
    with reported_as_file_error(path, (Exception,), PROBLEM, REMEDY), zipfile.ZipFile(handle) as archive:
        entries = archive.infolist()
    if any(entry.filename.startswith("xl/") for entry in entries):
        return {}
    if len(entries) > MAX_MEMBERS:
        raise ImportFileError(path, None, f"it holds {len(entries):,} files, at most {MAX_MEMBERS:,} are read", REMEDY)
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_FILE_BYTES:
        raise ImportFileError(path, None, "it unpacks to more than its size allows", REMEDY)
    found: dict[str, zipfile.ZipInfo] = {}
    for entry in entries:
        name = _name_of(entry)
        if entry.is_dir() or (_is_plain(name) and NO_FILE.search(name)):
            continue
        if not _is_plain(name) or stat.S_ISLNK(entry.external_attr >> 16) or name in found:
            problem = "a file in it is a link, or has a name that points elsewhere or occurs twice"
            raise ImportFileError(path, None, problem, REMEDY)
        if entry.flag_bits & ENCRYPTED:
            raise ImportFileError(path, None, "the files in it have a password", REMEDY)
        found[name] = entry
    if not found:
        raise ImportFileError(path, None, "the archive is empty", "Export it again")
    return found


def _name_of(entry: zipfile.ZipInfo) -> str:
    """Return the name of a member; old programs write it in the code page of their system, most often GBK."""
    if entry.flag_bits & UTF8_NAME or entry.filename.isascii():
        return entry.filename
    for encoding in ("utf-8", "gb18030"):
        try:
            return entry.filename.encode("cp437").decode(encoding)
        except UnicodeError:
            continue
    return entry.filename


def _is_plain(name: str) -> bool:
    """Test that a name stays within its archive and is the same as a path."""
    return (
        name.isprintable()
        and "\\" not in name
        and not name.startswith("/")
        and ".." not in name.split("/")
        and PurePosixPath(name).as_posix() == name
    )
