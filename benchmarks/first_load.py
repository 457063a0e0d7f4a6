"""First load of generated orders through all six assets: seconds, rows per second and peak memory per asset.

Runs on an embedded PostgreSQL of its own in a temporary folder, with the project's default settings and through the
real steps (ledger, quarantine and counts included). Usage: python benchmarks/first_load.py --orders 1000000
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from etl_assets.database import embedded, migrate
from etl_assets.generator.benchmark import write_benchmark_orders
from etl_assets.pipeline.assets import STEPS, build_services, run_asset
from etl_assets.presets.catalog import get_preset
from etl_assets.raw_orders.importing import import_file
from etl_assets.settings import Settings


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--orders", type=int, default=100_000)
    orders = arguments.parse_args().orders
    with tempfile.TemporaryDirectory(prefix="etl_bench_") as folder:
        Path(folder).chmod(0o755)  # the server's own user must reach its data
        try:
            measure(Path(folder), orders)
        finally:
            embedded.stop(Path(folder) / "postgres")


def measure(folder: Path, orders: int) -> None:
    path = folder / "orders.parquet"
    write_benchmark_orders(path, orders=orders)
    services = build_services(Settings(home=folder, database_url=None))
    migrate.require_current(services.database)
    print(f"{'step':15s} {'seconds':>8s} {'rows':>10s} {'rows/s':>9s} {'peak MB':>8s}")
    started = time.perf_counter()
    landed = import_file(services.database, path, get_preset("generic"))
    report("import", time.perf_counter() - started, landed.rows)
    loaded = time.perf_counter()
    for asset in STEPS:
        started = time.perf_counter()
        result = run_asset(asset, services)
        report(asset, time.perf_counter() - started, result.counts.input_rows)
    report("six assets", time.perf_counter() - loaded, orders)
    started = time.perf_counter()
    for asset in STEPS:
        run_asset(asset, services)
    report("nothing new", time.perf_counter() - started, 0)
    services.database.dispose()


def report(step: str, seconds: float, rows: int) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{step:15s} {seconds:8.2f} {rows:10d} {rows / seconds:9.0f} {peak:8d}", flush=True)


if __name__ == "__main__":
    main()
