"""Dismissal of failed imports that nobody is going to import again: health and alerts no longer name them.

Nothing of a failed import was landed, so nothing but its mark changes. Rows in quarantine are dismissed in
`quarantine.dismiss`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from etl_assets.database.schema import ORIGIN_OF_IMPORT
from etl_assets.errors import EtlError
from etl_assets.user_actions import record_user_action

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from etl_assets.database.database import Database

_CHOSEN: Final = sa.text(
    "SELECT import_id, source, status, dismissed_at FROM import_tasks WHERE import_id = ANY (:ids)"
    " ORDER BY created_at, import_id FOR UPDATE"
)
_DISMISS: Final = sa.text(f"""
    UPDATE import_tasks t SET dismissed_at = now(), note = :note
    FROM (SELECT created_at, {ORIGIN_OF_IMPORT} AS origin FROM import_tasks WHERE import_id = :import_id) chosen
    WHERE t.status = 'failed' AND t.dismissed_at IS NULL AND t.created_at <= chosen.created_at
      AND {ORIGIN_OF_IMPORT.replace("source", "t.source")} = chosen.origin
""")  # noqa: S608  # constants


class DismissImportError(EtlError):
    """Raised for an import that did not fail, and so can't be dismissed."""


@dataclass(frozen=True, slots=True)
class DismissedImport:
    """Outcome of the dismissal of one import."""

    import_id: UUID
    source: str
    is_changed: bool
    """False where it was dismissed before."""

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as ``--json`` prints it."""
        return {"import_id": str(self.import_id), "source": self.source, "is_changed": self.is_changed}


def dismiss_imports(
    database: Database, import_ids: Sequence[UUID], note: str, *, user_name: str | None = None
) -> list[DismissedImport]:
    """Dismiss failed imports, with earlier failed ones of the same origin, and keep the `note`.

    Args:
        database: the store.
        import_ids: ids of failed imports.
        note: why they need nobody any more.
        user_name: the user of the web page; by default the user of this process.

    Raises:
        DismissImportError: one of them did not fail; nothing was dismissed.
    """
    with database.transaction() as connection:
        chosen = connection.execute(_CHOSEN, {"ids": list(import_ids)}).all()
        for row in chosen:
            if row.status != "failed":
                msg = f"Import {row.import_id} is {row.status}: only failed imports can be dismissed."
                raise DismissImportError(msg)
        for row in chosen:
            if row.dismissed_at is None:
                connection.execute(_DISMISS, {"import_id": row.import_id, "note": note})
                after = {"dismissed": True, "note": note}
                target = f"{row.import_id} {row.source}"
                record_user_action(
                    connection, "imports dismiss", target, {"dismissed": False}, after, user_name=user_name
                )
    return [DismissedImport(row.import_id, row.source, row.dismissed_at is None) for row in chosen]
