"""The rules of items: from the items text of orders to order lines (`read_items`), pure functions.

Here the ways to read a text are chosen and put together; parts of them are in `usual_json`, `json_arrays`, `grammar`
and `lines`. Reading and writing tables is in `order_items.step`.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import polars as pl

from etl_assets.frame_schemas import REJECTED_SCHEMA
from etl_assets.order_items.grammar import read_free_text
from etl_assets.order_items.json_arrays import (
    NUL,
    array_with,
    decode_arrays,
    decode_valid,
    explode_arrays,
    looks_like_json,
    quote_numbers,
    split_elements,
)
from etl_assets.order_items.lines import MAX_LINES, RAW_LINES, TEXTS, as_json, clean_lines
from etl_assets.values.numbers import MONEY, NumberFormat

BAD_ITEMS: Final = "BAD_ITEMS"
MAX_FAULTS: Final = 10
"""Most faults that one reason names."""
MAX_BYTES: Final = 16 << 20
"""Most bytes that a text of items or processes may have, in UTF-8: a longest order's with 1,600 bytes for each line."""
LINE_SCHEMA: Final = pl.Schema(
    {
        "shop_id": pl.Int32(),
        "order_id": pl.String(),
        "line_no": pl.Int32(),
        "product": pl.String(),
        "variant": pl.String(),
        "sku": pl.String(),
        "quantity": pl.Int32(),
        "unit_price": MONEY,
        "raw_id": pl.Int64(),
        "processes": pl.String(),
        "personalisation": pl.String(),
    }
)
"""Columns of the order lines that `read_items` returns."""
UNREADABLE_SCHEMA: Final = pl.Schema(REJECTED_SCHEMA)
"""Columns of the orders that can't be read, here and in `process_items`."""

_PROCESSES_TEXT: Final = "processes as text"
_PROCESS: Final = pl.Struct({"process": pl.String, "position": pl.String, "pictures": pl.String})
_ALL_TEXTS: Final = dict.fromkeys((*TEXTS, "personalisation", _PROCESSES_TEXT), pl.String)
_LINES_ONLY: Final = pl.List(pl.Struct(_ALL_TEXTS))
_LINES: Final = pl.List(pl.Struct({**_ALL_TEXTS, "processes": pl.List(_PROCESS)}))
_PLAIN_ITEMS: Final = array_with("processes")


_TOO_MANY: Final = f"the text has more than {MAX_LINES:,} lines"
TOO_LONG: Final = f"the text is longer than {MAX_BYTES >> 20} MiB"


def read_items(orders: pl.DataFrame, numbers: NumberFormat) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read the lines of each order from its ``items``: a JSON array of objects, or free text.

    Args:
        orders: ``shop_id`` Int32, ``order_id`` String, ``raw_id`` Int64, ``items`` String; more columns are ignored. An
            order without items has no lines, which is no error.
        numbers: the notation of quantities and prices in text. A bare JSON number is read as JSON writes it.

    Returns:
        The lines (`LINE_SCHEMA`), by order and ``line_no``, 1-based; ``processes`` is the text that `read_processes`
        reads. And the orders that can't be read (`UNREADABLE_SCHEMA`), which have no lines; the reason holds no text of
        the order.
    """
    rows = orders.select(pl.col("items").cast(pl.String), "shop_id", "order_id", "raw_id").with_row_index("row")
    filled = rows.filter(pl.col("items").str.strip_chars().is_in(["", "null"]).not_())
    too_long = filled.select("row", "items").filter(pl.col("items").str.len_bytes() > MAX_BYTES)
    short = filled.join(too_long, on="row", how="anti") if too_long.height else filled
    texts = short.select("row", "items", is_json=looks_like_json(pl.col("items")))
    from etl_assets.order_items.usual_json import read_usual_json  # noqa: PLC0415  # pyarrow, numpy: 0.2 s of each start

    lines, others = read_usual_json(texts.filter("is_json").drop("is_json"), numbers)
    free = texts.filter(~pl.col("is_json"))
    text_faults = [too_long.select("row", reason=pl.lit(TOO_LONG))]
    if others.height or free.height:
        other_lines, other_faults = _read_other_texts(others, free, numbers)
        text_faults += other_faults
        lines = pl.concat([lines, other_lines]).sort("row", maintain_order=True)
    line_faults = lines.filter(pl.col("fault").is_not_null()).select(
        "row", reason=pl.format("line {} {}", "line_no", "fault")
    )
    faults = pl.concat([*text_faults, join_faults(line_faults, "row", "reason")]).sort("row")
    keys = filled.select("row", "shop_id", "order_id", "raw_id")
    good = lines.join(faults, on="row", how="anti") if faults.height else lines
    return (
        good.join(keys, on="row", how="left", maintain_order="left").select(LINE_SCHEMA.names()).cast(LINE_SCHEMA),
        unreadable(keys, faults, BAD_ITEMS),
    )


def join_faults(faults: pl.DataFrame, by: str, text: str) -> pl.DataFrame:
    """Join all faults of an order, or of a text, into one: the first `MAX_FAULTS`, and how many more there are."""
    if faults.is_empty():
        return faults
    more = pl.when(pl.len() > MAX_FAULTS).then(pl.format("; and {} more faults", pl.len() - MAX_FAULTS))
    joined = pl.col(text).head(MAX_FAULTS).str.join("; ")
    return faults.group_by(by, maintain_order=True).agg((joined + more.fill_null("")).alias(text))


def unreadable(keys: pl.DataFrame, faults: pl.DataFrame, code: str) -> pl.DataFrame:
    """Build the rows of `UNREADABLE_SCHEMA` from ``keys`` (row and an order's keys) and ``faults`` (row, reason)."""
    named = faults.join(keys, on="row", how="left", maintain_order="left").with_columns(reason_code=pl.lit(code))
    return named.select(UNREADABLE_SCHEMA.names()).cast(UNREADABLE_SCHEMA)


def _read_other_texts(
    json: pl.DataFrame, free: pl.DataFrame, numbers: NumberFormat
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Read texts (``row, items``) into lines as `clean_lines` returns them, and faults (``row, reason``)."""
    has_nul = pl.col("items").str.contains(NUL, literal=True)
    json_lines, json_faults = _read_json(json, numbers)
    read, too_long = read_free_text(free.filter(~has_nul), numbers, MAX_LINES)
    free_lines = read.with_columns(
        pl.lit(None, pl.String).alias("processes"),
        pl.lit(None, pl.String).alias("personalisation"),
        is_object=pl.lit(value=True),
    )
    free_faults = [
        free.filter(has_nul).select("row", reason=pl.lit("the text holds a NUL character")),
        too_long.select("row", reason=pl.lit(_TOO_MANY)),
    ]
    return clean_lines(pl.concat([json_lines, free_lines.select(RAW_LINES)]), numbers), [json_faults, *free_faults]


def _read_json(texts: pl.DataFrame, numbers: NumberFormat) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read JSON items (``row, items``) into `RAW_LINES`; return also the faults (``row, reason``)."""
    prepare = partial(_prepare_json, numbers=numbers)
    read = decode_arrays(texts, "items", _LINES, plain=_PLAIN_ITEMS, prepare=prepare, most=MAX_LINES)
    odd_decoded, wrong = decode_valid(read.others, "decoded", _LINES_ONLY)
    faults = [
        read.malformed.select("row", reason=pl.lit("the text is not a JSON array of objects")),
        wrong.select("row", reason=pl.lit("the JSON holds something else than text and numbers")),
        read.too_long.select("row", reason=pl.lit(_TOO_MANY)),
    ]
    lines = explode_arrays(read.arrays, "row", "line_no").with_columns(processes=as_json(pl.col("processes")))
    odd_lines = explode_arrays(odd_decoded, "row", "line_no").join(
        split_elements(odd_decoded, "row", "items", "line_no").select(
            "row", "line_no", processes=pl.col("items").str.json_path_match("$.processes")
        ),
        on=("row", "line_no"),
        how="left",
        maintain_order="left",
    )
    given = pl.coalesce(_PROCESSES_TEXT, "processes").alias("processes")
    return pl.concat(part.with_columns(given).select(RAW_LINES) for part in (lines, odd_lines)), pl.concat(faults)


def _prepare_json(text: pl.Expr, numbers: NumberFormat) -> pl.Expr:
    """Quote numbers, those that are read in the notation of the export; give processes that are no array a key."""
    scalar = text.str.replace_all(r'"processes"(\s*:\s*["\-0-9tf])', f'"{_PROCESSES_TEXT}"${{1}}')
    quoted = quote_numbers(scalar, ("quantity", "unit_price"), numbers.decimal)
    others = ("name", "variant", "sku", "personalisation", _PROCESSES_TEXT, "process", "position", "pictures")
    return quote_numbers(quoted, others)
