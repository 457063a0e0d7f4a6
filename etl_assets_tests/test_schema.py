"""The tables in the database are the ones that the metadata describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from etl_assets.database import migrate
from etl_assets.database.database import Database
from etl_assets.database.schema import metadata
from etl_assets.errors import NotMigratedError

if TYPE_CHECKING:
    from etl_assets.settings import Settings


def test_migrations_make_what_the_metadata_describes(settings: Settings) -> None:
    database = Database(settings)
    with database.transaction() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    database.dispose()
    assert differences == []


@pytest.mark.slow
def test_a_server_that_is_not_migrated_is_refused_with_what_to_type(settings: Settings) -> None:
    database = Database(settings.model_copy(update={"db_schema": "other"}))
    with pytest.raises(NotMigratedError, match="etl-assets db upgrade"):
        migrate.require_current(database)
    migrate.upgrade(database)
    migrate.require_current(database)
    with database.transaction() as connection:
        tables = sa.inspect(connection).get_table_names(schema="other")
    database.dispose()
    assert {"raw_orders", "orders", "business_leads"} <= set(tables)
