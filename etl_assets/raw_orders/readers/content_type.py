"""Type of a file by its first bytes: a workbook may be called .csv, and text .xlsx.

The hazard is text that a library makes of anything: bytes of an archive are valid in some encodings.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Final

from etl_assets.raw_orders.readers.errors import ImportFileError

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.raw_orders.readers.columns import ReaderFinding

HEAD_BYTES: Final = 4096
READABLE: Final = {
    b"PK\x03\x04": ("xlsx", "a workbook (.xlsx)"),
    b"\xd0\xcf\x11\xe0": ("xls", "an old workbook (.xls)"),
    b"PAR1": ("parquet", "Parquet (.parquet)"),
}
"""Format, and its name, by the first bytes."""
UNPACK: Final = "Unpack it and import the files in it"
REFUSED: Final = {
    b"\x1f\x8b": ("compressed with gzip", UNPACK),
    b"BZh": ("compressed with bzip2", UNPACK),
    b"\xfd7zXZ\x00": ("compressed with xz", UNPACK),
    b"\x28\xb5\x2f\xfd": ("compressed with zstd", UNPACK),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", UNPACK),
    b"Rar!": ("a RAR archive", UNPACK),
    b"%PDF": ("a PDF document", "Export the orders as CSV or .xlsx"),
}
PAGES: Final = (b"<!doctype", b"<html", b"<head", b"<body", b"<table", b"<?xml")


def find_format(path: Path, handle: IO[bytes], by_name: str) -> tuple[str, list[ReaderFinding]]:
    """Return the format of a file by its content, and a finding where its name says another.

    Args:
        path: the file, for messages.
        handle: the opened file; it is left at its beginning.
        by_name: the format that its ending stands for.

    Raises:
        ImportFileError: the content is of a type that can't be read; it says which.
    """
    handle.seek(0)
    head = handle.read(HEAD_BYTES)
    handle.seek(0)
    for magic, (what, remedy) in REFUSED.items():
        if head.startswith(magic):
            raise ImportFileError(path, None, f"by its content it is {what}", remedy)
    for magic, (found, what) in READABLE.items():
        if head.startswith(magic):
            return found, [] if found == by_name else [("OTHER_FILE_TYPE", what, 1, None)]
    if by_name != "parquet" and head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(PAGES):
        return "html", [("OTHER_FILE_TYPE", "a page with a table (HTML or XML)", 1, None)]
    if by_name in {"xlsx", "xls"} and _is_text(head):
        return "csv", [("OTHER_FILE_TYPE", "delimited text (.csv)", 1, None)]
    return by_name, []


def _is_text(head: bytes) -> bool:
    return head.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" not in head
