"""Generated exports of platforms: exactly the layouts of the evidence, and expectations that agree with the files.

The files are read with the standard library and openpyxl here, not with the importer.
"""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import openpyxl
import pytest
import yaml
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.generator.platforms.registry import LAYOUTS, layouts_of
from etl_assets.generator.platforms.write import WrittenExport, write_export

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl_assets.generator.platforms.layout import Layout

ORDERS: Final = 60
EVIDENCE: Final = yaml.safe_load((Path(__file__).parent / "data" / "export_headers.yaml").read_text(encoding="utf-8"))
SAME_HEADERS: Final = {
    "etsy_orders-us": "etsy_orders", "etsy_orders-uk": "etsy_orders_uk", "etsy_items-us": "etsy_items",
    "taobao-old": "taobao_orders", "taobao-new": "taobao_orders_new", "taobao_items-old": "taobao_items",
    "taobao_items-new": "taobao_items_new", "douyin-2026": "douyin", "ebay-de": "ebay_de",
    "amazon_orders-us": "amazon_orders", "woocommerce_analytics-old": "woocommerce_analytics_old",
    "woocommerce_analytics-new": "woocommerce_analytics",
}  # fmt: skip
"""Layouts whose headers are known one by one, and their names among the headers of real exports."""
MORE_HEADERS: Final = {
    "pinduoduo-csv": "pinduoduo", "jd-new": "jd", "alibaba1688-merged": "alibaba1688", "ebay-us": "ebay_us",
    "ebay-uk": "ebay_uk", "shopify-79": "shopify", "lazada-2026": "lazada", "bigcommerce-default": "bigcommerce",
    "woocommerce_advanced-default": "woocommerce_aoe", "shopee-pt": "shopee_pt", "shopee-id": "shopee_id",
    "shopee-en": "shopee_en",
}  # fmt: skip
"""Layouts that have all those headers and more, where the evidence says "and so on"."""
COUNTS: Final = {
    "etsy_orders-us": 36, "etsy_orders-us_2019": 35, "etsy_items-us": 33, "alibaba1688-merged": 49,
    "alibaba1688-2018": 30, "lazada-2026": 77, "lazada-2025": 76, "amazon_all_orders-us_29": 29,
    "amazon_all_orders-us_32": 32, "amazon_orders-us": 34, "jd-old": 34, "shopify-79": 79, "shopify-75": 75,
}  # fmt: skip
Rows = list[dict[str, str]]
REPRODUCED: Final = ("etsy_items-us", "taobao-old", "taobao-workbook", "alibaba1688-merged", "ebay-de")


def by_name(name: str) -> Layout:
    return next(layout for layout in LAYOUTS if layout.name == name)


def written(name: str, folder: Path, bad_share: float = 0.0, seed: int = 7) -> WrittenExport:
    return write_export(by_name(name), folder, orders=ORDERS, seed=seed, bad_share=bad_share)


def expected(export: WrittenExport) -> list[dict[str, Any]]:
    return [json.loads(line) for line in export.expectation.read_text(encoding="utf-8").splitlines()]


def cells(export: WrittenExport) -> list[list[str]]:
    form = export.layout.form
    if form.kind == "xlsx":
        sheet = openpyxl.load_workbook(export.path).worksheets[0]
        return [[str(cell or "") for cell in row] for row in sheet.iter_rows(values_only=True)]
    text = export.path.read_bytes().decode(form.encoding).removeprefix("\ufeff")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=form.delimiter))


def rows_of(export: WrittenExport) -> Rows:
    """Return the rows of a file as dictionaries; lines around the table and between are left out."""
    lines = cells(export)
    start = lines.index(list(export.layout.headers)) + 1 + len(export.layout.form.below)
    whole = [line for line in lines[start:] if len(line) == len(export.layout.headers)]
    return [dict(zip(export.layout.headers, line, strict=True)) for line in whole]


def number(text: str) -> Decimal:
    return Decimal(text.strip(" \t$£元").replace(",", "") or "0")


def continental(text: str) -> Decimal:
    return Decimal(text.strip(" €").removeprefix("IDR ").replace(".", "").replace(",", ".").replace("--", "") or "0")


def first_of(rows: Rows, order: str, column: str, read: Callable[[str], Decimal] = number) -> Decimal:
    """Sum a column that each order repeats on all its rows."""
    return sum((read(text) for text in {row[order]: row[column] for row in rows}.values()), Decimal())


def summed(rows: Rows, plus: str, minus: str = "", read: Callable[[str], Decimal] = number) -> Decimal:
    def add(columns: str) -> Decimal:
        return sum((read(row[column]) for row in rows for column in columns.split("|") if column), Decimal())

    return add(plus) - add(minus)


AMAZON: Final = ("item-price|shipping-price|gift-wrap-price", "item-promotion-discount|ship-promotion-discount")
REVENUE: Final[dict[str, Callable[[Rows], Decimal]]] = {
    "etsy_orders-us": lambda rows: summed(rows, "Order Value|Shipping", "Discount Amount|Shipping Discount"),
    "etsy_orders-uk": lambda rows: summed(rows, "Order Value|Delivery", "Discount Amount|Delivery Discount"),
    "etsy_items-us": lambda rows: summed(rows, "Item Total") + first_of(rows, "Order ID", "Order Shipping")
    - first_of(rows, "Order ID", "Discount Amount") - first_of(rows, "Order ID", "Shipping Discount"),
    "taobao-old": lambda rows: summed(rows, "买家实际支付金额"),
    "taobao-new": lambda rows: summed(rows, "买家实付金额"),
    "taobao_items-new_csv": lambda rows: summed(rows, "买家实付金额"),
    "pinduoduo-csv_gbk": lambda rows: summed(rows, "商家实收金额(元)"),
    "douyin-2026": lambda rows: summed(rows, "订单应付金额"),
    "jd-new": lambda rows: first_of(rows, "订单号", "应付金额"),
    "alibaba1688-merged": lambda rows: summed(rows, "实付款(元)"),
    "tiktok-id_xlsx": lambda rows: first_of(rows, "Order ID", "Order Amount", continental),
    "tiktok-us": lambda rows: first_of(rows, "Order ID", "Order Amount"),
    "lazada-2026": lambda rows: summed(rows, "paidPrice|shippingFee"),
    "shopee-en": lambda rows: first_of(rows, "Order ID", "Grand Total"),
    "shopee-pt": lambda rows: first_of(rows, "ID do pedido", "Valor Total", continental),
    "ebay-us": lambda rows: summed(rows, "Total Price"),
    "ebay-de": lambda rows: summed(rows, "Gesamtbetrag", read=continental),
    "amazon_all_orders-us_32": lambda rows: summed(rows, *AMAZON),
    "amazon_orders-us": lambda rows: summed(rows, "item-price|shipping-price"),
    "woocommerce_analytics-new": lambda rows: summed(
        [row for row in rows if not row["Net Sales"].startswith("-")], "Net Sales"
    ),
    "woocommerce_advanced-default": lambda rows: first_of(rows, "Order Number", "Order Total Amount"),
    "bigcommerce-signs": lambda rows: summed(rows, "Order Total (inc tax)"),
    "magento-grid": lambda rows: summed(rows, "Grand Total (Purchased)"),
    "shopify-79": lambda rows: summed(rows, "Total"),
}  # fmt: skip
"""Sum of what sellers get, by the plain columns of each file."""


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_filled_column_and_every_error_is_one_of_the_headers(layout: Layout) -> None:
    for sheet in (layout, *layout.more_sheets):
        assert len(set(sheet.headers)) == len(sheet.headers)
        assert set(sheet.cells) <= set(sheet.headers)
        assert {header for places in sheet.errors.values() for header in places} <= set(sheet.headers)


def test_layouts_have_names_of_their_own_and_marks_of_evidence() -> None:
    assert len({layout.name for layout in LAYOUTS}) == len(LAYOUTS)
    assert all(set(layout.evidence) <= set("RSPDG") != set() for layout in LAYOUTS)
    assert all("G" in layout.evidence for layout in LAYOUTS if layout.draft)


def test_headers_are_those_of_real_exports_in_their_order() -> None:
    for name, evidence in SAME_HEADERS.items():
        assert list(by_name(name).headers) == EVIDENCE[evidence]["headers"], name


def test_headers_known_in_part_are_all_there() -> None:
    for name, evidence in MORE_HEADERS.items():
        assert set(EVIDENCE[evidence]["headers"]) <= set(by_name(name).headers), name


def test_layouts_have_as_many_columns_as_real_exports() -> None:
    assert {name: len(by_name(name).headers) for name in COUNTS} == COUNTS


@pytest.mark.parametrize("name", REPRODUCED)
def test_files_are_the_same_for_a_seed_and_others_for_another(name: str, tmp_path: Path) -> None:
    first, again = written(name, tmp_path / "a", 0.05), written(name, tmp_path / "b", 0.05)
    other = written(name, tmp_path / "c", 0.05, seed=8)
    assert first.path.read_bytes() == again.path.read_bytes() != other.path.read_bytes()
    assert first.expectation.read_bytes() == again.expectation.read_bytes() != other.expectation.read_bytes()


@pytest.mark.parametrize("name", REVENUE)
def test_expected_amounts_add_up_to_the_plain_sum_of_the_columns(name: str, tmp_path: Path) -> None:
    export = written(name, tmp_path)
    orders = expected(export)
    assert len(orders) == ORDERS
    total = sum((Decimal(order["amount"] or 0) for order in orders), Decimal())
    assert total == REVENUE[name](rows_of(export)) > 0


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_expectation_has_every_status_and_every_fault(layout: Layout, tmp_path: Path) -> None:
    export = write_export(layout, tmp_path, orders=ORDERS, seed=7, bad_share=0.01)
    orders = expected(export)
    assert {order["quarantined"] for order in orders} == {None, *layout.errors}
    good = [order for order in orders if order["quarantined"] is None]
    assert {order["state"] for order in good} == {status.state for status in layout.trade.statuses}
    assert any(order["cancelled"] for order in good) == any(status.cancelled for status in layout.trade.statuses)
    assert len({order["order_id"] for order in orders}) == ORDERS
    assert all(list(order) == list(orders[0]) for order in orders)


def test_items_expected_are_the_lines_of_the_file(tmp_path: Path) -> None:
    export = written("etsy_items-us", tmp_path)
    in_file = [(row["Order ID"], row["Item Name"], row["SKU"], int(row["Quantity"])) for row in rows_of(export)]
    said = [
        (order["order_id"], item["name"], item["sku"], item["quantity"])
        for order in expected(export)
        for item in order["items"]
    ]
    assert said == in_file


def test_marketplace_tax_of_etsy_is_in_the_total_and_not_expected(tmp_path: Path) -> None:
    export = written("etsy_orders-us", tmp_path)
    totals = {row["Order ID"]: Decimal(row["Order Total"]) for row in rows_of(export)}
    assert all(totals[order["order_id"]] > Decimal(order["amount"]) for order in expected(export))


def test_order_and_item_reports_of_one_seed_describe_the_same_orders(tmp_path: Path) -> None:
    orders, lines = expected(written("taobao-old", tmp_path)), expected(written("taobao_items-old", tmp_path))
    assert [order["order_id"] for order in orders] == [order["order_id"] for order in lines]
    assert [order["pieces"] for order in orders] == [sum(item["quantity"] for item in one["items"]) for one in lines]
    assert {order["amount"] for order in lines} == {None}


def test_taobao_says_the_quantity_of_a_title_only_where_there_is_one_kind(tmp_path: Path) -> None:
    orders = expected(written("taobao-old", tmp_path))
    for order in orders:
        assert (order["items"] is None) == (order["kinds"] > 1)
    single = [order for order in orders if order["kinds"] == 1]
    assert all(order["items"][0]["quantity"] == order["pieces"] for order in single)
    assert any("，" in order["items"][0]["name"] for order in single)


def test_taobao_report_is_gbk_with_trailing_blanks_in_its_headers(tmp_path: Path) -> None:
    content = written("taobao-old", tmp_path).path.read_bytes()
    assert "收货地址 ,运送方式,联系电话 ," in content.decode("gbk").splitlines()[0]
    with pytest.raises(UnicodeDecodeError):
        content.decode("utf-8")
    assert '="3456' in content.decode("gbk").replace('""', '"')


def test_ebay_report_has_blank_lines_around_its_headers_and_a_footer(tmp_path: Path) -> None:
    lines = cells(written("ebay-de", tmp_path))
    assert lines[0] == lines[2] == [""] * 16
    assert lines[1] == EVIDENCE["ebay_de"]["headers"]
    assert lines[-3] == []
    assert lines[-2][:2] == ["60", "record(s) downloaded"]
    assert lines[-1][0].startswith("Seller ID : ")
    assert any("-Mai-" in line[13] for line in lines[3:-3])


def test_ebay_order_of_several_items_has_a_row_with_totals_above_them(tmp_path: Path) -> None:
    export = written("ebay-us", tmp_path)
    kinds = [order["kinds"] for order in expected(export)]
    assert len(rows_of(export)) == sum(1 if kind == 1 else kind + 1 for kind in kinds)


def test_tiktok_explains_its_columns_and_ends_cells_with_tabs(tmp_path: Path) -> None:
    export = written("tiktok-id", tmp_path)
    assert cells(export)[1][:2] == ["Platform unique order ID.", "Current order status."]
    rows = rows_of(export)
    assert all(row["Order ID"].endswith("\t") for row in rows)
    assert "\t" in {row["Cancelled Time"] for row in rows}


def test_1688_merges_the_orders_cells_over_its_lines(tmp_path: Path) -> None:
    export = written("alibaba1688-merged", tmp_path)
    sheet = openpyxl.load_workbook(export.path).worksheets[0]
    several = sum(order["kinds"] > 1 for order in expected(export))
    in_first_column = [area for area in sheet.merged_cells.ranges if area.min_col == 1]
    assert len(in_first_column) == several > 0
    filled = [row for row in rows_of(export) if row["订单编号"]]
    assert len(filled) == ORDERS


def test_refund_of_woocommerce_is_a_second_negative_row(tmp_path: Path) -> None:
    export = written("woocommerce_analytics-old", tmp_path)
    refunds = [row["Order #"] for row in rows_of(export) if row["N. Revenue"].startswith("-")]
    assert refunds == [order["order_id"] for order in expected(export) if order["state"] == "returned"] != []


def test_generate_lists_the_layouts() -> None:
    result = CliRunner().invoke(app, ["generate", "--list", "--json"])
    listed = [(layout["platform"], layout["variant"]) for layout in json.loads(result.stdout)["layouts"]]
    assert listed == [(layout.platform, layout.variant) for layout in LAYOUTS]


def test_generate_writes_a_platforms_files_with_their_expectations(tmp_path: Path) -> None:
    arguments = ["generate", str(tmp_path), "--platform", "etsy_items", "--orders", "10", "--json"]
    files = json.loads(CliRunner().invoke(app, arguments).stdout)["files"]
    assert [file["variant"] for file in files] == [layout.variant for layout in layouts_of("etsy_items")]
    assert all(Path(file["path"]).is_file() and Path(file["expected"]).is_file() for file in files)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "DIR is missing"),
        (["x", "--platform", "etsi"], "unknown platform 'etsi': etsy_orders,"),
        (["x", "--platform", "ebay", "--variant", "fr"], "ebay has no variant 'fr': us, uk, de"),
    ],
)
def test_generate_says_what_is_wrong(arguments: list[str], message: str, tmp_path: Path) -> None:
    arguments = [str(tmp_path / one) if one == "x" else one for one in arguments]
    result = CliRunner().invoke(app, ["generate", *arguments])
    assert result.exit_code == 2
    assert message in result.stderr
