"""Samples of the values of an import, as the file has them and as they are read: a few rows of its beginning.

They are for the terminal of the user who has the file; no value of a row goes anywhere else.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from etl_assets.presets.model import RAW_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

SAMPLES: Final = 3
"""Values of a column that are shown."""
LINE_COLUMNS: Final[Mapping[str, str]] = {
    "name": "product", "variant": "variant", "sku": "sku", "quantity": "quantity", "unit_price": "unit_price",
    "processes": "processes", "personalisation": "personalisation",
}  # fmt: skip
"""Columns of an item of an export, and those of `order_items`."""
_SAMPLED_ORDERS: Final = 12


class Samples:
    """The first different values of each column, with the rows that have them."""

    def __init__(self) -> None:
        self.rows = pl.DataFrame()
        """Raw orders that have a value which is shown."""
        self.lines = pl.DataFrame()
        """The lines of these, as they are read."""
        self.item_lines = 0
        """Lines of all rows."""
        self.filled_lines: dict[str, int] = {}
        """Column of an item → lines that have a value in it."""

    def take(self, rows: pl.DataFrame, lines: pl.DataFrame) -> None:
        """Take the samples from the first rows of an import."""
        if self.rows.height:
            return
        columns = [name for name in RAW_COLUMNS if name in rows.columns]
        at = rows.with_row_index("at")
        firsts = [
            at.filter(pl.col(name).is_not_null()).unique(name, keep="first", maintain_order=True).head(2 * SAMPLES)
            for name in columns
        ]
        chosen = pl.concat([part.select("at") for part in firsts]).unique() if firsts else at.select("at").clear()
        with_extra = at.filter(pl.col("extra").is_not_null()).head(SAMPLES).select("at")
        self.rows = at.join(pl.concat([chosen, with_extra]).unique(), on="at", how="semi").sort("at").drop("at")
        self.lines = lines.join(self.rows.select("raw_id"), on="raw_id", how="semi", maintain_order="left")

    def count_lines(self, lines: pl.DataFrame) -> None:
        """Count the lines that have a value in each column of an item."""
        self.item_lines += lines.height
        for name, column in LINE_COLUMNS.items():
            filled = lines.height - lines[column].null_count()
            self.filled_lines[name] = self.filled_lines.get(name, 0) + filled

    def values_of(self, column: str, read: Mapping[int, Any], unread: Collection[int]) -> list[dict[str, Any]]:
        """Return a few values of a column of raw orders: `file` as it is there, `read` as it is read.

        Args:
            column: of `RAW_COLUMNS`.
            read: the value that the row of a number is read as; rows that can't be read at all are missing.
            unread: the rejected rows in which this very value can't be read.

        Returns:
            `is_read` is null where the row can't be read at all.
        """
        if column not in self.rows.columns:
            return []
        first = self.rows.filter(pl.col(column).is_not_null()).unique(column, keep="first", maintain_order=True)
        pairs = [(raw_id, text) for raw_id, text in first.select("raw_id", column).iter_rows()]
        good_first = sorted(pairs, key=lambda pair: pair[0] in unread or pair[0] not in read)[:SAMPLES]
        return [
            {
                "file": text,
                "read": read.get(raw_id),
                "is_read": False if raw_id in unread else True if raw_id in read else None,
            }
            for raw_id, text in good_first
        ]

    def items(self) -> dict[str, list[dict[str, Any]]]:
        """Return a few values of each column of an item, of an export with a row for each item."""
        found: dict[str, dict[str, Any]] = {name: {} for name in LINE_COLUMNS}
        orders = self.rows.filter(pl.col("items").is_not_null()).head(_SAMPLED_ORDERS)
        for raw_id, text in orders.select("raw_id", "items").iter_rows():
            read = self.lines.filter(pl.col("raw_id") == raw_id).sort("line_no").rows(named=True)
            items = json.loads(text)
            is_read = True if len(items) == len(read) else None  # else one of them can't be read, and none is
            for item, line in zip(items, read if is_read else [{}] * len(items), strict=True):
                for name, column in LINE_COLUMNS.items():
                    if name in item and len(found[name]) < SAMPLES:
                        found[name].setdefault(item[name], {"read": line.get(column), "is_read": is_read})
        return {name: [{"file": text} | how for text, how in values.items()] for name, values in found.items()}

    def item_texts(self) -> dict[int, str]:
        """Return, by row, the items of an export with a row for each order, in words."""
        lines = self.lines.select("raw_id", "product", "sku", "variant", "quantity").rows(named=True)
        texts: dict[int, list[str]] = {}
        for line in lines:
            variant = f" ({line['variant']})" if line["variant"] else ""
            texts.setdefault(line["raw_id"], []).append(
                f"{line['quantity']} × {line['product'] or line['sku']}{variant}"
            )
        return {raw_id: "; ".join(items) for raw_id, items in texts.items()}

    def further(self) -> dict[str, list[str]]:
        """Return a few values of the headers that no column takes."""
        found: dict[str, list[str]] = {}
        for text in self._extra():
            for header, value in json.loads(text).items():
                values = found.setdefault(header, [])
                if value not in values and len(values) < SAMPLES:
                    values.append(value)
        return found

    def _extra(self) -> Iterable[str]:
        return self.rows["extra"].drop_nulls() if "extra" in self.rows.columns else ()
