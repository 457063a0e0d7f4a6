"""Migrations: bring the schema in the database to the revision that this version needs.

Only migrations (`migrations/versions`) create and change tables; assets never do.
"""

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

_LOCK_ID = 7_305_461_902
"""Advisory lock that serialises migrations."""


def upgrade(database: Database) -> tuple[str | None, str]:
    """Upgrade the schema to the newest revision, creating it if needed. Returns the old and the new revision.

    Raises:
        MissingKeyError: a missing key can't be created.
    """
    with database.transaction() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_ID)))
        _create_schema(connection, database.schema)
        before = MigrationContext.configure(connection).get_current_revision()
        command.upgrade(alembic_config(connection), "head")
        restore_keys(connection)
        return before, newest_revision()


def newest_revision() -> str:
    """Return the revision that this version of the project needs."""
    return str(ScriptDirectory.from_config(alembic_config()).get_current_head())


def require_current(database: Database) -> None:
    """Migrate the embedded database; refuse another server that is not migrated, or lacks a key.

    Raises:
        NotMigratedError: the message names the command to run.
        MissingKeyError: a missing key of the embedded database can't be created.
    """
    deviation = find_deviation(database)
    if deviation is None:
        return
    if not database.is_embedded:
        msg = f"The schema {database.schema!r} {deviation}: run `etl-assets db upgrade`."
        raise NotMigratedError(msg)
    upgrade(database)


def find_deviation(database: Database) -> str | None:
    """Describe how the schema deviates from what this version needs; None if it does not."""
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


def alembic_config(connection: sa.Connection | None = None) -> Config:
    """Return the configuration of Alembic, for migrations on an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
