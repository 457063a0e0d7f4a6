"""Decoding of blocks of JSON lines: numbers and nested values stay text; a bad line is one bad row.

The fast path reads a block at once: regular expressions find the tokens, and a JSON parser checks them and decodes the
strings. It would make floats of numbers, so only strings are taken from it. A block that does not fit the fast path is
split until the odd lines are few enough for the slow path, which reads them one by one (docs/decisions.md, "JSON
lines").
"""

from __future__ import annotations

import io
import json
import re
from json import JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]  # there, but not in typeshed
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import numpy as np
import polars as pl
import pyarrow as pa

from etl_assets.errors import is_panic
from etl_assets.limits import MAX_COLUMNS, PIECE_CELLS
from etl_assets.raw_orders.readers.columns import BAD_TEXT, HALF_CHARACTER, LINE_NUMBER, ROW_ERROR

if TYPE_CHECKING:
    from collections.abc import Iterator

UNREADABLE: Final = "unreadable line"
"""Column of the beginning of a line that is no JSON object."""
KEPT_CHARACTERS: Final = 10_000
NOT_UTF8: Final = "it holds bytes that are not UTF-8"
NOT_JSON: Final = "the line is not valid JSON; it may be cut off"
NO_OBJECT: Final = "the line is not a JSON object"

SLOW_PATH_LINES: Final = 32
PARTS: Final = 16
MAX_BLOCK_CELLS: Final = 2 * PIECE_CELLS

_SPACE: Final = r"[ \t\r]*"
_BLANKS: Final = " \t\r\v\f"
_STRING: Final = r'"[^"\\\x00-\x1f]*(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*)*"'
_NUMBER: Final = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_DEPTH: Final = 6
"""Depth of nested values on the fast path. Deeper ones could overflow the stack of the parser."""
_PLAIN: Final = r'[^"\[\]{}\x00-\x1f]'


def _nested(depth: int) -> str:
    inner = f"|{_nested(depth - 1)}" if depth > 1 else ""
    return rf"[\[{{](?:{_STRING}|{_PLAIN}|\t{inner})*[\]}}]"


_PAIR: Final = f"{_SPACE}{_STRING}{_SPACE}:{_SPACE}(?:{_STRING}|{_NUMBER}|true|false|null|{_nested(_DEPTH)}){_SPACE}"
_ORDINARY_LINE: Final = rf"^{_SPACE}\{{(?:{_PAIR}(?:,{_PAIR})*|{_SPACE})\}}{_SPACE}$"
_TOKEN: Final = rf'{_STRING}|{_nested(_DEPTH)}|[^\s,:{{}}\[\]"]+'
_PAIR_OF_HALVES: Final = r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF: Final = r"\\u[dD][89a-fA-F]"


class TooManyKeysError(Exception):
    """Error of a block with more keys than a file may have columns."""

    def __init__(self, keys: int) -> None:
        """Keep how many."""
        super().__init__(keys)
        self.keys = keys


class _SlowPathError(Exception):
    """Signal that a block does not fit the fast path."""


def read_block(block: bytes, first_line: int) -> Iterator[pl.DataFrame]:
    """Yield frames of whole lines: a column (String) for each key that they have, `LINE_NUMBER`, `ROW_ERROR`.

    A line that is no JSON object becomes a row with an error and its beginning in `UNREADABLE`. A line with a key twice
    has an error too: the last value is in the row, and which is right can't be known.

    Args:
        block: whole lines.
        first_line: the number of the first one.

    Raises:
        TooManyKeysError: they have more keys than a file may have columns.
    """
    try:
        yield _read_at_once(block, first_line)
    except (_SlowPathError, UnicodeDecodeError, pl.exceptions.PolarsError):
        yield from _read_in_parts(block, first_line)
    except BaseException as error:
        if not is_panic(error):
            raise
        yield from _read_in_parts(block, first_line)


def problem_of(line: str) -> str:
    """Describe the fault of a line that `read_block` put into `UNREADABLE`, as far as it was kept."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return NOT_UTF8 if HALF_CHARACTER in line else NOT_JSON
    return NOT_JSON if isinstance(value, dict) else NO_OBJECT


def _read_in_parts(block: bytes, first_line: int) -> Iterator[pl.DataFrame]:
    lines = block.removesuffix(b"\n").split(b"\n")
    if len(lines) <= SLOW_PATH_LINES:
        yield _read_line_by_line(lines, first_line)
        return
    size = max(SLOW_PATH_LINES, -(-len(lines) // PARTS))
    for at in range(0, len(lines), size):
        yield from read_block(b"\n".join(lines[at : at + size]) + b"\n", first_line + at)


def _read_at_once(block: bytes, first_line: int) -> pl.DataFrame:
    lines = _lines(block, first_line)
    text = pl.col("text")
    if not lines.select(text.str.contains(_ORDINARY_LINE).all()).item():
        raise _SlowPathError
    if b"\\u" in block:
        halves = text.str.replace_all(_PAIR_OF_HALVES, "").str.contains(_HALF)
        if lines.select(halves.any()).item():
            raise _SlowPathError
    tokens = lines.select(text.str.strip_chars(_BLANKS).str.slice(1).str.extract_all(_TOKEN)).to_series()
    values = _values_of(tokens)
    decoded = pl.read_ndjson(io.BytesIO(block), schema=dict.fromkeys(values.columns, pl.String))
    if decoded.height != lines.height:
        raise _SlowPathError
    return pl.DataFrame([_texts(values[name], decoded[name]) for name in values.columns]).with_columns(
        lines["line"].alias(LINE_NUMBER), pl.lit(None, pl.String).alias(ROW_ERROR)
    )


def _lines(block: bytes, first_line: int) -> pl.DataFrame:
    """Return the lines that are not blank, and their numbers."""
    block.decode()  # the last check that it is UTF-8
    ends = np.flatnonzero(np.frombuffer(block, np.uint8) == ord("\n"))
    if not block.endswith(b"\n"):
        ends = np.append(ends, len(block))
    offsets = np.concatenate(([0], ends + 1)).astype(np.int64)
    offsets[-1] = min(offsets[-1], len(block))
    # Each text ends with its line break, which is a blank.
    texts = pa.LargeStringArray.from_buffers(len(ends), pa.py_buffer(offsets), pa.py_buffer(block))
    frame = pl.DataFrame([cast("pl.Series", pl.from_arrow(texts)).alias("text").str.strip_suffix("\n")])
    numbered = frame.with_columns(pl.int_range(first_line, first_line + pl.len(), dtype=pl.Int64).alias("line"))
    found = numbered.filter(pl.col("text").str.strip_chars(_BLANKS) != "")
    if not found.height:
        raise _SlowPathError
    return found


def _values_of(tokens: pl.Series) -> pl.DataFrame:
    """Return the tokens of the values, a column for each key."""
    counts = tokens.list.len()
    first = int(counts[0])
    flat = tokens.explode()
    if first and (counts == first).all():
        keys = [flat[at] for at in range(0, first, 2)]
        if all((flat.gather_every(first, 2 * at) == key).all() for at, key in enumerate(keys)):
            names = _decoded(keys)
            return pl.DataFrame([flat.gather_every(first, 2 * at + 1).alias(name) for at, name in enumerate(names)])
    return _spread(tokens)


def _spread(tokens: pl.Series) -> pl.DataFrame:
    """Return the tokens as `_values_of` does, where lines have different keys."""
    rows = pl.DataFrame([tokens.alias("tokens")]).with_row_index("row")
    flat = rows.filter(pl.col("tokens").list.len() > 0).explode("tokens")
    pairs = flat.gather_every(2).rename({"tokens": "key"}).hstack([flat["tokens"].gather_every(2, 1).alias("value")])
    raw_keys = pairs["key"].unique(maintain_order=True).to_list()
    if len(raw_keys) > MAX_COLUMNS:
        raise TooManyKeysError(len(raw_keys))
    if len(raw_keys) * rows.height > MAX_BLOCK_CELLS or not raw_keys:
        raise _SlowPathError
    names = dict(zip(raw_keys, _decoded(raw_keys), strict=True))
    if pairs.select(pl.struct("row", "key").is_duplicated().any()).item():
        raise _SlowPathError
    wide = pairs.pivot(on="key", on_columns=raw_keys, index="row", values="value", aggregate_function="first")
    return rows.select("row").join(wide, on="row", how="left", maintain_order="left").drop("row").rename(names)


def _decoded(keys: list[str]) -> list[str]:
    names = [json.loads(key) for key in keys]
    if len(set(names)) < len(names) or any(_name(name) != name for name in names):
        raise _SlowPathError
    return names


def _texts(tokens: pl.Series, decoded: pl.Series) -> pl.Series:
    both = pl.DataFrame([tokens.alias("raw"), decoded.alias("decoded")])
    raw = pl.col("raw")
    text = pl.when(raw.str.starts_with('"')).then("decoded").when(raw != "null").then(raw)
    return both.select(text.alias(tokens.name)).to_series()


def _name(key: str) -> str:
    """Return the name of a key's column: never empty, and neither `LINE_NUMBER` nor `ROW_ERROR`."""
    return {"": "unnamed", LINE_NUMBER: f"_{LINE_NUMBER}", ROW_ERROR: f"_{ROW_ERROR}"}.get(key, key)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


_decoder: Final = JSONDecoder(parse_float=str, parse_int=str, parse_constant=_refuse)
_skip: Final = re.compile(_SPACE).match


def _read_line_by_line(lines: list[bytes], first_line: int) -> pl.DataFrame:
    numbers, rows, row_errors = [], [], []
    for number, line in enumerate(lines, start=first_line):
        if line.strip():
            row, is_bad = _row_of(line)
            rows.append(row)
            numbers.append(number)
            row_errors.append(BAD_TEXT if is_bad else None)
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names}
    schema = {**dict.fromkeys(names, pl.String), LINE_NUMBER: pl.Int64, ROW_ERROR: pl.String}
    return pl.DataFrame({**columns, LINE_NUMBER: numbers, ROW_ERROR: row_errors}, schema=schema)


def _row_of(line: bytes) -> tuple[dict[str, str | None], bool]:
    """Return the values of a line, and whether it has an error."""
    text = line.decode(errors="replace")
    is_bad = text.encode() != line
    try:
        pairs = _pairs(text)
    except (ValueError, RecursionError):
        return {UNREADABLE: text.strip()[:KEPT_CHARACTERS]}, True
    row: dict[str, str | None] = {}
    for key, value in pairs:
        name = _name(_without_halves(key))
        is_bad = is_bad or name in row or _is_half(key) or (value is not None and _is_half(value))
        row[name] = None if value is None else _without_halves(value)
    return row, is_bad


def _pairs(text: str) -> list[tuple[str, str | None]]:
    """Return the keys of an object and the texts of their values. Raises ValueError where it is none."""
    at = _after(text, 0)
    if text[at : at + 1] != "{":
        raise ValueError
    at = _after(text, at + 1)
    pairs: list[tuple[str, str | None]] = []
    is_open = text[at : at + 1] != "}"
    while is_open:
        if text[at : at + 1] != '"':
            raise ValueError
        key, at = scanstring(text, at + 1, True)  # it takes no names
        at = _after(text, at)
        if text[at : at + 1] != ":":
            raise ValueError
        start = _after(text, at + 1)
        value, at = _decoder.raw_decode(text, start)
        if not isinstance(value, str) or text[start] != '"':
            value = None if value is None else text[start:at]
        pairs.append((key, value))
        at = _after(text, at)
        is_open = text[at : at + 1] == ","
        at = _after(text, at + 1) if is_open else at
    if text[at : at + 1] != "}" or text[at + 1 :].strip(_BLANKS + "\n"):
        raise ValueError
    return pairs


def _after(text: str, at: int) -> int:
    found = _skip(text, at)
    return found.end() if found else at


def _is_half(text: str) -> bool:
    return not text.isascii() and re.search("[\ud800-\udfff]", text) is not None


def _without_halves(text: str) -> str:
    """Replace halves of surrogate pairs, which are no characters."""
    return re.sub("[\ud800-\udfff]", HALF_CHARACTER, text) if _is_half(text) else text
