"""Extraction of raw orders from an import file, in bounded memory: content, mapping, grouping of lines, chunks.

The rules are in `transform` and `group_lines`, the formats in `readers/`, the writing in `load`.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.presets.headers import AmbiguousHeaderError, did_you_mean, fit_to_headers, nearest, show_headers
from etl_assets.raw_orders.amount_sums import missing_parts
from etl_assets.raw_orders.date_order import with_dates_of_file
from etl_assets.raw_orders.each_sheet import sheets_without_headers
from etl_assets.raw_orders.fill_down import filled_down
from etl_assets.raw_orders.findings import Finding, finding_of, merge_findings
from etl_assets.raw_orders.group_lines import group_lines
from etl_assets.raw_orders.join_frames import join_frames
from etl_assets.raw_orders.left_out_rows import without_left_out_rows
from etl_assets.raw_orders.profile import Profile
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.remedies import NAME_THE_SHOP, choose_mapping
from etl_assets.raw_orders.row_numbers import NumberedRows
from etl_assets.raw_orders.transform import to_raw_orders, unmapped_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.readers.columns import ReaderFinding
    from etl_assets.raw_orders.readers.file_reader import FileContent, ImportFile
    from etl_assets.raw_orders.row_numbers import Places
    from etl_assets.raw_orders.shared_numbers import Disagreement
    from etl_assets.values.date_order import DateOrder

CHUNK_ROWS: Final = 50_000
MAPPED_ROWS: Final = 25_000
MAPPED_BYTES: Final = 16 << 20
"""Rows, or bytes of them, that are mapped at once: the readers' frames are smaller."""


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
    """Findings of the import."""
    profile: Profile = field(default_factory=Profile)
    """Counts of its columns."""
    date_order: DateOrder | None = None
    """The order of day and month that the mapping or the file decided; None where no date needs one."""
    year: int | None = None
    """The year of times that have none."""
    places: Places | None = None
    """Places of numbered rows; None where the file has order numbers."""
    feed: str | None = None
    """The series of imports that should look alike; None where there are no headers to compare (`drift`)."""


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
    try:
        fitted = fit_to_headers(preset, content.headers)
    except AmbiguousHeaderError as error:
        raise ImportFileError(file.path, content.header_line, error.problem, error.remedy) from None
    check_required(file.path, content.headers, fitted, content.header_line)
    numbered = NumberedRows(file.path, content, fitted) if fitted.columns["order_id"].number_rows_by else None
    if not is_detected:
        missing = missing_headers(content.headers, fitted)
        counts.unmatched = tuple(missing)
        counts.findings += _missing_headers_found(content.headers, fitted, missing)
    if fitted.draft:
        counts.findings.append(Finding("DRAFT_PRESET", fitted.name))
    counts.findings += (Finding("MISSING_PART", name) for name in missing_parts(content.headers, fitted))
    if preset.each_sheet:
        counts.findings += sheets_without_headers(content, preset)
    counted = _counted(content, fitted, numbered, counts, on_progress)
    with ExitStack() as resources:
        named = numbered.preset if numbered else fitted
        counts.places = numbered.places if numbered else None
        dated, lines = with_dates_of_file(file.path, counted, named, counts.findings, resources)
        counts.date_order, counts.year = dated.date_order, dated.known_year
        yield from _resized(_raw_orders(lines, dated, counts), chunk_rows)


def _raw_orders(frames: Iterator[pl.DataFrame], preset: Preset, counts: ReadCounts) -> Iterator[pl.DataFrame]:
    lines = join_frames(frames, MAPPED_ROWS, MAPPED_BYTES)
    if preset.shape == "order":
        found: list[ReaderFinding] = []
        yield from (to_raw_orders(frame, preset, found) for frame in lines)
        counts.findings += merge_findings(finding_of(*one) for one in found)
        return
    disagreements: list[Disagreement] = []
    yield from group_lines(lines, preset, found=disagreements)
    counts.findings += (Finding("DISAGREEING_ROWS", *one) for one in disagreements)


def _counted(
    content: FileContent,
    preset: Preset,
    numbered: NumberedRows | None,
    counts: ReadCounts,
    on_progress: Callable[[int], None] | None,
) -> Iterator[pl.DataFrame]:
    left_out: list[ReaderFinding] = []
    for frame in _rows_of_orders(content.frames, preset, numbered, left_out):
        counts.lines += frame.height
        counts.profile.count_lines(frame, preset)
        yield frame
        if on_progress is not None:
            on_progress(counts.lines)
    counts.findings += merge_findings(finding_of(*one) for one in (*content.findings, *left_out))


def _rows_of_orders(
    frames: Iterator[pl.DataFrame], preset: Preset, numbered: NumberedRows | None, left_out: list[ReaderFinding]
) -> Iterator[pl.DataFrame]:
    """Yield the rows of a file that are orders or lines of them, with cells filled from above, and numbers if needed.

    Rows are numbered before cells are filled: an empty one may say that the row continues the order above.
    """
    rows = without_left_out_rows(frames if numbered is None else numbered.noted(frames), preset, left_out)
    rows = rows if numbered is None else numbered.numbered(rows)
    rows = filled_down(rows, preset) if preset.fill_down else rows
    return rows if numbered is None else numbered.filled(rows, left_out)


def _missing_headers_found(
    headers: Sequence[str], preset: Preset, missing: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    """Yield the findings about headers that the mapping names and the file lacks."""
    if missing:
        yield Finding("MISSING_HEADERS", ", ".join(missing), len(missing))
    free = unmapped_headers(headers, preset)
    for column, names in missing.items():
        near = next((near for name in names if (near := nearest(name, free)) is not None), None)
        if near is not None:
            yield Finding("SIMILAR_HEADER", f"{column}: {near}")


def check_required(path: Path, headers: Sequence[str], preset: Preset, header_line: int | None = None) -> None:
    """Raise `ImportFileError` unless the file can give an order number and a shop.

    Args:
        path: the file, for the message.
        headers: its headers.
        preset: its columns in the spelling of the file.
        header_line: the line of the headers, for the message.
    """
    missing = {
        column
        for column in ("order_id", "shop")
        if (mapping := preset.columns.get(column)) is not None
        and mapping.constant is None
        and not mapping.number_rows_by
        and not set(mapping.headers).intersection(headers)
    }
    if "order_id" in missing:
        names = preset.columns["order_id"].headers
        problem = f"it has no column {_quoted(names)} for the order number; {describe_headers(headers, header_line)}"
        question = did_you_mean(names, headers) if show_headers(headers) else ""
        raise ImportFileError(path, None, _with(question, problem), choose_mapping(preset.name))
    if "shop" not in preset.columns or "shop" in missing:
        named = preset.columns.get("shop")
        wanted = f"column {_quoted(named.headers)} for the shop" if named else "column for the shop"
        question = did_you_mean(named.headers, headers) if named else ""
        raise ImportFileError(path, None, _with(question, f"it has no {wanted}"), NAME_THE_SHOP)


def describe_headers(headers: Sequence[str], line: int | None) -> str:
    """Describe the headers that were seen; not the values of a row that was taken for them."""
    where = "" if line is None else f" (line {line})"
    shown = show_headers(headers)
    return f"its headers{where} are {shown}" if shown else f"the row taken for headers{where} looks like one of data"


def missing_headers(headers: Sequence[str], preset: Preset) -> dict[str, tuple[str, ...]]:
    """Return the mapped columns whose value the file or source can't give, each with the headers that it lacks.

    It lacks all headers that the value is copied from, or one that a rule reads.
    """
    present = set(headers)
    lacking = {
        column: (
            *(mapping.columns if present.isdisjoint(mapping.columns) else ()),
            *(mapping.latest_of if present.isdisjoint(mapping.latest_of) else ()),
            *(mapping.headers if mapping.sum and present.isdisjoint(mapping.headers) else ()),
            *(header for rule in mapping.rules if present.isdisjoint(rule.when) for header in rule.when),
        )
        for column, mapping in preset.mappings.items()
    }
    return {column: names for column, names in lacking.items() if names}


def _with(question: str, problem: str) -> str:
    return f"{problem}. {question}" if question else problem


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
