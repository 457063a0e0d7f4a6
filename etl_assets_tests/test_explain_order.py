"""Why an order is as it is: its versions with import and line, which one counts, what each changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.orders.explanations import TEXTS, explain_versions
from etl_assets.quarantine.corrections import build_corrections, import_corrections
from etl_assets.reverts.imports import restore_imports, revert_imports
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services

Row = dict[str, str | None]


def version(raw_id: int, time: int | None = None, amount: int = 1, **known: object) -> dict[str, Any]:
    usual = {
        "import_status": "completed",
        "is_correction_reverted": False,
        "is_pending": False,
        "is_of_lines": False,
        "corrected_by": None,
        "entry": None,
        "values": {"source_updated_at": time, "amount": amount},
    }
    return {"raw_id": raw_id, **usual, **known}


def bad(raw_id: int, resolution: str | None = None, corrected_by: int | None = None) -> dict[str, Any]:
    entry = {"reason": "BAD_AMOUNT: amount looks like aa", "resolution": resolution}
    return version(raw_id, entry=entry, values=None, corrected_by=corrected_by)


def states(counting: int | None, *versions: dict[str, Any]) -> dict[int, str]:
    return {one["raw_id"]: one["state"] for one in explain_versions(versions, counting, 9)}


@pytest.mark.parametrize(
    ("counting", "versions", "expected"),
    [
        (1, [version(1)], {1: "only"}),
        (1, [version(1), version(2)], {1: "only", 2: "same"}),
        (2, [version(1, 5), version(2, 6)], {1: "older", 2: "newest"}),
        (1, [version(1, 6), version(2, 5)], {1: "newest", 2: "older"}),
        (2, [version(1, 5), version(2, 5, 7)], {1: "earlier_import", 2: "last_of_time"}),
        (2, [version(1), version(2, amount=7)], {1: "earlier_import_of_none", 2: "last_of_none"}),
        (1, [version(1, 5), version(2, amount=7)], {1: "newest", 2: "without_time"}),
        (1, [version(1), version(2, 5)], {1: "newest", 2: "not_yet"}),
        (1, [version(1), bad(2)], {1: "only", 2: "quarantined"}),
        (2, [bad(1, "superseded"), version(2)], {1: "rejected", 2: "only"}),
        (None, [bad(1, "dismissed")], {1: "dismissed"}),
        (2, [bad(1, "replayed", corrected_by=2), version(2)], {1: "corrected", 2: "only"}),
        (1, [version(1), version(2, 5, import_status="reverted")], {1: "only", 2: "reverted"}),
        (None, [version(1, import_status="held"), version(2, is_pending=True)], {1: "held", 2: "pending"}),
        (None, [version(1, is_correction_reverted=True)], {1: "correction_reverted"}),
        (
            1,
            [version(1), version(2, is_of_lines=True), version(9, is_of_lines=True)],
            {1: "only", 2: "other_lines", 9: "lines"},
        ),
        (1, [version(1, entry={"reason": "", "resolution": "replayed"})], {1: "only"}),
    ],
)
def test_each_version_has_a_state(
    counting: int | None, versions: list[dict[str, Any]], expected: dict[int, str]
) -> None:
    assert states(counting, *versions) == expected
    assert set(expected.values()) <= set(TEXTS)


def test_versions_stand_in_the_order_of_the_rule_and_say_what_they_changed() -> None:
    told = explain_versions([version(3, 5, 7), version(1, 6, 8), version(2, 5), bad(4)], 1)
    assert [one["raw_id"] for one in told] == [4, 2, 3, 1]
    assert [one["changed"] for one in told] == [
        {},
        {},
        {"amount": (1, 7)},
        {"source_updated_at": (5, 6), "amount": (7, 8)},
    ]
    assert told[0]["text"] == "in quarantine: BAD_AMOUNT: amount looks like aa"
    assert told[2]["text"] == "does not count: its time of change is before that of raw row 1"


def order(amount: str, updated_at: str | None = None, **fields: str | None) -> Row:
    return {**raw_fields("7", amount=amount, updated_at=updated_at, customer_name="Ann"), **fields}


def load(services: Services, *rows: Row) -> Any:
    import_id = land(services, rows)
    run_all(services)
    return import_id


def explain(*arguments: str, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["explain", "order", *arguments, "--json"])
    assert result.exit_code == code, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def told(found: dict[str, Any]) -> list[tuple[int, str]]:
    return [(one["raw_id"], one["state"]) for one in found["versions"]]


@pytest.mark.slow
def test_an_order_is_explained_from_all_imports(services: Services) -> None:
    load(services, order("10", "2024-01-01 10:00:00"))
    newest = load(services, order("12", "2024-01-03 10:00:00", order_status="paid"))
    load(services, order("11", "2024-01-02 10:00:00"), order("much", "2024-01-04 10:00:00", items="[]"))
    found = explain("s", " 7 ")
    assert told(found) == [(4, "quarantined"), (1, "older"), (3, "older"), (2, "newest")]
    assert (found["versions"][0]["line"], found["versions"][0]["source"]) == (2, "test")
    assert found["versions"][-1]["changed"]["latest_status"] == [None, "paid"]
    assert found["order"]["amount"] == "12.0000"
    assert [one["change"] for one in found["changes"]] == ["inserted", "updated"]
    assert found["changes"][1]["values"]["amount"] == ["10.0000", "12.0000"]

    revert_imports(services.database, [newest])
    run_all(services)
    found = explain("s", "7", "--platform", "p")
    assert told(found) == [(4, "quarantined"), (1, "older"), (3, "newest"), (2, "reverted")]
    assert found["changes"][-1]["values"]["latest_status"] == ["paid", None]
    restore_imports(services.database, [newest])
    assert (2, "pending") in told(explain("s", "7"))


@pytest.mark.slow
def test_corrected_rows_and_rows_of_other_orders_are_explained(services: Services, tmp_path: Path) -> None:
    load(services, order("much", order_id="７ ?", platform_order_id="501"), order("5", platform_order_id="501"))
    load(services, order("6", platform_order_id="502"))
    entry = query(services, "SELECT quarantine_id FROM quarantine WHERE raw_id = 1")[0]
    correction = build_corrections(services.database, [entry | {"amount": "8", "order_id": "7"}])
    import_corrections(services.database, correction, tmp_path / "fixed.csv")
    run_all(services)
    found = explain("s", "7")
    assert told(found) == [(1, "corrected"), (2, "earlier_import_of_none"), (3, "quarantined"), (4, "last_of_none")]
    assert found["versions"][0]["text"] == "could not be loaded, and was corrected by raw row 4"
    assert "CONFLICTING_ORDER" in found["versions"][2]["text"]
    assert found["versions"][-1]["source"].endswith("fixed.csv")


@pytest.mark.slow
def test_an_order_without_a_version_that_counts_is_explained_even_if_its_shop_is_gone(services: Services) -> None:
    revert_imports(services.database, [load(services, order("10"))])
    run_all(services)
    assert query(services, "SELECT FROM shop_configs") == []
    found = explain("s", "7")
    assert found["order"] is None
    assert told(found) == [(1, "reverted")]
    assert [one["change"] for one in found["changes"]] == ["inserted", "deleted"]
    assert "not stored" in CliRunner().invoke(app, ["explain", "order", "s", "7"]).stdout


@pytest.mark.slow
def test_unknown_orders_and_shops_and_ambiguous_ones_are_told(services: Services) -> None:
    load(services, order("10"), order("10", platform="q"))
    assert "Order" in CliRunner().invoke(app, ["explain", "order", "s", "7", "--platform", "q"]).stdout
    assert "several platforms" in explain("s", "7", code=2)["error"]
    assert "There is no shop 'x'" in explain("x", "7", code=1)["error"]
    assert "No import has an order '8'" in explain("s", "8", "--platform", "p", code=1)["error"]
