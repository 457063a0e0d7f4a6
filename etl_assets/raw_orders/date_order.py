"""Decision of a file about its dates: the order of day and month, and the year where they have none.

Only for a preset whose formats read one text as two dates (docs/decisions.md, "Order of day and month"). The file is
read up to the first date that fits one order only; a later one of the other order refuses it.
"""

from __future__ import annotations

import itertools
import re
import tempfile
from typing import IO, TYPE_CHECKING, Final, cast

import polars as pl

from etl_assets.presets.model import TIME_COLUMNS
from etl_assets.raw_orders.findings import Finding
from etl_assets.raw_orders.readers.columns import LINE_NUMBER
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.remedies import name_date_order
from etl_assets.values.date_order import DATE_ORDERS, conflicting_formats
from etl_assets.values.text import clean_text
from etl_assets.values.timestamps import parse_timestamps, reads

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import ExitStack
    from pathlib import Path

    from etl_assets.presets.model import Preset
    from etl_assets.values.date_order import DateOrder

IN_MEMORY_BYTES: Final = 64 << 20
_YEAR: Final = re.compile(r"(?<!\d)20\d\d(?=\D|\d{2,4}(?:\D|$))")
"""A year in the name of a file, alone or at the beginning of a date."""


def with_dates_of_file(
    path: Path, lines: Iterator[pl.DataFrame], preset: Preset, findings: list[Finding], resources: ExitStack
) -> tuple[Preset, Iterator[pl.DataFrame]]:
    """Return the preset with the order of day and month and the year of a file, and its lines.

    Args:
        path: the file, whose name may have the year; or that of the sheet, which the preset names.
        lines: rows as the readers make them; read as far as the decision needs.
        preset: its columns in the spelling of the file.
        findings: gets the order that was taken.
        resources: gets the temporary file that rows wait in.

    Raises:
        ImportFileError: here or from the lines: the dates do not decide it, or contradict each other.
    """
    preset = _with_year(preset, path)
    evidence = _Evidence(path, preset)
    if preset.date_order is not None or not evidence.is_needed:
        return preset, lines
    waiting = _Spool(resources)
    for frame in lines:
        waiting.put(frame)
        evidence.look_at(frame)
        if evidence.order is not None:
            break
    order = evidence.require_order()
    if order is None:
        return preset, waiting.frames()
    findings.append(Finding("DATE_ORDER", f"{order} first", first_line=evidence.first_line[order]))
    return preset.model_copy(update={"date_order": order}), itertools.chain(waiting.frames(), evidence.checked(lines))


def read_times(texts: pl.Series, preset: Preset, path: Path) -> pl.Series:
    """Read times of a file, as far as these texts alone decide the order of day and month."""
    preset = _with_year(preset, path)
    evidence = _Evidence(path, preset)
    if preset.date_order is None and evidence.is_needed:
        orders = evidence.orders_of(texts)
        preset = preset.model_copy(update={"date_order": orders[0] if len(orders) == 1 else None})
    zones = pl.Series([preset.timezone], dtype=pl.String).new_from_index(0, texts.len())
    return parse_timestamps(texts, zones, preset.time_formats, preset.known_year)


class _Evidence:
    """Evidence of the dates of a file for an order of day and month."""

    def __init__(self, path: Path, preset: Preset) -> None:
        self._path = path
        self._preset = preset
        self._formats = conflicting_formats(preset.timestamp_formats)
        mappings = (mapping for column, mapping in preset.columns.items() if column in TIME_COLUMNS)
        self._headers = tuple(
            dict.fromkeys(header for mapping in mappings for header in (*mapping.columns, *mapping.latest_of))
        )
        self.first_line: dict[DateOrder, int] = {}
        """The line of the first date that only this order reads."""
        self._open_line: int | None = None
        """That of the first date which both orders read, as different ones."""

    @property
    def is_needed(self) -> bool:
        return bool(self._formats["day"])

    @property
    def order(self) -> DateOrder | None:
        return next(iter(self.first_line), None)

    def look_at(self, frame: pl.DataFrame) -> None:
        """Add the dates of some rows. Raises `ImportFileError` where they contradict others."""
        for header in self._headers:
            if header in frame.columns:
                self._look_at_column(frame.select(LINE_NUMBER, text=clean_text(pl.col(header))).drop_nulls("text"))
        if len(self.first_line) > 1:
            lines = sorted(self.first_line.values())
            problem = f"its dates have no one order: the one in line {lines[0]} is {self.order} first, another is not"
            raise ImportFileError(self._path, lines[1], problem, name_date_order(self._preset.name))

    def checked(self, lines: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield further lines, whose dates must not contradict the order."""
        for frame in lines:
            self.look_at(frame)
            yield frame

    def require_order(self) -> DateOrder | None:
        """Return the order; None where no date needs one. Raises `ImportFileError` where none decides it."""
        if self.order is None and self._open_line is not None:
            problem = "no date of the file shows whether the day or the month comes first"
            raise ImportFileError(self._path, self._open_line, problem, name_date_order(self._preset.name))
        return self.order

    def orders_of(self, texts: pl.Series) -> list[DateOrder]:
        """Return the orders that some text needs."""
        return [order for order, only in _sure(*self._reads(texts)) if only.any()]

    def _reads(self, texts: pl.Series) -> tuple[pl.Series, pl.Series]:
        day, month = (reads(texts, self._formats[order], self._preset.known_year) for order in DATE_ORDERS)
        return day, month

    def _look_at_column(self, dates: pl.DataFrame) -> None:
        texts = dates.group_by("text", maintain_order=True).agg(pl.col(LINE_NUMBER).min())
        day, month = self._reads(texts["text"])
        for order, only in _sure(day, month):
            if only.any():
                line = int(texts.filter(only)[LINE_NUMBER].min())  # type: ignore[arg-type]  # of an integer column
                self.first_line[order] = min(line, self.first_line.get(order, line))
        if self.order is None and self._open_line is None and (day & month).any():
            both = texts.filter(day & month)
            read = [self._instants(both["text"], order) for order in DATE_ORDERS]
            differs = both.filter(read[0] != read[1])
            self._open_line = None if differs.is_empty() else differs[LINE_NUMBER][0]

    def _instants(self, texts: pl.Series, order: DateOrder) -> pl.Series:
        zones = pl.Series(["UTC"], dtype=pl.String).new_from_index(0, texts.len())
        return parse_timestamps(texts, zones, self._formats[order], self._preset.known_year)


def _sure(day: pl.Series, month: pl.Series) -> tuple[tuple[DateOrder, pl.Series], ...]:
    """Return for each order the texts that only it reads."""
    return ("day", day & ~month), ("month", month & ~day)


class _Spool:
    """Frames that wait for a decision, on disk where they are large."""

    def __init__(self, resources: ExitStack) -> None:
        spool = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, prefix="etl-assets-")  # noqa: SIM115  # closed with them
        self._file: IO[bytes] = resources.enter_context(spool)
        self._count = 0

    def put(self, frame: pl.DataFrame) -> None:
        import pyarrow as pa  # noqa: PLC0415  # with numpy 0.2 s of the start of each command

        table = frame.to_arrow()
        with pa.ipc.new_stream(self._file, table.schema) as writer:
            writer.write_table(table)
        self._count += 1

    def frames(self) -> Iterator[pl.DataFrame]:
        import pyarrow as pa  # noqa: PLC0415  # as above

        self._file.seek(0)
        for _ in range(self._count):
            with pa.ipc.open_stream(self._file) as reader:
                yield cast("pl.DataFrame", pl.from_arrow(reader.read_all()))


def years_in(name: str) -> set[int]:
    """Return the years that the name of a file or a sheet has."""
    return {int(year) for year in _YEAR.findall(f"{name}.")}


def _with_year(preset: Preset, path: Path) -> Preset:
    """Return the preset with the year that the name has; a file without sheets has its own name only."""
    if preset.year is None or isinstance(preset.year, int):
        return preset
    is_sheet = preset.year == "sheet_name" and preset.sheets
    name, what = (preset.sheets[0], "sheet's") if is_sheet else (path.stem, "file's")
    years = years_in(name)
    if len(years) != 1:
        count = "several years" if years else "no year"
        problem = f"the {what} name has {count}, and its dates have none (year: {preset.year})"
        raise ImportFileError(path, None, problem, "Put the year into the name, such as orders-2026.csv or 2026-05")
    return preset.model_copy(update={"year": years.pop()})
