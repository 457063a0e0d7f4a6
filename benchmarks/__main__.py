"""Compare the pipeline with other implementations ("ways") in one run on one server (`docs/performance.md`).

`make bench` runs the quick cases, `make bench-full` all of them. Usage: python -m benchmarks --help
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import landing
from benchmarks.cases import Case, full_cases, quick_cases, short
from benchmarks.machine import describe_machine
from benchmarks.report import ratio_lines
from benchmarks.running import TOOLS_PYTHON, Bench
from benchmarks.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> None:
    chosen = _arguments()
    cases = _cases(chosen)
    if any("dlt_dbt" in case.ways for case in cases) and not TOOLS_PYTHON.exists():
        sys.exit("dlt and dbt are not installed: run `make .venv-bench/.ready`, or leave them out with --ways.")
    for name in [name for name in os.environ if name.startswith("ETL_")]:
        del os.environ[name]  # the project's default settings are measured
    with tempfile.TemporaryDirectory(prefix="etl_bench_", dir=chosen.folder) as folder:
        Path(folder).chmod(0o755)  # the server's own user must reach its data
        server = Server(Path(folder))
        try:
            measure(Bench(server, Path(folder), chosen.repeat), cases, chosen.out)
        finally:
            server.stop()


def measure(bench: Bench, cases: Sequence[Case], out: Path) -> None:
    """Run the cases and write the results after each of them."""
    landing.make_empty(bench.server)
    results: dict[str, Any] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe_machine(bench.server.version()),
        "repeat": bench.repeat,
        "cases": [],
    }
    for number, case in enumerate(cases):
        results["cases"].append(bench.run(case))
        results["imports"] = bench.imports
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(results, indent=1), encoding="utf-8")
        if case.orders not in {later.orders for later in cases[number + 1 :]}:
            bench.forget(case.orders)
    print("\n".join(["", *ratio_lines(results), "", f"Written to {out}"]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="up to 100,000 orders (default)")
    size.add_argument("--full", action="store_true", help="up to 10,000,000 orders: hours, and 60 GB of disk")
    parser.add_argument("--cases", help="only cases whose names begin so, separated by commas (first_load,changed)")
    parser.add_argument("--sizes", help="only these numbers of orders, separated by commas (10k,1m)")
    parser.add_argument("--ways", help="only these ways; ours is always among them (ours,set_sql,dlt_dbt,orm,floor)")
    parser.add_argument("--repeat", type=int, default=3, help="timed runs of each way, alternating")
    parser.add_argument("--out", type=Path, default=Path("bench_results.json"), help="where the results go")
    parser.add_argument("--folder", type=Path, help="where the server keeps its data meanwhile (default: temporary)")
    return parser.parse_args()


def _cases(chosen: argparse.Namespace) -> list[Case]:
    cases = full_cases() if chosen.full else quick_cases()
    if chosen.cases:
        cases = [case for case in cases if case.name.startswith(tuple(chosen.cases.split(",")))]
    if chosen.sizes:
        cases = [case for case in cases if short(case.orders) in chosen.sizes.split(",")]
    if chosen.ways:
        ways = {"ours", *chosen.ways.split(",")}
        cases = [replace(case, ways=tuple(way for way in case.ways if way in ways)) for case in cases]
    if not cases:
        sys.exit("No case is called so: see --help.")
    return cases


if __name__ == "__main__":
    main()
