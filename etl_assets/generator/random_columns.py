"""Seeded random columns, chunk by chunk, and the notation of drawn numbers and times.

Each chunk has its own random stream, so a chunk can be drawn again without those before it.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Indices = npt.NDArray[np.int64]

FIRST_SECOND: Final = 1_704_096_000
"""Generated orders begin on 2024-01-01 at 08:00 UTC …"""
SPAN_SECONDS: Final = 540 * 86_400
"""… and are spread over a year and a half."""


class Chunk(NamedTuple):
    """Chunk of orders, number ``start`` to ``start + size - 1`` of ``total``, and their own random stream."""

    start: int
    size: int
    total: int
    rng: np.random.Generator


def chunks(seed: int, stream: str, total: int, chunk_size: int) -> Iterator[Chunk]:
    """Cut ``total`` orders into chunks; the same arguments give the same draws."""
    name = zlib.crc32(stream.encode())
    for number, start in enumerate(range(0, total, chunk_size)):
        size = min(chunk_size, total - start)
        yield Chunk(start, size, total, np.random.default_rng([seed, name, number]))


def at(options: Sequence[str | None], indices: Indices) -> pl.Series:
    """Return the option at each index, as a text column."""
    return pl.Series(options, dtype=pl.String).gather(pl.Series(indices))


def pick(
    rng: np.random.Generator, options: Sequence[str | None], size: int, weights: Sequence[float] | None = None
) -> pl.Series:
    """Draw ``size`` options, all equally likely or in proportion to the weights."""
    if weights is None:
        return at(options, rng.integers(len(options), size=size))
    bounds = np.cumsum(weights) / np.sum(weights)
    return at(options, np.searchsorted(bounds, rng.random(size), side="right").astype(np.int64))


def chance(rng: np.random.Generator, share: float, size: int) -> pl.Series:
    """Draw a boolean column, each row true with this probability."""
    return pl.Series(rng.random(size) < share)


def returning_buyers(rng: np.random.Generator, chunk: Chunk, orders_per_buyer: float = 3.0) -> Indices:
    """Draw the buyers of a chunk's orders: most buy once or twice, a few very often.

    Some buyers of the pool are never drawn, so that those who are have about half an order more than the average given.
    """
    pool = max(1, round(chunk.total / orders_per_buyer))
    return np.asarray(pool * rng.random(chunk.size) ** 2, dtype=np.int64)


def order_seconds(rng: np.random.Generator, chunk: Chunk) -> Indices:
    """Draw the times of the orders, in seconds since 1970 UTC: by their numbers, up to six hours earlier or later."""
    numbers = np.arange(chunk.start, chunk.start + chunk.size, dtype=np.int64)
    return FIRST_SECOND + numbers * SPAN_SECONDS // chunk.total + rng.integers(-21_600, 21_600, size=chunk.size)


def money(cents: pl.Expr) -> pl.Expr:
    """Write whole cents, not negative, as text with two decimals (``128.00``)."""
    return pl.concat_str((cents // 100).cast(pl.String), pl.lit("."), (cents % 100).cast(pl.String).str.zfill(2))


def instants(seconds: pl.Expr) -> pl.Expr:
    """Convert seconds since 1970 to UTC date and time."""
    return pl.from_epoch(seconds, time_unit="s").dt.replace_time_zone("UTC")


def local_text(seconds: pl.Expr, timezone: str, form: str) -> pl.Expr:
    """Write seconds since 1970 as the local time of a zone, in a strftime form."""
    return instants(seconds).dt.convert_time_zone(timezone).dt.to_string(form)


def local_text_by_zone(seconds: pl.Expr, timezone: pl.Expr, zones: Sequence[str], form: str) -> pl.Expr:
    """Write local times as `local_text` does, in the zone of each row, which is one of ``zones``."""
    distinct = sorted(set(zones))
    return pl.coalesce(pl.when(timezone == zone).then(local_text(seconds, zone, form)) for zone in distinct)


def wide(text: pl.Expr) -> pl.Expr:
    """Write plain letters and digits in their full-width forms, as East Asian keyboards type them."""
    plain = [chr(code) for code in range(0x21, 0x7F) if chr(code).isalnum()]
    return text.str.replace_many(plain, [chr(ord(letter) + 0xFEE0) for letter in plain])
