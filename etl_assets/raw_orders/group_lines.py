"""Grouping of the lines of an export with a row per line item into one raw order per order.

The lines of an order may lie anywhere in the file. Small files are grouped in memory; larger ones are spilled into
partition files by a hash of the order number: one partition holds all lines of its orders, and fits in memory.
The notation of numbers does not belong here (`values.numbers`), nor does the grammar of items (`order_items`).
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.presets.model import ITEM_COLUMNS, RAW_COLUMNS
from etl_assets.raw_orders.amount_sums import gathered, once_texts, part_texts, sum_parts, with_line_sums, with_sums
from etl_assets.raw_orders.join_frames import join_frames
from etl_assets.raw_orders.json_text import json_objects
from etl_assets.raw_orders.latest_times import latest_texts
from etl_assets.raw_orders.packed_columns import PACKED, merge_packed, pack_runs
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.shared_numbers import (
    AGREE_ON,
    CONFLICT,
    IDENTITY,
    SPLIT,
    differing_groups,
    disagreements,
    split_by_identity,
    with_conflict,
)
from etl_assets.raw_orders.transform import (
    RAW_ORDER_SCHEMA,
    blank_to_null,
    file_headers,
    latest_headers,
    mapped_value,
    order_constant,
    order_value,
    row_matches,
    unmapped_headers,
    without_empty_values,
)
from etl_assets.spill import PARTITIONS, PartitionFiles
from etl_assets.values.text import clean_text, is_not_blank

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from etl_assets.presets.model import ItemColumn, Preset
    from etl_assets.raw_orders.shared_numbers import Disagreement

IN_MEMORY_LINES: Final = 200_000
JOINED_LINES: Final = 50_000
"""Partitions that are smaller are grouped together: each grouping takes some time of its own."""
ORDER: Final = "__order"
"""String, never null: the cleaned order number; a line without one has a value of its own."""
PLATFORM: Final = "__platform"
SHOP: Final = "__shop"
"""String: the cleaned platform and shop; null where the line has none."""
KEY: Final = (ORDER, PLATFORM, SHOP)
_NUMBER: Final = "__number"
_PARTS: Final = "__parts"
"""How many objects of unmapped columns an order has."""
_ITEM: Final = "item."
_TIME: Final = "time."
_SUMMARY: Final = "__summary"
"""Boolean: the row sums up its order; only where the preset has `summary_rows`."""
_SEPARATOR: Final = "\0"  # no text has one: the readers replace NUL


def group_lines(
    frames: Iterable[pl.DataFrame],
    preset: Preset,
    *,
    found: list[Disagreement] | None = None,
    in_memory_lines: int = IN_MEMORY_LINES,
    partitions: int = PARTITIONS,
    spill_folder: Path | None = None,
) -> Iterator[pl.DataFrame]:
    """Yield frames of `RAW_ORDER_SCHEMA`, each sorted by row_no, from frames of lines as the readers make them.

    Up to `in_memory_lines` lines are grouped at once. More are spilled into `partitions` files in a temporary folder
    (in `spill_folder`, by default the system's), removed when the iterator is exhausted or closed. `found` gets what
    lines of one order disagree on.
    """
    unmapped: list[str] = []

    def mapped() -> Iterator[pl.DataFrame]:
        for frame in frames:
            unmapped[:] = unmapped_headers(file_headers(frame), preset)
            yield map_lines(frame, preset)

    chunks = join_frames(mapped(), in_memory_lines)
    first = next(chunks, None)
    if first is None:
        return
    second = next(chunks, None)
    if second is None:
        yield group_by_order(first, preset, unmapped, found)
        return
    with tempfile.TemporaryDirectory(prefix="etl-assets-", dir=spill_folder) as folder:
        with closing(PartitionFiles(Path(folder), partitions)) as files:
            for lines in chain((first, second), chunks):
                files.write(lines, pl.col(ORDER))
        del first, second, lines
        for lines in join_frames(files.read(), min(in_memory_lines, JOINED_LINES)):
            yield group_by_order(lines, preset, unmapped, found)


def map_lines(lines: pl.DataFrame, preset: Preset) -> pl.DataFrame:
    """Map lines to the order's columns, parts of sums, ``item.…``, ``time.…``, `PACKED`, and to the `KEY`.

    Empty values are null. Constants of the order's columns are left out: they are for orders of which no line has a
    value. Unmapped columns are packed on the first of the lines of an order that follow one another.
    """
    lines, headers = without_empty_values(lines, preset), file_headers(lines)
    times = {header for latest in latest_headers(preset, headers).values() for header in latest}
    summary = _is_summary(preset, headers)
    mapped = lines.select(
        pl.col(LINE_NUMBER, ROW_ERROR),
        *(order_value(preset, column, headers, with_constant=False) for column in RAW_COLUMNS),
        *part_texts(preset, headers),
        *(_item_value(preset, column, headers, summary) for column in ITEM_COLUMNS),
        *(blank_to_null(pl.col(header)).alias(_TIME + header) for header in sorted(times)),
        *([] if summary is None else [summary.alias(_SUMMARY)]),
    )
    number = pl.when(is_not_blank(pl.col("order_id"))).then(clean_text(pl.col("order_id")))
    keyed = mapped.with_columns(
        number.fill_null(_SEPARATOR + pl.col(LINE_NUMBER).cast(pl.String)).alias(ORDER),
        clean_text(pl.col("platform")).alias(PLATFORM),
        clean_text(pl.col("shop")).alias(SHOP),
    )
    packed = pack_runs(lines, unmapped_headers(headers, preset), _starts_run(keyed))
    return keyed.with_columns(packed.alias(PACKED))


def _starts_run(keyed: pl.DataFrame) -> pl.Series:
    """Find the lines that do not surely belong to the order of the line above, whatever other lines say.

    A line of the same `KEY` without the platform's own id, or with the same one, does: see `fill_missing_shop` and
    `split_by_identity`.
    """
    identity = pl.col(IDENTITY)
    goes_on = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in KEY) & (
        identity.is_null() | (identity == identity.shift(1)).fill_null(value=False)
    )
    return keyed.select((~goes_on) | (pl.int_range(pl.len()) == 0)).to_series()


def _is_summary(preset: Preset, headers: Collection[str]) -> pl.Expr | None:
    tests = [test for one in preset.summary_rows if (test := row_matches(one, headers)) is not None]
    return pl.any_horizontal(tests) if tests else None


def _item_value(preset: Preset, column: ItemColumn, headers: Collection[str], summary: pl.Expr | None) -> pl.Expr:
    """Return the value of a column of the item; null in a row that sums up an order."""
    value = mapped_value(preset.item.get(column), headers)
    return (value if summary is None else pl.when(~summary).then(value)).alias(_ITEM + column)


def group_by_order(
    mapped: pl.DataFrame, preset: Preset, unmapped: Sequence[str], found: list[Disagreement] | None = None
) -> pl.DataFrame:
    """Group all lines of some orders (of `map_lines`) into `RAW_ORDER_SCHEMA`, sorted by row_no.

    Orders that share a number and can't be told apart are marked in `defect`. `unmapped` are the headers whose columns
    are packed.
    """
    lines, key = fill_missing_shop(mapped if mapped[LINE_NUMBER].is_sorted() else mapped.sort(LINE_NUMBER))
    if _SUMMARY in lines.columns:
        is_summed_up = pl.col(_SUMMARY).any().over(key) & ~pl.col(_SUMMARY)
        amounts = ("amount", *(part.text for part in sum_parts(preset) if part.column == "amount"))
        lines = lines.with_columns(pl.when(~is_summed_up).then(name).alias(name) for name in amounts)
    lines = with_line_sums(_with_variants(lines, preset.item_variant_separator), preset)
    grouped = _gather(lines, key, preset, unmapped)
    compared = [*(name for name in AGREE_ON if name not in preset.summed_columns), *once_texts(preset), IDENTITY]
    differing = differing_groups(lines, key, grouped.height, compared)
    if differing is None:
        return grouped
    split = split_by_identity(lines, key, differing)
    if split is not None:
        lines = split
        grouped = _gather(lines, (*key, SPLIT), preset, unmapped)
    if found is not None:
        same = lines.filter(~pl.col(CONFLICT)) if CONFLICT in lines.columns else lines
        suspects = same.join(differing.select(key), on=key, how="semi", nulls_equal=True)
        found += disagreements(suspects, key, compared[:-1], preset)
    return grouped


def _gather(lines: pl.DataFrame, key: Sequence[str], preset: Preset, unmapped: Sequence[str]) -> pl.DataFrame:
    """Gather the lines of each key into a raw order."""
    items = json_objects(lines, {column: _ITEM + column for column in ITEM_COLUMNS})
    times = [column for column in lines.columns if column.startswith(_TIME)]
    first_of = [column for column in RAW_COLUMNS if column not in {"items", *preset.summed_columns}]
    conflicts = [pl.col(CONFLICT).any()] if CONFLICT in lines.columns else []
    grouped = (
        lines.with_columns(items.alias("items"))
        .group_by(key, maintain_order=True)
        .agg(
            pl.col(LINE_NUMBER).first().cast(pl.Int32).alias("row_no"),
            *(pl.col(column).first(ignore_nulls=True).fill_null(order_constant(preset, column)) for column in first_of),
            pl.col(*times, PACKED, ROW_ERROR).first(ignore_nulls=True),
            pl.col(PACKED).count().alias(_PARTS),
            pl.col("items").drop_nulls(),
            *gathered(preset),
            *conflicts,
        )
        .with_columns(items=pl.when(pl.col("items").list.len() > 0).then("[" + pl.col("items").list.join(",") + "]"))
    )
    for column, headers in latest_headers(preset, [time.removeprefix(_TIME) for time in times]).items():
        latest = latest_texts(grouped.select(_TIME + header for header in headers), preset)
        grouped = grouped.with_columns(latest.alias(column))
    grouped = with_sums(grouped, preset)
    defect = with_conflict(pl.col(ROW_ERROR), pl.col(CONFLICT)) if conflicts else pl.col(ROW_ERROR)
    named = grouped.with_columns(defect.alias("defect"))
    return _with_whole_objects(named, lines, key, unmapped).select(RAW_ORDER_SCHEMA.names())


def _with_whole_objects(
    grouped: pl.DataFrame, lines: pl.DataFrame, key: Sequence[str], unmapped: Sequence[str]
) -> pl.DataFrame:
    """Merge the objects of the orders whose lines do not all follow one another."""
    rows = (grouped[_PARTS] > 1).arg_true()
    if rows.is_empty():
        return grouped
    apart = grouped.select(key)[rows]
    parts = lines.select(*key, LINE_NUMBER, PACKED).drop_nulls(PACKED)
    merged = merge_packed(parts.join(apart, on=key, how="semi", nulls_equal=True).sort(LINE_NUMBER), key, unmapped)
    whole = apart.join(merged, on=key, how="left", nulls_equal=True, maintain_order="left")[PACKED]
    return grouped.with_columns(grouped[PACKED].scatter(rows, whole))


def fill_missing_shop(lines: pl.DataFrame) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Find the orders of lines without platform or shop: many exports name them on an order's first line only.

    Such a line belongs to the one shop that has an order of this number in the file and does not contradict the line.
    Where several shops do, it is taken for a line of the order above it, and all these orders are marked in `CONFLICT`.
    `lines` must hold all lines of an order, sorted; their order is kept.

    Returns:
        The lines, and the columns that all lines of an order have in common.
    """
    if all(lines[column].null_count() in {0, lines.height} for column in (PLATFORM, SHOP)):
        return lines, KEY  # all lines have them, or none has
    stated = lines.select(KEY).unique().with_row_index(_NUMBER)
    has_shop = pl.col(SHOP).is_not_null()
    platforms = pl.col(PLATFORM).filter(has_shop)  # with null: one that is not named may be any
    of_shop = pl.when(has_shop).then(_single_value(pl.col(PLATFORM).drop_nulls(), ORDER, SHOP))
    of_order = pl.when(~has_shop).then(_single_value(platforms, ORDER))
    completed = stated.with_columns(pl.coalesce(PLATFORM, of_shop, of_order).alias("platform_found")).with_columns(
        pl.coalesce(SHOP, _single_value(pl.col(SHOP).drop_nulls(), ORDER, "platform_found")).alias("shop_found")
    )
    # A number instead of the shop: its text would be copied for each line without it.
    found = completed.with_columns(pl.col(_NUMBER).first().over(ORDER, "platform_found", "shop_found"))
    numbered = lines.join(found.select(*KEY, _NUMBER), on=KEY, how="left", nulls_equal=True, maintain_order="left")
    pairs = _possible_orders(found)
    return (_hold_unclear(numbered, pairs) if pairs.height else numbered), (_NUMBER,)


def _possible_orders(found: pl.DataFrame) -> pl.DataFrame:
    """Pair groups of lines that name too little (`_NUMBER`) with the orders that they may belong to (`possible`).

    Only groups with several possible orders.
    """
    groups = found.select(_NUMBER, ORDER, platform="platform_found", shop="shop_found").unique()
    shared = groups.filter(pl.len().over(ORDER) > 1)
    unclear = shared.filter(pl.any_horizontal(pl.col("platform", "shop").is_null()))
    if unclear.is_empty():
        return pl.DataFrame(schema={_NUMBER: pl.UInt32(), "possible": pl.UInt32()})
    named = shared.filter(pl.col("shop").is_not_null()).rename({_NUMBER: "possible"})
    fits = (pl.col(name).is_null() | (pl.col(name) == pl.col(f"{name}_of")) for name in ("platform", "shop"))
    return (
        unclear.join(named, on=ORDER, suffix="_of")
        .filter(pl.col(_NUMBER) != pl.col("possible"), *fits)
        .filter(pl.len().over(_NUMBER) > 1)
        .select(_NUMBER, "possible")
    )


def _hold_unclear(lines: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Mark the orders of `_possible_orders`, and give unclear lines to the order above, or else to the first below."""
    number = pl.col(_NUMBER)
    is_unclear = number.is_in(pairs[_NUMBER].unique().implode())
    is_held = is_unclear | number.is_in(pairs["possible"].unique().implode())
    clear = pl.when(is_held & ~is_unclear).then(number)
    above = pl.coalesce(clear.forward_fill().over(ORDER), clear.backward_fill().over(ORDER))
    placed = lines.with_columns(is_held.alias(CONFLICT), possible=pl.when(is_unclear).then(above))
    allowed = pairs.with_columns(is_possible=pl.lit(value=True))
    return (
        placed.join(allowed, on=(_NUMBER, "possible"), how="left", maintain_order="left")
        .with_columns(pl.when("is_possible").then("possible").otherwise(number).alias(_NUMBER))
        .drop("possible", "is_possible")
    )


def _single_value(values: pl.Expr, *by: str) -> pl.Expr:
    """Return the one value among `values` of a group; null where there are several or none."""
    return pl.when(values.n_unique().over(by) == 1).then(values.first().over(by))


def _with_variants(lines: pl.DataFrame, separator: str | None) -> pl.DataFrame:
    """Split ``Product - Variant`` at the last separator that has text on both sides, where there is no variant."""
    if separator is None:
        return lines
    name, variant = f"{_ITEM}name", f"{_ITEM}variant"
    pattern = rf"(?s)^(?<name>.*\S.*){_regex_literal(separator)}(?<variant>.*\S.*)$"
    names = pl.when(pl.col(variant).is_null()).then(name)
    parts = lines.select(names.str.extract_groups(pattern).alias("parts")).unnest("parts")  # once, not for each part
    return lines.with_columns(
        parts["name"].zip_with(parts["name"].is_not_null(), lines[name]).alias(name),
        parts["variant"].zip_with(parts["name"].is_not_null(), lines[variant]).alias(variant),
    )


def _regex_literal(text: str) -> str:
    return "".join(rf"\x{{{ord(char):x}}}" for char in text)
