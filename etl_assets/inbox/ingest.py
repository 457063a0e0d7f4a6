"""Takes in the files of the inbox: each finished one is imported once, whatever happens, and moved out of the way."""

from __future__ import annotations

import hashlib
import logging
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from etl_assets.database.database import sqlstate_of
from etl_assets.database.ledger_schema import inbox_files
from etl_assets.database.sqlstates import meaning_of
from etl_assets.errors import DatabaseUnavailableError, EtlError
from etl_assets.inbox.archive import move_to_done, move_to_failed
from etl_assets.inbox.ready_files import MAPPING_FILE, InboxError, find_ready_files, is_ready, stamp_of
from etl_assets.presets.catalog import detect_preset, load_mapping
from etl_assets.raw_orders.extract import CHUNK_ROWS, RawOrderFrames
from etl_assets.raw_orders.importing import require_preset
from etl_assets.raw_orders.load import fail_interrupted_imports, land_raw_orders, record_failed_import
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets.raw_orders.readers.opened_file import open_regular_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    import polars as pl

    from etl_assets.database.database import Database
    from etl_assets.inbox.ready_files import FileStamp
    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.load import ImportResult
    from etl_assets.raw_orders.readers.opened_file import ImportFile

logger = logging.getLogger(__name__)

INBOX_LOCK_ID: Final = 7_305_461_904
"""Number of the advisory lock."""
BLOCK_BYTES: Final = 1 << 20


class AlreadyImportedError(EtlError):
    """Another process imported the same content meanwhile."""


def ingest_inbox(
    database: Database,
    folder: Path,
    *,
    settle_seconds: float,
    run_id: str | None = None,
    on_progress: Callable[[Path, int], None] | None = None,
) -> list[ImportResult]:
    """Import the finished files of the inbox, one after the other, and move each to `done` or `failed` beside it.

    The content of a file is imported once: a file whose content is known is only moved. Where another process is taking
    in files already, nothing is done.

    Args:
        database: the store.
        folder: the inbox.
        settle_seconds: how long a file must have been left alone, in seconds.
        run_id: the Dagster run, for the ledger.
        on_progress: called with the file and the number of its lines read so far.

    Returns:
        The imports that were made: completed ones, and failed ones whose files are in `failed` with the error beside.

    Raises:
        DatabaseUnavailableError: the server can't be reached; files not imported yet stay.
        InboxError: files had to stay for reasons that are not theirs (a bad mapping, a folder that can't be written).
    """
    fail_interrupted_imports(database)
    results: list[ImportResult] = []
    troubles: list[str] = []
    with _lock(database) as is_ours, ExitStack() as held:
        if not is_ours:
            logger.info("Another process is taking in the files of the inbox.")
            return []
        reader = held.enter_context(FileReader(database.settings.reader_memory_mb))
        for path in find_ready_files(folder, settle_seconds=settle_seconds):
            reader.start(path)  # it gets ready while the content is hashed
            job = _Job(database, reader, folder, path, run_id, on_progress)
            try:
                if is_ready(path, settle_seconds=settle_seconds) and (result := job.ingest_inbox()) is not None:
                    results.append(result)
            except DatabaseUnavailableError:
                raise
            except (EtlError, OSError, SQLAlchemyError) as error:
                troubles.append(f"{path.name}: {_described(error)}")
    if troubles:
        msg = f"Files stay in the inbox. {' '.join(troubles)}"
        raise InboxError(msg)
    return results


@dataclass(frozen=True, slots=True)
class _Job:
    """One file to be taken in."""

    database: Database
    reader: FileReader
    inbox: Path
    path: Path
    run_id: str | None
    on_progress: Callable[[Path, int], None] | None

    def ingest_inbox(self) -> ImportResult | None:
        """Import the file unless its content is known, and move it; returns the import, if there was one."""
        stamp = stamp_of(self.path)
        if stamp is None:
            return None
        try:
            digest = content_hash(self.path)
        except ImportFileError as error:
            return self._refuse(stamp, error)
        if not is_imported(self.database, digest):
            result = self._import(stamp, digest)
            if result is None or result.status == "failed":
                return result
        else:
            result = None
            logger.info("%a holds what was imported before: it is not imported again.", self.path.name)
        move_to_done(self.path, stamp)
        return result

    def _import(self, stamp: FileStamp, digest: str) -> ImportResult | None:
        with self.reader.open(self.path) as file:
            chosen = preset_of(file, self.inbox)
            try:
                preset = chosen or require_preset(file)
            except ImportFileError as error:
                return self._refuse(stamp, error)
            frames = _UnchangedFrames(file, preset, stamp, is_detected=chosen is None, on_progress=self._on_lines)
            result = self._land(frames, preset, stamp, digest)
        if result.status == "failed" and is_imported(self.database, digest):
            logger.info("%a was imported by another process meanwhile.", self.path.name)
            move_to_done(self.path, stamp)
            return None
        if result.unmatched:
            logger.warning("%a lacks headers that its mapping names for %s.", self.path.name, result.unmatched)
        if result.error is not None:
            move_to_failed(self.path, stamp, result.error)
        return result

    def _land(self, frames: RawOrderFrames, preset: Preset, stamp: FileStamp, digest: str) -> ImportResult:
        def claim(connection: sa.Connection, import_id: UUID) -> None:
            claim_content(connection, digest, import_id, self.path, stamp.size)

        return land_raw_orders(self.database, self.path, preset, frames, run_id=self.run_id, claim=claim)

    def _refuse(self, stamp: FileStamp, error: ImportFileError) -> ImportResult | None:
        if stamp_of(self.path) != stamp:
            return None  # changed or gone while it was read
        result = record_failed_import(self.database, self.path, error)
        move_to_failed(self.path, stamp, str(error))
        return result

    def _on_lines(self, lines: int) -> None:
        if self.on_progress is not None:
            self.on_progress(self.path, lines)


class _UnchangedFrames(RawOrderFrames):
    """The raw orders of a file that must be, to the end, the file whose content was hashed."""

    def __init__(
        self,
        file: ImportFile,
        preset: Preset,
        stamp: FileStamp,
        *,
        is_detected: bool,
        on_progress: Callable[[int], None],
    ) -> None:
        super().__init__(file, preset, chunk_rows=CHUNK_ROWS, is_detected=is_detected, on_progress=on_progress)
        self._path = file.path
        self._stamp = stamp

    def __next__(self) -> pl.DataFrame:
        try:
            return super().__next__()
        except StopIteration:
            if stamp_of(self._path) != self._stamp:
                remedy = "It is imported once it is complete"
                raise ImportFileError(self._path, None, "the file changed while it was read", remedy) from None
            raise


def content_hash(path: Path) -> str:
    """The SHA-256 of a file's content, in hex. Raises `ImportFileError` where it can't be read."""
    with open_regular_file(path) as handle:
        digest = hashlib.sha256()
        while block := handle.read(BLOCK_BYTES):
            digest.update(block)
        return digest.hexdigest()


def is_imported(database: Database, digest: str) -> bool:
    """Whether this content was taken in before."""
    with database.transaction() as connection:
        found = connection.execute(sa.select(inbox_files.c.import_id).where(inbox_files.c.content_hash == digest))
        return found.first() is not None


def claim_content(connection: sa.Connection, digest: str, import_id: UUID, path: Path, size: int) -> None:
    """Record, in the transaction of the rows, that this content is imported. Raises `AlreadyImportedError`."""
    name = path.name.encode("utf-8", "replace").decode()
    claimed = connection.execute(
        sa.text(
            "INSERT INTO inbox_files (content_hash, import_id, file_name, byte_count)"
            " VALUES (:digest, :import_id, :name, :size) ON CONFLICT (content_hash) DO NOTHING"
        ),
        {"digest": digest, "import_id": import_id, "name": name, "size": size},
    )
    if not claimed.rowcount:
        msg = f"{path}: another process imported the same content meanwhile. There is nothing to do."
        raise AlreadyImportedError(msg)


def preset_of(file: ImportFile, inbox: Path) -> Preset | None:
    """The mapping that the file's folder prescribes; None where the file's headers say which preset it is of.

    In a sub-folder its mapping holds for all files; in the inbox itself, for those that fit no preset.

    Raises:
        PresetError: the mapping file can't be used.
    """
    mapping = file.path.parent / MAPPING_FILE
    if not mapping.is_file():
        return None
    if file.path.parent == inbox:
        try:
            if detect_preset(file.headers()) is not None:
                return None
        except ImportFileError:
            pass  # only the mapping knows how the file is written, if anybody does
    return load_mapping(mapping)


@contextmanager
def _lock(database: Database) -> Iterator[bool]:
    """Whether this process is the one that takes in files, until the end of the block."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()  # the lock goes with the connection, which does not return to the pool
        is_ours = connection.execute(sa.select(sa.func.pg_try_advisory_lock(INBOX_LOCK_ID))).scalar_one()
        try:
            yield is_ours
        finally:
            # Closing alone frees it only once the server has noticed, which may be after the next one has asked.
            with suppress(SQLAlchemyError):  # a connection that is lost has let go of it
                connection.execute(sa.select(sa.func.pg_advisory_unlock(INBOX_LOCK_ID)))


def _described(error: Exception) -> str:
    if isinstance(error, EtlError):
        return str(error)
    if isinstance(error, OSError):
        return f"it can't be moved ({error.strerror}). Check who may write in the inbox and its folders."
    state = sqlstate_of(error)
    return f"the database refused it (SQLSTATE {state or 'unknown'}): {meaning_of(state)}."
