"""Column lineage for the UI and OpenLineage, built from the `lineage` of the asset graph; no lineage is declared here.

See https://docs.dagster.io/guides/build/assets/metadata-and-tags/column-level-lineage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from etl_assets.asset_graph import SPECS

if TYPE_CHECKING:
    from etl_assets.asset_graph import AssetName


def column_lineage(asset: AssetName) -> dg.TableColumnLineage:
    """Return the lineage of an asset's table in Dagster's form."""
    return dg.TableColumnLineage(
        {
            column: [dg.TableColumnDep(*parent.split(".")) for parent in parents.split()]
            for column, parents in SPECS[asset].lineage.items()
        }
    )
