"""The rules of processes (工艺): from texts of orders and lines to process items (`read_processes`), pure functions.

The grammar and the reading of JSON are shared with `order_items`. Reading and writing tables is in
`process_items.step`.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from etl_assets.order_items.grammar import (
    PROCESS_COUNT,
    PROCESS_SEPARATORS,
    count_text,
    prepare_text,
    split_segments,
    split_texts,
    without_count,
)
from etl_assets.order_items.json_arrays import (
    FLAT_ARRAY,
    NUL,
    decode_arrays,
    explode_arrays,
    looks_like_json,
    quote_numbers,
)
from etl_assets.order_items.lines import MAX_LINES
from etl_assets.order_items.transform import MAX_BYTES, TOO_LONG, join_faults, unreadable
from etl_assets.values.numbers import PLAIN_NUMBERS, parse_quantity, whole_number
from etl_assets.values.text import clean_text, is_not_blank

BAD_PROCESSES: Final = "BAD_PROCESSES"
MAX_PROCESSES: Final = 5 * MAX_LINES
"""Most processes that an order may have, those of its lines and its own: five for each line of the longest order."""
PROCESS_SCHEMA: Final = pl.Schema(
    {
        "shop_id": pl.Int32,
        "order_id": pl.String,
        "line_no": pl.Int32,
        "process_no": pl.Int32,
        "process_type": pl.String,
        "position": pl.String,
        "picture_count": pl.Int32,
        "quantity": pl.Int32,
        "picture_print_quantity": pl.Int64,
        "raw_id": pl.Int64,
    }
)
"""Columns of the processes that `read_processes` returns."""

_KEYS: Final = ("process", "position", "pictures")
_OBJECTS: Final = pl.List(pl.Struct(dict.fromkeys(_KEYS, pl.String)))
_TOO_MANY: Final = f"more than {MAX_PROCESSES:,} processes"
_RAW_PROCESSES: Final = ("text_no", "process_no", "is_object", *_KEYS)


def read_processes(orders: pl.DataFrame, lines: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read the processes of each order line, and of each order as a whole (``line_no`` 0).

    Args:
        orders: ``shop_id`` Int32, ``order_id`` String, ``raw_id`` Int64 (unique), ``processes`` String, a JSON array of
            objects (process, position, pictures) or free text; more columns are ignored.
        lines: what `read_items` returned for these orders.

    Returns:
        The processes (`PROCESS_SCHEMA`), by order, ``line_no`` and ``process_no``; one of the order applies to the
        total quantity of the order's lines. And the orders with any process that can't be read (`UNREADABLE_SCHEMA`),
        which yield none at all; the reason holds no text of the order.
    """
    keys = orders.select("shop_id", "order_id", "raw_id").with_row_index("row")
    texts = _collect_texts(orders, lines, keys)
    distinct = texts.select(pl.col("processes").unique(maintain_order=True)).with_row_index("text_no")
    read, text_faults = _read_texts(distinct)
    numbered = texts.join(distinct, on="processes", how="left", maintain_order="left").drop("processes")
    in_text = numbered.join(text_faults, on="text_no", how="inner", maintain_order="left")
    placed = in_text.with_columns(
        place=pl.when(pl.col("line_no") == 0).then(pl.lit("order")).otherwise(pl.format("line {}", "line_no"))
    )
    out_of_range = numbered.filter(pl.col("quantity").cast(pl.Int32, strict=False).is_null())
    all_faults = pl.concat(
        [
            placed.select("row", reason=pl.format("processes of the {}: {}", "place", "fault")),
            out_of_range.select("row", reason=pl.lit("the order's total quantity is out of range")),
        ]
    )
    faults = join_faults(all_faults.unique(maintain_order=True), "row", "reason").sort("row")
    good = numbered.join(faults, on="row", how="anti", maintain_order="left") if faults.height else numbered
    processes = good.join(read, on="text_no", how="inner", maintain_order="left_right")
    too_many = _too_many(processes)
    if too_many.height:
        processes = processes.join(too_many, on="row", how="anti", maintain_order="left")
        faults = pl.concat([faults, too_many]).sort("row")
    rows = processes.join(keys, on="row", how="left", maintain_order="left").with_columns(
        picture_print_quantity=pl.col("quantity") * pl.col("picture_count").cast(pl.Int64)
    )
    return rows.select(PROCESS_SCHEMA.names()).cast(PROCESS_SCHEMA), unreadable(keys, faults, BAD_PROCESSES)


def _collect_texts(orders: pl.DataFrame, lines: pl.DataFrame, keys: pl.DataFrame) -> pl.DataFrame:
    """Collect all texts that are not blank: ``row, line_no, quantity`` (Int64) and ``processes``, by row and line."""
    totals = lines.group_by("raw_id").agg(pl.col("quantity").cast(pl.Int64).sum())
    of_orders = (
        orders.select("raw_id", "processes")
        .with_row_index("row")
        .join(totals, on="raw_id", how="left", maintain_order="left")
        .select("row", pl.col("quantity").fill_null(0), "processes", line_no=pl.lit(0, pl.Int32))
    )
    of_lines = lines.join(keys.select("raw_id", "row"), on="raw_id", how="inner", maintain_order="left").select(
        "row", pl.col("quantity").cast(pl.Int64), "processes", "line_no"
    )
    said = pl.col("processes").str.strip_chars().is_in(["", "null"]).not_()
    return pl.concat([of_orders, of_lines]).filter(said).sort("row", "line_no")


def _too_many(processes: pl.DataFrame) -> pl.DataFrame:
    """Return the faults (``row, reason``) of orders with more than `MAX_PROCESSES`, which lie together."""
    counts = processes.select(pl.col("row").rle()).unnest("row").filter(pl.col("len") > MAX_PROCESSES)
    return counts.select(row="value", reason=pl.lit(f"the order has {_TOO_MANY}"))


def _read_texts(texts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read ``text_no, processes`` into ``text_no, process_no, process_type, position, picture_count``, and faults."""
    is_too_long = pl.col("processes").str.len_bytes() > MAX_BYTES
    length_faults = texts.filter(is_too_long).select("text_no", fault=pl.lit(TOO_LONG))
    marked = texts.filter(~is_too_long).with_columns(
        is_json=looks_like_json(pl.col("processes")), has_nul=pl.col("processes").str.contains(NUL, literal=True)
    )
    from_json, json_faults = _read_json(marked.filter("is_json"))
    from_text, text_faults = _read_free_text(marked.filter(~pl.col("is_json") & ~pl.col("has_nul")))
    nul_faults = marked.filter(~pl.col("is_json") & pl.col("has_nul")).select(
        "text_no", fault=pl.lit("the text holds a NUL character")
    )
    read = pl.concat([from_json, from_text]).with_columns(
        process_type=clean_text(pl.col("process")),
        position=clean_text(pl.col("position")),
        picture_count=pl.when(is_not_blank(pl.col("pictures")))
        .then(whole_number(parse_quantity(pl.col("pictures"), PLAIN_NUMBERS)))
        .otherwise(1),
        holds_nul=pl.any_horizontal(
            pl.col("process", "position").str.contains(NUL, literal=True).fill_null(value=False)
        ),
    )
    faults = (
        (~pl.col("is_object"), "is not an object"),
        (pl.col("holds_nul"), "holds a NUL character"),
        (pl.col("process_type").is_null(), "has no process type"),
        (
            pl.col("picture_count").is_null() | (pl.col("picture_count") < 0),
            "has a number of pictures that is not a whole number from 0",
        ),
    )
    checked = read.with_columns(fault=pl.coalesce(*(pl.when(wrong).then(pl.lit(text)) for wrong, text in faults)))
    process_faults = (
        checked.filter(pl.col("fault").is_not_null())
        .sort("text_no", "process_no")
        .select("text_no", fault=pl.format("process {} {}", "process_no", "fault"))
    )
    return (
        checked.select("text_no", "process_no", "process_type", "position", "picture_count"),
        pl.concat(
            [length_faults, json_faults, nul_faults, text_faults, join_faults(process_faults, "text_no", "fault")]
        ),
    )


def _read_json(texts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    read = decode_arrays(texts, "processes", _OBJECTS, plain=FLAT_ARRAY, prepare=_quote_numbers, most=MAX_PROCESSES)
    faults = [
        read.malformed.select("text_no", fault=pl.lit("the text is not a JSON array of objects")),
        read.others.select("text_no", fault=pl.lit("the JSON holds something else than text and numbers")),
        read.too_long.select("text_no", fault=pl.lit(_TOO_MANY)),
    ]
    return explode_arrays(read.arrays, "text_no", "process_no").select(_RAW_PROCESSES), pl.concat(faults)


def _quote_numbers(text: pl.Expr) -> pl.Expr:
    return quote_numbers(text, _KEYS)


def _read_free_text(texts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read ``type:position*2``, ``type@position x2``, ``type(position)*2``; position and count are optional."""
    segment, body = pl.col("segment"), pl.col("body")
    after_mark = r"^([^:@()\[\]]*)[:@](.*)$"
    in_brackets = r"^([^()\[\]【】]*[^()\[\]【】 ]) ?[(\[【](.*)[)\]】]$"
    pieces = split_segments(prepare_text(pl.col("processes")), PROCESS_SEPARATORS)
    segments, too_long = split_texts(texts, "text_no", pieces.alias("segment"), MAX_PROCESSES)
    processes = (
        segments.with_columns(pictures=count_text(segment, PROCESS_COUNT), body=without_count(segment, PROCESS_COUNT))
        .with_columns(
            process=pl.coalesce(body.str.extract(after_mark), body.str.extract(in_brackets), body),
            position=pl.coalesce(body.str.extract(after_mark, 2), body.str.extract(in_brackets, 2)),
            process_no=(pl.int_range(pl.len(), dtype=pl.Int32) + 1).over("text_no"),
            is_object=pl.lit(value=True),
        )
        .select(_RAW_PROCESSES)
    )
    return processes, too_long.select("text_no", fault=pl.lit(_TOO_MANY))
