"""Dagster resources `database`, and on it `batch_processor` and `vectorized_queries`.

See https://docs.dagster.io/guides/build/external-resources. Thin shells that build plain objects; the behaviour of
those is in their own modules. Settings come from the environment when a run starts, so that no secret is part of a
run's configuration.

No `from __future__ import annotations` here: Dagster reads the annotations of resources when they are defined.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from etl_assets.batch_processor import ATTEMPTS, BatchProcessor
from etl_assets.database import migrate
from etl_assets.database.database import Database
from etl_assets.orchestration.orphaned_runs import process_tag
from etl_assets.settings import Settings
from etl_assets.vectorized_queries import VectorizedQueries


class DatabaseResource(dg.ConfigurableResource[Database]):
    """Database of the settings: the embedded PostgreSQL, or ETL_DATABASE_URL."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Database]:
        """Yield a migrated database; for a server of one's own that is not migrated, raise an error with the remedy.

        Opened first in a run's worker, it also tags the run with the process that executes it (`orphaned_runs`).
        """
        if context.run is not None and context.instance is not None:
            context.instance.add_run_tags(context.run.run_id, process_tag())
        database = Database(Settings())
        try:
            migrate.require_current(database)
            yield database
        finally:
            database.dispose()


class BatchProcessorResource(dg.ConfigurableResource[BatchProcessor]):
    """Processes frames in batches, with retries of transient errors."""

    attempts: int = ATTEMPTS

    def create_resource(self, context: dg.InitResourceContext) -> BatchProcessor:  # noqa: ARG002  # Dagster passes it
        """Return the plain processor."""
        return BatchProcessor(attempts=self.attempts)


class VectorizedQueriesResource(dg.ConfigurableResource[VectorizedQueries]):
    """Looks up any number of keys in a bounded number of queries."""

    database: dg.ResourceDependency[Database]

    def create_resource(self, context: dg.InitResourceContext) -> VectorizedQueries:  # noqa: ARG002  # Dagster passes it
        """Return the plain queries on the shared database."""
        return VectorizedQueries(self.database)


def default_resources() -> dict[str, Any]:
    """Return the resources of a deployment."""
    database = DatabaseResource()
    return {
        "database": database,
        "batch_processor": BatchProcessorResource(),
        "vectorized_queries": VectorizedQueriesResource(database=database),
    }
