"""Cleaning of text before it is matched or compared: one rule for every key, name and status.

Raw orders keep the text of their export untouched; every rule that compares text goes through `clean_text`.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MASKS: Final = "[*＊﹡]"
"""Forms of ``*``, with which a platform masks part of a buyer's name."""


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
"""Size of a key that fits into an index of PostgreSQL: 2704 bytes, less the overhead of an entry."""


def fits_an_index(*parts: pl.Expr) -> pl.Expr:
    """Test that an index can hold these cleaned texts as one entry, however they compress (never null)."""
    return pl.sum_horizontal(part.str.len_bytes().fill_null(0) for part in parts) <= MAX_KEY_BYTES


_ODD: Final = r"^['=\s]|\s$|[^\x20-\x7e]|^$"
"""Pattern of texts that cleaning may change; the others, most of all, are skipped, which is fifty times faster."""


def normalize_case(text: pl.Expr) -> pl.Expr:
    """Clean text and ignore its case: how statuses and order types are compared."""
    return clean_text(text).str.to_lowercase()


def normalize_case_str(text: str) -> str | None:
    """Return one text as `normalize_case` does; None where it is blank."""
    result: str | None = pl.select(normalize_case(pl.lit(text, pl.String))).item()
    return result


def clean_text_str(text: str) -> str | None:
    """Return one text as `clean_text` does; None where it is blank."""
    result: str | None = pl.select(clean_text(pl.lit(text, pl.String))).item()
    return result


def clean_name(text: pl.Expr) -> pl.Expr:
    """Clean a customer's name; a masked one (``张**``) identifies no customer and becomes null.

    An e-mail address is put in lower case, as its case tells no two customers apart.
    """
    cleaned = pl.when(~text.str.contains(_MASKS)).then(clean_text(text))
    return cleaned.map_batches(lower_emails, return_dtype=pl.String, is_elementwise=True)


def lower_emails(names: pl.Series) -> pl.Series:
    """Put those of cleaned names that are e-mail addresses in lower case; leave the others as they are."""
    # On a series, so that each step is computed once and sees only the names that the step before left.
    rows = names.str.contains("@", literal=True).arg_true()
    rows = rows.filter(names.gather(rows).str.contains(_NOT_SMALL))
    rows = rows.filter(names.gather(rows).str.contains(_EMAIL))
    if rows.is_empty():
        return names
    lower = names.gather(rows).str.to_lowercase().alias("name").to_frame()
    return names.clone().scatter(rows, lower.select(clean_text(pl.col("name"))).to_series())


_NOT_SMALL: Final = r"[A-Z]|[^\x00-\x7f]"
_EMAIL: Final = r"^[^\s@]+@[^\s@]+\.[^\s@]+$"
"""Pattern of an e-mail address (for users: docs/leads.md): one ``@``, a dot somewhere behind it, no white space."""


PERHAPS_BLANK: Final = r"[\s=＝⁼₌﹦]"
"""Pattern of the first character of every blank text that is not empty."""


def is_not_blank(text: pl.Expr) -> pl.Expr:
    """Test that `clean_text` would leave something of the text (never null), at less cost."""
    is_blank = text.str.contains(r'^\s*(?:[=＝⁼₌﹦]["＂]\s*["＂]\s*)?$')
    return text.is_not_null() & ~is_blank.fill_null(value=True)


def cut_by_bytes(frame: pl.DataFrame, columns: Sequence[str], size: int) -> Iterator[pl.DataFrame]:
    """Cut a frame into pieces of about ``size`` bytes of text in ``columns``, between rows.

    For operations that take many times the length of a text in memory. An empty frame has no pieces.
    """
    at_most = frame.height * frame.estimated_size() if columns else 0  # if all rows shared their texts
    if at_most <= size:
        return iter([frame] if frame.height else [])
    ends = pl.sum_horizontal(pl.col(columns).str.len_bytes().cast(pl.Int64)).cum_sum()
    lengths = frame.select((ends // size).rle().struct["len"]).to_series().to_list()
    return (frame[start:end] for start, end in pairwise(accumulate(lengths, initial=0)))
