"""Writing of JSON in expressions: objects of texts, as `raw_orders.items` and `extra` hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.values.text import PERHAPS_BLANK, is_not_blank

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_JSON_ESCAPES: Final = {
    "\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t",
    **{chr(code): f"\\u{code:04x}" for code in range(0x20) if chr(code) not in "\n\r\t"},
}  # fmt: skip
_ESCAPED: Final = r'["\\\x01-\x1f]'
_CELL: Final = "\0"  # no text has one: the readers replace NUL
_END: Final = '",'


def json_object(values: dict[str, pl.Expr]) -> pl.Expr:
    """Write a JSON object of the values (String) that are not null; null where none is left."""
    if not values:
        return pl.lit(None, pl.String)
    pairs = [pl.lit(json_text_literal(key) + ":") + json_text(value) for key, value in values.items()]
    body = pl.concat_str(pairs, separator=",", ignore_nulls=True)
    return pl.when(pl.any_horizontal(value.is_not_null() for value in values.values())).then("{" + body + "}")


def json_objects(frame: pl.DataFrame, columns: Mapping[str, str], *, blank_is_null: bool = False) -> pl.Series:
    """Write a JSON object of each row's values that are not null, as `json_object` does; null where none is.

    For frames of many rows and columns. Each column is looked at as a whole first: hardly one has a character to escape
    or a blank cell, so hardly one needs more than to be copied, which takes a third of the time.

    Args:
        frame: has the values (String).
        columns: the keys in their order, and the columns of their values.
        blank_is_null: leave out blank values.
    """
    return write_objects(*look_through(frame, columns, blank_is_null=blank_is_null))


def look_through(
    frame: pl.DataFrame, columns: Mapping[str, str], *, blank_is_null: bool = False
) -> tuple[pl.DataFrame, list[str]]:
    """Return the values of `json_objects` under their keys, of the filled columns, and those that may need escapes."""
    texts = frame.select(columns.values()) if columns else frame.drop(frame.columns)  # of the same height
    texts.columns = list(columns)
    if blank_is_null:
        texts = texts.with_columns(pl.when(pl.all() != "").then(pl.all()))
    texts = texts.drop(_columns_of(texts.null_count() == frame.height))
    pattern = f"{_ESCAPED}|{_CELL}{PERHAPS_BLANK}" if blank_is_null else _ESCAPED
    odd = _columns_of(texts.select((_CELL + pl.all().str.join(_CELL)).str.contains(pattern).name.keep()))
    if blank_is_null:
        texts = texts.with_columns(pl.when(is_not_blank(pl.col(key))).then(key).alias(key) for key in odd)
    return texts, odd


def _columns_of(flags: pl.DataFrame) -> list[str]:
    """Return the columns that are true, of one row."""
    return [name for name, is_true in flags.row(0, named=True).items() if is_true] if flags.width else []


def write_objects(texts: pl.DataFrame, odd: Sequence[str]) -> pl.Series:
    """Write the objects of `json_objects`, of what `look_through` returns."""
    if not texts.width:
        return pl.Series([None], dtype=pl.String).new_from_index(0, texts.height)
    texts = texts.with_columns(_escaped(pl.col(key)) for key in odd)
    nulls = texts.null_count().row(0, named=True)
    parts = [part for key, count in nulls.items() for part in _begun_pair(key, has_null=count > 0)]
    bodies = texts.select(pl.concat_str(parts).alias("body"))
    whole = pl.concat_str(pl.lit("{"), pl.col("body").str.slice(len(_END)), pl.lit('"}'))
    return bodies.select(pl.when(pl.col("body") != "").then(whole)).to_series()


def _begun_pair(key: str, *, has_null: bool) -> tuple[pl.Expr, pl.Expr]:
    """Return the end of the pair before with the key, and the value without its last quote; both empty for null."""
    begin, value = pl.lit(f'{_END}{json_text_literal(key)}:"'), pl.col(key)
    if not has_null:
        return begin, value
    return pl.when(value.is_not_null()).then(begin).otherwise(pl.lit("")), value.fill_null("")


def json_text(text: pl.Expr) -> pl.Expr:
    """Write text as a JSON string, quotes included."""
    return '"' + _escaped(text) + '"'


def _escaped(text: pl.Expr) -> pl.Expr:
    return text.str.replace_many(list(_JSON_ESCAPES), list(_JSON_ESCAPES.values()))


def json_text_literal(text: str) -> str:
    """Write text as a JSON string, quotes included."""
    return '"' + "".join(_JSON_ESCAPES.get(char, char) for char in text) + '"'
