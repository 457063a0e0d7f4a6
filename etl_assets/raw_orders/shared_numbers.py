"""Orders of one import that share an order number: told apart, held, or counted where their rows disagree.

The hazard is a merge: orders of two shops exported under one name have the same numbers, and would become one order of
two customers. Rules on lines and raw orders, without a database; the import's own transaction applies them (`load`).
An order of an earlier import under the same number is the business of `orders.conflicts`.
"""

from __future__ import annotations

from functools import reduce
from operator import xor
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from etl_assets.frame_schemas import CONFLICTING_ORDER
from etl_assets.raw_orders.amount_sums import once_texts
from etl_assets.raw_orders.readers.columns import LINE_NUMBER
from etl_assets.values.numbers import is_rounded_number, parse_money
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etl_assets.presets.model import Preset

IDENTITY: Final = "platform_order_id"
SHOP_NAMES: Final = ("platform", "shop")
ORDER_NAMES: Final = (*SHOP_NAMES, "order_id")
AGREE_ON: Final = ("customer_name", "ordered_at", "amount")
"""Columns on which the rows of an order should agree."""
REPEAT_COLUMNS: Final = (*ORDER_NAMES, IDENTITY, *AGREE_ON)
"""Columns of raw orders that `settle_repeats` decides by."""
SPLIT: Final = "__split"
"""String: the order of a line, where orders share their number."""
CONFLICT: Final = "__conflict"
"""Boolean: the order is one of several that share its number, and waits in quarantine."""
_HASH: Final = "__hash of "


class Disagreement(NamedTuple):
    """Column in which rows of one order have different values."""

    column: str
    orders: int
    first_line: int


def differing_groups(
    lines: pl.DataFrame, key: Sequence[str], groups: int, columns: Sequence[str]
) -> pl.DataFrame | None:
    """Find the groups of lines whose texts differ in a column; None where there is none, as in nearly every file.

    Saves a grouping of its own: where the lines of each order lie together, neighbours are compared, which takes a
    seventh of the time.

    Args:
        lines: all lines of the groups, sorted.
        key: columns that the lines of a group have in common.
        groups: how many there are.
        columns: texts; null counts as no value.

    Returns:
        The keys of the groups, and for each column whether it differs.
    """
    is_further = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in key)
    other = (
        (pl.col("is_further") & (pl.col(name) != pl.col(name).forward_fill().shift(1))).any().alias(name)
        for name in columns
    )
    runs, *differs = (
        lines.select(is_further.alias("is_further"), *columns).select((~pl.col("is_further")).sum(), *other).row(0)
    )
    if runs == groups and not any(differs):
        return None
    hashed = lines.select(
        *key, *(pl.when(pl.col(name).is_not_null()).then(pl.col(name).hash()).alias(_HASH + name) for name in columns)
    )
    found = (
        hashed.group_by(key)
        .agg(
            (pl.col(_HASH + name).min() != pl.col(_HASH + name).max()).fill_null(value=False).alias(name)
            for name in columns
        )
        .filter(pl.any_horizontal(columns))
    )
    return found if found.height else None


def split_by_identity(lines: pl.DataFrame, key: Sequence[str], differing: pl.DataFrame) -> pl.DataFrame | None:
    """Number the orders among lines of one key by the platform's own id, and mark them; None where all have one id.

    A line without an id belongs to the order above it.

    Args:
        lines: as they are grouped, sorted.
        key: columns that the lines of a group have in common.
        differing: as `differing_groups` returns it.

    Returns:
        The lines with the columns `SPLIT` (null where a group is one order) and `CONFLICT`.
    """
    suspects = differing.filter(IDENTITY).select(key)
    if suspects.is_empty():
        return None
    marked = lines.join(
        suspects.with_columns(is_suspect=pl.lit(value=True)),
        on=key,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    ).with_columns(pl.when("is_suspect").then(clean_text(pl.col(IDENTITY))).alias(SPLIT))
    several = pl.col(SPLIT).drop_nulls().n_unique().over(key) > 1
    above = pl.coalesce(pl.col(SPLIT).forward_fill().over(key), pl.col(SPLIT).backward_fill().over(key))
    split = marked.with_columns(pl.when(several).then(above).alias(SPLIT)).drop("is_suspect")
    if split[SPLIT].null_count() == split.height:
        return None
    known = pl.col(CONFLICT) if CONFLICT in lines.columns else pl.lit(value=False)
    return split.with_columns((known | pl.col(SPLIT).is_not_null()).alias(CONFLICT))


def disagreements(
    rows: pl.DataFrame, key: Sequence[str], columns: Sequence[str], preset: Preset, line: str = LINE_NUMBER
) -> list[Disagreement]:
    """Count the orders whose rows have different values in a column, once the texts are cleaned.

    Args:
        rows: all rows of some orders.
        key: columns that the rows of an order have in common.
        columns: of `AGREE_ON`.
        preset: the notation of amounts.
        line: column of the line of the file.
    """
    found_in = []
    for column in columns:
        value = clean_text(pl.col(column))
        if column == "amount" or column in once_texts(preset):
            value = pl.coalesce(parse_money(pl.col(column), preset.numbers).cast(pl.String), value)
        found = (
            rows.select(*key, line, value=value)
            .drop_nulls("value")
            .group_by(key)
            .agg(pl.col("value").n_unique(), pl.col(line).min())
            .filter(pl.col("value") > 1)
        )
        if found.height:
            first: int = found[line].min()  # type: ignore[assignment]  # of an integer column
            found_in.append(Disagreement(column, found.height, first))
    return found_in


class RepeatedOrders:
    """Raw orders of one import that have the same order number, found while they are landed.

    Keeps 20 bytes for each raw order: hashes of its number and of its other texts, and its row_no. Only rows that
    differ under one number are looked at again.
    """

    def __init__(self) -> None:
        self._seen: list[pl.DataFrame] = []

    def add(self, raw: pl.DataFrame) -> None:
        """Take note of landed raw orders."""
        content = [name for name in (IDENTITY, *AGREE_ON) if name in raw.columns]
        # Shops are cleaned once for each spelling: their names are seldom ASCII, and so cost more than all other texts.
        shops = raw.select(SHOP_NAMES).unique()
        shops = shops.with_columns(_hash_of(clean_text(pl.col(name)) for name in SHOP_NAMES).alias("shop_hash"))
        self._seen.append(
            raw.filter(pl.col("order_id").is_not_null())
            .join(shops, on=SHOP_NAMES, how="left", nulls_equal=True)
            .select(
                _hash_of([pl.col("shop_hash"), clean_text(pl.col("order_id"))]).alias("number"),
                _hash_of(pl.col(name) for name in ("order_id", *content)).alias("content"),
                "row_no",
            )
        )

    def differing(self, at_most: int) -> list[pl.Series]:
        """Return the row_no of the rows that share a number and differ, in parts of about so many with whole orders."""
        seen = pl.concat(self._seen) if self._seen else pl.DataFrame()
        if seen.is_empty() or seen["number"].n_unique() == seen.height:
            return []
        repeated = seen.filter(pl.col("number").is_duplicated())
        differing = repeated.filter(pl.col("content").min().over("number") != pl.col("content").max().over("number"))
        parts = differing.with_columns(part=pl.col("number") % (differing.height // at_most + 1))
        return [part["row_no"].sort() for part in parts.partition_by("part")]


def _hash_of(values: Iterable[pl.Expr]) -> pl.Expr:
    """Hash several texts as one, in a third of the time that a hash of them as a struct or as one text takes."""
    return reduce(xor, (value.hash(seed) for seed, value in enumerate(values)))


def settle_repeats(rows: pl.DataFrame, preset: Preset) -> tuple[pl.Series, list[Disagreement]]:
    """Decide what raw orders of one import are that share an order number.

    Args:
        rows: `raw_id`, `row_no` and `REPEAT_COLUMNS`, all rows of some order numbers.
        preset: the notation of amounts.

    Returns:
        The raw_id of those that are different orders by the platform's own id, all of a number; and what the others
        disagree on. Rounded numbers are neither: they are held anyway.
    """
    cleaned = rows.with_columns(clean_text(pl.col(name)) for name in (*ORDER_NAMES, IDENTITY)).filter(
        pl.col("order_id").is_not_null() & ~is_rounded_number(pl.col("order_id"))
    )
    is_conflict = pl.col(IDENTITY).drop_nulls().n_unique().over(ORDER_NAMES) > 1
    told = cleaned.with_columns(is_conflict=is_conflict)
    same = told.filter(~pl.col("is_conflict"))
    return told.filter("is_conflict")["raw_id"], disagreements(same, ORDER_NAMES, AGREE_ON, preset, "row_no")


def with_conflict(defect: pl.Expr, is_conflict: pl.Expr) -> pl.Expr:
    """Add `CONFLICTING_ORDER` to the defects of a row, which are separated by blanks."""
    code = pl.when(is_conflict).then(pl.lit(CONFLICTING_ORDER))
    joined = pl.concat_str(defect, code, separator=" ", ignore_nulls=True)
    return pl.when(joined != "").then(joined)


def count_conflicts(raw: pl.DataFrame) -> int:
    """Count the raw orders that are marked as being in conflict."""
    if "defect" not in raw.columns or raw["defect"].null_count() == raw.height:
        return 0
    return int(raw["defect"].str.contains(CONFLICTING_ORDER, literal=True).sum())
