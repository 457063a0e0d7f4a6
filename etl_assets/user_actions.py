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
    from collections.abc import Mapping


def record_user_action(
    connection: sa.Connection, action: str, target: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """Record an action of the user of this process, in the transaction of its change."""
    values = {"action": action, "target": target, "before": dict(before), "after": dict(after)}
    connection.execute(sa.insert(user_actions).values(user_name=_user_name(), **values))


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user of a container may have no name
        return "unknown"
