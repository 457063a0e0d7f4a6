"""Tags of runs: hidden ones by which the pipeline finds its runs, and the one that shows what a run imports.

Dagster shows every tag of a run in its list except `dagster/…` (on demand) and `.dagster/…` (never, but kept, searched
and copied like others). See https://docs.dagster.io/guides/build/assets/metadata-and-tags/tags.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_HIDDEN: Final = ".dagster/etl_assets."
ASSET_TAG: Final = f"{_HIDDEN}requested_for"
"""Asset whose work a run was requested for."""
WORK_TAG: Final = f"{_HIDDEN}work"
"""Name of that work."""
PROCESS_TAG: Final = f"{_HIDDEN}process"
"""Host, process id and start time of the process, so that another process can tell that it is gone."""

IMPORTS_TAG: Final = "imports"
"""Files and sources that a run imports or processes."""
NAMES_SHOWN: Final = 2
LONGEST_NAME: Final = 40


def imports_tag(sources: Sequence[str]) -> dict[str, str]:
    """Return the tag that names imports by their sources: files without their folders; none without sources."""
    if not sources:
        return {}
    names = [_shortened(PurePath(source).name or source) for source in dict.fromkeys(sources)]
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return {IMPORTS_TAG: ", ".join(names[:NAMES_SHOWN]) + more}


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
