"""How text is cleaned before it is matched or compared: the one rule for every key, name and status.

Raw orders keep the text of their export untouched; every rule that compares text goes through `clean_text`.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MASKS: Final = "[*＊﹡]"
"""A platform replaces part of a buyer's name with ``*`` in any of its forms; a masked name identifies nobody."""


def clean_text(text: pl.Expr) -> pl.Expr:
    """Normalise text for matching; empty becomes null.

    Applies Unicode NFKC (full-width forms become plain ones), strips white space, and takes off what export tools add
    so that spreadsheets leave long numbers alone: ``="123"`` and an apostrophe before a digit.
    """
    is_odd = text.str.contains(_ODD)
    cleaned = (
        pl.when(is_odd)
        .then(text)
        .str.normalize("NFKC")
        .str.strip_chars()
        .str.replace(r'(?s)^="(.*)"$', "${1}")
        .str.replace(r"^'(\d)", "${1}")
        .str.strip_chars()
        .str.extract(r"(?s)^(.+)$")
    )
    return pl.when(is_odd).then(cleaned).otherwise(text)


MAX_KEY_BYTES: Final = 2600
"""How long a key may be to fit into PostgreSQL's indexes, which take 2704 bytes with all that belongs to an entry."""


def fits_an_index(*parts: pl.Expr) -> pl.Expr:
    """Whether an index can hold these cleaned texts as one entry (never null); how well they compress says nothing."""
    return pl.sum_horizontal(part.str.len_bytes().fill_null(0) for part in parts) <= MAX_KEY_BYTES


_ODD: Final = r"^['=\s]|\s$|[^\x20-\x7e]|^$"
"""Texts that cleaning may change; most are plain ASCII, and leaving those alone makes it fifty times faster."""


def normalize_case(text: pl.Expr) -> pl.Expr:
    """Clean text and ignore its case: how statuses and order types are compared."""
    return clean_text(text).str.to_lowercase()


def normalize_case_str(text: str) -> str | None:
    """One text as `normalize_case` makes it; None where it says nothing."""
    result: str | None = pl.select(normalize_case(pl.lit(text, pl.String))).item()
    return result


def clean_name(text: pl.Expr) -> pl.Expr:
    """Clean a customer's name; a masked one (``张**``) names nobody and becomes null."""
    return pl.when(~text.str.contains(_MASKS)).then(clean_text(text))


def is_not_blank(text: pl.Expr) -> pl.Expr:
    """Whether the text says anything once it is cleaned (never null): what `clean_text` would tell, but cheaper."""
    says_nothing = text.str.contains(r'^\s*(?:[=＝⁼₌﹦]["＂]\s*["＂]\s*)?$')
    return text.is_not_null() & ~says_nothing.fill_null(value=True)


def cut_by_bytes(frame: pl.DataFrame, columns: Sequence[str], size: int) -> Iterator[pl.DataFrame]:
    """Cut a frame about where the texts of ``columns`` have come to ``size`` bytes, but never within a row.

    For what takes many times the length of a text while it is done. An empty frame has no pieces.
    """
    at_most = frame.height * frame.estimated_size() if columns else 0  # were all texts shared by all rows in memory
    if at_most <= size:
        return iter([frame] if frame.height else [])
    ends = pl.sum_horizontal(pl.col(columns).str.len_bytes().cast(pl.Int64)).cum_sum()
    lengths = frame.select((ends // size).rle().struct["len"]).to_series().to_list()
    return (frame[start:end] for start, end in pairwise(accumulate(lengths, initial=0)))
