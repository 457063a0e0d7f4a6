"""Texts that a spreadsheet program could take for a formula: escaped in every export, unescaped in what comes back.

A formula in a customer's name would run on the computer that opens the export.
"""

from __future__ import annotations

from typing import Final

import polars as pl

_FORMULA_START: Final = r"[=+\-@\t\r＝＋－＠]"
_PLAIN_NUMBER: Final = r"^[+-]?\d+(\.\d+)?$"


def escape_formula(text: pl.Expr) -> pl.Expr:
    """Put an apostrophe in front of a text that could act as a formula; `unescape_formula` removes exactly that."""
    # A text with an apostrophe of its own gets another one: without it, unescaping would be ambiguous.
    could_act = text.str.contains(f"^'*{_FORMULA_START}") & ~text.str.contains(_PLAIN_NUMBER)
    return pl.when(could_act).then("'" + text).otherwise(text)


def unescape_formula(text: pl.Expr) -> pl.Expr:
    """Remove the apostrophe that `escape_formula` put in front."""
    return pl.when(text.str.contains(f"^'+{_FORMULA_START}")).then(text.str.slice(1)).otherwise(text)
