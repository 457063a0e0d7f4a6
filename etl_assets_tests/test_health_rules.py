"""Rules of health: which shops are late, what needs somebody. Pure: literal frames and states."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final, get_args
from uuid import UUID

import polars as pl
import pytest

from etl_assets.health.disk import FEW_FREE_BYTES, LEAST_FREE_BYTES
from etl_assets.health.needs import CHECK_OF, SENTENCES, HealthState, Need, NeedKind, find_needs, headline
from etl_assets.health.page import Links, health_page
from etl_assets.health.records import CheckResult, FailedRun, Records
from etl_assets.health.rhythm import ARRIVALS, shop_rhythms
from etl_assets.health.tables import AssetState, TableState
from etl_assets.reporting.failed_imports import FailedImports
from etl_assets.reporting.held import HeldImport

NOW: Final = dt.datetime(2026, 3, 20, 12, tzinfo=dt.UTC)
IMPORT: Final = UUID("3f2a0000-0000-4000-8000-000000000001")
DAILY: Final = (2, 3, 4, 5, 6, 9, 10, 11, 12, 13)
"""Two weeks of March 2026, from Monday to Friday."""


def arrivals(**days: tuple[int, ...]) -> pl.DataFrame:
    rows = [("p", shop, shop, dt.date(2026, 3, day)) for shop, of_shop in days.items() for day in of_shop]
    return pl.DataFrame(rows, schema=ARRIVALS, orient="row")


@pytest.mark.parametrize(
    ("days", "today", "usual", "is_late"),
    [
        (DAILY, 16, 3, False),  # Monday after the weekend
        (DAILY, 17, 3, False),
        (DAILY, 18, 3, True),
        ((1, 2, 3, 4, 5, 6), 7, 1, False),
        ((1, 2, 3, 4, 5, 6), 8, 1, False),  # a day left out
        ((1, 2, 3, 4, 5, 6), 9, 1, True),
        ((1, 2, 3, 4, 5), 30, None, False),  # too few days for a rhythm
        ((1, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19), 22, 1, True),  # one long gap is no rhythm
        ((), 20, None, False),
    ],
)
def test_a_shop_is_late_against_its_own_rhythm(
    days: tuple[int, ...],
    today: int,
    usual: int | None,
    is_late: bool,  # noqa: FBT001  # pytest passes it by name
) -> None:
    rhythms = shop_rhythms(arrivals(North=days), dt.date(2026, 3, today))
    assert rhythms.select("usual_days", "is_late").rows() == ([(usual, is_late)] if days else [])


def test_a_shop_that_was_closed_long_ago_is_not_late() -> None:
    frame = arrivals(North=(1, 2, 3, 4, 5, 6))
    assert shop_rhythms(frame, dt.date(2026, 6, 4))["is_late"].to_list() == [True]
    assert shop_rhythms(frame, dt.date(2026, 6, 5))["is_late"].to_list() == [False]


def test_late_shops_come_first_then_those_that_are_silent_for_longest() -> None:
    frame = arrivals(new=(1,), weekly=(19,), daily=DAILY)
    assert shop_rhythms(frame, dt.date(2026, 3, 20))["shop_name"].to_list() == ["daily", "new", "weekly"]


def tables(**changes: Any) -> TableState:
    nothing: dict[str, Any] = {
        "assets": [],
        "quarantine": [],
        "failed_imports": FailedImports(0, []),
        "quarantined_imports": [],
        "held_imports": [],
        "arrivals": arrivals(),
    }
    return TableState(**(nothing | changes))


def state(**changes: Any) -> HealthState:
    nothing: dict[str, Any] = {"tables": tables(), "records": Records(), "free_bytes": FEW_FREE_BYTES}
    return HealthState(now=NOW, **(nothing | changes))


def result(check: str, *, passed: bool = False, severity: Any = "error", **more: Any) -> CheckResult:
    return CheckResult("orders", check, passed, severity, NOW, "run-1", **more)


def pending(seconds: float) -> TableState:
    return tables(assets=[AssetState("orders", NOW, 9.0, 1000, seconds)])


def found(health: HealthState) -> list[tuple[str, str]]:
    return [(need.kind, need.severity) for need in find_needs(health)]


def test_nothing_needs_anybody_where_nothing_is_wrong() -> None:
    passed = Records(checks=[result("unique_keys", passed=True)], daemon_seen_at=NOW - dt.timedelta(seconds=60))
    assert found(state(records=passed, tables=pending(60))) == []
    assert headline([]) == "Nothing needs anybody."


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tables": pending(899)}, []),
        ({"tables": pending(901)}, [("work_waiting", "warn")]),
        ({"tables": pending(3601)}, [("work_waiting", "error")]),
        ({"tables": pending(3601), "records": Records(is_running=True)}, []),
        ({"tables": pending(6 * 3600 + 1), "records": Records(is_running=True)}, [("work_waiting", "error")]),
        ({"records": Records(daemon_seen_at=NOW - dt.timedelta(seconds=301))}, [("daemon_silent", "warn")]),
        ({"records": Records(daemon_seen_at=NOW - dt.timedelta(seconds=299))}, []),
        (
            {"records": Records(daemon_seen_at=NOW - dt.timedelta(hours=3)), "tables": pending(60)},
            [("daemon_silent", "error")],
        ),
        ({"records": Records(switched_off=("inbox",))}, [("switched_off", "warn")]),
        ({"records": Records(failed_runs=[FailedRun("r", "etl_pipeline", NOW, "no disk")])}, [("run_failed", "error")]),
        ({"free_bytes": FEW_FREE_BYTES - 1}, [("disk_low", "warn")]),
        ({"free_bytes": LEAST_FREE_BYTES - 1}, [("disk_low", "error")]),
        ({"tables": None, "unreadable": {"The tables": "OperationalError"}}, [("part_unreadable", "error")]),
        ({"tables": tables(arrivals=arrivals(North=DAILY))}, [("shop_late", "warn")]),
        ({"tables": tables(held_imports=[HeldImport(IMPORT, "a.csv", 9, {}, None)])}, [("import_held", "error")]),
        (
            {"tables": tables(quarantine=[{"asset": "orders", "reason_code": "BAD_AMOUNT", "rows": 2, "since": NOW}])},
            [("rows_quarantined", "warn")],
        ),
    ],
)
def test_what_needs_somebody(changes: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert found(state(**changes)) == expected


def test_failing_checks_are_needs_of_their_kind_and_of_their_severity() -> None:
    failed = [
        result("unique_keys", count=3),
        result("order_types_are_mapped", severity="warn", count=2),
        result("no_open_quarantine", severity="warn", count=2),  # told as bad rows
        result("all_inputs_ingested", severity="warn", count=0),  # only refused files, which are told one by one
    ]
    needs = find_needs(state(records=Records(checks=failed)))
    assert [(need.kind, need.severity) for need in needs] == [
        ("check_failed", "error"),
        ("order_types_are_mapped", "warn"),
    ]
    assert needs[0].dagster_path == "assets/orders?view=checks&checkDetail=unique_keys"
    assert needs[1].text == "Order types without a mapping count as BULK: 2."
    (left,) = find_needs(state(records=Records(checks=[result("all_inputs_ingested", count=1, problems="no mapping")])))
    assert (left.kind, left.detail) == ("inputs_stuck", "no mapping")


def test_refused_imports_are_named_and_those_beyond_the_shown_ones_counted() -> None:
    shown = [{"import_id": IMPORT, "created_at": NOW, "source": "/inbox/may.csv", "error": "may.csv: no headers"}]
    needs = find_needs(state(tables=tables(failed_imports=FailedImports(3, shown))))
    assert [need.text for need in needs] == ["Refused: may.csv.", "Refused: + 2."]
    assert needs[0].web_path == f"/imports/{IMPORT}"
    assert headline(needs) == "2 things need somebody."


def test_errors_come_first_and_the_page_links_each_need() -> None:
    shown = [{"import_id": IMPORT, "created_at": NOW, "source": "/inbox/a|b.csv", "error": "no headers"}]
    health = state(tables=tables(failed_imports=FailedImports(1, shown)), records=Records(switched_off=("inbox",)))
    needs = find_needs(health)
    assert [need.severity for need in needs] == ["error", "warn"]
    page = health_page(health, needs, Links(web_url="https://web.example.com/", public_url="https://ui.example.com"))
    assert page.startswith("**2 things need somebody.** As of 2026-03-20 12:00 UTC.")
    assert f"[Refused: a&#124;b.csv.](https://web.example.com/imports/{IMPORT})" in page


def test_every_kind_of_need_has_a_sentence_and_a_check() -> None:
    assert set(SENTENCES) == set(CHECK_OF) == set(get_args(NeedKind))
    assert Need("shop_late", "warn", {"shop": "North", "days": "9", "usual": "3"}).text == (
        "North has brought nothing for 9 days (usual: 3 at most)."
    )
