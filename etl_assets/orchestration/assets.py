"""The seven assets of the graph. Each only calls its step of `etl_assets.pipeline` and reports what it came to.

`pipeline_health`, which sums them up, is in `orchestration.health`.

No `from __future__ import annotations` here: Dagster reads the annotations of the functions when they are defined.
"""

from dataclasses import dataclass
from typing import Final

import dagster as dg
from pydantic import Field

from etl_assets.batch_processor import BatchProcessor
from etl_assets.database.database import Database
from etl_assets.database.schema import TABLE_OF
from etl_assets.events.subjects import AssetName
from etl_assets.orchestration.charts import chart_metadata
from etl_assets.orchestration.failures import reported_errors
from etl_assets.orchestration.health import pipeline_health
from etl_assets.orchestration.metadata import OWNERS, result_metadata, sample_rows, table_metadata
from etl_assets.pipeline.protocol import Services
from etl_assets.raw_orders.load import count_imports, fail_interrupted_imports
from etl_assets.run.landing import ingest_pending_inputs
from etl_assets.run.registry import run_asset
from etl_assets.vectorized_queries import VectorizedQueries

GROUP: Final = "order_to_lead"
RULES_VERSION: Final = "1"
"""Raise it when rules change so that stored rows would come out differently: the UI then marks what is out of date."""


@dataclass(frozen=True, slots=True)
class AssetDescription:
    """What the UI says of an asset."""

    deps: tuple[AssetName, ...]
    description: str
    layer: str = "core"


DESCRIPTIONS: Final[dict[AssetName, AssetDescription]] = {
    "shop": AssetDescription(
        ("raw_orders",),
        "The webshops that orders come from: a row per platform and shop name. What people change in it stays.\n\n"
        "Answers:\n"
        "- Which shops do we sell through, on which platforms?\n"
        "- Which currency and time zone are a shop's orders in?\n",
    ),
    "orders": AssetDescription(
        ("raw_orders", "shop"),
        "The newest version of each order: a row per shop and order id. What can't be read is in `quarantine`.\n\n"
        "Answers:\n"
        "- What was ordered when, in which shop, by whom, for how much?\n"
        "- Is it a sample, a proof or a bulk order, and is it cancelled?\n"
        "- How many orders does each shop bring, and each day? See the picture of the last materialisation.\n",
    ),
    "order_items": AssetDescription(
        ("orders",),
        "The lines of each order: a row per product, variant and quantity.\n\n"
        "Answers:\n"
        "- Which products sell, in which variants, how many pieces, at what price?\n"
        "- What has to be made for an order?\n",
    ),
    "process_items": AssetDescription(
        ("order_items",),
        "The processes (工艺) of lines and orders: printing, embroidery, engraving. `line_no` 0 is the whole order.\n\n"
        "Answers:\n"
        "- What has to be done to which product, in which position?\n"
        "- How many pictures have to be printed?\n",
    ),
    "customers": AssetDescription(
        ("shop", "orders"),
        "The buyers: a row per shop and nickname. The id of a customer is the same in every database.\n\n"
        "Answers:\n"
        "- Who buys, since when, and how often?\n"
        "- Who has not bought for a long time?\n",
    ),
    "leads": AssetDescription(
        ("customers", "orders"),
        "Sales leads (商机) with the figures of their orders, split into sample, proof, bulk. People own the stage.\n\n"
        "Answers:\n"
        "- Whom should sales people talk to, and what is at stake?\n"
        "- How many leads come from a sample to a bulk order? See the picture of the last materialisation.\n",
        layer="sales",
    ),
}


class EtlConfig(dg.Config):
    """How an asset is run."""

    full_refresh: bool = False
    """Process everything again instead of what is pending, after a rule or a mapping changed."""


ALL_INPUTS_INGESTED: Final = dg.AssetCheckSpec(
    name="all_inputs_ingested",
    asset="raw_orders",
    description="No file stays in the inbox and no source is unread for reasons that somebody has to correct.",
)
"""It does not block: what has landed well goes its way meanwhile."""


class LandingConfig(dg.Config):
    """What `raw_orders` reads besides the inbox."""

    pull: list[str] = Field(default_factory=list)
    """Sources of sources.yaml of which to land what changed."""
    reconcile: list[str] = Field(default_factory=list)
    """Sources to read as a whole, to land what pulls should have brought."""


@dg.asset(
    name="raw_orders",
    group_name=GROUP,
    kinds={"postgres"},
    owners=OWNERS,
    tags={"layer": "raw"},
    code_version=RULES_VERSION,
    metadata=table_metadata("raw_orders"),
    pool="raw_orders",
    check_specs=[ALL_INPUTS_INGESTED],
    description="The rows of imported exports, every value as text, untouched: a row per order and import.\n\n"
    "Answers:\n"
    "- What exactly did the platform send us, in which import, on which line?\n"
    "- How many imports came in, and how many failed?\n",
)
def raw_orders(
    context: dg.AssetExecutionContext, config: LandingConfig, database: dg.ResourceParam[Database]
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster takes the generic form for several outputs
    """Land what waits; mark imports failed whose process is gone; report what imports have landed."""
    interrupted = fail_interrupted_imports(database)
    with reported_errors("raw_orders"):
        landed = ingest_pending_inputs(
            database, run_id=context.run.run_id, pulled=config.pull, reconciled=config.reconcile
        )
    imports = count_imports(database)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": imports["rows"],
            "dagster/table_name": f"{database.schema}.raw_orders",
            "imports_completed": imports["completed"],
            "imports_failed": imports["failed"],
            "imports_interrupted": interrupted,
            "files_taken_in": landed.files,
            "files_failed": landed.failed_files,
            "rows_pulled": landed.pulled_rows,
            **sample_rows(database, "raw_orders"),
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=ALL_INPUTS_INGESTED.name,
                passed=not landed.problems,
                metadata={"problems": "\n".join(landed.problems) or "none"},
            )
        ],
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
        tags={"layer": described.layer},
        code_version=RULES_VERSION,
        metadata=table_metadata(asset),
        pool=asset,
    )
    def materialize_asset(
        context: dg.AssetExecutionContext,
        config: EtlConfig,
        database: dg.ResourceParam[Database],
        batch_processor: dg.ResourceParam[BatchProcessor],
        vectorized_queries: dg.ResourceParam[VectorizedQueries],
    ) -> dg.MaterializeResult[None]:
        services = Services(database, batch_processor, vectorized_queries)
        with reported_errors(asset):
            result = run_asset(asset, services, run_id=context.run.run_id, full_refresh=config.full_refresh)
        context.log.info("%s: %s", asset, result.as_dict())
        said = result_metadata(database, asset, TABLE_OF[asset], result)
        return dg.MaterializeResult(metadata=chart_metadata(database, asset, context.log) | said)

    return materialize_asset


ALL_ASSETS: Final = (raw_orders, *(build_asset(asset) for asset in DESCRIPTIONS), pipeline_health)
