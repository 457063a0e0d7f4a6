"""Reading import files of every format: text arrives untouched, and whatever is wrong is one clear error."""

from __future__ import annotations

import datetime as dt
import os
import zipfile
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import openpyxl
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from etl_assets.presets.catalog import get_preset
from etl_assets.presets.model import Preset
from etl_assets.raw_orders import extract
from etl_assets.raw_orders.extract import ReadCounts, extract_raw_orders
from etl_assets.raw_orders.readers import csv, csv_dialect, xlsx
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
from etl_assets_tests.helpers.in_process_reader import FileHere

if TYPE_CHECKING:
    from pathlib import Path

GENERIC = get_preset("generic")
PERSON = "Zhang-San-13800000000"  # stands for a customer's data: no error may show it


def write(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_rows(path: Path, preset: Preset | None = None) -> list[dict[str, Any]]:
    return [row for frame in FileHere(path).content(preset or ExpectedFormat()).frames for row in frame.to_dicts()]


def read_orders(path: Path, preset: Preset = GENERIC) -> pl.DataFrame:
    return pl.concat(list(extract_raw_orders(FileHere(path), preset)))


def error_of(path: Path, preset: Preset = GENERIC) -> ImportFileError:
    with pytest.raises(ImportFileError) as caught:
        list(extract_raw_orders(FileHere(path), preset))
    error = caught.value
    assert str(path) in str(error)
    assert error.remedy in str(error)
    assert PERSON not in str(error)
    assert error.__cause__ is None
    if error.line is not None:
        assert f"line {error.line}" in str(error)
    return error


def test_csv_text_is_untouched(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'shop,order_id,remark\n S ,="123",00123\nNA,\'4001,"a ""b"""\nnull,5" nail,\n')
    orders = read_orders(path)
    assert orders["shop"].to_list() == [" S ", "NA", "null"]
    assert orders["order_id"].to_list() == ['="123"', "'4001", '5" nail']
    assert orders["remark"].to_list() == ["00123", 'a "b"', None]


def test_csv_rows_know_their_line_across_quoted_newlines_and_blank_lines(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'shop,order_id,remark\ns,1,"two\nlines"\n\n  \ns,2,x\r\ns,3,\n,,\n\x1a')
    orders = read_orders(path)
    assert orders["row_no"].to_list() == [2, 6, 7]
    assert orders["remark"].to_list() == ["two\nlines", "x", None]


@pytest.mark.parametrize("repeats", [1, 2000])
def test_rows_know_their_line_between_empty_rows_line_breaks_and_nul(tmp_path: Path, repeats: int) -> None:
    rows = 's,1,"a\n\nb"\n,,\ns,2,\n,"\n",\n"",s\0,3\n,,\n,,\n'
    path = write(tmp_path, "a.csv", "shop,order_id,remark\n,,\n" + rows * repeats)
    found = read_rows(path)
    lines = [first + at for at in range(3, 3 + 10 * repeats, 10) for first in (0, 4, 5, 7)]
    assert [row[LINE_NUMBER] for row in found] == lines
    assert [row["order_id"] for row in found] == ["1", "2", "\n", "s␀"] * repeats
    assert [row[ROW_ERROR] for row in found] == [None, None, None, "BAD_TEXT"] * repeats


def test_the_byte_order_mark_is_no_part_of_the_first_header(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b"\xef\xbb\xbf" + "order_id,shop\n1,店\n".encode())
    assert FileHere(path).headers() == ("order_id", "shop")
    assert read_orders(path)["shop"].to_list() == ["店"]


def test_utf16_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "order_id\tshop\n1\t店\n".encode("utf-16"))
    assert read_orders(path)["shop"].to_list() == ["店"]


def test_gbk_is_read_across_block_borders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_dialect, "BLOCK_BYTES", 7)
    text = "订单编号,店铺名称,买家会员名,宝贝标题\n" + '1,"小店，一号",张三,"杯子\n白色"\n' * 50
    path = write(tmp_path, "a.csv", text.encode("gb18030"))
    orders = read_orders(path, get_preset("taobao"))
    assert orders.height == 50
    assert orders["shop"].unique().to_list() == ["小店，一号"]
    assert orders["items"].unique().to_list() == ["杯子\n白色"]
    assert FileHere(path).headers()[0] == "订单编号"


def test_a_taobao_file_in_utf8_is_read_as_such(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "订单编号,店铺名称\n1,小店\n")
    assert read_orders(path, get_preset("taobao"))["shop"].to_list() == ["小店"]


def test_bytes_of_another_encoding_are_an_error_with_the_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b"shop,order_id\ns,1\n" + b"s,\xff\xff\n")
    error = error_of(path)
    assert (error.line, "bytes" in error.problem) == (3, True)


def test_a_broken_utf8_file_is_not_taken_for_gbk(tmp_path: Path) -> None:
    rows = "订单编号,店铺名称\n" + "1,小店\n" * 3
    path = write(tmp_path, "a.csv", rows.encode() + b"2,\xd6\xd0\xb9\xfa\n")
    assert error_of(path, get_preset("taobao")).line == 5


def test_broken_bytes_far_into_a_file_are_found(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", b"shop,order_id\n" + b"shop,1234567\n" * 200_000 + b"s,\xff\xff\n")
    assert error_of(path).line == 200_002


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        ("", None, "empty"),
        ("\n \n", None, "empty"),
        (f"{PERSON},1\n{PERSON},2\n", None, "no column 'order_id'"),
        ("order_id,remark\n1,\n", None, "no column 'shop'"),
        ("order_id,shop,x,shop\n1,s,,\n", 1, "columns 2 and 4 have the same header"),
        (f"shop,order_id,remark\ns,1,\ns,{PERSON}\n", 3, "2 cells, the header 3"),
        (f'shop,order_id\n"a\nb",1\ns,2,{PERSON}\n', 4, "3 cells, the header 2"),
        (f'shop,order_id\ns,1\ns,"{PERSON}\ns,3\n', 3, "never closed"),
        (f'shop,order_id\ns,1\ns,"{PERSON}\ns,3\ns,"4"\n', 3, "goes on after its closing quote"),
        (f'shop,order_id\ns,"{PERSON}" 1\n', 2, "goes on after its closing quote"),
    ],
)
def test_unsound_delimited_text_is_an_error(tmp_path: Path, content: str, line: int | None, problem: str) -> None:
    error = error_of(write(tmp_path, "a.csv", content))
    assert (error.line, problem in error.problem) == (line, True)


def test_the_line_of_a_bad_row_is_right_beyond_the_first_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv, "BLOCK_BYTES", 256)
    good = 's,1,"two\nlines"\n\n' * 200
    path = write(tmp_path, "a.csv", f"shop,order_id,remark\n{good}s,{PERSON}\n{good}")
    assert error_of(path).line == 602
    assert read_orders(write(tmp_path, "b.csv", f"shop,order_id,remark\n{good}"))["row_no"].to_list() == [
        2 + 3 * number for number in range(200)
    ]


def test_a_row_longer_than_a_block_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv, "BLOCK_BYTES", 256)
    path = write(tmp_path, "a.csv", "shop,order_id\ns,1\n" + f's,"{PERSON * 100}\n"\n')
    assert "a row is longer than" in error_of(path).problem


@pytest.mark.parametrize("block", [1, 2, 3, 5, 1000])
def test_sound_quoting_is_accepted_however_blocks_fall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(csv_dialect, "BLOCK_BYTES", block)
    path = write(tmp_path, "a.csv", 'shop,order_id\n"a ""b""",""""\n"",5" n"x\n"x\r\n,",""""""\n')
    assert read_orders(path)["order_id"].to_list() == ['"', '5" n"x', '""']


@pytest.mark.parametrize("block", [1, 2, 3, 5, 1000])
def test_unsound_quoting_is_found_however_blocks_fall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(csv_dialect, "BLOCK_BYTES", block)
    assert error_of(write(tmp_path, "a.csv", 'shop,order_id\n"a\nb",1\ns,"2"x\n')).line == 4
    assert error_of(write(tmp_path, "b.csv", 'shop,order_id\n"a\nb",1\ns,"2""\n')).line == 4


def test_a_header_without_rows_is_an_import_of_nothing(tmp_path: Path) -> None:
    counts = ReadCounts()
    frames = extract_raw_orders(FileHere(write(tmp_path, "a.csv", "order_id,shop\n")), GENERIC, counts)
    assert (list(frames), counts.lines) == ([], 0)


def test_tabs_and_semicolons_are_recognised(tmp_path: Path) -> None:
    assert read_orders(write(tmp_path, "a.tsv", "order_id\tshop\n1\ta,b\n"))["shop"].to_list() == ["a,b"]
    assert read_orders(write(tmp_path, "a.csv", "order_id;shop\n1;a,b\n"))["shop"].to_list() == ["a,b"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_nul_becomes_a_symbol_and_marks_its_row(tmp_path: Path, name: str) -> None:
    csv = "shop,order_id,remark\ns,1,a\0b\ns,2,c\n"
    jsonl = '{"shop":"s","order_id":1,"remark":"a\\u0000b"}\n{"shop":"s","order_id":2,"remark":"c"}\n'
    orders = read_orders(write(tmp_path, name, csv if name == "a.csv" else jsonl))
    assert orders["remark"].to_list() == ["a␀b", "c"]
    assert orders["defect"].to_list() == ["BAD_TEXT", None]


def test_unmapped_columns_become_a_json_object(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'shop,order_id,"odd ""name""",note\ns,1,"q""\\\t\n\x01é",\ns,2,,\n')
    orders = read_orders(path)
    assert orders["extra"].to_list()[1] is None
    assert orders["extra"].head(1).str.json_decode(pl.Struct({'odd "name"': pl.String})).struct.unnest().rows() == [
        ('q"\\\t\n\x01é',)
    ]


def test_values_of_parquet_become_exact_text(tmp_path: Path) -> None:
    moment = dt.datetime(2021, 5, 13, 11, 1, 12, tzinfo=dt.UTC)
    pl.DataFrame(
        {
            "i": [12345678901234567, None],
            "f": [2.1, 3.0],
            "big": [1e20, float("nan")],
            "d": [Decimal("2.10"), None],
            "t": [moment.replace(tzinfo=None), None],
            "z": [moment, None],
            "day": [moment.date(), None],
            "b": [True, False],
            "l": [[{"name": "杯", "n": 1}], None],
            "c": pl.Series(["x", None], dtype=pl.Categorical),
        }
    ).write_parquet(tmp_path / "a.parquet")
    first, second = read_rows(tmp_path / "a.parquet")
    assert first == {
        "i": "12345678901234567", "f": "2.1", "big": "1E+20", "d": "2.10", "t": "2021-05-13 11:01:12",
        "z": "2021-05-13 11:01:12+0000", "day": "2021-05-13", "b": "true", "l": '[{"name":"杯","n":1}]', "c": "x",
        LINE_NUMBER: 1, ROW_ERROR: None,
    }  # fmt: skip
    assert second == dict.fromkeys(first) | {"f": "3", "b": "false", LINE_NUMBER: 2}


def test_floats_of_parquet_beyond_the_exact_integers_show_it(tmp_path: Path) -> None:
    pl.DataFrame(
        {
            "order_id": [9007199254740994.0, 9007199254740992.0, 123456789012345678.0],
            "half": pl.Series([16777218.0, 16777216.0, 0.5], dtype=pl.Float32),
        }
    ).write_parquet(tmp_path / "a.parquet")
    assert [(row["order_id"], row["half"]) for row in read_rows(tmp_path / "a.parquet")] == [
        ("9.007199254740994E+15", "1.6777218E+7"),
        ("9007199254740992", "16777216"),
        ("1.2345678901234568E+17", "0.5"),
    ]


def test_numbers_of_a_workbook_with_more_than_fifteen_digits_show_it(tmp_path: Path) -> None:
    numbers = [123456789012345678, 1234567890123456.0, 1e15, 123456789012345, 999999999999999.0, -1.5]
    book = openpyxl.Workbook()
    for cell in ("order_id", *numbers, "123456789012345678"):
        book.worksheets[0].append(["s" if cell != "order_id" else "shop", cell])
    book.save(tmp_path / "a.xlsx")
    assert read_orders(tmp_path / "a.xlsx")["order_id"].to_list() == [
        "1.234567890123457E+17", "1.234567890123456E+15", "1E+15", "123456789012345", "999999999999999", "-1.5",
        "123456789012345678",
    ]  # fmt: skip


def test_two_parquet_columns_of_one_name_are_an_error(tmp_path: Path) -> None:
    table = pa.table([pa.array(["1"]), pa.array(["2"])], names=["order_id", "order_id"])
    parquet.write_table(table, tmp_path / "a.parquet")
    assert "same header" in error_of(tmp_path / "a.parquet").problem


def test_json_lines_keep_keys_that_appear_late_and_nested_values(tmp_path: Path) -> None:
    lines = '{"order_id":1,"shop":"s"}\n' * 5000
    late = '\n{"order_id":2.5,"shop":"s","items":[{"name":"杯","quantity":2}],"remark":"a\\nb","flag":true}'
    orders = read_orders(write(tmp_path, "a.jsonl", lines + late))
    assert orders.height == 5001
    last = orders.row(-1, named=True)
    assert (last["row_no"], last["order_id"], last["remark"]) == (5002, "2.5", "a\nb")
    assert last["extra"] == '{"flag":"true"}'
    assert pl.Series([last["items"]]).str.json_decode(
        pl.List(pl.Struct({"name": pl.String, "quantity": pl.Int64}))
    ).to_list() == [[{"name": "杯", "quantity": 2}]]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"order_id":"Zhang-San-13800000000\n', 1),
        (b"\n[1]\n", 2),
        (b'{"order_id":"1"} {"order_id":"2"}\n', 1),
        (b'{"order_id":"\xff\n', 1),
        (b"5\n", 1),
        (b"{}\n", None),
        (b"\n\n", None),
        (b"", None),
    ],
)
def test_json_lines_of_which_none_can_be_read_are_an_error_with_the_line(
    tmp_path: Path, content: bytes, line: int | None
) -> None:
    assert error_of(write(tmp_path, "a.ndjson", content)).line == line


def test_cells_of_a_workbook_become_the_text_a_person_sees(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["order_id", "shop", "amount", "ordered_at", "remark", None])
    sheet.append([1001, "店", 2.1, dt.datetime(2021, 5, 13, 11, 1, 12), True])  # noqa: DTZ001  # sheets have no zones
    sheet.append([None, None])
    sheet.append(["00123", "店", 3.0, dt.datetime(2021, 5, 13), "x"])  # noqa: DTZ001
    sheet.append([1.234567890123457e17, "店"])
    book.save(tmp_path / "a.xlsx")
    orders = read_orders(tmp_path / "a.xlsx")
    assert orders.select("row_no", "order_id", "shop", "amount", "ordered_at", "remark").rows() == [
        (2, "1001", "店", "2.1", "2021-05-13 11:01:12", "true"),
        (4, "00123", "店", "3", "2021-05-13 00:00:00", "x"),
        (5, "1.234567890123457E+17", "店", None, None, None),
    ]


def test_a_workbook_row_wider_than_the_header_is_an_error(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (["order_id", "shop"], ["1", "s"], ["2", "s", PERSON]):
        sheet.append(row)
    book.save(tmp_path / "a.xlsx")
    assert error_of(tmp_path / "a.xlsx").line == 3


def test_an_empty_workbook_is_an_error(tmp_path: Path) -> None:
    openpyxl.Workbook().save(tmp_path / "a.xlsx")
    assert "empty" in error_of(tmp_path / "a.xlsx").problem


def test_a_workbook_that_unpacks_to_far_more_than_its_size_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b" " * (32 << 20))
    assert "unpacks" in error_of(tmp_path / "a.xlsx").problem


@pytest.mark.parametrize("limit", ["MAX_WORKBOOK_BYTES", "MAX_UNPACKED_BYTES", "MAX_SHARED_TEXT_BYTES", "MAX_ENTRIES"])
def test_a_workbook_beyond_a_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w") as archive:
        for name in ("xl/workbook.xml", "xl/sharedStrings.xml"):
            archive.writestr(name, "<xml/>")
    monkeypatch.setattr(xlsx, limit, 1)
    assert error_of(tmp_path / "a.xlsx").remedy == "Save the sheet as CSV and import that"


@pytest.mark.parametrize("name", ["a.xlsx", "a.parquet"])
@pytest.mark.parametrize("kept", [0.3, 0.9, 1.0])
def test_a_broken_container_is_an_error(tmp_path: Path, name: str, kept: float) -> None:
    path = tmp_path / name
    if name == "a.parquet":
        pl.DataFrame({"order_id": [PERSON] * 1000, "shop": [str(n) for n in range(1000)]}).write_parquet(path)
    else:
        book = openpyxl.Workbook()
        assert book.active is not None
        for _ in range(1000):
            book.active.append([PERSON, "shop"])
        book.save(path)
    content = path.read_bytes()
    middle = bytes(byte ^ 0x55 for byte in content[len(content) // 3 :]) if kept == 1.0 else b""
    path.write_bytes(content[: len(content) // 3] + middle if kept == 1.0 else content[: int(len(content) * kept)])
    error_of(path)


def test_a_folder_a_pipe_a_missing_file_and_an_unknown_format_are_errors(tmp_path: Path) -> None:
    (tmp_path / "b.csv").mkdir()
    os.mkfifo(tmp_path / "c.csv")
    assert "folder" in error_of(tmp_path / "b.csv").problem
    assert "regular" in error_of(tmp_path / "c.csv").problem
    assert "no such file" in error_of(tmp_path / "none*.csv").problem
    assert ".xlsx" in error_of(write(tmp_path, "a.doc", "x")).remedy
    assert "ending" in error_of(write(tmp_path, "a", "x")).problem


def test_a_panic_of_a_reader_becomes_an_import_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):  # the name that the Rust bindings use
        pass

    def panic(*_: object, **__: object) -> None:
        raise PanicException(PERSON)

    monkeypatch.setattr(parquet, "ParquetFile", panic)
    pl.DataFrame({"order_id": ["1"]}).write_parquet(tmp_path / "a.parquet")
    error_of(tmp_path / "a.parquet")


def test_a_file_that_grows_while_it_is_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "MAPPED_ROWS", 1)  # rows are mapped before the end of the file
    path = write(tmp_path, "a.csv", "order_id,shop\n" + "1,s\n" * 10)
    frames = extract_raw_orders(FileHere(path), GENERIC, chunk_rows=2)
    next(frames)
    with path.open("a") as file:
        file.write("2,s\n")
    with pytest.raises(ImportFileError, match="changed"):
        list(frames)


def test_frames_keep_to_the_chunk_size_and_lines_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "order_id,shop\n" + "1,s\n" * 10)
    seen: list[int] = []
    counts = ReadCounts()
    frames = extract_raw_orders(FileHere(path), GENERIC, counts, chunk_rows=4, on_progress=seen.append)
    assert [frame.height for frame in frames] == [4, 4, 2]
    assert (counts.lines, seen) == (10, [10])
    assert counts.unmatched == tuple(column for column in GENERIC.columns if column not in {"order_id", "shop"})


def test_headers_that_the_mapping_names_and_the_file_lacks_are_known_but_for_detected_presets(tmp_path: Path) -> None:
    columns = {
        "shop": {"columns": ["branch"], "constant": "main"},
        "order_id": "order_id",
        "customer_name": ["mail", "phone"],
        "order_status": {"rules": [{"when": "gone on", "matches": ".", "value": "cancelled"}], "columns": ["state"]},
        "currency": {"constant": "EUR"},
    }
    preset = Preset.model_validate({"name": "own", "columns": columns})
    path = write(tmp_path, "a.csv", "order_id,phone,state\n1,2,paid\n")
    counts = ReadCounts()
    assert pl.concat(extract_raw_orders(FileHere(path), preset, counts))["shop"].to_list() == ["main"]
    assert counts.unmatched == ("shop", "order_status")
    of_detected = ReadCounts()
    assert len(list(extract_raw_orders(FileHere(path), preset, of_detected, is_detected=True))) == 1
    assert of_detected.unmatched == ()
