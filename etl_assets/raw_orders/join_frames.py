"""Joining of small frames: each operation on a frame takes some time of its own, however few rows the frame has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MOST_CELLS: Final = 20_000_000
"""Fewer rows fit in memory where a file has hundreds of columns."""


def join_frames(frames: Iterable[pl.DataFrame], rows: int, size: int | None = None) -> Iterator[pl.DataFrame]:
    """Join frames until they have more than so many rows, too many cells, or a size in bytes; each but the last has."""
    joined: list[pl.DataFrame] = []
    height = bytes_joined = 0
    for frame in frames:
        joined.append(frame)
        height += frame.height
        bytes_joined += 0 if size is None else int(frame.estimated_size())
        if height > min(rows, MOST_CELLS // frame.width) or (size is not None and bytes_joined > size):
            yield pl.concat(joined, rechunk=True)
            joined, height, bytes_joined = [], 0, 0
    if joined:
        yield pl.concat(joined, rechunk=True)
