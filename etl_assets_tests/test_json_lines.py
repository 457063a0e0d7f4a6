"""JSON lines: what stands in a line is what is landed, and one line's fault is one row's fault."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from etl_assets.presets.catalog import get_preset
from etl_assets.raw_orders.extract import extract_raw_orders
from etl_assets.raw_orders.importing import Overrides, import_file
from etl_assets.raw_orders.readers import json_lines, jsonl
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
from etl_assets_tests.helpers.in_process_reader import FileHere
from etl_assets_tests.helpers.pipeline import query, run_all

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services

GENERIC = get_preset("generic")
GOOD = b'{"shop":"s","order_id":"1","amount":2.50}'


def rows_of(folder: Path, *lines: bytes) -> list[dict[str, Any]]:
    path = folder / "a.jsonl"
    path.write_bytes(b"\n".join(lines))
    return [row for frame in FileHere(path).content(ExpectedFormat()).frames for row in frame.to_dicts()]


@pytest.mark.parametrize(
    "number",
    ["12345678901234.5678", "1e400", "-0", "0.10", "1E5", "100000000000000000000000001", "1.0", "2.5e-7", "-1e-400"],
)
def test_numbers_are_the_text_that_stands_in_the_file(tmp_path: Path, number: str) -> None:
    line = f'{{"shop":"s","order_id":{number},"items":[{{"name": "a", "unit_price": {number}}}]}}'
    (row,) = rows_of(tmp_path, line.encode())
    assert (row["order_id"], row["items"]) == (number, f'[{{"name": "a", "unit_price": {number}}}]')
    assert row[ROW_ERROR] is None


@pytest.mark.parametrize(
    "value",
    ['{"b" : [ 1.50,{"c":"\\u4e2d \\/ x"} ] , "a":null}', "[]", "{ }", '["[", "]", "\\"", "}"]', "[[[[[[[[1.0]]]]]]]]"],
)
def test_nested_values_are_the_text_that_stands_in_the_file(tmp_path: Path, value: str) -> None:
    (row,) = rows_of(tmp_path, f'{{"x": {value} ,"y":"\\u4e2d\\ud83d\\ude00\\n\\\\"}}\r'.encode())
    assert (row["x"], row["y"]) == (value, "中😀\n\\")


@pytest.mark.parametrize(
    "bad",
    [
        b'{"shop":"s","order_id":"2"',
        b"[1]",
        b"5",
        b"null",
        b"x",
        b'{"shop":"s"} {"order_id":"2"}',
        b'{"shop":"s","order_id":NaN}',
        b'{"shop":"s","order_id":01}',
        b'{"shop":"s","order_id":"\\x"}',
        b'{"shop":"s","items":[1,,2]}',
        b'{"shop":"s","items":' + b"[" * 100_000 + b"}",
        b'{"shop":"s",}',
        b'\xff{"shop":"s"}',
    ],
)
@pytest.mark.parametrize("neighbours", [1, 60])
def test_a_line_that_cannot_be_read_is_a_row_with_a_defect(tmp_path: Path, bad: bytes, neighbours: int) -> None:
    rows = rows_of(tmp_path, *[GOOD] * neighbours, bad, *[GOOD] * neighbours)
    row = rows.pop(neighbours)
    assert (row["shop"], row["order_id"], row[ROW_ERROR], row[LINE_NUMBER]) == (None, None, "BAD_TEXT", neighbours + 1)
    assert row[json_lines.UNREADABLE] == bad.decode(errors="replace")[:10_000]
    numbers = [*range(1, neighbours + 1), *range(neighbours + 2, 2 * neighbours + 2)]
    assert rows == [
        {
            "shop": "s",
            "order_id": "1",
            "amount": "2.50",
            json_lines.UNREADABLE: None,
            LINE_NUMBER: number,
            ROW_ERROR: None,
        }
        for number in numbers
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (rb'"a\ud800\n"', "a\ufffd\n"),
        (rb'"\ud800\u0041"', "\ufffdA"),
        (rb'"\udc00"', "\ufffd"),
        (b'"a\xffb"', "a\ufffdb"),
        (rb'"a\u0000b"', "a␀b"),
    ],
)
def test_what_is_no_character_is_replaced_and_marks_its_row(tmp_path: Path, value: bytes, text: str) -> None:
    bad = b'{"shop":"s","order_id":"2","remark":' + value + b"}"
    rows = rows_of(tmp_path, GOOD, bad, GOOD)
    assert [(row["order_id"], row["remark"], row[ROW_ERROR]) for row in rows] == [
        ("1", None, None),
        ("2", text, "BAD_TEXT"),
        ("1", None, None),
    ]


def test_a_key_that_a_line_has_twice_marks_its_row(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, GOOD, b'{"order_id":"2","amount":1,"\\u0061mount":2}')
    assert [(row["order_id"], row["amount"], row[ROW_ERROR]) for row in rows] == [
        ("1", "2.50", None),
        ("2", "2", "BAD_TEXT"),
    ]


def test_lines_may_have_their_keys_in_any_order_and_leave_them_out(tmp_path: Path) -> None:
    first, second, third = rows_of(
        tmp_path, b'{"a":1,"b":"x"}', b'{"b":null,"c":{"d":"\\n"},"a":"2.0"}', b"{}", b' {"__line":7,"":8} '
    )
    assert (first["a"], first["b"], first["c"]) == ("1", "x", None)
    assert (second["a"], second["b"], second["c"]) == ("2.0", None, '{"d":"\\n"}')
    assert (third["___line"], third["unnamed"], third[LINE_NUMBER]) == ("7", "8", 4)


def test_keys_of_later_blocks_are_columns_of_earlier_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "BLOCK_BYTES", 64)
    monkeypatch.setattr(jsonl, "IN_MEMORY_BYTES", 256)
    rows = rows_of(tmp_path, *(f'{{"a":{at},"k{at % 7}":1.{at}}}'.encode() for at in range(200)))
    assert [row["a"] for row in rows] == [str(at) for at in range(200)]
    assert [row[LINE_NUMBER] for row in rows] == list(range(1, 201))
    assert all(row[f"k{at % 7}"] == f"1.{at}" for at, row in enumerate(rows))
    assert set(rows[0]) == {"a", *(f"k{at}" for at in range(7)), LINE_NUMBER, ROW_ERROR}


def test_a_file_without_a_readable_line_is_refused_with_the_first_ones_problem(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match="line 2: the line is not a JSON object"):
        rows_of(tmp_path, b"", b"[1]", b"x")
    with pytest.raises(ImportFileError, match="line 1: the line is not valid JSON"):
        rows_of(tmp_path, b'{"a":', b"[1]")


VALUES = [
    "1", "1.50", "-0", "12345678901234.5678", '"x"', '"a\\"b"', '"\\u4e2d"', '"\\ud83d\\ude00"', "true", "null", '""',
    "99999999999999999999999", "1E5", '"1:2,3"', '"[1"', '"}"', '"é😀"', '"\x7f"', '"\\\\"', '"\\/"', "[]", "{ }",
    '[1.0, {"a" :"]"}]', '{"b":[{"c":2.50}]}',
]  # fmt: skip
ODD_VALUES = ["1e400", '"\\ud800\\n"', "01", "NaN", '"\t"', "tru", '"\\x"', "[1,,2]", "{"]
KEYS = ['"a"', '"b"', '"c\\u0041"', '"cA"', '"d d"', '"é"', '""']


def random_line(draw: random.Random) -> bytes:
    def space() -> str:
        return draw.choice(["", "", " ", "\t"])

    keys = draw.sample(KEYS[:6], draw.randint(0, 4)) if draw.random() < 0.97 else draw.choices(KEYS, k=3)
    values = [draw.choice(VALUES if draw.random() < 0.98 else ODD_VALUES) for _ in keys]
    pairs = (f"{space()}{key}{space()}:{space()}{value}" for key, value in zip(keys, values, strict=True))
    return f"{space()}{{{','.join(pairs)}{space()}}}{space()}".encode()


@pytest.mark.slow
def test_lines_read_at_once_are_what_they_are_when_read_one_by_one() -> None:
    draw = random.Random(12)  # noqa: S311  # the same lines every time
    at_once = 0
    for _ in range(400):
        lines = [random_line(draw) for _ in range(draw.randint(1, 4))]
        try:
            frame = json_lines._read_at_once(b"\n".join(lines), 5)
        except (json_lines._SlowPathError, pl.exceptions.PolarsError):
            continue
        at_once += 1
        slow = json_lines._read_line_by_line(lines, 5)
        assert blank_to_null(frame) == blank_to_null(slow)
        for line, row in zip(lines, blank_to_null(slow), strict=True):
            assert set(json.loads(line)) >= set(row) - {LINE_NUMBER}
    assert at_once > 100


def blank_to_null(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if value is not None} for row in frame.to_dicts()]


@pytest.mark.slow
def test_an_unreadable_line_is_quarantined_with_its_line_and_the_others_are_loaded(
    services: Services, tmp_path: Path
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b'\n{"cut\n' + GOOD.replace(b'"1"', b'"3"').replace(b"2.50", b"12345678901234.5678"))
    result = import_file(services.database, path, None, overrides=Overrides(platform="p"))
    assert (result.status, result.lines, result.rows) == ("completed", 3, 3)
    run_all(services)
    amounts = query(services, "SELECT order_id, amount::text FROM orders ORDER BY order_id")
    assert [tuple(row.values()) for row in amounts] == [("1", "2.5000"), ("3", "12345678901234.5678")]
    (bad,) = query(
        services,
        "SELECT reason_code, row_no, extra FROM quarantine JOIN raw_orders USING (raw_id) WHERE resolved_at IS NULL",
    )
    assert (bad["reason_code"], bad["row_no"], bad["extra"]) == ("BAD_TEXT", 2, {"unreadable line": '{"cut'})


def test_numbers_reach_the_raw_orders_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"shop":"s","order_id":1,"amount":0.10,"note":1e5}\n')
    orders = pl.concat(list(extract_raw_orders(FileHere(path), GENERIC)))
    assert orders.select("amount", "extra").rows() == [("0.10", '{"note":"1e5"}')]
