"""Order numbers of a file that has none: the place of an order's first row (`number_rows_by` of a mapping).

Here are the rules of which rows of a ledger are orders: rows that continue the order above, rows that nothing was
entered in, totals. The hazard is a row that is taken for an order because nothing about it says that it is none
(docs/decisions.md, "Numbered rows"). Totals that are surely such are left out before (`left_out_rows`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.presets.column_mapping import ColumnMapping
from etl_assets.presets.model import TIME_COLUMNS
from etl_assets.raw_orders.readers.columns import LINE_NUMBER
from etl_assets.raw_orders.readers.total_rows import spellings
from etl_assets.values.text import is_not_blank

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.readers.columns import ReaderFinding
    from etl_assets.raw_orders.readers.file_reader import FileContent

ROW_NUMBER: Final = "\0order number"
"""Column of frames that has the order numbers; no header has its name, since NUL is replaced in headers."""
SEPARATOR: Final = "/"
"""Stands in no name of a file or a sheet, so that two places never have one number."""
UNFILLED_ROWS: Final = "UNFILLED_ROWS"
_NO_EVIDENCE: Final = TIME_COLUMNS | {"order_status", "order_type", "currency", "platform", "shop"}
"""Columns that are filled in advance, or in a line that separates days: they do not make a row an order."""
_NOTHING: Final = r"^[\s¥￥$€£]*0*(?:[.,]0+)?\s*[元€]?\s*$|^\s*[-–—]+\s*$"
"""Blank, zero (the value of a formula beside cells that are empty) or a dash."""
_UNFILLED: Final = ""
_NONE: Final = "\0"


@dataclass
class Places:
    """Places of the orders of one file or sheet, complete when its rows were read."""

    prefix: str = ""
    """Begin of all numbers, where they end in that of the row; else empty."""
    rows: list[int] = field(default_factory=list)
    """First rows of orders."""


class NumberedRows:
    """Numbers for the rows of one file or sheet; frames pass `noted`, `numbered` and `filled` one after the other."""

    def __init__(self, path: Path, content: FileContent, preset: Preset) -> None:
        """Prepare.

        Args:
            path: the file, whose name is a part of the numbers.
            content: its headers and sheets.
            preset: its columns in the spelling of the file; with `each_sheet` it names the sheet.
        """
        mapping = preset.columns["order_id"]
        number = ColumnMapping(columns=(ROW_NUMBER,))
        self.preset: Final = preset.model_copy(update={"columns": {**preset.columns, "order_id": number}})
        """The preset with the column of the numbers for the order number."""
        names = {"file": path.with_name(path.name.removesuffix(".gz")).stem.encode("utf-8", "replace").decode()}
        if content.sheets and preset.sheets:
            names["sheet"] = preset.sheets[0]
        texts = {name: pl.lit(text) for name, text in names.items()} | {"row": pl.col("__row").cast(pl.String)}
        self._parts = [texts[part] for part in mapping.number_rows_by if part in texts]
        known = [names[part] for part in mapping.number_rows_by if part in names]
        is_last = mapping.number_rows_by[-1] == "row"
        self.places: Final = Places("".join(name + SEPARATOR for name in known) if is_last else "")
        present = set(content.headers)
        self._continued = [header for header in mapping.continued_where_empty if header in present]
        telling = (mapping for column, mapping in preset.mappings.items() if column not in {*_NO_EVIDENCE, "order_id"})
        self._telling = list(dict.fromkeys(header for one in telling for header in one.headers if header in present))
        self._headers = content.headers
        self._is_text = content.header_line is not None and not content.sheets
        self._breaks = sum(header.count("\n") for header in content.headers)
        self._broken = pl.DataFrame(schema={"line": pl.Int64, "breaks": pl.Int64})
        self._last = _NONE

    def noted(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield frames of all rows, and note the line breaks within cells of text: rows are counted, not lines."""
        for frame in frames:
            if self._is_text:
                breaks = pl.sum_horizontal(
                    pl.col(header).str.count_matches("\n", literal=True).fill_null(0) for header in self._headers
                )
                counted = frame.select(line=pl.col(LINE_NUMBER).cast(pl.Int64), breaks=breaks.cast(pl.Int64))
                broken = counted.filter(pl.col("breaks") > 0).with_columns(pl.col("breaks").cum_sum() + self._breaks)
                start = pl.DataFrame({"line": [-1], "breaks": [self._breaks]}, schema=broken.schema)
                self._broken = pl.concat([start, broken])
                self._breaks = self._broken["breaks"][-1]
            yield frame

    def numbered(self, frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
        """Yield the frames, each of which `noted` has yielded just now, with `ROW_NUMBER`.

        It is null in a row that may be a total, which goes to quarantine, and in one that continues no order.
        """
        words = pl.Series(spellings()).implode()
        is_total = pl.any_horizontal(pl.col(header).str.strip_chars().is_in(words) for header in self._headers)
        for frame in frames:
            marked = self._with_rows(frame).with_columns(
                __is_total=is_total.fill_null(value=False),
                __is_filled=_has_any(self._telling, default=True),
                __starts=_has_any(self._continued, default=True),
            )
            number = pl.concat_str(self._parts, separator=SEPARATOR)
            starts = pl.col("__is_filled") & pl.col("__starts")
            own = pl.when("__is_total").then(pl.lit(_NONE)).when(starts).then(number)
            carried = marked.select(own.forward_fill().fill_null(pl.lit(self._last))).to_series().alias("__carried")
            self.places.rows += marked.filter(starts & ~pl.col("__is_total"))["__row"].to_list()
            self._last = carried[-1] if carried.len() else self._last
            number = pl.when(pl.col("__carried") != _NONE).then("__carried")
            yield marked.with_columns(carried).with_columns(
                pl.when(pl.col("__is_filled") | pl.col("__is_total")).then(number).otherwise(pl.lit(_UNFILLED))
                .alias(ROW_NUMBER)
            ).select(*frame.columns, ROW_NUMBER)  # fmt: skip

    def filled(self, frames: Iterable[pl.DataFrame], findings: list[ReaderFinding]) -> Iterator[pl.DataFrame]:
        """Yield the frames without the rows that nothing was entered in, which are added to the findings at the end."""
        count, first = 0, 0
        is_unfilled = (pl.col(ROW_NUMBER) == _UNFILLED).fill_null(value=False)
        for frame in frames:
            left_out = frame.filter(is_unfilled)
            if left_out.height:
                first = first or left_out.item(0, LINE_NUMBER)
                count += left_out.height
            yield frame.filter(~is_unfilled)
        if count:
            findings.append((UNFILLED_ROWS, "", count, first))

    def _with_rows(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add the number of each row as a spreadsheet program shows it."""
        line = pl.col(LINE_NUMBER).cast(pl.Int64)
        if not self._is_text:
            return frame.with_columns(__row=line)
        before = self._broken["line"].search_sorted(frame[LINE_NUMBER].cast(pl.Int64), side="left") - 1
        return frame.with_columns(__row=line - self._broken["breaks"].gather(before))


def _has_any(headers: list[str], *, default: bool) -> pl.Expr:
    """Test that something was entered in any of the columns (never null)."""
    if not headers:
        return pl.lit(default)
    entered = (is_not_blank(pl.col(header)) & ~pl.col(header).str.contains(_NOTHING) for header in headers)
    return pl.any_horizontal(entered).fill_null(value=False)
