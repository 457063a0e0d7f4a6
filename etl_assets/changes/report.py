"""Report of the changes of a run or an import: its batches, the changes of each table, rows as users know them.

`etl-assets changes` prints what is made here, and the metadata of a run has its first rows. How the changes are read is
in `read`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from etl_assets.asset_graph import STEP_ASSETS, TABLE_OF
from etl_assets.changes.read import TableChanges, read_changes, read_first_changes
from etl_assets.changes.scope import EVERYTHING, within_scope
from etl_assets.errors import EtlError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from etl_assets.asset_graph import AssetName
    from etl_assets.changes.net import RowChange

NAMES: Final = ("platform", "shop_name", "order_id", "line_no", "process_no", "customer_nickname")
"""Columns by which users know a row, so far as its table has them."""
MIN_RUN_PREFIX: Final = 4


class RunIdError(EtlError):
    """A text is no id of a run with batches, or the beginning of several."""


@dataclass(frozen=True, slots=True)
class NamedChange:
    """Change of a row, with the names of the row."""

    names: Mapping[str, Any]
    """Those of `NAMES` that the row has."""
    change: RowChange

    @property
    def name(self) -> str:
        """Name of the row, as one text."""
        return " ".join(str(value) for value in self.names.values() if value is not None)

    @property
    def values(self) -> dict[str, tuple[Any, Any]]:
        """Old and new value of each column that says more than the name of the row."""
        is_named = {*self.names, "shop_id"} if self.change.kind != "updated" else set()
        return {name: both for name, both in self.change.values.items() if name not in is_named}

    def as_dict(self) -> dict[str, Any]:
        """Return the change as `--json` prints it."""
        values = {name: {"old": old, "new": new} for name, (old, new) in self.change.values.items()}
        return {"change": self.change.kind, **self.names, "key": dict(self.change.key), "values": values}


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of one run, or those of it that were about an import."""

    run_id: str | None
    """None for a batch of no Dagster run."""
    of_assets: Mapping[AssetName, Sequence[int]]
    other_imports: int
    """Imports, besides the one in question, that rows of a batch among these are from."""


def batches_of_run(connection: sa.Connection, typed: str) -> Batches:
    """Return the batches of the run whose id begins with `typed`.

    Raises:
        RunIdError: there is no such run with batches, or there are several.
    """
    prefix = typed.strip().lower()
    found = connection.execute(sa.text(_RUNS), {"prefix": prefix}).scalars().all()
    if len(prefix) < MIN_RUN_PREFIX or not found:
        msg = f"No run with batches has an id that begins with {typed!r} (give {MIN_RUN_PREFIX} digits or more)."
        raise RunIdError(msg)
    if len(found) > 1:
        msg = f"Several runs have an id that begins with {typed!r}: give more of it."
        raise RunIdError(msg)
    (batches,) = _grouped(connection, _OF_RUN, run_id=found[0])
    return batches


def batches_of_import(connection: sa.Connection, import_id: UUID) -> list[Batches]:
    """Return the batches that were about rows of an import, by run, the first run first."""
    return _grouped(connection, _OF_IMPORT, import_id=import_id)


def table_changes(
    connection: sa.Connection, batches: Batches, tables: Sequence[str], *, limit: int, is_scoped: bool = False
) -> list[tuple[TableChanges, list[NamedChange]]]:
    """Return what batches changed in some tables, upstream first: the counts, and the first rows with their names.

    Args:
        connection: an open transaction.
        batches: the batches.
        tables: names of tables of assets.
        limit: rows of each table to return.
        is_scoped: look only at rows within the scope that `note_scope` has noted.
    """
    found = [
        read_changes(
            connection,
            asset,
            batches.of_assets.get(asset, ()),
            limit=limit,
            within=within_scope(TABLE_OF[asset]) if is_scoped else EVERYTHING,
        )
        for asset in STEP_ASSETS
        if TABLE_OF[asset] in tables
    ]
    return [(one, named(connection, one.rows)) for one in found]


def first_changes(connection: sa.Connection, asset: AssetName, run_id: str, *, limit: int) -> list[NamedChange]:
    """Return the first rows that a run of an asset has updated or deleted, with their names."""
    found = connection.execute(sa.text(_OF_RUN_AND_ASSET), {"run_id": run_id, "asset": asset}).scalars().all()
    return named(connection, read_first_changes(connection, asset, found, limit=limit))


def named(connection: sa.Connection, changes: Sequence[RowChange]) -> list[NamedChange]:
    """Return the changes with the names of their rows."""
    customers = {one.row["customer_global_id"] for one in changes if "lead_id" in one.key}
    of_leads: dict[str, Mapping[str, Any]] = {}
    for query in (_CUSTOMERS, _DELETED_CUSTOMERS):
        if missing := sorted(customers - of_leads.keys()):
            of_leads |= _pairs(connection, query, ids=missing)
    shops = dict(_pairs(connection, _SHOPS)) if changes else {}
    return [NamedChange(_names(one, shops, of_leads), one) for one in changes]


def _names(
    change: RowChange, shops: Mapping[int, Mapping[str, Any]], of_leads: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    row = dict(change.row)
    if "lead_id" in change.key:
        row |= of_leads.get(row["customer_global_id"], {})
    row = {**shops.get(row.get("shop_id", 0), {}), **row}
    return {name: row[name] for name in NAMES if name in row and (name != "customer_nickname" or "order_id" not in row)}


def _pairs(connection: sa.Connection, query: str, **parameters: object) -> list[tuple[Any, Mapping[str, Any]]]:
    rows = connection.execute(sa.text(query), parameters)
    return [(row[0], dict(zip(row._fields[1:], row[1:], strict=True))) for row in rows]


def _grouped(connection: sa.Connection, query: str, **parameters: object) -> list[Batches]:
    """Return the batches by run; a batch of no run is alone, as nothing tells which belong together."""
    groups: dict[object, tuple[str | None, dict[Any, list[int]], int]] = {}
    for batch_id, asset, run_id, other_imports in connection.execute(sa.text(query), parameters):
        group = run_id or batch_id
        _, of_assets, others = groups.get(group, (run_id, {}, 0))
        of_assets.setdefault(asset, []).append(batch_id)
        groups[group] = (run_id, of_assets, max(others, other_imports))
    return [Batches(*group) for group in groups.values()]


_RUNS: Final = "SELECT DISTINCT run_id FROM etl_batches WHERE starts_with(run_id, :prefix) LIMIT 2"
_OF_RUN: Final = "SELECT batch_id, asset, run_id, 0 FROM etl_batches WHERE run_id = :run_id ORDER BY batch_id"
_OF_IMPORT: Final = """
    SELECT batch_id, asset, run_id, cardinality(import_ids) - 1 FROM etl_batches
    WHERE asset <> 'raw_orders' AND :import_id = ANY (import_ids) ORDER BY batch_id
"""
_OF_RUN_AND_ASSET: Final = (
    "SELECT batch_id FROM etl_batches WHERE asset = :asset AND run_id = :run_id ORDER BY batch_id"
)
_SHOPS: Final = """
    SELECT shop_id, platform, shop_name FROM deleted_shops
    UNION ALL SELECT shop_id, platform, shop_name FROM shop_configs
"""
_CUSTOMERS: Final = """
    SELECT CAST(customer_global_id AS text), shop_id, customer_nickname FROM customers
    WHERE customer_global_id = ANY (CAST(:ids AS uuid[]))
"""
_DELETED_CUSTOMERS: Final = """
    SELECT row_key ->> 'customer_global_id', CAST(before ->> 'shop_id' AS integer) AS shop_id,
           before ->> 'customer_nickname' AS customer_nickname
    FROM row_changes
    WHERE after IS NULL AND row_key IN (
        SELECT jsonb_build_object('customer_global_id', id) FROM unnest(CAST(:ids AS text[])) id
    )
"""
