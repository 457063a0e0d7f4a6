"""Spreadsheets of quarantined rows: exports open rows for correction and reads the edited file back without loss.

A cell that a spreadsheet program could take for a formula gets an apostrophe in front, and loses exactly that when it
is read back (`values.formulas`). Landing the corrections is the job of `corrections`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.database.frames import fetch_frame
from etl_assets.errors import EtlError
from etl_assets.limits import MAX_SHEET_CELL_CHARACTERS, MAX_SHEET_ROWS, READER_MEMORY_MB
from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.quarantine.faults import read_faults
from etl_assets.quarantine.row_filter import ALL_OPEN_ROWS
from etl_assets.raw_orders.readers.columns import LINE_NUMBER
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets.raw_orders.transform import blank_to_null
from etl_assets.values.formulas import escape_formula, unescape_formula
from etl_assets.values.numbers import is_rounded_number
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.database.database import Database
    from etl_assets.quarantine.row_filter import RowFilter

SUFFIXES: Final = (".csv", ".xlsx")
RAW_TEXTS: Final[dict[str, pl.DataType]] = {name: pl.String() for name in RAW_COLUMNS}
EXPORT_SCHEMA: Final = {
    "quarantine_id": pl.Int64(),
    "asset": pl.String(),
    "reason_code": pl.String(),
    "reason": pl.String(),
    "source": pl.String(),
    "line": pl.String(),
    **RAW_TEXTS,
}

BAD_CELL_COLOUR: Final = "FFD9B3"
_COLUMN_WIDTHS: Final = {"quarantine_id": 13, "reason": 60, "source": 30, "items": 40}
_COLUMN_WIDTH: Final = 18
_NOT_IN_A_WORKBOOK: Final = r"[\x00-\x08\x0b-\x1f]"
_TEXTS: Final = (
    "SELECT q.quarantine_id, q.asset, q.reason_code, q.reason, t.source, CAST(r.row_no AS text),"  # noqa: S608  # constants
    f" {', '.join('r.' + name for name in RAW_COLUMNS)} FROM quarantine q JOIN raw_orders r USING (raw_id)"
    " JOIN import_tasks t ON t.import_id = r.import_id"
)


class SpreadsheetError(EtlError):
    """Raised where rows of quarantine can't be written to the file that was named."""


def export_quarantine(
    database: Database, path: Path, chosen: RowFilter = ALL_OPEN_ROWS, *, limit: int | None = None
) -> int:
    """Write open rows of quarantine, with the raw texts as they are, to a .csv (UTF-8 with mark) or .xlsx file.

    Args:
        database: the store.
        path: the file; it is replaced where it exists.
        chosen: which open rows.
        limit: the most rows to write, the newest ones; all where it is None.

    Returns:
        How many rows were written.

    Raises:
        SpreadsheetError: the file can't be written, or a workbook can't hold the rows.
    """
    with database.transaction() as connection:
        query = f"{_TEXTS} WHERE {chosen.condition} ORDER BY q.quarantine_id"
        if limit is not None:
            newest = f"SELECT q.quarantine_id FROM quarantine q WHERE {chosen.condition} ORDER BY q.raw_id DESC"  # noqa: S608  # constants
            query = f"{_TEXTS} JOIN ({newest} LIMIT {limit:d}) n USING (quarantine_id) ORDER BY q.quarantine_id"
        rows = fetch_frame(connection, query, EXPORT_SCHEMA, chosen.parameters)
    texts = rows.with_columns(escape_formula(pl.col(name)).alias(name) for name in ("source", *RAW_COLUMNS))
    if path.suffix.lower() == ".xlsx":
        _require_fit_for_workbook(path, texts)
    try:
        if path.suffix.lower() == ".xlsx":
            _write_workbook(path, texts)
        else:
            with path.open("wb") as file:
                texts.write_csv(file, include_bom=True)
    except OSError as error:
        msg = f"{path}: the file can't be written ({error.strerror}). Check the folder and who may write there."
        raise SpreadsheetError(msg) from None
    return rows.height


def read_corrections(path: Path, memory_mb: int = READER_MEMORY_MB) -> pl.DataFrame:
    """Read an edited file of `export_quarantine`.

    Args:
        path: the file.
        memory_mb: limit of the reading process's memory, in MiB.

    Returns:
        `quarantine_id`, `row_no` (the line of the file) and those of `RAW_COLUMNS` that the file has; blank texts null.

    Raises:
        ImportFileError: the file can't be read or is no such file.
    """
    with FileReader(memory_mb) as reader, reader.open(path) as file:
        content = file.content(ExpectedFormat(mapped=("quarantine_id", *RAW_COLUMNS)))
        columns = [column for column in RAW_COLUMNS if column in content.headers]
        if "quarantine_id" not in content.headers or not columns:
            remedy = "Change a file that `etl-assets quarantine export` wrote, and keep its header"
            raise ImportFileError(path, None, "it has no column 'quarantine_id' or none of the raw columns", remedy)
        wanted = [LINE_NUMBER, "quarantine_id", *columns]
        empty = pl.DataFrame(schema={LINE_NUMBER: pl.Int64(), **dict.fromkeys(wanted[1:], pl.String())})
        texts = pl.concat([empty, *(frame.select(wanted) for frame in content.frames)])
    rows = texts.select(
        pl.col("quarantine_id").str.strip_chars().cast(pl.Int64, strict=False),
        pl.col(LINE_NUMBER).cast(pl.Int32).alias("row_no"),
        *(blank_to_null(unescape_formula(pl.col(column))).alias(column) for column in columns),
    )
    remedy = "Restore it, or remove the row"
    _refuse_rows(path, rows, pl.col("quarantine_id").is_null(), "the quarantine_id is no number", remedy)
    if "order_id" in columns:
        is_rounded = is_rounded_number(clean_text(pl.col("order_id"))).fill_null(value=False)
        remedy = "Export to .xlsx, where cells stay text, and correct that file"
        _refuse_rows(path, rows, is_rounded, "a spreadsheet program has rounded the order number", remedy)
    return rows


def _refuse_rows(path: Path, rows: pl.DataFrame, is_bad: pl.Expr, problem: str, remedy: str) -> None:
    """Raise `ImportFileError` for the first bad row."""
    bad = rows.filter(is_bad)
    if bad.height:
        raise ImportFileError(path, bad["row_no"][0], problem, remedy)


def _require_fit_for_workbook(path: Path, texts: pl.DataFrame) -> None:
    """Raise `SpreadsheetError` for rows beyond the limits of a workbook."""
    unfit = pl.col(RAW_COLUMNS).str.contains(_NOT_IN_A_WORKBOOK) | (
        pl.col(RAW_COLUMNS).str.len_chars() > MAX_SHEET_CELL_CHARACTERS
    )
    bad = texts.filter(pl.any_horizontal(unfit))
    if texts.height >= MAX_SHEET_ROWS:
        problem = "there are more rows than a sheet holds"
    elif bad.height:
        problem = f"row {bad['quarantine_id'][0]} has a text that a workbook can't hold"
    else:
        return
    msg = f"{path}: {problem}. Export to a .csv file."
    raise SpreadsheetError(msg)


def _write_workbook(path: Path, texts: pl.DataFrame) -> None:
    """Write a workbook with a frozen header and a filter; the cells that a fault is about are coloured."""
    from openpyxl import Workbook  # noqa: PLC0415  # every run imports this module, and few write a workbook
    from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415  # as above
    from openpyxl.styles import Font, PatternFill  # noqa: PLC0415  # as above
    from openpyxl.utils import get_column_letter  # noqa: PLC0415  # as above

    book = Workbook(write_only=True)
    sheet = book.create_sheet("quarantine")
    sheet.freeze_panes = "B2"
    sheet.auto_filter.ref = f"A1:{get_column_letter(texts.width)}{texts.height + 1}"
    for at, name in enumerate(texts.columns, start=1):
        sheet.column_dimensions[get_column_letter(at)].width = _COLUMN_WIDTHS.get(name, _COLUMN_WIDTH)
    heading, marked = Font(bold=True), PatternFill("solid", fgColor=BAD_CELL_COLOUR)
    header = [WriteOnlyCell(sheet, value=name) for name in texts.columns]
    for cell in header:
        cell.font = heading
    sheet.append(header)
    for row in texts.iter_rows(named=True):
        bad = {fault.column for fault in read_faults(row["reason_code"], row["reason"], row)}
        cells = []
        for name, value in row.items():
            cell = WriteOnlyCell(sheet, value=value)
            if name != "quarantine_id":
                cell.number_format = "@"  # text: edited values are stored as typed
            if name in bad:
                cell.fill = marked
            cells.append(cell)
        sheet.append(cells)
    book.save(path)
