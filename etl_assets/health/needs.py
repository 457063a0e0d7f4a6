"""Needs: what of the pipeline's state needs somebody, each as a sentence with links, the worst first.

Pure functions of the state: `tables` and `records` have read it. Here is the only list of what counts as a need, and of
the texts of each; Dagster's page and its checks, the commands and the web page show it. Texts are words of this
project, without customers' data.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

from etl_assets.health.disk import gibibytes, severity_of
from etl_assets.health.durations import duration
from etl_assets.health.rhythm import shop_rhythms
from etl_assets.quality.checks import CHECKS
from etl_assets.texts import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from uuid import UUID

    from etl_assets.health.records import CheckResult, Records, Severity
    from etl_assets.health.tables import TableState

WAITING_WARNS_AFTER: Final = 15 * 60.0
WAITING_FAILS_AFTER: Final = 3600.0
LONGEST_RUN: Final = 6 * 3600.0
"""Seconds for which a run in progress explains that work is pending: `max_runtime_seconds` of the instance."""
DAEMON_SILENT_AFTER: Final = 300.0
"""Seconds without a heartbeat of Dagster's daemon, which sends one every 30 s."""

NeedKind = Literal[
    "part_unreadable",
    "import_refused",
    "import_held",
    "import_unreadable",
    "inputs_stuck",
    "rows_quarantined",
    "check_failed",
    "order_types_are_mapped",
    "columns_as_before",
    "statuses_are_known",
    "rows_of_orders_agree",
    "lines_have_orders",
    "run_failed",
    "work_waiting",
    "daemon_silent",
    "switched_off",
    "disk_low",
    "shop_late",
]

SENTENCES: Final[Mapping[NeedKind, str]] = {
    "part_unreadable": "%(part)s could not be read: %(reason)s.",
    "import_refused": "Refused: %(file)s.",
    "import_held": "%(file)s is held until somebody accepts or reverts it (%(rows)s orders).",
    "import_unreadable": "None of the %(rows)s orders of %(file)s could be read.",
    "inputs_stuck": "Inputs could not be taken in: %(count)s.",
    "rows_quarantined": "%(rows)s bad rows wait for a correction.",
    "check_failed": "The check %(check)s of %(asset)s fails.",
    "order_types_are_mapped": "Order types without a mapping count as BULK: %(count)s.",
    "columns_as_before": "Columns of exports are not as before: %(count)s.",
    "statuses_are_known": "Order statuses that the preset does not know count as not cancelled: %(count)s.",
    "rows_of_orders_agree": "Rows of one order disagree in imports of the last 30 days: %(count)s.",
    "lines_have_orders": "Orders of which only lines have come: %(count)s.",
    "run_failed": "The last run of %(job)s failed.",
    "work_waiting": "Work has been pending for %(asset)s for %(age)s.",
    "daemon_silent": "Dagster's daemon has been silent for %(age)s: no sensor and no schedule works.",
    "switched_off": "Sensors or schedules are switched off: %(names)s.",
    "disk_low": "The disk of ETL_HOME has %(free)s left.",
    "shop_late": "%(shop)s has brought nothing for %(days)s days (usual: %(usual)s at most).",
}
"""Sentence of each kind, with the values of the need; also the key of its translations."""

ADVICE: Final[Mapping[str, str]] = {
    "order_types_are_mapped": "The page Health lists them, and sets what they count as.",
    "columns_as_before": "Their notes name the columns. If an export was changed by mistake, import it again.",
    "statuses_are_known": "If one means cancelled, these orders count too much: the preset names such statuses.",
    "rows_of_orders_agree": "Customer, time or amount differ between lines of one order: their notes name the lines.",
    "lines_have_orders": "Import the file of the orders: the lines are added to them then.",
}
"""What there is to do or to know, by kind."""
RULE: Final = "It found {count} violations of its rule: {rule}"
RULE_WITHOUT_COUNT: Final = "Its rule: {rule}"
REASON: Final = "{reason} ({rows})"
ROWS: Final = "At most {rows} rows."
REASONS: Final = "{reasons}"
DETAILS: Final = (*ADVICE.values(), RULE, RULE_WITHOUT_COUNT, REASON, REASONS, ROWS)
"""Templates of details, each to be translated."""

HealthCheck = Literal[
    "checks_and_runs_pass", "imports_are_settled", "work_is_processed", "services_are_up", "shops_deliver"
]
"""Asset check of `pipeline_health` that fails while needs of its kinds exist."""

CHECK_OF: Final[Mapping[NeedKind, HealthCheck]] = {
    "part_unreadable": "services_are_up",
    "import_refused": "imports_are_settled",
    "import_held": "imports_are_settled",
    "import_unreadable": "imports_are_settled",
    "inputs_stuck": "imports_are_settled",
    "rows_quarantined": "imports_are_settled",
    "check_failed": "checks_and_runs_pass",
    "order_types_are_mapped": "checks_and_runs_pass",
    "columns_as_before": "checks_and_runs_pass",
    "statuses_are_known": "checks_and_runs_pass",
    "rows_of_orders_agree": "checks_and_runs_pass",
    "lines_have_orders": "checks_and_runs_pass",
    "run_failed": "checks_and_runs_pass",
    "work_waiting": "work_is_processed",
    "daemon_silent": "services_are_up",
    "switched_off": "services_are_up",
    "disk_low": "services_are_up",
    "shop_late": "shops_deliver",
}

TOLD_OTHERWISE: Final = frozenset(
    {"no_open_quarantine", "no_import_is_held", "imports_pass_the_brake", "imports_are_readable"}
)
"""Checks whose facts are needs of their own, as they are now; `all_inputs_ingested` is told by `inputs_stuck`."""
INPUTS_CHECK: Final = "all_inputs_ingested"
_DESCRIPTIONS: Final[dict[tuple[str, str], str]] = {(check.asset, check.name): check.description for check in CHECKS}

_WEB_PATHS: Final[Mapping[str, str]] = {
    "rows_quarantined": "/bad-rows",
    "order_types_are_mapped": "/health#order-types",
    "columns_as_before": "/imports?show=columns",
    "statuses_are_known": "/imports?show=statuses",
    "rows_of_orders_agree": "/imports?show=disagreeing",
    "lines_have_orders": "/imports?show=waiting",
}


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that needs somebody."""

    kind: NeedKind
    severity: Severity
    values: Mapping[str, str]
    """Values of the sentence, as texts."""
    detail: str | Text | None = None
    """What the pipeline says of it: a message as it was recorded, in English, or a text. Codes of reasons are texts."""
    since: dt.datetime | None = None
    asset: str | None = None
    check: str | None = None
    run_id: str | None = None
    import_id: UUID | None = None

    @property
    def text(self) -> str:
        """Return the sentence."""
        return SENTENCES[self.kind] % self.values

    def as_dict(self) -> dict[str, str | None]:
        """Return the need as `--json` prints it."""
        import_id = None if self.import_id is None else str(self.import_id)
        detail = None if self.detail is None else str(self.detail)
        given = {"kind": self.kind, "severity": self.severity, "text": self.text, "detail": detail}
        return {**given, "asset": self.asset, "check": self.check, "run_id": self.run_id, "import_id": import_id}

    @property
    def dagster_path(self) -> str | None:
        """Return the path of the page of Dagster's UI that it is about, if there is one."""
        if self.check is not None:
            return f"assets/{self.asset}?view=checks&checkDetail={self.check}"
        if self.run_id is not None:
            return f"runs/{self.run_id}"
        return None if self.asset is None else f"assets/{self.asset}"

    @property
    def web_path(self) -> str | None:
        """Return the path of the web page on which it is dealt with, if there is one."""
        if self.import_id is not None:
            return f"/imports/{self.import_id}"
        return _WEB_PATHS.get(self.kind)


@dataclass(frozen=True, slots=True)
class HealthState:
    """State of the pipeline at one time. A part that could not be read is None, and named in `unreadable`."""

    now: dt.datetime
    tables: TableState | None
    records: Records | None
    free_bytes: int | None
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Part → reason."""


def find_needs(state: HealthState) -> list[Need]:
    """Return everything that needs somebody: errors first, then in the order of the kinds."""
    needs = [Need("part_unreadable", "error", {"part": part, "reason": why}) for part, why in state.unreadable.items()]
    if state.tables is not None:
        needs += _of_imports(state.tables)
        needs += _of_backlog(state.tables, is_running=state.records is not None and state.records.is_running)
        needs += _of_shops(state.tables, state.now.date())
    if state.records is not None:
        needs += _of_checks(state.records.failed_checks)
        needs += _of_services(state.records, state)
        needs += [
            Need("run_failed", "error", {"job": run.job}, run.reason, run.at, run_id=run.run_id)
            for run in state.records.failed_runs
        ]
    severity = None if state.free_bytes is None else severity_of(state.free_bytes)
    if severity is not None and state.free_bytes is not None:
        needs.append(Need("disk_low", severity, {"free": gibibytes(state.free_bytes)}))
    order = get_args(NeedKind)
    return sorted(needs, key=lambda need: (need.severity != "error", order.index(need.kind)))


def headline(needs: Sequence[Need]) -> str:
    """Return the first line: how many things need somebody."""
    match len(needs):
        case 0:
            return "Nothing needs anybody."
        case 1:
            return "1 thing needs somebody."
        case number:
            return f"{number:,} things need somebody."


def _of_imports(tables: TableState) -> Iterator[Need]:
    for failed in tables.failed_imports.shown:
        values = {"file": PurePath(failed["source"]).name}
        detail, since = failed["error"], failed["created_at"]
        yield Need("import_refused", "error", values, detail, since, asset="raw_orders", import_id=failed["import_id"])
    hidden = tables.failed_imports.total - len(tables.failed_imports.shown)
    if hidden > 0:
        yield Need("import_refused", "error", {"file": f"+ {hidden:,}"}, asset="raw_orders")
    for held in tables.held_imports:
        values = {"file": PurePath(held.source).name, "rows": f"{held.rows:,}"}
        yield Need("import_held", "error", values, held.message, asset="orders", import_id=held.import_id)
    for one in tables.quarantined_imports:
        if one.is_unreadable:
            values = {"file": PurePath(one.source).name, "rows": f"{one.rows:,}"}
            yield Need("import_unreadable", "error", values, one.hint, asset="orders", import_id=one.import_id)
    if tables.quarantine:
        since = min(one["since"] for one in tables.quarantine)
        values = {"rows": f"{tables.quarantined_rows:,}"}
        yield Need("rows_quarantined", "warn", values, _reasons(tables.quarantine), since)


def _reasons(quarantine: Sequence[Mapping[str, Any]]) -> Text:
    """Return the reasons of bad rows, those of all assets together."""
    rows: Counter[str] = Counter()
    for one in quarantine:
        rows[one["reason_code"]] += one["rows"]
    counted = (Text(REASON, {"reason": Text(code), "rows": f"{count:,}"}) for code, count in rows.most_common())
    return Text(REASONS, {"reasons": tuple(counted)})


def _of_backlog(tables: TableState, *, is_running: bool) -> Iterator[Need]:
    """Yield the assets whose oldest work has been pending for long; a run in progress may explain that."""
    for one in tables.assets:
        waiting = one.waiting or 0.0
        if waiting > (LONGEST_RUN if is_running else WAITING_WARNS_AFTER):
            severity: Severity = "error" if waiting > WAITING_FAILS_AFTER else "warn"
            values = {"asset": one.asset, "age": str(duration(waiting))}
            yield Need("work_waiting", severity, values, Text(ROWS, {"rows": f"{one.pending_rows:,}"}), asset=one.asset)


def _of_shops(tables: TableState, today: dt.date) -> Iterator[Need]:
    late = shop_rhythms(tables.arrivals, today).filter("is_late")
    for row in late.iter_rows(named=True):
        values = {"shop": row["shown_name"], "days": f"{row['silent_days']:,}", "usual": f"{row['usual_days']:,}"}
        since = dt.datetime.combine(row["last_day"], dt.time(), dt.UTC)
        yield Need("shop_late", "warn", values, row["platform"], since)


def _of_checks(failed: Sequence[CheckResult]) -> Iterator[Need]:
    for result in failed:
        if result.check == INPUTS_CHECK:
            if result.count:
                yield _need_of_check("inputs_stuck", result, result.problems)
        elif result.check in SENTENCES:
            yield _need_of_check(cast("NeedKind", result.check), result, Text(ADVICE[result.check]))
        elif result.check not in TOLD_OTHERWISE:
            yield _need_of_check("check_failed", result, result.problems or _violations(result))


def _violations(result: CheckResult) -> Text | None:
    """Return how often the rule of a check was violated, and the rule."""
    rule = _DESCRIPTIONS.get((result.asset, result.check))
    if rule is None:
        return None
    if result.count is None:
        return Text(RULE_WITHOUT_COUNT, {"rule": rule})
    return Text(RULE, {"count": f"{result.count:,}", "rule": rule})


def _need_of_check(kind: NeedKind, result: CheckResult, detail: str | Text | None) -> Need:
    count = "" if result.count is None else f"{result.count:,}"
    return Need(
        kind,
        result.severity,
        {"asset": result.asset, "check": result.check, "count": count},
        detail,
        result.at,
        asset=result.asset,
        check=result.check,
        run_id=result.run_id,
    )


def _of_services(records: Records, state: HealthState) -> Iterator[Need]:
    seen = records.daemon_seen_at
    silent = (state.now - seen).total_seconds() if seen is not None else 0.0
    if silent > DAEMON_SILENT_AFTER:
        is_needed = state.tables is not None and state.tables.pending_rows > 0
        values = {"age": str(duration(silent))}
        yield Need("daemon_silent", "error" if is_needed else "warn", values, since=seen)
    if records.switched_off:
        yield Need("switched_off", "warn", {"names": ", ".join(records.switched_off)})
