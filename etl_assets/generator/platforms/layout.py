"""Layout of an export file: its headers, the notation of each cell, and what a reader must find in it.

A layout is data: one object per platform and variant, in the module of its platform. Drawing orders (`model`), writing
files (`write`) and expectations (`expectation`) do not belong here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import polars as pl

from etl_assets.generator.errors import Places  # noqa: TC001  # dataclasses name their types
from etl_assets.generator.platforms.model import Drawn, Market, Trade
from etl_assets.generator.random_columns import local_text

Cell = pl.Expr | str
"""Text of a column: an expression over the row's order and line, or one text for all rows."""
Cells = Mapping[str, Cell]
Row = tuple[str, ...]
RowsOf = Callable[[Drawn], pl.DataFrame]
"""The rows of a file: a frame with the columns of orders, and of lines where a row has one."""
Precision = Literal["1s", "1m", "1d"]

EMPTY: Final = pl.lit(None, dtype=pl.String)
LINE: Final = "line"
"""Number of the line in its order, from 0; null in a row that has no line."""


@dataclass(frozen=True, kw_only=True)
class FileForm:
    """Notation of a file around its cells."""

    kind: Literal["csv", "xlsx"] = "csv"
    encoding: str = "utf-8"
    bom: bool = False
    delimiter: str = ","
    newline: str = "\n"
    quoting: Literal["necessary", "always", "non_numeric"] = "necessary"
    sheet: str = "Sheet1"
    above: tuple[Row, ...] = ()
    """Lines above the headers."""
    below: tuple[Row, ...] = ()
    """Lines directly under the headers, such as one that explains them."""
    footer: Callable[[int], tuple[Row, ...]] = lambda _orders: ()
    """Lines after the last row, for a number of orders."""
    merged: frozenset[str] = frozenset()
    """Columns whose cells are merged over the rows of an order."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Facts that the export gives of an order, as expressions over the drawn order; sums are in the smallest unit."""

    order_id: pl.Expr
    customer: pl.Expr = EMPTY
    amount: pl.Expr
    refunded: pl.Expr = field(default_factory=lambda: pl.lit(None, dtype=pl.Int64))
    """Null where the export does not say it."""
    shop: pl.Expr = EMPTY
    status: pl.Expr = field(default_factory=lambda: pl.col("status"))
    cancelled: pl.Expr = field(default_factory=lambda: pl.col("cancelled"))
    ordered: pl.Expr | None = field(default_factory=lambda: pl.col("second"))
    """None where the export has no time."""
    precision: Precision = "1s"
    buyer_note: pl.Expr = EMPTY
    seller_note: pl.Expr = EMPTY
    item: Mapping[str, pl.Expr] = field(default_factory=dict)
    """Of ``name, variant, sku, quantity, unit_price, personalisation``, those that the export has."""
    lines: RowsOf | None = None
    """The rows that are an order's items; its lines where not given."""
    lines_known: pl.Expr = field(default_factory=lambda: pl.lit(True))
    """False where the file names an order's goods without saying how many of each there are."""
    counts: bool = True
    """The file says how many pieces, of how many kinds, an order has."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Export file of one platform, in one version, language or country."""

    platform: str
    variant: str
    evidence: str
    """Marks of facts/platforms: R real export, S source of the writer, P reader of real exports, D documentation,
    G general knowledge, not verified."""
    file_name: str
    """As the platform names it."""
    headers: Row
    cells: Cells
    """Columns that are filled; the other headers have empty cells."""
    trade: Trade
    facts: Facts
    rows: RowsOf
    form: FileForm = FileForm()
    errors: Places = field(default_factory=dict)
    """For each reason of quarantine, the columns that hold its fault, and their texts."""
    read_by: str | None = None
    """Name of the preset that reads it, where that is not the platform's."""
    draft: bool = False
    """The format was not seen whole."""
    more_sheets: tuple[Layout, ...] = ()
    """Further sheets of the same workbook."""

    @property
    def name(self) -> str:
        """Return the name of platform and variant."""
        return f"{self.platform}-{self.variant}"

    @property
    def preset(self) -> str:
        """Return the name of the preset that reads the file."""
        return self.read_by or self.platform

    @property
    def market(self) -> Market:
        """Return the market of the layout's shop."""
        return self.trade.market

    def but(self, **changes: Any) -> Layout:  # noqa: ANN401  # fields of several types
        """Return a variant of the layout; ``cells`` are added to its own."""
        cells = among(changes.get("headers", self.headers), self.cells)
        return replace(self, **(changes | {"cells": cells | changes.get("cells", {})}))


def headers_of(text: str, separator: str = ",") -> Row:
    """Split a list of headers, as the evidence has it."""
    return tuple(header.strip() for header in text.split(separator))


def renamed(layout: Layout, names: Mapping[str, str], **changes: Any) -> Layout:  # noqa: ANN401  # as for `but`
    """Return a variant in which some headers have other names."""
    headers = tuple(names.get(header, header) for header in layout.headers)
    cells = {names.get(header, header): cell for header, cell in layout.cells.items()}
    errors = {
        code: {names.get(header, header): text for header, text in places.items()}
        for code, places in layout.errors.items()
    }
    return replace(layout, **({"headers": headers, "cells": cells, "errors": errors} | changes))


def among(headers: Row, cells: Cells) -> dict[str, Cell]:
    """Return the cells of these headers."""
    return {header: cell for header, cell in cells.items() if header in headers}


def by_order(drawn: Drawn) -> pl.DataFrame:
    """Return a row per order."""
    return drawn.orders.with_columns(pl.lit(None, dtype=pl.Int64).alias(LINE))


def by_line(drawn: Drawn) -> pl.DataFrame:
    """Return a row per line, with its order's columns."""
    return drawn.lines.join(drawn.orders, on="order", how="left", maintain_order="left")


def by_unit(drawn: Drawn) -> pl.DataFrame:
    """Return a row per piece of each line."""
    rows = by_line(drawn).with_columns(unit=pl.int_ranges("quantity"))
    return rows.explode("unit").with_columns(unit_number=pl.col("line_number") * 1_000 + pl.col("unit"))


def by_line_below_summary(drawn: Drawn) -> pl.DataFrame:
    """Return a row per order, and below it, where it has several lines, a row for each of them."""
    lines = by_line(drawn)
    single = lines.filter(pl.col("kinds") == 1).with_columns(is_summary=pl.lit(True))
    several = lines.filter(pl.col("kinds") > 1).with_columns(is_summary=pl.lit(False))
    summary = drawn.orders.filter(pl.col("kinds") > 1).with_columns(is_summary=pl.lit(True))
    rows = pl.concat([single, summary, several], how="diagonal")
    return rows.sort("order", ~pl.col("is_summary"), LINE, maintain_order=True)


def first_row(cell: Cell) -> pl.Expr:
    """Fill a cell on the first row of an order only."""
    return pl.when(pl.col(LINE) == 0).then(_text(cell))


def amount(name: str | pl.Expr, market: Market, decimal: str = ".", thousands: str = "") -> pl.Expr:
    """Write a sum in the smallest unit of the market's currency; negative ones with a minus, null as empty."""
    units = pl.col(name) if isinstance(name, str) else name
    base = 10**market.decimals
    whole = (units.abs() // base).cast(pl.String)
    if thousands:
        whole = whole.str.replace_all(r"^(\d{1,3})(\d{3})(\d{3})$", f"${{1}}{thousands}${{2}}{thousands}${{3}}")
        whole = whole.str.replace_all(r"^(\d{1,3})(\d{3})$", f"${{1}}{thousands}${{2}}")
    cents = (units.abs() % base).cast(pl.String).str.zfill(market.decimals)
    sign = pl.when(units < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    return pl.concat_str(sign, whole, pl.lit(decimal), cents) if market.decimals else pl.concat_str(sign, whole)


def time(name: str, market: Market, form: str) -> pl.Expr:
    """Write a time of the order as local time of the market."""
    return local_text(pl.col(name), market.timezone, form)


def month_names(text: pl.Expr, names: Mapping[str, str]) -> pl.Expr:
    """Put the month names of another language for English short ones."""
    return text.str.replace_many(list(names), list(names.values()))


def options(colon: str = ":", separator: str = ";") -> pl.Expr:
    """Write a line's choices with their labels; null where it has none."""
    one = pl.concat_str("label", pl.lit(colon), "value")
    two = pl.concat_str(pl.lit(separator), "label_2", pl.lit(colon), "value_2").fill_null("")
    return one + two


def option_values(separator: str = ", ") -> pl.Expr:
    """Write a line's choices without labels; null where it has none."""
    return pl.col("value") + pl.concat_str(pl.lit(separator), "value_2").fill_null("")


def number(name: str) -> pl.Expr:
    """Write a whole number."""
    return pl.col(name).cast(pl.String)


def where(flag: str | pl.Expr, cell: Cell, other: Cell = EMPTY) -> pl.Expr:
    """Fill a cell where a column is true, else with another text."""
    condition = pl.col(flag) if isinstance(flag, str) else flag
    return pl.when(condition).then(_text(cell)).otherwise(_text(other))


def protected(text: pl.Expr) -> pl.Expr:
    """Write a long number so that a spreadsheet does not round it: as a formula, with a tab, or with an apostrophe."""
    kind = pl.col("number") % 10
    formula = pl.concat_str(pl.lit('="'), text, pl.lit('"'))
    return pl.when(kind < 8).then(formula).when(kind == 8).then(text + "\t").otherwise("'" + text)  # noqa: PLR2004


def masked(text: pl.Expr) -> pl.Expr:
    """Mask a name as platforms do (``王**``)."""
    return text.str.head(1) + "**"


def serial_id(base: int, step: int = 1, of: str = "number") -> pl.Expr:
    """Write a number of the order (or the line) that is unique and has as many digits as the base."""
    return (pl.col(of) * step + base).cast(pl.String)


def _text(cell: Cell) -> pl.Expr:
    return pl.lit(cell) if isinstance(cell, str) else cell
