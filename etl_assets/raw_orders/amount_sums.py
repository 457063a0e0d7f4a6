"""Amounts that are computed: sums of columns, of the rows of an order, of quantity × unit price.

All of it is exact. A blank part counts as 0 if another part is filled; a part that can't be read takes the place of the
sum, with its header and line, so that the order is held back instead of being loaded with a wrong amount. How numbers
are written belongs to `values.numbers`, the grouping of rows to `group_lines`.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from etl_assets.raw_orders.readers.columns import LINE_NUMBER
from etl_assets.values.numbers import format_money, parse_money, parse_quantity
from etl_assets.values.text import clean_text, is_not_blank
from etl_assets.values.unreadable_parts import unreadable_part

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from etl_assets.presets.amount_sum import AmountSum
    from etl_assets.presets.model import Preset

_EXACT: Final = pl.Decimal(38, 8)
"""Holds quantity times price without rounding: both have four decimals."""
_TOO_LARGE: Final = 1e29
"""From here on a sum might not fit `_EXACT`: Polars would return another number without an error."""
_QUANTITY: Final = "item.quantity"
_PRICE: Final = "item.unit_price"
_NUMBER: Final = "number of "
_ROWS: Final = "rows of "
_SIZE: Final = "size of "
_UNREADABLE: Final = "unreadable in "


class SumPart(NamedTuple):
    """Part of a sum: a column of texts, and the numbers that were read from it."""

    column: str
    """Column of `raw_orders` that it is a part of."""
    headers: tuple[str, ...]
    sign: int
    is_of_row: bool
    """Each row of the order counts; otherwise the first filled one."""

    @property
    def header(self) -> str:
        """Return the headers for messages."""
        return " or ".join(self.headers)

    @property
    def text(self) -> str:
        """Return the name of the column of texts."""
        return f"{self.column} ({self.header})"

    @property
    def number(self) -> str:
        """Return the name of the column of numbers."""
        return _NUMBER + self.text


def sum_parts(preset: Preset) -> list[SumPart]:
    """Return the parts of all sums of columns."""
    found = ((column, mapping.sum) for column, mapping in preset.columns.items() if mapping.sum)
    return [part for column, one in found for part in _parts(column, one)]


def _parts(column: str, columns: AmountSum) -> Iterator[SumPart]:
    for key, parts in columns:
        for headers in parts:
            yield SumPart(column, headers, -1 if key.startswith("minus") else 1, key.endswith("rows"))


def part_texts(preset: Preset, headers: Collection[str]) -> list[pl.Expr]:
    """Return the text of each part, null where it is blank or the file has none of its headers."""
    return [
        pl.coalesce(
            *(pl.when(is_not_blank(pl.col(name))).then(pl.col(name)) for name in part.headers if name in headers),
            pl.lit(None, pl.String),
        ).alias(part.text)
        for part in sum_parts(preset)
    ]


def missing_parts(headers: Collection[str], preset: Preset) -> list[str]:
    """Return the parts of sums that a file has no header for, where it has others: they count as 0."""
    parts = sum_parts(preset)
    missing = [part for part in parts if set(part.headers).isdisjoint(headers)]
    given = {part.column for part in parts if part not in missing}
    given |= {"amount"} if preset.amount_from_items else set()
    return [part.text for part in missing if part.column in given]


def once_texts(preset: Preset) -> list[str]:
    """Return the names of the texts on which the rows of an order should agree: those that count once."""
    return [part.text for part in sum_parts(preset) if not part.is_of_row]


def with_line_sums(lines: pl.DataFrame, preset: Preset) -> pl.DataFrame:
    """Add to lines (with `part_texts`) the numbers of their parts, what of them can't be read, and sums of each row.

    In steps: an expression that is used twice is computed twice.
    """
    parts, numbers = sum_parts(preset), preset.numbers
    read = lines.with_columns(parse_money(pl.col(part.text), numbers).alias(part.number) for part in parts)
    checked = {column: [part for part in parts if part.column == column] for column in preset.summed_columns}
    texts = {column: [(one.header, one.text, one.number) for one in of_sum] for column, of_sum in checked.items()}
    added = {
        column: [part.sign * pl.col(part.number).cast(_EXACT) for part in of_sum if part.is_of_row]
        for column, of_sum in checked.items()
    }
    if preset.amount_from_items:
        read = read.with_columns(
            parse_quantity(pl.col(_QUANTITY), numbers).alias(_NUMBER + _QUANTITY),
            parse_money(pl.col(_PRICE), numbers).alias(_NUMBER + _PRICE),
        )
        items = (("quantity", _QUANTITY), ("unit_price", _PRICE))
        texts["amount"] += [(" or ".join(preset.item[key].headers), name, _NUMBER + name) for key, name in items]  # type: ignore[index]  # both are
        counted = pl.col(_NUMBER + _QUANTITY).cast(_EXACT).fill_null(pl.lit(1, _EXACT))
        added["amount"].append(counted * pl.col(_NUMBER + _PRICE).cast(_EXACT))
    return read.with_columns(
        *(_unreadable(read, of_sum).alias(_UNREADABLE + column) for column, of_sum in texts.items()),
        *(_filled_sum(values).alias(_ROWS + column) for column, values in added.items() if values),
    )


def _unreadable(lines: pl.DataFrame, parts: Sequence[tuple[str, str, str]]) -> pl.Expr:
    """Return the text in place of the sum of each line: of its first part that can't be read, nearly always null."""
    bad = [part for part in parts if lines[part[2]].null_count() > lines[part[1]].null_count()]
    return pl.coalesce(
        *(
            pl.when(pl.col(number).is_null() & clean_text(pl.col(text)).is_not_null()).then(
                unreadable_part(header, pl.col(LINE_NUMBER), pl.col(text))
            )
            for header, text, number in bad
        ),
        pl.lit(None, pl.String),
    )


def gathered(preset: Preset) -> list[pl.Expr]:
    """Return the aggregations of the lines of an order (of `with_line_sums`) that `with_sums` needs."""
    once = [pl.col(part.number).first(ignore_nulls=True) for part in sum_parts(preset) if not part.is_of_row]
    unreadable = [pl.col(_UNREADABLE + column).first(ignore_nulls=True) for column in preset.summed_columns]
    rows = [_ROWS + column for column in _columns_of_rows(preset)]
    of_rows = [pl.when(pl.col(name).is_not_null().any()).then(pl.col(name).sum()).alias(name) for name in rows]
    sizes = [pl.col(name).cast(pl.Float64).abs().sum().alias(_SIZE + name) for name in rows]
    return [*once, *unreadable, *of_rows, *sizes]


def with_sums(orders: pl.DataFrame, preset: Preset) -> pl.DataFrame:
    """Set the computed amounts of orders, one row each: of `with_line_sums`, gathered where an order has several rows.

    They are text in the notation of the preset, as every amount of `raw_orders` is (docs/decisions.md, "Notation of
    computed amounts").
    """
    of_rows = _columns_of_rows(preset)
    for column in preset.summed_columns:
        once = [part for part in sum_parts(preset) if part.column == column and not part.is_of_row]
        values = [part.sign * pl.col(part.number).cast(_EXACT) for part in once]
        values += [pl.col(_ROWS + column)] if column in of_rows else []
        orders = orders.with_columns(_filled_sum(values).alias(column))
        total = format_money(pl.col(column), preset.numbers)
        if column in of_rows:
            size = pl.col(_SIZE + _ROWS + column)
            with_exponent = size.cast(pl.String)  # no amount
            total = pl.when(size < _TOO_LARGE).then(total).otherwise(with_exponent)
        orders = orders.with_columns(pl.coalesce(_UNREADABLE + column, total).alias(column))
    return orders


def _columns_of_rows(preset: Preset) -> list[str]:
    """Return the computed columns to which each row of an order adds."""
    of_rows = {part.column for part in sum_parts(preset) if part.is_of_row}
    from_items = {"amount"} if preset.amount_from_items else set()
    return [column for column in preset.summed_columns if column in of_rows | from_items]


def _filled_sum(values: Sequence[pl.Expr]) -> pl.Expr:
    """Add values (`_EXACT`), null counting as 0; null where all are."""
    if len(values) == 1:
        return values[0]
    filled = pl.any_horizontal(value.is_not_null() for value in values)
    return pl.when(filled).then(reduce(add, (value.fill_null(pl.lit(0, _EXACT)) for value in values)))
