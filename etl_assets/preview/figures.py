"""Figures of one import that is looked at: what its orders are, and which of its rows can't be loaded.

Counted part by part, so that memory is bounded: a part has all rows of its orders. Nothing is read from the store here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from etl_assets.orders.value_hints import HINT_COLUMNS, unreadable_values_hint
from etl_assets.values.numbers import TOTAL

if TYPE_CHECKING:
    from datetime import datetime

    from etl_assets.presets.model import Preset

MAX_KINDS: Final = 1_000
"""Different statuses, types or currencies of an import that are kept apart; more are a sign of a wrong mapping."""
EXAMPLES: Final = 5
"""Rejected rows of a reason that are shown."""
HINT_ROWS: Final = 2_000
VALUE_CHARACTERS: Final = 120
VALUE_COLUMNS: Final = ("order_id", "amount", "refunded_amount", "ordered_at", "updated_at")
"""Columns of which a reason names the shape of the value."""
REJECTION_COLUMNS: Final = ("asset", "reason_code", "line", "order_id", "value", "reason")


class Tally:
    """Counts by kind, of parts that are added one by one."""

    def __init__(self, *keys: str) -> None:
        self._keys = keys
        self._rows: pl.DataFrame | None = None
        self.others = 0
        """Orders of kinds beyond `MAX_KINDS`."""

    def add(self, rows: pl.DataFrame, **sums: pl.Expr) -> None:
        """Add the orders of a part, and `sums` of them."""
        found = rows.group_by(self._keys).agg(orders=pl.len().cast(pl.Int64), **sums)
        both = found if self._rows is None else pl.concat([self._rows, found])
        added = both.group_by(self._keys).agg(pl.exclude(self._keys).sum())
        kinds = added.sort("orders", *self._keys, descending=[True, *[False] * len(self._keys)])
        self._rows = kinds.head(MAX_KINDS)
        self.others += int(kinds["orders"].slice(MAX_KINDS).sum())

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the kinds, those with most orders first."""
        return [] if self._rows is None else self._rows.to_dicts()


class Figures:
    """Figures of an import."""

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self.orders = 0
        """Different orders that can be read."""
        self.items = 0
        """Lines of these orders."""
        self.without_customer = 0
        self.cancelled = 0
        self.without_time = 0
        self.first_order_at: datetime | None = None
        self.last_order_at: datetime | None = None
        self.statuses = Tally("status", "is_cancelled")
        self.order_types = Tally("order_type", "system_order_type")
        self.amounts = Tally("currency")
        self.rejected_rows = 0
        """Rows that are no version of an order."""
        self._rejections: list[pl.DataFrame] = []
        self._counts: dict[tuple[str, str], int] = {}
        self._unreadable: list[pl.DataFrame] = []

    def add_orders(self, newest: pl.DataFrame, rows: pl.DataFrame) -> None:
        """Add the orders of a part: the newest good version of each (`ORDER_SCHEMA`), and all its rows."""
        self.orders += newest.height
        self.items += int(rows.join(newest.select("raw_id"), on="raw_id", how="semi")["item_lines"].sum())
        self.without_customer += newest["customer_global_id"].null_count()
        self.cancelled += int(newest["is_cancelled"].sum())
        self.without_time += newest["ordered_at"].null_count()
        times = newest.select(low=pl.col("ordered_at").min(), high=pl.col("ordered_at").max()).row(0)
        known = [time for time in (*times, self.first_order_at, self.last_order_at) if time is not None]
        self.first_order_at, self.last_order_at = min(known, default=None), max(known, default=None)
        self.statuses.add(newest.rename({"latest_status": "status"}))
        self.order_types.add(newest)
        amount = pl.col("amount").cast(TOTAL)
        self.amounts.add(
            newest,
            amount=amount.sum(),
            cancelled=pl.col("is_cancelled").sum().cast(pl.Int64),
            cancelled_amount=amount.filter(pl.col("is_cancelled")).sum(),
            refunded=pl.col("refunded_amount").cast(TOTAL).sum(),
            without_amount=pl.col("amount").null_count().cast(pl.Int64),
        )

    def add_lines(self, newest: pl.DataFrame, rows: pl.DataFrame) -> None:
        """Add the orders of a part of a file of lines: the newest version of each, and all its rows."""
        self.orders += newest.height
        self.items += int(rows.join(newest.select("raw_id"), on="raw_id", how="semi")["item_lines"].sum())

    def add_rejected(self, asset: str, rejected: pl.DataFrame, rows: pl.DataFrame, value: pl.Expr) -> None:
        """Add rows that would be quarantined.

        Args:
            asset: that rejects them.
            rejected: `raw_id`, `reason_code`, `reason`.
            rows: all rows of the part.
            value: the text to show of a row.
        """
        if rejected.is_empty():
            return
        if asset == "orders":
            self.rejected_rows += rejected.height
        named = rejected.select("raw_id", "reason_code", "reason").join(rows, on="raw_id")
        for code, count in named.group_by("reason_code").len().iter_rows():
            self._counts[asset, code] = self._counts.get((asset, code), 0) + count
        shown = named.sort("row_no").group_by("reason_code", maintain_order=True).head(EXAMPLES)
        texts = [text.str.slice(0, VALUE_CHARACTERS) for text in (pl.col("order_id"), value.alias("value"))]
        self._rejections.append(
            shown.with_columns(*texts, asset=pl.lit(asset), line="row_no").select(REJECTION_COLUMNS)
        )
        kept = sum(part.height for part in self._unreadable)
        if asset == "orders" and kept < HINT_ROWS:
            self._unreadable.append(named.head(HINT_ROWS - kept).select(HINT_COLUMNS))

    def quarantine(self) -> list[dict[str, Any]]:
        """Return the reasons for quarantine, the commonest first, with their count and some of the rows."""
        if not self._rejections:
            return []
        examples = pl.concat(self._rejections).sort("line")
        found = []
        for (asset, code), count in sorted(self._counts.items(), key=lambda one: (-one[1], one[0])):
            rows = examples.filter((pl.col("asset") == asset) & (pl.col("reason_code") == code)).head(EXAMPLES)
            shown = rows.select("line", "order_id", "value", "reason").to_dicts()
            found.append({"asset": asset, "reason_code": code, "rows": count, "examples": shown})
        return found

    def hint(self) -> str | None:
        """Return why orders can't be read, and what to try in the mapping; None where nothing is known."""
        return unreadable_values_hint(pl.concat(self._unreadable), self._preset) if self._unreadable else None


def is_unread(column: str) -> pl.Expr:
    """Test that the `reason` of a rejected row says that the value of this column, or a part of it, can't be read."""
    return pl.col("reason").str.contains(rf"\b{column} (?:\(.*?\) )?looks like")


def unread_value() -> pl.Expr:
    """Return the values of a row that its `reason` names as unreadable."""
    named = [
        pl.when(is_unread(column)).then(
            pl.lit("" if column == "order_id" else f"{column} ") + pl.col(column).str.slice(0, VALUE_CHARACTERS)
        )
        for column in VALUE_COLUMNS
    ]
    identity = pl.when(pl.col("reason").str.starts_with("platform_order_id")).then(
        pl.lit("platform_order_id ") + pl.col("platform_order_id")
    )
    return pl.concat_str([*named, identity], separator=", ", ignore_nulls=True)
