"""Asset checks that an asset reports itself, in its own step: they are about the run, not about tables.

Checks of tables are declared in `etl_assets.quality.checks`. See https://docs.dagster.io/guides/test/asset-checks.
"""

from __future__ import annotations

from typing import Final

import dagster as dg

ALL_INPUTS_INGESTED: Final = dg.AssetCheckSpec(
    name="all_inputs_ingested",
    asset="raw_orders",
    description="No file is refused, neither by the run nor earlier, unless it was imported later or dismissed; no file"
    " stays in the inbox and no source is unread for reasons that somebody has to correct.",
)
"""Not blocking: rows that have landed are processed meanwhile. A warning where only earlier runs have refused files."""
INPUTS_LEFT: Final = "inputs_left"
"""Metadata of that check: why the run could not take in inputs that are no refused files, a list of texts."""

IMPORTS_ARE_READABLE: Final = dg.AssetCheckSpec(
    name="imports_are_readable",
    asset="orders",
    description="Of every import that the run has processed, at least one order could be read.",
)
"""Not blocking: the orders of other imports are processed meanwhile."""

IMPORTS_PASS_THE_BRAKE: Final = dg.AssetCheckSpec(
    name="imports_pass_the_brake",
    asset="orders",
    description="The run has held no import: none would remove too many rows of a table (`ETL_BRAKE_SHARE`).",
)
"""Not blocking: the orders of other imports are processed meanwhile. `no_import_is_held` warns in later runs."""

RUN_CHECKS: Final = (ALL_INPUTS_INGESTED, IMPORTS_ARE_READABLE, IMPORTS_PASS_THE_BRAKE)
