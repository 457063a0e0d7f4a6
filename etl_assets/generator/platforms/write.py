"""Writing of a layout's file and its expectation, chunk by chunk; workbooks as a whole."""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import polars as pl
from openpyxl import Workbook
from openpyxl.utils import get_column_letter

from etl_assets.generator.errors import corrupt, draw_errors
from etl_assets.generator.platforms.expectation import expected_orders
from etl_assets.generator.platforms.layout import EMPTY, LINE, Cell, Layout, Row
from etl_assets.generator.platforms.model import Drawn, draw
from etl_assets.generator.random_columns import Chunk, chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

CHUNK_ORDERS: Final = 50_000
EXPECTED: Final = "expected"
"""Folder of the expectations, below that of the files: the inbox does not look into it."""
_FIRST_DAY: Final = (1980, 1, 1, 0, 0, 0)
_TIMES: Final = re.compile(rb"(<dcterms:(created|modified)[^>]*>)[^<]*")


class WrittenExport(NamedTuple):
    """Written export, its expectation, and how the file is to be imported."""

    path: Path
    expectation: Path
    layout: Layout
    orders: int


def write_export(layout: Layout, directory: Path, *, orders: int, seed: int, bad_share: float) -> WrittenExport:
    """Write an export in the exact layout of its platform, and its expectation beside it, in the folder `EXPECTED`.

    The same arguments give the same bytes.

    Args:
        layout: The layout of the file.
        directory: Where the file goes; made if it does not exist. A file of the same name is replaced.
        orders: How many orders the file holds.
        seed: Another seed gives other orders.
        bad_share: Share of orders with a fault; where it is not 0, every kind of fault occurs.

    """
    ending = layout.file_name.rpartition(".")[2]
    path = directory / f"{layout.name}.{ending}"
    expectation = directory / EXPECTED / f"{layout.name}.jsonl"
    expectation.parent.mkdir(parents=True, exist_ok=True)
    parts = _parts(layout, orders, seed, bad_share)
    with expectation.open("wb") as expected_file:

        def rendered(which: Layout) -> Iterator[pl.DataFrame]:
            for drawn, errors in parts:
                if which is layout:
                    expected_orders(drawn, layout, errors).write_ndjson(expected_file)
                yield _cells(which, drawn, errors if which is layout else None)

        if layout.form.kind == "xlsx":
            parts = list(parts)
            _write_workbook(path, [(sheet, rendered(sheet)) for sheet in (layout, *layout.more_sheets)], orders)
        else:
            _write_text(path, layout, rendered(layout), orders)
    return WrittenExport(path, expectation, layout, orders)


def _parts(layout: Layout, orders: int, seed: int, bad_share: float) -> Iterable[tuple[Drawn, pl.Series]]:
    for chunk in chunks(seed, layout.trade.name, orders, CHUNK_ORDERS):
        yield draw(chunk, layout.trade), _errors(layout, chunk, seed, bad_share)


def _errors(layout: Layout, chunk: Chunk, seed: int, bad_share: float) -> pl.Series:
    """Draw faults after the orders that have each status in turn; a stream of its own, so that orders stay the same."""
    if not layout.errors:
        return pl.Series([None] * chunk.size, dtype=pl.String)
    rng = np.random.default_rng([seed, zlib.crc32(layout.name.encode()), chunk.start])
    kept = min(chunk.size, max(0, len(layout.trade.statuses) - chunk.start))
    drawn = draw_errors(rng, tuple(layout.errors), bad_share, chunk.size - kept, each_kind=True)
    return pl.concat([pl.Series("errors", [None] * kept, dtype=pl.String), drawn])


def _cells(layout: Layout, drawn: Drawn, errors: pl.Series | None) -> pl.DataFrame:
    """Return the rows of the file: its headers, numbered by position, and `LINE`."""
    rows = layout.rows(drawn)
    texts = rows.select(_named(header, layout.cells.get(header, EMPTY)) for header in layout.headers)
    if errors is not None and layout.errors:
        texts = corrupt(texts, errors.gather(rows.get_column("order")), layout.errors)
    return texts.with_columns(rows.get_column(LINE).fill_null(0).alias(_LINE))


_LINE: Final = "\0line"


def _named(header: str, cell: Cell) -> pl.Expr:
    return (pl.lit(cell) if isinstance(cell, str) else cell).alias(header)


def _write_text(path: Path, layout: Layout, frames: Iterable[pl.DataFrame], orders: int) -> None:
    form = layout.form
    with path.open("wb") as file:
        file.write(("\ufeff" if form.bom else "").encode(form.encoding))
        file.write(_lines((*form.above, layout.headers, *form.below), layout).encode(form.encoding))
        for frame in frames:
            text = frame.drop(_LINE).write_csv(
                include_header=False, separator=form.delimiter, line_terminator=form.newline, quote_style=form.quoting
            )
            file.write(text.encode(form.encoding))
        file.write(_lines(form.footer(orders), layout).encode(form.encoding))


def _lines(rows: Iterable[Row], layout: Layout) -> str:
    form = layout.form
    text = io.StringIO()
    always = form.quoting == "always"
    csv.writer(
        text,
        delimiter=form.delimiter,
        lineterminator=form.newline,
        quoting=csv.QUOTE_ALL if always else csv.QUOTE_MINIMAL,
    ).writerows(rows)
    return text.getvalue()


def _write_workbook(path: Path, sheets: list[tuple[Layout, Iterator[pl.DataFrame]]], orders: int) -> None:
    """Write a workbook of text cells, with the same bytes for the same cells."""
    workbook = Workbook(write_only=True)
    for layout, frames in sheets:
        sheet = workbook.create_sheet(layout.form.sheet)
        for row in (*layout.form.above, layout.headers, *layout.form.below):
            sheet.append(row)
        merged = [position for position, header in enumerate(layout.headers, 1) if header in layout.form.merged]
        merge = _merging(sheet.merged_cells.add, merged, 1 + len(layout.form.above) + 1 + len(layout.form.below))
        for frame in frames:
            for *cells, line in frame.iter_rows():
                sheet.append(cells)
                merge(line)
        merge(0)
        for row in layout.form.footer(orders):
            sheet.append(row)
    content = io.BytesIO()
    workbook.save(content)
    _write_without_time(path, content)


def _merging(add: Callable[[str], None], columns: list[int], first_row: int) -> Callable[[int], None]:
    """Return a function that is told each row's line number and merges the cells of the order that ended above it."""
    start, row = first_row, first_row

    def next_row(line: int) -> None:
        nonlocal start, row
        if line == 0:
            if row - start > 1:
                for column in columns:
                    letter = get_column_letter(column)
                    add(f"{letter}{start}:{letter}{row - 1}")
            start = row
        row += 1

    return next_row


def _write_without_time(path: Path, workbook: io.BytesIO) -> None:
    """Copy a workbook with constant times in place of those at which it was made."""
    with zipfile.ZipFile(workbook) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            content = _TIMES.sub(rb"\g<1>2026-01-01T00:00:00Z", source.read(name))
            target.writestr(zipfile.ZipInfo(name, _FIRST_DAY), content, zipfile.ZIP_DEFLATED)
