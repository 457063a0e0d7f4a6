r"""The grammar of items written as free text, and the pieces of it that processes share.

`docs/items-and-processes.md` describes it with examples. Every pattern works on text prepared by `prepare_text`: NFKC,
one space for any white space but line breaks, ``\n`` for those.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from etl_assets.values.numbers import NumberFormat

_BRACKETED: Final = r"\([^()\n]*\)|\[[^\[\]\n]*\]|【[^【】\n]*】"
_TIMES: Final = "[*×✕✖]"
_TIMES_OR_X: Final = "[*×✕✖xX]"
_NUMBER: Final = "[+-]?[0-9]+"
_ITEM_UNITS: Final = "件|个|個|只|套|份|(?i:pcs|pc)"
_PROCESS_UNITS: Final = "处|處|张|張|幅|个|個|次"
_KEY: Final = r"[^ :()\[\]【】\n0-9][^ :()\[\]【】\n]*"

ITEM_SEPARATORS: Final = r"\n;|,、"
PROCESS_SEPARATORS: Final = r"\n;|,、+"


def _count_pattern(units: str) -> str:
    unit = f"(?: ?(?:{units}))?"
    marked = "|".join(
        [
            rf"(^|[^0-9A-Za-z ]) ?{_TIMES_OR_X} ?{_NUMBER}{unit}$",
            rf"([A-Za-z] ){_TIMES_OR_X} ?{_NUMBER}{unit}$",
            rf"([A-Za-z]){_TIMES} ?{_NUMBER}{unit}$",
            rf"([0-9] ){_TIMES_OR_X}{_NUMBER}{unit}$",
        ]
    )
    counted = rf"(^|[^0-9.+\-]) ?[0-9]+ ?(?:{units})$"
    in_brackets = rf"[(\[] ?(?:{_TIMES_OR_X} ?{_NUMBER}{unit}|[0-9]+ ?(?:{units})) ?[)\]]$"
    return f"{marked}|{counted}|{in_brackets}"


ITEM_COUNT: Final = _count_pattern(_ITEM_UNITS)
PROCESS_COUNT: Final = _count_pattern(_PROCESS_UNITS)


def prepare_text(text: pl.Expr) -> pl.Expr:
    r"""Normalise to NFKC, with one space for any run of white space and ``\n`` for any with a line break in it."""
    normalised = text.str.normalize("NFKC")
    return normalised.str.replace_all(r"\s*[\r\n]\s*", "\n").str.replace_all(r"[^\S\n]+", " ")


def split_segments(text: pl.Expr, separators: str, protected: str = "") -> pl.Expr:
    """Split at the separators that stand outside brackets and outside ``protected``; a list of non-empty texts."""
    parts = [protected, _BRACKETED, f"[^{separators}]"] if protected else [_BRACKETED, f"[^{separators}]"]
    pieces = text.str.extract_all(f"(?:{'|'.join(parts)})+")
    stripped = pieces.list.eval(pl.element().str.strip_chars())
    return stripped.list.filter(pl.element() != "")


def split_texts(texts: pl.DataFrame, key: str, pieces: pl.Expr, most: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Make a row of each segment: the ``key``, a number, and the segment, under the name of ``pieces``.

    Returns:
        The segments, and the keys of the texts that have more than ``most`` and yield none.
    """
    split = texts.select(key, pieces)
    is_long = split.to_series(1).list.len() > most
    segments = split.filter(~is_long).explode(split.columns[1])
    return segments.drop_nulls(), split.filter(is_long).select(key)


def count_text(segment: pl.Expr, pattern: str) -> pl.Expr:
    """Extract the number of a count at the end of a segment, as text; null where there is none."""
    return segment.str.extract(f"(?:{pattern})", 0).str.extract(rf"({_NUMBER})[^0-9]*$")


def without_count(segment: pl.Expr, pattern: str) -> pl.Expr:
    """Remove the count that `count_text` extracts."""
    groups = "".join(f"${{{number}}}" for number in range(1, re.compile(pattern).groups + 1))
    return segment.str.replace(pattern, groups).str.strip_chars()


def _read_segments(segments: pl.DataFrame, numbers: NumberFormat) -> pl.DataFrame:
    """Split each segment into unit_price, quantity, variant part and body (the rest), all text."""
    price = numbers.price_pattern()
    units = f" ?(?:{_ITEM_UNITS})"
    tail = rf"(?: ?({_TIMES_OR_X} ?{_NUMBER}(?:{units})?)| ([0-9]+{units}))?$"
    body, prefix = pl.col("body"), rf"^({_NUMBER}) ?(?:{_TIMES} ?|[xX] )([^ 0-9].*)$"
    bracketed = rf"^(.*[^ ]) ?(?:{_BRACKETED})$"
    keyed = rf"^(.*?[^ ]) ({_KEY}:[^ /].*)$"
    return (
        segments.with_columns(
            unit_price=body.str.extract(f"({price}){tail}").str.strip_prefix("@"),
            body=body.str.replace(f" ?{price}{tail}", " ${1}${2}").str.strip_chars(),
        )
        .with_columns(quantity=count_text(body, ITEM_COUNT), body=without_count(body, ITEM_COUNT))
        .with_columns(
            quantity=pl.coalesce("quantity", body.str.extract(prefix)),
            body=pl.when(pl.col("quantity").is_null()).then(body.str.replace(prefix, "${2}")).otherwise(body),
        )
        .with_columns(
            bracket=pl.when(body.str.contains(bracketed)).then(
                body.str.extract(rf"({_BRACKETED})$").str.replace(r"^.(.*).$", "${1}")
            ),
            name=pl.when(body.str.contains(bracketed)).then(body.str.extract(bracketed)).otherwise(body),
        )
        .with_columns(keyed=pl.col("name").str.extract(keyed, 2), name=pl.col("name").str.replace(keyed, "${1}"))
    )


def read_free_text(texts: pl.DataFrame, numbers: NumberFormat, most: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read items from free text.

    Args:
        texts: columns ``row`` (any integer key) and ``items``.
        numbers: how the export writes prices.
        most: how many segments a text may have.

    Returns:
        ``row, line_no, name, variant, sku, quantity, unit_price``, the last six text; a quantity or price that is given
        twice holds both, and so is no number. And the ``row`` of each text with more segments.
    """
    pieces = split_segments(prepare_text(pl.col("items")), ITEM_SEPARATORS, numbers.price_pattern())
    segments, too_long = split_texts(texts, "row", pieces.alias("body"), most)
    read = _read_segments(segments, numbers)
    first = pl.int_range(pl.len()).over("row") == 0
    continues = ~first & ((pl.col("body") == "") | pl.col("body").str.contains(rf"^{_KEY} ?: ?[^ /]"))
    parts = pl.when(continues).then(pl.concat_list("body")).otherwise(pl.concat_list("keyed", "bracket"))
    lines = (
        read.with_columns(
            name=pl.when(~continues).then("name"),
            variant=parts.list.filter(pl.element().is_not_null() & (pl.element() != "")).list.join(";"),
            line_no=(~continues).cast(pl.Int32).cum_sum().over("row").cast(pl.Int32),
        )
        .group_by("row", "line_no", maintain_order=True)
        .agg(
            pl.col("name").first(),
            pl.col("variant").filter(pl.col("variant") != "").str.join(";"),
            pl.lit(None, pl.String).alias("sku"),
            pl.col("quantity").drop_nulls().str.join(" "),
            pl.col("unit_price").drop_nulls().str.join(" "),
        )
    )
    return lines, too_long
