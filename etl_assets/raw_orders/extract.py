"""Extraction of raw orders from an import file, in bounded memory: content, mapping, grouping of lines, chunks.

The rules are in `transform` and `group_lines`, the formats in `readers/`, the writing in `load`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.raw_orders.findings import Finding
from etl_assets.raw_orders.group_lines import group_lines
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.remedies import NAME_THE_SHOP, choose_mapping
from etl_assets.raw_orders.transform import to_raw_orders

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from etl_assets.presets.model import ColumnMapping, Preset
    from etl_assets.raw_orders.readers.file_reader import ImportFile

CHUNK_ROWS: Final = 50_000


@dataclass(slots=True)
class ReadCounts:
    """Counts of one import, kept while its rows are read."""

    lines: int = 0
    """Rows read from the file or the source so far; empty ones don't count."""
    headers: tuple[str, ...] = ()
    """The headers of the file, or the columns of the source."""
    unmatched: tuple[str, ...] = ()
    """The columns that the mapping takes from headers that the file lacks, where the user should know."""
    findings: list[Finding] = field(default_factory=list)
    """What the user should know about the import."""


def extract_raw_orders(  # the options of one import
    file: ImportFile,
    preset: Preset,
    counts: ReadCounts | None = None,
    *,
    chunk_rows: int = CHUNK_ROWS,
    is_detected: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Generator[pl.DataFrame]:
    """Yield the raw orders of a file as frames of `RAW_ORDER_SCHEMA`, for every format and shape.

    Args:
        file: the file.
        preset: its format.
        counts: kept up to date while the file is read.
        chunk_rows: the most rows of a frame.
        is_detected: the preset was detected, so the file may well lack some of its headers: `unmatched` stays empty.
        on_progress: called with the number of lines read so far.

    Raises:
        ImportFileError: some frames may have been yielded by then: land them in one transaction.
    """
    counts = ReadCounts() if counts is None else counts
    content = file.content(preset)
    counts.headers = content.headers
    check_required(file.path, content.headers, preset)
    if not is_detected:
        counts.unmatched = unmatched_columns(content.headers, preset)
        if counts.unmatched:
            named = ", ".join(counts.unmatched)
            counts.findings.append(Finding("MISSING_HEADERS", named, len(counts.unmatched)))
    lines = _counted(content.frames, counts, on_progress)
    if preset.shape == "line_item":
        orders = group_lines(lines, preset)
    else:
        orders = (to_raw_orders(frame, preset) for frame in lines)
    yield from _resized(orders, chunk_rows)


def _counted(
    frames: Iterable[pl.DataFrame], counts: ReadCounts, on_progress: Callable[[int], None] | None
) -> Iterator[pl.DataFrame]:
    for frame in frames:
        counts.lines += frame.height
        yield frame
        if on_progress is not None:
            on_progress(counts.lines)


def check_required(path: Path, headers: Sequence[str], preset: Preset) -> None:
    """Raise `ImportFileError` unless the file can give an order number and a shop."""
    missing = {
        column
        for column in ("order_id", "shop")
        if (mapping := preset.columns.get(column)) is not None
        and mapping.constant is None
        and not set(mapping.headers).intersection(headers)
    }
    if "order_id" in missing:
        wanted = _quoted(preset.columns["order_id"].headers)
        problem = f"it has no column {wanted} for the order number"
        raise ImportFileError(path, None, problem, choose_mapping(preset.name))
    if "shop" not in preset.columns or "shop" in missing:
        named = preset.columns.get("shop")
        wanted = f"column {_quoted(named.headers)} for the shop" if named else "column for the shop"
        raise ImportFileError(path, None, f"it has no {wanted}", NAME_THE_SHOP)


def unmatched_columns(headers: Sequence[str], preset: Preset) -> tuple[str, ...]:
    """Return the mapped columns whose value the file can't give.

    It lacks all headers that the value is copied from, or one that a rule reads.
    """
    mappings: list[tuple[str, ColumnMapping]] = [*preset.columns.items()]
    mappings += ((f"item.{column}", mapping) for column, mapping in preset.item.items())
    present = set(headers)
    return tuple(
        column
        for column, mapping in mappings
        if (mapping.columns and present.isdisjoint(mapping.columns))
        or any(rule.when not in present for rule in mapping.rules)
    )


def _quoted(headers: Sequence[str]) -> str:
    return " or ".join(repr(header) for header in headers)


def _resized(frames: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """Join and cut frames so that each but the last has so many rows; none is empty."""
    joined: pl.DataFrame | None = None
    for frame in frames:
        joined = frame if joined is None else pl.concat([joined, frame])
        while joined.height > rows:
            yield joined.head(rows)
            joined = joined.slice(rows)
    if joined is not None and joined.height:
        yield joined
