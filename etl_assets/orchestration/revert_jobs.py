"""Dagster jobs that take an import back, bring it again, and let a held one through.

All only wire configuration to `etl_assets/reverts`. They run no asset: the rows are left pending for the sensors. See
https://docs.dagster.io/guides/build/jobs.

No `from __future__ import annotations` here: Dagster reads the annotations of ops when they are defined.
"""

from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import dagster as dg
from pydantic import Field

from etl_assets.database.database import Database
from etl_assets.ledger.import_ids import find_import
from etl_assets.orchestration.failures import reported_errors
from etl_assets.orchestration.quarantine_jobs import NEXT
from etl_assets.reverts.imports import ImportChange, accept_imports, restore_imports, revert_imports


class ImportsConfig(dg.Config):
    """Configuration of `revert_import`, `restore_import` and `accept_import`."""

    import_ids: list[str] = Field(description="Ids of imports, or their first digits, as `imports list` shows them.")


@dg.op(name="revert_imports")
def _revert(context: dg.OpExecutionContext, config: ImportsConfig, database: dg.ResourceParam[Database]) -> None:
    _change(context, database, config.import_ids, revert_imports)


@dg.op(name="restore_imports")
def _restore(context: dg.OpExecutionContext, config: ImportsConfig, database: dg.ResourceParam[Database]) -> None:
    _change(context, database, config.import_ids, restore_imports)


@dg.op(name="accept_imports")
def _accept(context: dg.OpExecutionContext, config: ImportsConfig, database: dg.ResourceParam[Database]) -> None:
    _change(context, database, config.import_ids, accept_imports)


def _change(
    context: dg.OpExecutionContext,
    database: Database,
    typed: Sequence[str],
    change: Callable[[Database, Sequence[UUID]], list[ImportChange]],
) -> None:
    with reported_errors("imports"):
        with database.transaction() as connection:
            import_ids = [find_import(connection, one) for one in typed]
        changes = change(database, import_ids)
    columns = ("import_id", "source", "status", "rows", "orders", "corrections")
    records = [dg.TableRecord({name: one.as_dict()[name] for name in columns}) for one in changes]
    schema = dg.TableSchema([dg.TableColumn(name) for name in columns])
    is_changed = any(one.is_changed for one in changes)
    context.add_output_metadata(
        {
            "imports": dg.MetadataValue.table(records, schema=schema),
            "next": NEXT if is_changed else "Nothing was to be changed.",
        }
    )


@dg.job(
    name="revert_import",
    description="Takes imports back: after the run that follows, all tables are what they would be without them.",
)
def revert_import_job() -> None:
    """Run the op that reverts."""
    _revert()


@dg.job(
    name="restore_import",
    description="Brings reverted imports back: after the run that follows, all tables are what they were.",
)
def restore_import_job() -> None:
    """Run the op that restores."""
    _restore()


@dg.job(
    name="accept_import",
    description="Lets held imports through: after the run that follows, their orders count, whatever they remove.",
)
def accept_import_job() -> None:
    """Run the op that accepts."""
    _accept()


REVERT_JOBS: Final = (revert_import_job, restore_import_job, accept_import_job)
