"""Databases for tests: copies of a migrated template, emptied and lent again where the schema is as it was.

Copying the template takes several times as long as emptying a database. A database whose catalogs differ from the
template's is dropped, so that no test meets the tables, triggers or settings of another one.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from itertools import count
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql
from pydantic import SecretStr

from etl_assets.database import migrate
from etl_assets.database.database import Database
from etl_assets.database.schema import metadata
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

TEMPLATE: Final = "etl_template"
CAREFUL: Final = ("fsync", "full_page_writes", "synchronous_commit")
"""Settings of the server that guard against a power cut: no test has one, and waiting for the disk takes minutes."""
PATIENCE_SECONDS: Final = 60
"""How long a session that a test has left open may take to end: while one is there, a database can't be renamed."""

_FINGERPRINT: Final = """
    WITH
        temporary AS (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast_)?temp_'),
        lasting AS (SELECT * FROM pg_class WHERE oid >= 16384 AND relnamespace NOT IN (SELECT oid FROM temporary)),
        relations AS (SELECT * FROM lasting WHERE relkind NOT IN ('i', 't')),
        parts (part) AS (
            SELECT CAST(to_jsonb(r)  -- without what TRUNCATE, VACUUM and ANALYZE change
                - CAST('{relfilenode,relpages,reltuples,relallvisible,relallfrozen,relfrozenxid,relminmxid}' AS text[])
            AS text) FROM relations r
            UNION ALL SELECT concat('column', attrelid, ' ', attnum, ' ', xmin) FROM pg_attribute
                WHERE attrelid IN (SELECT oid FROM relations)
            UNION ALL SELECT concat(pg_get_indexdef(indexrelid), indisvalid) FROM pg_index  -- first loads make some
                WHERE indrelid IN (SELECT oid FROM relations)
            UNION ALL SELECT concat('schema ', oid, ' ', xmin) FROM pg_namespace
                WHERE oid NOT IN (SELECT oid FROM temporary)
            UNION ALL SELECT concat('database ', datacl, ' ', datconnlimit) FROM pg_database
                WHERE datname = current_database()
            UNION ALL SELECT concat('setting ', setrole, ' ', setconfig) FROM pg_db_role_setting
                JOIN pg_database d ON d.oid = setdatabase WHERE datname = current_database()
            UNION ALL SELECT concat('revision ', version_num) FROM alembic_version
            UNION ALL SELECT concat('pg_attrdef ', oid, ' ', xmin) FROM pg_attrdef WHERE oid >= 16384
            UNION ALL SELECT concat('pg_constraint ', oid, ' ', xmin) FROM pg_constraint WHERE oid >= 16384
            UNION ALL SELECT concat('pg_default_acl ', oid, ' ', xmin) FROM pg_default_acl WHERE oid >= 16384
            UNION ALL SELECT concat('pg_event_trigger ', oid, ' ', xmin) FROM pg_event_trigger WHERE oid >= 16384
            UNION ALL SELECT concat('pg_extension ', oid, ' ', xmin) FROM pg_extension WHERE oid >= 16384
            UNION ALL SELECT concat('pg_policy ', oid, ' ', xmin) FROM pg_policy WHERE oid >= 16384
            UNION ALL SELECT concat('pg_proc ', oid, ' ', xmin) FROM pg_proc WHERE oid >= 16384
            UNION ALL SELECT concat('pg_rewrite ', oid, ' ', xmin) FROM pg_rewrite WHERE oid >= 16384
            UNION ALL SELECT concat('pg_statistic_ext ', oid, ' ', xmin) FROM pg_statistic_ext WHERE oid >= 16384
            UNION ALL SELECT concat('pg_trigger ', oid, ' ', xmin) FROM pg_trigger WHERE oid >= 16384
            UNION ALL SELECT concat('pg_type ', oid, ' ', xmin) FROM pg_type WHERE oid >= 16384
        )
    SELECT md5(string_agg(part, ' ' ORDER BY part)) FROM parts
"""
"""All that makes up the schema of a database. PostgreSQL's own objects have numbers below 16384."""
_END_SESSIONS: Final = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
_USED: Final = """
    SELECT CAST(CAST(c.oid AS regclass) AS text) FROM pg_class c
    WHERE relkind = 'r' AND relnamespace = CAST('etl' AS regnamespace) AND relname <> 'alembic_version' AND (
        pg_relation_size(c.oid) > 0 OR EXISTS (
            SELECT FROM pg_depend JOIN pg_sequences
            ON CAST(format('%I.%I', schemaname, sequencename) AS regclass) = objid
            WHERE refobjid = c.oid AND deptype = 'i' AND last_value IS NOT NULL
        )
    )
"""
"""Tables that have, or had, rows, or whose numbers were drawn."""


class DatabasePool:
    """The databases of the tests on one server."""

    def __init__(self, server: sa.URL) -> None:
        self.server = server
        self._numbers = count()
        self._spares: list[str] = []
        for setting in CAREFUL:
            self.execute(f"ALTER SYSTEM SET {setting} = off")
        self.execute("SELECT pg_reload_conf()")
        self.execute(f"CREATE DATABASE {TEMPLATE}")
        template = Database(Settings(database_url=SecretStr(self.url(TEMPLATE))))
        migrate.upgrade(template)
        template.dispose()
        with self.connect(TEMPLATE) as connection:
            self._as_migrated = _fingerprint(connection)

    def lend(self) -> str:
        """Name a migrated, empty database."""
        if self._spares:
            return self._spares.pop()
        name = self._new_name()
        self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
        return name

    @contextmanager
    def copy(self, of: str = TEMPLATE) -> Iterator[sa.URL]:
        """Copy a database that nobody is connected to; it is dropped at the end of the block."""
        name = self._new_name()
        self.execute(f"CREATE DATABASE {name} TEMPLATE {of} STRATEGY file_copy")
        try:
            yield self.server.set(database=name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def keep(self, name: str) -> str:
        """Keep a copy of a database that nobody is connected to, and name it."""
        kept = self._new_name()
        self.execute(f"CREATE DATABASE {kept} TEMPLATE {name} STRATEGY file_copy")
        return kept

    def restore(self, name: str, kept: str) -> None:
        """Replace a lent database by a kept one."""
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")
        self.execute(f"CREATE DATABASE {name} TEMPLATE {kept} STRATEGY file_copy")

    def take_back(self, name: str) -> None:
        """Keep the database for the next test if its schema is as it was; drop it otherwise.

        The next test has it under another name, where no process reaches it that this test may have left behind.
        """
        spare = self._new_name()
        with suppress(psycopg.Error):  # it is gone, takes no connections, has no table of ours …
            with self.connect("postgres") as connection:
                _end_sessions(connection, name)
                connection.execute(f"ALTER DATABASE {name} RENAME TO {spare}")
            with self.connect(spare) as connection:
                if _fingerprint(connection) == self._as_migrated:
                    empty(connection)
                    self._spares.append(spare)
                    return
        for left in (name, spare):
            self.execute(f"DROP DATABASE IF EXISTS {left} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run a statement on the server, outside of transactions."""
        with self.connect("postgres") as connection:
            connection.execute(statement)

    def connect(self, name: str) -> psycopg.Connection:
        """Connect to a database; each statement is a transaction."""
        return psycopg.connect(self.url(name), autocommit=True)

    def url(self, name: str) -> str:
        """Build the URL of a database."""
        return self.server.set(database=name).render_as_string(hide_password=False)

    def _new_name(self) -> str:
        return f"test_{os.getpid()}_{next(self._numbers)}"


def _end_sessions(connection: psycopg.Connection, database: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while connection.execute(_END_SESSIONS, (database,)).fetchall():
        assert time.monotonic() < deadline, "a session of the test does not end"
        time.sleep(0.002)


def _fingerprint(connection: psycopg.Connection) -> str:
    connection.execute("SET search_path = etl")
    row = connection.execute(_FINGERPRINT).fetchone()
    return "" if row is None else row[0]


def empty(connection: psycopg.Connection) -> None:
    """Bring the tables to the state in which the migrations leave them; a test's own tables keep their rows."""
    with connection.transaction():
        used = [sql.SQL(name) for (name,) in connection.execute(_USED) if name in metadata.tables]
        if used:
            connection.execute("SET LOCAL session_replication_role = replica")  # no trigger notes what is emptied
            connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(sql.SQL(", ").join(used)))
            connection.execute("DELETE FROM pg_statistic WHERE starelid >= 16384")
            connection.execute("SET LOCAL session_replication_role = origin")
