"""Corrections of quarantined rows: lands them as new raw orders that replace the old ones.

Importing is idempotent: a correction that was landed before is recognised and reported as unchanged. Files of
corrections are read in `spreadsheet`; corrections typed in the UI come as records (`build_corrections`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.database.frames import copy_to_temp_table, fetch_frame
from etl_assets.errors import EtlError
from etl_assets.frame_schemas import CONFLICTING_ORDER
from etl_assets.ledger.range_sql import LIVE
from etl_assets.presets.model import RAW_COLUMNS, Preset
from etl_assets.quarantine.open_rows import split_not_open
from etl_assets.quarantine.requeue import REPLAY_LOCK_ID
from etl_assets.quarantine.spreadsheet import RAW_TEXTS
from etl_assets.raw_orders.extract import ReadCounts
from etl_assets.raw_orders.load import ImportResult, land_raw_orders
from etl_assets.raw_orders.readers.columns import BAD_TEXT, HALF_CHARACTER, NUL_SYMBOL
from etl_assets.raw_orders.transform import blank_to_null
from etl_assets.user_actions import record_user_action

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from uuid import UUID

    from etl_assets.database.database import Database
    from etl_assets.presets.model import RawColumn

ACTION: Final = "quarantine correct"
_SYMBOLS: Final = f"[{NUL_SYMBOL}{HALF_CHARACTER}]"
"""Placeholders in texts that could not be stored as they were."""
_ORIGINAL_SCHEMA: Final = {
    "quarantine_id": pl.Int64(),
    "raw_id": pl.Int64(),
    "mapping": pl.String(),
    "corrected_before": pl.Int64(),
    "extra": pl.String(),
    "defect": pl.String(),
    **RAW_TEXTS,
}
_LIVE_CORRECTIONS: Final = f"raw_orders r JOIN import_tasks t USING (import_id) WHERE {LIVE}"
_ORIGINALS: Final = (
    "SELECT q.quarantine_id, q.raw_id, t.mapping,"  # noqa: S608  # constants
    f" (SELECT count(*) FROM {_LIVE_CORRECTIONS} AND r.replaces_raw_id = q.raw_id),"
    f" r.extra, r.defect, {', '.join('r.' + name for name in RAW_COLUMNS)}"
    " FROM (SELECT DISTINCT quarantine_id FROM corrected_ids) f JOIN quarantine q USING (quarantine_id)"
    " JOIN raw_orders r USING (raw_id) JOIN import_tasks t ON t.import_id = r.import_id"
    " WHERE q.resolved_at IS NULL"
)
_EARLIER_CORRECTIONS: Final = (
    f"SELECT DISTINCT ON (r.replaces_raw_id) r.replaces_raw_id, {', '.join('r.' + name for name in RAW_COLUMNS)}"  # noqa: S608  # constants
    " FROM corrected_ids f JOIN quarantine q USING (quarantine_id) JOIN raw_orders r ON r.replaces_raw_id = q.raw_id"
    f" JOIN import_tasks t ON t.import_id = r.import_id WHERE {LIVE}"
    " ORDER BY r.replaces_raw_id, r.raw_id DESC"
)


class CorrectionError(EtlError):
    """Raised for corrections that contradict each other, or whose rows another run has resolved or corrected."""


@dataclass(frozen=True, slots=True)
class CorrectionResult:
    """Outcome of an import of corrections; rows as quarantine ids unless said otherwise."""

    imports: tuple[ImportResult, ...]
    """One per mapping with which the quarantined rows had been read."""
    raw_ids: tuple[int, ...]
    """Raw rows that were replaced."""
    landed: tuple[int, ...]
    unchanged: tuple[int, ...]
    """Not changed in the file, or landed before with the same change."""
    resolved: tuple[int, ...]
    """Resolved before."""
    unknown: tuple[int, ...]
    """Ids without a row."""


def import_corrections(
    database: Database,
    file: pl.DataFrame,
    source: Path | str,
    *,
    run_id: str | None = None,
    user_name: str | None = None,
) -> CorrectionResult:
    """Land the changed rows of an export of quarantine; run the assets afterwards.

    Each changed row becomes a raw order that replaces the quarantined one, read with the preset of its import. Its row
    of `orders` in quarantine is resolved in the same transaction: from then on the corrected row stands for it.

    Args:
        database: the store.
        file: the corrected rows, as `read_corrections` and `build_corrections` return them.
        source: their origin; the imports are named after it.
        run_id: the Dagster run, for the ledger.
        user_name: for the record of user actions; without it, the user of this process.

    Raises:
        CorrectionError: two rows of the file correct one raw order in different ways.
    """
    with database.transaction() as connection:
        originals = _read_originals(connection, file)
        earlier = fetch_frame(connection, _EARLIER_CORRECTIONS, {"raw_id": pl.Int64(), **RAW_TEXTS})
        not_open = split_not_open(connection, set(file["quarantine_id"]) - set(originals["quarantine_id"]))
    changed = changed_rows(file, originals, earlier)
    by_mapping = changed.sort("mapping", "raw_id").partition_by("mapping")
    landed = {number for ids in changed["quarantine_ids"] for number in ids}
    return CorrectionResult(
        imports=tuple(_land_corrections(database, source, rows, run_id, user_name) for rows in by_mapping),
        raw_ids=tuple(changed["raw_id"]),
        landed=tuple(sorted(landed)),
        unchanged=tuple(sorted(set(originals["quarantine_id"]) - landed)),
        resolved=not_open.resolved,
        unknown=not_open.unknown,
    )


def build_corrections(database: Database, corrections: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """Build the frame that `read_corrections` would return for a file with the same changes.

    Args:
        database: the store.
        corrections: for each row its `quarantine_id` and the new texts of some of `RAW_COLUMNS`; a blank one empties
            the column, and columns that are not named stay as they are.

    Raises:
        CorrectionError: a correction names no row or changes nothing.
    """
    for number, correction in enumerate(corrections, start=1):
        if "quarantine_id" not in correction or not set(correction) & set(RAW_COLUMNS):
            msg = f"Correction {number}: give a quarantine_id and at least one of {', '.join(RAW_COLUMNS)}."
            raise CorrectionError(msg)
    columns = [column for column in RAW_COLUMNS if any(column in one for one in corrections)]
    texts: dict[str, list[Any]] = {column: [one.get(column) for one in corrections] for column in columns}
    flags: dict[str, list[Any]] = {f"{column}_is_given": [column in one for one in corrections] for column in columns}
    given = pl.DataFrame(
        {"quarantine_id": [one["quarantine_id"] for one in corrections], **texts, **flags},
        schema_overrides={"quarantine_id": pl.Int64(), **dict.fromkeys(columns, pl.String())},
    ).with_row_index("row_no", offset=1)
    with database.transaction() as connection:
        originals = _read_originals(connection, given)
    both = given.join(originals, on="quarantine_id", how="left", suffix="_original", maintain_order="left")
    return both.select(
        "quarantine_id",
        pl.col("row_no").cast(pl.Int32),
        *(
            pl.when(f"{column}_is_given")
            .then(blank_to_null(pl.col(column)))
            .otherwise(f"{column}_original")
            .alias(column)
            for column in columns
        ),
    )


def _read_originals(connection: sa.Connection, corrections: pl.DataFrame) -> pl.DataFrame:
    """Read the open rows that corrections name, with their raw texts; leaves their ids in `corrected_ids`."""
    copy_to_temp_table(connection, "quarantine", corrections.select("quarantine_id"), name="corrected_ids")
    return fetch_frame(connection, _ORIGINALS, _ORIGINAL_SCHEMA)


def changed_rows(file: pl.DataFrame, originals: pl.DataFrame, earlier: pl.DataFrame) -> pl.DataFrame:
    """Return the raw orders that the file changes, as they are to be landed.

    Args:
        file: as `read_corrections` returns it.
        originals: the open rows of quarantine that the file names, with their raw texts (`_ORIGINAL_SCHEMA`).
        earlier: `raw_id` of corrected rows, with the texts of the last correction that was landed.

    Returns:
        A row per raw order: `raw_id`, `mapping`, `corrected_before`, `quarantine_ids`, `row_no`, `RAW_COLUMNS`,
        `extra`, `defect`. Several rows of the file may name one raw order, each changing other columns.

    Raises:
        CorrectionError: two rows change the same column of a raw order differently.
    """
    columns = [column for column in RAW_COLUMNS if column in file.columns]
    # Before the join, and in one chunk: Polars would copy a text for each row of the file that corrects it.
    normalized = [_normalize_line_ends(name).alias(f"{name}_compared") for name in columns]
    stored, given = (frame.with_columns(normalized).rechunk() for frame in (originals, file))
    both = stored.join(given, on="quarantine_id", suffix="_corrected").sort("raw_id", "row_no")
    differs = {name: pl.col(f"{name}_compared_corrected").ne_missing(pl.col(f"{name}_compared")) for name in columns}
    _require_agreement(both, differs)
    merged = both.group_by("raw_id", maintain_order=True).agg(
        pl.col("mapping", "corrected_before", "extra", "defect", "row_no").first(),
        pl.col("quarantine_id").unique().sort().alias("quarantine_ids"),
        pl.any_horizontal(differs[name].any() for name in columns).alias("is_changed"),
        pl.col("order_id").first().alias("number"),
        *(
            pl.when(differs[name].any())
            .then(pl.col(f"{name}_corrected").filter(differs[name]).first())
            .otherwise(pl.col(name).first())
            .alias(name)
            if name in columns
            else pl.col(name).first()
            for name in RAW_COLUMNS
        ),
    )
    has_symbol = pl.any_horizontal(pl.col(RAW_COLUMNS).str.contains(_SYMBOLS).fill_null(value=False))
    is_bad_text = pl.col("defect").str.contains(BAD_TEXT, literal=True)
    is_unread_line = pl.all_horizontal(pl.col(RAW_COLUMNS).is_null())
    is_told_apart = pl.col("is_changed").any().over("number")  # the correction of one order may free the others
    is_corrected = (
        pl.col("is_changed")
        | (is_bad_text & ~has_symbol & ~is_unread_line)
        | (pl.col("defect").str.contains(CONFLICTING_ORDER, literal=True) & ~is_bad_text & is_told_apart)
    )
    return (
        merged.filter(is_corrected)
        .join(earlier, on=["raw_id", *RAW_COLUMNS], how="anti", nulls_equal=True)
        .with_columns(defect=pl.when(has_symbol & is_bad_text).then(pl.lit(BAD_TEXT)))
        .drop("is_changed", "number")
    )


def _require_agreement(both: pl.DataFrame, differs: Mapping[RawColumn, pl.Expr]) -> None:
    """Raise `CorrectionError` where two rows change the same column of a raw order differently."""
    disagrees = (pl.col(f"{name}_corrected").filter(is_changed).n_unique() > 1 for name, is_changed in differs.items())
    contradictions = (
        both.group_by("raw_id").agg(pl.col("quarantine_id").min(), is_bad=pl.any_horizontal(disagrees)).filter("is_bad")
    )
    if contradictions.height:
        first: int = contradictions["quarantine_id"].sort()[0]
        msg = f"Two rows of the file change a column of one order differently (quarantine_id {first}): make them agree."
        raise CorrectionError(msg)


def _land_corrections(
    database: Database, source: Path | str, rows: pl.DataFrame, run_id: str | None, user_name: str | None
) -> ImportResult:
    """Land the corrected rows of one mapping as an import."""
    ids = rows["quarantine_ids"].explode().to_list()
    raw_ids = rows["raw_id"].to_list()
    corrected_before = int(rows["corrected_before"].sum())
    frame = rows.select("row_no", *RAW_COLUMNS, "extra", "defect", replaces_raw_id="raw_id")

    def resolve(connection: sa.Connection, import_id: UUID) -> None:
        _resolve_replaced(connection, ids, raw_ids, corrected_before)
        record_user_action(connection, ACTION, str(import_id), {}, {"rows": len(raw_ids)}, user_name=user_name)

    return land_raw_orders(
        database,
        source,
        Preset.model_validate_json(rows["mapping"][0]),
        [frame],
        ReadCounts(lines=frame.height),
        run_id=run_id,
        before_rows=resolve,
        user_name=user_name,
    )


def _resolve_replaced(
    connection: sa.Connection, ids: Sequence[int], raw_ids: Sequence[int], corrected_before: int
) -> None:
    """Resolve the rows of `orders` that corrections replace, within the transaction that lands these.

    Hazard: the corrections were compared with quarantine in an earlier transaction. Under the lock of replays, nothing
    may have been resolved or corrected since; else an order would be landed twice.
    """
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(REPLAY_LOCK_ID)))
    still_open, corrected_now = connection.execute(
        sa.text(
            "SELECT (SELECT count(*) FROM quarantine"  # noqa: S608  # constants
            " WHERE quarantine_id = ANY (CAST(:ids AS bigint[])) AND resolved_at IS NULL),"
            f" (SELECT count(*) FROM {_LIVE_CORRECTIONS} AND r.replaces_raw_id = ANY (CAST(:raw_ids AS bigint[])))"
        ),
        {"ids": list(ids), "raw_ids": list(raw_ids)},
    ).one()
    if still_open != len(ids) or corrected_now != corrected_before:
        msg = "Some of these rows were resolved or corrected by another run meanwhile; replay the file again."
        raise CorrectionError(msg)
    connection.execute(
        sa.text(
            "UPDATE quarantine SET resolved_at = now(), resolution = 'replayed' WHERE asset = 'orders'"
            " AND raw_id = ANY (CAST(:raw_ids AS bigint[])) AND resolved_at IS NULL"
        ),
        {"raw_ids": list(raw_ids)},
    )


def _normalize_line_ends(column: str) -> pl.Expr:
    """Return a text with LF for all line ends: spreadsheet programs change them on their own."""
    return pl.col(column).str.replace_all("\r\n", "\n", literal=True).str.replace_all("\r", "\n", literal=True)
