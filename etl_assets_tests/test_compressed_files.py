"""Compressed exports: .csv.gz, archives of several files, and what is refused in them; old workbooks and pages."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openpyxl
import polars as pl
import pytest

from etl_assets.inbox.ingest import ingest_inbox
from etl_assets.presets.model import Preset
from etl_assets.raw_orders.extract import ReadCounts, extract_raw_orders
from etl_assets.raw_orders.readers import html, unpack, xlsx
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets.raw_orders.readers.open_file import list_exports
from etl_assets_tests.helpers.in_process_reader import FileHere, FilesHere

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Services
    from etl_assets.raw_orders.findings import Finding

pytestmark = pytest.mark.reader_process

OWN = Preset.model_validate(
    {
        "name": "own",
        "columns": {
            "shop": {"constant": "Alstadt"},
            "order_id": "Order no.",
            "customer_name": "Customer",
            "amount": "Total",
            "ordered_at": "Ordered on",
        },
    }
)
HEADERS = "Order no.,Customer,Total,Ordered on\n"
ROWS = HEADERS + "B-1,Mia Brandt,12.50,2026-05-02\nB-2,Jon Ek,8.00,2026-05-03\n"
GOOD = [("B-1", "Mia Brandt", "12.50"), ("B-2", "Jon Ek", "8.00")]


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def zipped(*files: tuple[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    saved = io.BytesIO()
    with zipfile.ZipFile(saved, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return saved.getvalue()


def read(path: Path) -> tuple[list[tuple[Any, ...]], list[Finding]]:
    counts = ReadCounts()
    rows = pl.concat(extract_raw_orders(FileHere(path), OWN, counts))
    return rows.select("order_id", "customer_name", "amount").rows(), counts.findings


def refusal(path: Path) -> str:
    with pytest.raises(ImportFileError) as caught:
        read(path)
    return str(caught.value)


# Compressed text


@pytest.mark.parametrize("name", ["a.csv.gz", "a.tsv.GZ", "a.csv"])
def test_text_compressed_with_gzip_is_read(tmp_path: Path, name: str) -> None:
    rows, findings = read(write(tmp_path, name, gzip.compress(ROWS.encode())))
    assert (rows, findings) == (GOOD, [])


@pytest.mark.parametrize("cut", [20, -6])
def test_a_cut_off_gzip_file_is_refused(tmp_path: Path, cut: int) -> None:
    assert "it can't be unpacked" in refusal(write(tmp_path, "a.csv.gz", gzip.compress(ROWS.encode())[:cut]))


def test_a_file_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path: Path) -> None:
    bomb = gzip.compress(b"x" * (20 << 20))
    assert "it unpacks to more than its size allows" in refusal(write(tmp_path, "a.csv.gz", bomb))
    archive = zipped(("a.csv", b"x" * (20 << 20)))
    assert "it unpacks to more than its size allows" in refusal(write(tmp_path, "a.zip", archive))


# Archives


def test_an_archive_of_one_file_stands_for_that_file(tmp_path: Path) -> None:
    path = write(
        tmp_path, "a.zip", zipped(("may/orders.csv", ROWS), ("__MACOSX/._orders.csv", b"x"), (".DS_Store", b"x"))
    )
    assert read(path)[0] == GOOD
    assert list_exports(path) == []


def test_each_file_of_an_archive_has_a_path_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path, "a.zip", zipped(("june.csv", ROWS), ("2025/may.csv", HEADERS + "B-9,Eve,1.00,\n")))
    with FileReader() as reader:
        exports = reader.with_exports(path)
        assert exports == [path / "2025/may.csv", path / "june.csv"]
        with reader.open(exports[0]) as file:
            assert pl.concat(extract_raw_orders(file, OWN))["order_id"].to_list() == ["B-9"]
        with reader.open(exports[1]) as file:
            assert len(file.digest()) == 64
            assert file.folder == tmp_path
    assert "it holds 2 files. Name one of them, such as a.zip/2025/may.csv" in refusal(path)
    assert "it has no file 'x.csv'" in refusal(path / "x.csv")


@pytest.mark.parametrize("name", ["../a.csv", "/etc/a.csv", "a/../../b.csv", "a\\b.csv", "a//b.csv", "a\nb.csv"])
def test_a_name_that_points_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    assert "points elsewhere" in refusal(write(tmp_path, "a.zip", zipped((name, ROWS))))


def test_archives_in_archives_links_passwords_and_too_many_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "files that end in '.gz'" in refusal(write(tmp_path, "a.zip", zipped(("a.csv.gz", gzip.compress(b"x")))))
    nested = write(tmp_path, "b.zip", zipped(("b.zip", zipped(("a.csv", ROWS)))))
    assert "no workbook" in refusal(nested)
    link = zipfile.ZipInfo("a.csv")
    link.external_attr = 0o120777 << 16
    saved = io.BytesIO()
    with zipfile.ZipFile(saved, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert "a link" in refusal(write(tmp_path, "c.zip", saved.getvalue()))
    content = bytearray(zipped(("a.csv", ROWS)))
    content[content.find(b"PK\x01\x02") + 8] |= 1
    assert "have a password" in refusal(write(tmp_path, "d.zip", bytes(content)))
    monkeypatch.setattr(unpack, "MAX_MEMBERS", 1)
    assert "it holds 2 files, at most 1 are read" in refusal(
        write(tmp_path, "e.zip", zipped(("a.csv", ""), ("b.csv", "")))
    )
    assert "it can't be unpacked (BadZipFile)" in refusal(write(tmp_path, "f.zip", b"PK\x03\x04" + b"x" * 99))
    assert "the archive is empty" in refusal(write(tmp_path, "g.zip", zipped((".x", "y"))))


def test_a_name_in_the_code_page_of_an_old_system_is_read(tmp_path: Path) -> None:
    content = zipped(("XXXX.csv", ROWS), ("b.csv", ROWS)).replace(b"XXXX", "订单".encode("gb18030"))
    assert list_exports(write(tmp_path, "a.zip", content)) == ["b.csv", "订单.csv"]


def test_the_inbox_imports_each_file_of_an_archive_once_and_keeps_the_archive_where_one_failed(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("etl_assets.inbox.ingest.FileReader", lambda *_, presets_folder=None, **__: FilesHere())
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    generic = "shop,order_id,amount\nAlstadt,B-{},1.00\n"
    good = [(f"{at}.csv", generic.format(at)) for at in (1, 2)]
    write(inbox, "a.zip", zipped(*good, ("3.csv", "shop,order_id\nAlstadt,B-3,too many,cells\n")))
    outcome = ingest_inbox(services.database, inbox, settle_seconds=0)
    assert [(Path(one.source).name, one.rows, one.status) for one in outcome.imports] == [
        ("1.csv", 1, "completed"), ("2.csv", 1, "completed"), ("3.csv", 0, "failed"),
    ]  # fmt: skip
    said = (inbox / "failed" / "a.zip.error.txt").read_text()
    assert "1 of its 3 files were not imported" in said
    assert "The other files of it are imported" in said
    write(inbox, "a.zip", zipped(*good, ("3.csv", generic.format(3))))
    outcome = ingest_inbox(services.database, inbox, settle_seconds=0)
    assert [(Path(one.source).name, one.rows) for one in outcome.imports] == [("3.csv", 1)]
    assert (inbox / "done" / "a.zip").exists()
    assert not (inbox / "failed" / "a.zip.error.txt").exists()
    write(inbox, "b.zip", zipped(*good))
    outcome = ingest_inbox(services.database, inbox, settle_seconds=0)
    assert (outcome.imports, [path.name for path in outcome.known]) == ([], ["b.zip"])


# Pages

PAGE = """<html><head><meta charset="{charset}"><style>td {{ color: red }}</style>
<script>var x = "<table>";</script></head>
<body><table><tr><td>Menu</td></tr></table>
<TABLE border=1><caption>订单</caption>
<tr><th colspan=2>Orders &amp; more</th></tr>
<tr><th>Order no.<th> Customer </th><th>Total</th><th>Ordered<br>on</th></tr>
<tr><td x:str>B-1</td><td>Mia&nbsp;<b>Brandt</b><table><tr><td>!</td></tr></table></td><td>12.50</td><td>2026-05-02</td>
<tr><td>B-2<td rowspan=2>Jon Ek<td>8.00<td></tr>
<tr><td>B-3</td><td>9.00</td></tr>
</table></body></html>"""
PAGE_ROWS = [("B-1", "Mia Brandt!", "12.50"), ("B-2", "Jon Ek", "8.00"), ("B-3", None, "9.00")]


@pytest.mark.parametrize("name", ["a.xls", "a.csv", "a.xlsx"])
@pytest.mark.parametrize("charset", ["utf-8", "gb2312"])
def test_a_page_with_a_table_is_read_whatever_its_name(tmp_path: Path, name: str, charset: str) -> None:
    rows, findings = read(write(tmp_path, name, PAGE.format(charset=charset).encode(charset)))
    assert rows == PAGE_ROWS
    codes = [one.code for one in findings]
    assert codes == ["OTHER_FILE_TYPE", "SHEET_FOUND", "LINES_ABOVE_HEADERS"]


def test_a_workbook_in_the_xml_of_2003_is_read(tmp_path: Path) -> None:
    rows = [["Order no.", "Customer", "Total"], ["B-1", "Mia Brandt", "12.50"]]
    xml = "".join(
        "<Row>" + "".join(f'<Cell><Data ss:Type="String">{cell}</Data></Cell>' for cell in row) + "</Row>"
        for row in rows
    )
    xml += '<Row><Cell><Data>B-2</Data></Cell><Cell ss:Index="3"><Data>8.00</Data></Cell></Row>'
    content = f'<?xml version="1.0"?><Workbook><Worksheet ss:Name="a"><Table>{xml}</Table></Worksheet></Workbook>'
    assert read(write(tmp_path, "a.xls", content.encode()))[0] == [GOOD[0], ("B-2", None, "8.00")]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"<!DOCTYPE html><p>Sign in", "a page (HTML or XML) without a table"),
        (b"<table><tr><td>Order no.<tr><td>B-1", "the page ends within a table"),
        (b"<table><tr>" + b"<td>x" * 3000, "columns, at most 2,000"),
        (b"<table><tr><td>" + b"x" * 40_000, "a cell has more than 32,767 characters"),
        (b"<table><!--" + b"x" * (3 << 20), "a tag or comment is longer"),
        (b"<table><tr><td colspan=999999999>x<td>y</table>", "columns, at most 2,000"),
    ],
)
def test_a_page_beyond_a_limit_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    assert problem in refusal(write(tmp_path, "a.xls", content))


def test_a_large_page_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MAX_PAGE_BYTES", 100)
    assert "the page is larger than" in refusal(write(tmp_path, "a.xls", PAGE.encode()))


# Workbooks

OLD_WORKBOOK = Path(__file__).parent / "data" / "old_workbook.xls"
"""Two rows under a title, written by xlwt: texts, a number, a time, a number of 17 digits; and an empty sheet."""


def test_an_old_workbook_is_read(tmp_path: Path) -> None:
    rows, findings = read(OLD_WORKBOOK)
    assert rows == [("B-1", "Mia Brandt", "12.5"), ("1.2345678901234568E+17", "小林", "8")]
    assert [one.code for one in findings] == ["LINES_ABOVE_HEADERS"]
    again = write(tmp_path, "a.csv", OLD_WORKBOOK.read_bytes())
    assert read(again)[0] == rows


@pytest.mark.parametrize("name", ["a.xls", "a.xlsx"])
def test_text_with_tabs_called_a_workbook_is_read(tmp_path: Path, name: str) -> None:
    rows, findings = read(write(tmp_path, name, ROWS.replace(",", "\t").encode()))
    assert rows == GOOD
    assert [one.code for one in findings] == ["OTHER_FILE_TYPE"]


def test_a_broken_old_workbook_and_one_with_a_password_are_refused(tmp_path: Path) -> None:
    content = OLD_WORKBOOK.read_bytes()
    assert "can't be read as a workbook" in refusal(write(tmp_path, "a.xls", content[:600]))
    for at in range(512, len(content), 97):  # whatever is damaged, it is an error of the file or none
        damaged = content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]
        with suppress(ImportFileError):
            read(write(tmp_path, "b.xls", damaged))
    locked = content[:512] + "EncryptedPackage".encode("utf-16-le") + content[512:]
    assert "the workbook has a password" in refusal(write(tmp_path, "c.xls", locked))


def workbook_of_many_kinds() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append([])
    sheet.append([None, "Order no.", "Customer", "Total", "Ordered on", "Other", "More"])
    times = (
        dt.datetime(2026, 5, 13, 10, 1, 2),  # noqa: DTZ001  # as sheets have them
        dt.date(2026, 5, 13),
        dt.time(10, 1),
        dt.timedelta(hours=30),
    )
    for at, (number, time) in enumerate(zip((1, 1.5, 123456789012345678, -0.1), times, strict=True)):
        sheet.append([None, f"B-{at}", "小 & 林\n" if at else None, number, time, at % 2 == 0, " x "])
        sheet.append([None] * 5)
    sheet["D3"].number_format = "0%"
    saved = io.BytesIO()
    book.save(saved)
    return saved.getvalue()


def test_both_readers_of_workbooks_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a.xlsx", workbook_of_many_kinds())

    def whole() -> list[tuple[Any, ...]]:
        content = FileHere(path).content(OWN)
        return [content.headers, *pl.concat(content.frames).rows()]

    with monkeypatch.context() as patch:
        patch.setattr(xlsx, "_streamed_sheets", None)
        loaded = whole()
    monkeypatch.setattr(xlsx, "_may_be_loaded", lambda _: False)
    assert loaded == whole()
    assert len(loaded) == 5


@pytest.mark.parametrize("cell", ["#N/A", "#DIV/0!"])
def test_an_error_in_a_cell_is_kept_as_text_not_taken_for_empty(tmp_path: Path, cell: str) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    for row in (["Order no.", "Customer", "Total"], ["B-1", "Mia", cell]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    assert read(tmp_path / "a.xlsx")[0] == [("B-1", "Mia", cell)]


def test_a_sheet_that_would_not_fit_in_memory_is_read_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xlsx, "MOST_LOADED_CELLS", 10)
    monkeypatch.setattr("etl_assets.raw_orders.readers.calamine.load_sheets", None)
    assert len(read(write(tmp_path, "a.xlsx", workbook_of_many_kinds()))[0]) == 4
