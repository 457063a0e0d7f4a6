"""Mapping of one column of a preset: the headers, rules and constants that its value comes from."""

from __future__ import annotations

from pydantic import model_validator

from etl_assets.presets.field_types import Regex, StrictModel


class ValueRule(StrictModel):
    """Rule of a column: `value`, where the text of column `when` matches the pattern."""

    when: str
    matches: Regex
    value: str


class ColumnMapping(StrictModel):
    """Mapping of one column: the first matching rule, else the first non-empty of the columns, else the constant.

    Or, for a time, the latest of several columns.
    """

    columns: tuple[str, ...] = ()
    rules: tuple[ValueRule, ...] = ()
    constant: str | None = None
    latest_of: tuple[str, ...] = ()
    """Headers of times, of which the latest is taken; their texts stay in `extra` besides."""

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
        if not (has_others or self.latest_of):
            msg = "name a column, a list of columns, rules, a constant or latest_of"
            raise ValueError(msg)
        if has_others and self.latest_of:
            msg = "latest_of stands alone: leave out columns, rules and constant"
            raise ValueError(msg)
        return self

    @property
    def headers(self) -> tuple[str, ...]:
        """Return all headers of the file that the value is taken from."""
        return (*self.columns, *self.latest_of, *(rule.when for rule in self.rules))
