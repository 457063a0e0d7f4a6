"""Shapes of values: what a text looks like, without what it says. For reasons and messages without customer data.

Finding the fault of a value does not belong here, nor does the sentence that shows its shape.
"""

from __future__ import annotations

from typing import Final

import polars as pl

MAX_SHAPE_CHARACTERS: Final = 40
"""Longer shapes are cut, and end with ``…``."""


def value_shape(text: pl.Expr) -> pl.Expr:
    """Return the shape of a text: ``9`` for each digit, ``a`` for each letter, blanks and punctuation as they are.

    ``31/12/24`` has the shape ``99/99/99``, ``Müller & 張`` the shape ``aaaaaa & a``. Null where the text is null.
    """
    shape = (
        text.str.slice(0, MAX_SHAPE_CHARACTERS)
        .str.replace_all(r"\p{N}", "9")
        .str.replace_all(r"[\p{L}\p{M}]", "a")
        .str.replace_all(r"[^9a\p{P}\p{Sc}\p{Sm}\p{Sk} ]", "?")
    )
    return pl.when(text.str.len_chars() > MAX_SHAPE_CHARACTERS).then(shape + "…").otherwise(shape)
