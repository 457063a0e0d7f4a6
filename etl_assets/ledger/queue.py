"""The queue (`etl_work`): ranges of raw ids that an asset has yet to process.

A batch of an asset, in its own transaction, dequeues its ranges and enqueues ranges for its downstream assets. So
nothing is lost or doubled, whatever is killed and however often; a range whose batch failed stays. A range names rows
by the upstream batch that made them and by raw_id: `raw_orders` of an import, or the `orders` that are as that batch
left them (rows changed again belong to a later batch, and so to another range). Why ranges: docs/decisions.md, "Queue
as a set of ranges".

The SQL that reads the rows of ranges is in `ledger.range_sql`, the counts of batches in `ledger.batches`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import sqlalchemy as sa

from etl_assets.asset_graph import SPECS
from etl_assets.errors import ConcurrentRunError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from etl_assets.asset_graph import AssetName

MAX_RANGES_PER_PAGE: Final = 10_000


@dataclass(frozen=True, slots=True)
class RawIdRange:
    """The rows of upstream batch `batch_id` with raw_id in `low … high`, both inclusive."""

    batch_id: int
    low: int
    high: int

    @property
    def width(self) -> int:
        """Rows that it can hold at most."""
        return self.high - self.low + 1


def max_rows(ranges: Sequence[RawIdRange]) -> int:
    """Return how many rows ranges hold at most."""
    return sum(one.width for one in ranges)


@dataclass(frozen=True, slots=True)
class Backlog:
    """The queue of one asset: at most so many rows, and the number of the newest entry (or None)."""

    rows: int
    newest: int | None


def read_backlog(connection: sa.Connection, asset: AssetName) -> Backlog:
    """Read how much is pending for `asset`."""
    rows, newest = connection.execute(
        sa.text(
            "SELECT CAST(coalesce(sum(high - low + 1), 0) AS bigint), max(work_id) FROM etl_work WHERE asset = :asset"
        ),
        {"asset": asset},
    ).one()
    return Backlog(rows, newest)


def count_pending_rows(connection: sa.Connection) -> int:
    """Count the pending rows of all assets, at most: ranges may have gaps."""
    query = "SELECT CAST(coalesce(sum(high - low + 1), 0) AS bigint) FROM etl_work"
    return int(connection.execute(sa.text(query)).scalar_one())


def read_pending_sources(connection: sa.Connection, assets: Sequence[AssetName]) -> list[str]:
    """Read the sources of the imports whose rows are pending for any of the assets, the oldest import first."""
    return list(
        connection.execute(
            sa.text(
                "SELECT t.source FROM import_tasks t WHERE t.import_id IN ("
                " SELECT unnest(b.import_ids) FROM etl_batches b WHERE b.batch_id IN ("
                " SELECT w.batch_id FROM etl_work w WHERE w.asset = ANY (:assets))"
                ") ORDER BY t.created_at, t.import_id"
            ),
            {"assets": list(assets)},
        ).scalars()
    )


class Pending(NamedTuple):
    """Pending ranges of an asset, and its epoch at the same moment."""

    ranges: list[RawIdRange]
    epoch: int
    is_all: bool
    """False where more is pending than the ranges."""


def next_ranges(
    connection: sa.Connection, asset: AssetName, row_limit: int, *, without: Sequence[RawIdRange] = ()
) -> Pending:
    """Return the oldest pending ranges of `asset`, up to `row_limit` rows in all (the last range cut to fit).

    With the epoch that the asset had, which one statement reads before any data of the ranges.

    Args:
        connection: an open transaction.
        asset: whose queue it is.
        row_limit: how many rows the ranges may hold together.
        without: ranges to leave out (they failed in this run).
    """
    rows = connection.execute(
        sa.text(_NEXT_RANGES), {"asset": asset, "limit": MAX_RANGES_PER_PAGE, **as_arrays(without)}
    ).all()
    page: list[RawIdRange] = []
    room = row_limit
    for batch_id, low, high, _ in rows:
        if room <= 0:
            break
        taken = RawIdRange(batch_id, low, min(high, low + room - 1))
        room -= taken.width
        page.append(taken)
    is_all = len(rows) < MAX_RANGES_PER_PAGE and sum(high - low + 1 for _, low, high, _ in rows) <= row_limit
    return Pending(page, rows[0].epoch if rows else 0, is_all)


def dequeue(connection: sa.Connection, asset: AssetName, ranges: Sequence[RawIdRange]) -> list[UUID]:
    """Take `ranges` off the queue of `asset`; return the imports that they come from.

    Raises:
        ConcurrentRunError: one of them is not on the queue any more: another run has processed it.
    """
    missing, import_ids = connection.execute(sa.text(_DEQUEUE), {"asset": asset, **as_arrays(ranges)}).one()
    if missing:
        msg = f"{asset}: another run has processed this batch meanwhile."
        raise ConcurrentRunError(msg)
    return import_ids or []


def imports_of(connection: sa.Connection, ranges: Sequence[RawIdRange]) -> list[UUID]:
    """Return the imports that ranges come from."""
    found = connection.execute(sa.text(f"SELECT {_IMPORTS_OF_GIVEN}"), as_arrays(ranges))  # constants
    return found.scalar_one() or []


def enqueue(connection: sa.Connection, assets: Iterable[AssetName], ranges: Sequence[RawIdRange]) -> None:
    """Put `ranges` on the queue of each of the assets, united with its pending ranges of the same batches."""
    enqueue_each(connection, dict.fromkeys(assets, ranges))


def enqueue_each(connection: sa.Connection, ranges_of: Mapping[AssetName, Sequence[RawIdRange]]) -> None:
    """Put ranges on the queue of each asset like `enqueue`: other ones for each, in one statement for all."""
    assets = [asset for asset, ranges in ranges_of.items() for _ in ranges]
    if assets:
        ranges = [one for ranges in ranges_of.values() for one in ranges]
        connection.execute(sa.text(_ENQUEUE), {"assets": assets, **as_arrays(ranges)})


# The queue is a set of raw ids for each asset and batch. Its rows may overlap (a range is enqueued while pending),
# so everything reads and writes their union, as multiranges. United ranges keep the time of the oldest.
GIVEN: Final = """
    SELECT batch_id, range_agg(int8range(low, high, '[]')) AS ids
    FROM unnest(CAST(:batches AS bigint[]), CAST(:lows AS bigint[]), CAST(:highs AS bigint[])) g (batch_id, low, high)
    GROUP BY batch_id
"""
"""Query of the ranges in the parameters of `as_arrays`: `batch_id`, `ids` (a multirange)."""
_IMPORTS_OF_GIVEN: Final = """(
    SELECT array_agg(DISTINCT import_id) FROM etl_batches CROSS JOIN unnest(import_ids) import_id
    WHERE batch_id = ANY (CAST(:batches AS bigint[]))
)"""
"""Query of the imports of the ranges in the parameters of `as_arrays`, in the order of their ids; null for none."""
_NEXT_RANGES: Final = f"""
    WITH excluded AS ({GIVEN}), queued AS (
        SELECT batch_id, range_agg(int8range(low, high, '[]')) AS ids
        FROM etl_work WHERE asset = :asset GROUP BY batch_id
    ), remaining AS (
        SELECT q.batch_id, unnest(q.ids - coalesce(e.ids, '{{}}')) AS ids
        FROM queued q LEFT JOIN excluded e USING (batch_id)
    )
    SELECT batch_id, lower(ids), upper(ids) - 1,
           coalesce((SELECT epoch FROM asset_epochs WHERE asset = :asset), 0) AS epoch
    FROM remaining ORDER BY lower(ids), batch_id FETCH FIRST :limit ROWS ONLY
"""  # noqa: S608  # constants only
_DEQUEUE: Final = f"""
    WITH dequeued AS ({GIVEN}), deleted AS (
        DELETE FROM etl_work w USING dequeued d
        WHERE w.asset = :asset AND w.batch_id = d.batch_id AND d.ids && int8range(w.low, w.high, '[]')
        RETURNING w.batch_id, w.low, w.high, w.queued_at
    ), found AS (
        SELECT batch_id, range_agg(int8range(low, high, '[]')) AS ids, min(queued_at) AS queued_at
        FROM deleted GROUP BY batch_id
    ), put_back AS (
        INSERT INTO etl_work (asset, batch_id, low, high, queued_at)
        SELECT :asset, batch_id, lower(ids), upper(ids) - 1, queued_at FROM (
            SELECT batch_id, unnest(f.ids - d.ids) AS ids, f.queued_at FROM found f JOIN dequeued d USING (batch_id)
        ) remaining
    )
    SELECT (
        SELECT count(*) FROM dequeued d LEFT JOIN found f USING (batch_id) WHERE f.ids IS NULL OR NOT f.ids @> d.ids
    ), {_IMPORTS_OF_GIVEN}
"""  # noqa: S608  # constants only
_ENQUEUE: Final = """
    WITH given AS (
        SELECT asset, batch_id, int8range(low, high, '[]') AS ids, now() AS queued_at
        FROM unnest(
            CAST(:assets AS text[]), CAST(:batches AS bigint[]), CAST(:lows AS bigint[]), CAST(:highs AS bigint[])
        ) g (asset, batch_id, low, high)
    ), pending AS (
        DELETE FROM etl_work w USING (SELECT DISTINCT asset, batch_id FROM given) g
        WHERE w.asset = g.asset AND w.batch_id = g.batch_id
        RETURNING w.asset, w.batch_id, int8range(w.low, w.high, '[]') AS ids, w.queued_at
    ), united AS (
        SELECT asset, batch_id, unnest(range_agg(ids)) AS ids, min(queued_at) AS queued_at
        FROM (SELECT * FROM given UNION ALL SELECT * FROM pending) both_sets GROUP BY asset, batch_id
    )
    INSERT INTO etl_work (asset, batch_id, low, high, queued_at)
    SELECT asset, batch_id, lower(ids), upper(ids) - 1, queued_at FROM united
"""


def enqueue_everything(connection: sa.Connection, asset: AssetName) -> None:
    """Replace the queue of `asset` by all rows that it could ever process, so that changed rules reach every row.

    Hazards: an uncommitted batch of `orders` may skip downstream assets (`orders.skip_consumers`) without knowing of
    this. So its commit is waited for, and its rows are enqueued with all others. What a revert has put on the queue of
    `orders` stays there; deletions are enqueued again like moves.
    """
    spec = SPECS[asset]
    if spec.range_content != "imports":
        connection.execute(sa.text("SELECT FROM asset_epochs WHERE asset = 'orders' FOR SHARE"))
    connection.execute(
        sa.text(
            "DELETE FROM etl_work w WHERE asset = :asset AND (:is_of_orders"
            " OR NOT EXISTS (SELECT FROM etl_work s WHERE s.asset = :upstream AND s.batch_id = w.batch_id)"
            " AND NOT EXISTS ("
            "SELECT FROM import_tasks t WHERE t.status IN ('reverted', 'held') AND t.batch_id = w.batch_id))"
        ),
        {"asset": asset, "upstream": spec.enqueued_by, "is_of_orders": spec.range_content != "imports"},
    )
    match spec.range_content:
        case "imports":
            connection.execute(sa.text(_ALL_IMPORTS), {"asset": asset, "upstream": spec.enqueued_by})
        case "orders":
            connection.execute(sa.text(_ALL_ORDERS), {"asset": asset})
        case "orders_and_moves":
            connection.execute(sa.text(_ALL_ORDERS_AND_MOVES), {"asset": asset})


_ALL_IMPORTS: Final = """
    INSERT INTO etl_work (asset, batch_id, low, high)
    SELECT :asset, t.batch_id, min(r.raw_id), max(r.raw_id)
    FROM import_tasks t JOIN raw_orders r USING (import_id)
    WHERE t.status = 'completed'
      AND NOT EXISTS (SELECT FROM etl_work w WHERE w.asset = :upstream AND w.batch_id = t.batch_id)
    GROUP BY t.batch_id
"""
_ALL_ORDERS: Final = """
    INSERT INTO etl_work (asset, batch_id, low, high)
    SELECT :asset, batch_id, min(raw_id), max(raw_id)
    FROM (SELECT batch_id, raw_id FROM orders UNION ALL SELECT batch_id, raw_id FROM deleted_orders) o
    GROUP BY batch_id
"""
_ALL_ORDERS_AND_MOVES: Final = """
    INSERT INTO etl_work (asset, batch_id, low, high)
    SELECT :asset, batch_id, min(raw_id), max(raw_id)
    FROM (
        SELECT batch_id, raw_id FROM orders
        UNION ALL SELECT batch_id, raw_id FROM order_moves UNION ALL SELECT batch_id, raw_id FROM deleted_orders
    ) o
    GROUP BY batch_id
"""


def split_at(ranges: Sequence[RawIdRange], raw_id: int) -> tuple[list[RawIdRange], list[RawIdRange]]:
    """Return the parts of ranges below `raw_id`, and from there on."""
    below = [replace(one, high=min(one.high, raw_id - 1)) for one in ranges if one.low < raw_id]
    return below, [replace(one, low=max(one.low, raw_id)) for one in ranges if one.high >= raw_id]


def slice_ranges(ranges: Sequence[RawIdRange], offset: int, length: int) -> list[RawIdRange]:
    """Return the part of ranges that holds `length` rows from row `offset` on."""
    found: list[RawIdRange] = []
    for one in ranges:
        low, high = one.low + max(offset, 0), min(one.high, one.low + offset + length - 1)
        if low <= high:
            found.append(replace(one, low=low, high=high))
        offset -= one.width
    return found


def as_arrays(ranges: Sequence[RawIdRange]) -> dict[str, list[int]]:
    """Return the ranges as parameters of a query that unnests them."""
    return {
        "batches": [r.batch_id for r in ranges],
        "lows": [r.low for r in ranges],
        "highs": [r.high for r in ranges],
    }
