"""Alembic's entry point: runs the migrations on the connection that `migrate` puts into the configuration."""

from __future__ import annotations

from alembic import context

from etl_assets.database.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    compare_type=True,
    compare_server_default=False,
)
with context.begin_transaction():
    context.run_migrations()
