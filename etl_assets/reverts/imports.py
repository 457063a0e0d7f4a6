"""Imports that users revert, restore or accept: which rows count is changed at once, the tables follow in the next run.

A revert marks the import, closes its quarantine, and puts its rows on the queue of `orders`, which decides their orders
anew from all other versions (`orders.redecide`). A restore marks it as it was, and puts its rows on the queue of
`shop`; so does the acceptance of an import that the brake holds (`reverts.held`). Raw rows stay as history. Why this
way: docs/decisions.md, "Reverted imports" and "Held imports".
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl
import sqlalchemy as sa

from etl_assets.asset_graph import STEP_ASSETS
from etl_assets.database.frames import copy_to_temp_table, fetch_frame
from etl_assets.errors import EtlError
from etl_assets.ledger import queue
from etl_assets.ledger.batches import outdate_batches
from etl_assets.ledger.queue import RawIdRange
from etl_assets.ledger.range_sql import BATCHES_OF_IMPORT
from etl_assets.quarantine.requeue import REPLAY_LOCK_ID
from etl_assets.shop.first_rows import reset_shops
from etl_assets.shop.unnamed import note_doubtful_shops
from etl_assets.user_actions import record_user_action

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database

Status = Literal["reverted", "completed", "held"]


@dataclass(frozen=True, slots=True)
class Action:
    """Change of the status of imports."""

    name: str
    status: Status
    """Status that an import gets."""
    from_statuses: tuple[Status, ...]
    """Those that it may have before."""


REVERT: Final = Action("imports revert", "reverted", ("completed", "held"))
RESTORE: Final = Action("imports restore", "completed", ("reverted",))
ACCEPT: Final = Action("imports accept", "completed", ("held",))
_ENTRY: Final[dict[str, AssetName]] = {"reverted": "orders", "held": "orders", "completed": "shop"}
"""Status that an import gets, and the asset on whose queue its rows are put: a restored one may name new shops."""


@dataclass(frozen=True, slots=True)
class ByUser:
    """User who changes imports, and the reason, for the record of user actions."""

    user_name: str | None = None
    """None: the user of this process."""
    reason: str | None = None


BY_USER_OF_PROCESS: Final = ByUser()


class RevertError(EtlError):
    """Raised for an import that has no rows to revert, restore or accept."""


@dataclass(frozen=True, slots=True)
class ImportChange:
    """Outcome of the revert, restore or acceptance of one import."""

    import_id: UUID
    source: str
    status: str
    rows: int
    orders: int
    """Stored orders that come from its rows, or have their lines from them."""
    corrections: int
    """Corrected rows of other imports that are reverted or restored with it."""
    is_changed: bool
    """False where it had that status before: nothing was to be done."""

    def as_dict(self) -> dict[str, Any]:
        """Return the change as the commands print it."""
        return {**asdict(self), "import_id": str(self.import_id)}


def revert_imports(
    database: Database, import_ids: Sequence[UUID], by: ByUser = BY_USER_OF_PROCESS
) -> list[ImportChange]:
    """Take imports back; run the assets afterwards.

    Raises:
        RevertError: one of them failed or is still being read; none is reverted.
    """
    return _change(database, import_ids, REVERT, by)


def restore_imports(
    database: Database, import_ids: Sequence[UUID], by: ByUser = BY_USER_OF_PROCESS
) -> list[ImportChange]:
    """Bring reverted imports back; run the assets afterwards. One that was held is held again.

    Raises as `revert_imports` does.
    """
    return _change(database, import_ids, RESTORE, by)


def accept_imports(
    database: Database, import_ids: Sequence[UUID], by: ByUser = BY_USER_OF_PROCESS
) -> list[ImportChange]:
    """Let held imports through, whatever they remove; run the assets afterwards. Raises as `revert_imports` does."""
    return _change(database, import_ids, ACCEPT, by)


def _change(database: Database, import_ids: Sequence[UUID], action: Action, by: ByUser) -> list[ImportChange]:
    """Give imports a status, and put what follows from it on the queue, in one transaction.

    Hazards. A batch may have been read before and not be committed: the epochs of all assets move on, so that it is
    read again, or has committed before anything is changed here. Corrections and replays of these rows wait
    (`REPLAY_LOCK_ID`).
    """
    if not import_ids:
        msg = "No import is named: `imports list` shows their ids."
        raise RevertError(msg)
    with database.transaction() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(REPLAY_LOCK_ID)))
        imports = [LandedImport.read(connection, one) for one in sorted(set(import_ids))]
        statuses = {one.import_id: _status_after(one, action) for one in imports}
        changed = [one for one in imports if one.status != statuses[one.import_id]]
        if any(_changes_what_counts(one, statuses[one.import_id]) for one in changed):
            outdate_all_batches(connection)
        corrections = {
            one.import_id: _change_import(connection, one, action, statuses[one.import_id], by) for one in changed
        }
        return [
            ImportChange(
                import_id=one.import_id,
                source=one.source,
                status=statuses[one.import_id],
                rows=one.rows,
                orders=_count_orders(connection, one),
                corrections=corrections.get(one.import_id, 0),
                is_changed=one in changed,
            )
            for one in imports
        ]


def outdate_all_batches(connection: sa.Connection) -> None:
    """Outdate the batches of all assets; in this order, as a batch of `leads` may lock `customers`."""
    for asset in reversed(STEP_ASSETS):
        outdate_batches(connection, asset)


@dataclass(frozen=True, slots=True)
class LandedImport:
    """Import as it is before the change."""

    import_id: UUID
    source: str
    status: str
    rows: int
    range: RawIdRange | None
    """None where it has no rows."""
    was_held: bool = False
    """True from the moment that the brake held it until users accept it, also while it is reverted."""

    @classmethod
    def read(cls, connection: sa.Connection, import_id: UUID) -> LandedImport:
        """Read an import and lock it. Raises `RevertError` where there is none."""
        found = connection.execute(sa.text(_IMPORT), {"import_id": import_id}).one_or_none()
        if found is None:
            msg = f"No import has the id {import_id}."
            raise RevertError(msg)
        low, high = found.first_raw_id, found.last_raw_id
        if found.row_count and (low is None or high is None):  # landed by a version that did not store them
            low, high = connection.execute(sa.text(_BOUNDS), {"import_id": import_id}).one()
        place = RawIdRange(found.batch_id, low, high) if found.row_count else None
        return cls(import_id, found.source, found.status, found.row_count or 0, place, found.was_held)


def _status_after(one: LandedImport, action: Action) -> Status:
    """Return the status that an action gives an import: a restored one that was held is held again."""
    if one.status == "held" and action is RESTORE:
        msg = f"The import {one.import_id} is held and not reverted: accept it (`imports accept`), or revert it."
        raise RevertError(msg)
    if one.status not in (action.status, *action.from_statuses):
        msg = (
            f"The import {one.import_id} is not held: its status is {one.status}."
            if action is ACCEPT
            else f"Only imports that landed rows can be reverted and restored; {one.import_id} did not."
        )
        raise RevertError(msg)
    return "held" if action is RESTORE and one.status == "reverted" and one.was_held else action.status


def _changes_what_counts(one: LandedImport, status: Status) -> bool:
    """Decide whether the rows of an import count only before, or only after the change."""
    return "completed" in {one.status, status}


def _change_import(connection: sa.Connection, one: LandedImport, action: Action, status: Status, by: ByUser) -> int:
    """Change one import; return how many corrections of its rows are reverted or restored with it."""
    connection.execute(
        sa.text(
            "UPDATE import_tasks SET status = :status, is_redecided = true,"
            " held = CASE WHEN :status <> 'completed' THEN held END WHERE import_id = :import_id"
        ),
        {"status": status, "import_id": one.import_id},
    )
    after = {"status": status} | ({"reason": by.reason} if by.reason else {})
    record_user_action(
        connection, action.name, str(one.import_id), {"status": one.status}, after, user_name=by.user_name
    )
    if one.range is None or not _changes_what_counts(one, status):
        return 0
    leave_queue(connection, one.range)
    return redecide_rows(connection, one, one.range, status, run_id=None)


def leave_queue(connection: sa.Connection, place: RawIdRange) -> None:
    """Take all rows of an import off the queues of the assets that read rows of imports."""
    for asset in ("shop", "orders"):
        connection.execute(
            sa.text("DELETE FROM etl_work WHERE asset = :asset AND batch_id = :batch_id"),
            {"asset": asset, "batch_id": place.batch_id},
        )


def redecide_rows(
    connection: sa.Connection, one: LandedImport, place: RawIdRange, status: Status, *, run_id: str | None
) -> int:
    """Have everything decided anew that the rows of an import with a new status concern.

    Returns:
        The corrections of its rows that changed with it.
    """
    corrections = _change_corrections(connection, one, place, status)
    entry = _ENTRY[status]
    queue.enqueue(connection, [entry], [place])
    rows = corrections.select("batch_id", "raw_id", high="raw_id").iter_rows()
    queue.enqueue(connection, [entry], [RawIdRange(*row) for row in rows])
    if status != "completed":
        _close_quarantine(connection, one, corrections)
    doubt_shops(connection, one, place, corrections, run_id=run_id)
    return corrections.height


def doubt_shops(
    connection: sa.Connection, one: LandedImport, place: RawIdRange, corrections: pl.DataFrame, *, run_id: str | None
) -> None:
    """Have the shops that the rows of an import name, and its changed corrections (`raw_id`), settled anew."""
    copy_to_temp_table(connection, "raw_orders", corrections.select("raw_id"), name="changed_corrections")
    named = fetch_frame(connection, _named_shops(one, place), {"platform": pl.String(), "shop": pl.String()})
    shop_ids = note_doubtful_shops(connection, named)
    reset_shops(connection, shop_ids, place.low, import_id=one.import_id, run_id=run_id)


def _change_corrections(
    connection: sa.Connection, one: LandedImport, place: RawIdRange, status: Status
) -> pl.DataFrame:
    """Revert or restore the corrections of the import's rows, and corrections of these.

    A correction counts if its own import does, and that of every row before it.

    Returns:
        Those that changed: `raw_id`, `batch_id`.
    """
    connection.execute(
        sa.text(_CORRECTIONS),
        {"import_id": one.import_id, "low": place.low, "high": place.high, "is_reverted": status != "completed"},
    )
    changed = fetch_frame(
        connection,
        "SELECT c.raw_id, t.batch_id FROM corrections_to_change c JOIN raw_orders r USING (raw_id)"
        " JOIN import_tasks t ON t.import_id = r.import_id",
        {"raw_id": pl.Int64(), "batch_id": pl.Int64()},
    )
    for statement in _CHANGE_CORRECTIONS:
        connection.execute(sa.text(statement))
    return changed


def _close_quarantine(connection: sa.Connection, one: LandedImport, corrections: pl.DataFrame) -> None:
    connection.execute(
        sa.text(
            "UPDATE quarantine SET resolved_at = now(), resolution = 'reverted' WHERE resolved_at IS NULL"
            " AND (import_id = :import_id OR raw_id = ANY (CAST(:raw_ids AS bigint[])))"
        ),
        {"import_id": one.import_id, "raw_ids": corrections["raw_id"].to_list()},
    )


def _named_shops(one: LandedImport, place: RawIdRange) -> str:
    """Return the query of the shops that the rows of an import name, and the corrections that changed with it."""
    return (
        "SELECT platform, shop FROM raw_orders"  # noqa: S608  # integers and a hexadecimal literal
        f" WHERE raw_id BETWEEN {place.low:d} AND {place.high:d} AND import_id = '{one.import_id}'"
        " GROUP BY platform, shop"
        " UNION SELECT platform, shop FROM raw_orders JOIN changed_corrections USING (raw_id)"
    )


def count_orders(connection: sa.Connection, import_ids: Sequence[UUID]) -> tuple[int, int]:
    """Count the stored orders that come from rows of imports, and all stored orders."""
    imports = [LandedImport.read(connection, one) for one in sorted(set(import_ids))]
    counted = "SELECT CAST(coalesce(sum(inserted - deleted), 0) AS bigint) FROM etl_batches WHERE asset = 'orders'"
    return sum(_count_orders(connection, one) for one in imports), int(
        connection.execute(sa.text(counted)).scalar_one()
    )


def _count_orders(connection: sa.Connection, one: LandedImport) -> int:
    """Count the stored orders that come from the import's rows, or have their lines from them."""
    if one.range is None:
        return 0
    parameters = {"import_id": one.import_id, **asdict(one.range)}
    return int(connection.execute(sa.text(_ORDERS), parameters).scalar_one())


_IMPORT: Final = """
    SELECT source, status, row_count, batch_id, first_raw_id, last_raw_id, held IS NOT NULL AS was_held
    FROM import_tasks
    WHERE import_id = :import_id FOR UPDATE
"""
_BOUNDS: Final = "SELECT min(raw_id), max(raw_id) FROM raw_orders WHERE import_id = :import_id"
_ORDERS: Final = f"""
    SELECT count(*) + (
        SELECT count(*) FROM raw_orders r JOIN orders o ON o.lines_raw_id = r.raw_id
        WHERE o.lines_raw_id BETWEEN :low AND :high AND r.import_id = :import_id
    ) FROM raw_orders r JOIN orders o ON o.raw_id = r.raw_id AND o.raw_id BETWEEN :low AND :high
    WHERE r.raw_id BETWEEN :low AND :high AND r.import_id = :import_id AND o.batch_id IN (
        SELECT b.batch_id FROM etl_batches b WHERE {BATCHES_OF_IMPORT}
    )
"""  # noqa: S608  # constants only
_CORRECTIONS: Final = """
    CREATE TEMPORARY TABLE corrections_to_change ON COMMIT DROP AS
    WITH RECURSIVE corrections AS (
        SELECT m.raw_id, m.import_id, m.corrects_reverted, :is_reverted OR r.corrects_reverted IS TRUE AS is_reverted
        FROM raw_orders m JOIN raw_orders r ON r.raw_id = m.replaces_raw_id
        WHERE m.replaces_raw_id BETWEEN :low AND :high AND r.import_id = :import_id
        UNION ALL
        SELECT m.raw_id, m.import_id, m.corrects_reverted, c.is_reverted OR t.status <> 'completed'
        FROM corrections c JOIN import_tasks t ON t.import_id = c.import_id
        JOIN raw_orders m ON m.replaces_raw_id = c.raw_id
    )
    SELECT raw_id, is_reverted FROM corrections WHERE is_reverted IS DISTINCT FROM coalesce(corrects_reverted, false)
"""
_CHANGE_CORRECTIONS: Final = (
    "UPDATE raw_orders r SET corrects_reverted = c.is_reverted FROM corrections_to_change c WHERE c.raw_id = r.raw_id",
    """
    UPDATE import_tasks SET is_redecided = true
    WHERE import_id IN (SELECT r.import_id FROM corrections_to_change JOIN raw_orders r USING (raw_id))
    """,
    "DROP TABLE corrections_to_change",
)
