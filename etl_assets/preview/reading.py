"""Reading of the raw orders of an import that is not landed: its rows for the steps, and what is known of the file.

Lines and processes are read at once, so that only their counts and faults are kept of the longest texts. Which orders
the rows are is decided in `preview.orders`, once all rows of an order lie together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl
import polars_hash as plh

from etl_assets.order_items.transform import read_items
from etl_assets.orders.step import RAW_ORDER_TEXT_SCHEMA
from etl_assets.preview.samples import Samples
from etl_assets.preview.store import HASH_DIGITS
from etl_assets.process_items.transform import read_processes
from etl_assets.raw_orders.load import complete_findings, decided_preset
from etl_assets.shop.transform import distinct_shops
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etl_assets.presets.model import Preset
    from etl_assets.preview.store import Store
    from etl_assets.raw_orders.extract import ReadCounts
    from etl_assets.raw_orders.shop_checks import ShopChecks
    from etl_assets.spill import Spill

_TEXTS: Final = tuple(name for name in RAW_ORDER_TEXT_SCHEMA if name not in ("raw_id", "import_batch_id"))
_SHOP_COLUMNS: Final = ("platform", "shop", "currency")
VALUE_CHARACTERS: Final = 120
"""Characters of a text that are kept to be shown."""
ORDER_NUMBER: Final = pl.coalesce(clean_text(pl.col("order_id")), pl.col("raw_id").cast(pl.String))
"""Key of the rows that may be of one order."""


@dataclass
class Candidate:
    """An import that is looked at before it is made."""

    origin: str
    preset: Preset
    counts: ReadCounts
    frames: Iterable[pl.DataFrame]
    """As for `land_raw_orders`."""
    shop_checks: ShopChecks | None = None
    chosen_by: str = ""
    """Why it is read with this preset."""
    rows: int = 0
    """Raw orders read so far."""
    samples: Samples = field(default_factory=Samples)
    _shops: list[pl.DataFrame] = field(default_factory=list)

    def read(self, store: Store, file: int, first_raw_id: int, into: Spill) -> None:
        """Read all rows, numbered from `first_raw_id` as they would be landed, for the steps.

        Args:
            store: the stored rows.
            file: the number of the import, for its rows.
            first_raw_id: the number of its first row.
            into: gets the rows: texts of `RAW_ORDER_TEXT_SCHEMA`, `raw_id`, `file`, `row_no`, and of `_with_lines`.

        Raises:
            EtlError: the file can't be imported.
        """
        for frame in self.frames:
            if self.shop_checks is not None:
                self.shop_checks.look_at(store.connection, frame)
            self.counts.profile.count_orders(frame, self.preset)
            numbered = frame.with_columns(
                raw_id=pl.int_range(frame.height, dtype=pl.Int64) + first_raw_id + self.rows,
                file=pl.lit(file, pl.Int32),
            )
            self.rows += frame.height
            self._shops.append(numbered.group_by(_SHOP_COLUMNS).agg(pl.col("raw_id").min()))
            into.add(self._with_lines(numbered))
        complete_findings(store.connection, self.origin, self.preset, self.counts, self.shop_checks)
        self.preset = decided_preset(self.preset, self.counts)

    def shops(self) -> pl.DataFrame:
        """Return the distinct shops that its rows name, as the step makes them."""
        schema = {**dict.fromkeys(_SHOP_COLUMNS, pl.String()), "raw_id": pl.Int64()}
        return distinct_shops(pl.concat([pl.DataFrame(schema=schema), *self._shops]), self.preset)

    def _with_lines(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Put in place of items and processes what is left to know of them.

        That is the number of lines, hashes that tell whether a stored version has the same, and, where they can't be
        read, the reason and the text.
        """
        orders = rows.select(
            "raw_id", "order_id", *(pl.col(name).cast(pl.String) for name in ("items", "processes"))
        ).with_columns(shop_id=pl.lit(0, pl.Int32))
        lines, bad_items = read_items(orders, self.preset.numbers)
        processes, bad_processes = read_processes(orders, lines)
        self.samples.take(rows, lines)
        counts = lines.group_by("raw_id").agg(item_lines=pl.len().cast(pl.Int64))
        process_counts = processes.group_by("raw_id").agg(process_lines=pl.len().cast(pl.Int64))
        self.samples.count_lines(lines)
        kept = (
            rows.select(
                "raw_id", "file", "row_no", *_TEXTS, *_line_hashes(), items_text="items", processes_text="processes"
            )
            .join(counts, on="raw_id", how="left", maintain_order="left")
            .join(process_counts, on="raw_id", how="left", maintain_order="left")
            .join(bad_items.select("raw_id", items_fault="reason"), on="raw_id", how="left", maintain_order="left")
            .join(
                bad_processes.select("raw_id", processes_fault="reason"),
                on="raw_id",
                how="left",
                maintain_order="left",
            )
        )
        text = pl.coalesce(
            pl.when(pl.col("items_fault").is_not_null()).then("items_text"),
            pl.when(pl.col("processes_fault").is_not_null()).then(pl.coalesce("processes_text", "items_text")),
        )
        return kept.with_columns(
            pl.col("item_lines", "process_lines").fill_null(0), lines_text=text.str.slice(0, VALUE_CHARACTERS)
        ).drop("items_text", "processes_text")


def _line_hashes() -> list[pl.Expr]:
    """Hash the raw lines of rows as the database does for the stored ones (`Store.differing_lines`)."""
    texts = {name: plh.concat_str(pl.col(name).cast(pl.String)) for name in ("items", "processes")}
    return [text.chash.sha2_256().str.slice(0, HASH_DIGITS).alias(f"{name}_hash") for name, text in texts.items()]
