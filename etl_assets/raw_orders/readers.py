"""Opens an import file of any supported format: the one place that knows which reader a suffix stands for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from etl_assets.raw_orders.csv_reader import open_csv
from etl_assets.raw_orders.errors import ImportFileError
from etl_assets.raw_orders.jsonl_reader import open_jsonl
from etl_assets.raw_orders.parquet_reader import open_parquet
from etl_assets.raw_orders.source import open_regular_file
from etl_assets.raw_orders.xlsx_reader import open_xlsx

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.source import Source

TEXT_SUFFIXES: Final = (".csv", ".tsv", ".txt")
SUFFIXES: Final = (*TEXT_SUFFIXES, ".xlsx", ".parquet", ".jsonl", ".ndjson")


@contextmanager
def read_source(path: Path, preset: Preset | None = None) -> Iterator[Source]:
    """Open a file for streaming; `preset` says its encodings and delimiter (without one they are guessed).

    Raises:
        ImportFileError: here or from the frames, for whatever is wrong with the file.

    """
    suffix = path.suffix.lower()
    with open_regular_file(path) as handle:
        if suffix in TEXT_SUFFIXES:
            yield open_csv(handle, path, preset)
        elif suffix == ".xlsx":
            yield open_xlsx(handle, path)
        elif suffix == ".parquet":
            yield open_parquet(handle, path)
        elif suffix in {".jsonl", ".ndjson"}:
            yield open_jsonl(handle, path)
        else:
            problem = f"files that end in {suffix!r} are not supported" if suffix else "the file's name has no ending"
            raise ImportFileError(path, None, problem, f"Save it as one of {', '.join(SUFFIXES)}")


def sniff_headers(path: Path) -> tuple[str, ...]:
    """Return the headers of a file, for finding its preset. Raises `ImportFileError`."""
    with read_source(path) as source:
        return source.headers
