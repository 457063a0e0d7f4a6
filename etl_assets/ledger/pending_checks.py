"""Ranges of orders that an asset has processed and its checks have yet to look at.

A batch marks its orders in its own transaction; checks that hold clear the marks. So a check looks at each change once,
again as long as it fails, and costs as much as has changed: all checks after 1,000 changed orders on a million took 0.1
s instead of 4.6 s (docs/performance.md, "Gain of each optimisation"; docs/decisions.md, "Pending checks"). The checks
are in `quality`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from etl_assets.ledger.queue import GIVEN, RawIdRange, as_arrays, max_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.asset_graph import AssetName

MAX_RANGES: Final = 1_000
"""With more marks than that, whole tables are checked."""
LARGE_SHARE: Final = 0.1
"""Share of all orders from which on whole tables are checked, too: that is as fast then."""


@dataclass(frozen=True, slots=True)
class PendingChecks:
    """The marks of an asset at one moment."""

    until: int
    """Number of the last mark."""
    ranges: Sequence[RawIdRange]
    """Ranges of `orders`; they may overlap."""
    is_large: bool
    """True if whole tables are to be checked instead."""


def mark_for_check(connection: sa.Connection, asset: AssetName, ranges: Sequence[RawIdRange]) -> None:
    """Mark ranges of `orders` that `asset` has processed: one mark for each batch, from its first row to its last."""
    if ranges:
        connection.execute(sa.text(_MARK), {"asset": asset, **as_arrays(ranges)})


def read_pending_checks(connection: sa.Connection, asset: AssetName) -> PendingChecks:
    """Read the ranges that the checks of `asset` have yet to look at."""
    rows = connection.execute(sa.text(_READ), {"asset": asset}).all()
    if not rows:
        return PendingChecks(0, (), is_large=False)
    ranges = [RawIdRange(row.batch_id, row.low, row.high) for row in rows]
    large = LARGE_SHARE * max(rows[0].known_orders, 0)
    is_large = len(ranges) > MAX_RANGES or (max_rows(ranges) > large and _has_more_orders(connection, ranges, large))
    return PendingChecks(rows[-1][0], ranges, is_large=is_large)


def _has_more_orders(connection: sa.Connection, ranges: Sequence[RawIdRange], number: float) -> bool:
    """Return whether ranges have more orders than that: those of a batch may lie far apart (`orders.redecide`)."""
    counted = connection.execute(sa.text(_COUNT), {"limit": int(number) + 1, **as_arrays(ranges)})
    return int(counted.scalar_one()) > number


def clear_pending_checks(connection: sa.Connection, asset: AssetName, *, until: int) -> None:
    """Delete the marks of `asset` up to number `until`; later ones are of batches not checked yet."""
    connection.execute(sa.text(_CLEAR), {"asset": asset, "until": until})


_MARK: Final = f"""
    INSERT INTO etl_pending_checks (asset, batch_id, low, high)
    SELECT :asset, batch_id, lower(ids), upper(ids) - 1 FROM ({GIVEN}) given
"""  # noqa: S608  # constants only
_READ: Final = """
    SELECT note_id, batch_id, low, high,
           (SELECT reltuples FROM pg_class WHERE oid = to_regclass('orders')) AS known_orders
    FROM etl_pending_checks WHERE asset = :asset ORDER BY note_id
"""
_COUNT: Final = f"""
    SELECT count(*) FROM (
        SELECT FROM ({GIVEN}) g JOIN orders o ON o.batch_id = g.batch_id AND g.ids @> o.raw_id LIMIT :limit
    ) found
"""  # noqa: S608  # constants only
_CLEAR: Final = "DELETE FROM etl_pending_checks WHERE asset = :asset AND note_id <= :until"
