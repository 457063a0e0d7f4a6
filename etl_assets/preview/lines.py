"""Effects of files of lines on the lines part of orders: the rules of `orders.line_versions`, part by part.

The lines themselves are read with their file (`preview.reading`); customers and leads do not follow them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.orders.line_versions import (
    LineRows,
    compare_line_versions,
    join_line_rows,
    newest_line_versions,
    read_line_versions,
    same_lines,
)
from etl_assets.orders.transform import ORDER_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from etl_assets.preview.figures import Figures
    from etl_assets.preview.reading import Candidate
    from etl_assets.preview.store import Store

_HASHES: Final = ("items_hash", "processes_hash")


class LineParts:
    """Orders whose lines come from files of lines, decided part by part."""

    def __init__(self, store: Store, candidates: Mapping[int, Candidate], shops: pl.DataFrame) -> None:
        self._store, self._candidates, self._shops = store, candidates, shops
        self.changes = dict.fromkeys(("changed", "unchanged", "waiting", "older"), 0)
        """Orders by what would become of their lines; lines wait for an order that is not there."""
        self.overtaken_rows = 0
        """Rows that a newer one of the same imports replaces."""

    def read(self, file: int, rows: pl.DataFrame, figures: Figures) -> LineRows:
        """Read the rows of a file of lines as versions."""
        read = read_line_versions(rows, self._candidates[file].preset, self._shops)
        figures.add_lines(newest_line_versions(read.versions), rows)
        return read

    def decide(self, read: Sequence[LineRows], rows: pl.DataFrame, inserted: pl.DataFrame) -> None:
        """Count what becomes of the lines of a part.

        Args:
            read: the versions of its files of lines.
            rows: all rows of the part.
            inserted: `ORDER_KEY` of the orders that the part brings.
        """
        versions = join_line_rows(read).versions
        newest = newest_line_versions(versions)
        self.overtaken_rows += versions.height - newest.height
        stored = self._store.line_versions(newest)
        decided = compare_line_versions(newest, stored)
        current = decided.filter("is_current").select(*ORDER_KEY, "raw_id")
        known = self._store.line_pointers(current)
        waited = inserted.join(stored.select(*ORDER_KEY, lines_raw_id="raw_id"), on=ORDER_KEY, how="left")
        orders = pl.concat([known, waited.select(known.columns)])
        there = current.join(orders, on=ORDER_KEY).rename({"lines_raw_id": "stored_raw_id"})
        same = self._compare(there.join(rows.select("raw_id", "file", *_HASHES), on="raw_id"))
        self.changes["older"] += decided.height - current.height
        self.changes["waiting"] += current.height - there.height
        self.changes["unchanged"] += same
        self.changes["changed"] += there.height - same

    def _compare(self, there: pl.DataFrame) -> int:
        """Count the orders that have these lines already."""
        stored_ids = there["stored_raw_id"].drop_nulls()
        mappings = {
            raw_id: json.dumps(json.loads(mapping), sort_keys=True)
            for raw_id, mapping in self._store.unfinished_lines(stored_ids).select("raw_id", "mapping").iter_rows()
        }
        own = {
            file: json.dumps(one.preset.model_dump(mode="json"), sort_keys=True)
            for file, one in self._candidates.items()
        }
        compared = there.with_columns(
            is_same_text=~pl.col("stored_raw_id").is_in(self._store.differing_lines(there).implode()),
            mapping=pl.col("file").replace_strict(own, return_dtype=pl.String),
            mapping_stored=pl.col("stored_raw_id").replace_strict(mappings, default=None, return_dtype=pl.String),
        )
        return int(compared.select(same_lines().sum()).item())
