"""Tags of runs and of their steps: those by which the pipeline finds its runs, what a run imports, priority.

Dagster shows every tag of a run in its list except `dagster/…` (on demand) and `.dagster/…` (never, but kept, searched
and copied like others). See https://docs.dagster.io/guides/build/assets/metadata-and-tags/tags.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from etl_assets.asset_graph import URGENT_ASSETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.asset_graph import AssetName

_HIDDEN: Final = ".dagster/etl_assets."
ASSET_TAG: Final = f"{_HIDDEN}requested_for"
"""Asset whose work a run was requested for."""
WORK_TAG: Final = f"{_HIDDEN}work"
"""Name of that work."""
PROCESS_TAG: Final = f"{_HIDDEN}process"
"""Host, process id and start time of the process, so that another process can tell that it is gone."""

IMPORTS_TAG: Final = "imports"
"""Files and sources that a run imports or processes."""
LONGEST_NAME: Final = 30
"""Longer names would not fit in the list of runs."""


def imports_tag(sources: Sequence[str]) -> dict[str, str]:
    """Return the tag that names imports by their sources: files without their folders; none without sources."""
    if not sources:
        return {}
    first, *others = dict.fromkeys(PurePath(source).name or source for source in sources)
    more = f" and {len(others)} more" if others else ""
    return {IMPORTS_TAG: f"{_shortened(first)}{more}"}


def priority_tags(asset: AssetName) -> dict[str, str]:
    """Return the tags of the steps of an asset: of those that are ready, Dagster starts the urgent ones first."""
    return {"dagster/priority": "1"} if asset in URGENT_ASSETS else {}


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
