"""Layouts of platforms' exports, each with made-up rows: what one key of a preset does with a file in that layout."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from etl_assets.presets.catalog import PresetError, parse_mapping
from etl_assets.presets.model import Preset
from etl_assets.raw_orders.extract import ReadCounts, extract_raw_orders
from etl_assets_tests.helpers.in_process_reader import FileHere

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.raw_orders.findings import Finding

SHOP = {"constant": "Alstadt"}


def preset_of(columns: dict[str, Any], **keys: Any) -> Preset:
    return Preset.model_validate({"name": "own", "columns": {"shop": SHOP, **columns}, **keys})


def read(folder: Path, text: str, preset: Preset, name: str = "a.csv") -> tuple[list[dict[str, Any]], list[Finding]]:
    path = folder / name
    path.write_bytes(text.encode())
    counts = ReadCounts()
    frames = list(extract_raw_orders(FileHere(path), preset, counts))
    rows = pl.concat(frames).drop_nulls("order_id").to_dicts() if frames else []
    return rows, counts.findings


def values(rows: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in rows]


def codes(findings: list[Finding]) -> list[tuple[str, int, int | None]]:
    return [(one.code, one.count, one.first_line) for one in findings]


# Rows that are no orders, and rows that sum up an order

EBAY_HEADERS = "Sales Record Number,Order Number,Buyer Username,Item Title,Quantity,Sold For,Total Price,Sale Date"
EBAY = f""",,,,,,,
{EBAY_HEADERS}
,,,,,,,
101,11-00001-00001,mia_b,Mug with name,1,$12.50,$15.50,May-13-26
102,11-00002-00002,jon.ek,,3,,$41.00,May-14-26
102,11-00002-00002,jon.ek,Apron,1,$20.00,,May-14-26
102,11-00002-00002,jon.ek,Mug,2,$9.00,,May-14-26

3,record(s) downloaded,from  May-01-26, to  May-31-26
Seller ID : alstadt-prints
"""
EBAY_PRESET = preset_of(
    {"order_id": "Order Number", "customer_name": "Buyer Username", "amount": "Total Price", "ordered_at": "Sale Date"},
    shape="line_item",
    item={"name": "Item Title", "quantity": "Quantity", "unit_price": "Sold For"},
    skip_rows_matching=[r"^\d+\trecord\(s\) downloaded", "^Seller ID :"],
    summary_rows=[{"when": "Item Title", "matches": r"^\s*$"}],
)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("above", ["", "\n", "\r\n\r\n"])
def test_an_ebay_report_loses_its_footer_and_has_the_totals_of_its_summary_rows(
    tmp_path: Path, mark: str, above: str
) -> None:
    rows, findings = read(tmp_path, mark + above + EBAY, EBAY_PRESET)
    assert values(rows, "order_id", "amount") == [("11-00001-00001", "$15.50"), ("11-00002-00002", "$41.00")]
    assert [json.loads(row["items"]) for row in rows] == [
        [{"name": "Mug with name", "quantity": "1", "unit_price": "$12.50"}],
        [
            {"name": "Apron", "quantity": "1", "unit_price": "$20.00"},
            {"name": "Mug", "quantity": "2", "unit_price": "$9.00"},
        ],
    ]
    lines_above = len(above.splitlines())
    assert codes(findings) == [("SKIPPED_ROWS", 2, 9 + lines_above)]


def test_the_amount_of_a_summary_row_counts_before_those_of_the_rows_above_it(tmp_path: Path) -> None:
    text = f"{EBAY_HEADERS}\n1,A,mia,Mug,1,$9.00,$9.00,\n1,A,mia,,1,,$14.00,\n2,B,jon,Cap,1,$5.00,$5.00,\n"
    rows, findings = read(tmp_path, text, EBAY_PRESET)
    assert values(rows, "row_no", "order_id", "amount") == [(2, "A", "$14.00"), (4, "B", "$5.00")]
    assert findings == []


TIKTOK = (
    "\ufeffOrder ID,Order Status,Buyer Username,Order Amount,Created Time\r\n"
    "Platform unique order ID.,Current order status.,Buyer user name.,It equals the sum.,Order created time.\r\n"
    "576460000000000001\t,Completed,mia_b,12.50,13/05/2026 10:00:00\t\r\n"
    "576460000000000002\t,Canceled,jon.ek,8.00,14/05/2026 11:00:00\t\r\n"
)


@pytest.mark.parametrize(
    "pattern",
    [{"when": ["Nomor", "Order ID"], "matches": r"^\D+$"}, "Platform unique order ID", r"^Platform unique"],
)
def test_a_row_under_the_headers_that_explains_them_is_no_order(tmp_path: Path, pattern: object) -> None:
    preset = preset_of(
        {"order_id": "Order ID", "customer_name": "Buyer Username", "amount": "Order Amount"},
        skip_rows_matching=[pattern],
    )
    rows, findings = read(tmp_path, TIKTOK, preset)
    assert values(rows, "order_id", "customer_name") == [
        ("576460000000000001\t", "mia_b"),
        ("576460000000000002\t", "jon.ek"),
    ]
    assert codes(findings) == [("SKIPPED_ROWS", 1, 2)]


def test_package_rows_above_the_lines_of_a_cart_are_left_out(tmp_path: Path) -> None:
    text = (
        "Ventas,,,\n\n,,Compradores,\n\n\n# de venta,Estado,Comprador,Total\n"
        "2000000001,Paquete de 2 productos,mia_b,30\n2000000002,Entregado,mia_b,10\n2000000003,Entregado,mia_b,20\n"
    )
    preset = preset_of(
        {"order_id": "# de venta", "order_status": "Estado"},
        skip_rows_matching=[{"when": "Estado", "matches": r"^Pa(?:quete|cote) de \d+ produ"}],
    )
    rows, findings = read(tmp_path, text, preset)
    assert values(rows, "order_id", "row_no") == [("2000000002", 8), ("2000000003", 9)]
    assert codes(findings) == [("LINES_ABOVE_HEADERS", 2, 1), ("SKIPPED_ROWS", 1, 7)]


def test_a_pattern_of_a_column_that_the_file_lacks_leaves_nothing_out(tmp_path: Path) -> None:
    preset = preset_of({"order_id": "No"}, skip_rows_matching=[{"when": "State", "matches": ""}])
    rows, findings = read(tmp_path, "No,Name\n1,Mia\n", preset)
    assert (len(rows), findings) == (1, [])


# Cells


def test_texts_that_stand_for_an_empty_cell_are_empty_in_columns_rules_and_items(tmp_path: Path) -> None:
    text = (
        "主订单编号,订单状态,取消原因,买家留言,商家备注,选购商品,商品规格\n"
        "7001\t,已发货,-,--,刻名字,杯子, - \n7002\t,待发货,不想要了,-,-,帽子,蓝色\n"
    )
    preset = preset_of(
        {
            "order_id": "主订单编号",
            "order_status": {
                "rules": [{"when": "取消原因", "matches": r"\S", "value": "已关闭"}],
                "columns": ["订单状态"],
            },
            "remark": ["买家留言", "商家备注"],
        },
        shape="line_item",
        item={"name": "选购商品", "variant": "商品规格"},
        empty_values=["-", "--"],
    )
    rows, _ = read(tmp_path, text, preset)
    assert values(rows, "order_status", "remark") == [("已发货", "刻名字"), ("已关闭", None)]
    assert [json.loads(row["items"]) for row in rows] == [[{"name": "杯子"}], [{"name": "帽子", "variant": "蓝色"}]]


def test_the_first_group_of_a_pattern_is_the_value_and_the_whole_text_stays_in_extra(tmp_path: Path) -> None:
    text = "Order ID,Buyer,Ship Name\n1,Mia Brandt (miab),Mia\n2,jonek,Jon\n3,Ann (x) (ann.x) ,Ann\n4,(,Eve\n"
    preset = preset_of(
        {"order_id": "Order ID", "customer_name": {"columns": ["Buyer"], "extract": r"([^\s()]+)\)?\s*$"}}
    )
    rows, _ = read(tmp_path, text, preset)
    assert values(rows, "customer_name") == [("miab",), ("jonek",), ("ann.x",), (None,)]
    assert [json.loads(row["extra"])["Buyer"] for row in rows[:2]] == ["Mia Brandt (miab)", "jonek"]


@pytest.mark.parametrize(
    ("variations", "variant", "text"),
    [
        ("Size:L,Color:Navy, dark", "Size:L,Color:Navy, dark", None),
        ("Size:L,Personalization:Anna, 3:00 pm,Ben", "Size:L", "Anna, 3:00 pm,Ben"),
        ("Personalisation:To Mum,\nLove: us", None, "To Mum,\nLove: us"),
        ("Finish:Matt,Personalization 2:A", "Finish:Matt", "A"),
        ("", None, None),
    ],
)
def test_labelled_variations_are_split_at_the_label_only(
    tmp_path: Path, variations: str, variant: str | None, text: str | None
) -> None:
    label = r"Personali[sz]ation(?: \d+)?:"
    preset = preset_of(
        {
            "order_id": "Order ID",
            "remark": {"columns": ["Variations"], "extract": rf"(?s)(?:^|,){label}(.*)$"},
        },
        shape="line_item",
        item={
            "name": "Item Name",
            "variant": {"columns": ["Variations"], "extract": rf"(?s)^(.*?)(?:(?:^|,){label}.*)?$"},
        },
    )
    rows, _ = read(tmp_path, f'Order ID,Item Name,Variations\n1,Mug,"{variations}"\n', preset)
    assert values(rows, "remark") == [(text,)]
    (item,) = json.loads(rows[0]["items"])
    assert item.get("variant") == variant


def test_merged_cells_are_filled_down_for_the_columns_that_the_mapping_names(tmp_path: Path) -> None:
    text = "订单编号,买家会员名,实付款(元),货品标题\n7001,小林,30,杯子\n,,,帽子\n7002,,8,围裙\n,,,杯子\n合计,,38,\n"
    preset = preset_of(
        {"order_id": "订单编号", "customer_name": "买家会员名", "amount": "实付款(元)"},
        shape="line_item",
        item={"name": "货品标题"},
        fill_down=["订单编号"],
    )
    rows, findings = read(tmp_path, text, preset)
    assert values(rows, "order_id", "customer_name", "amount") == [("7001", "小林", "30"), ("7002", None, "8")]
    assert [len(json.loads(row["items"])) for row in rows] == [2, 2]
    assert codes(findings) == [("TOTAL_ROWS", 1, 6)]


def test_order_numbers_that_a_spreadsheet_has_damaged_are_kept_apart_by_no_key(tmp_path: Path) -> None:
    preset = preset_of({"order_id": "Order ID"}, fill_down=["Order ID"], empty_values=["-"])
    rows, _ = read(tmp_path, "Order ID,Name\n1.23E+17,Mia\n1.23E+17,Jon\n", preset)
    assert values(rows, "order_id") == [("1.23E+17",)] * 2


# Headers


def test_the_headers_of_several_languages_are_alternatives_of_which_each_row_takes_the_first_that_is_filled(
    tmp_path: Path,
) -> None:
    preset = preset_of(
        {
            "order_id": ["Order ID", "No. Pesanan"],
            "order_status": {
                "rules": [{"when": ["Cancel reason", "Alasan Pembatalan"], "matches": r"\S", "value": "Batal"}],
                "columns": ["Order Status", "Status Pesanan"],
            },
        }
    )
    rows, _ = read(tmp_path, "No. Pesanan,Status Pesanan,Alasan Pembatalan\n1,Selesai,\n2,Selesai,lama\n", preset)
    assert values(rows, "order_id", "order_status") == [("1", "Selesai"), ("2", "Batal")]
    rows, findings = read(tmp_path, "No. Pesanan,Order ID,Cancel reason\n1,,\n2,9,late\n", preset)
    assert values(rows, "order_id", "order_status") == [("1", None), ("9", "Batal")]
    assert [one.code for one in findings] == ["MISSING_HEADERS"]


# Mistakes in a mapping


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("skip_rows_matching: ['(']", "is not a regular expression"),
        ("summary_rows: ['^$']", "name the column whose text is searched"),
        ("summary_rows: [{when: Item, matches: '^$'}]", "summary_rows needs shape: line_item"),
        ("columns: {order_id: {columns: [No], extract: 'a+'}}", "has no group"),
        ("columns: {order_id: {constant: x, extract: '(a)'}}", "extract needs columns"),
    ],
)
def test_a_mistake_in_a_key_says_what_to_write(keys: str, problem: str) -> None:
    columns = "" if keys.startswith("columns") else "columns: {order_id: No}\n"
    with pytest.raises(PresetError, match=problem):
        parse_mapping(f"name: own\n{columns}{keys}\n", "own.yaml")
