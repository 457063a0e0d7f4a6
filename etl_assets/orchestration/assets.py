"""The seven assets of the graph. Each only calls its step of `etl_assets.pipeline` and reports what it came to.

No `from __future__ import annotations` here: Dagster reads the annotations of the functions when they are defined.
"""

from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from etl_assets.batch_processor import BatchProcessor
from etl_assets.database.database import Database, sqlstate_of
from etl_assets.database.schema import TABLE_OF
from etl_assets.errors import EtlError
from etl_assets.events.subjects import AssetName
from etl_assets.orchestration.metadata import column_schema, result_metadata, sample_rows
from etl_assets.pipeline.assets import run_asset
from etl_assets.pipeline.step import Services
from etl_assets.raw_orders.load import fail_interrupted_imports, landed_totals
from etl_assets.vectorized_queries import VectorizedQueries

GROUP: Final = "order_to_lead"
OWNERS: Final = ("team:order_to_lead",)


@dataclass(frozen=True, slots=True)
class AssetDescription:
    """What the UI says of an asset."""

    deps: tuple[AssetName, ...]
    description: str


DESCRIPTIONS: Final[dict[AssetName, AssetDescription]] = {
    "shop": AssetDescription(
        ("raw_orders",),
        "The webshops that orders come from, one per platform and name.\n\n"
        "Answers: which shops do we sell through, in which currency and time zone?",
    ),
    "orders": AssetDescription(
        ("raw_orders", "shop"),
        "The newest version of each order.\n\n"
        "Answers: what was ordered when, by whom, for how much, and is it cancelled? Rows that can't be read wait in"
        " `quarantine`.",
    ),
    "order_items": AssetDescription(
        ("orders",), "The line items of each order.\n\nAnswers: which products, variants and quantities?"
    ),
    "process_items": AssetDescription(
        ("order_items",),
        "The processes (工艺) of items and orders: printing, embroidery, engraving.\n\n"
        "Answers: what has to be done where, and how many pictures have to be printed?",
    ),
    "customers": AssetDescription(
        ("shop", "orders"),
        "The customers of each shop.\n\n"
        "Answers: who buys, since when, how often? The id is the same in every database.",
    ),
    "leads": AssetDescription(
        ("customers", "orders"),
        "Sales leads (商机) with the figures of their orders, split into sample, proof and bulk.\n\n"
        "Answers: whom should sales people talk to, and what is at stake? People own the stage.",
    ),
}


class EtlConfig(dg.Config):
    """How an asset is run."""

    full_refresh: bool = False
    """Process everything again instead of what is pending, after a rule or a mapping changed."""


def _table_metadata(asset: AssetName) -> dict[str, Any]:
    table = TABLE_OF[asset]
    return {"dagster/table_name": f"etl.{table}", "dagster/column_schema": column_schema(table)}


@dg.asset(
    name="raw_orders",
    group_name=GROUP,
    kinds={"postgres"},
    owners=OWNERS,
    metadata=_table_metadata("raw_orders"),
    description="The rows of imported exports, every value as text, untouched; landed by `etl-assets import`.\n\n"
    "Answers: what exactly did the platform send us?",
)
def raw_orders(database: dg.ResourceParam[Database]) -> dg.MaterializeResult[None]:
    """Report what imports have landed; mark imports failed whose process is gone."""
    interrupted = fail_interrupted_imports(database)
    totals = landed_totals(database)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": totals.rows,
            "imports_completed": totals.completed,
            "imports_failed": totals.failed,
            "imports_interrupted": interrupted,
            "sample_rows": sample_rows(database, "raw_orders"),
        }
    )


def build_asset(asset: AssetName) -> dg.AssetsDefinition:
    """The Dagster asset of one of the six steps."""
    described = DESCRIPTIONS[asset]

    @dg.asset(
        name=asset,
        deps=list(described.deps),
        group_name=GROUP,
        kinds={"postgres", "polars"},
        owners=OWNERS,
        description=described.description,
        metadata=_table_metadata(asset),
    )
    def materialize_asset(
        context: dg.AssetExecutionContext,
        config: EtlConfig,
        database: dg.ResourceParam[Database],
        batch_processor: dg.ResourceParam[BatchProcessor],
        vectorized_queries: dg.ResourceParam[VectorizedQueries],
    ) -> dg.MaterializeResult[None]:
        services = Services(database, batch_processor, vectorized_queries)
        try:
            result = run_asset(asset, services, run_id=context.run.run_id, full_refresh=config.full_refresh)
        except EtlError as error:
            raise dg.Failure(str(error)) from None
        except Exception as error:  # noqa: BLE001  # whatever it is
            # The text of a driver's error quotes values, and Dagster stores it: only its kind is passed on.
            msg = f"{asset}: {type(error).__name__} (SQLSTATE {sqlstate_of(error) or '-'}); see the database's log."
            raise dg.Failure(msg) from None
        context.log.info("%s: %s", asset, result.as_dict())
        return dg.MaterializeResult(metadata=result_metadata(database, asset, TABLE_OF[asset], result))

    return materialize_asset


ALL_ASSETS: Final = (raw_orders, *(build_asset(asset) for asset in DESCRIPTIONS))
