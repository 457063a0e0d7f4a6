"""Writing of JSON in expressions: objects of texts, as `raw_orders.items` and `extra` hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.values.text import PERHAPS_BLANK, is_not_blank

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    texts = frame.select(pl.col(column).alias(key) for key, column in columns.items())
    if blank_is_null:
        texts = texts.select(pl.when(pl.col(key) != "").then(key).alias(key) for key in columns)
    keys = [key for key in columns if texts[key].null_count() < frame.height]
    if not keys:
        return pl.Series([None], dtype=pl.String).new_from_index(0, frame.height)
    pattern = f"{_ESCAPED}|{_CELL}{PERHAPS_BLANK}" if blank_is_null else _ESCAPED
    is_odd = texts.select((_CELL + pl.col(key).str.join(_CELL)).str.contains(pattern).alias(key) for key in keys)
    odd = [pl.col(key) for key, flag in zip(keys, is_odd.row(0), strict=True) if flag]
    if blank_is_null:
        odd = [pl.when(is_not_blank(text)).then(text) for text in odd]
    texts = texts.select(keys).with_columns(_escaped(text) for text in odd)
    body = pl.concat_str([part for key in keys for part in _begun_pair(texts[key])], ignore_nulls=True)
    return texts.select(pl.when(body != "").then("{" + body.str.slice(len(_END)) + '"}')).to_series()


def _begun_pair(values: pl.Series) -> tuple[pl.Expr, pl.Expr]:
    """Return the end of the pair before, the key, and the value without its last quote; null where the value is."""
    begin = pl.lit(f'{_END}{json_text_literal(values.name)}:"')
    value = pl.col(values.name)
    return (pl.when(value.is_not_null()).then(begin) if values.null_count() else begin), value


def json_text(text: pl.Expr) -> pl.Expr:
    """Write text as a JSON string, quotes included."""
    return '"' + _escaped(text) + '"'


def _escaped(text: pl.Expr) -> pl.Expr:
    return text.str.replace_many(list(_JSON_ESCAPES), list(_JSON_ESCAPES.values()))


def json_text_literal(text: str) -> str:
    """Write text as a JSON string, quotes included."""
    return '"' + "".join(_JSON_ESCAPES.get(char, char) for char in text) + '"'
