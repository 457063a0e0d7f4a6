"""Ingestion of the inbox: each ready file is imported once, by the hash of its content, and moved to the archive.

The hazards are two processes at once (an advisory lock, and the key of `inbox_files`), a kill between commit and move
(the hash is known, so the file is only moved), and a file that changes while it is read (its stamp). See docs/inbox.md
and docs/decisions.md, "Content hash in the inbox".
"""

from __future__ import annotations

import hashlib
import logging
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from etl_assets.database.database import sqlstate_of
from etl_assets.database.sqlstates import meaning_of
from etl_assets.errors import DatabaseUnavailableError, EtlError
from etl_assets.inbox.archive import OldErrors, move_to_done, move_to_failed
from etl_assets.inbox.ready_files import (
    MAPPING_FILE,
    find_ready_files,
    find_waiting_files,
    is_ready,
    stamp_of,
)
from etl_assets.inbox.shop_file import with_shop_of_folder
from etl_assets.presets.catalog import load_mapping
from etl_assets.presets.detect import detect_preset
from etl_assets.raw_orders.each_sheet import presets_of_each_sheet
from etl_assets.raw_orders.extract import ReadCounts, extract_raw_orders
from etl_assets.raw_orders.import_order import oldest_first
from etl_assets.raw_orders.importing import require_preset, require_presets
from etl_assets.raw_orders.load import fail_interrupted_imports, land_raw_orders, record_failed_import
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets.raw_orders.readers.regular_file import open_regular_file
from etl_assets.raw_orders.readers.unpack import split_member
from etl_assets.raw_orders.shop_checks import ShopChecks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path
    from uuid import UUID

    import polars as pl

    from etl_assets.database.database import Database
    from etl_assets.inbox.ready_files import FileStamp, WaitingFile
    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.load import ImportResult
    from etl_assets.raw_orders.readers.file_reader import ImportFile

logger = logging.getLogger(__name__)

INBOX_LOCK_ID: Final = 7_305_461_904
"""Key of the advisory lock: one process ingests at a time."""
BLOCK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """Content of a file: its hash, and the stamp of the file when it was hashed."""

    digest: str
    stamp: FileStamp


@dataclass(slots=True)
class InboxOutcome:
    """Outcome of an ingestion of the inbox."""

    imports: list[ImportResult] = field(default_factory=list)
    """Completed imports, and failed ones."""
    refused: list[ImportResult] = field(default_factory=list)
    """The failed imports whose files are in `failed` with the error beside; others stay, as they changed meanwhile."""
    known: list[Path] = field(default_factory=list)
    """Files whose content was imported before: moved, not imported again."""
    problems: dict[Path, str] = field(default_factory=dict)
    """Files that had to stay for reasons that are not theirs, such as a bad mapping."""
    waiting: list[WaitingFile] = field(default_factory=list)
    """Whatever else lies in the inbox afterwards."""


@dataclass(frozen=True, slots=True)
class _Ingestion:
    """Arguments of `ingest_inbox`, and what became of the files so far."""

    database: Database
    reader: FileReader
    inbox: Path
    run_id: str | None
    outcome: InboxOutcome
    old_errors: OldErrors = field(default_factory=OldErrors)


class AlreadyImportedError(EtlError):
    """Error of an import whose content another process has imported meanwhile."""


def ingest_inbox(
    database: Database,
    folder: Path,
    *,
    settle_seconds: float,
    run_id: str | None = None,
    on_progress: Callable[[Path, int], None] | None = None,
) -> InboxOutcome:
    """Import the ready files of the inbox, one after the other, and move each to `done` or `failed` beside it.

    The content of a file is imported once: a file whose content is known is only moved. While another process ingests
    files, nothing is done.

    Args:
        database: the store.
        folder: the inbox.
        settle_seconds: how long a file must not have changed, in seconds.
        run_id: the Dagster run, for the ledger.
        on_progress: called with the file and the number of its lines read so far.

    Raises:
        DatabaseUnavailableError: the server can't be reached; files not imported yet stay.
        InboxError: the inbox can't be read.
    """
    fail_interrupted_imports(database)
    outcome = InboxOutcome()
    with _lock(database) as is_locked, ExitStack() as stack:
        if not is_locked:
            logger.info("Another process is taking in the files of the inbox.")
            return outcome
        settings = database.settings
        reader = stack.enter_context(FileReader(settings.reader_memory_mb, presets_folder=settings.presets_folder))
        ingestion = _Ingestion(database, reader, folder, run_id, outcome)
        for path in _ready_in_order(folder, reader, settle_seconds=settle_seconds):
            reader.start(path)  # it gets ready while the content is hashed
            on_lines = None if on_progress is None else partial(on_progress, path)
            try:
                if is_ready(path, settle_seconds=settle_seconds):
                    _ingest_file(ingestion, path, on_lines)
            except DatabaseUnavailableError:
                raise
            except (EtlError, OSError, SQLAlchemyError) as error:
                outcome.problems[path] = _described(error)
    stay = find_waiting_files(folder, settle_seconds=settle_seconds)
    outcome.waiting = [one for one in stay if one.path not in outcome.problems]
    return outcome


def _ready_in_order(folder: Path, reader: FileReader, *, settle_seconds: float) -> list[Path]:
    """Return the ready files, those with the oldest orders first; those without times by their modification."""
    ready = find_ready_files(folder, settle_seconds=settle_seconds)
    ordered = oldest_first(ready, reader, lambda file: prescribed_mapping(file, folder) or require_preset(file))
    if ordered != ready:
        names = ", ".join(ascii(path.name) for path in ordered)
        logger.info("The files of the inbox are imported in the order of the newest time in each: %s.", names)
    return ordered


def _ingest_file(ingestion: _Ingestion, path: Path, on_progress: Callable[[int], None] | None) -> None:
    """Import a file, or each file of an archive, unless its content is known; move it to `failed` where one failed.

    Adds what became of it to the outcome.
    """
    outcome, stamp = ingestion.outcome, stamp_of(path)
    if stamp is None:
        return
    exports = ingestion.reader.with_exports(path)
    results = [result for one in exports for result in _ingest_export(ingestion, one, stamp, on_progress)]
    outcome.imports += results
    if stamp_of(path) != stamp:
        return  # changed or gone while it was read
    failed = [result for result in results if result.error is not None]
    if not results:
        outcome.known.append(path)
    if failed:
        if move_to_failed(path, stamp, *_failure_text(path, exports, failed)) is not None:
            outcome.refused += failed
    elif move_to_done(path, stamp) is not None:
        ingestion.old_errors.remove(path)


def _ingest_export(
    ingestion: _Ingestion, path: Path, stamp: FileStamp, on_progress: Callable[[int], None] | None
) -> list[ImportResult]:
    """Import a file, or one of an archive, unless its content is known; an error of it is a failed import."""
    database = ingestion.database
    on_disk, member = split_member(path)
    results: list[ImportResult] = []
    try:
        with ingestion.reader.open(path) as file:
            digest = content_hash(path) if member is None else file.digest()
            if is_imported(database, digest):
                logger.info("%a holds what was imported before: it is not imported again.", path.name)
                return []
            for result in _import_content(ingestion, file, Content(digest, stamp), on_progress):
                results.append(result)  # noqa: PERF402  # those before an error count
    except ImportFileError as error:
        if stamp_of(on_disk) == stamp:
            results.append(record_failed_import(database, path, error.worded_for("inbox")))
    return results


def _failure_text(path: Path, exports: Sequence[Path], failed: Sequence[ImportResult]) -> tuple[str, str]:
    """Return the errors of a file or an archive, and the words for the part of it that is imported."""
    said = "\n".join(str(result.error) for result in failed)
    if len(exports) == 1:
        return said, "Nothing of this file was"
    return f"{path}: {len(failed)} of its {len(exports)} files were not imported.\n{said}", "The other files of it are"


def _import_content(
    ingestion: _Ingestion, file: ImportFile, content: Content, on_progress: Callable[[int], None] | None
) -> Iterator[ImportResult]:
    """Import a file, or each sheet of a workbook that a preset takes, until one fails.

    The sheet that the file was detected by comes last, under the hash of the whole content. Hazard: a process that ends
    before would leave a content that counts as imported with sheets that are not.

    Raises:
        ImportFileError: the headers fit no preset, or can't be read.
    """
    named = prescribed_mapping(file, ingestion.inbox)
    presets = require_presets(file) if named is None else presets_of_each_sheet(file, named)
    chosen = [with_shop_of_folder(preset, file, ingestion.inbox, headers) for preset, headers in presets]
    for preset in reversed(chosen):
        name = ":".join((content.digest, preset.name, *(preset.sheets if preset.each_sheet else ())))
        part = content if preset is chosen[0] else replace(content, digest=name)
        if len(chosen) > 1 and _is_part_imported(ingestion.database, part.digest):
            continue
        result = _import_part(ingestion, file, preset, part, on_progress, is_detected=named is None)
        if result is not None:
            yield result
            if result.error is not None:
                return


def _import_part(  # the options of one import
    ingestion: _Ingestion,
    file: ImportFile,
    preset: Preset,
    content: Content,
    on_progress: Callable[[int], None] | None,
    *,
    is_detected: bool,
) -> ImportResult | None:
    """Import what a preset reads of a file; return None where another process imports the same at the same time."""
    path, counts, database = file.path, ReadCounts(), ingestion.database
    frames = extract_raw_orders(file, preset, counts, is_detected=is_detected, on_progress=on_progress)
    result = land_raw_orders(
        database,
        path,
        preset,
        _while_unchanged(frames, split_member(path)[0], content.stamp),
        counts,
        run_id=ingestion.run_id,
        before_rows=lambda connection, import_id: record_content(connection, content, import_id, path),
        shop_checks=ShopChecks(preset),
    )
    if result.status == "failed" and is_imported(database, content.digest):
        logger.info("%a was imported by another process meanwhile.", path.name)
        return None
    for finding in result.findings:
        logger.warning("%a: %s", path.name, finding.message)
    return result


def _while_unchanged(frames: Iterator[pl.DataFrame], path: Path, stamp: FileStamp) -> Generator[pl.DataFrame]:
    """Yield the raw orders of a file; at the end it must still be the file whose content was hashed."""
    try:
        yield from frames
    except ImportFileError as error:
        worded = error.worded_for("inbox")
        raise worded from None
    if stamp_of(path) != stamp:
        remedy = "It is imported once it is complete"
        raise ImportFileError(path, None, "the file changed while it was read", remedy)


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hex. Raises `ImportFileError` where it can't be read."""
    with open_regular_file(path) as handle:
        digest = hashlib.sha256()
        while block := handle.read(BLOCK_BYTES):
            digest.update(block)
        return digest.hexdigest()


def is_imported(database: Database, digest: str) -> bool:
    """Test that this content was imported before, by imports of which none is reverted."""
    with database.transaction() as connection:
        found = connection.execute(
            sa.text(
                "SELECT bool_or(f.content_hash = :digest) AND bool_and(t.status IS DISTINCT FROM 'reverted')"
                " FROM inbox_files f LEFT JOIN import_tasks t USING (import_id)"
                " WHERE f.content_hash = :digest OR f.content_hash BETWEEN :digest || ':' AND :digest || ';'"
            ),
            {"digest": digest},
        )
        return bool(found.scalar_one())


def _is_part_imported(database: Database, digest: str) -> bool:
    """Test the same of one sheet of a workbook."""
    with database.transaction() as connection:
        query = "SELECT FROM inbox_files JOIN import_tasks USING (import_id) WHERE content_hash = :digest"
        found = connection.execute(sa.text(f"{query} AND status <> 'reverted'"), {"digest": digest})
        return found.first() is not None


def record_content(connection: sa.Connection, content: Content, import_id: UUID, path: Path) -> None:
    """Record, in the transaction of the rows, that a content is imported. Raises `AlreadyImportedError`.

    The hazard is two processes that import one content at once: the second waits at the key until the first commits.
    """
    name = path.name.encode("utf-8", "replace").decode()
    recorded = connection.execute(
        sa.text(
            "INSERT INTO inbox_files AS f (content_hash, import_id, file_name, byte_count)"
            " VALUES (:digest, :import_id, :name, :size) ON CONFLICT (content_hash) DO UPDATE"
            " SET import_id = excluded.import_id, file_name = excluded.file_name, imported_at = now() WHERE EXISTS"
            " (SELECT FROM import_tasks t WHERE t.import_id = f.import_id AND t.status = 'reverted')"
        ),
        {"digest": content.digest, "import_id": import_id, "name": name, "size": content.stamp.size},
    )
    if not recorded.rowcount:
        msg = f"{path}: another process imported the same content meanwhile. There is nothing to do."
        raise AlreadyImportedError(msg)


def prescribed_mapping(file: ImportFile, inbox: Path) -> Preset | None:
    """Return the mapping that the file's folder prescribes; None where the preset is to be detected from the headers.

    The mapping of a sub-folder is for all its files; that of the inbox itself is for files that fit no preset.

    Raises:
        PresetError: the mapping file can't be used.
    """
    mapping = file.folder / MAPPING_FILE
    if not mapping.is_file():
        return None
    if file.folder == inbox:
        try:
            if detect_preset(file.headers(), file.presets()) is not None:
                return None
        except ImportFileError:
            pass  # it can be read with the mapping at most
    return load_mapping(mapping)


@contextmanager
def _lock(database: Database) -> Iterator[bool]:
    """Take the advisory lock until the end of the block; yield whether this process has it."""
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.detach()  # the lock belongs to the connection, which must not return to the pool
        is_locked = connection.execute(sa.select(sa.func.pg_try_advisory_lock(INBOX_LOCK_ID))).scalar_one()
        try:
            yield is_locked
        finally:
            # Unlock explicitly: on a plain disconnect the server may release the lock too late.
            with suppress(SQLAlchemyError):  # a lost connection has released it
                connection.execute(sa.select(sa.func.pg_advisory_unlock(INBOX_LOCK_ID)))


def _described(error: Exception) -> str:
    if isinstance(error, EtlError):
        return str(error)
    if isinstance(error, OSError):
        return f"it can't be moved ({error.strerror}). Check who may write in the inbox and its folders."
    state = sqlstate_of(error)
    return f"the database refused it (SQLSTATE {state or 'unknown'}): {meaning_of(state)}."
