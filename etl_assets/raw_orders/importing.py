"""Import of one file: chooses its preset, reads it and lands it. The entry for commands that have a path.

The inbox has an entry of its own (`inbox.ingest`), which imports each content once.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from etl_assets.errors import EtlError
from etl_assets.presets.detect import detect_preset, nearest_presets, presets_of_sheets
from etl_assets.raw_orders.each_sheet import presets_of_each_sheet
from etl_assets.raw_orders.extract import ReadCounts, describe_headers, extract_raw_orders
from etl_assets.raw_orders.load import land_raw_orders, record_failed_import
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets.raw_orders.remedies import REPLAY_THE_FILE, describe_format
from etl_assets.raw_orders.shop_checks import ShopChecks
from etl_assets.user_actions import record_user_action

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path
    from uuid import UUID

    import polars as pl
    import sqlalchemy as sa

    from etl_assets.database.database import Database
    from etl_assets.presets.detect import NearPreset
    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.load import ImportResult
    from etl_assets.raw_orders.readers.file_reader import ImportFile
    from etl_assets.values.date_order import DateOrder


ACTION: Final = "import"
"""Action of users who import a file by command or page, as it is recorded."""


@dataclass(frozen=True, slots=True)
class Overrides:
    """Values of one import that replace those of the file and of its preset."""

    platform: str | None = None
    shop: str | None = None
    timezone: str | None = None
    currency: str | None = None
    """Currency of orders that name none."""
    date_order: DateOrder | None = None
    """Order of day and month, where the formats of times read both."""


NO_OVERRIDES: Final = Overrides()


class NoPresetError(ImportFileError):
    """Error of a file whose headers fit no preset; `near` are those that come nearest."""

    def __init__(self, path: Path, problem: str, remedy: str, near: Sequence[NearPreset]) -> None:
        """Build the text as for `ImportFileError`."""
        super().__init__(path, None, problem, remedy)
        self.near = tuple(near)


def import_file(  # noqa: PLR0913  # the options of one import
    database: Database,
    path: Path,
    preset: Preset | None,
    *,
    reader: FileReader | None = None,
    overrides: Overrides = NO_OVERRIDES,
    run_id: str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> ImportResult:
    """Land one file, of a workbook one sheet. An error of the file is a failed import without rows, not an exception.

    Args:
        database: the store.
        path: the file.
        preset: its format; without one it is detected from the headers. Headers that a given one names and that the
            file lacks are in the result's `unmatched`.
        reader: reads it; where several files are imported, one reader for all of them.
        overrides: replace values of the preset for this import.
        run_id: the Dagster run, for the ledger.
        on_progress: called with the number of lines read so far.
    """
    with _opened(database, path, reader) as file:
        try:
            found, _ = presets_of_each_sheet(file, preset or require_preset(file))[0]
        except EtlError as error:
            return record_failed_import(database, path, error)
        return _land(
            database, file, found, overrides, is_detected=preset is None, run_id=run_id, on_progress=on_progress
        )


def import_sheets(  # noqa: PLR0913  # the options of one import
    database: Database,
    path: Path,
    preset: Preset | None,
    *,
    reader: FileReader,
    overrides: Overrides = NO_OVERRIDES,
    on_progress: Callable[[int], None] | None = None,
    user_name: str | None = None,
) -> list[ImportResult]:
    """Land one file; of a workbook all sheets that its presets read, each as an import.

    Those are one sheet, or each that has the headers (`each_sheet`); where presets are detected, also those that
    further presets name.

    An error is a failed import without rows, not an exception. Arguments as for `import_file`; `user_name` is who
    imports them, by command or page.
    """
    with reader.open(path) as file:
        try:
            found = require_presets(file) if preset is None else presets_of_each_sheet(file, preset)
        except EtlError as error:
            return [record_failed_import(database, path, error, user_name=user_name)]
        land = partial(_land, database, file, is_detected=preset is None, on_progress=on_progress, user_name=user_name)
        return [land(one, overrides) for one, _ in found]


@contextmanager
def _opened(database: Database, path: Path, reader: FileReader | None) -> Iterator[ImportFile]:
    settings = database.settings
    own = FileReader(settings.reader_memory_mb, presets_folder=settings.presets_folder)
    with own if reader is None else nullcontext(reader) as files, files.open(path) as file:
        yield file


def _land(  # noqa: PLR0913  # the options of one import
    database: Database,
    file: ImportFile,
    preset: Preset,
    overrides: Overrides,
    *,
    is_detected: bool,
    on_progress: Callable[[int], None] | None,
    run_id: str | None = None,
    user_name: str | None = None,
) -> ImportResult:
    chosen, counts, frames, checks = begin_extraction(
        file, preset, overrides, is_detected=is_detected, on_progress=on_progress
    )

    def record(connection: sa.Connection, import_id: UUID) -> None:
        if user_name is not None:
            target = f"{import_id} {file.path}"
            record_user_action(connection, ACTION, target, {}, {"preset": chosen.name}, user_name=user_name)

    return land_raw_orders(
        database,
        file.path,
        chosen,
        frames,
        counts,
        run_id=run_id,
        before_rows=record,
        shop_checks=checks,
        user_name=user_name,
    )


def require_presets(file: ImportFile) -> list[tuple[Preset, Sequence[str] | None]]:
    """Detect the presets of a file, each with the headers that it reads: one, or one for each sheet of a workbook.

    Where no headers stand beside it, they are those that the file was detected by.

    Raises `NoPresetError` where none fits.
    """
    first = require_preset(file)
    further = presets_of_sheets(file.sheets(), file.presets(), first)
    return [*presets_of_each_sheet(file, first), *further]


class Extraction(NamedTuple):
    """Raw orders of a file that are about to be read."""

    preset: Preset
    """The preset that the import is stored with."""
    counts: ReadCounts
    frames: Generator[pl.DataFrame]
    shop_checks: ShopChecks


def begin_extraction(
    file: ImportFile,
    preset: Preset,
    overrides: Overrides,
    *,
    is_detected: bool,
    on_progress: Callable[[int], None] | None,
) -> Extraction:
    """Begin to read an open file with a preset. The other arguments are those of `import_file`."""
    chosen = preset.with_overrides(**asdict(overrides))
    counts = ReadCounts()
    frames = extract_raw_orders(file, chosen, counts, is_detected=is_detected, on_progress=on_progress)
    return Extraction(chosen, counts, frames, ShopChecks(chosen, overrides.timezone))


def require_preset(file: ImportFile) -> Preset:
    """Detect the preset of a file from its headers. Raises `NoPresetError` where none fits."""
    path, headers = file.path, file.headers()
    if "quarantine_id" in headers:  # it has the columns of the generic preset too
        problem = "it is an export of quarantine, whose rows are not new orders"
        raise ImportFileError(path, None, problem, REPLAY_THE_FILE)
    presets = file.presets()
    preset = detect_preset(headers, presets)
    if preset is None:
        near = nearest_presets(headers, presets)
        nearest = f"; nearest is {' or '.join(map(str, near))}" if near else ""
        remedy = describe_format(preset.name for preset in presets)
        seen = describe_headers(headers, file.header_line())
        raise NoPresetError(path, f"its headers fit none of the presets{nearest}; {seen}", remedy, near)
    return preset
