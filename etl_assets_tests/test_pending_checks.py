"""In a run of their asset, checks look at what has changed since they last held; on their own, at whole tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import dagster as dg
import pytest

from etl_assets.asset_graph import TABLE_OF
from etl_assets.definitions import build_defs
from etl_assets.ledger import pending_checks
from etl_assets.orchestration.instance import open_instance
from etl_assets.orchestration.jobs import PIPELINE_JOB, WHOLE_TABLES_JOB
from etl_assets.quality.checks import CHECKS
from etl_assets.quality.running import run_checks
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all, scalar

if TYPE_CHECKING:
    from etl_assets.asset_graph import AssetName
    from etl_assets.pipeline.protocol import Services
    from etl_assets.settings import Settings
    from etl_assets_tests.conftest import Prepare

pytestmark = pytest.mark.slow

ORDERS: Final = 40
ITEMS: Final = '[{"name": "Mug", "quantity": 2, "processes": [{"process": "print", "pictures": 1}]}]'
MORE_ITEMS: Final = ITEMS.replace("2", "3")


def _order(number: int, **fields: str) -> dict[str, str | None]:
    given = {"customer_name": f"buyer {number // 2}", "amount": "10", "ordered_at": "2026-01-01", "items": ITEMS}
    return raw_fields(str(number), **(given | fields))


@pytest.fixture
def checked(services: Services, prepare: Prepare) -> Services:
    """Forty orders of twenty customers, loaded and checked, one of which has another amount and other items since."""
    prepare(load_and_check)
    return services


def load_and_check(services: Services) -> None:
    land(services, [_order(number) for number in range(ORDERS)])
    run_all(services)
    query(services, "ANALYZE orders")
    assert _failed(services) == []
    land(services, [_order(7, amount="12", items=MORE_ITEMS, updated_at="2026-02-01")])
    run_all(services)


def _failed(services: Services, *, whole_tables: bool = False) -> list[tuple[str, str]]:
    return [
        (asset, check.name)
        for asset in TABLE_OF
        for check, outcome in run_checks(services.database, asset, whole_tables=whole_tables)
        if not outcome.passed
        if check.severity == "error"
    ]


def _looked_at(services: Services, asset: AssetName) -> dict[str, bool]:
    return {check.name: outcome.is_of_full_tables for check, outcome in run_checks(services.database, asset)}


BROKEN: Final = {
    "orders": ("no_orphans_of_shop_configs", "UPDATE orders SET shop_id = 99"),
    "order_items": ("no_orphans_of_orders", "UPDATE order_items SET shop_id = 99"),
    "process_items": ("no_orphans_of_orders", "UPDATE process_items SET shop_id = 99"),
    "customers": ("no_orphans_of_shop_configs", "UPDATE customers SET shop_id = 99"),
    "leads": ("figures_equal_orders", "UPDATE business_leads SET total_amount = total_amount + 1"),
}
"""A check of each asset, and what breaks it in all rows."""


def _break(services: Services, asset: str, order_id: str) -> None:
    """Break what `asset` has of one order."""
    customer = "customer_global_id = (SELECT customer_global_id FROM orders WHERE order_id = :order_id)"
    which = customer if asset in ("customers", "leads") else "order_id = :order_id"
    query(services, f"{BROKEN[asset][1]} WHERE {which}", order_id=order_id)


@pytest.mark.parametrize("asset", list(BROKEN))
def test_what_breaks_a_changed_row_is_found_until_it_is_corrected(checked: Services, asset: str) -> None:
    _break(checked, asset, "7")
    expected = (asset, BROKEN[asset][0])
    assert expected in _failed(checked)
    assert expected in _failed(checked), "it is looked at again as long as it fails"


@pytest.mark.parametrize("asset", list(BROKEN))
def test_rows_that_have_not_changed_are_left_to_the_check_of_whole_tables(checked: Services, asset: str) -> None:
    _break(checked, asset, "20")
    expected = (asset, BROKEN[asset][0])
    assert expected not in _failed(checked)
    assert expected in _failed(checked, whole_tables=True)


def test_checks_that_held_have_nothing_left_to_look_at(checked: Services) -> None:
    assert {row["asset"] for row in query(checked, "SELECT DISTINCT asset FROM etl_pending_checks")} >= set(BROKEN)
    assert _failed(checked) == []
    assert scalar(checked, "SELECT count(*) FROM etl_pending_checks") == 0
    _break(checked, "leads", "7")
    assert _failed(checked) == [], "nothing has been processed since"


def test_a_lead_that_an_order_has_left_is_looked_at(checked: Services) -> None:
    land(checked, [_order(7, amount="12", customer_name="somebody else", updated_at="2026-03-01")])
    left = scalar(checked, "SELECT lead_id FROM lead_orders WHERE order_id = '7'")
    assert _failed(checked) == []
    run_all(checked)
    query(checked, "UPDATE business_leads SET bulk_count = 5 WHERE lead_id = :left", left=left)
    assert _failed(checked) == [("leads", "figures_equal_orders")]


def test_a_count_of_whole_tables_is_left_out_where_little_has_changed(checked: Services) -> None:
    left_out = {"table_matches_ledger"}
    names = {check.name for check, _ in run_checks(checked.database, "orders", left_out=left_out)}
    assert names == {check.name for check in CHECKS if check.asset == "orders"} - left_out
    land(checked, [_order(number, amount="13", updated_at="2026-04-01") for number in range(ORDERS // 2)])
    run_all(checked)
    outcomes = run_checks(checked.database, "orders", left_out=left_out)
    looked_at = {check.name: outcome.is_of_full_tables for check, outcome in outcomes}
    assert set(looked_at) == {check.name for check in CHECKS if check.asset == "orders"}
    assert looked_at["no_orphans_of_shop_configs"], "where much has changed, whole tables are checked"


def test_very_many_notes_are_one_check_of_whole_tables(checked: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending_checks, "MAX_RANGES", 1)
    land(checked, [_order(8, amount="13", updated_at="2026-04-01")])
    run_all(checked)
    assert _looked_at(checked, "leads")["figures_equal_orders"]
    assert scalar(checked, "SELECT count(*) FROM etl_pending_checks WHERE asset = 'leads'") == 0


def test_a_full_refresh_is_checked_as_a_whole(checked: Services) -> None:
    assert _failed(checked) == []
    run_all(checked, full_refresh=True)
    assert _looked_at(checked, "leads")["figures_equal_orders"]


def test_order_types_that_no_order_has_any_more_are_not_reported(checked: Services) -> None:
    def unmapped() -> list[str]:
        outcomes = {check.name: outcome for check, outcome in run_checks(checked.database, "orders")}
        return [row["order_type"] for row in outcomes["order_types_are_mapped"].violations]

    land(checked, [_order(9, order_type="rush", updated_at="2026-03-01")])
    run_all(checked)
    assert unmapped() == ["rush"]
    assert unmapped() == ["rush"], "it is reported as long as it is so, and not only after the run that brought it"
    land(checked, [_order(9, order_type="bulk", updated_at="2026-03-02")])
    run_all(checked)
    assert unmapped() == ["bulk"]


def _defs(checked: Services) -> dg.Definitions:
    services = {
        "database": checked.database,
        "batch_processor": checked.batch_processor,
        "vectorized_queries": checked.vectorized_queries,
    }
    hardcoded = dg.ResourceDefinition.hardcoded_resource
    return build_defs(resources={name: hardcoded(service) for name, service in services.items()})


def test_the_ui_says_what_was_looked_at(checked: Services, settings: Settings) -> None:
    defs = _defs(checked)
    with open_instance(settings) as instance:

        def looked_at(job: str, **selection: object) -> set[object]:
            result = defs.resolve_job_def(job).execute_in_process(instance=instance, **selection)  # type: ignore[arg-type]
            return {
                evaluation.metadata["looked_at"].value
                for evaluation in result.get_asset_check_evaluations()
                if evaluation.check_name == "figures_equal_orders"
            }

        assert looked_at(PIPELINE_JOB) == {"what changed"}
        assert looked_at(PIPELINE_JOB, asset_selection=[dg.AssetKey("leads")]) == {"what changed"}
        assert looked_at(WHOLE_TABLES_JOB) == {"whole tables"}


def test_the_count_of_a_table_stands_in_later_runs_until_it_is_bad_or_old(
    checked: Services, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = _defs(checked).resolve_job_def(PIPELINE_JOB)
    key = dg.AssetCheckKey(dg.AssetKey("customers"), "table_matches_ledger")
    with open_instance(settings) as instance:

        def count() -> tuple[bool, object]:
            """Run the checks of customers after the asset, which has nothing to do."""
            selection = [dg.AssetKey("customers")]
            result = job.execute_in_process(instance=instance, asset_selection=selection, raise_on_error=False)
            found = {one.asset_check_key: one for one in result.get_asset_check_evaluations()}
            assert {one.name for one in found} == {check.name for check in CHECKS if check.asset == "customers"}
            return found[key].passed, found[key].metadata["checked_at"].value

        first = count()
        assert first[0]
        query(checked, "INSERT INTO customers SELECT gen_random_uuid(), 'a', 1, 'a', NULL, NULL, 0")
        assert count() == first, "the count was not repeated, and says when it was made"
        monkeypatch.setattr("etl_assets.orchestration.asset_checks.STANDS_FOR_HOURS", 0)
        is_good, second = count()
        assert not is_good
        monkeypatch.undo()
        is_good, third = count()
        assert not is_good
        assert third != second, "a bad count is repeated"


def test_violations_are_counted_in_rows_and_the_first_twenty_shown(checked: Services) -> None:
    land(checked, [_order(100 + number, amount="five") for number in range(30)])
    run_all(checked)
    outcomes = {check.name: outcome for check, outcome in run_checks(checked.database, "orders")}
    bad = outcomes["no_open_quarantine"]
    assert (bad.violation_count, len(bad.violations)) == (30, 20)
    assert list(bad.violations[0]) == ["file", "line", "reason_code", "reason", "quarantined_at", "quarantine_id"]
    assert [row["line"] for row in bad.violations] == list(range(1, 21))
    query(checked, "UPDATE orders SET shop_id = 99")
    outcomes = {check.name: outcome for check, outcome in run_checks(checked.database, "orders", whole_tables=True)}
    orphans = outcomes["no_orphans_of_shop_configs"]
    assert (orphans.violation_count, len(orphans.violations)) == (scalar(checked, "SELECT count(*) FROM orders"), 1)
