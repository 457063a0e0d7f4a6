"""Counts of what imports would remove from the stored tables, and which of them the brake would hold.

The rule is `orders.brake`, what counts as removed is described there. Lines from files of lines are not counted here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.asset_graph import TABLE_OF
from etl_assets.orders.transform import ORDER_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etl_assets.asset_graph import AssetName
    from etl_assets.orders.brake import Brake
    from etl_assets.preview.store import Store

EMPTYING: Final = ("loses_customer", "loses_amount", "loses_time")
_LINES: Final[dict[AssetName, str]] = {"order_items": "item_lines", "process_items": "process_lines"}
"""Assets of lines, and the column of rows with how many they have."""


ASSETS: Final[tuple[AssetName, ...]] = ("orders", *_LINES, "leads")


class Removals:
    """Rows that each import would remove, part by part."""

    def __init__(self, store: Store, brake: Brake, files: Iterable[int]) -> None:
        self._store, self._brake = store, brake
        self._removed = {file: dict.fromkeys(ASSETS, 0) for file in files}
        self._differing = dict.fromkeys(self._removed, 0)

    def add_orders(self, decided: pl.DataFrame, rows: pl.DataFrame) -> None:
        """Add decided orders, with the rows that they are made of."""
        updated = decided.filter(pl.col("change") == "updated").join(
            rows.select("raw_id", "file", *_LINES.values()), on="raw_id"
        )
        for file, emptied in updated.group_by("file").agg(pl.any_horizontal(EMPTYING).sum()).iter_rows():
            self._removed[file]["orders"] += emptied
        differing = updated.filter(pl.col("lines_differ"))
        stored = self._store.line_counts(differing)
        both = differing.join(stored, on=ORDER_KEY)
        fewer = [
            (pl.col(f"stored_{asset}") - pl.col(column)).clip(lower_bound=0).sum().alias(asset)
            for asset, column in _LINES.items()
        ]
        for row in both.group_by("file").agg(pl.len().alias("orders"), *fewer).iter_rows(named=True):
            self._differing[row["file"]] += row["orders"]
            for asset in _LINES:
                self._removed[row["file"]][asset] += row[asset]

    def add_leads(self, left: pl.DataFrame) -> None:
        """Add leads (`file`, `lead_id`) of which all orders leave, for each import that takes one from it."""
        for file, leads in left.unique().group_by("file").len().iter_rows():
            self._removed[file]["leads"] += leads

    def held(self) -> dict[int, dict[str, dict[str, int]]]:
        """Return the imports that the brake would hold: `removed` and stored `rows` by table."""
        stored = self._store.ledger_rows(ASSETS)
        if not self._brake.is_on or not stored.get("orders"):
            return {}
        rows = {TABLE_OF[asset]: count for asset, count in stored.items()}
        found = {}
        for file, removed in self._removed.items():
            counted = [asset for asset in removed if asset not in _LINES or self._differing[file] >= self._brake.least]
            beyond = self._brake.exceeded({TABLE_OF[asset]: removed[asset] for asset in counted}, rows)
            if beyond:
                found[file] = beyond
        return found
