"""Workbooks of which several presets take a sheet each: orders and their lines in one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import openpyxl
import pytest

from etl_assets.inbox.ingest import ingest_inbox
from etl_assets.presets.catalog import list_presets
from etl_assets.presets.detect import presets_of_sheets
from etl_assets.raw_orders.importing import Overrides, import_sheets
from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets.reverts.imports import revert_imports
from etl_assets_tests.helpers.pipeline import query, run_all

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services

pytestmark = pytest.mark.reader_process

ORDERS: Final = """
name: stall
sheets: [订单报表]
columns:
  platform: {constant: stall}
  shop: {constant: s}
  order_id: 订单编号
  customer_name: 买家
  amount: 金额
  items: 标题
detect_headers: [订单编号, 买家, 金额]
"""
LINES: Final = """
name: stall_items
holds: lines
shape: line_item
sheets: [销售明细]
columns:
  platform: {constant: stall}
  order_id: 主订单编号
item: {name: 商品, quantity: 数量}
detect_headers: [主订单编号, 商品, 数量]
"""
SHEETS: Final[dict[str, list[list[Any]]]] = {
    "销售明细": [["主订单编号", "商品", "数量"], ["1", "mug", 50], ["1", "cap", 2]],
    "订单报表": [["订单编号", "买家", "金额", "标题"], ["1", "Ann", 99, "mug, cap"]],
    "发货报表": [["订单编号", "快递"], ["1", "SF"]],
}


@pytest.fixture
def reader(services: Services) -> Iterator[FileReader]:
    folder = services.database.settings.presets_folder
    folder.mkdir(parents=True)
    (folder / "stall.yaml").write_text(ORDERS, encoding="utf-8")
    (folder / "stall_items.yaml").write_text(LINES, encoding="utf-8")
    with FileReader(presets_folder=folder) as files:
        yield files


def write(path: Path, sheets: dict[str, list[list[Any]]] | None = None) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.worksheets[0])
    for name, rows in (SHEETS if sheets is None else sheets).items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    path.parent.mkdir(exist_ok=True)
    book.save(path)
    return path


def lines(services: Services) -> list[tuple[Any, ...]]:
    rows = query(
        services,
        "SELECT customer_nickname, product, quantity FROM orders JOIN order_items USING (order_no) ORDER BY line_no",
    )
    return [tuple(row.values()) for row in rows]


def test_each_preset_that_names_its_sheet_reads_it(services: Services, reader: FileReader, tmp_path: Path) -> None:
    path = write(tmp_path / "orders.xlsx")
    results = import_sheets(services.database, path, None, reader=reader, overrides=Overrides(shop="s"))
    assert {(one.preset, one.status, one.rows) for one in results} == {
        ("stall", "completed", 1),
        ("stall_items", "completed", 1),
    }
    assert [finding.code for one in results for finding in one.findings] == []
    run_all(services)
    assert lines(services) == [("Ann", "mug", 50), ("Ann", "cap", 2)]


def test_a_preset_that_is_given_reads_its_sheet_alone(services: Services, reader: FileReader, tmp_path: Path) -> None:
    path = write(tmp_path / "orders.xlsx")
    (preset,) = (one for one in list_presets(services.database.settings.presets_folder) if one.name == "stall")
    (result,) = import_sheets(services.database, path, preset, reader=reader)
    assert (result.preset, result.rows) == ("stall", 1)


def test_a_sheet_of_another_name_is_read_where_none_has_the_name(
    services: Services, reader: FileReader, tmp_path: Path
) -> None:
    path = write(tmp_path / "orders.xlsx", {"export": SHEETS["订单报表"]})
    (result,) = import_sheets(services.database, path, None, reader=reader)
    assert (result.preset, result.rows) == ("stall", 1)


def test_a_preset_that_names_no_sheet_takes_none_besides_another(services: Services, reader: FileReader) -> None:
    presets = list_presets(services.database.settings.presets_folder)
    first = next(one for one in presets if one.name == "stall")
    unnamed = [one.model_copy(update={"sheets": ()}) for one in presets]
    headers = [(name, rows[0]) for name, rows in SHEETS.items()]
    assert [one.name for one, _ in presets_of_sheets(headers, presets, first)] == ["stall_items"]
    assert presets_of_sheets(headers, unnamed, first) == []


def test_the_inbox_imports_each_sheet_once(services: Services, reader: FileReader, tmp_path: Path) -> None:
    reader.stop()
    inbox = tmp_path / "inbox"
    write(inbox / "a.xlsx")
    content = (inbox / "a.xlsx").read_bytes()
    (inbox / "shop.txt").write_text("s\n", encoding="utf-8")
    taken = ingest_inbox(services.database, inbox, settle_seconds=0)
    assert {(one.preset, one.status) for one in taken.imports} == {("stall", "completed"), ("stall_items", "completed")}
    assert len(taken.imports) == 2
    run_all(services)
    assert lines(services) == [("Ann", "mug", 50), ("Ann", "cap", 2)]
    (inbox / "again.xlsx").write_bytes(content)
    again = ingest_inbox(services.database, inbox, settle_seconds=0)
    assert (again.imports, [path.name for path in again.known]) == ([], ["again.xlsx"])
    revert_imports(services.database, [one.import_id for one in taken.imports if one.preset == "stall_items"])
    run_all(services)
    assert lines(services) == [("Ann", "mug", 1), ("Ann", "cap", 1)]
    (inbox / "anew.xlsx").write_bytes(content)
    anew = ingest_inbox(services.database, inbox, settle_seconds=0)
    assert [one.preset for one in anew.imports] == ["stall_items"]
    run_all(services)
    assert lines(services) == [("Ann", "mug", 50), ("Ann", "cap", 2)]


ORDER_REPORT: Final = ("订单编号", "总金额", "买家实付金额", "订单状态", "订单创建时间", "商品标题", "店铺名称")
LINE_REPORT: Final = (
    *("子订单编号", "主订单编号", "商品标题", "商品价格", "购买数量", "商品属性", "套餐信息", "商家编码", "店铺名称"),
)
QIANNIU: Final[dict[str, list[list[Any]]]] = {
    "发货报表": [["订单编号", "物流单号", "物流公司", "发货时间"], ["11", "SF1", "顺丰", "2026-05-02 10:00:00"]],
    "销售明细": [
        [*LINE_REPORT],
        ["111", "11", "木牌", 40, 2, "颜色:原木", None, "W-1", "花间"],
        ["112", "11", "杯子", 10, 1, None, None, "C-1", "花间"],
        ["121", "12", "木牌", 40, 1, None, None, "W-1", "花间"],
    ],
    "订单报表": [
        [*ORDER_REPORT],
        ["11", 90, 90, "交易成功", "2026-05-01 10:00:00", "木牌,杯子", "花间"],
        ["12", 40, 40, "交易关闭", "2026-05-01 11:00:00", "木牌", "花间"],
    ],
}


@pytest.mark.parametrize("sheets", [list(QIANNIU), list(QIANNIU)[::-1]], ids=lambda sheets: sheets[0])
def test_orders_and_lines_of_a_qianniu_workbook_are_imported_and_its_parcels_are_not(
    services: Services, tmp_path: Path, sheets: list[str]
) -> None:
    inbox = tmp_path / "inbox"
    write(inbox / "a.xlsx", {name: QIANNIU[name] for name in sheets})
    taken = ingest_inbox(services.database, inbox, settle_seconds=0)
    assert {(one.preset, one.status, one.rows) for one in taken.imports} == {
        ("taobao", "completed", 2),
        ("taobao_items", "completed", 2),
    }
    run_all(services)
    stored = query(
        services,
        "SELECT o.order_id, amount, is_cancelled, product, variant, sku, i.quantity FROM orders o"
        " JOIN order_items i USING (order_no) ORDER BY i.order_id, line_no",
    )
    assert [tuple(row.values()) for row in stored] == [
        ("11", 90, False, "木牌", "颜色:原木", "W-1", 2),
        ("11", 90, False, "杯子", None, "C-1", 1),
        ("12", 40, True, "木牌", None, "W-1", 1),
    ]
    assert query(services, "SELECT * FROM quarantine") == []
    assert query(services, "SELECT * FROM etl_work") == []
