"""Rows written as files of every format, and what a file then holds line by line."""

from __future__ import annotations

import json
import re
import zipfile
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl
import pyarrow as pa
from pyarrow import parquet

from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR
from etl_assets_tests.fuzz.layouts import GOOD
from etl_assets_tests.helpers.reference_files import Line, without_nul

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path
    from random import Random

    from etl_assets_tests.fuzz.layouts import Layout, Row

FRAME: Final = "frame"
"""No file: rows as a database gives them."""
MOST_ROWS: Final = {"xlsx": 1_500}
"""A workbook is slow to read."""
LONGEST_CELL: Final = 32_767
_CUT_OFF_OF_XML: Final = {*range(0x20)} - {0x9, 0xA} | {0xFFFE, 0xFFFF}


def write_file(
    folder: Path, number: int, kind: str, layout: Layout, rows: Sequence[Row], random: Random
) -> tuple[Path, list[Line]]:
    """Write rows as a file; returns it, and its lines as the file holds them."""
    path = folder / f"{number:02}.{kind}"
    return path, WRITERS[kind](path, layout, rows, random)


def as_frame(lines: Sequence[Line], headers: Sequence[str]) -> pl.DataFrame:
    """The lines as what reads a database hands them on."""
    rows = [without_nul(line.cells) for line in lines]
    columns = {header: pl.Series([cells.get(header) for cells, _ in rows], dtype=pl.String) for header in headers}
    numbers = pl.Series([line.number for line in lines], dtype=pl.Int64)
    return pl.DataFrame(
        {**columns, LINE_NUMBER: numbers, ROW_ERROR: pl.Series([defect for _, defect in rows], dtype=pl.String)}
    )


def _write_text(path: Path, layout: Layout, rows: Sequence[Row], random: Random, delimiter: str) -> list[Line]:
    end = random.choice(("\n", "\r\n"))
    needless = random.choice((0.0, 0.1, 1.0))
    out: list[str] = []

    def write(texts: Iterable[str]) -> None:
        quoted = (
            _quoted(text) if random.random() < needless or set(text) & {delimiter, *'"\r\n'} else text for text in texts
        )
        out.append(delimiter.join(quoted) + end)

    write(layout.headers)
    at = 1 + sum(header.count("\n") for header in layout.headers) + 1
    lines = []
    for row in rows:
        cells = {header: row.get(header) or "" for header in layout.headers}
        write(text or "" for text in cells.values())
        lines.append(Line(at, cells))
        at += 1 + sum(text.count("\n") for text in cells.values())
        if random.random() < 0.01:
            out.append(end)
            at += 1
    text = "".join(out)
    path.write_bytes(text.encode(_encoding(text, layout, random)))
    return lines


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _encoding(text: str, layout: Layout, random: Random) -> str:
    """An encoding that the preset allows and that can say the text."""
    encoding = random.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", "gb18030"))
    if encoding == "gb18030" and (
        "gb18030" not in layout.preset.encodings or text.encode(encoding).decode(encoding) != text
    ):
        return "utf-8"
    # At the very start it would be taken for a byte order mark.
    return "utf-8" if text.startswith("\ufeff") else encoding


def _write_csv(path: Path, layout: Layout, rows: Sequence[Row], random: Random) -> list[Line]:
    return _write_text(path, layout, rows, random, layout.preset.delimiter)


def _write_tsv(path: Path, layout: Layout, rows: Sequence[Row], random: Random) -> list[Line]:
    # A header with the preset's own delimiter in it would be taken to be delimited by it.
    is_plain = not any(layout.preset.delimiter in header for header in layout.headers)
    return _write_text(path, layout, rows, random, "\t" if is_plain else layout.preset.delimiter)


def _write_jsonl(path: Path, layout: Layout, rows: Sequence[Row], random: Random) -> list[Line]:
    written: list[str] = []
    lines: list[Line] = []
    for row in rows:
        while random.random() < 0.01:
            written.append(random.choice(("", " ", "\t")))
        is_good = any((text or "").startswith(GOOD) for text in row.values())
        cells = {header: row.get(header) for header in layout.headers}
        if not is_good:
            cells = {header: _with_half_a_pair(text, random) for header, text in cells.items()}
        # The first line names all keys, so that no column is missing.
        said = [(key, text) for key, text in cells.items() if not lines or text is not None or random.random() < 0.5]
        is_ascii = random.random() < 0.3
        pairs = (f"{json.dumps(key)}:{_json_value(text, random, is_ascii=is_ascii)}" for key, text in said)
        lines.append(Line(len(written) + 1, cells))
        written.append("{" + ", ".join(pairs) + "}")
    path.write_bytes(b"\xef\xbb\xbf" * random.randrange(2) + random.choice(("\n", "\r\n")).join(written).encode())
    return lines


def _json_value(text: str | None, random: Random, *, is_ascii: bool) -> str:
    if text is not None and _is_json_number(text) and random.random() < 0.5:
        return text
    return json.dumps(text, ensure_ascii=is_ascii or not _is_text(text))


def _is_text(text: str | None) -> bool:
    return not any("\ud800" <= char < "\ue000" for char in text or "")


def _with_half_a_pair(text: str | None, random: Random) -> str | None:
    """Now and then the text with half a surrogate pair at its end, which JSON can spell."""
    if text is None or random.random() > 0.001:
        return text
    return text + chr(random.randrange(0xD800, 0xE000))


def _is_json_number(text: str) -> bool:
    return re.fullmatch(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", text) is not None


def _write_parquet(path: Path, layout: Layout, rows: Sequence[Row], random: Random) -> list[Line]:
    lines = [Line(at, {header: row.get(header) for header in layout.headers}) for at, row in enumerate(rows, start=1)]
    columns: dict[str, pa.Array] = {}
    for header, kind in layout.kinds.items():
        texts = [line.cells[header] for line in lines]
        column = pa.array(texts, pa.string())
        if kind in _TYPED and random.random() < 0.3:
            column, texts = _TYPED[kind](texts)
            lines = [Line(line.number, {**line.cells, header: text}) for line, text in zip(lines, texts, strict=True)]
        columns[header] = column
    group = random.choice((100, 10_000))
    parquet.write_table(pa.table(columns), path, row_group_size=group, compression=random.choice(("zstd", "none")))
    return lines


def _as_decimals(texts: Sequence[str | None]) -> tuple[pa.Array, list[str | None]]:
    """A typed column of the texts that are plain numbers, and what its values are as text."""
    plain = [text if text and re.fullmatch(r"[0-9]{1,14}(\.[0-9]{1,9})?", text) else None for text in texts]
    exact = [None if text is None else Decimal(text).quantize(Decimal("1e-9")) for text in plain]
    return pa.array(exact, pa.decimal128(38, 9)), [None if number is None else f"{number:f}" for number in exact]


def _as_times(texts: Sequence[str | None]) -> tuple[pa.Array, list[str | None]]:
    """A typed column of the texts that are plain times, and what its values are as text."""
    plain = [text if text and re.fullmatch("[0-9-]{10} [0-9:]{8}", text) and text > "1900" else None for text in texts]
    moments: list[datetime | None] = []
    for text in plain:
        try:
            moments.append(datetime.fromisoformat(text) if text else None)
        except ValueError:
            moments.append(None)
    return pa.array(moments, pa.timestamp("us")), [str(moment) if moment else None for moment in moments]


_TYPED: Final = {
    "amount": _as_decimals,
    "refunded_amount": _as_decimals,
    "ordered_at": _as_times,
    "updated_at": _as_times,
}


def _write_xlsx(path: Path, layout: Layout, rows: Sequence[Row], random: Random) -> list[Line]:
    lines = []
    sheet = [_xml_row(1, layout.headers)]
    for at, row in enumerate(rows, start=2):
        texts = [_fit_for_xml(row.get(header) or "") for header in layout.headers]
        lines.append(Line(at, dict(zip(layout.headers, _without_blank_end(texts), strict=True))))
        sheet.append(_xml_row(at, texts))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in _PARTS.items():
            archive.writestr(name, content)
        archive.writestr("xl/worksheets/sheet1.xml", f"{_SHEET}<sheetData>{''.join(sheet)}</sheetData></worksheet>")
    return lines


def _fit_for_xml(text: str) -> str:
    """The text without what no workbook holds; `_x` would begin an escape there."""
    kept = text.replace("_x", "_y") if "_x" in text else text
    return "".join(char for char in kept[:LONGEST_CELL] if ord(char) not in _CUT_OFF_OF_XML)


def _without_blank_end(texts: Sequence[str]) -> list[str]:
    kept = list(texts)
    for at in reversed(range(len(kept))):
        if kept[at].strip():
            break
        kept[at] = ""
    return kept


def _xml_row(at: int, texts: Sequence[str]) -> str:
    cells = (
        f'<c r="{chr(65 + column)}{at}" t="inlineStr"><is><t xml:space="preserve">{_escaped(text)}</t></is></c>'
        for column, text in enumerate(texts)
        if text
    )
    return f'<row r="{at}">{"".join(cells)}</row>'


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_RELATIONS: Final = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
_SHEET: Final = f'{_HEAD}<worksheet xmlns="{_MAIN}">'
_PARTS: Final = {
    "[Content_Types].xml": f'{_HEAD}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_TYPES}.worksheet+xml"/></Types>',
    "_rels/.rels": f'{_HEAD}<Relationships xmlns="{_RELATIONS}"><Relationship Id="rId1" Type="{_OFFICE}/officeDocument"'
    ' Target="xl/workbook.xml"/></Relationships>',
    "xl/workbook.xml": f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
    '<sheets><sheet name="a" sheetId="1" r:id="rId1"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": f'{_HEAD}<Relationships xmlns="{_RELATIONS}">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
}


def _write_nothing(_path: Path, layout: Layout, rows: Sequence[Row], _random: Random) -> list[Line]:
    return [Line(at, {header: row.get(header) for header in layout.headers}) for at, row in enumerate(rows, start=1)]


WRITERS: Final[dict[str, Callable[[Path, Layout, Sequence[Row], Random], list[Line]]]] = {
    "csv": _write_csv,
    "tsv": _write_tsv,
    "jsonl": _write_jsonl,
    "parquet": _write_parquet,
    "xlsx": _write_xlsx,
    FRAME: _write_nothing,
}
"""By the ending of the file."""
