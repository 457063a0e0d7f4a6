"""Hostile import files: far larger when read than on disk, or of another format than their name says."""

from __future__ import annotations

import json
import os
import zipfile
from typing import TYPE_CHECKING, Final

import polars as pl
import pyarrow as pa
from pyarrow import parquet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES: Final = "http://schemas.openxmlformats.org/package/2006/content-types"
_PARTS: Final = {
    "[Content_Types].xml": f'<Types xmlns="{_TYPES}"><Default Extension="rels" ContentType="application/vnd.openxml'
    'formats-package.relationships+xml"/><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxml'
    'formats-officedocument.spreadsheetml.sheet.main+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="rId1" Type="{_OFFICE}/officeDocument"'
    ' Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets><sheet name="a" sheetId="1"'
    ' r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="rId1"'
    f' Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
}
_HEADER: Final = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>shop</t></is></c>'
    '<c r="B1" t="inlineStr"><is><t>order_id</t></is></c></row>'
)


def workbook(path: Path, rows: str, *, padding: int = 0) -> Path:
    """Write a workbook of a header, these rows, and so many incompressible bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _PARTS.items():
            archive.writestr(name, content)
        sheet = f'<worksheet xmlns="{_MAIN}"><sheetData>{_HEADER}{rows}</sheetData></worksheet>'
        archive.writestr("xl/worksheets/sheet1.xml", sheet)
        if padding:
            archive.writestr("padding.bin", os.urandom(padding))
    return path


def far_row(path: Path) -> Path:
    return workbook(path, '<row r="1000000000"><c r="A1000000000"><v>1</v></c></row>')


def padded_far_row(path: Path) -> Path:
    return workbook(path, '<row r="1000000000"><c r="A1000000000"><v>1</v></c></row>', padding=6 << 20)


def far_columns(path: Path) -> Path:
    return workbook(path, "".join(f'<row r="{at}"><c r="XFD{at}"/></row>' for at in range(2, 1000)))


def long_cell(path: Path) -> Path:
    return workbook(path, f'<row r="2"><c r="A2" t="inlineStr"><is><t>{"x" * 40_000}</t></is></c></row>')


def wide_csv(path: Path) -> Path:
    names = ["shop", "order_id", *(f"c{at}" for at in range(99_998))]
    path.write_text(",".join(names) + "\n" + ",".join("1" * 100_000) + "\n")
    return path


def long_row(path: Path) -> Path:
    path.write_text("shop,order_id\ns," + "1" * (9 << 20) + "\n")
    return path


def many_keys(path: Path) -> Path:
    lines = (json.dumps({"shop": "s", "order_id": str(at), f"k{at}": "x"}) for at in range(20_000))
    path.write_text("\n".join(lines))
    return path


def long_value(path: Path) -> Path:
    path.write_text(json.dumps({"shop": "s", "order_id": "1"}) + "\n" + json.dumps({"order_id": "2" * (5 << 20)}))
    return path


def many_equal_rows(path: Path) -> Path:
    rows = pl.select(pl.repeat("s", 3_000_000).alias("shop"), pl.repeat("1", 3_000_000).alias("order_id"))
    rows.with_columns(remark=pl.lit("x" * 1000)).write_parquet(path)
    return path


def large_values(path: Path) -> Path:
    """Write a file of 100,000 rows that share a text of 1 MiB: 100 GiB when read."""
    indices = pa.array([0] * 100_000, pa.int32())
    columns = {"shop": "s", "order_id": "1", "remark": "x" * (1 << 20)}
    table = {name: pa.DictionaryArray.from_arrays(indices, pa.array([text])) for name, text in columns.items()}
    parquet.write_table(pa.table(table), path)
    return path


HOSTILE: Final[dict[str, tuple[Callable[[Path], Path], str]]] = {
    "far_row.xlsx": (far_row, "beyond 1,048,576"),
    "padded_far_row.xlsx": (padded_far_row, "beyond 1,048,576"),
    "far_columns.xlsx": (far_columns, "line 2: it has 16,384 columns, at most 2,000"),
    "long_cell.xlsx": (long_cell, "line 2: a cell has more than 32,767 characters"),
    "wide.csv": (wide_csv, "line 1: it has 100,000 columns, at most 2,000"),
    "long_row.csv": (long_row, "a row is longer than 4 MiB"),
    "many_keys.jsonl": (many_keys, "columns, at most 2,000"),
    "long_value.jsonl": (long_value, "line 2: a cell has more than 4,194,304 characters"),
    "many_equal_rows.parquet": (many_equal_rows, "it has 3,000,000 rows, at most 1,000,000"),
    "large_values.parquet": (large_values, "1,024 MiB of memory"),
}
"""Function that writes each file, and the limit that its import names."""
