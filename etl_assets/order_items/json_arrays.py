"""How JSON arrays of objects are read from a text column, so that no malformed row can harm another one.

Polars decodes a column as one document: a malformed row fails it, and one with a stray bracket can even shift its
neighbours. Therefore only texts that are known to be one JSON value each get there. What is specific to items or to
processes does not belong here.
"""

from __future__ import annotations

from typing import Final

import polars as pl
from polars.exceptions import ComputeError

NUL: Final = "\0"
"""The one character that PostgreSQL's text can't hold."""

_STRING = r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt])*"'
_SCALAR = rf"(?:{_STRING}|-?(?:0|[1-9][0-9]{{0,14}})(?:\.[0-9]{{1,15}})?|true|false|null)"
_SPACE = r"[ \t\r\n]*"
_COMMA = rf"{_SPACE},{_SPACE}"
_COLON = rf"{_SPACE}:{_SPACE}"


def _array_of(pair: str) -> str:
    an_object = rf"\{{{_SPACE}(?:{pair}(?:{_COMMA}{pair})*)?{_SPACE}\}}"
    return rf"\[{_SPACE}(?:{an_object}(?:{_COMMA}{an_object})*)?{_SPACE}\]"


_FLAT_PAIR = rf"{_STRING}{_COLON}{_SCALAR}"
FLAT_ARRAY: Final = _array_of(_FLAT_PAIR)
"""Pattern of a JSON array of objects whose values are text, numbers, booleans or null; no ``\\u`` escapes."""


def array_with(key: str) -> str:
    """Pattern like `FLAT_ARRAY`, where ``key`` may also hold a `FLAT_ARRAY`."""
    return _array_of(rf'(?:{_FLAT_PAIR}|"{key}"{_COLON}{FLAT_ARRAY})')


def looks_like_json(text: pl.Expr) -> pl.Expr:
    """Whether a text is meant as JSON: it starts with ``{`` or ``[``.

    Except for ``[白色]杯子``: a bracket that closes, with no quote, brace or bracket in it, and more text behind it.
    """
    return text.str.contains(r"^\s*[\[{]") & ~text.str.contains(r'^\s*\[[^\[\]{}"]*\]\s*\S')


def quote_numbers(text: pl.Expr, keys: tuple[str, ...]) -> pl.Expr:
    """Put the bare numbers of these keys in quotes, digit for digit: decoding would take them through a float.

    Only for valid JSON: there, an unescaped ``"key"`` before a colon can't be anything but that key.
    """
    return text.str.replace_all(
        rf'("(?:{"|".join(keys)})"\s*:\s*)(-?[0-9][0-9.eE+-]*)',
        '${1}"${2}"',
    )


def is_valid_json(text: pl.Expr, plain: str) -> pl.Expr:
    """Whether each text is one JSON value; ``plain`` is a pattern of texts that are, for speed."""
    common = text.str.contains(rf"^{_SPACE}(?:{plain}){_SPACE}$")
    return common | pl.when(~common).then(text).str.json_path_match("$").is_not_null()


def decode_valid(frame: pl.DataFrame, column: str, dtype: pl.DataType) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Decode a column of valid JSON; return the rows that fit the type, decoded, and the others as they were."""
    try:
        return frame.with_columns(pl.col(column).str.json_decode(dtype)), frame.clear()
    except ComputeError:
        if frame.height == 1:
            return frame.clear().with_columns(pl.col(column).cast(dtype)), frame
    half = frame.height // 2
    first, second = decode_valid(frame[:half], column, dtype), decode_valid(frame[half:], column, dtype)
    return pl.concat([first[0], second[0]]), pl.concat([first[1], second[1]])
