"""Dismissal of failed imports: users set aside a refused file that needs no correction, with a reason.

Its record stays. A corrected file that is imported later needs no dismissal: see `reporting.failed_imports`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from etl_assets.user_actions import record_user_action

if TYPE_CHECKING:
    from uuid import UUID

    from etl_assets.database.database import Database


def dismiss_failed_import(database: Database, import_id: UUID, reason: str, *, user_name: str | None = None) -> bool:
    """Dismiss a failed import; return False where it is none, or was dismissed before."""
    with database.transaction() as connection:
        dismissed = connection.execute(
            sa.text(
                "UPDATE import_tasks SET dismissed_at = now(), note = :reason"
                " WHERE import_id = :import_id AND status = 'failed' AND dismissed_at IS NULL"
            ),
            {"import_id": import_id, "reason": reason},
        ).rowcount
        if dismissed:
            after = {"status": "dismissed", "reason": reason}
            before = {"status": "failed"}
            record_user_action(connection, "imports dismiss", str(import_id), before, after, user_name=user_name)
    return dismissed > 0
