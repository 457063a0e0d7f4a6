"""Migrations: bring the schema in the database to the revision that this version needs.

Only migrations (`migrations/versions`) create and change tables; assets never do. Alembic is imported in the functions
that migrate: every command and run asks for the revision, and Alembic takes a fifth of a second to import.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from psycopg import sql

from etl_assets.database.comments import write_comments
from etl_assets.database.keys import missing_keys, restore_keys
from etl_assets.database.schema import metadata
from etl_assets.errors import NotMigratedError

if TYPE_CHECKING:
    from alembic.config import Config

    from etl_assets.database.database import Database

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
_LOCK_ID = 7_305_461_902
"""Advisory lock that serialises migrations."""


def upgrade(database: Database) -> tuple[str | None, str]:
    """Upgrade the schema to the newest revision, creating it if needed. Returns the old and the new revision.

    Raises:
        MissingKeyError: a missing key can't be created.
    """
    from alembic import command  # noqa: PLC0415  # see above

    with database.transaction() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK_ID)))
        _create_schema(connection, database.schema)
        before = read_revision(connection)
        command.upgrade(alembic_config(connection), "head")
        restore_keys(connection)
        write_comments(connection, metadata)
        return before, newest_revision()


def newest_revision() -> str:
    """Return the revision that this version of the project needs: the number of the last migration's file."""
    return max(path.name for path in _MIGRATIONS.glob("versions/[0-9]*.py")).partition("_")[0]


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
        found = read_revision(connection)
        if found != needed:
            return f"is at {found or 'no revision'}, this version needs {needed}"
        names = ", ".join(str(key.name) for key in missing_keys(connection))
    return f"lacks keys that a killed first load of an older version left out ({names})" if names else None


def read_revision(connection: sa.Connection) -> str | None:
    """Return the revision that the schema is at, from Alembic's own table; None where there is none."""
    if connection.execute(sa.text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _create_schema(connection: sa.Connection, schema: str) -> None:
    exists = connection.execute(sa.text("SELECT to_regnamespace(:schema) IS NOT NULL"), {"schema": schema}).scalar_one()
    if not exists:
        driver: Any = connection.connection.driver_connection
        driver.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))


def alembic_config(connection: sa.Connection | None = None) -> Config:
    """Return the configuration of Alembic, for migrations on an open connection."""
    from alembic.config import Config  # noqa: PLC0415  # see above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
