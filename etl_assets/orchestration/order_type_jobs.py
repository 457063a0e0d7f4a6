"""Dagster job that maps an order type; the rule and its table are in `etl_assets/orders/order_types`.

See https://docs.dagster.io/guides/build/jobs.

No `from __future__ import annotations` here: Dagster reads the annotations of ops when they are defined.
"""

from enum import Enum
from typing import Final

import dagster as dg
from pydantic import Field

from etl_assets.database.database import Database
from etl_assets.orchestration.failures import reported_errors
from etl_assets.orchestration.jobs import FULL_REFRESH_JOB
from etl_assets.orders.order_types import list_order_types, set_order_types


class SystemOrderType(Enum):
    """Order type of the system."""

    SAMPLE = "SAMPLE"
    PROOF = "PROOF"
    BULK = "BULK"


class OrderTypeConfig(dg.Config):
    """Configuration of `set_order_type`."""

    order_type: str = Field(description="Order type as in the exports; case and surrounding blanks are ignored.")
    counts_as: SystemOrderType = Field(description="What orders of this type are.")


@dg.op(name="map_order_type")
def _map_order_type(
    context: dg.OpExecutionContext, config: OrderTypeConfig, database: dg.ResourceParam[Database]
) -> None:
    with reported_errors("order types"):
        set_order_types(database, {config.order_type: config.counts_as.value})
        mappings = list_order_types(database)
    records = [dg.TableRecord({"order_type": raw, "counts_as": system}) for raw, system in mappings.items()]
    context.add_output_metadata(
        {
            "order_types": dg.MetadataValue.table(records),
            "next": f"New orders use it from now on; launch {FULL_REFRESH_JOB} to apply it to stored orders.",
        }
    )


@dg.job(
    name="set_order_type",
    description="Maps an order type of the exports to SAMPLE, PROOF or BULK; a type without a mapping counts as BULK.",
)
def set_order_type_job() -> None:
    """Run the op that stores the mapping."""
    _map_order_type()


ORDER_TYPE_JOBS: Final = (set_order_type_job,)
