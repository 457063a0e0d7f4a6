"""Rhythm of shops: on which days orders of a shop usually arrive, and which shops are late against that.

Pure functions of frames; the days are recorded at each import (`raw_orders.arrivals`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    import datetime as dt

DAYS_LOOKED_AT: Final = 21
"""Last days of arrival of a shop that tell its rhythm."""
FEWEST_DAYS: Final = 6
"""Fewer days of arrival make no rhythm."""
USUAL: Final = 0.9
"""Quantile of the gaps between them that counts as usual: weekends are part of a rhythm, one long holiday is not."""
LATE: Final = 1.5
"""A shop is late once the days since its last arrival are more than so many times the usual gap."""
CLOSED_AFTER_DAYS: Final = 90
"""A shop that has been silent for longer, and for four times its usual gap, counts as closed, not as late."""

ARRIVALS: Final = {"platform": pl.String(), "shop_name": pl.String(), "shown_name": pl.String(), "day": pl.Date()}
RHYTHM: Final = {
    "platform": pl.String(),
    "shop_name": pl.String(),
    "shown_name": pl.String(),
    "last_day": pl.Date(),
    "usual_days": pl.Int64(),
    "silent_days": pl.Int64(),
    "is_late": pl.Boolean(),
}
"""`usual_days` is null, and `is_late` false, of shops that have no rhythm yet."""


def shop_rhythms(arrivals: pl.DataFrame, today: dt.date) -> pl.DataFrame:
    """Return the rhythm of each shop, the latest shops first.

    Counted in whole days, so that the hour of an import does not matter; a shop is never late on the day after.

    Args:
        arrivals: rows of `ARRIVALS`, one per shop and day.
        today: the day in UTC.

    Returns:
        Rows of `RHYTHM`.
    """
    shop = ("platform", "shop_name")
    gaps = pl.col("day").sort().tail(DAYS_LOOKED_AT).diff().dt.total_days().drop_nulls()
    silent, usual = pl.col("silent_days"), pl.col("usual_days")
    is_late = (silent > LATE * usual) & (silent > usual + 1)
    is_closed = (silent > CLOSED_AFTER_DAYS) & (silent > 4 * usual)
    has_rhythm = pl.col("days") >= FEWEST_DAYS
    return (
        arrivals.group_by(shop)
        .agg(
            pl.col("shown_name").first(),
            last_day=pl.col("day").max(),
            days=pl.len(),
            usual_days=gaps.quantile(USUAL, interpolation="higher").cast(pl.Int64),
        )
        .with_columns(
            silent_days=(pl.lit(today) - pl.col("last_day")).dt.total_days(),
            usual_days=pl.when(has_rhythm).then("usual_days"),
        )
        .with_columns(is_late=(is_late & ~is_closed).fill_null(value=False))
        .sort(pl.col("is_late"), silent, *shop, descending=[True, True, False, False])
        .select(*RHYTHM)
    )
