"""SQLite as a source: it has one writer at a time, so a counter that triggers raise is in the order of the commits."""

# ruff: noqa: S608  # only quoted names and integers are put into SQL here

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import polars as pl
from sqlalchemy import URL

from etl_assets.sources.backend import (
    Backend,
    Column,
    Statements,
    Window,
    bare_list,
    key_list,
    quoted,
    tables_with_keys,
)
from etl_assets.sources.errors import SourceConfigError, SourceError
from etl_assets.sources.model import ChangeSequence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etl_assets.sources.model import SourceConfig

UTF_8_IN_HEX: Final = (
    "^(?:[0-7].|(?:C[2-9A-F]|D.)[89AB].|E0[AB].[89AB].|E[1-9ABCEF][89AB].[89AB].|ED[89].[89AB]."
    "|F0[9AB].(?:[89AB].){2}|F[1-3](?:[89AB].){3}|F48.(?:[89AB].){2})*$"
)
"""Pattern of UTF-8 in hex: a text of SQLite may be any bytes, and casting one bad cell would fail the column."""


class SQLite(Backend):
    """SQLite file that other programs write to."""

    before: tuple[str, ...] = ()

    def __init__(self, source: SourceConfig, url: URL) -> None:
        """Refuse a missing file: the reader would create an empty database."""
        self._path = Path(url.database or "").resolve()
        if not self._path.is_file():
            msg = f"Source {source.name}: {source.url_env} names {self._path}, which is no file. Check the path."
            raise SourceConfigError(msg)
        if source.query is not None and "\\" in source.query:
            msg = f"Source {source.name}: the reader changes backslashes in a query. Make a view of it and name that."
            raise SourceConfigError(msg)

    def driver_url(self) -> URL:
        """Return the URL for SQLAlchemy, with Python's own library, read-only."""
        return URL.create("sqlite", database=f"file:{quote(str(self._path))}", query={"mode": "ro", "uri": "true"})

    def reader_uri(self) -> str:
        """Return the URL for ConnectorX, which decodes %XX in the path."""
        return f"sqlite://{quote(str(self._path))}"

    def quote(self, name: str) -> str:
        """Quote a name in double quotation marks."""
        return quoted(name, '"')

    def as_text(self, column: Column) -> str:
        """Return the storage class of the cell and its text: a column may mix classes, and none may fail the read."""
        name = f"q.{self.quote(column.name)}"
        return (
            f"case typeof({name}) when 'null' then 'n' when 'blob' then 'b'||hex({name})"
            f" when 'text' then 't'||hex(cast({name} as blob))"
            f" else substr(typeof({name}), 1, 1)||cast({name} as text) end"
        )

    def decode(self, cells: pl.Expr) -> pl.Expr:
        r"""Decode text, numbers as SQLite writes them, bytes as ``\x6869``; null for text that is no UTF-8."""
        tag, body = cells.str.head(1), cells.str.slice(1)
        is_text = (tag == "t") & body.str.contains(UTF_8_IN_HEX)
        text = pl.when(is_text).then(body).str.decode("hex").cast(pl.String)
        return (
            pl.when(tag == "t")
            .then(text)
            .when(tag == "b")
            .then("\\x" + body.str.to_lowercase())
            .when(tag != "n")
            .then(body)
        )

    def replacement(self, cells: pl.Expr) -> pl.Expr:
        """Show text that is no UTF-8 as its bytes."""
        return pl.when(cells != "n").then("\\x" + cells.str.slice(1).str.to_lowercase())

    def window(self, run: Statements, source: SourceConfig, position: dict[str, Any] | None) -> Window:
        """Find the keys with a number above the last one."""
        [[encoding]] = run("pragma encoding")[0]
        if encoding != "UTF-8":
            msg = f"Source {source.name}: its file holds {encoding}; only UTF-8 can be read."
            raise SourceError(msg)
        changes = source.changes
        if not isinstance(changes, ChangeSequence):
            return Window({}, None, "true", "changes: reconcile")
        [[identity, value]] = run(f"select id, value from {self.quote(changes.sequence)}")[0]
        reached = {"id": identity, "value": value}
        if position is None:
            return Window(reached, None, "true", "first pull")
        lo = int(position["value"])
        if position["id"] != identity or value < lo:
            return Window(reached, None, "true", "the source is another file, or was restored")
        in_changes = (
            f"{key_list(self, source.key)} in (select {bare_list(self, source.key)} from {self.quote(changes.table)}"
            f" where seq > {lo}"
        )
        return Window(reached, f"{in_changes} and seq <= {int(value)})", f"{in_changes})", is_empty=value == lo)

    def release(self, source: SourceConfig, claimed: Sequence[int]) -> Iterable[str]:  # noqa: ARG002  # nothing is claimed
        """Return no statement: the position alone records the rows that have been read."""
        return ()

    def setup(self, source: SourceConfig) -> str:
        """Return the SQL of the counter, the table of changed keys, and the triggers."""
        changes = source.changes
        if not isinstance(changes, ChangeSequence):
            return f"-- Nothing to set up for changes: {changes.kind}.\n"
        tables = tables_with_keys(source, changes)
        table, sequence = self.quote(changes.table), self.quote(changes.sequence)
        columns = bare_list(self, source.key)
        lines = [
            f"-- Source {source.name}: run this once, before the first pull.",
            "BEGIN;",
            f"CREATE TABLE {sequence} (id TEXT NOT NULL, value INTEGER NOT NULL);",
            f"INSERT INTO {sequence} VALUES (lower(hex(randomblob(16))), 0);",
            f"CREATE TABLE {table} ({columns}, seq INTEGER NOT NULL);",
            f"CREATE INDEX {self.quote(changes.table + '_seq')} ON {table} (seq);",
            f"CREATE INDEX {self.quote(changes.table + '_key')} ON {table} ({columns});",
        ]
        for theirs, their_columns in tables.items():
            lines += self._triggers(source, changes, theirs, their_columns)
        return "\n".join([*lines, "COMMIT;"]) + "\n"

    def _triggers(self, source: SourceConfig, changes: ChangeSequence, table: str, columns: Sequence[str]) -> list[str]:
        events = {"INSERT": ["NEW"], "UPDATE": ["NEW"]}
        if source.mapping.shape == "line_item":  # a line that goes changes the order that it leaves
            events = {"INSERT": ["NEW"], "UPDATE": ["OLD", "NEW"], "DELETE": ["OLD"]}
        return [
            f"CREATE TRIGGER {self.quote(f'etl_{table}_{event.lower()}')} AFTER {event} ON {self.quote(table)} BEGIN\n"
            f"  UPDATE {self.quote(changes.sequence)} SET value = value + 1;\n"
            + "".join(self._record_key(source, changes, columns, side) for side in sides)
            + "END;"
            for event, sides in events.items()
        ]

    def _record_key(self, source: SourceConfig, changes: ChangeSequence, columns: Sequence[str], side: str) -> str:
        """Return the SQL that records a key: delete and insert, for a caller's OR IGNORE would apply to an upsert."""
        table, pairs = self.quote(changes.table), zip(source.key, columns, strict=True)
        same = " AND ".join(f"{self.quote(ours)} IS {side}.{self.quote(theirs)}" for ours, theirs in pairs)
        values = bare_list(self, columns, f"{side}.")
        return (
            f"  DELETE FROM {table} WHERE {same};\n"
            f"  INSERT INTO {table} ({bare_list(self, source.key)}, seq)"
            f" SELECT {values}, value FROM {self.quote(changes.sequence)};\n"
        )
