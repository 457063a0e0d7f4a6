"""Outcomes of imports in `orders`: how many of an import's raw orders could not be read, and why.

An import of which no order can be read is an error of the import, not of its rows: the run that read it fails
(docs/decisions.md, "Imports of which no order can be read"). Only imports with open rows in quarantine are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.orders.value_hints import HINT_COLUMNS, unreadable_values_hint
from etl_assets.presets.model import Preset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

EXPLAINED_IMPORTS: Final = 20
"""Imports of which samples are read, those with most unreadable orders first."""
SAMPLE_ROWS: Final = 2_000

_OF_RUN: Final = (
    "SELECT unnest(import_ids) FROM etl_batches WHERE run_id = :run_id AND asset = 'orders' AND quarantined > 0"
)
_OF_LAST_DAYS: Final = (
    "SELECT import_id FROM import_tasks WHERE created_at > now() - make_interval(days => :days) AND row_count > 0"
)
_COUNTS: Final = """
    SELECT t.import_id, t.source, t.row_count AS rows, q.unreadable, t.mapping
    FROM import_tasks t JOIN (
        SELECT import_id, count(DISTINCT raw_id) AS unreadable FROM quarantine
        WHERE asset = 'orders' AND resolved_at IS NULL AND import_id IN ({imports}) GROUP BY import_id
    ) q USING (import_id)
    ORDER BY q.unreadable = t.row_count DESC, q.unreadable DESC, t.created_at, t.import_id
"""
_CODES: Final = """
    SELECT import_id, reason_code, min(reason) AS reason FROM quarantine
    WHERE asset = 'orders' AND resolved_at IS NULL AND import_id = ANY(:import_ids)
    GROUP BY import_id, reason_code ORDER BY count(*) DESC, reason_code
"""
_SAMPLES: Final = f"""
    SELECT CAST(i.import_id AS text), {", ".join(f"s.{column}" for column in HINT_COLUMNS)}
    FROM unnest(CAST(:import_ids AS uuid[])) i (import_id) CROSS JOIN LATERAL (
        SELECT r.* FROM quarantine q JOIN raw_orders r USING (raw_id)
        WHERE q.import_id = i.import_id AND q.asset = 'orders' AND q.resolved_at IS NULL LIMIT {SAMPLE_ROWS:d}
    ) s
"""  # noqa: S608  # names of columns and a number


@dataclass(frozen=True, slots=True)
class ImportOutcome:
    """An import with unreadable orders."""

    import_id: UUID
    source: str
    rows: int
    unreadable: int
    hint: str | None
    """Why, in words without values; None beyond the first `EXPLAINED_IMPORTS`."""

    @property
    def is_unreadable(self) -> bool:
        """Return whether no order of the import could be read."""
        return self.unreadable >= self.rows

    @property
    def message(self) -> str:
        """Return the sentence for the user."""
        counted = f"0 of {self.rows:,}" if self.is_unreadable else f"{self.unreadable:,} of {self.rows:,}"
        verb = "could be read" if self.is_unreadable else "could not be read"
        return f"{counted} orders of {self.source} {verb}{f': {self.hint}' if self.hint else ''}."

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as ``--json`` prints it."""
        return {
            "import_id": str(self.import_id),
            "source": self.source,
            "rows": self.rows,
            "unreadable": self.unreadable,
            "message": self.message,
        }


def quarantined_imports_of_run(connection: sa.Connection, run_id: str) -> list[ImportOutcome]:
    """Return the imports that a run processed and that have unreadable orders; those without a readable one first."""
    return _outcomes(connection, _OF_RUN, run_id=run_id)


def quarantined_imports_of_last_days(connection: sa.Connection, days: int) -> list[ImportOutcome]:
    """Return the imports of the last days that have unreadable orders still; those without a readable one first."""
    return _outcomes(connection, _OF_LAST_DAYS, days=days)


def _outcomes(connection: sa.Connection, imports: str, **parameters: object) -> list[ImportOutcome]:
    counted = connection.execute(sa.text(_COUNTS.format(imports=imports)), parameters).all()
    explained = [row.import_id for row in counted[:EXPLAINED_IMPORTS]]
    reasons = _read_reasons(connection, explained)
    samples = _read_samples(connection, explained)
    return [
        ImportOutcome(
            row.import_id, row.source, row.rows, row.unreadable, _hint(row, reasons.get(row.import_id), samples)
        )
        for row in counted
    ]


def _read_reasons(connection: sa.Connection, import_ids: Sequence[UUID]) -> dict[UUID, sa.Row[Any]]:
    """Return the commonest reason code of each import, with the reason of one of its rows."""
    found = connection.execute(sa.text(_CODES), {"import_ids": list(import_ids)}).all() if import_ids else []
    return {row.import_id: row for row in reversed(found)}  # the commonest comes first, and is put last


def _read_samples(connection: sa.Connection, import_ids: Sequence[UUID]) -> pl.DataFrame:
    """Return values of unreadable orders of the imports: `import_id`, `HINT_COLUMNS`."""
    schema = dict.fromkeys(("import_id", *HINT_COLUMNS), pl.String())
    rows = connection.execute(sa.text(_SAMPLES), {"import_ids": list(import_ids)}).all() if import_ids else []
    return pl.DataFrame([tuple(row) for row in rows], schema=schema, orient="row")


def _hint(row: sa.Row[Any], commonest: sa.Row[Any] | None, samples: pl.DataFrame) -> str | None:
    """Return why orders of an import could not be read: how the values look that have a notation, else the reason."""
    if commonest is None:
        return None
    values = None
    if commonest.reason_code in {"BAD_AMOUNT", "BAD_TIMESTAMP"} and row.mapping is not None:
        sample = samples.filter(pl.col("import_id") == str(row.import_id))
        values = unreadable_values_hint(sample, Preset.model_validate(row.mapping))
    return values or str(commonest.reason).rstrip(".")
