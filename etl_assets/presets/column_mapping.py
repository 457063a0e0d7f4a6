"""Mapping of one column of a preset, and patterns of rows: the headers and texts that a value or a row is known by."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import model_validator

from etl_assets.presets.amount_sum import AmountSum  # noqa: TC001  # Pydantic reads the annotations
from etl_assets.presets.field_types import GroupRegex, Names, Regex, StrictModel

RowNumberPart = Literal["file", "sheet", "row"]
STANDING_ALONE: Final = ("latest_of", "sum", "number_rows_by")
"""Keys of a column beside which there is no other."""


class RowPattern(StrictModel):
    """Pattern of rows: the pattern is found in the text of column `when`, or in the row where no column is named."""

    when: Names = ()
    """Headers, such as those of several languages: of those that the file has, the first that is not empty counts."""
    matches: Regex

    @model_validator(mode="before")
    @classmethod
    def _accept_pattern_of_row(cls, value: object) -> object:
        return {"matches": value} if isinstance(value, str) else value


class ColumnPattern(RowPattern):
    """Pattern of rows that names a column."""

    @model_validator(mode="after")
    def _has_column(self) -> ColumnPattern:
        if not self.when:
            msg = "name the column whose text is searched: {when: HEADER, matches: PATTERN}"
            raise ValueError(msg)
        return self


class ValueRule(ColumnPattern):
    """Rule of a column: `value`, where the text of column `when` matches the pattern."""

    value: str


class ColumnMapping(StrictModel):
    """Mapping of one column: the first matching rule, else the first non-empty of the columns, else the constant.

    Or, for a time, the latest of several columns; for an amount, the sum of several; for the order number, the place of
    the row.
    """

    columns: tuple[str, ...] = ()
    extract: GroupRegex | None = None
    """Pattern of which the first group is the value of a column; a text that does not match counts as empty. The whole
    text stays in `extra` besides."""
    rules: tuple[ValueRule, ...] = ()
    constant: str | None = None
    latest_of: tuple[str, ...] = ()
    """Headers of times, of which the latest is taken; their texts stay in `extra` besides."""
    sum: AmountSum | None = None
    """Columns of amounts that are added; their texts stay in `extra` besides."""
    number_rows_by: tuple[RowNumberPart, ...] = ()
    """Parts of the order numbers of a file that has none."""
    continued_where_empty: Names = ()
    """Headers: a numbered row in which all of them are empty continues the order above it."""

    @model_validator(mode="before")
    @classmethod
    def _accept_short_forms(cls, value: object) -> object:
        if isinstance(value, str):
            return {"columns": (value,)}
        if isinstance(value, list):
            return {"columns": tuple(value)}
        return value

    @model_validator(mode="after")
    def _is_not_empty(self) -> ColumnMapping:
        has_others = bool(self.columns or self.rules or self.constant is not None)
        named = [name for name in STANDING_ALONE if getattr(self, name)]
        if not (has_others or named):
            msg = "name a column, a list of columns, rules, a constant, latest_of, sum or number_rows_by"
            raise ValueError(msg)
        if self.extract is not None and not self.columns:
            msg = "extract needs columns"
            raise ValueError(msg)
        if named and (has_others or len(named) > 1):
            msg = f"{named[0]} stands alone: leave out {'columns, rules and constant' if has_others else named[1]}"
            raise ValueError(msg)
        if self.number_rows_by and "row" not in self.number_rows_by:
            msg = "number_rows_by needs row: without it, all rows have one number"
            raise ValueError(msg)
        if self.continued_where_empty and not self.number_rows_by:
            msg = "continued_where_empty needs number_rows_by"
            raise ValueError(msg)
        return self

    @property
    def headers(self) -> tuple[str, ...]:
        """Return all headers of the file that the value is taken from."""
        added = (header for part in (self.sum.parts if self.sum else ()) for header in part)
        ruled = (header for rule in self.rules for header in rule.when)
        return (*self.columns, *self.latest_of, *added, *ruled, *self.continued_where_empty)

    @property
    def replaced_headers(self) -> tuple[str, ...]:
        """Return the headers whose texts are in the value as they are: they are not kept in `extra`."""
        if self.latest_of or self.sum or self.number_rows_by:
            return ()
        return tuple(header for header in self.headers if self.extract is None or header not in self.columns)
