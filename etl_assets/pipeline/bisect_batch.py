"""Bisection of batches: a batch that is refused for its rows is halved until the rows to blame are alone.

The last resort behind `write_bisecting`: it works whatever statement is refused and whatever library gives up, because
each half is loaded as a batch of its own, in its own transaction. A row that is refused alone is put into quarantine
(`reject_row`). Why halves of the ranges and no savepoints: docs/decisions.md, "Bisecting refused batches".
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from etl_assets.database.bisect_write import rejection_reason
from etl_assets.errors import ConcurrentRunError
from etl_assets.ledger.queue import split_at
from etl_assets.ledger.range_sql import raw_ids_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.ledger.queue import RawIdRange

logger = logging.getLogger(__name__)

MAX_REJECTED_ROWS: Final = 100
"""Rows to reject in one run, each after a few dozen small batches; the next run goes on."""
MAX_STUCK: Final = 3
"""Consecutive rows that can't be put into quarantine, after which the search ends: the rows are not at fault."""


class Rejected(NamedTuple):
    """A row that was refused alone, and the reason, without any value."""

    raw_id: int
    reason: str


if TYPE_CHECKING:
    Load = Callable[[Sequence[RawIdRange], Rejected | None], Exception | None]


class _Part(NamedTuple):
    """A part of a batch: its ranges, and the rows in them by raw id, in order."""

    ranges: Sequence[RawIdRange]
    raw_ids: pl.Series

    def halves(self) -> Iterator[_Part]:
        """Yield both halves, by rows."""
        middle = self.raw_ids.len() // 2
        below, above = split_at(self.ranges, self.raw_ids[middle])
        yield _Part(below, self.raw_ids.head(middle))
        yield _Part(above, self.raw_ids.tail(-middle))


@dataclass(slots=True)
class BatchBisection:
    """The search for the rows to blame, in one run of an asset.

    Hazards: a fault that hits every row would put a whole table into quarantine, hence the limits below and the
    rehearsal in `reject_row`; a failing batch must not keep the others from being loaded, hence parts that can't be
    loaded stay pending and the search goes on (docs/architecture.md, "The life of a bad row").
    """

    asset: AssetName
    database: Database
    rejected_rows: int = 0
    """Rows that were found."""
    stuck: int = 0
    """Consecutive rows, up to the last one, that could not be put into quarantine."""

    @property
    def summary(self) -> str:
        """Result of the search, for the message of a failed run."""
        if self.stuck >= MAX_STUCK:
            return ", and it is no row's fault: refused rows can't be put into quarantine either"
        if self.is_over:
            return f", after {self.rejected_rows} rows were rejected one by one, the limit of one run"
        return f", {self.rejected_rows} rows were rejected one by one" if self.rejected_rows else ""

    @property
    def is_over(self) -> bool:
        """True once this run has reached a limit of the search."""
        return self.rejected_rows >= MAX_REJECTED_ROWS or self.stuck >= MAX_STUCK

    def load_good_rows(self, ranges: Sequence[RawIdRange], load: Load) -> list[RawIdRange]:
        """Load all but the rows to blame of a batch that was refused for its rows.

        Args:
            ranges: of the batch.
            load: loads ranges as a batch of their own, or quarantines their one row where that is given; returns the
                error if it could not.

        Returns:
            The ranges that stay pending.
        """
        query = raw_ids_query(self.asset, ranges)
        raw_ids = self.database.read(query, {"raw_id": pl.Int64()})["raw_id"].unique().sort()
        if raw_ids.is_empty() or self.is_over:
            return list(ranges)
        logger.warning("%s: some rows of a batch are refused: it is bisected to find them", self.asset)
        whole = _Part(ranges, raw_ids)
        waiting = [whole] if raw_ids.len() == 1 else [*whole.halves()][::-1]
        left: list[RawIdRange] = []
        while waiting and not self.is_over:
            part = waiting.pop()
            error = load(part.ranges, None)
            reason = rejection_reason(error) if error else None
            if reason and part.raw_ids.len() > 1:
                waiting += [*part.halves()][::-1]
                continue
            if reason:
                error = self._reject_row(part, reason, load)
            if isinstance(error, ConcurrentRunError):
                return left  # ranges that another run has left are planned anew
            self.stuck = self.stuck + 1 if error else 0
            left += part.ranges if error else ()
        return left + [one for part in waiting for one in part.ranges]

    def _reject_row(self, part: _Part, reason: str, load: Load) -> Exception | None:
        """Put the one row of a part into quarantine; return the error if that could not be done."""
        raw_id: int = part.raw_ids.item()
        error = load(part.ranges, Rejected(raw_id, reason))
        if error is None:
            self.rejected_rows += 1
            logger.warning("%s: raw row %d goes into quarantine: %s", self.asset, raw_id, reason)
        return error
