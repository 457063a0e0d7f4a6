"""Files as people have them: each is read right, or the error shows what was seen and what to type."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any

import openpyxl
import polars as pl
import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.orders.transform import read_orders
from etl_assets.orders.value_hints import unreadable_values_hint
from etl_assets.presets.catalog import get_preset
from etl_assets.presets.model import Preset
from etl_assets.raw_orders.extract import ReadCounts, extract_raw_orders
from etl_assets.raw_orders.findings import LONGEST_SUBJECT
from etl_assets.raw_orders.importing import require_preset
from etl_assets.raw_orders.readers.encoding_evidence import looks_japanese, looks_western
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets.raw_orders.readers.total_rows import is_total_row
from etl_assets_tests.helpers.in_process_reader import FileHere

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from click.testing import Result

    from etl_assets.raw_orders.findings import Finding
    from etl_assets.settings import Settings

SHOP = {"constant": "Alstadt"}
OWN = Preset.model_validate(
    {
        "name": "own",
        "columns": {
            "shop": SHOP,
            "order_id": "Order no.",
            "customer_name": "Customer",
            "amount": "Total",
            "ordered_at": "Ordered on",
        },
    }
)
ROWS = "Order no.,Customer,Total,Ordered on\nB-1,Mia Brandt,12.50,2026-05-02\nB-2,Jon Ek,8.00,2026-05-03\n"

EBAY_DE = Preset.model_validate(
    {
        "name": "ebay_de",
        "delimiter": ";",
        "columns": {
            "shop": SHOP,
            "order_id": "Bestellnummer",
            "customer_name": "Nutzername des Käufers",
            "amount": "Gesamtbetrag",
            "remark": "Angebotstitel",
        },
        "numbers": {"decimal": ","},
    }
)
EBAY_DE_FILE = (
    ";;;;\r\n"
    "Verkaufsprotokollnummer;Bestellnummer;Nutzername des Käufers;Angebotstitel;Gesamtbetrag\r\n"
    ";;;;\r\n"
    "1;20-11111-11111;grüße_aus_köln;Tasse „Größe L“;116,99 €\r\n"
    "2;20-11111-11112;müller77;Schürze;8,00 €\r\n"
)

MERCADO = Preset.model_validate(
    {
        "name": "mercado",
        "columns": {
            "shop": SHOP,
            "order_id": "# de venta",
            "customer_name": "Comprador",
            "order_status": "Estado",
            "remark": "Título de la publicación",
        },
    }
)


def write(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path, preset: Preset | None = OWN) -> tuple[list[tuple[Any, ...]], list[Finding]]:
    """Return line, order number and customer of the orders, and the findings."""
    counts = ReadCounts()
    file = FileHere(path)
    frames = list(extract_raw_orders(file, preset or require_preset(file), counts, is_detected=preset is None))
    rows = pl.concat(frames).select("row_no", "order_id", "customer_name").rows() if frames else []
    return rows, counts.findings


def refusal(path: Path, preset: Preset | None = OWN) -> str:
    with pytest.raises(ImportFileError) as caught:
        read(path, preset)
    return str(caught.value)


def summary(findings: list[Finding]) -> list[tuple[str, str, int, int | None]]:
    return [(one.code, one.subject, one.count, one.first_line) for one in findings]


def workbook(*sheets: Sequence[Sequence[object]]) -> bytes:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(list(row))
    saved = io.BytesIO()
    book.save(saved)
    return saved.getvalue()


GOOD = [(2, "B-1", "Mia Brandt"), (3, "B-2", "Jon Ek")]


def moved(rows: list[tuple[Any, ...]], lines: int) -> list[tuple[Any, ...]]:
    return [(line + lines, *rest) for line, *rest in rows]


# Headers


def test_title_lines_above_the_headers_are_passed_over_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'Orders of May\n"Made on\n2026-06-01",x\n\n' + ROWS)
    rows, findings = read(path)
    assert rows == moved(GOOD, 4)
    assert summary(findings) == [("LINES_ABOVE_HEADERS", "5", 2, 1)]


def test_title_lines_do_not_keep_a_preset_from_being_detected(tmp_path: Path) -> None:
    header = "订单编号,买家会员名,订单状态,订单创建时间,宝贝标题,店铺名称\n"
    content = f"订单报表\n\n{header}7001,小林,交易成功,2026-05-02 10:00:00,杯子,小店\n".encode("gb18030")
    rows, findings = read(write(tmp_path, "a.csv", content), None)
    assert rows == [(4, "7001", "小林")]
    assert [one.code for one in findings] == ["LINES_ABOVE_HEADERS"]


def test_the_header_row_is_the_one_with_most_mapped_headers(tmp_path: Path) -> None:
    rows, findings = read(write(tmp_path, "a.csv", "Order no.,of the shop\n" + ROWS))
    assert rows == moved(GOOD, 1)
    assert [one.code for one in findings] == ["LINES_ABOVE_HEADERS"]


@pytest.mark.parametrize("directive", ["sep=;\r\n", '"sep=;"\n', "SEP=;\n"])
def test_the_delimiter_that_excel_is_told_is_understood(tmp_path: Path, directive: str) -> None:
    path = write(tmp_path, "a.csv", directive + ROWS.replace(",", ";"))
    assert read(path) == (moved(GOOD, 1), [])


def test_a_later_sheet_with_the_headers_is_read_and_named(tmp_path: Path) -> None:
    title: list[list[object]] = [["Ventas"], ["Mayo"], [None], ["Ventas", None, None, "Publicaciones"], [None]]
    header: list[object] = ["# DE VENTA", "Estado", "Unidades", "Título de la publicación", "Comprador", "Unidades"]
    orders = [*title, header, ["2000001", "Entregado", 1, "Taza", "Ana Ruiz", 1]]
    path = write(tmp_path, "a.xlsx", workbook([["Notas"]], orders, [header]))
    rows, findings = read(path, MERCADO)
    assert rows == [(7, "2000001", "Ana Ruiz")]
    assert summary(findings) == [
        ("REPEATED_HEADER", "Unidades", 2, 6),
        ("SHEET_FOUND", "2 of 3", 1, None),
        ("SHEETS_NOT_READ", "2 of 3", 1, None),
        ("LINES_ABOVE_HEADERS", "6", 3, 1),
    ]


def test_headers_in_other_case_width_and_blanks_match_and_keep_their_spelling(tmp_path: Path) -> None:
    header = "ORDER  NO.,ｃｕｓｔｏｍｅｒ, total ,Ordered On,Gift Wrap\n"
    path = write(tmp_path, "a.csv", header + "B-1,Mia Brandt,12.50,2026-05-02,yes\n")
    counts = ReadCounts()
    orders = pl.concat(extract_raw_orders(FileHere(path), OWN, counts))
    assert orders.select("order_id", "customer_name", "amount", "extra").rows() == [
        ("B-1", "Mia Brandt", "12.50", '{"Gift Wrap":"yes"}')
    ]
    assert counts.headers == ("ORDER  NO.", "ｃｕｓｔｏｍｅｒ", "total", "Ordered On", "Gift Wrap")
    assert counts.findings == []


def test_a_preset_is_detected_by_headers_in_other_case(tmp_path: Path) -> None:
    header = ",".join(get_preset("shopify").detect_headers[0]).upper() + ",Total\n"
    file = FileHere(write(tmp_path, "a.csv", header))
    assert require_preset(file).name == "shopify"


def test_order_no_without_its_point_is_an_error_that_asks(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, "a.csv", ROWS.replace("Order no.", "Order No")))
    assert "no column 'Order no.' for the order number" in error
    assert "its headers (line 1) are 'Order No', 'Customer', 'Total', 'Ordered on'" in error
    assert "Did you mean 'Order No'?" in error


def test_a_misspelt_column_that_is_not_required_is_a_finding_that_asks(tmp_path: Path) -> None:
    rows, findings = read(write(tmp_path, "a.csv", ROWS.replace("Customer", "Custmer")))
    assert [customer for *_, customer in rows] == [None, None]
    assert [one.code for one in findings] == ["MISSING_HEADERS", "SIMILAR_HEADER"]
    assert "customer_name: Custmer" in findings[1].message


def test_headers_that_fit_no_preset_are_shown_but_no_row_of_data_is(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, "a.csv", "Liste\n\nBelegnummer,Kunde,Summe\n17,Mia Brandt,3\n"), None)
    assert "its headers (line 3) are 'Belegnummer', 'Kunde', 'Summe'" in error
    for preset in (None, OWN):
        error = refusal(write(tmp_path, "b.csv", "1017,Mia Brandt,12.50\n1018,Jon Ek,3\n"), preset)
        assert "looks like one of data" in error
        assert "Mia" not in error


def test_two_headers_that_match_the_mapping_are_an_error_that_names_both(tmp_path: Path) -> None:
    rows = "ORDER NO.,order no.\nB-1,B-2\n"
    assert "'ORDER NO.' and 'order no.' both match 'Order no.'" in refusal(write(tmp_path, "a.csv", rows))
    exact = "ORDER NO.,Order no.\nB-1,B-2\n"
    assert read(write(tmp_path, "b.csv", exact))[0] == [(2, "B-2", None)]


def test_repeated_headers_are_numbered_unless_the_mapping_uses_them(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "Order no.,Units,Units,Units (2),Units\nB-1,1,2,3,4\n")
    counts = ReadCounts()
    (orders,) = extract_raw_orders(FileHere(path), OWN, counts, is_detected=True)
    assert orders["extra"].to_list() == ['{"Units":"1","Units (3)":"2","Units (2)":"3","Units (4)":"4"}']
    assert summary(counts.findings) == [("REPEATED_HEADER", "Units", 4, 1)]
    error = refusal(write(tmp_path, "b.csv", "Order no.,Total,Total\nB-1,1,2\n"))
    assert "columns 2 and 3 have the same header 'Total', which the mapping uses" in error


def test_many_repeated_and_long_headers_are_few_and_short_findings(tmp_path: Path) -> None:
    repeated = [f"{number} {'x' * 9000}" for number in range(30)] * 2
    header = ",".join(["Order no.", "Customer", "Total", "Ordered on", *repeated])
    _, findings = read(write(tmp_path, "a.csv", header + "\n"))
    assert [(one.code, one.count) for one in findings] == [*[("REPEATED_HEADER", 2)] * 10, ("REPEATED_HEADERS", 20)]
    assert max(len(one.subject) for one in findings) == LONGEST_SUBJECT


# Encodings


@pytest.mark.parametrize("preset", [EBAY_DE, EBAY_DE.model_copy(update={"encodings": ("utf-8", "gb18030")})])
def test_a_file_of_excel_in_western_europe_is_read_as_cp1252_and_that_is_said(tmp_path: Path, preset: Preset) -> None:
    rows, findings = read(write(tmp_path, "a.csv", EBAY_DE_FILE.encode("cp1252")), preset)
    assert rows == [(4, "20-11111-11111", "grüße_aus_köln"), (5, "20-11111-11112", "müller77")]
    assert ("GUESSED_ENCODING", "cp1252", 1, None) in summary(findings)


@pytest.mark.parametrize("before", [0, 150_000])
def test_japanese_of_amazon_is_read_as_cp932_wherever_it_begins(tmp_path: Path, before: int) -> None:
    text = "shop,order_id,customer_name\n" + "s,1,Anna\n" * before + "s,2,名入れマグカップの店\n"
    path, counts = write(tmp_path, "a.csv", text.encode("cp932")), ReadCounts()
    orders = pl.concat(extract_raw_orders(FileHere(path), get_preset("generic"), counts, is_detected=True))
    assert orders["customer_name"].to_list()[-1] == "名入れマグカップの店"
    assert [(one.code, one.subject) for one in counts.findings] == [("GUESSED_ENCODING", "cp932")]


@pytest.mark.parametrize(
    ("text", "encoding", "is_japanese"),
    [
        ("田中さん テスト", "cp932", True),
        ("名入れギフト Mug 350 ml 渋谷区", "cp932", True),
        ("小店 张三 杯子 定制马克杯", "gb18030", False),
        ("の小店 张三", "gb18030", False),
        ("Müller, Größe", "cp1252", False),
        ("Łódź Gdańsk książka", "cp1250", False),
        ("テスト", "utf-8", False),
    ],
)
def test_the_evidence_tells_cp932_from_other_encodings(text: str, encoding: str, *, is_japanese: bool) -> None:
    assert looks_japanese(text.encode(encoding)) == is_japanese


def test_cp1252_is_recognised_where_its_letters_come_late_in_the_file(tmp_path: Path) -> None:
    plain = "shop,order_id,customer_name\n" + "s,1,Anna\n" * 150_000
    path = write(tmp_path, "a.csv", (plain + "s,2,Jörg Größe\n").encode("cp1252"))
    counts = ReadCounts()
    orders = pl.concat(extract_raw_orders(FileHere(path), get_preset("generic"), counts, is_detected=True))
    assert orders["customer_name"].to_list()[-1] == "Jörg Größe"
    assert [one.code for one in counts.findings] == ["GUESSED_ENCODING"]


def test_chinese_bytes_are_read_as_the_preset_says_and_never_as_cp1252(tmp_path: Path) -> None:
    content = "shop,order_id,customer_name\n小店,1,张三\n".encode("gb18030")
    assert read(write(tmp_path, "a.csv", content), get_preset("generic"))[0] == [(2, "1", "张三")]
    content = "Order no.,Customer\nB-1,张三\n".encode("gb18030")
    assert "if its text is Chinese: encodings: [utf-8, gb18030]" in refusal(write(tmp_path, "b.csv", content))


def test_an_encoding_that_the_mapping_names_is_not_replaced(tmp_path: Path) -> None:
    preset = OWN.model_copy(update={"encodings": ("utf-8", "cp1250")})
    rows, findings = read(write(tmp_path, "a.csv", "Order no.,Customer\nB-1,Jürgen\n".encode("cp1250")), preset)
    assert (rows, [one.code for one in findings]) == ([(2, "B-1", "Jürgen")], ["MISSING_HEADERS"])


@pytest.mark.parametrize(
    ("text", "encoding", "is_western"),
    [
        ("Müller, Größe, Straße", "cp1252", True),
        ("créée l’été «oui» 20 €", "cp1252", True),
        ("São Paulo, coração, niño", "cp1252", True),
        ("小店 张三 杯子", "gb18030", False),
        ("王小明 陳大文 台北市", "big5", False),
        ("田中さん テスト", "shift_jis", False),
        ("Иванов Петр", "cp1251", False),
        ("Łódź Gdańsk książka", "cp1250", False),
        ("Müller Straße café", "mac-roman", False),
        ("Müller", "utf-8", False),
    ],
)
def test_the_evidence_tells_cp1252_from_other_encodings(text: str, encoding: str, *, is_western: bool) -> None:
    assert looks_western(text.encode(encoding)) == is_western


# Types


def test_a_workbook_called_csv_is_read_as_one(tmp_path: Path) -> None:
    content = workbook([["Order no.", "Customer"], ["B-1", "Mia Brandt"]])
    rows, findings = read(write(tmp_path, "a.csv", content))
    assert rows == GOOD[:1]
    assert ("OTHER_FILE_TYPE", "a workbook (.xlsx)", 1, None) in summary(findings)


def test_text_called_xlsx_is_read_as_text(tmp_path: Path) -> None:
    rows, findings = read(write(tmp_path, "a.xlsx", ROWS))
    assert rows == GOOD
    assert summary(findings) == [("OTHER_FILE_TYPE", "delimited text (.csv)", 1, None)]


def zipped() -> bytes:
    saved = io.BytesIO()
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr("orders.csv", ROWS)
    return saved.getvalue()


@pytest.mark.parametrize(
    ("content", "seen", "remedy"),
    [
        (zipped(), "a zip archive", "Unpack it"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "read as a workbook", "save it again as .xlsx"),
        (b"\xef\xbb\xbf <!DOCTYPE html><p>Sign in", "a page (HTML or XML) without a table", "login"),
        (b"%PDF-1.7", "a PDF", "CSV"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.xlsx"])
def test_a_file_of_another_type_says_which_and_what_to_do(
    tmp_path: Path, name: str, content: bytes, seen: str, remedy: str
) -> None:
    error = refusal(write(tmp_path, name, content))
    assert seen in error
    assert remedy in error


# Totals and footers


def test_a_line_of_totals_is_left_out_and_counted(tmp_path: Path) -> None:
    rows, findings = read(write(tmp_path, "a.csv", ROWS + "Total,,20.50\nSumme:,,20.50 €,\n,合计,20.50,\n"))
    assert rows == GOOD
    assert summary(findings) == [("TOTAL_ROWS", "", 3, 4)]


def test_a_total_in_a_workbook_is_left_out(tmp_path: Path) -> None:
    content = workbook([["Order no.", "Customer", "Total"], ["B-1", "Mia Brandt", 2.5], ["Total", None, 2.5]])
    rows, findings = read(write(tmp_path, "a.xlsx", content))
    assert rows == GOOD[:1]
    assert ("TOTAL_ROWS", "", 1, 3) in summary(findings)


def test_a_row_that_may_be_an_order_is_kept(tmp_path: Path) -> None:
    rows, _ = read(write(tmp_path, "a.csv", ROWS + ",Total,1.00,Monday\nB-3,Total,1.00,\n,Mia Brandt,1.00,\n"))
    assert [number for _, number, _ in rows] == ["B-1", "B-2", None, "B-3", None]


@pytest.mark.parametrize(
    ("cells", "is_total"),
    [
        (["Total", "", "12.50"], True),
        (["", "SUMME:", "1.234,50 €", "-", "EUR 3"], True),
        (["合計", "￥12"], True),
        (["Total", "Mia Brandt", "12.50"], False),
        (["Total", "B-1", "12.50"], False),
        (["12.50", "Total"], False),
        (["Totally blue", "3"], False),
        (["", ""], False),
        (["Total", "9" * 100_000], False),
    ],
)
def test_only_a_row_of_a_word_and_numbers_is_a_total(cells: list[str], *, is_total: bool) -> None:
    assert is_total_row(cells) == is_total


FOOTER = "\n83,record(s) downloaded,from May-01-26 to May-31-26\nSeller ID : alstadt\n"


def test_a_footer_is_refused_with_its_line_and_the_key_that_drops_it(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, "a.csv", ROWS + FOOTER))
    assert "line 5: the row has 3 cells, the header 4" in error
    assert "skip_rows_matching" in error


def test_rows_that_the_mapping_names_are_left_out_and_counted(tmp_path: Path) -> None:
    patterns = (r"^\d+\trecord\(s\) downloaded", "^Seller ID :", "^Platform unique")
    preset = Preset.model_validate(OWN.model_dump() | {"skip_rows_matching": patterns})
    header, orders = ROWS.split("\n", 1)
    explained = f"{header}\nPlatform unique order ID.,Name of the buyer,,\n{orders}"
    rows, findings = read(write(tmp_path, "a.csv", explained + FOOTER), preset)
    assert rows == moved(GOOD, 1)
    assert summary(findings) == [("SKIPPED_ROWS", "", 3, 2)]


# Times


SERIAL = "Order no.,Customer,Total,Ordered on\nB-1,Mia Brandt,12.50,46143.5\nB-2,Jon Ek,8.00,46144\n"
SHOPS = pl.DataFrame(
    {"platform": "own", "shop_name": "Alstadt", "timezone": "UTC", "default_currency": None, "shop_id": 1},
    schema_overrides={"default_currency": pl.String(), "shop_id": pl.Int32()},
)


def orders_of(path: Path, preset: Preset) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return the raw orders of a file, and those that are read and that are rejected."""
    raw = pl.concat(extract_raw_orders(FileHere(path), preset)).with_row_index("raw_id")
    types = pl.DataFrame(schema={"order_type": pl.String(), "system_order_type": pl.String()})
    return raw, *read_orders(raw, preset, SHOPS, types)


def test_serial_dates_of_a_spreadsheet_are_told_what_to_type_and_read_with_it(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", SERIAL)
    raw, good, rejected = orders_of(path, OWN)
    assert (good.height, rejected["reason_code"].to_list()) == (0, ["BAD_TIMESTAMP"] * 2)
    assert unreadable_values_hint(raw, OWN) == (
        "ordered_at looks like 99999, try 'excel' in timestamp_formats of the mapping"
    )
    _, good, rejected = orders_of(path, OWN.model_copy(update={"timestamp_formats": ("excel",)}))
    assert rejected.is_empty()
    assert [str(time) for time in good["ordered_at"]] == ["2026-05-01 12:00:00+00:00", "2026-05-02 00:00:00+00:00"]


# Paths


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["import", *map(str, arguments)])


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("https://me:Secret@example.org/orders.csv?token=Secret", "is a URL. Download the file first"),
        ("", "is a folder. Name its files, for example: etl-assets import"),
        ("order.csv", "Did you mean 'orders.csv'?"),
        ("none/orders.csv", "There is no folder"),
        ("*.parquet", "No file matches"),
    ],
)
def test_a_path_that_is_no_file_is_wrong_use_before_any_database_is_opened(
    tmp_path: Path, path: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl_assets.cli.imports.opened_database", None)
    write(tmp_path, "orders.csv", ROWS)
    result = call(path if "://" in path else tmp_path / path)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Secret" not in result.output


def test_a_quoted_glob_is_expanded_and_findings_are_in_the_json(tmp_path: Path, settings: Settings) -> None:
    for name in ("b.csv", "a.csv"):
        write(tmp_path, name, "Orders of May\nSHOP,ORDER_ID,amount\nAlstadt,B-1,5\nTotal,,5\n")
    write(tmp_path, "c.txt", "no export")
    result = call(tmp_path / "*.csv", "--json")
    assert result.exit_code == 0, result.output
    imports = json.loads(result.stdout)["imports"]
    assert sorted(one["source"] for one in imports) == [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    for one in imports:
        found = {finding["code"]: (finding["subject"], finding["count"]) for finding in one["findings"]}
        assert (one["rows"], found["LINES_ABOVE_HEADERS"], found["TOTAL_ROWS"]) == (1, ("2", 1), ("", 1))


def test_findings_of_the_reader_process_arrive(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", ("Title\n" + ROWS + "Total,,20.5\n").replace("Ek", "Ök").encode("cp1252"))
    counts = ReadCounts()
    with FileReader() as reader, reader.open(path) as file:
        orders = pl.concat(extract_raw_orders(file, OWN, counts))
    assert orders["customer_name"].to_list() == ["Mia Brandt", "Jon Ök"]
    assert summary(counts.findings) == [
        ("LINES_ABOVE_HEADERS", "2", 1, 1),
        ("GUESSED_ENCODING", "cp1252", 1, None),
        ("TOTAL_ROWS", "", 1, 5),
    ]
