"""Imports that the brake holds, and what each would remove, in counts and words; no customer's data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

_HELD: Final = "SELECT import_id, source, coalesce(row_count, 0) AS rows, held FROM import_tasks WHERE status = 'held'"
_ALL: Final = sa.text(f"{_HELD} ORDER BY batch_id DESC")
_OF_RUN: Final = sa.text(f"{_HELD} AND held ->> 'run_id' = :run_id ORDER BY batch_id DESC")
_WORDS: Final = {
    "orders": "take the customer, the amount or the time from {} orders",
    "business_leads": "leave {} leads without orders",
    "order_items": "delete {} order lines",
    "process_items": "delete {} processes",
}


@dataclass(frozen=True, slots=True)
class HeldImport:
    """An import of which no row counts until users accept it."""

    import_id: UUID
    source: str
    rows: int
    tables: Mapping[str, Mapping[str, int]]
    """Tables of which it would remove too much → `removed` and stored `rows`, as they were then."""
    run_id: str | None
    """Run that held it."""

    @property
    def message(self) -> str:
        """Return the sentence for the user."""
        would = [
            _WORDS[table].format(f"{counts['removed']:,} of {counts['rows']:,}")
            for table, counts in sorted(self.tables.items(), key=lambda one: list(_WORDS).index(one[0]))
        ]
        return (
            f"{self.source} is held ({self.rows:,} orders, import {self.import_id}): it would {' and '.join(would)}."
            " `etl-assets imports accept` lets it through, `imports revert` takes it back."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the import as ``--json`` prints it."""
        return {
            "import_id": str(self.import_id),
            "source": self.source,
            "rows": self.rows,
            "would_remove": self.tables,
            "message": self.message,
        }


def read_held_imports(connection: sa.Connection) -> list[HeldImport]:
    """Read the imports that are held, the newest first."""
    return [_held_import(row) for row in connection.execute(_ALL)]


def read_held_imports_of_run(connection: sa.Connection, run_id: str) -> list[HeldImport]:
    """Read the imports that a run held and that are held still."""
    return [_held_import(row) for row in connection.execute(_OF_RUN, {"run_id": run_id})]


def read_once_held(connection: sa.Connection) -> set[UUID]:
    """Read the ids of imports that are held, or are reverted and would be held again once they are restored."""
    return set(connection.execute(sa.text("SELECT import_id FROM import_tasks WHERE held IS NOT NULL")).scalars())


def _held_import(row: sa.Row[Any]) -> HeldImport:
    return HeldImport(row.import_id, row.source, row.rows, row.held["tables"], row.held["run_id"])
