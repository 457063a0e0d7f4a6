"""Decoding of JSON arrays of objects in a text column, in which no malformed row harms another one.

The hazard is Polars, which decodes a column as one document: a malformed row fails it, and one with a stray bracket
shifts its neighbours. Therefore only texts that are known to be one JSON value each are decoded there. The keys and
values of items or of processes do not belong here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl
from polars.exceptions import ComputeError

from etl_assets.values.text import cut_by_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

NUL: Final = "\0"
"""The one character that PostgreSQL's text can't hold."""

STRING: Final = r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt])*"'
"""Pattern of a JSON string without ``\\u`` escapes."""
_SCALAR = rf"(?:{STRING}|-?(?:0|[1-9][0-9]{{0,14}})(?:\.[0-9]{{1,15}})?|true|false|null)"
_SPACE = r"[ \t\r\n]*"
_COMMA = rf"{_SPACE},{_SPACE}"
_COLON = rf"{_SPACE}:{_SPACE}"
_BLOCK_BYTES = 1 << 20
_PARTS = 8
"""Two parts would decode each text twice as often where all are misfits, and three times as often where one is."""


def _array_of(pair: str) -> str:
    an_object = rf"\{{{_SPACE}(?:{pair}(?:{_COMMA}{pair})*)?{_SPACE}\}}"
    return rf"\[{_SPACE}(?:{an_object}(?:{_COMMA}{an_object})*)?{_SPACE}\]"


_FLAT_PAIR = rf"{STRING}{_COLON}{_SCALAR}"
FLAT_ARRAY: Final = _array_of(_FLAT_PAIR)
"""Pattern of a JSON array of objects whose values are text, numbers, booleans or null; no ``\\u`` escapes."""


def array_with(key: str) -> str:
    """Return a pattern like `FLAT_ARRAY`, where ``key`` may also hold a `FLAT_ARRAY`."""
    return _array_of(rf'(?:{_FLAT_PAIR}|"{key}"{_COLON}{FLAT_ARRAY})')


def looks_like_json(text: pl.Expr) -> pl.Expr:
    """Test that a text is meant as JSON: it starts with ``{`` or ``[``.

    Except for ``[白色]杯子``: a bracket that closes, with no quote, brace or bracket in it, and more text behind it.
    """
    return text.str.contains(r"^\s*[\[{]") & ~text.str.contains(r'^\s*\[[^\[\]{}"]*\]\s*\S')


def quote_numbers(text: pl.Expr, keys: tuple[str, ...], decimal: str = ".") -> pl.Expr:
    """Put the bare numbers of these keys in quotes, digit for digit: decoding would take them through a float.

    Only for valid JSON: there, an unescaped ``"key"`` before a colon can't be anything but that key. With ``decimal``,
    the decimal point of JSON becomes that mark, so that the text is a number in an export's notation.
    """
    named = rf'("(?:{"|".join(keys)})"\s*:\s*)'
    if decimal != ".":
        mark = json.dumps(decimal, ensure_ascii=False)[1:-1].replace("$", "$$")
        text = text.str.replace_all(rf"{named}(-?[0-9]+)\.([0-9.eE+-]*)", f'${{1}}"${{2}}{mark}${{3}}"')
    return text.str.replace_all(rf"{named}(-?[0-9][0-9.eE+-]*)", '${1}"${2}"')


class Decoded(NamedTuple):
    """A decoded text column, in frames with the columns of the input."""

    arrays: pl.DataFrame
    """The rows that fit the type, and ``decoded``."""
    others: pl.DataFrame
    """The rows that are JSON but don't fit the type, and ``decoded``, the prepared text."""
    malformed: pl.DataFrame
    """The rows that are no JSON, or no array of objects by its first element, or are nested deeper than 127 levels."""
    too_long: pl.DataFrame
    """The rows that are arrays of too many elements; nothing else is known of them."""


def decode_arrays(
    texts: pl.DataFrame,
    column: str,
    dtype: pl.DataType,
    *,
    plain: str,
    prepare: Callable[[pl.Expr], pl.Expr],
    most: int,
) -> Decoded:
    """Decode a column of JSON.

    Args:
        texts: any columns besides ``column``.
        column: the texts.
        dtype: the type to decode to.
        plain: pattern of texts that certainly are JSON that fits: these, nearly all, take a short way.
        prepare: rewrites a valid text before it is decoded.
        most: how many elements an array may have; longer ones are not decoded.
    """
    text = pl.col(column)
    counted = texts.with_columns(is_long=_has_more(text, most))
    too_long, within = (
        part.drop("is_long") for part in (counted.filter("is_long"), counted.filter(~pl.col("is_long")))
    )
    marked = within.with_columns(is_plain=text.str.contains(rf"^{_SPACE}(?:{plain}){_SPACE}$"))
    # The path is matched by serde_json, which refuses more than 127 levels of nesting: no text that passes can overflow
    # the stack of a later parser.
    is_valid = text.str.contains(r"^\s*\[\s*[{\]n]") & text.str.json_path_match("$").is_not_null()
    rare = marked.filter(~pl.col("is_plain")).with_columns(is_valid=is_valid)
    prepared = [
        valid.select(*texts.columns, decoded=prepare(text))
        for valid in (marked.filter("is_plain"), rare.filter("is_valid"))
    ]
    (arrays, none), (more_arrays, others) = (decode_valid(valid, "decoded", dtype) for valid in prepared)
    malformed = rare.filter(~pl.col("is_valid")).select(texts.columns)
    return Decoded(pl.concat([arrays, more_arrays]), pl.concat([none, others]), malformed, too_long)


def _has_more(text: pl.Expr, most: int) -> pl.Expr:
    """Test that a text is a JSON array of more than ``most`` elements."""
    # An element and its comma take two bytes at least. A path does not find null, so 0 is put in its place.
    counted = pl.when(text.str.len_bytes() > 2 * most).then(text).str.replace_all("null", "0", literal=True)
    return counted.str.json_path_match(f"$[{most}]").is_not_null()


def decode_valid(frame: pl.DataFrame, column: str, dtype: pl.DataType) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Decode a column of valid JSON; return the rows that fit the type, decoded, and the others as they were."""
    pieces = list(cut_by_bytes(frame, [column], _BLOCK_BYTES)) or [frame]
    arrays, others = zip(*(_decode_piece(piece, column, dtype) for piece in pieces), strict=True)
    return pl.concat(arrays), pl.concat(others)


def _decode_piece(piece: pl.DataFrame, column: str, dtype: pl.DataType) -> tuple[pl.DataFrame, pl.DataFrame]:
    decode = pl.col(column).str.json_decode(dtype)
    try:
        return piece.with_columns(decode), piece.clear()
    except ComputeError:
        numbers = pl.Series(_misfits(piece[column], dtype, 0), dtype=pl.UInt32)
    misfit = pl.int_range(pl.len(), dtype=pl.UInt32).is_in(numbers.implode())
    return piece.filter(~misfit).with_columns(decode), piece.filter(misfit)


def _misfits(texts: pl.Series, dtype: pl.DataType, start: int) -> list[int]:
    """Return the positions of the texts that don't fit the type, from ``start``, by decoding ever smaller parts."""
    try:
        texts.str.json_decode(dtype)
    except ComputeError:
        if len(texts) == 1:
            return [start]
        size = -(-len(texts) // _PARTS)
        parts = range(0, len(texts), size)
        return [place for part in parts for place in _misfits(texts[part : part + size], dtype, start + part)]
    return []


def explode_arrays(arrays: pl.DataFrame, key: str, number: str) -> pl.DataFrame:
    """Make a row of each element of ``decoded``: ``key``, the element's ``number`` from 1, ``is_object``, its values.

    The key is a number, and no other column comes along: a text would be copied for every element of its array.
    """
    length = pl.col("decoded").list.len()
    return (
        arrays.select(key, "decoded")
        .filter(length > 0)
        .with_columns(pl.int_ranges(1, length + 1, dtype=pl.Int32).alias(number))
        .explode(number, "decoded")
        .with_columns(is_object=pl.col("decoded").is_not_null())
        .unnest("decoded")
    )


_MARK: Final = r'"(?:[^"\\]|\\.)*"|[\[\]{},]|[^"\[\]{},]+'


def split_elements(texts: pl.DataFrame, key: str, column: str, number: str) -> pl.DataFrame:
    """Split valid JSON arrays into the texts of their elements: ``key``, the element's ``number`` from 1, ``column``.

    Args:
        texts: a ``key``, a number, and ``column``.
        key: the name of the key.
        column: the texts.
        number: the name of the column of the element's number.
    """
    mark, depth = pl.col(column), pl.col("depth")
    opens, closes = mark.is_in(["[", "{"]).cast(pl.Int32), mark.is_in(["]", "}"]).cast(pl.Int32)
    is_end = (mark == ",") & (depth == 1)
    return (
        texts.select(key, mark.str.extract_all(_MARK))
        .explode(column)
        .with_columns(depth=(opens - closes).cum_sum().over(key) - opens)
        .with_columns((is_end.cast(pl.Int32).cum_sum().over(key) + 1).alias(number))
        .filter((depth > 0) & ~is_end)
        .group_by(key, number, maintain_order=True)
        .agg(mark.str.join())
    )
