"""Process that is killed before its n-th statement: `python -m etl_assets_tests.helpers.killed_process ASSET N`."""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from typing import TYPE_CHECKING, Any, cast

import sqlalchemy as sa

from etl_assets.database import bulk_load
from etl_assets.run.registry import build_services, run_asset
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from etl_assets.asset_graph import AssetName


def main() -> None:
    """Run an asset until killed; succeeds if it sends fewer statements."""
    asset, last = cast("AssetName", sys.argv[1]), int(sys.argv[2])
    cast("Any", bulk_load).LEAST_DEFERRED_ROWS = 0  # a first load of a few rows drops indexes as one of many does
    services, numbers = build_services(Settings()), count(1)

    def kill_at_last(*_: Any) -> None:
        if next(numbers) >= last:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(services.database.engine, "before_cursor_execute", kill_at_last)
    run_asset(asset, services)


if __name__ == "__main__":
    main()
