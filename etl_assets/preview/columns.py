"""Columns of an import that is looked at: the header that each is taken from, how many orders fill it, some values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from etl_assets.orders.transform import read_orders
from etl_assets.presets.headers import fit_to_headers
from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.preview.figures import VALUE_COLUMNS, is_unread
from etl_assets.preview.samples import LINE_COLUMNS
from etl_assets.raw_orders.transform import unmapped_headers
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl_assets.presets.amount_sum import AmountSum
    from etl_assets.presets.column_mapping import ColumnMapping
    from etl_assets.preview.reading import Candidate
    from etl_assets.preview.store import Store

READ_AS: Final[Mapping[str, str]] = {
    "order_id": "order_id",
    "customer_name": "customer_nickname",
    "order_status": "latest_status",
    "order_type": "order_type",
    "amount": "amount",
    "refunded_amount": "refunded_amount",
    "currency": "currency",
    "ordered_at": "ordered_at",
    "updated_at": "source_updated_at",
    "platform_order_id": "platform_order_id",
}
"""Column of `raw_orders` → column of `orders` that its text is read as."""
_CLEANED: Final = ("platform", "shop")


def describe_columns(candidate: Candidate, store: Store, shops: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the columns of an import.

    Returns:
        For each that the mapping names, or that has a value: `column`, `from` (headers and constants), `missing`
        (headers of the mapping, where the file has none of them), `filled` (share of the orders, or of the lines),
        `values` (`file`, `read`, `is_read`).
    """
    preset, samples = fit_to_headers(candidate.preset, candidate.counts.headers), candidate.samples
    read, unread = _read_samples(candidate, store, shops)
    profile = candidate.counts.profile
    is_grouped = preset.shape == "line_item"
    found: list[dict[str, Any]] = []
    for column in RAW_COLUMNS:
        mapping = preset.columns.get(column)
        filled = profile.filled.get(column, 0)
        if (mapping is None and not filled) or (is_grouped and column == "items"):
            continue
        found.append(
            {
                "column": column,
                "from": _taken_from(candidate, column, mapping, is_sum=column == "amount" and preset.amount_from_items),
                "missing": _missing(mapping, candidate.counts.headers),
                "filled": _share(filled, profile.orders),
                "values": samples.values_of(column, read.get(column, {}), unread.get(column, ())),
            }
        )
    items = samples.items() if is_grouped else {}
    for name in LINE_COLUMNS:
        item = {str(column): mapping for column, mapping in preset.item.items()}.get(name)
        if item is not None:
            filled = samples.filled_lines.get(name, 0)
            found.append(
                {
                    "column": f"item.{name}",
                    "from": _headers_of(item, candidate.counts.headers),
                    "missing": _missing(item, candidate.counts.headers),
                    "filled": _share(filled, samples.item_lines),
                    "values": items.get(name, []),
                }
            )
    return found


def headers_not_taken(candidate: Candidate) -> list[dict[str, Any]]:
    """Return the headers that no column takes, with a few values."""
    headers = candidate.counts.headers
    further = candidate.samples.further()
    unmapped = unmapped_headers(headers, fit_to_headers(candidate.preset, headers))
    return [{"header": header, "values": further.get(header, [])} for header in unmapped]


def _read_samples(
    candidate: Candidate, store: Store, shops: pl.DataFrame
) -> tuple[dict[str, dict[int, Any]], dict[str, set[int]]]:
    """Return, by column, the values that the rows of the samples are read as, and the rows whose text can't be read.

    Of a row with such a text, the other columns are read without it.
    """
    rows = candidate.samples.rows
    if rows.is_empty():
        return {}, {}
    types = store.order_types(rows["order_type"]).drop("is_mapped")
    versions, rejected = read_orders(rows, candidate.preset, shops, types)
    unread = {column: set(rejected.filter(is_unread(column))["raw_id"]) for column in VALUE_COLUMNS}
    others = rows.join(rejected, on="raw_id", how="semi").with_columns(
        pl.when(~pl.col("raw_id").is_in(list(bad))).then(pl.col(column)).alias(column) for column, bad in unread.items()
    )
    versions = pl.concat([versions, read_orders(others, candidate.preset, shops, types)[0]])
    ids = versions["raw_id"].to_list()
    read = {column: dict(zip(ids, versions[name].to_list(), strict=True)) for column, name in READ_AS.items()}
    good = rows.filter(pl.col("raw_id").is_in(ids))
    for column in _CLEANED:
        read[column] = dict(good.select("raw_id", clean_text(pl.col(column))).iter_rows())
    types_of = zip(ids, versions.select("order_type", "system_order_type").iter_rows(), strict=True)
    read["order_type"] = {raw_id: f"{raw} ({system})" if raw else system for raw_id, (raw, system) in types_of}
    cancelled = zip(ids, versions.select("latest_status", "is_cancelled").iter_rows(), strict=True)
    read["order_status"] = {
        raw_id: f"{status} (counts as cancelled)" if is_so else status for raw_id, (status, is_so) in cancelled
    }
    read["items"] = dict(candidate.samples.item_texts())
    read["remark"] = dict(rows.select("raw_id", "remark").iter_rows())
    read["processes"] = dict(rows.select("raw_id", "processes").iter_rows())
    return read, unread


def _taken_from(candidate: Candidate, column: str, mapping: ColumnMapping | None, *, is_sum: bool) -> list[str]:
    if is_sum:
        return ["the sum of quantity × unit price"]
    if mapping is None:
        return [f"the name of the preset, {candidate.preset.name}"] if column == "platform" else []
    taken = candidate.counts.profile.taken.get(column, {})
    headers = _headers_of(mapping, candidate.counts.headers)
    return [one for one in headers if taken.get(one, 1)]


def _headers_of(mapping: ColumnMapping, headers: tuple[str, ...]) -> list[str]:
    """Return what a mapping takes a value from, one after the other: rules, headers of the file, its constant."""
    named = dict.fromkeys(header for rule in mapping.rules for header in rule.when)
    rules = [f"rules on {header}" for header in named if header in headers]
    present = [header for header in mapping.columns if header in headers]
    times = [header for header in mapping.latest_of if header in headers]
    latest = [f"the latest of {', '.join(times)}"] if times else []
    constant = [f"the constant {mapping.constant!r}"] if mapping.constant is not None else []
    place = [f"the place of the row: {', '.join(mapping.number_rows_by)}"] if mapping.number_rows_by else []
    total = [_sum_of(mapping.sum, headers)] if mapping.sum is not None and {*mapping.headers} & {*headers} else []
    return rules + present + latest + total + constant + place


def _sum_of(added: AmountSum, headers: tuple[str, ...]) -> str:
    """Return a sum in words, of the columns that the file has."""
    plus, minus = (
        ", ".join(header for part in parts for header in part if header in headers)
        for parts in ((*added.plus, *added.plus_rows), (*added.minus, *added.minus_rows))
    )
    return f"the sum of {plus}" + (f" less {minus}" if minus else "")


def _missing(mapping: ColumnMapping | None, headers: tuple[str, ...]) -> list[str]:
    """Return the headers that a mapping names, where the file has none of them."""
    named = () if mapping is None else mapping.headers
    return [] if {*named} & {*headers} else list(dict.fromkeys(named))


def _share(filled: int, of: int) -> float | None:
    return round(filled / of, 4) if of else None
