"""Rules of the mapping from the columns of an export to those of `raw_orders`, as pure expressions on frames.

Frames have the file's own headers (all String), `LINE_NUMBER` and `ROW_ERROR`, as the readers make them. Reading files
and cleaning texts do not belong here: raw orders keep the text of the export.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.presets.column_mapping import ColumnMapping
from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.raw_orders.amount_sums import part_texts, with_line_sums, with_sums
from etl_assets.raw_orders.counted_titles import with_counted_titles
from etl_assets.raw_orders.json_text import json_objects
from etl_assets.raw_orders.latest_times import latest_texts
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR
from etl_assets.values.text import is_not_blank

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from etl_assets.presets.column_mapping import RowPattern
    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.readers.columns import ReaderFinding

RAW_ORDER_SCHEMA: Final = pl.Schema(
    [
        ("row_no", pl.Int32),
        *((column, pl.String) for column in (*RAW_COLUMNS, "extra", "defect")),
    ]
)
"""Columns of a raw order but import_id and raw_id. `extra` is the text of a JSON object."""


def to_raw_orders(lines: pl.DataFrame, preset: Preset, found: list[ReaderFinding] | None = None) -> pl.DataFrame:
    """Map the rows of an export of shape `order` to `RAW_ORDER_SCHEMA`: one row in, one row out, text untouched.

    Amounts that are sums are computed, and titles with counts become items. `found` gets the findings.
    """
    lines, headers = without_empty_values(lines, preset), file_headers(lines)
    extra = unmapped_headers(headers, preset)
    latest = {
        column: latest_texts(lines.select(times), preset) for column, times in latest_headers(preset, headers).items()
    }
    raw = lines.select(
        pl.col(LINE_NUMBER).cast(pl.Int32).alias("row_no"),
        *(order_value(preset, column, headers) for column in RAW_COLUMNS),
        json_objects(lines, {header: header for header in extra}, blank_is_null=True).alias("extra"),
        pl.col(ROW_ERROR).alias("defect"),
    ).with_columns(**latest)
    if preset.summed_columns:
        parts = lines.select(LINE_NUMBER, *part_texts(preset, headers))
        sums = with_sums(with_line_sums(parts, preset), preset)
        raw = raw.with_columns(sums.select(preset.summed_columns))
    if preset.item_counts:
        texts = [mapped_value(mapping, headers).alias(name) for name, mapping in preset.item_counts]
        raw = with_counted_titles(raw, lines.select(LINE_NUMBER, *texts), preset.numbers, found)
    return raw


def latest_headers(preset: Preset, headers: Collection[str]) -> dict[str, list[str]]:
    """Return the columns of `raw_orders` that are the latest of several times, with the headers of these."""
    named = {
        column: [name for name in mapping.latest_of if name in headers] for column, mapping in preset.columns.items()
    }
    return {column: times for column, times in named.items() if times}


def file_headers(lines: pl.DataFrame) -> tuple[str, ...]:
    """Return the headers of the file that a frame was read from."""
    return tuple(header for header in lines.columns if header not in {LINE_NUMBER, ROW_ERROR})


def unmapped_headers(headers: Iterable[str], preset: Preset) -> list[str]:
    """Return the headers whose text the preset puts nowhere as it is: it is kept in `extra`."""
    mappings = (*preset.columns.values(), *preset.item.values())
    named = {header for mapping in mappings for header in mapping.replaced_headers}
    return [header for header in headers if header not in named]


def order_value(preset: Preset, column: str, headers: Collection[str], *, with_constant: bool = True) -> pl.Expr:
    """Return the expression of one column of `raw_orders` (String); null where the export has no value."""
    mapping = _order_mapping(preset, column)
    if mapping is not None and not with_constant:
        mapping = mapping.model_copy(update={"constant": None})
    return mapped_value(mapping, headers).alias(column)


def order_constant(preset: Preset, column: str) -> pl.Expr:
    """Return the constant of a column of `raw_orders` (String), for rows without a value; null where there is none."""
    mapping = _order_mapping(preset, column)
    return pl.lit(mapping.constant if mapping else None, pl.String)


def _order_mapping(preset: Preset, column: str) -> ColumnMapping | None:
    default = ColumnMapping(constant=preset.name) if column == "platform" else None
    return dict(preset.columns).get(column, default)  # type: ignore[call-overload,no-any-return]  # any name may be asked for


def mapped_value(mapping: ColumnMapping | None, headers: Collection[str]) -> pl.Expr:
    """Return the value of a mapping: the first matching rule, else the first filled column, else the constant."""
    if mapping is None:
        return pl.lit(None, pl.String)
    columns = [blank_to_null(_extracted(pl.col(name), mapping.extract)) for name in mapping.columns if name in headers]
    value = pl.coalesce(*columns, pl.lit(mapping.constant, pl.String))
    for rule in reversed(mapping.rules):
        matches = row_matches(rule, headers)
        if matches is not None:
            value = pl.when(matches).then(pl.lit(rule.value)).otherwise(value)
    return value


def _extracted(text: pl.Expr, pattern: str | None) -> pl.Expr:
    return text if pattern is None else text.str.extract(pattern, 1)


def row_matches(pattern: RowPattern, headers: Collection[str]) -> pl.Expr | None:
    """Test that rows match a pattern that names columns (never null); None where the file has none of them."""
    texts = [pl.col(header) for header in pattern.when if header in headers]
    if not texts:
        return None
    text = texts[0] if len(texts) == 1 else pl.coalesce(map(blank_to_null, texts))
    return text.fill_null("").str.contains(pattern.matches)


def without_empty_values(lines: pl.DataFrame, preset: Preset) -> pl.DataFrame:
    """Empty the cells of mapped columns that hold one of the texts for an empty cell."""
    if not preset.empty_values:
        return lines
    texts = pl.Series([text.strip() for text in preset.empty_values], dtype=pl.String)
    used = {header for mapping in preset.mappings.values() for header in mapping.headers}
    used |= {header for pattern in preset.summary_rows for header in pattern.when}
    return lines.with_columns(
        pl.when(~pl.col(header).str.strip_chars().is_in(texts.implode())).then(header).alias(header)
        for header in file_headers(lines)
        if header in used
    )


def blank_to_null(text: pl.Expr) -> pl.Expr:
    """Return the text as it is; null where it is blank."""
    return pl.when(is_not_blank(text)).then(text)
