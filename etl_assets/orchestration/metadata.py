"""What the Dagster UI is told about a table: its schema, sample rows, counts and rates, under the standard keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from etl_assets.database.schema import metadata as tables

if TYPE_CHECKING:
    from etl_assets.database.database import Database
    from etl_assets.events.subjects import AssetName
    from etl_assets.pipeline.step import StepResult

SAMPLE_ROWS: Final = 5
_POSTGRESQL: Final = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it


def column_schema(table: str) -> dg.TableSchema:
    """The columns of a table with their types, comments and constraints."""
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


def result_metadata(database: Database, asset: AssetName, table: str, result: StepResult) -> dict[str, Any]:
    """The metadata of a materialisation: counts and rates (plotted by the UI) and sample rows."""
    seconds = result.duration
    counts = {
        f"rows_{name.removesuffix('_rows')}": value for name, value in result.as_dict().items() if name in _COUNTS
    }
    with database.transaction() as connection:
        total = connection.execute(
            sa.text("SELECT coalesce(sum(inserted - deleted), 0) FROM etl_batches WHERE asset = :asset"),
            {"asset": asset},
        ).scalar_one()
    rows = result.counts.input_rows
    return {
        "dagster/row_count": int(total),
        **counts,
        "batches": result.batches,
        "duration_seconds": round(seconds, 3),
        "rows_per_second": round(rows / seconds) if seconds and rows else 0,
        "quarantined_share": round(result.counts.quarantined / rows, 6) if rows else 0.0,
        "sample_rows": sample_rows(database, table),
    }


def sample_rows(database: Database, table: str) -> dg.TableMetadataValue:
    """The first rows of a table, every cell as text."""
    described = tables.tables[table]
    statement = sa.select(described).limit(SAMPLE_ROWS)
    with database.transaction() as connection:
        rows = connection.execute(statement).mappings().all()
    records = [
        dg.TableRecord({name: "" if value is None else str(value)[:200] for name, value in row.items()}) for row in rows
    ]
    return dg.MetadataValue.table(
        records, schema=dg.TableSchema([dg.TableColumn(column.name, "text") for column in described.columns])
    )


_COUNTS: Final = frozenset(
    ("input_rows", "inserted", "updated", "unchanged", "superseded", "quarantined", "deleted", "without_customer")
)
