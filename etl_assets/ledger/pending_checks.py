"""What the assets have processed and their checks have yet to look at.

A batch notes in its own transaction which orders it was about. Checks that hold take the notes away: so a check looks
at each change once, and again as long as it fails, and costs what has changed and not what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from etl_assets.database.bulk_load import rows_in_statistics
from etl_assets.ledger.queue import GIVEN, RawIdRange, as_arrays, max_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.asset_graph import AssetName

MAX_RANGES: Final = 1_000
"""With more notes than that, whole tables are checked."""
LARGE_SHARE: Final = 0.1
"""With this share of all orders or more, too: that is as fast then."""


@dataclass(frozen=True, slots=True)
class PendingChecks:
    """The notes of an asset as they are at one moment."""

    until: int
    """The number of the last one."""
    ranges: Sequence[RawIdRange]
    """Ranges of `orders`; they may overlap."""
    is_large: bool
    """Whether to check whole tables instead."""


def mark_for_check(connection: sa.Connection, asset: AssetName, ranges: Sequence[RawIdRange]) -> None:
    """Note that `asset` has processed these ranges of `orders`: a note for each batch, from its first to its last."""
    if ranges:
        connection.execute(sa.text(_NOTE), {"asset": asset, **as_arrays(ranges)})


def read_pending_checks(connection: sa.Connection, asset: AssetName) -> PendingChecks:
    """What the checks of `asset` have yet to look at."""
    rows = connection.execute(sa.text(_READ), {"asset": asset}).all()
    ranges = [RawIdRange(batch_id, low, high) for _, batch_id, low, high in rows]
    large = LARGE_SHARE * rows_in_statistics(connection, "orders")
    is_large = len(ranges) > MAX_RANGES or max_rows(ranges) > large
    return PendingChecks(rows[-1][0] if rows else 0, ranges, is_large=is_large)


def clear_pending_checks(connection: sa.Connection, asset: AssetName, *, until: int) -> None:
    """Take away the notes of `asset` up to number `until`."""
    connection.execute(sa.text(_CLEAR), {"asset": asset, "until": until})


_NOTE: Final = f"""
    INSERT INTO etl_pending_checks (asset, batch_id, low, high)
    SELECT :asset, batch_id, lower(ids), upper(ids) - 1 FROM ({GIVEN}) given
"""  # noqa: S608  # constants only
_READ: Final = "SELECT note_id, batch_id, low, high FROM etl_pending_checks WHERE asset = :asset ORDER BY note_id"
_CLEAR: Final = "DELETE FROM etl_pending_checks WHERE asset = :asset AND note_id <= :until"
