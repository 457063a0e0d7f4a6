"""Rows of a file that are no orders and are left out: totals, and those that a mapping names (`skip_rows_matching`).

Each is counted as a finding. A row that is not surely one stays, and goes to quarantine where it can't be an order. The
rule for the cells of a total is in `readers.total_rows`, because the reader process needs it too.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

import polars as pl

from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.readers.row_patterns import CELL_SEPARATOR, is_any_in
from etl_assets.raw_orders.readers.total_rows import SKIPPED_ROWS, TOTAL_ROWS, is_total_row, spellings
from etl_assets.raw_orders.transform import row_matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.readers.columns import ReaderFinding


def without_left_out_rows(
    frames: Iterable[pl.DataFrame], preset: Preset, findings: list[ReaderFinding]
) -> Iterator[pl.DataFrame]:
    """Yield the frames without the rows to leave out, which are added to the findings at the end.

    Args:
        frames: rows as the readers make them.
        preset: its columns in the spelling of the file.
        findings: gets one for each reason.
    """
    lines: dict[str, tuple[int, int]] = {}
    for frame in frames:
        left = frame
        for code, is_left_out in ((SKIPPED_ROWS, _is_skipped), (TOTAL_ROWS, _is_total)):
            mask = is_left_out(left, preset)
            if mask is not None and mask.any():
                count, first = lines.get(code, (0, left.filter(mask).item(0, LINE_NUMBER)))
                lines[code] = (count + int(mask.sum()), first)
                left = left.filter(~mask)
        yield left
    findings += [(code, "", count, first) for code, (count, first) in lines.items()]


def _is_skipped(frame: pl.DataFrame, preset: Preset) -> pl.Series | None:
    if not preset.skip_rows_matching:
        return None
    headers = _headers(frame)
    tests = [test for one in preset.skip_rows_matching if (test := row_matches(one, headers)) is not None]
    of_rows = [one.matches for one in preset.skip_rows_matching if not one.when]
    if of_rows:
        cells = [pl.col(header).fill_null("") for header in headers]
        tests.append(is_any_in(pl.concat_str(cells, separator=CELL_SEPARATOR), of_rows))
    return frame.select(reduce(or_, tests)).to_series() if tests else None


def _is_total(frame: pl.DataFrame, preset: Preset) -> pl.Series | None:
    """Find totals: first the rows without an order number, of these the ones with a word for a total."""
    headers = _headers(frame)
    number = preset.columns["order_id"]
    numbers = [header for header in number.headers if header in headers and not number.number_rows_by]
    if not numbers and not number.number_rows_by:
        return None
    words = pl.Series(spellings()).implode()
    has_number = pl.any_horizontal(
        pl.lit(value=False), *(~_is_word(one, words) & (pl.col(one) != "") for one in numbers)
    )
    without = frame.with_columns(__without=~has_number.fill_null(value=False))["__without"]
    if not without.any():
        return None
    named = without & frame.select(pl.any_horizontal(_is_word(one, words) for one in headers)).to_series()
    rows = frame.select(headers).filter(named).iter_rows()
    is_total = pl.Series([is_total_row([cell or "" for cell in row]) for row in rows], dtype=pl.Boolean)
    at = named.arg_true().filter(is_total)
    return pl.select(pl.int_range(frame.height).is_in(at.implode())).to_series() if at.len() else None


def _is_word(header: str, words: pl.Series) -> pl.Expr:
    return pl.col(header).is_in(words).fill_null(value=False)


def _headers(frame: pl.DataFrame) -> list[str]:
    return [header for header in frame.columns if header not in {LINE_NUMBER, ROW_ERROR}]
