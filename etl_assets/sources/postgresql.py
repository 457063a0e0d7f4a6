"""PostgreSQL as a source: windows of transaction numbers below the oldest open one.

The hazard is a transaction with a low number that commits late: no window may pass it (docs/sources.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from etl_assets.database.reader_uri import SSL_MODES
from etl_assets.sources.backend import Backend, Column, Statements, Window, quoted, with_whole_orders
from etl_assets.sources.errors import SourceConfigError, SourceError
from etl_assets.sources.model import XidColumn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import polars as pl
    from sqlalchemy import URL

    from etl_assets.sources.model import SourceConfig

SESSION: Final = (
    "-c default_transaction_read_only=on -c timezone=UTC -c datestyle=ISO,YMD -c bytea_output=hex"
    " -c intervalstyle=postgres -c lock_timeout=30s"
)
KEPT: Final = frozenset({"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey"})
"""Parameters of a URL that both drivers understand."""
TURN: Final = 2**32
"""System columns hold transaction numbers modulo this."""

# One statement, so that a fail-over can't come between the horizon and the name of the server that it is from.
HORIZON: Final = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
       (SELECT system_identifier::text FROM pg_control_system()),
       CASE WHEN pg_is_in_recovery() THEN '' ELSE substring(pg_walfile_name(pg_current_wal_lsn()) FOR 8) END,
       current_setting('server_encoding')
"""


class PostgreSQL(Backend):
    """PostgreSQL server, version 13 or newer."""

    before: tuple[str, ...] = ()

    def __init__(self, source: SourceConfig, url: URL) -> None:
        """Refuse parameters that only one of the two drivers would understand."""
        unknown = sorted(url.query.keys() - KEPT)
        if unknown:
            msg = f"Source {source.name}: the URL in {source.url_env} has {unknown[0]}; only {', '.join(sorted(KEPT))}."
            raise SourceConfigError(msg)
        mode = str(url.query.get("sslmode", "prefer"))
        if mode not in SSL_MODES or (mode == "verify-ca" and "sslrootcert" not in url.query):
            msg = (
                f"Source {source.name}: the bulk reader can't do sslmode={mode} of the URL in {source.url_env}. Use "
                "sslmode=verify-ca and sslrootcert=FILE, which check who signed the server's certificate."
            )
            raise SourceConfigError(msg)
        self._reader_mode = SSL_MODES[mode]
        self._url = url
        self._options = f"{SESSION} -c statement_timeout={source.timeout_seconds}s"

    def driver_url(self) -> URL:
        """Return the URL for SQLAlchemy, with psycopg 3."""
        return self._url.set(drivername="postgresql+psycopg").update_query_dict({"options": self._options})

    def reader_uri(self) -> str:
        """Return the URL for ConnectorX, which needs a host and reads '+' literally."""
        parameters = {"options": self._options, "sslmode": self._reader_mode}
        url = self._url.set(drivername="postgresql").update_query_dict(parameters)
        if not url.host:
            url = url.set(host="localhost")
        base, _, query = url.render_as_string(hide_password=False).partition("?")
        return f"{base}?{query.replace('+', '%20')}"

    def quote(self, name: str) -> str:
        """Quote a name in double quotation marks."""
        return quoted(name, '"')

    def as_text(self, column: Column) -> str:
        r"""Cast a column, which every type allows; bytes become ``\x6869``."""
        return f"q.{self.quote(column.name)}::text"

    def decode(self, cells: pl.Expr) -> pl.Expr:
        """Return the text unchanged."""
        return cells

    def replacement(self, cells: pl.Expr) -> pl.Expr:
        """Return the text unchanged."""
        return cells

    def window(self, run: Statements, source: SourceConfig, position: dict[str, Any] | None) -> Window:
        """Find the window [lo, hi): from the last horizon to the oldest transaction that is open now."""
        [[horizon, system, timeline, encoding]] = run(HORIZON)[0]
        if encoding == "SQL_ASCII":
            msg = f"Source {source.name}: its database has the encoding SQL_ASCII, so its texts can't be read reliably."
            raise SourceError(msg)
        reached: dict[str, Any] = {"system": system, "timeline": timeline, "horizon": horizon}
        if source.changes.kind == "reconcile":
            return Window(reached, None, "true", "changes: reconcile")
        if not timeline:
            msg = (
                f"Source {source.name}: its database is a standby, whose transactions can't be told apart reliably. "
                "Name the primary in the URL, or use changes: reconcile."
            )
            raise SourceError(msg)
        if position is None:
            return Window(reached, None, "true", "first pull")
        lo = int(position["horizon"])
        why_full = _reason_for_full_read(position, reached)
        if why_full is not None:
            return Window(reached, None, "true", why_full)
        changed = with_whole_orders(source, self, self._between(source, lo, horizon))
        return Window(reached, changed, self._between(source, lo, None), is_empty=horizon == lo)

    def release(self, source: SourceConfig, claimed: Sequence[int]) -> Iterable[str]:  # noqa: ARG002  # nothing is claimed
        """Return no statement: the position alone records the rows that have been read."""
        return ()

    def setup(self, source: SourceConfig) -> str:
        """Return the SQL of the column and its triggers; it does not rewrite the table."""
        changes = source.changes
        if not isinstance(changes, XidColumn):
            return f"-- Nothing to set up for changes: {changes.kind}.\n"
        tables = changes.tables or ((source.table,) if source.table else ())
        if not tables:
            msg = f"Source {source.name}: name under changes.tables the tables that its query reads."
            raise SourceConfigError(msg)
        column = self.quote(changes.column)
        function = quoted(f"{changes.column}_set", '"')
        lines = [
            f"-- Source {source.name}: run this once, as the owner of the tables, before the first pull.",
            "-- Rows that are there already keep NULL in the new column: the first pull reads the whole source.",
            "BEGIN;",
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS",
            f"$$BEGIN NEW.{column} := pg_current_xact_id(); RETURN NEW; END$$;",
        ]
        for table in tables:
            name = self.quote(table)
            lines += [
                f"ALTER TABLE {name} ADD COLUMN {column} xid8;",
                f"CREATE TRIGGER {quoted(changes.column, chr(34))} BEFORE INSERT OR UPDATE ON {name}",
                f"  FOR EACH ROW EXECUTE FUNCTION {function}();",
            ]
        lines += ["COMMIT;", *(f"CREATE INDEX CONCURRENTLY ON {self.quote(table)} ({column});" for table in tables)]
        return "\n".join(lines) + "\n"

    def _between(self, source: SourceConfig, lo: int, hi: int | None) -> str:
        if isinstance(source.changes, XidColumn):
            column = f"q.{self.quote(source.changes.column)}"
            until = "" if hi is None else f" and {column} < '{int(hi)}'::xid8"
            return f"coalesce({column} >= '{int(lo)}'::xid8{until}, false)"
        # Subtraction modulo 2^32: where it wraps around, some rows are read again.
        width = TURN // 2 if hi is None else int(hi) - int(lo)
        return f"((q.xmin::text::bigint - {int(lo) % TURN}) & {TURN - 1}) < {width}"


def _reason_for_full_read(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    """Return the reason why a window between two positions would lack changes; None where it is complete."""
    if (old["system"], old["timeline"]) != (new["system"], new["timeline"]):
        return "the source is another server, or was restored"
    lo, hi = int(old["horizon"]), int(new["horizon"])
    if hi < lo:
        return "the source's transactions went back: it was restored"
    return "too many transactions since the last pull" if hi - lo >= TURN // 2 else None
