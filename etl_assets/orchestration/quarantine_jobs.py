"""Jobs for bad rows: one exports the open quarantine to a file, one runs rows again, corrected or as they are.

Both only read and write the store and two folders; what has to run afterwards is left pending for the sensors.

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
from etl_assets.ledger.status import open_quarantine
from etl_assets.orchestration.failures import reported_errors
from etl_assets.quarantine.corrections import CorrectionResult, build_corrections, import_corrections
from etl_assets.quarantine.requeue import requeue
from etl_assets.quarantine.spreadsheet import export_quarantine, read_corrections
from etl_assets.settings import Settings

SHOWN_ROWS: Final = 20
NEXT: Final = (
    "The rows are pending. The sensors run them within seconds; where these are off, launch the job etl_pipeline or"
    " type `etl-assets run`."
)
_LISTED: Final = ("quarantine_id", "asset", "reason_code", "reason")


class QuarantineJobError(EtlError):
    """The configuration of a correcting job can't be used."""


class FileFormat(Enum):
    """What an export is written as."""

    XLSX = "xlsx"
    CSV = "csv"


class ExportConfig(dg.Config):
    """What is exported, and to which file."""

    file_name: str = Field(
        default="", description="The file's name without a folder; empty: named after the time. It must not exist yet."
    )
    format: FileFormat = Field(
        default=FileFormat.XLSX, description="XLSX keeps cells as texts; CSV holds what a workbook can't."
    )
    asset: str = Field(
        default="",
        description=f"Only rows that this asset rejected: {', '.join(QUARANTINING_ASSETS)}. Empty: all of them.",
    )


class Correction(dg.Config):
    """The new texts of one row of quarantine; what is not named stays as it is, an empty text empties the column."""

    quarantine_id: int = Field(description="The row, as an export or the list of open rows names it.")
    platform: str | None = None
    shop: str | None = None
    order_id: str | None = None
    customer_name: str | None = None
    order_status: str | None = None
    order_type: str | None = None
    amount: str | None = Field(default=None, description='Every new value is a text: in quotes, such as "12.50".')
    currency: str | None = None
    ordered_at: str | None = None
    updated_at: str | None = None
    items: str | None = None
    processes: str | None = None
    remark: str | None = None


class ReplayConfig(dg.Config):
    """What is run again. All three empty: every open row as it is, after a rule or a preset changed."""

    file: str = Field(default="", description="A corrected export: a file in the folder `quarantine` of ETL_HOME.")
    corrections: list[Correction] = Field(
        default=[],
        description='Corrections typed here, such as {quarantine_id: 3, ordered_at: "2026-05-15 17:45"}. Dagster keeps'
        " them in clear with the run: where nobody may read them there, correct a file.",
    )
    quarantine_ids: list[int] = Field(default=[], description="Rows to run again as they are.")


@dg.op(name="export_open_rows")
def _export_open_rows(
    context: dg.OpExecutionContext, config: ExportConfig, database: dg.ResourceParam[Database]
) -> None:
    with reported_errors("export"):
        if config.asset and config.asset not in QUARANTINING_ASSETS:
            msg = (
                f"asset: no row can be in quarantine for {config.asset!r}; use one of {', '.join(QUARANTINING_ASSETS)}."
            )
            raise QuarantineJobError(msg)
        asset = config.asset or None
        path = _new_file(quarantine_folder(database.settings), config.file_name, config.format.value)
        with database.transaction() as connection:
            listed, _ = open_quarantine(connection, asset=asset, limit=SHOWN_ROWS)
        rows = export_quarantine(database, path, asset=asset)
    records = [dg.TableRecord({name: str(row[name]) for name in _LISTED}) for row in listed]
    schema = dg.TableSchema([dg.TableColumn(name, "text") for name in _LISTED])
    context.add_output_metadata(
        {
            "path": dg.MetadataValue.path(str(path)),
            "dagster/row_count": rows,
            "first_rows": dg.MetadataValue.table(records, schema=schema),
            "next": "Change the raw texts, then launch replay_quarantine with this file's name.",
        }
    )


@dg.op(name="replay_rows")
def _replay_rows(context: dg.OpExecutionContext, config: ReplayConfig, database: dg.ResourceParam[Database]) -> None:
    with reported_errors("replay"):
        if sum(map(bool, (config.file, config.corrections, config.quarantine_ids))) > 1:
            msg = "Give one of file, corrections and quarantine_ids, or none to run all open rows as they are."
            raise QuarantineJobError(msg)
        if config.file:
            path = allowed_file(database.settings, config.file)
            rows = read_corrections(path, database.settings.reader_memory_mb)
            corrected = import_corrections(database, rows, path, run_id=context.run_id)
            outcome = _count_corrections(corrected)
        elif config.corrections:
            rows = build_corrections(database, [_given(one) for one in config.corrections])
            source = Path(f"corrections in Dagster run {context.run_id}")
            outcome = _count_corrections(import_corrections(database, rows, source, run_id=context.run_id))
        else:
            found = requeue(database, config.quarantine_ids or None)
            outcome = {
                "queued": len(found.queued),
                "outdated": list(found.outdated),
                "already_resolved": list(found.resolved),
                "unknown": list(found.unknown),
            }
    outcome["next"] = NEXT if outcome["queued"] else "Nothing has to run."
    if outcome["unknown"]:
        msg = f"There are no rows {', '.join(map(str, outcome['unknown']))} in quarantine; the others are pending."
        raise dg.Failure(msg, metadata=outcome)
    context.add_output_metadata(outcome)


@dg.job(name="export_quarantine", description="Write the open quarantine to a file, for correcting in a spreadsheet.")
def export_quarantine_job() -> None:
    """One op that writes the file."""
    _export_open_rows()


@dg.job(
    name="replay_quarantine",
    description="Land a corrected export or corrections typed here, or put rows back on the queue as they are."
    " The assets run afterwards: by the sensors, or by the job etl_pipeline.",
)
def replay_quarantine_job() -> None:
    """One op that lands rows or puts them on the queue."""
    _replay_rows()


QUARANTINE_JOBS: Final = (export_quarantine_job, replay_quarantine_job)


def quarantine_folder(settings: Settings) -> Path:
    """Where exports are written: the folder `quarantine` of ETL_HOME."""
    return settings.home.resolve() / "quarantine"


def allowed_file(settings: Settings, name: str) -> Path:
    """The regular file that was named in the UI, links resolved.

    Args:
        settings: where ETL_HOME is.
        name: a path, absolute or as seen from the folder.

    Raises:
        QuarantineJobError: there is no such file in the folder `quarantine` of ETL_HOME.
    """
    folder = quarantine_folder(settings)
    path = (folder / name).resolve()
    if path.is_relative_to(folder) and path.is_file():
        return path
    msg = f"file: {name!r} is no file inside {folder}. Put the corrected file there and give its name."
    raise QuarantineJobError(msg)


def _new_file(folder: Path, name: str, suffix: str) -> Path:
    name = name or f"quarantine-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    file_name = name if name.lower().endswith(f".{suffix}") else f"{name}.{suffix}"
    if Path(file_name).name != file_name or "\\" in file_name or not file_name.isprintable():
        msg = f"file_name: {name!r} is no plain file name. Leave out folders; the file is written to {folder}."
        raise QuarantineJobError(msg)
    path = folder / file_name
    if path.exists() or path.is_symlink():
        msg = f"{path} exists and may hold corrected rows. Name another file."
        raise QuarantineJobError(msg)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{folder}: the folder can't be made ({error.strerror}). Check ETL_HOME and who may write there."
        raise QuarantineJobError(msg) from None
    return path


def _given(correction: dg.Config) -> dict[str, Any]:
    """What a correction names."""
    return {name: value for name, value in correction.model_dump().items() if value is not None}


def _count_corrections(corrected: CorrectionResult) -> dict[str, Any]:
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
