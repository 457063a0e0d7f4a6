"""How JSON arrays of objects are read from a text column, so that no malformed row can harm another one.

Polars decodes a column as one document: a malformed row fails it, and one with a stray bracket can even shift its
neighbours. Therefore only texts that are known to be one JSON value each get there. What is specific to items or to
processes does not belong here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.json as pa_json
from polars.exceptions import ComputeError

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


def _array_of(pair: str) -> str:
    an_object = rf"\{{{_SPACE}(?:{pair}(?:{_COMMA}{pair})*)?{_SPACE}\}}"
    return rf"\[{_SPACE}(?:{an_object}(?:{_COMMA}{an_object})*)?{_SPACE}\]"


_FLAT_PAIR = rf"{STRING}{_COLON}{_SCALAR}"
FLAT_ARRAY: Final = _array_of(_FLAT_PAIR)
"""Pattern of a JSON array of objects whose values are text, numbers, booleans or null; no ``\\u`` escapes."""


def array_with(key: str) -> str:
    """Pattern like `FLAT_ARRAY`, where ``key`` may also hold a `FLAT_ARRAY`."""
    return _array_of(rf'(?:{_FLAT_PAIR}|"{key}"{_COLON}{FLAT_ARRAY})')


def decode_exact(texts: pl.DataFrame, column: str, dtype: pa.DataType) -> pl.DataFrame:
    """Decode texts that are known to be JSON of exactly this type, several times faster than `decode_arrays`.

    Args:
        texts: any columns besides ``column``.
        column: JSON without line breaks, with no other type of value than ``dtype`` has.
        dtype: what to decode to; keys that it does not name are left out.

    Returns:
        The frame with ``decoded``.
    """
    documents = texts.select(pl.concat_str(pl.lit('{"v":'), column, pl.lit("}\n"))).to_series()
    read = _read_documents(documents, pa.schema([("v", dtype)]))
    # By way of a frame: a Series made of the column itself would load pyarrow.compute.
    return texts.with_columns(decoded=pl.DataFrame(read).to_series())


def _read_documents(documents: pl.Series, schema: pa.Schema) -> pa.Table:
    """Read JSON objects, each with a line break behind it; the reader of pyarrow refuses to read none."""
    if documents.is_empty():
        return schema.empty_table()
    buffer = documents.to_arrow(compat_level=pl.CompatLevel.oldest()).buffers()[2]
    longest: int = documents.str.len_bytes().max()  # type: ignore[assignment]  # of a series of integers
    return pa_json.read_json(
        pa.BufferReader(buffer),
        read_options=pa_json.ReadOptions(block_size=max(_BLOCK_BYTES, 2 * longest)),
        parse_options=pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )


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


class Decoded(NamedTuple):
    """A text column decoded, in three frames with the columns of the source."""

    arrays: pl.DataFrame
    """The rows that fit the type, and ``decoded``."""
    others: pl.DataFrame
    """The rows that are JSON but don't fit the type, and ``decoded``, the prepared text."""
    malformed: pl.DataFrame
    """The rows that are no JSON, or no array of objects by its first element."""


def decode_arrays(
    texts: pl.DataFrame, column: str, dtype: pl.DataType, plain: str, prepare: Callable[[pl.Expr], pl.Expr]
) -> Decoded:
    """Decode a column of JSON.

    Args:
        texts: any columns besides ``column``.
        column: the texts.
        dtype: what to decode to.
        plain: pattern of texts that certainly are JSON that fits: these, nearly all, take a short way.
        prepare: what to do to a valid text before it is decoded.
    """
    text = pl.col(column)
    marked = texts.with_columns(is_plain=text.str.contains(rf"^{_SPACE}(?:{plain}){_SPACE}$"))
    is_valid = text.str.contains(r"^\s*\[\s*[{\]n]") & text.str.json_path_match("$").is_not_null()
    rare = marked.filter(~pl.col("is_plain")).with_columns(is_valid=is_valid)
    prepared = [
        valid.select(*texts.columns, decoded=prepare(text))
        for valid in (marked.filter("is_plain"), rare.filter("is_valid"))
    ]
    (arrays, none), (more_arrays, others) = (decode_valid(valid, "decoded", dtype) for valid in prepared)
    malformed = rare.filter(~pl.col("is_valid")).select(texts.columns)
    return Decoded(pl.concat([arrays, more_arrays]), pl.concat([none, others]), malformed)


def decode_valid(frame: pl.DataFrame, column: str, dtype: pl.DataType) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Decode a column of valid JSON; return the rows that fit the type, decoded, and the others as they were."""
    decode = pl.col(column).str.json_decode(dtype)
    try:
        return frame.with_columns(decode), frame.clear()
    except ComputeError:
        numbers = pl.Series(_misfits(frame[column], dtype, 0), dtype=pl.UInt32)
    misfit = pl.int_range(pl.len(), dtype=pl.UInt32).is_in(numbers.implode())
    return frame.filter(~misfit).with_columns(decode), frame.filter(misfit)


def _misfits(texts: pl.Series, dtype: pl.DataType, start: int) -> list[int]:
    """The places of the texts that don't fit the type, counted from ``start``, found by halving."""
    try:
        texts.str.json_decode(dtype)
    except ComputeError:
        half = len(texts) // 2
        if half == 0:
            return [start]
        return _misfits(texts[:half], dtype, start) + _misfits(texts[half:], dtype, start + half)
    return []
