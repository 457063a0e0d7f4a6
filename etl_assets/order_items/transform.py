"""From the items text of orders to order lines: `read_items`. Pure rules; reading and writing tables is elsewhere."""

from __future__ import annotations

from functools import partial
from typing import Final

import polars as pl
import pyarrow as pa

from etl_assets.order_items.grammar import read_free_text
from etl_assets.order_items.json_arrays import (
    NUL,
    STRING,
    array_with,
    decode_arrays,
    decode_exact,
    decode_valid,
    explode_arrays,
    looks_like_json,
    quote_numbers,
    split_elements,
)
from etl_assets.quarantine.rows import REJECTED_SCHEMA
from etl_assets.values.numbers import MONEY, NumberFormat, parse_money, parse_quantity, whole_number
from etl_assets.values.text import clean_text, is_not_blank

BAD_ITEMS: Final = "BAD_ITEMS"
MAX_LINES: Final = 10_000
"""How many lines an order may have: no platform's order has a tenth of it, and a text with more is no order's."""
MAX_BYTES: Final = 16 << 20
"""How long a text of items or processes may be, in UTF-8: a longest order's with 1,600 bytes for each line."""
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
    }
)
"""What `read_items` returns for each order line."""
UNREADABLE_SCHEMA: Final = pl.Schema(REJECTED_SCHEMA)
"""What is returned for each order that can't be read."""

_PROCESSES_TEXT: Final = "processes as text"
_TEXTS: Final = ("name", "variant", "sku", "quantity", "unit_price")
_PROCESS: Final = pl.Struct({"process": pl.String, "position": pl.String, "pictures": pl.String})
_LINES_ONLY: Final = pl.List(pl.Struct(dict.fromkeys((*_TEXTS, _PROCESSES_TEXT), pl.String)))
_LINES: Final = pl.List(
    pl.Struct({**dict.fromkeys((*_TEXTS, _PROCESSES_TEXT), pl.String), "processes": pl.List(_PROCESS)})
)
_PLAIN_ITEMS: Final = array_with("processes")


def _usual_item(number: str) -> str:
    """Pattern of an item as programs write it: a fixed order of keys, no blanks between the marks."""
    process = rf'\{{"process":{STRING}(?:,"position":{STRING})?(?:,"pictures":{number})?\}}'
    return (
        rf'^\{{"name":{STRING}(?:,"variant":{STRING})?(?:,"sku":{STRING})?(?:,"quantity":{number})?'
        rf'(?:,"unit_price":{STRING})?(?:,"processes":\[(?:{process}(?:,{process})*)?\])?\}}$'
    )


_USUAL_ITEMS: Final = (
    (_usual_item(r"-?(?:0|[1-9][0-9]{0,8})"), pa.int64()),
    (_usual_item(STRING), pa.string()),  # as this project's own gathering writes them
)
_BETWEEN_ITEMS: Final = ('},{"name":', '}\0{"name":')
"""What ends an item and begins the next one can't be within a text of JSON, whose quotes are escaped."""
_RAW_LINES: Final = ("row", "line_no", "is_object", *_TEXTS, "processes")
_TOO_MANY: Final = f"the text has more than {MAX_LINES:,} lines"
TOO_LONG: Final = f"the text is longer than {MAX_BYTES >> 20} MiB"
_READ: Final = ("processes", "product", "variant", "sku", "quantity", "unit_price", "fault")


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
    lines, others = _read_usual_json(texts.filter("is_json").drop("is_json"), numbers)
    free = texts.filter(~pl.col("is_json"))
    text_faults = [too_long.select("row", reason=pl.lit(TOO_LONG))]
    if others.height or free.height:
        other_lines, other_faults = _read_other_texts(others, free, numbers)
        text_faults += other_faults
        lines = pl.concat([lines, other_lines]).sort("row", maintain_order=True)
    line_faults = (
        lines.filter(pl.col("fault").is_not_null())
        .select("row", reason=pl.format("line {} {}", "line_no", "fault"))
        .unique("row", keep="first", maintain_order=True)
    )
    faults = pl.concat([*text_faults, line_faults]).sort("row")
    keys = filled.select("row", "shop_id", "order_id", "raw_id")
    good = lines.join(faults, on="row", how="anti") if faults.height else lines
    return (
        good.join(keys, on="row", how="left", maintain_order="left").select(LINE_SCHEMA.names()).cast(LINE_SCHEMA),
        unreadable(keys, faults, BAD_ITEMS),
    )


def unreadable(keys: pl.DataFrame, faults: pl.DataFrame, code: str) -> pl.DataFrame:
    """Build the rows of `UNREADABLE_SCHEMA` from ``keys`` (row and an order's keys) and ``faults`` (row, reason)."""
    named = faults.join(keys, on="row", how="left", maintain_order="left").with_columns(reason_code=pl.lit(code))
    return named.select(UNREADABLE_SCHEMA.names()).cast(UNREADABLE_SCHEMA)


def _read_usual_json(texts: pl.DataFrame, numbers: NumberFormat) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read items that are written as programs write them, each distinct one once: a catalogue's repeat a lot.

    Returns:
        The lines, as `_clean_lines` returns them, and the texts that hold any item that is not written so.
    """
    array = pl.col("items")
    pieces = (
        array.str.strip_prefix("[").str.strip_suffix("]").str.replace_all(*_BETWEEN_ITEMS, literal=True).str.split(NUL)
    )
    split = texts.filter(array.str.starts_with("[") & array.str.ends_with("]")).select("row", item=pieces)
    length = split["item"].list.len()
    if (length > MAX_LINES).any():
        split = split.filter(length <= MAX_LINES)  # of more, `decode_arrays` knows what to say
    items = split.with_columns(line_no=pl.int_ranges(1, pl.col("item").list.len() + 1, dtype=pl.Int32)).explode(
        "item", "line_no"
    )
    distinct = items.select(pl.col("item").unique()).with_row_index("row")
    read = _clean_lines(_decode_usual(distinct), numbers).drop("line_no").with_columns(is_usual=pl.lit(value=True))
    lines = items.join(distinct.join(read, on="row").drop("row"), on="item", how="left", maintain_order="left")
    odd = lines.filter(pl.col("is_usual").is_null()).select("row").unique()
    usual = lines.join(odd, on="row", how="anti") if odd.height else lines
    others = texts.join(usual, on="row", how="anti")
    return usual.select("row", "line_no", *_READ), others


def _decode_usual(items: pl.DataFrame) -> pl.DataFrame:
    """Decode those of the texts (``row, item``) that are one usual item each into `_RAW_LINES`."""
    lines = []
    for pattern, number in _USUAL_ITEMS:
        is_usual = pl.col("item").str.contains(pattern)
        marked = items.with_columns(is_usual=is_usual)
        usual, items = (
            part.drop("is_usual") for part in (marked.filter("is_usual"), marked.filter(~pl.col("is_usual")))
        )
        process = pa.struct([("process", pa.string()), ("position", pa.string()), ("pictures", number)])
        texts_of_item = [(name, pa.string()) for name in ("name", "variant", "sku", "unit_price")]
        item = pa.struct([*texts_of_item, ("quantity", number), ("processes", pa.list_(process))])
        read = decode_exact(usual, "item", item).unnest("decoded")
        lines.append(
            read.with_columns(
                pl.col("quantity").cast(pl.String),
                line_no=pl.lit(1, pl.Int32),
                is_object=pl.lit(value=True),
                processes=_as_json(pl.col("processes")),
            ).select(_RAW_LINES)
        )
    return pl.concat(lines)


def _read_other_texts(
    json: pl.DataFrame, free: pl.DataFrame, numbers: NumberFormat
) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """Read texts (``row, items``) into lines as `_clean_lines` returns them, and faults (``row, reason``)."""
    has_nul = pl.col("items").str.contains(NUL, literal=True)
    json_lines, json_faults = _read_json(json, numbers)
    read, too_long = read_free_text(free.filter(~has_nul), numbers, MAX_LINES)
    free_lines = read.with_columns(
        pl.lit(None, pl.String).alias("processes"),
        is_object=pl.lit(value=True),
    )
    free_faults = [
        free.filter(has_nul).select("row", reason=pl.lit("the text holds a NUL character")),
        too_long.select("row", reason=pl.lit(_TOO_MANY)),
    ]
    return _clean_lines(pl.concat([json_lines, free_lines.select(_RAW_LINES)]), numbers), [json_faults, *free_faults]


def _read_json(texts: pl.DataFrame, numbers: NumberFormat) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read JSON items (``row, items``) into `_RAW_LINES`; return also the faults (``row, reason``)."""
    prepare = partial(_prepare_json, numbers=numbers)
    read = decode_arrays(texts, "items", _LINES, plain=_PLAIN_ITEMS, prepare=prepare, most=MAX_LINES)
    odd_decoded, wrong = decode_valid(read.others, "decoded", _LINES_ONLY)
    faults = [
        read.malformed.select("row", reason=pl.lit("the text is not a JSON array of objects")),
        wrong.select("row", reason=pl.lit("the JSON holds something else than text and numbers")),
        read.too_long.select("row", reason=pl.lit(_TOO_MANY)),
    ]
    lines = explode_arrays(read.arrays, "row", "line_no").with_columns(processes=_as_json(pl.col("processes")))
    odd_lines = explode_arrays(odd_decoded, "row", "line_no").join(
        split_elements(odd_decoded, "row", "items", "line_no").select(
            "row", "line_no", processes=pl.col("items").str.json_path_match("$.processes")
        ),
        on=("row", "line_no"),
        how="left",
        maintain_order="left",
    )
    given = pl.coalesce(_PROCESSES_TEXT, "processes").alias("processes")
    return pl.concat(part.with_columns(given).select(_RAW_LINES) for part in (lines, odd_lines)), pl.concat(faults)


def _prepare_json(text: pl.Expr, numbers: NumberFormat) -> pl.Expr:
    """Quote numbers, those that are read in the notation of the export; give processes that are no array a key."""
    scalar = text.str.replace_all(r'"processes"(\s*:\s*["\-0-9tf])', f'"{_PROCESSES_TEXT}"${{1}}')
    quoted = quote_numbers(scalar, ("quantity", "unit_price"), numbers.decimal)
    return quote_numbers(quoted, ("name", "variant", "sku", _PROCESSES_TEXT, "process", "position", "pictures"))


def _as_json(value: pl.Expr) -> pl.Expr:
    text = pl.struct(value.alias("v")).struct.json_encode().str.strip_prefix('{"v":').str.strip_suffix("}")
    return pl.when(value.is_not_null()).then(text)


def _clean_lines(lines: pl.DataFrame, numbers: NumberFormat) -> pl.DataFrame:
    """Clean and parse the columns of `_RAW_LINES`; ``fault`` says what is wrong with a line."""
    read = pl.concat(
        [
            lines.select("row", "line_no", "processes", "is_object"),
            _by_value(lines, "name", product=clean_text(pl.col("name")), nul_1=_holds_nul("name")),
            _by_value(lines, "variant", variant=clean_text(pl.col("variant")), nul_2=_holds_nul("variant")),
            _by_value(lines, "sku", sku=clean_text(pl.col("sku")), nul_3=_holds_nul("sku")),
            _by_value(
                lines,
                "quantity",
                quantity=pl.when(is_not_blank(pl.col("quantity")))
                .then(whole_number(parse_quantity(pl.col("quantity"), numbers)))
                .otherwise(1),
            ),
            _by_value(
                lines,
                "unit_price",
                unit_price=parse_money(pl.col("unit_price"), numbers),
                has_price=is_not_blank(pl.col("unit_price")),
            ),
        ],
        how="horizontal",
    )
    faults = (
        (~pl.col("is_object"), "is not an object"),
        (pl.col("nul_1") | pl.col("nul_2") | pl.col("nul_3") | _holds_nul("processes"), "holds a NUL character"),
        (pl.col("product").is_null() & pl.col("sku").is_null(), "has neither a name nor a sku"),
        (pl.col("quantity").is_null(), "has a quantity that is not a whole number in range"),
        (pl.col("has_price") & pl.col("unit_price").is_null(), "has a unit_price that is not an amount in range"),
    )
    fault = pl.coalesce(*(pl.when(wrong).then(pl.lit(text)) for wrong, text in faults))
    return read.with_columns(fault=fault).select("row", "line_no", *_READ)


def _by_value(lines: pl.DataFrame, column: str, **read: pl.Expr) -> pl.DataFrame:
    """Compute columns from one text column, once per distinct value: lines repeat names, skus and prices a lot."""
    values = lines.select(pl.col(column).unique()).with_columns(pl.col(column).alias("key"), **read)
    joined = lines.select(pl.col(column).alias("key")).join(
        values, on="key", how="left", maintain_order="left", nulls_equal=True
    )
    return joined.select(read.keys())


def _holds_nul(column: str) -> pl.Expr:
    return pl.col(column).str.contains(NUL, literal=True).fill_null(value=False)
