"""Filling of columns that a file fills in an order's first row only (`fill_down` of a mapping), as merged cells are.

The hazard is a row of another order without these cells, which would get the texts of the order above: only columns
that the mapping names are filled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from etl_assets.raw_orders.transform import blank_to_null

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from etl_assets.presets.model import Preset


def filled_down(frames: Iterable[pl.DataFrame], preset: Preset) -> Iterator[pl.DataFrame]:
    """Yield the frames with the empty cells of the named columns filled from the row above, of the frame before too.

    Args:
        frames: rows as the readers make them.
        preset: its columns in the spelling of the file.
    """
    last: dict[str, str | None] = {}
    for frame in frames:
        headers = [header for header in preset.fill_down if header in frame.columns]
        filled = frame.with_columns(
            blank_to_null(pl.col(header)).forward_fill().fill_null(pl.lit(last.get(header), pl.String)).alias(header)
            for header in headers
        )
        if filled.height:
            last = {header: filled[header][-1] for header in headers}
        yield filled
