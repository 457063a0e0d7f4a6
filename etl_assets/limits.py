"""Limits of import files, all of them; docs/importing.md lists them.

They are far beyond the needs of exports. A file that exceeds one is a failed import that names the limit.
"""

from __future__ import annotations

from typing import Final

READER_MEMORY_MB: Final = 2048
"""Memory of the process that reads files, in MiB, unless `ETL_READER_MEMORY_MB` is set."""
SILENCE_SECONDS: Final = 60.0
"""That process is killed when it has made no progress for so long."""

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
"""Ratio of the unpacked size to that of the file, beyond `UNCHECKED_BYTES`."""
UNCHECKED_BYTES: Final = 16 << 20
MAX_ENTRIES: Final = 10_000

MAX_MEMBERS: Final = 1_000
"""Files in an archive."""
MAX_UNPACKED_FILE_BYTES: Final = 8 << 30
"""Of a compressed file, and of all files in an archive; `MAX_RATIO` applies too."""

MAX_PAGE_BYTES: Final = 64 << 20
"""Of a page with tables (HTML), whose texts have to be in memory as a whole."""

UNCHECKED_ROWS: Final = 1_000_000
MAX_ROWS_PER_BYTE: Final = 10
"""Rows of a Parquet file for each of its bytes, beyond `UNCHECKED_ROWS`: no two orders are the same."""

PIECE_CELLS: Final = 1_000_000
"""Number of cells, about, of one chunk of a file."""
