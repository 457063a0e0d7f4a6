"""Ledgers kept by hand: sheets of months, rows without an order number, totals, cells that are merged."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.drafts.draft import DraftOptions, draft_mapping
from etl_assets.inbox.ingest import ingest_inbox
from etl_assets.presets.catalog import PresetError, parse_mapping
from etl_assets.raw_orders.each_sheet import presets_of_each_sheet
from etl_assets.raw_orders.extract import ReadCounts, extract_raw_orders
from etl_assets.raw_orders.importing import import_sheets
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.reverts.imports import revert_imports
from etl_assets_tests.helpers.in_process_reader import FileHere, FilesHere
from etl_assets_tests.helpers.ledgers import HEADERS, JUNE, MAY, ORDERS, write_ledger
from etl_assets_tests.helpers.pipeline import query, run_all

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.drafts.text import Draft
    from etl_assets.pipeline.protocol import Services

MAPPING: Final = """
name: ledger
shape: line_item
each_sheet: true
columns:
  shop: {constant: Old Town}
  order_id: {number_rows_by: [file, sheet, row], continued_where_empty: [日期, 客户]}
  customer_name: 客户
  ordered_at: 日期
  order_status: 状态
  currency: {constant: CNY}
  amount: {sum: {plus_rows: [金额]}}
item: {name: 产品, variant: 规格, quantity: 数量, unit_price: 单价}
fill_down: [日期]
timestamp_formats: ['%m月%d日', excel]
year: file_name
timezone: Asia/Shanghai
cancelled_statuses: [取消]
detect_headers: [日期, 客户, 产品, 金额]
"""
BOOK: Final = "登记表-2026.xlsx"
SIMPLE: Final = """
name: notebook
columns:
  shop: {constant: Old Town}
  order_id: {number_rows_by: [row]}
  customer_name: Customer
  ordered_at: Date
  amount: Total
"""
STORED: Final = """
SELECT orders.order_id, customer_nickname, to_char(ordered_at AT TIME ZONE 'Asia/Shanghai', 'YYYY-MM-DD') AS day,
    amount::float8, array_agg(product ORDER BY line_no) AS products
FROM orders JOIN order_items USING (order_no) GROUP BY 1, 2, 3, 4
"""


def orders(services: Services) -> dict[str, tuple[Any, ...]]:
    rows = query(services, STORED)
    return {row.pop("order_id").removeprefix("登记表-2026/"): tuple(row.values()) for row in map(dict, rows)}


def written(services: Services) -> dict[str, Any]:
    """When each order was written last."""
    return {row["order_id"]: row["updated_at"] for row in query(services, "SELECT order_id, updated_at FROM orders")}


def import_book(services: Services, path: Path, mapping: str = MAPPING) -> list[Any]:
    with FilesHere() as reader:
        results = import_sheets(services.database, path, parse_mapping(mapping, "m"), reader=reader)
    run_all(services)
    return results


def read(path: Path, mapping: str = SIMPLE) -> tuple[list[tuple[Any, ...]], dict[str, int]]:
    counts = ReadCounts()
    frames = list(extract_raw_orders(FileHere(path), parse_mapping(mapping, "m"), counts))
    rows = pl.concat(frames).select("order_id", "customer_name", "amount").rows() if frames else []
    return rows, {one.code: one.count for one in counts.findings}


def notebook(folder: Path, text: str) -> Path:
    path = folder / "notebook.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_a_ledger_with_a_sheet_per_month_becomes_the_orders_that_it_holds(services: Services, tmp_path: Path) -> None:
    may, june = import_book(services, write_ledger(tmp_path / BOOK))
    assert orders(services) == ORDERS
    assert {one.code: one.count for one in may.findings} == {
        "SHEETS_WITHOUT_HEADERS": 1, "LINES_ABOVE_HEADERS": 1, "TOTAL_ROWS": 1, "UNFILLED_ROWS": 2,
    }  # fmt: skip
    assert {one.code: one.count for one in june.findings} == {"LINES_ABOVE_HEADERS": 1, "TOTAL_ROWS": 1}


def test_rows_that_are_appended_or_edited_leave_the_other_orders_as_they_are(
    services: Services, tmp_path: Path
) -> None:
    import_book(services, write_ledger(tmp_path / BOOK))
    before, times = orders(services), written(services)
    june = copy.deepcopy(JUNE)
    june[0][8] = 180
    june.insert(1, [2, "6月2日", "新客", None, "杯垫", "方", 1, 3, 3, 0, None, None])
    import_book(services, write_ledger(tmp_path / BOOK, {"5月": MAY, "6月": june}))
    after = orders(services)
    assert {key: row for key, row in after.items() if before.get(key) != row} == {
        "6月/4": ("老周", "2026-06-01", 180.0, ["T恤"]),
        "6月/5": ("新客", "2026-06-02", 3.0, ["杯垫"]),
    }
    assert before.keys() <= after.keys()
    anew = {key for key, time in written(services).items() if times.get(key) != time}
    assert anew == {"登记表-2026/6月/4", "登记表-2026/6月/5"}


def test_a_row_inserted_in_the_middle_moves_the_orders_below_by_one(services: Services, tmp_path: Path) -> None:
    import_book(services, write_ledger(tmp_path / BOOK))
    may = copy.deepcopy(MAY)
    may.insert(3, [None, "5月4日", "新客", None, "杯垫", "方", 1, 3, 3, 0, None, None])
    import_book(services, write_ledger(tmp_path / BOOK, {"5月": may, "6月": JUNE}))
    moved = {f"5月/{row + 1}": ORDERS[f"5月/{row}"] for row in (7, 8, 9)}
    kept = {key: ORDERS[key] for key in ("5月/4", "5月/5", "6月/4")}
    assert orders(services) == {**kept, **moved, "5月/7": ("新客", "2026-05-04", 3.0, ["杯垫"])}


def test_orders_that_lose_their_row_are_a_finding_and_go_with_the_earlier_imports(
    services: Services, tmp_path: Path
) -> None:
    earlier = import_book(services, write_ledger(tmp_path / BOOK))
    may = [row for row in MAY if row[0] != 4]  # row 7
    results = import_book(services, write_ledger(tmp_path / BOOK, {"5月": may, "6月": JUNE}))
    gone = [[one.count for one in result.findings if one.code == "GONE_ROWS"] for result in results]
    assert gone == [[1], []]
    assert orders(services).keys() == ORDERS.keys()
    revert_imports(services.database, [one.import_id for one in earlier])
    run_all(services)
    moved = {"5月/7": ORDERS["5月/8"], "5月/8": ORDERS["5月/9"]}
    assert orders(services) == {**{key: ORDERS[key] for key in ("5月/4", "5月/5", "6月/4")}, **moved}


def test_the_inbox_imports_every_sheet_of_a_ledger_once(services: Services, tmp_path: Path) -> None:
    folder = services.database.settings.presets_folder
    folder.mkdir(parents=True)
    (folder / "ledger.yaml").write_text(MAPPING, encoding="utf-8")
    content = write_ledger(tmp_path / BOOK).read_bytes()
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for _ in range(2):
        (inbox / BOOK).write_bytes(content)
        ingest_inbox(services.database, inbox, settle_seconds=0)
    assert [row["status"] for row in query(services, "SELECT status FROM import_tasks")] == ["completed", "completed"]
    run_all(services)
    assert orders(services) == ORDERS


def test_rows_of_text_have_the_numbers_that_a_spreadsheet_program_shows(tmp_path: Path) -> None:
    headers = 'Orders 2026,,,\nDate,Customer,Total,"Paid\n(cash)"\n'
    text = headers + '2026-05-01,"Mia\nMill",3,\n,,,\n2026-05-02,Jon,4,\nTotal,,7,\n'
    rows, codes = read(notebook(tmp_path, text))
    assert rows == [("3", "Mia\nMill", "3"), ("5", "Jon", "4")]
    assert codes == {"LINES_ABOVE_HEADERS": 1, "TOTAL_ROWS": 1}


def test_numbers_go_on_from_chunk_to_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("etl_assets.raw_orders.readers.csv.BLOCK_BYTES", 200)
    text = "Date,Customer,Total\n" + "".join(f'2026-05-01,"Mia\n{at}",3\n' for at in range(60))
    rows, _ = read(notebook(tmp_path, text))
    assert [row[0] for row in rows] == [str(row) for row in range(2, 62)]


def test_a_row_that_may_be_a_total_has_no_number(tmp_path: Path) -> None:
    text = "Date,Customer,Total\n2026-05-01,Mia,3\nTotal,2 orders,7\n"
    assert read(notebook(tmp_path, text))[0] == [("2", "Mia", "3"), (None, "2 orders", "7")]


def test_a_row_below_a_possible_total_continues_no_order(tmp_path: Path) -> None:
    mapping = SIMPLE.replace("[row]}", "[row], continued_where_empty: [Date, Customer]}")
    mapping = mapping.replace("columns:", "shape: line_item\ncolumns:", 1) + "item: {name: Item}\n"
    text = "Date,Customer,Item,Total\n,,Cup,1\n2026-05-01,Mia,Mug,3\n,,Cap,\nTotal,2 orders,,7\n,,Pen,1\n,Jon,Cap,2\n"
    rows, _ = read(notebook(tmp_path, text), mapping)
    assert sorted(rows, key=str) == sorted(
        [(None, None, "1"), ("3", "Mia", "3"), (None, "2 orders", "7"), (None, None, "1"), ("7", "Jon", "2")], key=str
    )


def test_rows_that_only_have_a_date_or_a_zero_are_no_orders(tmp_path: Path) -> None:
    text = "Date,Customer,Total\nMay,,\n2026-05-01,Mia,0\n2026-05-02,,0.00\n2026-05-03,, ¥0 \n,-,\n"
    rows, codes = read(notebook(tmp_path, text))
    assert rows == [("3", "Mia", "0")]
    assert codes == {"UNFILLED_ROWS": 4}


def test_the_year_is_that_of_the_sheet_and_of_text_that_of_the_file(tmp_path: Path) -> None:
    mapping = parse_mapping(MAPPING.replace("year: file_name", "year: sheet_name"), "m")
    book = write_ledger(tmp_path / "book.xlsx", {"2025年12月": JUNE, "2026-01": JUNE})
    years = []
    for one, _ in presets_of_each_sheet(FileHere(book), mapping):
        counts = ReadCounts()
        list(extract_raw_orders(FileHere(book), one, counts))
        years.append(counts.year)
    assert years == [2025, 2026]
    text = tmp_path / "book-2024.csv"
    text.write_text(",".join(HEADERS) + "\n1,6月1日,Mia,,Mug,,1,3,3,,,\n", encoding="utf-8")
    assert read(text, MAPPING.replace("year: file_name", "year: sheet_name"))[0] == [("book-2024/2", "Mia", "3")]
    unnamed = write_ledger(tmp_path / "other.xlsx", {"5月": MAY})
    [(preset, _)] = presets_of_each_sheet(FileHere(unnamed), mapping)
    with pytest.raises(ImportFileError, match="the sheet's name has no year"):
        list(extract_raw_orders(FileHere(unnamed), preset))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[row]", "[file]", "number_rows_by needs row"),
        ("[row]", "[sheet, row]", "need each_sheet: true"),
        ("[row]}", "[row], columns: [No]}", "stands alone"),
        ("[row]}", "[row], continued_where_empty: Date}", "continued_where_empty needs shape: line_item"),
        ("{number_rows_by: [row]}", "{columns: [No], continued_where_empty: Date}", "needs number_rows_by"),
        ("columns:", "each_sheet: true\ncolumns:", "number_rows_by needs sheet"),
        ("columns:", "each_sheet: true\nsheets: [May]\ncolumns:", "leave out sheets"),
        ("columns:", "year: sheet_name\ncolumns:", "need each_sheet: true"),
        ("Total", "{number_rows_by: [row]}", "number_rows_by is for order_id only"),
    ],
)
def test_keys_of_ledgers_that_contradict_each_other_are_refused(old: str, new: str, expected: str) -> None:
    with pytest.raises(PresetError, match=expected):
        parse_mapping(SIMPLE.replace(old, new, 1), "m.yaml")


NOTEBOOK: Final = """\
5月接单,,,,,
,,,,,
日期,客户,品名,数量,单价,金额
5.3,青山小学,校徽,100,2.5,250
,李记茶馆,杯垫,40,3,120
,,菜单,10,8,80
5.13,老周,T恤,20,35,700
小计,,,170,,1150
"""


def drafted(path: Path, *, number_rows: bool = True) -> Draft:
    options = DraftOptions(shop="Old Town", currency="CNY", timezone="Asia/Shanghai", number_rows=number_rows)
    return draft_mapping(FileHere(path), options)


def test_an_unchanged_draft_imports_a_workbook_with_a_sheet_per_month(services: Services, tmp_path: Path) -> None:
    path = write_ledger(tmp_path / BOOK)
    draft = drafted(path)
    assert draft.questions == []
    assert "1 rows have neither 日期 nor 客户: they continue the order above" in draft.notes
    assert "1 filled sheets have other headers: they are not read" in draft.notes
    import_book(services, path, draft.text)
    assert orders(services) == ORDERS


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_an_unchanged_draft_imports_a_ledger_of_text(services: Services, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "登记表-2026.csv"
    path.write_bytes(NOTEBOOK.encode(encoding))
    draft = drafted(path)
    assert draft.questions == []
    import_book(services, path, draft.text)
    assert orders(services) == {
        "4": ("青山小学", "2026-05-03", 250.0, ["校徽"]),
        "5": ("李记茶馆", "2026-05-03", 200.0, ["杯垫", "菜单"]),
        "7": ("老周", "2026-05-13", 700.0, ["T恤"]),
    }


def test_a_draft_asks_for_the_year_that_neither_dates_nor_names_have(tmp_path: Path) -> None:
    path = notebook(tmp_path, NOTEBOOK)
    draft = drafted(path)
    assert draft.questions == ["year: some dates have none, and neither has the name of the file"]
    with pytest.raises(PresetError, match="year is still to be decided"):
        parse_mapping(draft.text, "draft")
    mapping = draft.text.replace("year: DECIDE", "year: 2026")
    assert read(path, mapping)[0][0] == ("notebook/4", "青山小学", "250")


def test_a_draft_takes_the_year_from_the_names_of_all_sheets(tmp_path: Path) -> None:
    assert "year: sheet_name" in drafted(write_ledger(tmp_path / BOOK, {"2025-12": JUNE, "2026-01": JUNE})).text
    assert "year: file_name" in drafted(write_ledger(tmp_path / BOOK, {"2025-12": JUNE, "1": JUNE})).text


def test_what_is_paid_of_an_order_is_not_its_amount(tmp_path: Path) -> None:
    text = "日期,客户,已付金额,金额,交货日期\n2026-05-03,Mia,10,30,2026-06-01\n"
    columns = drafted(notebook(tmp_path, text)).columns
    assert (columns["amount"], columns["ordered_at"]) == (("金额",), ("日期",))


def test_a_draft_of_a_file_without_an_order_number_names_the_option_for_ledgers(tmp_path: Path) -> None:
    draft = drafted(notebook(tmp_path, NOTEBOOK), number_rows=False)
    assert any("--number-rows" in note for note in draft.notes)


@pytest.mark.usefixtures("services")
def test_a_preview_shows_each_sheet_with_the_places_of_its_orders(tmp_path: Path) -> None:
    book, mapping = write_ledger(tmp_path / BOOK), tmp_path / "m.yaml"
    mapping.write_text(MAPPING, encoding="utf-8")
    shown = CliRunner().invoke(app, ["import", "--dry-run", str(book), "--mapping", str(mapping), "--json"])
    may, june = json.loads(shown.stdout)["files"]
    assert (may["rows"], june["rows"]) == (5, 1)
    assert [one["from"] for one in june["columns"] if one["column"] == "order_id"] == [
        ["the place of the row: file, sheet, row"]
    ]
    assert "sheet 6月" in json.dumps(june, ensure_ascii=False)
