"""Presets of platforms read generated exports as their expectations say: import, run, compare everything.

All files are imported at once, each into a shop of its own, without naming its preset. A new platform needs a layout
(`generator/platforms`) and a preset (`presets`), and no test: all layouts whose preset exists are tested here.
"""

from __future__ import annotations

import json
import shutil
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from etl_assets.generator.platforms.registry import LAYOUTS
from etl_assets.generator.platforms.write import write_export
from etl_assets.presets.catalog import list_presets
from etl_assets.presets.detect import detect_preset, nearest_presets
from etl_assets.raw_orders.importing import Overrides, import_sheets
from etl_assets.run.registry import build_services
from etl_assets.settings import Settings
from etl_assets_tests.helpers.in_process_reader import FilesHere
from etl_assets_tests.helpers.pipeline import query, run_all
from etl_assets_tests.helpers.reference_values import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from etl_assets.generator.platforms.layout import Layout
    from etl_assets.raw_orders.load import ImportResult
    from etl_assets_tests.helpers.database_pool import DatabasePool

ORDERS: Final = 40
PRESETS: Final = {preset.name: preset for preset in list_presets()}
LINES_OF: Final[Mapping[str, str]] = {
    "etsy_items-us": "etsy_orders-us", "etsy_items-uk": "etsy_orders-uk", "taobao_items-old": "taobao-old",
    "taobao_items-new": "taobao-new", "taobao_items-new_csv": "taobao-new_csv",
    "etsy_items-us_excel_tab": "etsy_orders-us_excel_tab",
}  # fmt: skip
"""Files of lines, and those of the same orders: they are imported into one shop."""
READ: Final = [layout for layout in LAYOUTS if layout.preset in PRESETS]
NOT_SAID: Final[Mapping[str, frozenset[str]]] = {
    "woocommerce_analytics-old": frozenset(("refunded_amount",)),
    "woocommerce_analytics-new": frozenset(("refunded_amount",)),
}
"""Facts that a file has in a form which its preset leaves out: the negative rows of refunds."""


PRESETS_OF: Final = {"taobao-workbook": {"taobao", "taobao_items"}}
"""Files that several presets take a sheet each of."""
FACTS: Final = frozenset(
    ("customer", "status", "cancelled", "amount", "currency", "refunded_amount", "ordered_at", "remark", "items")
)
ORDERS_OF_SHOPS: Final = """
    SELECT o.*, s.shop_name, r.remark FROM orders o JOIN shop_configs s USING (shop_id) JOIN raw_orders r USING (raw_id)
"""
ITEMS_OF_SHOPS: Final = """
    SELECT i.*, s.shop_name FROM order_items i JOIN shop_configs s USING (shop_id) ORDER BY i.line_no
"""


class Imported(NamedTuple):
    """One file after all runs: its imports, its expectation, and what the tables hold of its shop."""

    results: list[ImportResult]
    expected: list[dict[str, Any]]
    orders: dict[str, dict[str, Any]]
    items: dict[str, list[dict[str, Any]]]
    quarantined: list[str]


@pytest.fixture(scope="module")
def imported(
    database_pool: DatabasePool, new_instance: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Imported]]:
    """Import all files into one database, run the assets once, and read the tables."""
    home, name = tmp_path_factory.mktemp("platforms"), database_pool.lend()
    shutil.copytree(new_instance, home / "dagster")
    url = database_pool.server.set(database=name).render_as_string(hide_password=False)
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in {"ETL_DATABASE_URL": url, "ETL_HOME": str(home), "ETL_SCHEMA": "etl"}.items():
            patch.setenv(variable, value)
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        services = build_services(Settings())
        reader = FilesHere()
        results, expectations = {}, {}
        for layout in READ:
            export = write_export(layout, home, orders=ORDERS, seed=11, bad_share=0.01)
            preset, market, shop = PRESETS[layout.preset], layout.market, LINES_OF.get(layout.name, layout.name)
            has_currency = preset.holds == "lines" or "CNY" in str(preset.columns.get("currency"))
            currency = None if has_currency else market.currency
            overrides = Overrides(shop=shop, timezone=market.timezone, currency=currency)
            results[layout.name] = import_sheets(
                services.database, export.path, None, reader=reader, overrides=overrides
            )
            lines = export.expectation.read_text(encoding="utf-8").splitlines()
            expectations[layout.name] = [json.loads(line) for line in lines]
        run_all(services)
        orders = query(services, ORDERS_OF_SHOPS)
        items = query(
            services, "SELECT i.*, shop_name FROM order_items i JOIN shop_configs USING (shop_id) ORDER BY line_no"
        )
        bad = query(services, "SELECT import_id, reason_code FROM quarantine WHERE resolved_at IS NULL")
        services.database.dispose()
    yield {
        name: Imported(
            results_of_file,
            expectations[name],
            {_text(row["order_id"]): row for row in orders if row["shop_name"] == LINES_OF.get(name, name)},
            _by_order([row for row in items if row["shop_name"] == LINES_OF.get(name, name)]),
            sorted(row["reason_code"] for row in bad if row["import_id"] in {one.import_id for one in results_of_file}),
        )
        for name, results_of_file in results.items()
    }
    database_pool.take_back(name)


def _by_order(items: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    lines: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        lines.setdefault(_text(item["order_id"]), []).append(item)
    return lines


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _amount(value: Decimal | str | None) -> Decimal | None:
    return None if value is None else Decimal(value).quantize(Decimal("0.0001"))


def stored(order: Mapping[str, Any], items: list[dict[str, Any]], layout: Layout) -> dict[str, Any]:
    """Return what the tables say about an order, of the facts that its file has."""
    said = layout.facts.item
    columns = {"name": "product", "variant": "variant", "sku": "sku", "quantity": "quantity",
               "unit_price": "unit_price", "personalisation": "personalisation"}  # fmt: skip
    return {
        "customer": order["customer_nickname"],
        "status": order["latest_status"],
        "cancelled": order["is_cancelled"],
        "amount": order["amount"],
        "currency": order["currency"],
        "refunded_amount": order["refunded_amount"],
        "ordered_at": order["ordered_at"] and order["ordered_at"].strftime("%Y-%m-%dT%H:%M:%SZ"),
        "remark": clean_text(order["remark"]),
        "items": [{fact: item[columns[fact]] for fact in columns if fact in said} for item in items] if said else None,
    }


def _wanted_fact(fact: str, value: str | int | None) -> object:
    if not isinstance(value, str) or fact == "personalisation":  # as the buyer wrote it
        return value
    return _amount(value) if fact == "unit_price" else clean_text(value)


def wanted(order: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """Return what the expectation says, cleaned as stored texts are, by the tests' own rules."""
    said = layout.facts.item
    items = [
        {fact: _wanted_fact(fact, value) for fact, value in item.items() if fact in said}
        for item in order["items"] or []
    ]
    return {
        "customer": clean_text(order["customer"]),
        "status": clean_text(order["status"]),
        "cancelled": order["cancelled"],
        "amount": _amount(order["amount"]),
        "currency": order["currency"],
        "refunded_amount": _amount(order["refunded_amount"]),
        "ordered_at": order["ordered_at"],
        "remark": clean_text(order["buyer_note"] or order["seller_note"]),
        "items": items if said else None,
    }


@pytest.mark.parametrize("layout", READ, ids=lambda layout: layout.name)
def test_preset_reads_the_generated_export_as_expected(layout: Layout, imported: dict[str, Imported]) -> None:
    found = imported[layout.name]
    assert [one.status for one in found.results] == ["completed"] * len(found.results), found.results[0].error
    assert {one.preset for one in found.results} == PRESETS_OF.get(layout.name, {layout.preset})
    bad = [order["quarantined"] for order in found.expected if order["quarantined"]]
    assert found.quarantined == sorted(bad)
    good = {str(clean_text(order["order_id"])): order for order in found.expected if not order["quarantined"]}
    if layout.name in LINES_OF:
        compared = frozenset(("items",))
        assert found.orders.keys() <= good.keys()
        good = {number: order for number, order in good.items() if number in found.orders}
    else:
        compared = FACTS - NOT_SAID.get(layout.name, frozenset())
        assert found.orders.keys() == good.keys()
    differences = []
    for number, order in good.items():
        lines = found.items.get(number, [])
        is_, should = stored(found.orders[number], lines, layout), wanted(order, layout)
        if layout.facts.item and order["items"] is None:  # the file has only their number
            is_["items"], should["items"] = sum(line["quantity"] for line in lines), order["pieces"]
        wrong = [key for key in is_ if is_[key] != should[key] and key in compared]
        differences += [(number, key, is_[key], should[key]) for key in wrong]
    assert differences == []


@pytest.mark.parametrize("layout", READ, ids=lambda layout: layout.name)
def test_preset_knows_all_statuses_of_the_export(layout: Layout, imported: dict[str, Imported]) -> None:
    codes = {finding.code for one in imported[layout.name].results for finding in one.findings}
    assert not codes & {"UNKNOWN_STATUS", "AMBIGUOUS_CURRENCY", "DISAGREEING_ROWS", "CONFLICTING_ORDERS"}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_headers_of_an_export_are_taken_for_its_own_preset_or_for_none(layout: Layout) -> None:
    found = detect_preset(layout.headers, PRESETS.values())
    assert (found and found.name) == (layout.preset if layout.preset in PRESETS else None)


@pytest.mark.parametrize("layout", READ, ids=lambda layout: layout.name)
def test_export_that_lacks_three_columns_is_found_or_comes_near_to_its_preset(layout: Layout) -> None:
    named = [header for wanted in PRESETS[layout.preset].detect_headers for header in wanted]
    for gone in (named[-3:], layout.headers[-3:], layout.headers[:3]):
        headers = [header for header in layout.headers if header not in gone]
        found = detect_preset(headers, PRESETS.values())
        near = [one.name for one in nearest_presets(headers, PRESETS.values())]
        assert found == PRESETS[layout.preset] or (found is None and layout.preset in near[:2]), gone
