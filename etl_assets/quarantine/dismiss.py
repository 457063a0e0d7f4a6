"""Rows of quarantine that people give up: resolved as `dismissed` with their reason, and not run again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl_assets.quarantine.requeue import REPLAY_LOCK_ID, existing_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.database.database import Database


@dataclass(frozen=True, slots=True)
class Dismissed:
    """What became of rows that were to be dismissed, as quarantine ids."""

    dismissed: tuple[int, ...]
    resolved: tuple[int, ...]
    """They were resolved before, and stay as they were."""
    unknown: tuple[int, ...]
    """There are no such rows."""


def dismiss(database: Database, quarantine_ids: Sequence[int], note: str) -> Dismissed:
    """Resolve open rows of quarantine as `dismissed`, whatever is wrong with them, and keep the `note`.

    A run that meets such a row again, also one with a full refresh, leaves it dismissed.
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
        others = sorted(set(quarantine_ids) - set(dismissed))
        known = existing_ids(connection, others)
    return Dismissed(
        dismissed=tuple(dismissed),
        resolved=tuple(number for number in others if number in known),
        unknown=tuple(number for number in others if number not in known),
    )
