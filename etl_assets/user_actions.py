"""Record of what users change by commands and pages: the table `user_actions`.

The change itself is made by the code of the command, in the same transaction. Changes of the pipeline are in the
ledger (`ledger.batches`).
"""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from etl_assets.database.ledger_schema import user_actions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def record_user_action(
    connection: sa.Connection,
    action: str,
    target: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    user_name: str | None = None,
) -> None:
    """Record an action in the transaction of its change: of a user of the web page, or of this process's user."""
    values = {"action": action, "target": target, "before": dict(before), "after": dict(after)}
    connection.execute(sa.insert(user_actions).values(user_name=user_name or os_user_name(), **values))


def record_user_actions(
    connection: sa.Connection, action: str, records: Sequence[Mapping[str, Any]], *, user_name: str | None = None
) -> None:
    """Record one action for each of many targets (`target`, `before`, `after`, `lead_id` where it is a lead).

    Args:
        connection: the transaction of the change.
        action: the same for all.
        records: one for each target.
        user_name: of the user of the page; that of this process by default.
    """
    user = user_name or os_user_name()
    connection.execute(sa.insert(user_actions), [{"user_name": user, "action": action, **one} for one in records])


def os_user_name() -> str:
    """Return the name of the user that this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        return "unknown"
