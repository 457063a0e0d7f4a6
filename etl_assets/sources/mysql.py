"""MariaDB and MySQL as a source: triggers record changed keys; the committed records are read as a set, then deleted.

The hazard is the order of commits: numbers are given out before the commit, so a record with a lower number may become
visible later (docs/sources.md).
"""

# ruff: noqa: S608  # only quoted names and integers are put into SQL here

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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
from etl_assets.sources.errors import SourceConfigError
from etl_assets.sources.model import ChangeTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl
    from sqlalchemy import URL

    from etl_assets.sources.model import SourceConfig

CLAIM_ROWS: Final = 100_000
"""Most change rows of one pull; the next one takes the rest."""
DELETE_ROWS: Final = 5_000
KEPT: Final = frozenset({"unix_socket", "charset"})
BINARY: Final = 63
"""Number of the character set of bytes."""
TIMESTAMP, BIT, GEOMETRY = "7", "16", "255"
STRINGS: Final = frozenset({"249", "250", "251", "252", "253", "254"})


class MySQL(Backend):
    """MariaDB or MySQL server."""

    before: tuple[str, ...]

    def __init__(self, source: SourceConfig, url: URL) -> None:
        """Refuse parameters that the bulk reader would ignore, such as encryption."""
        unknown = sorted(url.query.keys() - KEPT)
        if unknown:
            msg = (
                f"Source {source.name}: the URL in {source.url_env} has {unknown[0]}; only {', '.join(sorted(KEPT))} "
                "are supported (no TLS: use a tunnel where the network is not yours)."
            )
            raise SourceConfigError(msg)
        self._url = url
        self._seconds = source.timeout_seconds
        self.before = ("set time_zone = '+00:00'", "set session transaction read only")

    def driver_url(self) -> URL:
        """Return the URL for SQLAlchemy, with PyMySQL."""
        url = self._url.set(drivername="mysql+pymysql")
        return url.update_query_dict({"charset": "utf8mb4"})

    def reader_uri(self) -> str:
        """Return the URL for ConnectorX."""
        socket = self._url.query.get("unix_socket")
        url = self._url.set(drivername="mysql", query={"socket": socket} if socket else {})
        return (url if url.host else url.set(host="localhost")).render_as_string(hide_password=False)

    def quote(self, name: str) -> str:
        """Quote a name in backticks."""
        return quoted(name, "`")

    def as_text(self, column: Column) -> str:
        r"""Cast a column; bytes become ``\x6869``, bits a number, a TIMESTAMP has the session's offset (UTC)."""
        name = f"q.{self.quote(column.name)}"
        if column.type == BIT:
            return f"cast({name} + 0 as char)"
        if column.type == GEOMETRY or (column.type in STRINGS and column.charset == BINARY):
            return f"concat('\\\\x', lower(hex({name})))"
        text = f"cast({name} as char)"
        return f"concat({text}, '+00:00')" if column.type == TIMESTAMP else text

    def decode(self, cells: pl.Expr) -> pl.Expr:
        """Return the text unchanged."""
        return cells

    def replacement(self, cells: pl.Expr) -> pl.Expr:
        """Return the text unchanged."""
        return cells

    def window(self, run: Statements, source: SourceConfig, position: dict[str, Any] | None) -> Window:
        """Find the keys in the committed change rows."""
        changes = source.changes
        [[version]] = run("select version()")[0]
        limit = f"max_statement_time = {self._seconds}"
        if "MariaDB" not in version:
            limit = f"max_execution_time = {self._seconds * 1000}"
        self.before = (*self.before[:2], f"set session {limit}")
        if not isinstance(changes, ChangeTable):
            return Window({}, None, "true", "changes: reconcile")
        table = self.quote(changes.table)
        # As a set, never as "greater than the last": numbers are not committed in their order.
        found = run(f"select seq from {table} order by seq limit {CLAIM_ROWS}")[0]
        claimed = tuple(int(seq) for (seq,) in found)
        in_changes = f"{key_list(self, source.key)} in (select {bare_list(self, source.key)} from {table}"
        # Rows up to the last claimed one are more than the set; rows read again are found unchanged.
        changed = f"{in_changes} where seq <= {claimed[-1] if claimed else 0})"
        pending = f"coalesce({in_changes}), false)"
        if position is None:
            return Window({}, None, pending, "first pull", claimed=claimed)
        return Window({}, changed, pending, is_empty=not claimed, claimed=claimed)

    def release(self, source: SourceConfig, claimed: Sequence[int]) -> Iterable[str]:
        """Delete exactly the change rows that were read."""
        if not isinstance(source.changes, ChangeTable):
            return
        table = self.quote(source.changes.table)
        for start in range(0, len(claimed), DELETE_ROWS):
            numbers = ", ".join(str(int(seq)) for seq in claimed[start : start + DELETE_ROWS])
            yield f"delete from {table} where seq in ({numbers})"

    def setup(self, source: SourceConfig) -> str:
        """Return the SQL of the table of changes and of the triggers that fill it."""
        changes = source.changes
        if not isinstance(changes, ChangeTable):
            return f"-- Nothing to set up for changes: {changes.kind}.\n"
        tables = tables_with_keys(source, changes)
        first, columns = next(iter(tables.items()))
        named = ", ".join(
            f"{self.quote(theirs)} AS {self.quote(ours)}" for theirs, ours in zip(columns, source.key, strict=True)
        )
        target = self.quote(changes.table)
        lines = [
            f"-- Source {source.name}: run this once, before the first pull. All tables must be InnoDB.",
            "-- With binary logging, creating a trigger needs SUPER, or log_bin_trust_function_creators = 1.",
            "-- The user of the source needs SELECT on what it reads, and SELECT, DELETE on the table of changes.",
            f"CREATE TABLE {target} (seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY) ENGINE = InnoDB",
            f"  SELECT {named} FROM {self.quote(first)} LIMIT 0;",
        ]
        for table, theirs in tables.items():
            lines += self._triggers(source, changes.table, table, theirs)
        return "\n".join(lines) + "\n"

    def _triggers(self, source: SourceConfig, changes: str, table: str, columns: Sequence[str]) -> list[str]:
        into = f"INSERT INTO {self.quote(changes)} ({bare_list(self, source.key)}) VALUES"
        new, old = (f"({', '.join(f'{side}.{self.quote(column)}' for column in columns)})" for side in ("NEW", "OLD"))
        events = {"INSERT": new, "UPDATE": new}
        if source.mapping.shape == "line_item":  # a line that goes changes the order that it leaves
            events = {"INSERT": new, "UPDATE": f"{new}, {old}", "DELETE": old}
        *schema, bare = table.split(".")
        return [
            f"CREATE TRIGGER {self.quote('.'.join([*schema, f'etl_{bare}_{event.lower()}']))} AFTER {event}"
            f" ON {self.quote(table)} FOR EACH ROW\n  {into} {values};"
            for event, values in events.items()
        ]
