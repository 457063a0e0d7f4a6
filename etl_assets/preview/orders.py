"""Effects of the rows of a part on `orders`: the rules of the step, on rows that are not landed.

A part has all rows of its orders, of all imports that are looked at together. The rules are those of `raw_orders` and
`orders`; here is only what stands between them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.frame_schemas import CONFLICTING_ORDER, REJECTED_SCHEMA
from etl_assets.order_items.transform import BAD_ITEMS
from etl_assets.orders.conflicts import reject_conflicts
from etl_assets.orders.transform import (
    IDENTITY,
    ORDER_KEY,
    ORDER_SCHEMA,
    compare_with_stored,
    newest_versions,
    read_orders,
)
from etl_assets.orders.write_newest import StoredOrders, decide_newest
from etl_assets.preview.figures import Figures, unread_value
from etl_assets.preview.lines import LineParts
from etl_assets.preview.store import LEAD_OF_ORDER_SCHEMA, STORED_ORDER_SCHEMA
from etl_assets.process_items.transform import BAD_PROCESSES
from etl_assets.raw_orders.findings import Finding
from etl_assets.raw_orders.load import REPEATS_AT_ONCE
from etl_assets.raw_orders.shared_numbers import (
    REPEAT_COLUMNS,
    RepeatedOrders,
    count_conflicts,
    settle_repeats,
    with_conflict,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl_assets.orders.line_versions import LineRows
    from etl_assets.preview.reading import Candidate
    from etl_assets.preview.removals import Removals
    from etl_assets.preview.store import Store

CHANGES: Final = ("inserted", "updated", "unchanged", "superseded")
CHANGED_ORDER_SCHEMA: Final = {
    **STORED_ORDER_SCHEMA,
    "lead_id": pl.String(),
    "of_customer": pl.String(),
    "is_leaving": pl.Boolean(),
    "leaves_lead": pl.Boolean(),
    "file": pl.Int32(),
}
"""A changed order for the customer that has it or leaves it (`of_customer`)."""


class OrderParts:
    """The imports' orders, decided part by part."""

    def __init__(
        self, store: Store, candidates: Mapping[int, Candidate], shops: pl.DataFrame, removals: Removals
    ) -> None:
        self._store, self._candidates, self._shops, self._removals = store, candidates, shops, removals
        self.figures = {file: Figures(one.preset) for file, one in candidates.items()}
        self.changes = dict.fromkeys(CHANGES, 0)
        """Orders by what would become of them."""
        self.overtaken_rows = 0
        """Rows that a newer one of the same imports replaces."""
        self._conflicts = dict.fromkeys(candidates, 0)
        self.lines = LineParts(store, candidates, shops)

    def decide(self, part: pl.DataFrame) -> pl.DataFrame:
        """Count what becomes of the rows of a part; return the changed orders (`CHANGED_ORDER_SCHEMA`)."""
        part = part.filter(pl.col("file").is_in(list(self._candidates)))  # not of one that can't be imported
        if part.is_empty():
            return pl.DataFrame(schema=CHANGED_ORDER_SCHEMA)
        rows = pl.concat([self._mark_conflicts(file, own) for file, own in _by_file(part)])
        files = _by_file(rows)
        of_orders = [(file, own) for file, own in files if self._candidates[file].preset.holds == "orders"]
        nothing = pl.DataFrame(schema=ORDER_SCHEMA)
        read = [self._read(file, own) for file, own in of_orders]
        versions = pl.concat([nothing, *(of_file for of_file, _ in read)])
        newest = read[0][1] if len(read) == 1 else newest_versions(pl.concat([nothing, *(own for _, own in read)]))
        store = StoredOrders(lambda newest: self._stored(newest, rows), compare_with_stored)
        decided, kept, others = decide_newest(versions, newest, store)
        self._add_rejected("orders", reject_conflicts(others), rows, pl.col(IDENTITY))
        for change, count in decided.group_by("change").len().iter_rows():
            self.changes[change] += count
        self.overtaken_rows += kept.height - decided.height
        self._removals.add_orders(decided, rows)
        changed = decided.filter(pl.col("change").is_in(["inserted", "updated"]))
        self._reject_lines(changed, rows)
        of_lines = [
            self._read_lines(file, own) for file, own in files if self._candidates[file].preset.holds == "lines"
        ]
        if of_lines:
            self.lines.decide(of_lines, rows, decided.filter(pl.col("change") == "inserted").select(ORDER_KEY))
        changed = changed.join(rows.select("raw_id", "file"), on="raw_id")
        return _by_customer(changed, self._store.leads_of_orders(changed))

    def complete_findings(self) -> None:
        """Add to the findings of the imports how many orders are in conflict."""
        for file, conflicts in self._conflicts.items():
            if conflicts:
                self._candidates[file].counts.findings.append(Finding("CONFLICTING_ORDERS", count=conflicts))

    def _mark_conflicts(self, file: int, rows: pl.DataFrame) -> pl.DataFrame:
        """Mark the rows of an import that are different orders under one number, as they are when they are landed."""
        candidate, repeated = self._candidates[file], RepeatedOrders()
        self._conflicts[file] += count_conflicts(rows)
        repeated.add(rows)
        marked = []
        for row_nos in repeated.differing(REPEATS_AT_ONCE):
            suspects = rows.filter(pl.col("row_no").is_in(row_nos.implode())).select(
                "raw_id", "row_no", *REPEAT_COLUMNS
            )
            conflicting, disagreements = settle_repeats(suspects, candidate.preset)
            marked.append(conflicting)
            candidate.counts.findings += (Finding("DISAGREEING_ROWS", *one) for one in disagreements)
        if not any(part.len() for part in marked):
            return rows
        is_marked = pl.col("defect").str.contains(CONFLICTING_ORDER, literal=True).fill_null(value=False)
        is_new = pl.col("raw_id").is_in(pl.concat(marked).implode()) & ~is_marked
        self._conflicts[file] += int(rows.select(is_new.sum()).item())
        return rows.with_columns(defect=with_conflict(pl.col("defect"), is_new))

    def _read(self, file: int, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Read the rows of an import as versions of orders; return also the newest one of each order."""
        types = self._store.order_types(rows["order_type"]).drop("is_mapped")
        versions, rejected = read_orders(rows, self._candidates[file].preset, self._shops, types)
        newest = newest_versions(versions)
        self.figures[file].add_orders(newest, rows)
        self._add_rejected("orders", rejected, rows, unread_value())
        return versions, newest

    def _read_lines(self, file: int, rows: pl.DataFrame) -> LineRows:
        """Read the rows of a file of lines as versions of orders' lines."""
        read = self.lines.read(file, rows, self.figures[file])
        self._add_rejected("orders", read.rejected, rows, unread_value())
        return read

    def _stored(self, newest: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
        """Read the stored versions of orders as `read_stored_versions` does, with the lines of `rows`."""
        stored = self._store.orders(newest)
        pairs = newest.select(*ORDER_KEY, "raw_id").join(
            stored.select(*ORDER_KEY, stored_raw_id="raw_id"), on=ORDER_KEY
        )
        compared = pairs.join(rows.select("raw_id", "items_hash", "processes_hash"), on="raw_id")
        differing = self._store.differing_lines(compared)
        return stored.with_columns(lines_differ=pl.col("raw_id").is_in(differing.implode()))

    def _add_rejected(self, asset: str, rejected: pl.DataFrame, rows: pl.DataFrame, value: pl.Expr) -> None:
        of_file = rejected.join(rows.select("raw_id", "file"), on="raw_id") if rejected.height else rejected
        for file, own in _by_file(of_file) if rejected.height else ():
            self.figures[file].add_rejected(asset, own, rows, value)

    def _reject_lines(self, changed: pl.DataFrame, rows: pl.DataFrame) -> None:
        """Count the changed orders whose items or processes can't be read, so far as these are read anew."""
        bad = rows.filter(pl.any_horizontal(pl.col("items_fault", "processes_fault").is_not_null())).join(
            changed.select("raw_id", "change", "lines_differ", "stored_raw_id"), on="raw_id"
        )
        if bad.is_empty():
            return
        is_same = (pl.col("change") == "updated") & ~pl.col("lines_differ")
        skipped = self._unread_again(bad.filter(is_same))
        read = bad.join(skipped, on="raw_id", how="anti")
        for asset, code, fault in (
            ("order_items", BAD_ITEMS, "items_fault"),
            ("process_items", BAD_PROCESSES, "processes_fault"),
        ):
            rejected = read.filter(pl.col(fault).is_not_null()).with_columns(
                reason_code=pl.lit(code), reason=fault, shop_id=pl.lit(None, pl.Int32)
            )
            self._add_rejected(asset, rejected.select(*REJECTED_SCHEMA), rows, pl.col("lines_text"))

    def _unread_again(self, same: pl.DataFrame) -> pl.DataFrame:
        """Return the `raw_id` of orders whose lines are the same text and need not be read again.

        The rule of `orders.skip_consumers`: the same mapping, and nothing of them in quarantine.
        """
        stored = self._store.unfinished_lines(same["stored_raw_id"])
        done = {
            row["raw_id"]: json.loads(row["mapping"])
            for row in stored.filter(~pl.col("is_quarantined")).iter_rows(named=True)
        }
        mappings = {file: one.preset.model_dump(mode="json") for file, one in self._candidates.items()}
        skipped = [
            raw_id
            for raw_id, stored_id, file in same.select("raw_id", "stored_raw_id", "file").iter_rows()
            if stored_id in done and done[stored_id] == mappings[file]
        ]
        return pl.DataFrame({"raw_id": skipped}, schema={"raw_id": pl.Int64})


def _by_file(rows: pl.DataFrame) -> list[tuple[int, pl.DataFrame]]:
    """Return the rows of each import; those of one import as they are."""
    if rows["file"].n_unique() == 1:
        return [(int(rows["file"][0]), rows)]
    parts = rows.partition_by("file", as_dict=True)
    return sorted(((int(file), part) for (file,), part in parts.items()), key=lambda one: one[0])


def _by_customer(changed: pl.DataFrame, leads: pl.DataFrame) -> pl.DataFrame:
    """Return changed orders for each customer whose figures follow: the one who has it, and those whom it leaves.

    One that leaves counts as cancelled for the customer whom it leaves, as an order that a revert deleted does.
    """
    known = changed.join(leads.select(*LEAD_OF_ORDER_SCHEMA), on=ORDER_KEY, how="left", maintain_order="left")
    customer, owner = pl.col("customer_global_id"), pl.col("lead_customer")
    is_own = owner.is_null() | owner.eq_missing(customer)
    having = known.with_columns(
        lead_id=pl.when(is_own).then("lead_id"), of_customer="customer_global_id", is_leaving=pl.lit(value=False)
    ).filter(customer.is_not_null())
    moved = known.filter(customer.ne_missing(pl.col("stored_customer")) | ~is_own)
    left = pl.concat(
        [
            moved.with_columns(of_customer=name).filter(
                pl.col("of_customer").is_not_null() & pl.col("of_customer").ne_missing(customer)
            )
            for name in ("stored_customer", "lead_customer")
        ]
    ).unique([*ORDER_KEY, "of_customer"], maintain_order=True)
    leaving = left.with_columns(
        lead_id=pl.when(owner.is_null() | (owner == pl.col("of_customer"))).then("lead_id"),
        customer_global_id="of_customer",
        is_cancelled=pl.lit(value=True),
        is_leaving=pl.lit(value=True),
    )
    return pl.concat([having.select(*CHANGED_ORDER_SCHEMA), leaving.select(*CHANGED_ORDER_SCHEMA)])
