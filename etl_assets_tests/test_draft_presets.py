"""Draft presets: a file in the headers that are known is detected and read, and its import says that it is a draft."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.presets.catalog import get_preset, list_presets
from etl_assets.presets.detect import detect_preset
from etl_assets.presets.model import MEANING_OF_EVIDENCE
from etl_assets.raw_orders.extract import ReadCounts, extract_raw_orders
from etl_assets.raw_orders.importing import Overrides, import_file
from etl_assets_tests.helpers.in_process_reader import FileHere, FilesHere
from etl_assets_tests.helpers.pipeline import query, run_all

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services

DRAFTS: Final = tuple(preset.name for preset in list_presets() if preset.draft)
ROWS: Final[dict[str, list[dict[str, str]]]] = {
    "youzan": [
        {
            "订单号": "E202605130001", "订单状态": "已发货", "订单创建时间": "2026-05-13 10:00:00",
            "订单实付金额": "29.00", "全部商品名称": "定制马克杯(1件)", "商品种类数": "1",
            "买家昵称": "小明", "买家备注": "刻字",
        },
    ],
    "jushuitan": [
        {
            "内部订单号": "7", "线上订单号": "3456001", "店铺名称": "山茶手作", "下单时间": "2026-05-13 10:00:00",
            "应付金额": "70.00", "已付金额": "69.00", "状态": "已取消", "商品编码": code, "商品名称": name, "数量": "1",
            "商品单价": "34.50",
        }
        for code, name in (("M1", "马克杯"), ("C1", "帽子"))
    ],
    "wangdiantong": [
        {
            "订单编号": "JY1", "店铺": "山茶手作", "子单原始单号": "3456002", "订单状态": "已发货",
            "交易时间": "2026-05-13 10:00:00", "客户网名": "小明", "商家编码": code, "货品名称": name, "下单数量": "1",
            "分摊后总价": share,
        }
        for code, name, share in (("M1", "马克杯", "29.00"), ("C1", "帽子", "40.00"))
    ],
    "aliexpress": [
        {
            "订单号": "8001", "订单状态": "等待您发货", "买家名称": "Mia Berg", "下单时间": "2026-05-13 10:00",
            "产品总金额": "20.00", "物流费用": "3.00", "订单金额": "23.00",
            "产品信息\n（双击单元格展开所有产品信息！）": "【1】 Mug (产品数量:1 piece)",
        },
    ],
    "mercadolivre": [
        {"N.º de venda": "1", "Data da venda": "1 de maio de 2026 10:00 hs.", "Estado": "Pacote de 2 produtos",
         "Unidades": "", "Receita por produtos (BRL)": "", "SKU": "", "Título do anúncio": "", "Comprador": "Mia Berg"},
        {"N.º de venda": "2", "Data da venda": "1 de maio de 2026 10:00 hs.", "Estado": "Entregue",
         "Unidades": "2", "Receita por produtos (BRL)": "39.90", "SKU": "M1", "Título do anúncio": "Caneca",
         "Comprador": "Mia Berg"},
    ],
    "mercadolibre": [
        {"# de venta": "2", "Fecha de venta": "1 de mayo de 2026 10:00 hs.", "Estado": "Cancelada por el comprador",
         "Unidades": "2", "SKU": "M1", "Título de la publicación": "Taza", "Comprador": "Mia Berg"},
    ],
    "squarespace": [
        {"Order ID": "00101", "Email": "mia@example.com", "Financial Status": "PAID", "Fulfillment Status": "FULFILLED",
         "Currency": "USD", "Total": "25.00", "Amount Refunded": "0.00", "Created at": "2026-05-13 10:00:00 -0400",
         "Lineitem quantity": "2", "Lineitem name": "Mug", "Lineitem price": "10.00", "Lineitem sku": "M1",
         "Lineitem variant": "Blue"},
        {"Order ID": "00101", "Lineitem quantity": "1", "Lineitem name": "Cap", "Lineitem price": "5.00",
         "Lineitem sku": "C1", "Lineitem variant": "Red"},
    ],
}  # fmt: skip
"""Made-up rows in the headers that are known of each export."""
READ: Final[dict[str, tuple[str | None, str, bool, str | None, int]]] = {
    "youzan": ("小明", "已发货", False, "29.00", 1),
    "jushuitan": (None, "已取消", True, "69.00", 2),
    "wangdiantong": ("小明", "已发货", False, "69.00", 2),
    "aliexpress": ("Mia Berg", "等待您发货", False, "23.00", 0),
    "mercadolivre": ("Mia Berg", "Entregue", False, "39.90", 1),
    "mercadolibre": ("Mia Berg", "Cancelada", True, None, 1),
    "squarespace": ("mia@example.com", "PAID", False, "25.00", 2),
}
"""Of the one order of each: customer, status, cancelled or not, amount, number of lines."""


def write(folder: Path, name: str) -> Path:
    path = folder / f"{name}.csv"
    pl.DataFrame(ROWS[name], infer_schema_length=None).write_csv(path)
    return path


def test_each_draft_has_a_file_here() -> None:
    assert set(DRAFTS) == ROWS.keys() == READ.keys()


@pytest.mark.parametrize("name", DRAFTS)
def test_a_file_in_the_headers_of_a_draft_is_detected_and_its_import_says_so(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, name)
    found = detect_preset(pl.read_csv(path, n_rows=0).columns, list_presets())
    assert found == get_preset(name)
    counts = ReadCounts()
    list(extract_raw_orders(FileHere(path), found.with_overrides(shop="s"), counts, is_detected=True))
    assert [one.subject for one in counts.findings if one.code == "DRAFT_PRESET"] == [name]


def test_no_other_preset_says_that_it_is_a_draft() -> None:
    assert {preset.name for preset in list_presets() if not preset.evidence} == {"generic"}
    assert not get_preset("shopify").draft


def test_orders_of_drafts_are_stored_without_quarantine(services: Services, tmp_path: Path) -> None:
    for name in DRAFTS:
        shop = Overrides(shop=name, currency="USD")
        result = import_file(
            services.database, write(tmp_path, name), get_preset(name), reader=FilesHere(), overrides=shop
        )
        assert result.error is None
    run_all(services)
    assert query(services, "SELECT reason FROM quarantine") == []
    orders = """
        SELECT shop_name, customer_nickname, latest_status, is_cancelled, amount,
               (SELECT count(*) FROM order_items i WHERE i.shop_id = o.shop_id) AS lines, ordered_at
        FROM orders o JOIN shop_configs USING (shop_id)
    """
    rows = query(services, orders)
    assert all(row["ordered_at"] is not None for row in rows)
    stored = {row.pop("shop_name"): tuple(row.values())[:5] for row in rows}
    assert {name: (*one[:3], one[3] and f"{one[3]:.2f}", one[4]) for name, one in stored.items()} == READ


def test_the_list_of_presets_has_their_evidence() -> None:
    listed: list[dict[str, Any]] = json.loads(CliRunner().invoke(app, ["presets", "list", "--json"]).stdout)["presets"]
    by_name = {one["name"]: (one["platform"], one["evidence"], one["draft"]) for one in listed}
    assert by_name["etsy_orders"] == ("etsy", "RP", False)
    assert by_name["youzan"] == ("youzan", "P", True)
    assert by_name["generic"] == (None, "", False)
    shown = CliRunner().invoke(app, ["presets", "list"]).stdout
    assert all(f"{mark} {meaning}" in " ".join(shown.split()) for mark, meaning in MEANING_OF_EVIDENCE.items())
