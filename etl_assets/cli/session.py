"""Session of a command: its settings, and the opened database with a migrated schema."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import ValidationError

from etl_assets.cli.output import WrongUseError
from etl_assets.database import migrate
from etl_assets.database.database import Database
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


def load_settings() -> Settings:
    """Read the settings. Raises `WrongUseError` with the names of invalid variables."""
    try:
        return Settings()
    except ValidationError as error:
        problems = "; ".join(
            f"{_variable_name(str(one['loc'][0]) if one['loc'] else '')}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False)
        )
        msg = f"{problems}. Correct it in the environment or in .env."
        raise WrongUseError(msg) from None


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """Open the migrated database; it is closed at the end of the block.

    Raises:
        EtlError: it can't be reached or used; the message has the remedy.
    """
    database = Database(settings)
    try:
        migrate.require_current(database)
        yield database
    finally:
        database.dispose()


def _variable_name(field: str) -> str:
    return field if field.startswith("ETL_") else f"ETL_{field.upper()}"
