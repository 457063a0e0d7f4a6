"""Orders of numbered rows that a newer import of the file or sheet has no row for: they may be there twice.

That happens where rows were inserted or deleted above others (docs/decisions.md, "Numbered rows"). Such orders are
counted as a finding, not removed: the rows of an import never take orders away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import sqlalchemy as sa

from etl_assets.raw_orders.findings import Finding
from etl_assets.values.text import clean_text_str

if TYPE_CHECKING:
    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.row_numbers import Places


def gone_rows(connection: sa.Connection, preset: Preset, places: Places) -> list[Finding]:
    """Return a finding with the number of stored orders of the file or sheet whose rows are no first rows any more.

    Only where the mapping names platform and shop: rows of several shops are not told apart.
    """
    named = {column: mapping.constant or "" for column, mapping in preset.columns.items()}
    platform, shop = (clean_text_str(name) for name in (named.get("platform", preset.name), named.get("shop", "")))
    numbered = clean_text_str(f"{places.prefix}0")
    if not (places.prefix and platform and shop and numbered):
        return []
    prefix = numbered[:-1]
    fields = {"platform": platform, "shop": shop, "prefix": prefix, "after": prefix[:-1] + chr(ord(prefix[-1]) + 1)}
    stored = pl.Series(connection.execute(sa.text(_STORED), fields).scalars().all(), dtype=pl.String)
    rows = stored.str.strip_prefix(prefix).cast(pl.Int64, strict=False).drop_nulls()
    gone = rows.filter(~rows.is_in(pl.Series(places.rows, dtype=pl.Int64).implode()))
    return [Finding("GONE_ROWS", count=gone.len())] if gone.len() else []


_STORED = """
    SELECT o.order_id FROM shop_configs s JOIN orders o USING (shop_id)
    WHERE s.platform = :platform AND s.shop_name = :shop AND NOT o.is_cancelled
    AND o.order_id >= :prefix AND o.order_id < :after
"""
"""The part of the key between a prefix and the next text after all that begin with it, in the order of bytes."""
