"""Bad rows as users correct them: raw rows with an open entry in quarantine, each with all its faults and cells.

A raw row may have several entries, of several assets. Rows are listed newest first, page by page (keyset on `raw_id`);
every query reads a bounded number of entries through the indexes of open ones. Changes of rows are in the other modules
of the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa

from etl_assets.asset_graph import QUARANTINING_ASSETS
from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.quarantine.faults import Fault, read_faults

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from etl_assets.quarantine.row_filter import RowFilter

PAGE_ROWS: Final = 50
MOST_COUNTED: Final = 10_000
"""Rows up to which they are counted: a count of millions takes longer than a page may."""
MOST_SHOPS: Final = 200
LISTED_CHARACTERS: Final = 200
SHOWN_CHARACTERS: Final = 20_000
"""Characters of a cell that a list, and the page of one row, show at most."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Entry of quarantine, open or resolved."""

    quarantine_id: int
    asset: str
    reason_code: str
    reason: str
    faults: tuple[Fault, ...]
    quarantined_at: datetime
    resolution: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class BadRow:
    """Raw row with entries in quarantine."""

    raw_id: int
    import_id: UUID
    source: str
    preset: str | None
    line: int
    shop_name: str | None
    """Name of its shop on pages; None where it has none, or none is made."""
    cells: dict[str, str | None]
    """Texts of `RAW_COLUMNS`, cut to the characters that are shown."""
    cut: frozenset[str]
    """Columns whose texts are longer."""
    extra: dict[str, Any]
    """Columns of the file that no mapping named."""
    entries: tuple[Entry, ...]
    order_id: str | None
    """Number of its order, cleaned where it can be read."""

    @property
    def open_entries(self) -> tuple[Entry, ...]:
        """Return the entries that are open."""
        return tuple(one for one in self.entries if one.resolution is None)

    @property
    def faults(self) -> list[Fault]:
        """Return the faults of all open entries, each once."""
        return list(dict.fromkeys(fault for entry in self.open_entries for fault in entry.faults))

    @property
    def bad_columns(self) -> frozenset[str]:
        """Return the columns that a fault is about."""
        return frozenset(fault.column for fault in self.faults if fault.column is not None)


class Count(NamedTuple):
    """Number of rows, exact unless it is more than `MOST_COUNTED`."""

    rows: int
    is_exact: bool


def list_bad_rows(
    connection: sa.Connection, chosen: RowFilter, *, before: int | None = None, limit: int = PAGE_ROWS
) -> list[BadRow]:
    """Return the newest raw rows with an open entry that a filter leaves, with all their open entries.

    Args:
        connection: an open transaction.
        chosen: which open entries.
        before: only rows with a smaller `raw_id`: the last one of the page before.
        limit: the most rows to return.
    """
    older = "" if before is None else " AND q.raw_id < %(before)s"
    query = (
        f"SELECT DISTINCT q.raw_id FROM quarantine q WHERE {chosen.condition}{older}"  # noqa: S608  # constants
        " ORDER BY q.raw_id DESC FETCH FIRST %(limit)s ROWS ONLY"
    )
    parameters = {"limit": limit, "before": before, **chosen.parameters}
    raw_ids = list(connection.exec_driver_sql(query, parameters).scalars())
    return _read_rows(connection, raw_ids, LISTED_CHARACTERS, of_open=True)


def read_bad_row(connection: sa.Connection, raw_id: int) -> BadRow | None:
    """Return a raw row with all its entries; None where it has none."""
    found = _read_rows(connection, [raw_id], SHOWN_CHARACTERS, of_open=False)
    return found[0] if found else None


def count_bad_rows(connection: sa.Connection, chosen: RowFilter) -> Count:
    """Count the raw rows with an open entry that a filter leaves, up to `MOST_COUNTED`."""
    query = (
        "SELECT count(DISTINCT raw_id) FROM (SELECT q.raw_id FROM quarantine q"  # noqa: S608  # constants
        f" WHERE {chosen.condition} FETCH FIRST %(limit)s ROWS ONLY) bounded"
    )
    parameters = {"limit": MOST_COUNTED + 1, **chosen.parameters}
    rows: int = connection.exec_driver_sql(query, parameters).scalar_one()
    return Count(min(rows, MOST_COUNTED), rows <= MOST_COUNTED)


def count_by_reason(connection: sa.Connection) -> dict[str, Count]:
    """Count the open entries of each reason code, up to `MOST_COUNTED`."""
    found = connection.execute(sa.text(_BY_REASON), {"limit": MOST_COUNTED + 1})
    return {row.reason_code: Count(min(row.rows, MOST_COUNTED), row.rows <= MOST_COUNTED) for row in found}


def list_shops_of_bad_rows(connection: sa.Connection) -> list[dict[str, Any]]:
    """Return the shops with open entries by name: `shop_id`, `shop_name`, `platform`; at most `MOST_SHOPS`."""
    return [dict(row) for row in connection.execute(sa.text(_SHOPS), {"limit": MOST_SHOPS}).mappings()]


def open_ids_of(connection: sa.Connection, raw_ids: Sequence[int]) -> list[int]:
    """Return the quarantine ids of all open entries of raw rows."""
    query = "SELECT quarantine_id FROM quarantine WHERE raw_id = ANY (CAST(:ids AS bigint[])) AND resolved_at IS NULL"
    return list(connection.execute(sa.text(f"{query} ORDER BY quarantine_id"), {"ids": list(raw_ids)}).scalars())


def _read_rows(connection: sa.Connection, raw_ids: Sequence[int], characters: int, *, of_open: bool) -> list[BadRow]:
    parameters: dict[str, Any] = {"ids": list(raw_ids), "assets": list(QUARANTINING_ASSETS)}
    entries: dict[int, list[Any]] = {}
    for entry in connection.execute(sa.text(_OPEN_ENTRIES if of_open else _ENTRIES), parameters):
        entries.setdefault(entry.raw_id, []).append(entry)
    rows = connection.execute(sa.text(_ROWS), {"characters": characters, **parameters}).mappings()
    return [_bad_row(row, entries[row["raw_id"]], characters) for row in rows if row["raw_id"] in entries]


def _bad_row(row: Any, entries: Sequence[Any], characters: int) -> BadRow:  # noqa: ANN401  # rows of SQLAlchemy
    texts: dict[str, str | None] = {name: row[name] for name in RAW_COLUMNS}
    return BadRow(
        raw_id=row["raw_id"],
        import_id=row["import_id"],
        source=row["source"],
        preset=row["preset"],
        line=row["row_no"],
        shop_name=row["shop_name"],
        cells={name: text and text[:characters] for name, text in texts.items()},
        cut=frozenset(name for name, text in texts.items() if text is not None and len(text) > characters),
        extra=row["extra"] or {},
        entries=tuple(_entry(one, texts) for one in entries),
        order_id=next((one.order_id for one in entries if one.order_id), texts["order_id"]),
    )


def _entry(one: Any, texts: dict[str, str | None]) -> Entry:  # noqa: ANN401  # as above
    return Entry(
        quarantine_id=one.quarantine_id,
        asset=one.asset,
        reason_code=one.reason_code,
        reason=one.reason,
        faults=tuple(read_faults(one.reason_code, one.reason, texts)),
        quarantined_at=one.quarantined_at,
        resolution=one.resolution if one.resolved_at is not None else None,
        note=one.note,
    )


_ENTRIES: Final = """
    SELECT quarantine_id, raw_id, order_id, asset, reason_code, reason, quarantined_at, resolved_at, resolution, note
    FROM quarantine WHERE raw_id = ANY (CAST(:ids AS bigint[])) AND asset = ANY (:assets) ORDER BY quarantine_id
"""
_OPEN_ENTRIES: Final = _ENTRIES.replace("ORDER BY", "AND resolved_at IS NULL ORDER BY")
_ROWS: Final = f"""
    SELECT r.raw_id, r.import_id, t.source, t.preset, r.row_no,
           {", ".join(f"left(r.{name}, :characters + 1) AS {name}" for name in RAW_COLUMNS)},
           CASE WHEN pg_column_size(r.extra) < 100000 THEN r.extra END AS extra, (
               SELECT coalesce(s.shown_name, s.shop_name) FROM quarantine q JOIN shop_configs s USING (shop_id)
               WHERE q.raw_id = r.raw_id AND q.asset = ANY (:assets) LIMIT 1
           ) AS shop_name
    FROM raw_orders r JOIN import_tasks t USING (import_id)
    WHERE r.raw_id = ANY (CAST(:ids AS bigint[])) ORDER BY r.raw_id DESC
"""  # noqa: S608  # constants only
_SKIP: Final = """
    WITH RECURSIVE found (value) AS (
        SELECT min({column}) FROM quarantine WHERE resolved_at IS NULL
        UNION ALL
        SELECT (SELECT min({column}) FROM quarantine WHERE resolved_at IS NULL AND {column} > found.value)
        FROM found WHERE found.value IS NOT NULL
    )
"""
"""Distinct values of the first column of an index of open entries, one look-up for each."""
_BY_REASON: Final = f"""
    {_SKIP.format(column="reason_code")}
    SELECT value AS reason_code, (
        SELECT count(*) FROM (
            SELECT FROM quarantine q WHERE q.resolved_at IS NULL AND q.reason_code = found.value
            FETCH FIRST :limit ROWS ONLY
        ) bounded
    ) AS rows FROM found WHERE value IS NOT NULL ORDER BY value
"""  # noqa: S608  # constants only
_SHOPS: Final = f"""
    {_SKIP.format(column="shop_id")}
    SELECT s.shop_id, coalesce(s.shown_name, s.shop_name) AS shop_name, s.platform
    FROM (SELECT value FROM found WHERE value IS NOT NULL LIMIT :limit) f JOIN shop_configs s ON s.shop_id = f.value
    ORDER BY 2, 3
"""  # noqa: S608  # constants only
