"""Format of old workbooks (.xls, BIFF): tables of text of one sheet. At most 65,536 rows and 256 columns each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from etl_assets.limits import MAX_WORKBOOK_BYTES
from etl_assets.raw_orders.readers.calamine import SAVE_OPEN, load_sheets
from etl_assets.raw_orders.readers.errors import ImportFileError, reported_as_file_error
from etl_assets.raw_orders.readers.sheets import Wording, sheets_reader

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl_assets.raw_orders.readers.expected_format import ExpectedFormat
    from etl_assets.raw_orders.readers.open_file import FileInput, TableStream

ENCRYPTED: Final = "EncryptedPackage".encode("utf-16-le")
"""Name of the part of a file that holds a newer workbook with a password."""
DIRECTORY_BYTES: Final = 1 << 20


def open_content(file: FileInput) -> Callable[[ExpectedFormat], TableStream]:
    """Open an old workbook; formulas count as their saved values."""
    words = Wording()
    if file.handle.seek(0, 2) > MAX_WORKBOOK_BYTES:
        problem = f"the workbook is larger than {MAX_WORKBOOK_BYTES >> 20} MiB"
        raise ImportFileError(file.path, None, problem, "Save the sheet as CSV and import that")
    file.handle.seek(0)
    head = file.handle.read(DIRECTORY_BYTES)
    file.handle.seek(max(file.handle.seek(0, 2) - DIRECTORY_BYTES, 0))
    if ENCRYPTED in head or ENCRYPTED in file.handle.read():
        raise ImportFileError(file.path, None, "the workbook has a password", SAVE_OPEN)
    with reported_as_file_error(file.path, (Exception,), words.problem, words.remedy):
        return sheets_reader(load_sheets(file.handle, file.path, file.progress), file, words)
