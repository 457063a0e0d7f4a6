"""The `pipeline_health` asset: the state of the pipeline on one page, materialised after all other assets of a run.

Here: failed checks and runs, which the Dagster instance records (https://docs.dagster.io/guides/build/assets). Not
here: the state of the tables (`etl_assets.reporting.health`). A part that can't be read never fails the run: the page
says so in its place, the log has it as an error, `unreadable_parts` counts it.

No `from __future__ import annotations` here: Dagster reads the annotations of the functions when they are defined.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from logging import Logger
from typing import Final

import dagster as dg

from etl_assets.asset_graph import LEAF_ASSETS
from etl_assets.database.database import Database, sqlstate_of
from etl_assets.orchestration.check_specs import RUN_CHECKS
from etl_assets.orchestration.metadata import OWNERS
from etl_assets.quality.checks import CHECKS
from etl_assets.reporting.health import NONE, PipelineState, read_pipeline_state, state_sections, summary
from etl_assets.reporting.pages import table

FAILED_RUNS_SHOWN: Final = 5

DESCRIPTION: Final = """\
The state of the whole pipeline on one page: open the metadata `health` of the last materialisation.

Answers:
- How old is each asset, and how much work is pending for it since when?
- Which checks fail, which rows wait in quarantine for what reason?
- Which imports and runs failed last, and why?
"""


@dataclass(slots=True)
class HealthPage:
    """Page under construction, and its figures."""

    log: Logger
    sections: dict[str, str] = field(default_factory=dict)
    figures: dict[str, int] = field(default_factory=dict)
    summary: list[str] = field(default_factory=list)
    unreadable: int = 0

    def add(self, part: str, write: Callable[[], None]) -> None:
        """Write a part; where that fails, say so in its place."""
        try:
            write()
        except Exception as error:  # noqa: BLE001  # of any part, see above
            reason = f"{type(error).__name__} (SQLSTATE {sqlstate_of(error) or '-'})"
            self.log.error("%s could not be read: %s", part, reason)  # noqa: TRY400  # a driver's text quotes values
            self.sections[part] = f"Could not be read: {reason}."
            self.unreadable += 1

    def as_markdown(self) -> str:
        """Return the whole page."""
        now = f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC"
        parts = [f"## {title}\n\n{text}" for title, text in self.sections.items()]
        return "\n\n".join([f"As of {now}.", *parts])


@dg.asset(
    name="pipeline_health",
    deps=list(LEAF_ASSETS),
    group_name="operations",
    kinds={"postgres", "dagster"},
    owners=OWNERS,
    tags={"layer": "operations"},
    description=DESCRIPTION,
)
def pipeline_health(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database]
) -> dg.MaterializeResult[None]:
    """Summarise freshness, backlog, checks, quarantine and the last failures."""
    page = HealthPage(context.log)

    def write_state() -> None:
        state = read_pipeline_state(database)
        page.sections |= state_sections(state)
        page.figures |= _figures(state)
        page.summary.append(summary(state))

    def write_checks() -> None:
        failed = failed_checks(context.instance)
        page.sections["Failed checks"] = table(["asset", "check", "severity", "in run"], failed) if failed else NONE
        page.figures["failed_checks"] = len(failed)
        page.summary.append(f"{len(failed)} failed checks")

    def write_runs() -> None:
        failed = failed_runs(context.instance)
        page.sections["Runs that failed last"] = table(["at (UTC)", "run", "why"], failed) if failed else NONE

    page.add("Freshness, backlog, quarantine and imports", write_state)
    page.add("Failed checks", write_checks)
    page.add("Runs that failed last", write_runs)
    return dg.MaterializeResult(
        metadata={
            "health": dg.MetadataValue.md(page.as_markdown()),
            "summary": " · ".join(page.summary),
            **page.figures,
            "unreadable_parts": page.unreadable,
        }
    )


def failed_checks(instance: dg.DagsterInstance) -> list[tuple[str, str, str, str]]:
    """Return asset, check, severity and run of the checks whose last evaluation failed."""
    found: list[tuple[str, str, str, str]] = []
    of_runs = ((spec.asset_key.to_user_string(), spec.name, "error") for spec in RUN_CHECKS)
    for asset, name, severity in (*of_runs, *((check.asset, check.name, check.severity) for check in CHECKS)):
        record = instance.get_latest_asset_check_evaluation_record(dg.AssetCheckKey(dg.AssetKey(asset), name))
        if record is None or record.event is None or record.event.dagster_event is None:
            continue
        if record.status.value in ("SUCCEEDED", "PLANNED"):
            continue
        found.append((asset, name, severity, record.run_id[:8]))
    return found


def failed_runs(instance: dg.DagsterInstance) -> list[tuple[str, str, str]]:
    """Return time, id and reason of the last failed runs; the reason in our own words, as a driver's quote values."""
    records = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=FAILED_RUNS_SHOWN)
    return [
        (
            f"{record.update_timestamp:%Y-%m-%d %H:%M}",
            record.dagster_run.run_id[:8],
            _reason(instance.all_logs(record.dagster_run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)),
        )
        for record in records
    ]


def _reason(failures: Sequence[dg.EventLogEntry]) -> str:
    for entry in failures:
        event = entry.get_dagster_event()
        said = event.step_failure_data.user_failure_data
        if said is not None and said.description:
            return said.description
    if not failures:
        return "No step failed: the run was ended from outside, or could not start; see its log."
    return f"{failures[0].get_dagster_event().step_key}: an unexpected error; see the log of the run."


def _figures(state: PipelineState) -> dict[str, int]:
    return {
        "rows_pending": state.pending_rows,
        "open_quarantine": state.quarantined_rows,
        "failed_imports": state.failed_imports.total,
        "held_imports": len(state.held_imports),
        "unreadable_imports": sum(one.is_unreadable for one in state.quarantined_imports),
        "oldest_pending_minutes": round(max((one.waiting or 0.0 for one in state.assets), default=0.0) / 60),
    }
