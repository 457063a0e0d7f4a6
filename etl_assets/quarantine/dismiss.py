"""Dismissal: closes open rows of quarantine that need no correction, such as test orders, with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from etl_assets.quarantine.open_rows import split_not_open
from etl_assets.quarantine.requeue import REPLAY_LOCK_ID, named_rows
from etl_assets.user_actions import record_user_action

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.database.database import Database
    from etl_assets.quarantine.row_filter import RowFilter


ACTION: Final = "quarantine dismiss"


@dataclass(frozen=True, slots=True)
class Dismissed:
    """Outcome of a dismissal, as quarantine ids."""

    dismissed: tuple[int, ...]
    resolved: tuple[int, ...]
    """Resolved before; they stay as they were."""
    unknown: tuple[int, ...]
    """Ids without a row."""


def dismiss(database: Database, quarantine_ids: Sequence[int], note: str, *, user_name: str | None = None) -> Dismissed:
    """Resolve open rows of quarantine as `dismissed`, whatever their reason code, and keep the `note`.

    A run that rejects such a row again, also one with a full refresh, leaves it dismissed.

    Args:
        database: the store.
        quarantine_ids: which rows.
        note: the reason.
        user_name: for the record of user actions; without it, the user of this process.
    """
    with database.transaction() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(REPLAY_LOCK_ID)))
        done = connection.execute(
            sa.text(
                "UPDATE quarantine SET resolved_at = now(), resolution = 'dismissed', note = :note"
                " WHERE quarantine_id = ANY (CAST(:ids AS bigint[])) AND resolved_at IS NULL RETURNING quarantine_id"
            ),
            {"ids": list(quarantine_ids), "note": note},
        ).scalars()
        dismissed = sorted(done)
        if dismissed:
            _record(connection, named_rows(dismissed), len(dismissed), note, user_name)
        not_open = split_not_open(connection, set(quarantine_ids) - set(dismissed))
    return Dismissed(tuple(dismissed), not_open.resolved, not_open.unknown)


def dismiss_chosen(database: Database, chosen: RowFilter, note: str, *, user_name: str | None = None) -> int:
    """Resolve all open rows that a filter leaves, as `dismiss` does; return how many. They may be millions."""
    with database.transaction() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(REPLAY_LOCK_ID)))
        closed = "UPDATE quarantine q SET resolved_at = now(), resolution = 'dismissed', note = %(note)s"
        statement = f"{closed} WHERE {chosen.condition}"
        rows = connection.exec_driver_sql(statement, {"note": note, **chosen.parameters}).rowcount
        if rows:
            words = (f"{name} {value}" for name, value in chosen.parameters.items())
            _record(connection, f"rows of {', '.join(words) or 'quarantine'}", rows, note, user_name)
        return rows


def _record(connection: sa.Connection, target: str, rows: int, note: str, user_name: str | None) -> None:
    record_user_action(connection, ACTION, target, {}, {"rows": rows, "reason": note}, user_name=user_name)
