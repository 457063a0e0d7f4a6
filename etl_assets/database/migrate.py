"""The schema in the database: made and changed by migrations only, never by an asset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql

from etl_assets.database.keys import missing_keys, restore_keys
from etl_assets.errors import NotMigratedError

if TYPE_CHECKING:
    from etl_assets.database.database import Database

_LOCK = 7_305_461_902
"""The advisory lock that lets one migration at a time run."""


def upgrade(database: Database) -> tuple[str | None, str]:
    """Bring the schema to the newest revision, creating it where it is missing. Returns the old and the new one.

    Raises:
        MissingKeyError: a key is missing that can't be made.
    """
    with database.transaction() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        _create_schema(connection, database.schema)
        before = MigrationContext.configure(connection).get_current_revision()
        command.upgrade(_config(connection), "head")
        restore_keys(connection)
        return before, newest_revision()


def newest_revision() -> str:
    """The revision that this version of the project needs."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def require_current(database: Database) -> None:
    """Migrate the embedded database; refuse a server of one's own that is not migrated, or lacks a key.

    Raises:
        NotMigratedError: it says what to type.
        MissingKeyError: the embedded database lacks a key that can't be made.
    """
    lacking = what_is_lacking(database)
    if lacking is None:
        return
    if not database.is_embedded:
        msg = f"The schema {database.schema!r} {lacking}: run `etl-assets db upgrade`."
        raise NotMigratedError(msg)
    upgrade(database)


def what_is_lacking(database: Database) -> str | None:
    """Describe why the schema is not as this version needs it; None if it is."""
    needed = newest_revision()
    with database.transaction() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
        if found != needed:
            return f"is at {found or 'no revision'}, this version needs {needed}"
        names = ", ".join(str(key.name) for key in missing_keys(connection))
    return f"lacks keys that a killed first load of an older version left out ({names})" if names else None


def _create_schema(connection: sa.Connection, schema: str) -> None:
    exists = connection.execute(sa.text("SELECT to_regnamespace(:schema) IS NOT NULL"), {"schema": schema}).scalar_one()
    if not exists:
        driver: Any = connection.connection.driver_connection
        driver.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))


def _config(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
