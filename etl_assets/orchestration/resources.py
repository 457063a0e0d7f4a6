"""The three Dagster resources: `database`, and on it `batch_processor` and `vectorized_queries`.

Thin shells that make plain objects; what those do is in their own modules. The settings come from the environment when
a run begins, so that no secret is ever part of a run's configuration.

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
    """The store that the settings name: the embedded PostgreSQL, or ETL_DATABASE_URL."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Database]:
        """Hand out a migrated database; an own server that is not migrated is refused with what to type.

        As the first thing that a run's worker does, it also notes which process that is.
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
    """Cuts frames into batches, retries what passes, goes on after what does not."""

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
    """The resources of a real deployment."""
    database = DatabaseResource()
    return {
        "database": database,
        "batch_processor": BatchProcessorResource(),
        "vectorized_queries": VectorizedQueriesResource(database=database),
    }
