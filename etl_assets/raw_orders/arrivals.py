"""Arrivals: the days on which imports brought orders of a shop (`shop_arrivals`), a row per shop and day.

When a shop is late is a rule of `health.rhythm`, not of this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Sequence

_RECORD: Final = sa.text("""
    INSERT INTO shop_arrivals AS a (platform, shop_name, day, imports)
    SELECT platform, shop_name, CAST(now() AT TIME ZONE 'UTC' AS date), 1
    FROM unnest(CAST(:platforms AS text[]), CAST(:names AS text[])) s (platform, shop_name)
    ON CONFLICT (platform, shop_name, day) DO UPDATE SET imports = a.imports + 1
""")


def record_arrivals(connection: sa.Connection, shops: Sequence[tuple[str, str]]) -> None:
    """Record that an import brought orders of shops (platform and name), in the transaction of its rows.

    Imports are committed one after the other (`ledger.batches.open_batch`), so none waits for these rows.
    """
    if shops:
        platforms, names = zip(*shops, strict=True)
        connection.execute(_RECORD, {"platforms": list(platforms), "names": list(names)})
