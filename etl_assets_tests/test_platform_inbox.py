"""All platforms' generated exports dropped into the inbox at once, and Taobao's two reports in every order."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from etl_assets.generator.platforms.registry import LAYOUTS, layouts_of
from etl_assets.generator.platforms.write import write_export
from etl_assets.inbox import ingest
from etl_assets.inbox.ingest import ingest_inbox
from etl_assets.presets.catalog import list_presets
from etl_assets.raw_orders.importing import Overrides, import_sheets
from etl_assets_tests.helpers.in_process_reader import FilesHere
from etl_assets_tests.helpers.pipeline import comparable, query, run_all, start_afresh

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Services

PRESETS: Final = frozenset(preset.name for preset in list_presets())
READ: Final = [layout for layout in LAYOUTS if layout.preset in PRESETS]
SHOP: Final = Overrides(shop="刻刻时光礼品店")
LINES_OF: Final = {
    "etsy_items-us": "etsy_orders-us", "etsy_items-uk": "etsy_orders-uk", "taobao_items-old": "taobao-old",
    "taobao_items-new": "taobao-new", "taobao_items-new_csv": "taobao-new_csv",
    "etsy_items-us_excel_tab": "etsy_orders-us_excel_tab",
}  # fmt: skip
"""Files of lines, and those of the same orders: they lie in the folder of one shop."""
LEADS: Final = "SELECT DISTINCT shop_name FROM lead_orders JOIN shop_configs USING (shop_id)"


class UnhurriedFilesHere(FilesHere):
    """Reader in this process: there is none to start ahead."""

    def start(self, path: Path) -> None:
        """Do nothing."""


def test_all_exports_dropped_into_the_inbox_at_once_become_leads(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "FileReader", UnhurriedFilesHere)
    customers = {}
    for layout in READ:
        export = write_export(layout, tmp_path, orders=10, seed=5, bad_share=0.0)
        shop = LINES_OF.get(layout.name, layout.name)
        (folder := tmp_path / "inbox" / shop).mkdir(parents=True, exist_ok=True)
        (folder / "shop.txt").write_text(shop, encoding="utf-8")
        export.path.rename(folder / export.path.name)
        expected = [json.loads(line) for line in export.expectation.read_text(encoding="utf-8").splitlines()]
        if shop == layout.name:
            customers[shop] = {order["customer"] for order in expected} - {None}
    outcome = ingest_inbox(services.database, tmp_path / "inbox", settle_seconds=0)
    assert (outcome.problems, outcome.refused, outcome.waiting) == ({}, [], [])
    taken = {(Path(one.source).stem, one.preset) for one in outcome.imports}
    assert taken == {(layout.name, layout.preset) for layout in READ} | {("taobao-workbook", "taobao_items")}
    run_all(services)
    assert query(services, "SELECT reason FROM quarantine") == []
    with_leads = {row["shop_name"] for row in query(services, LEADS)}
    assert with_leads == {shop for shop, names in customers.items() if names}  # the others' exports name no buyer


@pytest.mark.parametrize("version", ["old", "new"])
def test_taobaos_two_reports_give_the_same_tables_in_whatever_order_and_imports(
    version: str, services: Services, tmp_path: Path
) -> None:
    exports = [
        write_export(layout, tmp_path, orders=40, seed=3, bad_share=0.0)
        for platform in ("taobao", "taobao_items")
        for layout in layouts_of(platform, version)
    ]
    orders, items = (export.path for export in exports)
    states = []
    for files, runs_between in product(((orders, items), (items, orders)), (False, True)):
        start_afresh(services)
        for path in (*files, *files):
            import_sheets(services.database, path, None, reader=UnhurriedFilesHere(), overrides=SHOP)
            if runs_between:
                run_all(services)
        run_all(services)
        states.append(comparable(services))
    assert all(state == states[0] for state in states)
    lines = [json.loads(line) for line in exports[1].expectation.read_text(encoding="utf-8").splitlines()]
    pieces = {order["order_id"]: sum(item["quantity"] for item in order["items"]) for order in lines}
    stored = query(services, "SELECT order_id, sum(quantity) AS pieces FROM order_items GROUP BY order_id")
    assert {row["order_id"]: row["pieces"] for row in stored} == pieces
    assert max(pieces.values()) >= 50
