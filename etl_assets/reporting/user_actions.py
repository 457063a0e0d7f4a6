"""Log of what users did, newest first, a page at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    from uuid import UUID

LIMIT: Final = 50

_QUERY: Final = """
    SELECT a.action_id, a.user_name, a.action, a.target, a.before, a.after, a.done_at, a.lead_id,
           c.customer_nickname AS customer, t.import_id, t.source
    FROM (
        SELECT * FROM user_actions
        WHERE action_id < :below
            AND (CAST(:user_name AS text) IS NULL OR user_name = :user_name)
            AND (CAST(:action AS text) IS NULL OR action = :action)
        ORDER BY action_id DESC LIMIT :rows
    ) a
    LEFT JOIN business_leads l ON l.lead_id = a.lead_id
    LEFT JOIN customers c ON c.customer_global_id = l.customer_global_id
    LEFT JOIN import_tasks t ON t.import_id = CAST(substring(
        a.target FROM '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
    ) AS uuid)
    ORDER BY a.action_id DESC
"""
"""With names: of the customer whose lead it was about, of the import that its target begins with."""
_LAST_OF_IMPORT: Final = """
    SELECT user_name, done_at, after ->> 'reason' AS reason FROM user_actions
    WHERE lead_id IS NULL AND action = :action AND target = :target ORDER BY action_id DESC LIMIT 1
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


def read_last_of_import(connection: sa.Connection, action: str, import_id: UUID) -> dict[str, Any] | None:
    """Return `user_name`, `done_at` and `reason` of the last action of a kind on an import; None without any."""
    values = {"action": action, "target": str(import_id)}
    found = connection.execute(sa.text(_LAST_OF_IMPORT), values).mappings().one_or_none()
    return None if found is None else dict(found)


def list_action_names(connection: sa.Connection) -> list[str]:
    """Return the kinds of actions, which are few."""
    query = "SELECT DISTINCT action FROM user_actions ORDER BY action"
    return list(connection.execute(sa.text(query)).scalars())
