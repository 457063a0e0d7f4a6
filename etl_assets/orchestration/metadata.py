"""Metadata of assets for the Dagster UI: table, columns and their lineage, counts, rates, sample rows, freshness.

See https://docs.dagster.io/guides/build/assets/metadata-and-tags. Dagster's standard keys wherever it has one, so that
its UI and other readers of its metadata understand them. Not here: pictures (`charts`), descriptions and lineage (the
asset graph).
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from etl_assets.asset_graph import TABLE_OF
from etl_assets.database.schema import metadata as tables
from etl_assets.orchestration.lineage import column_lineage
from etl_assets.reporting.changes import changes_page
from etl_assets.reporting.figures import SECONDS, TooSlowError, read_newest_leads
from etl_assets.reporting.imports import recent_findings
from etl_assets.reporting.samples import shown_row

if TYPE_CHECKING:
    from etl_assets.asset_graph import AssetName
    from etl_assets.database.database import Database
    from etl_assets.pipeline.protocol import StepResult
    from etl_assets.settings import Settings

OWNERS: Final = ("team:order_to_lead",)
SAMPLE_ROWS: Final = 5
NEWEST_LEADS: Final = 10
INPUTS: Final = "inputs"
"""Metadata of `raw_orders`: what a run ingested, refused and left, as `run` reports it."""
FINDINGS_OF_IMPORTS: Final = 20
FINDINGS_SHOWN: Final = 50
_POSTGRESQL: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it


def table_metadata(asset: AssetName) -> dict[str, Any]:
    """Return the metadata of an asset's table that is known before any run."""
    lineage = column_lineage(asset)
    return {
        "dagster/column_schema": column_schema(TABLE_OF[asset]),
        **({"dagster/column_lineage": lineage} if lineage.deps_by_column else {}),
    }


def with_settings(spec: dg.AssetSpec, settings: Settings) -> dg.AssetSpec:
    """Return the asset with the attributes that depend on the settings: schema of its table, freshness policy.

    Work arrives with imports, at any time: an asset is late with a warning after `freshness_hours` without a
    materialisation, as a failure after twice as long (https://docs.dagster.io/guides/observe/asset-freshness-policies).
    """
    window = dt.timedelta(hours=settings.freshness_hours)
    fresh = spec.replace_attributes(
        freshness_policy=dg.FreshnessPolicy.time_window(fail_window=2 * window, warn_window=window)
    )
    table = {str(asset): table for asset, table in TABLE_OF.items()}.get(spec.key.to_user_string())
    return fresh.merge_attributes(metadata={"dagster/table_name": f"{settings.db_schema}.{table}"}) if table else fresh


def column_schema(table: str) -> dg.TableSchema:
    """Return the columns of a table with their types, comments and constraints."""
    described = tables.tables[table]
    key = list(described.primary_key.columns)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type.compile(_POSTGRESQL).lower(),
                description=column.comment,
                constraints=dg.TableColumnConstraints(nullable=bool(column.nullable), unique=key == [column]),
            )
            for column in described.columns
        ]
    )


def result_metadata(database: Database, asset: AssetName, run_id: str, result: StepResult) -> dict[str, Any]:
    """Return the figures of a materialisation: counts and rates (plotted by the UI) and changed rows."""
    table = TABLE_OF[asset]
    seconds = result.duration
    counts = {
        f"rows_{name.removesuffix('_rows')}": value for name, value in result.as_dict().items() if name in _COUNTS
    }
    with database.transaction() as connection:
        total, pending, quarantined = connection.execute(sa.text(_STANDING), {"asset": asset}).one()
    rows = result.counts.input_rows
    return {
        "dagster/row_count": int(total),
        "dagster/table_name": f"{database.schema}.{table}",
        **counts,
        "rows_pending": int(pending),
        "open_quarantine": int(quarantined),
        "batches": result.batches,
        "duration_seconds": round(seconds, 3),
        "rows_per_second": round(rows / seconds) if seconds and rows else 0,
        "quarantined_share": round(result.counts.quarantined / rows, 6) if rows else 0.0,
        **changed_rows(database, asset, run_id, result),
        **({"new_leads": result.counts.inserted} if asset == "leads" else {}),
    }


def changed_rows(
    database: Database, asset: AssetName, run_id: str, result: StepResult
) -> dict[str, dg.MarkdownMetadataValue]:
    """Return the first rows that a run has updated or deleted, with old and new values, as the settings allow."""
    page = changes_page(database, asset, run_id) if result.counts.updated or result.counts.deleted else None
    return {"changed_rows": dg.MetadataValue.md(page)} if page else {}


def sample_rows(database: Database, table: str) -> dict[str, dg.TableMetadataValue]:
    """Return some rows of a table, every cell as text, as far as the settings allow them to be shown.

    Of leads, those with the latest orders, with names instead of ids; of other tables, the first rows.
    """
    mode = database.settings.sample_rows
    if mode == "off":
        return {}
    rows = _newest_leads(database) if table == TABLE_OF["leads"] else _first_rows(database, table)
    if not rows:
        return {}
    schema = dg.TableSchema([dg.TableColumn(name, "text") for name in rows[0]])
    return {
        "sample_rows": dg.MetadataValue.table([dg.TableRecord(shown_row(row, mode)) for row in rows], schema=schema)
    }


def _newest_leads(database: Database) -> list[dict[str, Any]]:
    try:
        return read_newest_leads(database, limit=NEWEST_LEADS, seconds=SECONDS)
    except TooSlowError:  # a sample must not slow down a run
        return []


def _first_rows(database: Database, table: str) -> list[dict[str, Any]]:
    statement = sa.select(tables.tables[table]).limit(SAMPLE_ROWS)
    with database.transaction() as connection:
        rows = connection.execute(statement).mappings().all()
    return [{str(name): value for name, value in row.items()} for row in rows]


def findings_table(database: Database) -> dict[str, dg.TableMetadataValue]:
    """Return the findings of the last imports, which hold headers, statuses and counts but no values of rows."""
    with database.transaction() as connection:
        found = recent_findings(connection, imports=FINDINGS_OF_IMPORTS, limit=FINDINGS_SHOWN)
    if not found:
        return {}
    return {"findings_of_last_imports": dg.MetadataValue.table([dg.TableRecord(one) for one in found])}


_STANDING: Final = """
    SELECT (SELECT coalesce(sum(inserted - deleted), 0) FROM etl_batches WHERE asset = :asset),
           (SELECT coalesce(sum(high - low + 1), 0) FROM etl_work WHERE asset = :asset),
           (SELECT count(*) FROM quarantine WHERE asset = :asset AND resolved_at IS NULL)
"""
_COUNTS: Final = frozenset(
    ("input_rows", "inserted", "updated", "unchanged", "superseded", "quarantined", "deleted", "anonymous_orders")
)
