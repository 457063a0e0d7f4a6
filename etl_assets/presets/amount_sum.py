"""Sum of columns as the amount of an order: which columns are added and subtracted, for each row or once per order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, Field, model_validator

from etl_assets.presets.field_types import StrictModel

if TYPE_CHECKING:
    from collections.abc import Callable


def _accept_one(value: object) -> object:
    """Make a list of one text."""
    return (value,) if isinstance(value, str) else value


Alternatives = Annotated[tuple[str, ...], BeforeValidator(_accept_one), Field(min_length=1)]
"""Headers of one part; the first filled one counts."""
Parts = Annotated[tuple[Alternatives, ...], BeforeValidator(_accept_one)]


class AmountSum(StrictModel):
    """Sum of columns. Each part is a header or a list of alternatives."""

    plus: Parts = ()
    """Added once per order: the first filled value of its rows."""
    minus: Parts = ()
    """Subtracted once per order."""
    plus_rows: Parts = ()
    """Added for each row of the order (shape `line_item` only)."""
    minus_rows: Parts = ()
    """Subtracted for each row of the order."""

    @model_validator(mode="after")
    def _is_not_empty(self) -> AmountSum:
        if not self.parts:
            msg = "name at least one column in plus, minus, plus_rows or minus_rows"
            raise ValueError(msg)
        headers = [header for part in self.parts for header in part]
        twice = next((header for header in headers if headers.count(header) > 1), None)
        if twice is not None:
            msg = f"{twice!r} is named twice: each column is added or subtracted once"
            raise ValueError(msg)
        return self

    def renamed(self, rename: Callable[[str], str]) -> AmountSum:
        """Return the sum with other headers."""
        return self.model_copy(update={key: tuple(tuple(map(rename, part)) for part in parts) for key, parts in self})

    @property
    def parts(self) -> tuple[tuple[str, ...], ...]:
        """Return the alternatives of each part."""
        return (*self.plus, *self.minus, *self.plus_rows, *self.minus_rows)
