"""What must hold at the end of every round, whatever happened in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.quality.checks import CHECKS
from etl_assets.quality.running import run_check
from etl_assets_tests.helpers import pipeline
from etl_assets_tests.helpers.oracle import RawRow
from etl_assets_tests.helpers.pipeline import PRESET, query, scalar

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Services

MUST_BE_NOTHING: Final = {
    "work is pending": "SELECT count(*) FROM etl_work",
    "batches break the ledger's equation": (
        "SELECT count(*) FROM etl_batches WHERE input_rows <> inserted + updated + unchanged + superseded + quarantined"
    ),
    "batches have not exactly one event": (
        "SELECT count(*) FROM etl_batches b FULL JOIN ("
        "SELECT CAST(payload->>'batch_id' AS bigint) AS batch_id FROM etl_events WHERE payload->>'status' <> 'failed'"
        ") e USING (batch_id) WHERE b.asset IS NULL OR e.batch_id IS NULL"
    ),
    "rows are of imports that did not complete": (
        "SELECT count(*) FROM raw_orders JOIN import_tasks USING (import_id)"
        " WHERE status NOT IN ('completed', 'reverted')"
    ),
    "imports lack rows, or have too many": (
        "SELECT count(*) FROM import_tasks t WHERE status IN ('completed', 'reverted')"
        " AND row_count <> (SELECT count(*) FROM raw_orders r WHERE r.import_id = t.import_id)"
    ),
    "completed imports were passed over": (
        "SELECT count(*) FROM import_tasks CROSS JOIN (VALUES ('raw_orders'), ('shop'), ('orders')) a (asset)"
        " WHERE status = 'completed' AND row_count > 0 AND NOT EXISTS ("
        "SELECT FROM etl_batches b WHERE b.asset = a.asset AND import_id = ANY (b.import_ids))"
    ),
}
LANDED: Final = "SELECT count(*) FROM raw_orders"
REVERTS: Final = "SELECT count(*) FROM import_tasks WHERE is_redecided"
CONSUMED: Final = "SELECT coalesce(sum(input_rows), 0) FROM etl_batches WHERE asset = 'orders'"
INDEXES: Final = "SELECT indexname FROM pg_indexes WHERE schemaname = current_schema()"


@dataclass(slots=True)
class Verdict:
    """What is wrong: rows that are missing, rows that are too many, tables that say something else, anything else."""

    lost: int = 0
    doubled: int = 0
    differing: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.differing or self.faults)


def read_outcome(services: Services) -> dict[str, Any]:
    """Everything that must be as it is without any fault: the tables without history, and the indexes and keys."""
    indexes = {row["indexname"] for row in query(services, INDEXES)}
    return {**pipeline.comparable(services), "indexes": indexes}


def judge(
    services: Services, expected: dict[str, Any] | None, landed: int | None = None, *, each_row_once: bool
) -> Verdict:
    """Look at everything at the end of a round.

    Args:
        services: on the round's database.
        expected: the outcome without a fault; None where it depends on what came first.
        landed: how many raw orders there are without a fault; None where that depends, too.
        each_row_once: no row of quarantine was run again, so that the oracle says what the tables hold.
    """
    verdict = Verdict()
    if expected is not None:
        _compare(verdict, read_outcome(services), expected)
    if landed is not None:
        _count(verdict, scalar(services, LANDED), landed)
    for what, statement in MUST_BE_NOTHING.items():
        if found := scalar(services, statement):
            verdict.faults.append(f"{found} {what}")
    for check in CHECKS:
        if check.is_blocking and not run_check(services.database, check).passed:
            verdict.faults.append(f"the check {check.name} of {check.asset} fails")
    if each_row_once:
        rows = read_raw_rows(services)
        has_reverts = bool(scalar(services, REVERTS))
        if not has_reverts:
            _count(verdict, int(scalar(services, CONSUMED)), len(rows))
        _ask_oracle(verdict, services, rows, has_reverts=has_reverts)
    return verdict


def read_raw_rows(services: Services) -> list[RawRow]:
    """All raw orders whose import is not reverted, for the oracle."""
    columns = ", ".join(("raw_id", "CAST(import_id AS text)", "row_no", *RAW_COLUMNS, "defect"))
    live = "FROM raw_orders JOIN import_tasks USING (import_id) WHERE status <> 'reverted'"
    return [RawRow(**row) for row in query(services, f"SELECT {columns} {live} ORDER BY raw_id")]


def _count(verdict: Verdict, actual: int, expected: int) -> None:
    verdict.lost += max(expected - actual, 0)
    verdict.doubled += max(actual - expected, 0)


def _compare(verdict: Verdict, actual: dict[str, Any], expected: dict[str, Any]) -> None:
    for table, rows in expected.items():
        verdict.lost += len(rows.keys() - actual[table].keys() if isinstance(rows, dict) else rows - actual[table])
        verdict.doubled += len(actual[table].keys() - rows.keys() if isinstance(rows, dict) else actual[table] - rows)
        if actual[table] != rows:
            verdict.differing.add(table)
            try:
                pipeline.assert_same(table, actual[table], rows)
            except AssertionError as error:
                verdict.faults.append(str(error))


def _ask_oracle(verdict: Verdict, services: Services, rows: list[RawRow], *, has_reverts: bool) -> None:
    try:
        pipeline.assert_as_expected(services, rows, PRESET, has_reverts=has_reverts)
    except AssertionError as error:
        verdict.differing.add("the oracle's")
        verdict.faults.append(f"The oracle disagrees: {error}")
