"""Text in place of a computed amount of which a part can't be read: where the part stands, and its text.

It is no amount in any notation, so the order is held back (`BAD_AMOUNT`), and the reason names the place and not the
text (docs/decisions.md, "Unreadable parts of sums"). Only for columns that a mapping computes: in others, a text of
this form is a value of the row.
"""

from __future__ import annotations

from typing import Final

import polars as pl

_FORM: Final = r"(?s)^(.*?, line [0-9]+): (.*)$"


def unreadable_part(header: str, line: pl.Expr, text: pl.Expr) -> pl.Expr:
    """Write the text in place of the amount: ``Shipping, line 12: free``."""
    return pl.format("{}, line {}: {}", pl.lit(header), line, text)


def place_of(text: pl.Expr) -> pl.Expr:
    """Return the header and line of an unreadable part; null where the text is none."""
    return text.str.extract(_FORM, 1)


def text_of(text: pl.Expr) -> pl.Expr:
    """Return the text of an unreadable part; any other text as it is."""
    return pl.coalesce(text.str.extract(_FORM, 2), text)
