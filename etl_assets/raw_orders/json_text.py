"""Writing of JSON in expressions: objects of texts, as `raw_orders.items` and `extra` hold them."""

from __future__ import annotations

from typing import Final

import polars as pl

_JSON_ESCAPES: Final = {
    "\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t",
    **{chr(code): f"\\u{code:04x}" for code in range(0x20) if chr(code) not in "\n\r\t"},
}  # fmt: skip


def json_object(values: dict[str, pl.Expr]) -> pl.Expr:
    """Write a JSON object of the values (String) that are not null; null where none is left."""
    if not values:
        return pl.lit(None, pl.String)
    pairs = [pl.lit(json_text_literal(key) + ":") + json_text(value) for key, value in values.items()]
    body = pl.concat_str(pairs, separator=",", ignore_nulls=True)
    return pl.when(pl.any_horizontal(value.is_not_null() for value in values.values())).then("{" + body + "}")


def json_text(text: pl.Expr) -> pl.Expr:
    """Write text as a JSON string, quotes included."""
    return '"' + text.str.replace_many(list(_JSON_ESCAPES), list(_JSON_ESCAPES.values())) + '"'


def json_text_literal(text: str) -> str:
    """Write text as a JSON string, quotes included."""
    return '"' + "".join(_JSON_ESCAPES.get(char, char) for char in text) + '"'
