"""Order in which several files are imported: by the newest time that each holds, the oldest first, not by name.

Of versions of an order without a time of change, or with the same, the one that is imported last counts. So a file that
was exported later has to be imported later (docs/decisions.md, "Order of files"). Importing them does not belong here
(`importing`, `inbox.ingest`).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.errors import EtlError
from etl_assets.presets.headers import fit_to_headers
from etl_assets.raw_orders.date_order import read_times
from etl_assets.raw_orders.readers.regular_file import open_regular_file
from etl_assets.raw_orders.readers.unpack import split_member

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.readers.file_reader import FileReader, ImportFile

WHOLE_BYTES: Final = 1 << 20
SAMPLED_SUFFIXES: Final = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
_DATE_CHARACTERS: Final = 10


def oldest_first(
    paths: Sequence[Path], reader: FileReader, choose_preset: Callable[[ImportFile], Preset]
) -> list[Path]:
    """Sort files by their newest times; those without a time, or that can't be read, keep to the end, in their order.

    Only where there are several. A file of up to `WHOLE_BYTES` is read once more for it, of a larger text its beginning
    and its end; larger workbooks and Parquet files count as ones without a time.

    Args:
        paths: the files.
        reader: reads them.
        choose_preset: returns the preset that a file will be imported with; its `EtlError` is left to the import.
    """
    if len(paths) < 2:  # noqa: PLR2004  # nothing to sort
        return list(paths)
    times = {path: _newest_time(path, reader, choose_preset) for path in dict.fromkeys(paths)}
    known = [(time, path) for path in paths if (time := times[path]) is not None]
    return [path for _, path in sorted(known, key=lambda one: one[0])] + [path for path in paths if times[path] is None]


def _newest_time(path: Path, reader: FileReader, choose_preset: Callable[[ImportFile], Preset]) -> datetime | None:
    try:
        with reader.open(path) as file:
            preset = choose_preset(file)
            if split_member(path)[0].stat().st_size <= WHOLE_BYTES:
                return read_newest_time(file, preset)
        if path.suffix.lower() not in SAMPLED_SUFFIXES:
            return None
        with tempfile.TemporaryDirectory(prefix="etl-assets-") as folder:
            sample = Path(folder) / f"sample{path.suffix}"
            write_sample(path, sample)
            with reader.open(sample) as file:
                return read_newest_time(file, preset)
    except (EtlError, OSError):
        return None  # reported when it is imported


def write_sample(path: Path, sample: Path) -> None:
    """Write the first and the last lines of a text: exports are sorted by time, so the newest is at either end."""
    with open_regular_file(path) as handle:
        head = handle.read(WHOLE_BYTES // 2)
        handle.seek(-WHOLE_BYTES // 2, os.SEEK_END)
        tail = handle.read()
    sample.write_bytes(head[: head.rfind(b"\n") + 1] + tail[tail.find(b"\n") + 1 :])


def read_newest_time(file: ImportFile, preset: Preset) -> datetime | None:
    """Return the newest time in the columns that the preset takes times from; None where there is none."""
    content = file.content(preset)
    fitted = fit_to_headers(preset, content.headers)
    mappings = [mapping for column in ("updated_at", "ordered_at") if (mapping := fitted.columns.get(column))]
    named = dict.fromkeys(header for mapping in mappings for header in (*mapping.columns, *mapping.latest_of))
    headers = [header for header in named if header in content.headers]
    if not headers:
        return None
    latest = [_latest_of_days(frame.select(headers)) for frame in content.frames]
    texts = pl.concat([pl.Series(dtype=pl.String), *latest]).unique()
    newest: datetime | None = read_times(texts, preset, file.path).max()  # type: ignore[assignment]
    return newest


def _latest_of_days(times: pl.DataFrame) -> pl.Series:
    """Return the greatest text of each day, so that few have to be parsed: what a text begins with tells its day."""
    texts = pl.concat([times[name].alias("text") for name in times.columns]).to_frame()
    days = texts.group_by(pl.col("text").str.slice(0, _DATE_CHARACTERS))
    return days.agg(latest=pl.col("text").max())["latest"].drop_nulls()
