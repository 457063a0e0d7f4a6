"""Log of what users did, newest first, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

LIMIT: Final = 50

_QUERY: Final = """
    SELECT action_id, user_name, action, target, before, after, done_at
    FROM user_actions
    WHERE action_id < :below
        AND (CAST(:user_name AS text) IS NULL OR user_name = :user_name)
        AND (CAST(:action AS text) IS NULL OR action = :action)
    ORDER BY action_id DESC LIMIT :rows
"""
_MAX_ID: Final = 2**63 - 1


@dataclass(frozen=True)
class ActionPage:
    """Page of the log; `below` is the key of the next one, or None."""

    rows: list[dict[str, Any]]
    below: int | None


def read_user_actions(
    connection: sa.Connection, *, user_name: str | None = None, action: str | None = None, below: int | None = None
) -> ActionPage:
    """Return the newest actions below a key."""
    values = {"below": _MAX_ID if below is None else below, "user_name": user_name, "action": action, "rows": LIMIT + 1}
    found = [dict(row) for row in connection.execute(sa.text(_QUERY), values).mappings()]
    rows = found[:LIMIT]
    return ActionPage(rows, rows[-1]["action_id"] if len(found) > LIMIT else None)


def list_action_names(connection: sa.Connection) -> list[str]:
    """Return the kinds of actions, which are few."""
    query = "SELECT DISTINCT action FROM user_actions ORDER BY action"
    return list(connection.execute(sa.text(query)).scalars())
