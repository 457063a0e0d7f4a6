"""Dagster jobs of quarantine: export open rows to a file, replay rows, corrected or as they are, and dismiss rows.

Both only wire configuration to the functions of `etl_assets/quarantine`. They run no asset: replayed rows are left
pending for the sensors. See https://docs.dagster.io/guides/build/jobs and
https://docs.dagster.io/guides/operate/configuration/run-configuration.

No `from __future__ import annotations` here: Dagster reads the annotations of ops when they are defined.
"""

from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final

import dagster as dg
from pydantic import Field

from etl_assets.asset_graph import QUARANTINING_ASSETS
from etl_assets.database.database import Database
from etl_assets.errors import EtlError
from etl_assets.orchestration.failures import ReportedError, reported_errors
from etl_assets.quarantine.corrections import CorrectionResult, build_corrections, import_corrections
from etl_assets.quarantine.dismiss import dismiss, dismiss_chosen
from etl_assets.quarantine.open_rows import list_open_rows
from etl_assets.quarantine.requeue import requeue
from etl_assets.quarantine.row_filter import REASON_CODES, RowFilter, build_filter
from etl_assets.quarantine.spreadsheet import export_quarantine, read_corrections
from etl_assets.settings import Settings

SHOWN_ROWS: Final = 20
NEXT: Final = (
    "The rows are pending. The sensors run them within seconds; where these are off, launch the job etl_pipeline or"
    " run `etl-assets run`."
)
_SHOWN_COLUMNS: Final = ("quarantine_id", "asset", "reason_code", "reason")


class QuarantineJobError(EtlError):
    """Raised for a run configuration that can't be used."""


class FileFormat(Enum):
    """File format of an export."""

    XLSX = "xlsx"
    CSV = "csv"


class FilterConfig(dg.Config):
    """Filter of open rows."""

    import_id: str = Field(default="", description="Only rows of this import; the first digits do. Default: all.")
    reason_code: str = Field(
        default="", description=f"Only rows with this code: {', '.join(REASON_CODES)}. Default: all."
    )
    asset: str = Field(
        default="", description=f"Only rows rejected by this asset: {', '.join(QUARANTINING_ASSETS)}. Default: all."
    )

    def chosen(self, database: Database) -> RowFilter:
        """Return the filter. Raises `RowFilterError` with the possible values."""
        with database.transaction() as connection:
            return build_filter(connection, asset=self.asset, import_id=self.import_id, reason_code=self.reason_code)


class ExportConfig(FilterConfig):
    """Configuration of `export_quarantine`."""

    file_name: str = Field(
        default="", description="File name without a folder; it must not exist yet. Default: named after the time."
    )
    format: FileFormat = Field(
        default=FileFormat.XLSX, description="XLSX keeps cells as text; CSV also holds texts that a workbook can't."
    )


class Correction(dg.Config):
    """New texts of one row of quarantine. Columns not given stay as they are; an empty text empties a column."""

    quarantine_id: int = Field(description="Id of the row, from an export or the list of open rows.")
    platform: str | None = None
    shop: str | None = None
    order_id: str | None = None
    customer_name: str | None = None
    order_status: str | None = None
    order_type: str | None = None
    amount: str | None = Field(default=None, description='Values are texts: write them in quotes, such as "12.50".')
    currency: str | None = None
    ordered_at: str | None = None
    updated_at: str | None = None
    items: str | None = None
    processes: str | None = None
    remark: str | None = None
    platform_order_id: str | None = None
    refunded_amount: str | None = None


class ReplayConfig(FilterConfig):
    """Configuration of `replay_quarantine`. Empty: replays every open row as it is, after a rule or preset changed."""

    file: str = Field(
        default="", description="Corrected export: name of a file in the folder `quarantine` of ETL_HOME."
    )
    corrections: list[Correction] = Field(
        default=[],
        description='Corrections typed here, such as {quarantine_id: 3, ordered_at: "2026-05-15 17:45"}. Dagster stores'
        " them in clear text with the run; for confidential texts, correct a file.",
    )
    quarantine_ids: list[int] = Field(default=[], description="Ids of rows to replay as they are.")


class DismissConfig(FilterConfig):
    """Configuration of `dismiss_quarantine`."""

    reason: str = Field(description="Reason; stored with the rows.")
    quarantine_ids: list[int] = Field(default=[], description="Ids of the rows; or name them by the filter.")


@dg.op(name="export_open_rows")
def _export_open_rows(
    context: dg.OpExecutionContext, config: ExportConfig, database: dg.ResourceParam[Database]
) -> None:
    with reported_errors("export"):
        chosen = config.chosen(database)
        path = _new_file(quarantine_folder(database.settings), config.file_name, config.format.value)
        with database.transaction() as connection:
            listed, _ = list_open_rows(connection, limit=SHOWN_ROWS, chosen=chosen)
        rows = export_quarantine(database, path, chosen)
    records = [dg.TableRecord({name: str(row[name]) for name in _SHOWN_COLUMNS}) for row in listed]
    schema = dg.TableSchema([dg.TableColumn(name, "text") for name in _SHOWN_COLUMNS])
    context.add_output_metadata(
        {
            "path": dg.MetadataValue.path(str(path)),
            "dagster/row_count": rows,
            "first_rows": dg.MetadataValue.table(records, schema=schema),
            "next": "Correct the raw texts, then launch replay_quarantine with this file's name.",
        }
    )


@dg.op(name="replay_rows")
def _replay_rows(context: dg.OpExecutionContext, config: ReplayConfig, database: dg.ResourceParam[Database]) -> None:
    with reported_errors("replay"):
        has_filter = any((config.import_id, config.reason_code, config.asset))
        if sum(map(bool, (config.file, config.corrections, config.quarantine_ids, has_filter))) > 1:
            msg = "Give one of file, corrections, quarantine_ids and a filter, or none to replay all open rows."
            raise QuarantineJobError(msg)
        if config.file:
            path = allowed_file(database.settings, config.file)
            rows = read_corrections(path, database.settings.reader_memory_mb)
            corrected = import_corrections(database, rows, path, run_id=context.run_id)
            outcome = _correction_metadata(corrected)
        elif config.corrections:
            rows = build_corrections(database, [one.model_dump(exclude_none=True) for one in config.corrections])
            source = Path(f"corrections in Dagster run {context.run_id}")
            outcome = _correction_metadata(import_corrections(database, rows, source, run_id=context.run_id))
        else:
            found = requeue(database, config.quarantine_ids or None, config.chosen(database))
            outcome = {
                "queued": len(found.queued),
                "outdated": list(found.outdated),
                "already_resolved": list(found.resolved),
                "unknown": list(found.unknown),
            }
    outcome["next"] = NEXT if outcome["queued"] else "No row is pending."
    if outcome["unknown"]:
        msg = f"No rows of quarantine have the ids {', '.join(map(str, outcome['unknown']))}; the others are pending."
        raise ReportedError(msg, metadata=outcome)
    context.add_output_metadata(outcome)


@dg.op(name="dismiss_rows")
def _dismiss_rows(context: dg.OpExecutionContext, config: DismissConfig, database: dg.ResourceParam[Database]) -> None:
    with reported_errors("dismissal"):
        reason = config.reason.strip()
        if not reason:
            msg = "reason is empty: say why these rows are dismissed."
            raise QuarantineJobError(msg)
        if bool(config.quarantine_ids) == any((config.import_id, config.reason_code, config.asset)):
            msg = "Name the rows: by quarantine_ids, or by import_id, reason_code and asset."
            raise QuarantineJobError(msg)
        if config.quarantine_ids:
            done = dismiss(database, config.quarantine_ids, reason)
            outcome: dict[str, Any] = {
                "dismissed_rows": len(done.dismissed),
                "already_resolved": list(done.resolved),
                "unknown": list(done.unknown),
            }
        else:
            outcome = {"dismissed_rows": dismiss_chosen(database, config.chosen(database), reason)}
    if outcome.get("unknown"):
        msg = f"No rows of quarantine have the ids {', '.join(map(str, done.unknown))}; the others are dismissed."
        raise ReportedError(msg, metadata=outcome)
    context.add_output_metadata(outcome)


@dg.job(
    name="export_quarantine",
    description="Exports the open rows of quarantine to a file, for correction in a spreadsheet.",
)
def export_quarantine_job() -> None:
    """Run the op that writes the file."""
    _export_open_rows()


@dg.job(
    name="replay_quarantine",
    description="Lands a corrected export or corrections typed here, or puts rows back on the queue as they are."
    " The assets run afterwards: by the sensors, or by the job etl_pipeline.",
)
def replay_quarantine_job() -> None:
    """Run the op that lands rows or puts them on the queue."""
    _replay_rows()


@dg.job(
    name="dismiss_quarantine",
    description="Closes rows of quarantine that need no correction, such as test orders. They are not replayed.",
)
def dismiss_quarantine_job() -> None:
    """Run the op that closes rows."""
    _dismiss_rows()


QUARANTINE_JOBS: Final = (export_quarantine_job, replay_quarantine_job, dismiss_quarantine_job)


def quarantine_folder(settings: Settings) -> Path:
    """Return the folder of exports: `quarantine` of ETL_HOME."""
    return settings.home.resolve() / "quarantine"


def allowed_file(settings: Settings, name: str) -> Path:
    """Return the regular file that the run configuration names, links resolved.

    Args:
        settings: for ETL_HOME.
        name: a path, absolute or relative to the folder.

    Raises:
        QuarantineJobError: there is no such file in the folder `quarantine` of ETL_HOME.
    """
    folder = quarantine_folder(settings)
    path = (folder / name).resolve()
    if path.is_relative_to(folder) and path.is_file():
        return path
    msg = f"file: {name!r} is not a file inside {folder}. Put the corrected file there and give its name."
    raise QuarantineJobError(msg)


def _new_file(folder: Path, name: str, suffix: str) -> Path:
    """Return the path of a file that does not exist yet; creates the folder."""
    name = name or f"quarantine-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    file_name = name if name.lower().endswith(f".{suffix}") else f"{name}.{suffix}"
    if Path(file_name).name != file_name or "\\" in file_name or not file_name.isprintable():
        msg = f"file_name: {name!r} is not a plain file name. Leave out folders; the file is written to {folder}."
        raise QuarantineJobError(msg)
    path = folder / file_name
    if path.exists() or path.is_symlink():
        msg = f"{path} exists and may hold corrected rows. Name another file."
        raise QuarantineJobError(msg)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: the folder can't be created ({error.strerror}). Check ETL_HOME and its permissions."
        raise QuarantineJobError(msg) from None
    return path


def _correction_metadata(corrected: CorrectionResult) -> dict[str, Any]:
    """Return the result as metadata. Raises `QuarantineJobError` where an import failed."""
    failed = [result.error for result in corrected.imports if result.error is not None]
    if failed:
        raise QuarantineJobError(" ".join(failed))
    return {
        "queued": len(corrected.raw_ids),
        "import_ids": [str(result.import_id) for result in corrected.imports],
        "unchanged": list(corrected.unchanged),
        "already_resolved": list(corrected.resolved),
        "unknown": list(corrected.unknown),
    }
