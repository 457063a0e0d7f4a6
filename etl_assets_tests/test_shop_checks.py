"""Imports against the settings of known shops: another time zone, and currencies that are given, blank or undecided."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets_tests.helpers.pipeline import query, run_all, scalar

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services

MAPPING = """
name: own
columns: {platform: {constant: p}, shop: Store, order_id: Number, amount: Total, currency: Currency, ordered_at: Date}
"""


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(
        "Store,Number,Total,Currency,Date\nAnn's,1,5,,2024-01-05 10:00\nAnn's,2,5,$,2024-01-05 10:00\n"
        "Bea,3,5,€,2024-01-05 10:00\nBea,4,5,￥,2024-01-05 10:00\n"
    )
    return path


def land(orders: Path, *arguments: str, mapping: str = MAPPING) -> dict[str, Any]:
    """Import the orders with a mapping."""
    file = orders.with_name("mapping.yaml")
    file.write_text(mapping)
    result = CliRunner().invoke(app, ["import", str(orders), "--mapping", str(file), *arguments, "--json"])
    (entry,) = json.loads(result.stdout)["imports"]
    assert result.exit_code == (1 if entry["status"] == "failed" else 0)
    return dict(entry)


def findings(entry: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(one["code"], one["subject"], one["count"], one["first_line"]) for one in entry.get("findings", ())]


def currencies(services: Services) -> dict[str, str | None]:
    run_all(services)
    return {row["order_id"]: row["currency"] for row in query(services, "SELECT order_id, currency FROM orders")}


def test_another_time_zone_for_a_known_shop_fails_the_import_and_names_the_command(
    services: Services, orders: Path
) -> None:
    assert land(orders, "--timezone", "Europe/Rome")["status"] == "completed"
    run_all(services)
    refused = land(orders, "--timezone", "Asia/Tokyo")
    assert refused["status"] == "failed"
    assert "time zone Europe/Rome, not Asia/Tokyo" in refused["error"]
    assert """`etl-assets shops set 'Ann'"'"'s' --timezone Asia/Tokyo`""" in refused["error"]
    assert scalar(services, "SELECT count(*) FROM raw_orders") == 4
    assert land(orders, "--timezone", "Europe/Rome")["status"] == "completed"
    assert land(orders, "--shop", "New", "--timezone", "Asia/Tokyo")["status"] == "completed"


def test_a_shop_that_has_yet_to_be_made_has_the_time_zone_of_its_import(services: Services, orders: Path) -> None:
    land(orders, "--timezone", "Europe/Rome")
    assert land(orders, "--timezone", "Europe/Rome")["status"] == "completed"
    assert land(orders, "--shop", "New", "--timezone", "Asia/Tokyo")["status"] == "completed"
    refused = land(orders, "--timezone", "Asia/Tokyo")
    assert refused["status"] == "failed"
    assert "time zone Europe/Rome, not Asia/Tokyo" in refused["error"]
    assert "run `etl-assets run`" in refused["error"]


def test_another_time_zone_in_a_mapping_is_a_finding(services: Services, orders: Path) -> None:
    in_rome, in_tokyo = (f"{MAPPING}timezone: {zone}\n" for zone in ("Europe/Rome", "Asia/Tokyo"))
    assert "TIMEZONE_IGNORED" not in str(land(orders, mapping=in_rome))
    run_all(services)
    assert "TIMEZONE_IGNORED" not in str(land(orders, mapping=in_rome))
    assert "TIMEZONE_IGNORED" not in str(land(orders))  # it names none
    found = findings(land(orders, mapping=in_tokyo))
    assert found[:2] == [("TIMEZONE_IGNORED", "Ann's", 2, 2), ("TIMEZONE_IGNORED", "Bea", 2, 4)]


def test_the_time_zone_of_a_preset_is_for_new_shops_only(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("platform,shop,order_id\np,Ann,1\n")
    for arguments in (["--timezone", "Europe/Rome"], ["--preset", "generic"]):
        result = CliRunner().invoke(app, ["import", str(path), *arguments, "--json"])
        assert result.exit_code == 0
        assert "TIMEZONE_IGNORED" not in result.stdout
        run_all(services)


def test_symbols_that_nothing_decides_are_findings_and_stay(services: Services, orders: Path) -> None:
    assert findings(land(orders)) == [("AMBIGUOUS_CURRENCY", "$", 1, 3), ("AMBIGUOUS_CURRENCY", "¥", 1, 5)]
    assert currencies(services) == {"1": None, "2": "$", "3": "EUR", "4": "¥"}
    CliRunner().invoke(app, ["shops", "set", "Bea", "--currency", "JPY"])
    assert findings(land(orders)) == [("AMBIGUOUS_CURRENCY", "$", 1, 3)]
    assert currencies(services) == {"1": None, "2": "$", "3": "EUR", "4": "JPY"}


def test_the_mapping_decides_symbols(services: Services, orders: Path) -> None:
    assert findings(land(orders, mapping=MAPPING + "currency_symbols: {$: CAD, ¥: CNY}\n")) == []
    assert currencies(services) == {"1": None, "2": "CAD", "3": "EUR", "4": "CNY"}


def test_the_currency_of_an_import_is_that_of_its_orders_that_name_none(services: Services, orders: Path) -> None:
    land(orders, "--currency", "chf")
    assert currencies(services) == {"1": "CHF", "2": "$", "3": "EUR", "4": "¥"}


@pytest.mark.parametrize("currency", ["$", "francs", ""])
def test_an_import_with_a_currency_that_no_one_knows_is_wrong_use(orders: Path, currency: str) -> None:
    result = CliRunner().invoke(app, ["import", str(orders), "--currency", currency])
    assert result.exit_code == 2
    assert "--currency" in result.stderr
