"""Sheets of workbooks read by calamine (Rust): fifteen times as fast as openpyxl, with all cells of a sheet in memory.

It is for workbooks whose cells fit in memory (`xls`, and `xlsx` where a count of its cells shows it). Its panics are
reported as errors of the file.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Final

from python_calamine import CalamineWorkbook, PasswordError, SheetTypeEnum, SheetVisibleEnum

from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.sheets import SEARCHED_SHEETS, Sheet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from etl_assets.raw_orders.readers.sheets import Row

SAVE_OPEN: Final = "Open it in a spreadsheet program and save it as .xlsx, without a password"


def load_sheets(handle: IO[bytes], path: Path, progress: Callable[[], None]) -> list[Sheet]:
    """Open a workbook and return its sheets; the cells of each are loaded when its first row is asked for."""
    handle.seek(0)
    try:
        book = CalamineWorkbook.from_filelike(handle)
    except PasswordError:
        raise ImportFileError(path, None, "the workbook has a password", SAVE_OPEN) from None
    named = [one for one in book.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet][:SEARCHED_SHEETS]
    hidden = {one.name for one in named if one.visible != SheetVisibleEnum.Visible}
    return [Sheet(path, _rows(book, one.name, progress), one.name, is_hidden=one.name in hidden) for one in named]


def _rows(book: CalamineWorkbook, name: str, progress: Callable[[], None]) -> Iterator[Row]:
    sheet = book.get_sheet_by_name(name)
    progress()
    before: list[Any] = [""] * (sheet.start or (0, 0))[1]  # the columns before the first filled one
    for line, row in enumerate(sheet.iter_rows(), start=1):
        yield line, before + row if before else row
