"""Process that runs all assets repeatedly, to be killed: `python -m etl_assets_tests.helpers.looping_process`."""

from __future__ import annotations

import sys

from etl_assets.run.registry import STEPS, build_services, run_asset
from etl_assets.settings import Settings


def main() -> None:
    """Run all assets until killed, or for the number of rounds in the argument."""
    services = build_services(Settings())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for _ in range(rounds):
        for asset in STEPS:
            run_asset(asset, services)


if __name__ == "__main__":
    main()
