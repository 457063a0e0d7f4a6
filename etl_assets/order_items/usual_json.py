"""JSON items as programs write them: read by a fast decoder, and each distinct item once.

Saves decoding: nearly all items of an export come from a program that writes keys in one order, and a catalogue's items
repeat a lot. Measured in CPU seconds of the client per million orders (docs/performance.md, "Gain of each
optimisation"): pyarrow after a pattern has vouched for the text 5.5 instead of 10.6, each distinct item once 2.0
instead of 5.9 (8.1 instead of 6.4 where no item occurs twice).

Hazard: pyarrow decodes a column as one document, so one malformed text would fail it or shift its neighbours. A text is
only decoded here if a pattern matches each of its items as a whole; all others are left to `transform`, whose result
for a usual text is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import pyarrow as pa
import pyarrow.json as pa_json

from etl_assets.order_items.json_arrays import NUL, STRING
from etl_assets.order_items.lines import MAX_LINES, RAW_LINES, READ, as_json, clean_lines

if TYPE_CHECKING:
    from etl_assets.values.numbers import NumberFormat


def _usual_item(number: str) -> str:
    """Return the pattern of an item as programs write it: a fixed order of keys, no blanks between the marks."""
    process = rf'\{{"process":{STRING}(?:,"position":{STRING})?(?:,"pictures":{number})?\}}'
    return (
        rf'^\{{"name":{STRING}(?:,"variant":{STRING})?(?:,"sku":{STRING})?(?:,"quantity":{number})?'
        rf'(?:,"unit_price":{STRING})?(?:,"processes":\[(?:{process}(?:,{process})*)?\])?'
        rf'(?:,"personalisation":{STRING})?\}}$'
    )


_USUAL_ITEMS: Final = (
    (_usual_item(r"-?(?:0|[1-9][0-9]{0,8})"), pa.int64()),
    (_usual_item(STRING), pa.string()),  # as this project's own gathering writes them
)
_LEAST_BLOCK_BYTES: Final = 1 << 20
_BETWEEN_ITEMS: Final = ('},{"name":', '}\0{"name":')
"""The end of an item and the beginning of the next: never within a text of JSON, whose quotes are escaped."""


def read_usual_json(texts: pl.DataFrame, numbers: NumberFormat) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read texts (``row, items``) all of whose items are written as programs write them.

    Returns:
        The lines, as `clean_lines` returns them, and the texts that hold any other item.
    """
    array = pl.col("items")
    pieces = (
        array.str.strip_prefix("[").str.strip_suffix("]").str.replace_all(*_BETWEEN_ITEMS, literal=True).str.split(NUL)
    )
    split = texts.filter(array.str.starts_with("[") & array.str.ends_with("]")).select("row", item=pieces)
    length = split["item"].list.len()
    if (length > MAX_LINES).any():
        split = split.filter(length <= MAX_LINES)  # longer ones are rejected by `decode_arrays`
    items = split.with_columns(line_no=pl.int_ranges(1, pl.col("item").list.len() + 1, dtype=pl.Int32)).explode(
        "item", "line_no"
    )
    distinct = items.select(pl.col("item").unique()).with_row_index("row")
    read = clean_lines(_decode_usual(distinct), numbers).drop("line_no").with_columns(is_usual=pl.lit(value=True))
    lines = items.join(distinct.join(read, on="row").drop("row"), on="item", how="left", maintain_order="left")
    odd = lines.filter(pl.col("is_usual").is_null()).select("row").unique()
    usual = lines.join(odd, on="row", how="anti") if odd.height else lines
    others = texts.join(usual, on="row", how="anti")
    return usual.select("row", "line_no", *READ), others


def _decode_usual(items: pl.DataFrame) -> pl.DataFrame:
    """Decode those of the texts (``row, item``) that are one usual item each into `RAW_LINES`."""
    lines = []
    for pattern, number in _USUAL_ITEMS:
        is_usual = pl.col("item").str.contains(pattern)
        marked = items.with_columns(is_usual=is_usual)
        usual, items = (
            part.drop("is_usual") for part in (marked.filter("is_usual"), marked.filter(~pl.col("is_usual")))
        )
        process = pa.struct([("process", pa.string()), ("position", pa.string()), ("pictures", number)])
        texts_of_item = [(name, pa.string()) for name in ("name", "variant", "sku", "unit_price", "personalisation")]
        item = pa.struct([*texts_of_item, ("quantity", number), ("processes", pa.list_(process))])
        read = decode_exact(usual, "item", item).unnest("decoded")
        lines.append(
            read.with_columns(
                pl.col("quantity").cast(pl.String),
                line_no=pl.lit(1, pl.Int32),
                is_object=pl.lit(value=True),
                processes=as_json(pl.col("processes")),
            ).select(RAW_LINES)
        )
    return pl.concat(lines)


def decode_exact(texts: pl.DataFrame, column: str, dtype: pa.DataType) -> pl.DataFrame:
    """Decode texts that are known to be JSON of exactly this type, several times faster than `decode_arrays`.

    Args:
        texts: any columns besides ``column``.
        column: JSON without line breaks, with no other type of value than ``dtype`` has.
        dtype: the type to decode to; keys that it does not have are left out.

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
        read_options=pa_json.ReadOptions(block_size=max(_LEAST_BLOCK_BYTES, 2 * longest)),
        parse_options=pa_json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore"),
    )
