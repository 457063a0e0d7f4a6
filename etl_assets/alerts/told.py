"""Facts in the database: those that hold now, and those that users were told of (`told_facts`).

Which are new, and how they are told, is in `facts`. The facts are kept by what they are about, not by a position in a
log: so a batch that commits late, a restart or an alert that was not delivered loses none and doubles none.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from etl_assets.alerts.facts import Fact
from etl_assets.database.ledger_schema import told_facts
from etl_assets.quality.checks import COLUMNS_AS_BEFORE, STATUSES_ARE_KNOWN
from etl_assets.quality.running import run_check
from etl_assets.reporting.failed_imports import read_failed_imports

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence

    from etl_assets.alerts.facts import FactKey, News
    from etl_assets.database.database import Database

REFUSED_LOOKED_AT: Final = 1_000
_BAD_ROWS: Final = sa.text("""
    SELECT q.import_id, t.source, q.rows, q.reasons FROM (
        SELECT import_id, count(*) AS rows, string_agg(DISTINCT reason_code, ', ') AS reasons FROM quarantine
        WHERE resolved_at IS NULL AND import_id IS NOT NULL GROUP BY import_id
    ) q JOIN import_tasks t USING (import_id)
""")
_LAST_DIGEST: Final = sa.text("SELECT max(told_at) FROM told_facts WHERE kind = 'bad_rows'")
_TELL: Final = sa.text("""
    INSERT INTO told_facts AS f (kind, subject, count) VALUES (:kind, :subject, :count)
    ON CONFLICT (kind, subject) DO UPDATE SET count = f.count + excluded.count, told_at = excluded.told_at
""")
_LOWER: Final = sa.text("UPDATE told_facts SET count = :count WHERE kind = :kind AND subject = :subject")
_FORGET: Final = sa.text("DELETE FROM told_facts WHERE kind = :kind AND subject = :subject")


def read_facts(database: Database, inputs_left: Sequence[str]) -> list[Fact]:
    """Return the facts that hold now.

    Args:
        database: the store.
        inputs_left: why inputs could not be taken in by the last run.
    """
    facts = [Fact("inputs_left", _digest(problem), "input", problem) for problem in inputs_left]
    with database.transaction() as connection:
        refused = read_failed_imports(connection, shown=REFUSED_LOOKED_AT).shown
        bad_rows = connection.execute(_BAD_ROWS).all()
    for one in refused:
        # An import of a source or file that fails again for the same reason is no news.
        subject, error = _digest(one["source"], one["error"]), str(one["error"])
        facts.append(Fact("import_refused", subject, one["source"], error, str(one["import_id"])))
    facts += _changed_columns(database)
    for row in run_check(database, STATUSES_ARE_KNOWN).violations:
        text = f"{row['status']}: {row['orders']:,} orders, read with {row['preset']}"
        subject = _digest(row["preset"], row["status"])
        facts.append(Fact("unknown_statuses", subject, row["status"], text, str(row["import_id"])))
    facts += [
        Fact("bad_rows", str(import_id), source, reasons, str(import_id), rows)
        for import_id, source, rows, reasons in bad_rows
    ]
    return facts


def _changed_columns(database: Database) -> Iterator[Fact]:
    """Yield a fact for each import whose columns differ from those of the import before it."""
    by_import: dict[str, list[dict[str, object]]] = {}
    for row in run_check(database, COLUMNS_AS_BEFORE).violations:
        by_import.setdefault(str(row["import_id"]), []).append(row)
    for import_id, rows in by_import.items():
        source = str(rows[0]["source"])
        differences = "; ".join(f"{row['finding']} {row['subject']}" for row in rows)
        yield Fact("columns_changed", import_id, source, f"{source}: {differences}", import_id)


def read_told(database: Database) -> tuple[dict[FactKey, int], dt.datetime | None]:
    """Return the counts that were told, by fact, and the time of the last digest of bad rows."""
    with database.transaction() as connection:
        rows = connection.execute(sa.select(told_facts.c.kind, told_facts.c.subject, told_facts.c.count))
        return {(kind, subject): count for kind, subject, count in rows}, connection.execute(_LAST_DIGEST).scalar()


def record_told(database: Database, facts: Sequence[Fact]) -> None:
    """Record that users were told of facts."""
    rows = [{"kind": fact.kind, "subject": fact.subject, "count": fact.count} for fact in facts]
    if rows:
        with database.transaction() as connection:
            connection.execute(_TELL, rows)


def forget_gone(database: Database, news: News) -> None:
    """Forget the facts that hold no more, so that they are told once they hold again."""
    lowered = [{"kind": kind, "subject": subject, "count": count} for (kind, subject), count in news.lowered.items()]
    gone = [{"kind": kind, "subject": subject} for kind, subject in news.gone]
    if lowered or gone:
        with database.transaction() as connection:
            for statement, rows in ((_LOWER, lowered), (_FORGET, gone)):
                if rows:
                    connection.execute(statement, rows)


def _digest(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:32]
