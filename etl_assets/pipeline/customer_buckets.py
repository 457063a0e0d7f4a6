"""Batches of whole customers: large, and read and loaded bucket by bucket."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self
from uuid import UUID

from etl_assets.ledger import range_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.ledger.queue import RawIdRange

BUCKET_FACTOR: Final = 2
"""How many times the configured batch size a bucket of a batch has, of orders: about so many rows are in memory."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One of `of` shares of the customers, by their id, and of the ranges of a batch for orders without a customer.

    The ids are spread evenly, and of a range of them the server knows how many there are. Buckets in order are also in
    the order of the indexes.
    """

    number: int = 0
    of: int = 1

    def condition(self, column: str) -> str:
        """The SQL condition that the customer id in `column` is in this bucket: hexadecimal literals only."""
        bounds = [UUID(int=(number << 128) // self.of) for number in range(1, self.of)]
        above = [f"{column} >= '{bounds[self.number - 1]}'"] if self.number else []
        below = [f"{column} < '{bounds[self.number]}'"] if self.number < self.of - 1 else []
        return " AND ".join([*above, *below]) or f"{column} IS NOT NULL"

    def anonymous_orders_query(self, columns: str, ranges: Sequence[RawIdRange], join: str = "") -> list[str]:
        """The query of the bucket's changed orders `o` without a customer, if there may be any: integers only."""
        share = ranges[self.number :: self.of]
        orders = f"{range_sql.changed_orders(share)} {join}"
        query = f"SELECT {columns} FROM {orders} WHERE o.customer_global_id IS NULL"  # noqa: S608  # integers only
        return [f"({query} {range_sql.limit_clause(share)})"] if share else []


@dataclass(frozen=True, slots=True)
class CustomerStep:
    """A step that looks at all orders of a customer at once.

    Its batches are large, so that few customers are in more than one, and are read and loaded bucket by bucket, so that
    they need no more memory than others.
    """

    bucket: Bucket = Bucket()
    is_first_load: bool = False
    """Whether the batch has most orders, and the asset's tables were empty when it was planned."""

    def in_buckets(self, of: int, *, is_first_load: bool) -> list[Self]:
        """The step for each of so many buckets."""
        buckets = [Bucket(number, of) for number in range(of)]
        return [replace(self, bucket=bucket, is_first_load=is_first_load) for bucket in buckets]

    @property
    def among(self) -> str | None:
        """Where all that is stored of the bucket's customers is, if it is little: what others have put there since."""
        return self.bucket.condition("customer_global_id") if self.is_first_load else None
