"""Changes of runs and imports: old and new values as snapshots of the tables tell them, whatever happened since."""

from __future__ import annotations

import html
import json
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from etl_assets.asset_graph import STEP_ASSETS, TABLE_OF
from etl_assets.changes.net import KINDS
from etl_assets.changes.report import batches_of_run, table_changes
from etl_assets.cli.main import app
from etl_assets.reporting.changes import changes_page
from etl_assets.reverts.imports import revert_imports
from etl_assets.run.registry import STEPS, run_asset
from etl_assets_tests.helpers import strategies
from etl_assets_tests.helpers.effort import HISTORIES
from etl_assets_tests.helpers.pipeline import assert_same, land, query, raw_fields, start_afresh, with_batch_size
from etl_assets_tests.test_revert_histories import CutOffError, History, cut_off

if TYPE_CHECKING:
    from uuid import UUID

    from etl_assets.pipeline.protocol import Services
    from etl_assets.presets.model import Preset
    from etl_assets.settings import SampleRows

KEYS: Final = {
    "shop_configs": ("shop_id",),
    "orders": ("shop_id", "order_id"),
    "order_items": ("order_no", "line_no"),
    "process_items": ("order_no", "line_no", "process_no"),
    "customers": ("customer_global_id",),
    "business_leads": ("lead_id",),
}
BOOKKEEPING: Final = {
    *("created_at", "updated_at", "opened_at", "reopened_at"),
    *("batch_id", "created_batch_id", "latest_raw_id", "order_no"),
}
NEVER: Final = 10_000

Snapshot = dict[str, dict[tuple[Any, ...], dict[str, Any]]]
Changes = dict[str, dict[tuple[Any, ...], dict[str, tuple[Any, Any]]]]


def take_snapshot(services: Services) -> Snapshot:
    """Read the values of all rows by their keys."""
    found: Snapshot = {}
    for table, key in KEYS.items():
        rows = query(services, f"SELECT CAST(to_jsonb(t) AS text) AS row FROM {table} t")  # noqa: S608
        decoded = [json.loads(row["row"], parse_float=Decimal) for row in rows]
        found[table] = {tuple(row[name] for name in key): row for row in decoded}
    return found


def difference(before: Snapshot, after: Snapshot) -> Changes:
    """Compare two snapshots: old and new values of the columns that differ, by key."""
    found: Changes = {}
    for table, key in KEYS.items():
        found[table] = {}
        for at in before[table].keys() | after[table].keys():
            old, new = before[table].get(at, {}), after[table].get(at, {})
            names = (old.keys() | new.keys()) - BOOKKEEPING - set(key) - (set() if old else {"current_stage"})
            values = {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}
            if values:
                found[table][at] = values
    return found


def read(services: Services, run_id: str) -> tuple[Changes, dict[str, int]]:
    """Read the changes of a run, and their counts."""
    with services.database.transaction() as connection:
        found = batches_of_run(connection, run_id)
        changes = table_changes(connection, found, list(KEYS), limit=NEVER)
    rows = {
        one.table: {tuple(row.change.key[name] for name in KEYS[one.table]): dict(row.change.values) for row in named}
        for one, named in changes
    }
    return rows, {one.table: sum(one.counts.values()) for one, _ in changes}


@dataclass
class LoggedHistory(History):
    """History whose runs are compared with snapshots."""

    expected: dict[str, Changes] = field(default_factory=dict)

    def run_logged(self, assets: int, statements: int = NEVER) -> None:
        run_id = str(uuid.uuid4())
        before = take_snapshot(self.services)
        with suppress(CutOffError), cut_off(self.services, statements):
            for asset in list(STEPS)[:assets]:
                run_asset(asset, self.services, run_id=run_id)
        if query(self.services, "SELECT FROM etl_batches WHERE run_id = :run_id LIMIT 1", run_id=run_id):
            self.expected[run_id] = difference(before, take_snapshot(self.services))
            self.assert_told(run_id)

    def assert_told(self, run_id: str) -> None:
        told, counts = read(self.services, run_id)
        expected = self.expected[run_id]
        for table, rows in expected.items():
            assert_same(f"changes of {table}", told[table], rows)
        assert counts == {table: len(rows) for table, rows in expected.items()}


def test_every_table_of_an_asset_has_a_key_here() -> None:
    assert set(KEYS) == {TABLE_OF[asset] for asset in STEP_ASSETS}


@pytest.mark.slow
@pytest.mark.sampled
@pytest.mark.timeout(300 + 10 * HISTORIES)
@given(data=st.data(), preset=strategies.presets())
@settings(max_examples=HISTORIES)
def test_changes_of_a_run_are_the_difference_of_snapshots_before_and_after_it(
    services: Services, data: st.DataObject, preset: Preset
) -> None:
    rows = data.draw(strategies.raw_field_lists(max_size=15))
    imports = data.draw(strategies.split_into_imports(rows))
    start_afresh(with_batch_size(services, data.draw(st.sampled_from((2, 5, 1000)))))
    history = LoggedHistory(services, preset)

    def chosen() -> UUID:
        return data.draw(st.sampled_from([import_id for import_id, _ in history.imports]))

    def chill() -> None:
        query(services, "UPDATE business_leads SET current_stage = 'COLD' WHERE current_stage = 'OPEN'")

    steps = [
        lambda: history.run_logged(len(STEPS)),
        lambda: history.run_logged(data.draw(st.integers(1, len(STEPS)))),
        lambda: history.run_logged(len(STEPS), data.draw(st.integers(1, 150))),
        lambda: history.revert(chosen()),
        lambda: history.restore(chosen()),
        chill,
    ]
    for part in imports:
        history.land(part)
        for step in data.draw(st.lists(st.sampled_from(range(len(steps))), max_size=4)):
            steps[step]()
    history.run_logged(len(STEPS))
    query(services, "UPDATE business_leads SET current_stage = 'OPEN' WHERE current_stage = 'COLD'")
    for run_id in history.expected:
        history.assert_told(run_id)


def order(order_id: str = "7", **fields: str | None) -> dict[str, str | None]:
    return {**raw_fields(order_id, amount="10", customer_name="Ann", items="Cup*2"), **fields}


def load(services: Services, *rows: dict[str, str | None]) -> tuple[str, UUID]:
    """Land rows as an import and run all assets; return the ids of the run and the import."""
    run_id, import_id = str(uuid.uuid4()), land(services, rows)
    for asset in STEPS:
        run_asset(asset, services, run_id=run_id)
    return run_id, import_id


def changes(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["changes", *arguments, "--json"])
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.slow
def test_the_command_shows_counts_and_rows_of_a_run_and_of_an_import(services: Services) -> None:
    first, _ = load(services, order(), order("8"))
    second, import_id = load(services, order(amount="12", order_status="cancelled", items="Cup*3,Hat"))
    (run,) = changes("--run", second[:8])["runs"]
    counts = {name: [table[kind] for kind in KINDS] for name, table in run["tables"].items()}
    assert counts == {
        "shop_configs": [0, 0, 0],
        "orders": [1, 0, 0],
        "order_items": [1, 0, 1],
        "process_items": [0, 0, 0],
        "customers": [1, 0, 0],
        "business_leads": [1, 0, 0],
    }
    assert changes("--import", str(import_id))["runs"] == [run]
    (row,) = run["tables"]["orders"]["rows"]
    values = row.pop("values")
    names = {"platform": "p", "shop_name": "s", "order_id": "7"}
    assert row == {"change": "updated", **names, "key": {"shop_id": 1, "order_id": "7"}}
    assert values["amount"] == {"old": "10.0000", "new": "12.0000"}
    assert values["is_cancelled"] == {"old": False, "new": True}
    (lead,) = run["tables"]["business_leads"]["rows"]
    assert lead["customer_nickname"] == "Ann"
    assert lead["values"]["total_amount"] == {"old": "20.0000", "new": "10.0000"}

    (run,) = changes("--run", first, "--table", "orders", "--limit", "1")["runs"]
    assert run["tables"].keys() == {"orders"}
    assert (run["tables"]["orders"]["inserted"], len(run["tables"]["orders"]["rows"])) == (2, 1)
    assert run["tables"]["orders"]["rows"][0]["values"]["amount"]["new"] == "10.0000"
    text = CliRunner().invoke(app, ["changes", "--run", second]).stdout
    assert all(shown in text for shown in ("orders: 1 of 1 changed rows", "p s 7", "is_cancelled", "yes"))


def told_of_import(import_id: UUID) -> dict[str, list[tuple[str, str]]]:
    """Return the kind and the name of each row that an import has changed, by table."""
    (run,) = changes("--import", str(import_id))["runs"]
    names = ("order_id", "customer_nickname", "shop_name")
    return {
        table: sorted((row["change"], next(row[name] for name in names if name in row)) for row in found["rows"])
        for table, found in run["tables"].items()
        if table != "process_items" and len(found["rows"]) == sum(found[kind] for kind in KINDS)
    }


@pytest.mark.slow
def test_imports_of_one_batch_are_told_apart_by_their_orders(services: Services) -> None:
    first = land(services, [order("1"), order("2", customer_name="Bob")])
    load(services, order("3", customer_name="Cid"), order("4"))
    of_shop = {"shop_configs": [("inserted", "s")]}
    people = [("inserted", "Ann"), ("inserted", "Bob")]
    orders = [("inserted", "1"), ("inserted", "2")]
    assert told_of_import(first) == {
        **of_shop, "orders": orders, "order_items": orders, "customers": people, "business_leads": people,
    }  # fmt: skip
    third = land(services, [order("1", amount="11"), order("5", customer_name="Dan")])
    _, fourth = load(services, order("3", customer_name="Bob", items="Hat"), order("9", amount="?"))
    assert told_of_import(third) == {
        "shop_configs": [],
        "orders": [("inserted", "5"), ("updated", "1")],
        "order_items": [("inserted", "5")],
        "customers": [("inserted", "Dan")],
        "business_leads": [("inserted", "Dan"), ("updated", "Ann")],
    }
    assert told_of_import(fourth) == {
        "shop_configs": [],
        "orders": [("updated", "3")],
        "order_items": [("updated", "3")],
        "customers": [("deleted", "Cid"), ("updated", "Bob")],
        "business_leads": [("deleted", "Cid"), ("updated", "Bob")],
    }


@pytest.mark.slow
def test_changes_of_reverts_refreshes_and_cold_leads_are_those_of_their_runs(services: Services) -> None:
    load(services, order(ordered_at="2024-01-01"))
    _, import_id = load(services, order(amount="12"))
    revert_imports(services.database, [import_id])
    reverted, _ = load(services)
    (run,) = changes("--run", reverted, "--table", "orders")["runs"]
    assert run["tables"]["orders"]["rows"][0]["values"]["amount"] == {"old": "12.0000", "new": "10.0000"}
    assert [one["run_id"] for one in changes("--import", str(import_id))["runs"]][-1] == reverted
    services.database.settings = services.database.settings.model_copy(update={"cold_after_days": 1})
    cooled = str(uuid.uuid4())
    run_asset("leads", services, run_id=cooled)
    (run,) = changes("--run", cooled)["runs"]
    assert run["tables"]["business_leads"]["rows"][0]["values"] == {"current_stage": {"old": "OPEN", "new": "COLD"}}


@pytest.mark.slow
def test_settings_that_a_shop_gets_by_a_revert_are_no_change_of_the_run_that_made_it(services: Services) -> None:
    first, import_id = load(services, order(currency="CNY"))
    load(services, order("8", currency="GBP"))
    revert_imports(services.database, [import_id])
    load(services)
    (run,) = changes("--run", first, "--table", "shop_configs")["runs"]
    (shop,) = run["tables"]["shop_configs"]["rows"]
    assert (shop["change"], shop["values"]["currency"]) == ("inserted", {"old": None, "new": "CNY"})
    told = [run["tables"]["shop_configs"]["rows"] for run in changes("--import", str(import_id))["runs"]]
    reset = [row["values"] for rows in told for row in rows if row["change"] == "updated"]
    assert reset == [{"currency": {"old": "CNY", "new": "GBP"}}]


@pytest.mark.slow
def test_settings_that_a_shop_gets_as_an_import_is_held_are_changes_of_that_run(services: Services) -> None:
    load(services, order(shop="other"))
    services.database.settings = services.database.settings.model_copy(update={"brake_share": 0, "brake_rows": 0})
    removing = land(services, [order(shop="other", order_status="cancelled"), order("2", currency="CNY")])
    run_id, _ = load(services, order("3", currency="GBP"))
    held = query(services, "SELECT import_id FROM import_tasks WHERE status = 'held'")
    assert [row["import_id"] for row in held] == [removing]
    (run,) = changes("--run", run_id, "--table", "shop_configs")["runs"]
    (shop,) = run["tables"]["shop_configs"]["rows"]
    assert (shop["change"], shop["values"]["currency"]) == ("inserted", {"old": None, "new": "GBP"})


@pytest.mark.slow
def test_a_first_load_and_an_import_of_unchanged_rows_log_nothing(services: Services) -> None:
    rows = [order(str(number), customer_name=f"c{number % 3}") for number in range(9)]
    load(with_batch_size(services, 1000), *rows)
    again, import_id = load(services, *rows)
    assert query(services, "SELECT * FROM row_changes") == []
    (run,) = changes("--run", again)["runs"]
    assert all(table["rows"] == [] for table in run["tables"].values())
    assert changes("--import", str(import_id))["runs"]


@pytest.mark.slow
def test_ids_and_tables_that_do_not_exist_are_wrong_use(services: Services) -> None:
    run_id, import_id = load(services, order())
    assert "one run (--run) or of one import" in changes(code=2)["error"]
    assert "one run (--run) or of one import" in changes("--run", run_id, "--import", str(import_id), code=2)["error"]
    assert "No run" in changes("--run", "ffffffff", code=2)["error"]
    assert "No run" in changes("--run", run_id[:2], code=2)["error"]
    assert "No import" in changes("--import", "ffff", code=2)["error"]
    assert "use one of shop_configs, orders" in changes("--run", run_id, "--table", "x", code=2)["error"]


@pytest.mark.parametrize(("mode", "shown"), [("on", "p s 7"), ("masked", "x x 9 (shop_id 1)"), ("off", None)])
@pytest.mark.slow
def test_the_page_of_a_run_shows_what_the_settings_allow(
    services: Services, mode: SampleRows, shown: str | None
) -> None:
    load(services, order(), order("8"))
    run_id, _ = load(services, order(amount="12", customer_name="Bob", ordered_at="2024-01-01 10:00:00"))
    services.database.settings = services.database.settings.model_copy(update={"sample_rows": mode})
    page = changes_page(services.database, "orders", run_id)
    if shown is None:
        assert page is None
        return
    assert page is not None
    lines = [[html.unescape(cell.strip()) for cell in line.strip("|").split("|")] for line in page.splitlines()]
    assert lines[0] == ["row", "column", "old", "new"]
    assert lines[2][0] == shown
    values = {column: (old, new) for _, column, old, new in lines[2:]}
    assert values["amount"] == ("10", "12")
    assert values["ordered_at"] == ("", "2024-01-01 02:00:00")
    assert values["customer_nickname"] == (("Ann", "Bob") if mode == "on" else ("xxx", "xxx"))
    customers = changes_page(services.database, "customers", run_id)
    assert customers is not None
    assert ("Ann" in customers) == (mode == "on")
