"""Large batches of whole customers, read and loaded bucket by bucket, so that memory does not grow with them.

Saves repeated work: `customers` and `leads` read all orders of a customer at once, so the fewer batches a customer is
in, the less is read, written and corrected twice. Measured (docs/performance.md, "Gain of each optimisation"): batches
ten times as large, in buckets, took leads of a million orders from 18 s to 12 s and peak memory from 1,300 to 800 MB; a
hundred times as large, at `ETL_BATCH_SIZE=10000`, customers and leads from 60.1 s to 23.0 s. Without buckets the memory
of a batch would grow with `batch_factor`. Why buckets are ranges of ids: docs/decisions.md, "Customer buckets".

Rules of customers and leads don't belong here, nor the SQL condition of a bucket (`ledger.range_sql`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, Self

from etl_assets.asset_graph import TABLES_OF
from etl_assets.database.bulk_load import are_empty, rows_in_statistics
from etl_assets.ledger.range_sql import ALL_CUSTOMERS, CustomerBucket
from etl_assets.pipeline.protocol import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

BUCKET_FACTOR: Final = 2
"""Orders in a bucket, as a multiple of the configured batch size: about so many rows are in memory."""
FIRST_LOAD_SHARE: Final = 0.5
"""Share of all orders from which on the first batch of empty tables reads whole tables."""


@dataclass(frozen=True, slots=True)
class CustomerStep(Step):
    """Base class of steps that look at all orders of a customer at once."""

    bucket: CustomerBucket = ALL_CUSTOMERS
    is_first_load: bool = False
    """True if the batch has most orders, and the asset's tables were empty when it was planned."""
    batches_ahead: ClassVar[int] = 2

    def for_first_load(self, connection: sa.Connection, rows: int) -> Self:
        """Return the variant for empty tables if the batch has most orders.

        It reads tables whole instead of joining them with the batch, and looks up stored rows by the bucket's range
        (`stored_within`). Rows that other sessions store meanwhile are found all the same.
        """
        is_first_load = rows >= FIRST_LOAD_SHARE * rows_in_statistics(connection, "orders") and are_empty(
            connection, TABLES_OF[self.asset]
        )
        return replace(self, is_first_load=is_first_load)

    def in_buckets(self, rows: int, batch_size: int) -> Sequence[Self]:
        """Return the step for each of so many buckets that one has about `BUCKET_FACTOR` batch sizes of orders."""
        count = -(-rows // (BUCKET_FACTOR * batch_size))
        return [replace(self, bucket=CustomerBucket(index, count)) for index in range(count)]

    @property
    def stored_within(self) -> str | None:
        """SQL condition of all stored rows of the bucket's customers, where those are few: rows of other sessions."""
        return self.bucket.condition("customer_global_id") if self.is_first_load else None
