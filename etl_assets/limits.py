"""How large an import file and what is in it may be: all limits, in one place. docs/importing.md lists them.

They are far beyond what exports need. What exceeds one makes a failed import that names it.
"""

from __future__ import annotations

from typing import Final

READER_MEMORY_MB: Final = 2048
"""Memory of the process that reads files, in MiB, unless `ETL_READER_MEMORY_MB` says otherwise."""
SILENCE_SECONDS: Final = 60.0
"""That process is killed when it has read nothing and made nothing for so long."""

MAX_COLUMNS: Final = 2_000
MAX_CELL_CHARACTERS: Final = 4 << 20
"""Of one cell, outside workbooks. In delimited text, also of one row, in bytes."""
MAX_LINE_BYTES: Final = 16 << 20
"""Of one line of JSON lines."""

MAX_SHEET_ROWS: Final = 1_048_576
MAX_SHEET_CELL_CHARACTERS: Final = 32_767
"""Limits of a sheet and of a cell in any spreadsheet program."""
MAX_WORKBOOK_BYTES: Final = 200 << 20
MAX_UNPACKED_BYTES: Final = 1 << 30
MAX_SHARED_TEXT_BYTES: Final = 128 << 20
"""The table of shared texts is the one part of a workbook that has to be in memory as a whole."""
MAX_RATIO: Final = 200
"""How many times larger than its file a workbook may be once it is unpacked, beyond `UNCHECKED_BYTES`."""
UNCHECKED_BYTES: Final = 16 << 20
MAX_ENTRIES: Final = 10_000

UNCHECKED_ROWS: Final = 1_000_000
MAX_ROWS_PER_BYTE: Final = 10
"""How many rows a Parquet file may have for each of its bytes, beyond `UNCHECKED_ROWS`: orders differ in something."""

PIECE_CELLS: Final = 1_000_000
"""About how many cells of a file are in memory as values at a time."""
