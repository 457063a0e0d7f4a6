"""The `pipeline_health` asset: what needs somebody, on one page and as checks, materialised at the end of each run.

Here: when and how health is written to Dagster (https://docs.dagster.io/guides/build/assets). Not here: what needs
somebody (`etl_assets.health`), and Dagster's records (`health_records`). A part that can't be read never fails the run:
the page says so in its place, the log has it as an error, `unreadable_parts` counts it.

A run that fails does not reach the asset, and other jobs do not have it: after these, the sensor
`report_health_of_runs` or the command writes the same events without a run (docs/decisions.md, "Health at every end of
a run").

No `from __future__ import annotations` here: Dagster reads the annotations of the functions when they are defined.
"""

import datetime as dt
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, get_args

import dagster as dg

from etl_assets.asset_graph import LEAF_ASSETS
from etl_assets.database.database import Database, sqlstate_of
from etl_assets.health.disk import free_bytes
from etl_assets.health.needs import CHECK_OF, HealthCheck, HealthState, Need, find_needs
from etl_assets.health.page import Links, health_page, summary
from etl_assets.health.tables import read_table_state
from etl_assets.orchestration.health_records import FINISHED, read_records
from etl_assets.orchestration.metadata import OWNERS

logger: Final = logging.getLogger(__name__)

T = TypeVar("T")

HEALTH_ASSET: Final = dg.AssetKey("pipeline_health")
SUMMARY: Final = "summary"
"""Metadata of the asset: the state in one line."""
NEEDS_SHOWN: Final = 20

DESCRIPTION: Final = """\
The state of the whole pipeline on one page: open the metadata `health` of the last materialisation.

Answers:
- What needs somebody, and where is it dealt with?
- How old is each asset, and how much work is pending for it since when?
- Which checks fail, which rows wait in quarantine for what reason, which shops are late?
"""

_CHECKS: Final[dict[HealthCheck, str]] = {
    "checks_and_runs_pass": "The last finished result of every check is good, and no job's last run failed.",
    "imports_are_settled": "No import is refused or held, none is unreadable, and no bad row waits for a correction.",
    "work_is_processed": "No work has been pending for long: a warning after 15 minutes, an error after an hour.",
    "services_are_up": "Dagster's daemon is alive, its sensors are on, the disk has room, every part can be read.",
    "shops_deliver": "No shop has brought nothing for longer than it usually does.",
}


@dataclass(slots=True)
class _Parts:
    """Reader of the parts of the state; notes the reason of each that can't be read."""

    log: logging.Logger
    unreadable: dict[str, str] = field(default_factory=dict)

    def read(self, part: str, read: Callable[[], T]) -> T | None:
        """Read a part; None where that fails, of any part and for any reason."""
        try:
            return read()
        except Exception as error:  # noqa: BLE001  # see above
            reason = f"{type(error).__name__} (SQLSTATE {sqlstate_of(error) or '-'})"
            self.log.error("%s could not be read: %s", part, reason)  # noqa: TRY400  # a driver's text quotes values
            self.unreadable[part] = reason
            return None


def read_health(
    database: Database,
    instance: dg.DagsterInstance,
    *,
    own_run_id: str | None = None,
    log: logging.Logger = logger,
    names_shops: bool = True,
) -> HealthState:
    """Read the state of everything, as it is now.

    Args:
        database: the store.
        instance: the Dagster instance.
        own_run_id: the run that reads it, which does not count as being in progress.
        log: receives the reason of a part that can't be read.
        names_shops: not for what Dagster stores, unless the settings allow it (`_may_name_shops`).
    """
    parts = _Parts(log)
    return HealthState(
        now=dt.datetime.now(dt.UTC),
        tables=parts.read("The state of the tables", lambda: read_table_state(database, names_shops=names_shops)),
        records=parts.read("Dagster's records", lambda: read_records(instance, own_run_id=own_run_id)),
        free_bytes=parts.read("The free space of the disk", lambda: free_bytes(database.settings.home)),
        unreadable=parts.unreadable,
    )


@dg.asset(
    name="pipeline_health",
    deps=list(LEAF_ASSETS),
    group_name="operations",
    kinds={"postgres", "dagster"},
    owners=OWNERS,
    tags={"layer": "operations"},
    # After all steps that are ready (see `priority_tags`), so that it sees the results of the run's checks.
    op_tags={"dagster/priority": "-1"},
    check_specs=[
        dg.AssetCheckSpec(name, asset=HEALTH_ASSET, description=description) for name, description in _CHECKS.items()
    ],
    description=DESCRIPTION,
)
def pipeline_health(context: dg.AssetExecutionContext, database: dg.ResourceParam[Database]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster takes the generic form for several outputs
    """List what needs somebody, and summarise freshness, backlog, checks, quarantine and the last failures."""
    state = read_health(
        database,
        context.instance,
        own_run_id=context.run.run_id,
        log=context.log,
        names_shops=_may_name_shops(database),
    )
    needs = find_needs(state)
    results = [
        dg.AssetCheckResult(check_name=one.check_name, passed=one.passed, severity=one.severity, metadata=one.metadata)
        for one in _evaluations(needs)
    ]
    return dg.MaterializeResult(metadata=_metadata(database, state, needs), check_results=results)


def report_health(database: Database, instance: dg.DagsterInstance) -> str:
    """Write the events of `pipeline_health` without a run; return the summary."""
    state = read_health(database, instance, names_shops=_may_name_shops(database))
    needs = find_needs(state)
    materialization = dg.AssetMaterialization(HEALTH_ASSET, metadata=_metadata(database, state, needs))
    instance.report_runless_asset_event(materialization)
    for evaluation in _evaluations(needs):
        instance.report_runless_asset_event(evaluation)
    return summary(state, needs)


def _may_name_shops(database: Database) -> bool:
    """Return whether Dagster, which keeps its events for ever, may store names of shops (see `reporting.samples`)."""
    return database.settings.sample_rows == "on"


def newest_finished_run(instance: dg.DagsterInstance) -> str | None:
    """Return the id of the run that ended last."""
    filters = dg.RunsFilter(statuses=list(FINISHED))
    newest = instance.get_run_records(filters, limit=1, order_by="update_timestamp")
    return newest[0].dagster_run.run_id if newest else None


def wrote_health(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Return whether the last materialisation of the asset is by this run."""
    event = instance.get_latest_materialization_event(HEALTH_ASSET)
    return event is not None and event.run_id == run_id


def _evaluations(needs: Sequence[Need]) -> Iterator[dg.AssetCheckEvaluation]:
    """Yield the evaluation of each check of the asset: it fails as its worst need does."""
    for name in get_args(HealthCheck):
        found = [need for need in needs if CHECK_OF[need.kind] == name]
        is_error = any(need.severity == "error" for need in found)
        yield dg.AssetCheckEvaluation(
            asset_key=HEALTH_ASSET,
            check_name=name,
            passed=not found,
            severity=dg.AssetCheckSeverity.ERROR if is_error or not found else dg.AssetCheckSeverity.WARN,
            metadata={
                "violation_count": dg.MetadataValue.int(len(found)),
                "problems": dg.MetadataValue.text("\n".join(need.text for need in found[:NEEDS_SHOWN]) or "none"),
            },
            blocking=False,
        )


def _metadata(database: Database, state: HealthState, needs: Sequence[Need]) -> dict[str, Any]:
    settings = database.settings
    links = Links(web_url=settings.web_url, public_url=settings.public_url)
    return {
        "health": dg.MetadataValue.md(health_page(state, needs, links)),
        SUMMARY: summary(state, needs),
        "needs_somebody": len(needs),
        **_figures(state),
        "unreadable_parts": len(state.unreadable),
    }


def _figures(state: HealthState) -> dict[str, int]:
    found: dict[str, int] = {}
    if state.tables is not None:
        found |= {
            "rows_pending": state.tables.pending_rows,
            "open_quarantine": state.tables.quarantined_rows,
            "failed_imports": state.tables.failed_imports.total,
            "held_imports": len(state.tables.held_imports),
            "unreadable_imports": sum(one.is_unreadable for one in state.tables.quarantined_imports),
            "oldest_pending_minutes": round(state.tables.longest_waiting / 60),
        }
    if state.records is not None:
        found["failed_checks"] = len(state.records.failed_checks)
    return found
