"""Reads an import file as raw orders, ready to be landed, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.raw_orders.group_lines import group_lines
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.transform import to_raw_orders

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from etl_assets.presets.model import ColumnSource, Preset
    from etl_assets.raw_orders.readers.opened_file import ImportFile

CHUNK_ROWS: Final = 50_000


class RawOrderFrames:
    """The raw orders of one file: an iterator of frames that also counts. Close it if it is not used up."""

    def __init__(
        self,
        file: ImportFile,
        preset: Preset,
        *,
        chunk_rows: int,
        is_detected: bool,
        on_progress: Callable[[int], None] | None,
    ) -> None:
        """Prepare; nothing is read before the first frame is asked for."""
        self.lines = 0
        """How many rows of the file were read so far; empty ones don't count."""
        self.rows = 0
        """How many raw orders were handed out so far."""
        self.unmatched: tuple[str, ...] = ()
        """The columns that the mapping takes from headers that the file lacks (after the first frame)."""
        self._is_detected = is_detected
        self._on_progress = on_progress
        self._frames = _resized(self._read(file, preset), chunk_rows)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Return itself: a file is read once."""
        return self

    def __next__(self) -> pl.DataFrame:
        """Read on. Raises `ImportFileError`."""
        frame = next(self._frames)
        self.rows += frame.height
        return frame

    def close(self) -> None:
        """Stop reading, and remove what was put aside on disk."""
        self._frames.close()

    def _read(self, file: ImportFile, preset: Preset) -> Iterator[pl.DataFrame]:
        source = file.source(preset)
        check_required(file.path, source.headers, preset)
        if not self._is_detected:
            self.unmatched = unmatched_columns(source.headers, preset)
        counted = self._counted(source.frames)
        if preset.shape == "line_item":
            yield from group_lines(counted, preset)
        else:
            yield from (to_raw_orders(frame, preset) for frame in counted)

    def _counted(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        for frame in frames:
            self.lines += frame.height
            yield frame
            if self._on_progress is not None:
                self._on_progress(self.lines)


def extract_raw_orders(
    file: ImportFile,
    preset: Preset,
    *,
    chunk_rows: int = CHUNK_ROWS,
    is_detected: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> RawOrderFrames:
    """Read a file as frames of `RAW_ORDER_SCHEMA` (at most `chunk_rows` rows each), whatever its format and shape.

    `on_progress` is called with the number of lines read so far. The result counts lines and rows, and knows the
    columns that the file lacks; not where the preset `is_detected`: its format may well leave some of them out.

    Raises:
        ImportFileError: from the iterator. Some frames may have been handed out by then: land them in one transaction.

    """
    return RawOrderFrames(file, preset, chunk_rows=chunk_rows, is_detected=is_detected, on_progress=on_progress)


def check_required(path: Path, headers: Sequence[str], preset: Preset) -> None:
    """Raise `ImportFileError` unless the file can give an order number and a shop."""
    missing = {
        column
        for column in ("order_id", "shop")
        if (source := preset.columns.get(column)) is not None
        and source.constant is None
        and not set(source.headers).intersection(headers)
    }
    if "order_id" in missing:
        wanted = _quoted(preset.columns["order_id"].headers)
        remedy = f"Choose another preset than {preset.name!r} or write a mapping; the header must be the first row"
        raise ImportFileError(path, None, f"it has no column {wanted} for the order number", remedy)
    if "shop" not in preset.columns or "shop" in missing:
        named = preset.columns.get("shop")
        wanted = f"column {_quoted(named.headers)} for the shop" if named else "column for the shop"
        raise ImportFileError(path, None, f"it has no {wanted}", "Name the shop with --shop or in the mapping")


def unmatched_columns(headers: Sequence[str], preset: Preset) -> tuple[str, ...]:
    """Return the mapped columns that name headers of which a file with these headers lacks what matters.

    That is: all that the value could be copied from, or one that a rule looks at.
    """
    sources: list[tuple[str, ColumnSource]] = [*preset.columns.items()]
    sources += ((f"item.{column}", source) for column, source in preset.item.items())
    present = set(headers)
    return tuple(
        column
        for column, source in sources
        if (source.columns and present.isdisjoint(source.columns)) or any(r.when not in present for r in source.rules)
    )


def _quoted(headers: Sequence[str]) -> str:
    return " or ".join(repr(header) for header in headers)


def _resized(frames: Iterable[pl.DataFrame], rows: int) -> Generator[pl.DataFrame]:
    waiting: pl.DataFrame | None = None
    for frame in frames:
        waiting = frame if waiting is None else pl.concat([waiting, frame])
        while waiting.height > rows:
            yield waiting.head(rows)
            waiting = waiting.slice(rows)
    if waiting is not None and waiting.height:
        yield waiting
