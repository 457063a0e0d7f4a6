"""Reading the change log: what the batches of a run changed in a table, with counts and the first rows.

Inserted rows are found by the batch that they name, updated and deleted ones in `row_changes`. How a row's records make
one change is in `net`. Which batches belong to a run or an import is in `batches`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.asset_graph import TABLE_OF
from etl_assets.changes.net import KINDS, NOT_SHOWN, Record, net_change
from etl_assets.changes.scope import EVERYTHING
from etl_assets.database.change_log import created_batch_of, key_of
from etl_assets.database.frames import fetch_frame
from etl_assets.database.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from etl_assets.asset_graph import AssetName
    from etl_assets.changes.net import Kind, RowChange

_RECORD_SCHEMA: Final = {
    "row_key": pl.String(),
    "created_batch_id": pl.Int64(),
    "is_deletion": pl.Boolean(),
}


@dataclass(frozen=True, slots=True)
class TableChanges:
    """Changes of batches to a table."""

    table: str
    counts: Mapping[Kind, int]
    rows: Sequence[RowChange]
    """The first of them: updated ones, deleted ones, inserted ones."""


def read_changes(
    connection: sa.Connection, asset: AssetName, batches: Sequence[int], *, limit: int, within: str = EVERYTHING
) -> TableChanges:
    """Read what batches of an asset have changed in its first table, all in all.

    Args:
        connection: an open transaction.
        asset: the asset.
        batches: numbers of batches of the asset, ascending.
        limit: rows to return.
        within: condition of the rows to look at (`scope.within_scope`).
    """
    reader = _Reader(connection, asset, batches, within)
    return reader.read(limit) if batches else TableChanges(reader.table, dict.fromkeys(KINDS, 0), [])


def read_first_changes(
    connection: sa.Connection, asset: AssetName, batches: Sequence[int], *, limit: int
) -> Sequence[RowChange]:
    """Read the first updated and deleted rows of batches of an asset, without looking at all that they have changed."""
    reader = _Reader(connection, asset, batches)
    return list(reader.net_changes(reader.first_keys(limit), frozenset()).values()) if batches else []


def read_records(connection: sa.Connection, asset: AssetName, key: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read the changes of one row, the oldest first: `at`, `batch_id`, `run_id`, `change` and `values`.

    That the row was inserted is known of the row as it is now, and of those that were deleted.
    """
    table = TABLE_OF[asset]
    at = " AND ".join(f"t.{name} = :{name}" for name in key)
    records = connection.execute(
        sa.text(_OF_ROW.format(table=table, created=created_batch_of(table), at=at)),
        {**key, "asset": asset, "row_key": json.dumps(dict(key))},
    )
    return [
        {
            "at": row.at,
            "batch_id": row.batch_id,
            "run_id": row.run_id,
            "change": row.change,
            "values": _values(row.before, row.after),
        }
        for row in records
    ]


def _values(old: str | None, new: str | None) -> dict[str, tuple[Any, Any]]:
    before, after = _decoded(old or "{}"), _decoded(new or "{}")
    names = [name for name in {**before, **after} if name not in NOT_SHOWN]
    return {name: (before.get(name), after.get(name)) for name in names}


class _Reader:
    """Reads the changes of some batches of one asset."""

    def __init__(
        self, connection: sa.Connection, asset: AssetName, batches: Sequence[int], within: str = EVERYTHING
    ) -> None:
        self.connection, self.asset, self.batches = connection, asset, list(batches)
        self.table = TABLE_OF[asset]
        self.sql = _queries(self.table, within)
        self.parameters = {
            "asset": asset,
            "batches": self.batches,
            "first": min(self.batches, default=0),
            "last": max(self.batches, default=0),
        }

    def read(self, limit: int) -> TableChanges:
        """Count the changed rows, and return the first ones."""
        records = fetch_frame(self.connection, self.sql["records"], _RECORD_SCHEMA, {"batches": self.batches})
        is_own = pl.col("created_batch_id").is_in(self.batches).fill_null(value=False)
        keys = records.group_by("row_key", maintain_order=True).agg(
            pl.len().alias("records"), existed=~is_own.first(), is_deleted=pl.col("is_deletion").last()
        )
        made_again = self._made_again(keys.filter("is_deleted")["row_key"])
        is_made_again = pl.col("row_key").is_in(made_again.implode())
        keys = keys.with_columns(exists=~pl.col("is_deleted") | is_made_again)
        doubtful = keys.filter("existed", "exists", (pl.col("records") > 1) | is_made_again)["row_key"]
        again = frozenset(made_again)
        changed = pl.Series(list(self.net_changes(doubtful, again)), dtype=pl.String)
        as_before = doubtful.filter(~doubtful.is_in(changed.implode()))
        keys = keys.filter(~pl.col("row_key").is_in(as_before.implode()))
        by_kind = {
            "updated": keys.filter("existed", "exists"),
            "deleted": keys.filter("existed", ~pl.col("exists")),
            "inserted": keys.filter(~pl.col("existed"), "exists"),
        }
        touched = records.filter(is_own).select("row_key", "created_batch_id").n_unique() + made_again.len()
        inserted_only = int(self._execute("made")[0][0]) - touched
        counts: dict[Kind, int] = {kind: by_kind[kind].height for kind in KINDS}
        counts["inserted"] += inserted_only
        shown = pl.concat([by_kind[kind].select("row_key") for kind in KINDS]).head(limit)["row_key"].to_list()
        if len(shown) < limit and inserted_only:
            shown += self._texts("inserted_keys", limit=limit - len(shown))
        return TableChanges(self.table, counts, list(self.net_changes(shown, again).values()))

    def first_keys(self, limit: int) -> Sequence[str]:
        """Return the keys of the first updated or deleted rows that were there before."""
        return self._texts("first_keys", limit=limit)

    def net_changes(self, keys: Iterable[str], made_again: frozenset[str]) -> dict[str, RowChange]:
        """Return the changes of the rows with these keys (as JSON texts), so far as they are changes all in all."""
        named = list(keys)
        if not named:
            return {}
        of_batches, later = self._records_of("records_of", named), self._records_of("later", named)
        current = {key: _decoded(row) for key, row in self._execute("current", keys=named)}
        changes = {
            key: net_change(
                _decoded(key),
                of_batches.get(key, []),
                later.get(key, []),
                current.get(key),
                self.batches,
                is_made_again=key in made_again,
            )
            for key in named
        }
        places = {name: place for place, name in enumerate(metadata.tables[self.table].columns.keys())}
        return {
            key: replace(change, values=dict(sorted(change.values.items(), key=lambda one: places[one[0]])))
            for key, change in changes.items()
            if change is not None
        }

    def _made_again(self, keys: pl.Series) -> pl.Series:
        found = self._texts("made_again", keys=keys.to_list()) if keys.len() else []
        return pl.Series("row_key", found, pl.String)

    def _records_of(self, query: str, keys: Sequence[str]) -> dict[str, list[Record]]:
        found: dict[str, list[Record]] = {}
        for key, created_batch_id, before, after in self._execute(query, keys=keys):
            record = Record(created_batch_id, _decoded(before), None if after is None else _decoded(after))
            found.setdefault(key, []).append(record)
        return found

    def _execute(self, query: str, **parameters: object) -> list[tuple[Any, ...]]:
        rows = self.connection.execute(sa.text(self.sql[query]), {**self.parameters, **parameters})
        return [tuple(row) for row in rows]

    def _texts(self, query: str, **parameters: object) -> list[str]:
        return [row[0] for row in self._execute(query, **parameters)]


def _decoded(text: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(text, parse_float=Decimal)
    return decoded


_KEYS: Final = "unnest(CAST(CAST(:keys AS text[]) AS jsonb[])) k (row_key)"


def _queries(table: str, within: str) -> dict[str, str]:
    """Return the queries about a table, by name; they are made of constants only."""
    key, created = key_of(table), created_batch_of(table)
    row_key = "jsonb_build_object({})".format(", ".join(f"'{name}', t.{name}" for name in key))
    same = " AND ".join(f"t.{name} = r.{name}" for name in key)
    of_keys = (
        f"{_KEYS} CROSS JOIN LATERAL jsonb_populate_record(CAST(NULL AS {table}), k.row_key) r JOIN {table} t ON {same}"
    )
    is_inserted = f"t.{created} = ANY (:batches)"
    inserted = f"{table} t WHERE {is_inserted} AND {within.format(row_key=row_key)}"
    deleted = f"{_DELETED} AND {within.format(row_key='c.row_key')}"
    return {
        "records": (
            "SELECT row_key, created_batch_id, after IS NULL FROM row_changes"  # noqa: S608  # constants
            f" WHERE batch_id = ANY (%(batches)s) AND {within.format(row_key='row_key')} ORDER BY batch_id, change_id"
        ),
        "current": f"SELECT CAST(k.row_key AS text), CAST(to_jsonb(t) AS text) FROM {of_keys}",  # noqa: S608  # constants
        "made": f"SELECT (SELECT count(*) FROM {inserted}) + (SELECT count(*) FROM {deleted})",  # noqa: S608  # as above
        "made_again": (
            f"SELECT CAST(k.row_key AS text) FROM {of_keys} WHERE {is_inserted}"  # noqa: S608  # as above
            f" UNION SELECT CAST(k.row_key AS text) FROM {_KEYS} WHERE EXISTS"
            f" (SELECT FROM {_DELETED} AND c.row_key = k.row_key AND c.batch_id <> ALL (:batches))"
        ),
        "inserted_keys": (
            f"SELECT CAST(row_key AS text) FROM (SELECT {row_key} AS row_key FROM {inserted}"  # noqa: S608  # as above
            f" UNION ALL SELECT c.row_key FROM {deleted}) made"
            " WHERE NOT EXISTS"
            " (SELECT FROM row_changes c WHERE c.batch_id = ANY (:batches) AND c.row_key = made.row_key)"
            " ORDER BY row_key LIMIT :limit"
        ),
        "first_keys": (
            "SELECT CAST(row_key AS text) FROM row_changes"
            " WHERE batch_id = ANY (:batches) AND coalesce(created_batch_id, 0) <> ALL (:batches)"
            " GROUP BY row_key ORDER BY min(change_id) LIMIT :limit"
        ),
        "records_of": f"{_RECORDS_OF_KEYS} WHERE c.batch_id = ANY (:batches) ORDER BY c.batch_id, c.change_id",
        "later": (
            f"{_RECORDS_OF_KEYS} JOIN etl_batches e ON e.batch_id = c.batch_id AND e.asset = :asset"
            " WHERE c.batch_id > :last ORDER BY c.batch_id, c.change_id"
        ),
    }


_DELETED: Final = """
    row_changes c JOIN etl_batches e ON e.batch_id = c.batch_id AND e.asset = :asset
    WHERE c.after IS NULL AND c.batch_id >= :first AND c.created_batch_id = ANY (:batches)
"""
"""Deletions of rows that the batches had inserted."""
_RECORDS_OF_KEYS: Final = f"""
    SELECT CAST(c.row_key AS text), c.created_batch_id, CAST(c.before AS text), CAST(c.after AS text)
    FROM {_KEYS} JOIN row_changes c USING (row_key)
"""  # noqa: S608  # constants only
_OF_ROW: Final = """
    WITH records AS (
        SELECT c.* FROM row_changes c JOIN etl_batches e ON e.batch_id = c.batch_id AND e.asset = :asset
        WHERE c.row_key = CAST(:row_key AS jsonb)
    ), all_changes AS (
        SELECT batch_id, change_id, CASE WHEN after IS NULL THEN 'deleted' ELSE 'updated' END AS change,
               CAST(before AS text) AS before, CAST(after AS text) AS after
        FROM records
        UNION ALL
        SELECT created_batch_id, 0, 'inserted', NULL, NULL FROM (
            SELECT created_batch_id FROM records WHERE created_batch_id IS NOT NULL
            UNION SELECT t.{created} FROM {table} t WHERE {at} AND t.{created} IS NOT NULL
        ) inserted
    )
    SELECT e.finished_at AS at, batch_id, e.run_id, change, before, after
    FROM all_changes JOIN etl_batches e USING (batch_id) ORDER BY batch_id, change_id
"""
"""A scan of the log: no index is kept up for a command that is rare."""
