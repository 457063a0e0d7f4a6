"""Workbooks written as a stream: read back by openpyxl as they were, over several sheets."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from io import BytesIO

import openpyxl
import polars as pl

from etl_assets.reporting.workbook import workbook_chunks

ROWS = pl.DataFrame(
    {
        "name": ["<a & b>", "\x00\x0b\ufffe老街 ", None, '"quoted"', "\n two lines"],
        "count": [1, -2, None, 4, 5],
        "amount": pl.Series([Decimal("10.50"), Decimal(0), None, Decimal(-3), Decimal("1e9")], dtype=pl.Decimal(38, 4)),
        "at": [datetime(2026, 1, 2, 3, 4, 5), None, datetime(1999, 12, 31), None, None],  # noqa: DTZ001  # as cells are
    }
)


def read(data: bytes) -> dict[str, list[tuple[object, ...]]]:
    book = openpyxl.load_workbook(BytesIO(data))
    return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets}


def test_cells_are_read_back_without_what_a_workbook_cannot_hold() -> None:
    data = b"".join(workbook_chunks("leads", ["Name <&>", "n", "a", "t"], [ROWS.head(2), ROWS.slice(2)]))
    header, *rows = read(data)["leads"]
    assert header == ("Name <&>", "n", "a", "t")
    assert [row[0] for row in rows] == ["<a & b>", "老街 ", None, '"quoted"', "\n two lines"]
    assert [row[1] for row in rows] == [1, -2, None, 4, 5]
    assert [row[2] for row in rows] == [10.5, 0, None, -3, 1e9]
    assert rows[0][3] == datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001  # as above
    assert rows[2][3] == datetime(1999, 12, 31)  # noqa: DTZ001  # as above


def test_a_full_sheet_is_followed_by_another_with_the_header() -> None:
    sheets = read(b"".join(workbook_chunks('a "title"', ["n"], [ROWS.select("count")], rows_per_sheet=3)))
    assert {title: [row[0] for row in rows] for title, rows in sheets.items()} == {
        'a "title"': ["n", 1, -2],
        'a "title" 2': ["n", None, 4],
        'a "title" 3': ["n", 5],
    }


def test_a_workbook_without_rows_has_its_header() -> None:
    assert read(b"".join(workbook_chunks("leads", ["n"], []))) == {"leads": [("n",)]}
