"""Profiles of columns: counts and notations of the values of a file, measured frame by frame in bounded memory.

Pure: frames of text in, counts out. A profile holds no value of a row but those of statuses and currencies (a few) and
some times of each shape, which are tried with the formats and never shown. Deciding what the counts mean does not
belong here (`notation`, `choice`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from etl_assets.values.shapes import value_shape
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Collection

Kind = Literal["value", "number", "time"]

MONTHS: Final = 12
MOST_VALUES: Final = 40
"""A column with more distinct values is no status and no currency."""
MOST_SHAPES: Final = 40
EXAMPLES: Final = 5
"""Times kept of each shape: the first may be none, such as the 31st of February."""
LONGEST_VALUE: Final = 60
LONGEST_SIGN: Final = 5

_NUMBER: Final = r"([+-]?\d(?:[\d.,' ]*\d)?)"
_THREE_DIGITS: Final = r"^[+-]?\d{1,3}(?:\MARK\d{3})+$"
_SHORT_DATE: Final = r"^(\d{1,2})[./-](\d{1,2})(?:[./-]\d{2,4})?(?:\D|$)"


@dataclass
class ColumnProfile:
    """Counts of one column."""

    filled: int = 0
    masked: int = 0
    """Values with ``*``: parts of names that the platform hides."""
    with_digit: int = 0
    notations: Counter[str] = field(default_factory=Counter)
    """Of numbers: ``plain``, ``point`` or ``comma`` (the decimal mark), ``point3`` or ``comma3`` (undecided)."""
    marks: set[str] = field(default_factory=set)
    """Marks of thousands that are neither point nor comma."""
    signs: set[str] = field(default_factory=set)
    """Texts before or after numbers."""
    shapes: Counter[str] = field(default_factory=Counter)
    """Shapes of times (`values.shapes`)."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Some times of each shape."""
    first_most: int = 0
    second_most: int = 0
    """The largest first and second number of dates that begin with two short numbers."""
    values: set[str] = field(default_factory=set)
    """Distinct values, up to one more than `MOST_VALUES`."""

    @property
    def is_listed(self) -> bool:
        """Test that all distinct values are known, each as a whole."""
        return 0 < len(self.values) <= MOST_VALUES and all(len(value) <= LONGEST_VALUE for value in self.values)

    @property
    def numbers(self) -> int:
        """Return how many values are numbers in any notation."""
        return self.notations.total()


@dataclass
class FileProfile:
    """Counts of a file: of its rows and of the columns that are looked at."""

    columns: dict[str, ColumnProfile]
    rows: int = 0
    explanation: str | None = None
    """Text in the column of order numbers of a row under the headers that explains these."""
    repeated: int = 0
    """Order numbers that several rows have."""
    differing: Counter[str] = field(default_factory=Counter)
    """Of each column, the order numbers whose rows have different values in it."""


def measure_column(profile: ColumnProfile, text: pl.Series, kinds: Collection[Kind]) -> None:
    """Add the values of a column to its profile: how many there are and, of the kinds asked for, how they look."""
    values = pl.DataFrame({"text": text}).select(clean_text(pl.col("text"))).drop_nulls()
    column = pl.col("text")
    counts = values.select(
        masked=column.str.contains("*", literal=True).sum(), with_digit=column.str.contains(r"\d").sum()
    ).row(0, named=True)
    profile.filled += values.height
    profile.masked += counts["masked"]
    profile.with_digit += counts["with_digit"]
    if "value" in kinds and len(profile.values) <= MOST_VALUES:
        short = values.select(column.str.slice(0, LONGEST_VALUE + 1).unique(maintain_order=True).head(MOST_VALUES + 1))
        profile.values.update(short["text"].to_list())
    if "number" in kinds:
        _measure_numbers(profile, values)
    if "time" in kinds:
        _measure_times(profile, values)


def measure_repeats(profile: FileProfile, frame: pl.DataFrame, order_id: str, others: Collection[str]) -> None:
    """Count the order numbers that several rows of a frame have, and the columns in which these rows differ."""
    texts = frame.select(clean_text(pl.col(name)) for name in {order_id, *others}).filter(
        pl.col(order_id).is_not_null()
    )
    names = [name for name in others if name != order_id]
    orders = (
        texts.group_by(order_id)
        .agg(pl.len().alias("\0rows"), *(pl.col(name).drop_nulls().n_unique() for name in names))
        .filter(pl.col("\0rows") > 1)
    )
    profile.repeated += orders.height
    profile.differing.update({name: orders.filter(pl.col(name) > 1).height for name in names})


def _measure_numbers(profile: ColumnProfile, values: pl.DataFrame) -> None:
    text, bare, rest = pl.col("text"), pl.col("bare"), pl.col("rest")
    found = (
        values.select(text, bare=text.str.extract(_NUMBER))
        .drop_nulls()
        .select(bare, rest=text.str.replace(_NUMBER, "").str.strip_chars())
        .filter((rest.str.len_chars() <= LONGEST_SIGN) & ~rest.str.contains(r"[\d:/]"))
    )
    notation = (
        pl.when(bare.str.contains(r"^[+-]?\d+$")).then(pl.lit("plain"))
        .when(bare.str.contains(r",.*\.") | bare.str.contains(r"^[^.,]*\.(?:\d{1,2}|\d{4,})$")).then(pl.lit("point"))
        .when(bare.str.contains(r"\..*,") | bare.str.contains(r"^[^.,]*,(?:\d{1,2}|\d{4,})$")).then(pl.lit("comma"))
        .when(bare.str.contains(_THREE_DIGITS.replace("MARK", "."))).then(pl.lit("point3"))
        .when(bare.str.contains(_THREE_DIGITS.replace("MARK", ","))).then(pl.lit("comma3"))
        .when(bare.str.contains(r"^[+-]?\d{1,3}(?:[' ]\d{3})+$")).then(pl.lit("plain"))
    )  # fmt: skip
    counted = found.select(notation.alias("notation")).drop_nulls()["notation"].value_counts()
    profile.notations.update(dict(counted.iter_rows()))
    profile.marks.update(found.select(bare.str.extract(r"\d([' ])\d{3}")).drop_nulls().unique()["bare"].to_list())
    if len(profile.signs) <= MOST_VALUES:
        profile.signs.update(found.filter(rest != "")["rest"].unique(maintain_order=True).head(MOST_VALUES).to_list())


def _measure_times(profile: ColumnProfile, values: pl.DataFrame) -> None:
    text = pl.col("text")
    seen = (
        values.filter(text.str.contains(r"[1-9]"))  # MySQL's empty dates are zeros
        .select(text, shape=value_shape(text))
        .group_by("shape", maintain_order=True)
        .agg(pl.len().alias("count"), text.unique(maintain_order=True).head(EXAMPLES))
        .head(MOST_SHAPES)
    )
    for name, count, examples in seen.iter_rows():
        if name in profile.shapes or len(profile.shapes) < MOST_SHAPES:
            profile.shapes[name] += count
            profile.examples.setdefault(name, examples)
    short = values.select(text.str.extract_groups(_SHORT_DATE).struct.rename_fields(["first", "second"])).unnest("text")
    numbers = short.select(pl.all().cast(pl.Int64, strict=False))
    dates = numbers.filter((pl.col("first") <= MONTHS) | (pl.col("second") <= MONTHS))  # others are none in any order
    first, second = dates.select(pl.all().max().fill_null(0)).row(0)
    profile.first_most, profile.second_most = max(profile.first_most, first), max(profile.second_most, second)
