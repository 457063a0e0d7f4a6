"""Time the import of each platform's text file against the generic import of as many lines, taking turns.

Each file is generated in the layout of its platform and imported into a new database by a process of its own. The
start of Python and of the reader process is not counted. `read` is what the client does until rows are landed: its
reader process, mapping and grouping. CPU seconds hardly depend on what else the machine does; `wall` does.

Usage: python -m benchmarks.platforms [--lines 100000] [--layouts shopify-79,jd-new] [--repeat 3] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import psutil
from pydantic import SecretStr

from benchmarks import landing
from benchmarks.cases import short
from benchmarks.machine import describe_machine
from benchmarks.server import Server
from benchmarks.worker import peak_mb
from etl_assets.database.database import Database
from etl_assets.generator.benchmark import write_benchmark_orders
from etl_assets.generator.platforms.registry import LAYOUTS
from etl_assets.generator.platforms.write import write_export
from etl_assets.presets.catalog import get_preset
from etl_assets.raw_orders.extract import ReadCounts, extract_raw_orders
from etl_assets.raw_orders.importing import Overrides, import_file
from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.generator.platforms.layout import Layout

GENERIC: Final = "generic"
SAMPLE_ORDERS: Final = 2_000
DATABASE: Final = "platform"
LIMIT: Final = 1.5
"""The ratio to the generic import that is aimed at."""


@dataclass(frozen=True, slots=True)
class Import:
    """Costs of one import, in microseconds for each line of the file but for the memory."""

    read: float
    """CPU of the reader process, of mapping and of grouping, without a database."""
    client: float
    """CPU of the whole import, reader process included."""
    server: float
    """CPU of the server."""
    wall: float
    peak_mb: int


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--lines", type=int, default=100_000, help="lines of each file, about")
    arguments.add_argument("--layouts", help="only these layouts, separated by commas; by default one of each preset")
    arguments.add_argument("--repeat", type=int, default=3, help="pairs of imports of each layout")
    arguments.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments.add_argument("--folder", type=Path, help="where the files and the server's data are (default: temporary)")
    arguments.add_argument("--import", dest="job", nargs=3, metavar=("URL", "FILE", "PRESET"), help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.job:
        url, file, preset = chosen.job
        print(json.dumps(_import(url, Path(file), preset)))
        return
    for name in [name for name in os.environ if name.startswith("ETL_")]:
        del os.environ[name]  # the project's default settings are measured
    with tempfile.TemporaryDirectory(prefix="etl_bench_", dir=chosen.folder) as folder:
        Path(folder).chmod(0o755)  # the server's own user must reach its data
        server = Server(Path(folder))
        try:
            landing.make_empty(server)
            results = measure(server, Path(folder), _layouts(chosen.layouts), chosen.lines, chosen.repeat)
        finally:
            server.stop()
    print("\n" + "\n".join(report(results)))
    if chosen.out is not None:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        chosen.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


def _layouts(names: str | None) -> list[Layout]:
    """Return the layouts of text files that are named, by default the widest one of each preset."""
    texts = [layout for layout in LAYOUTS if layout.form.kind != "xlsx"]
    if names is not None:
        return [layout for layout in texts if layout.name in names.split(",")]
    widest = {layout.preset: layout for layout in sorted(texts, key=lambda layout: len(layout.headers))}
    return list(widest.values())


def measure(server: Server, folder: Path, layouts: Sequence[Layout], lines: int, repeat: int) -> dict[str, Any]:
    """Import each layout's file and the generic one in turns; return the medians."""
    generic = folder / "generic.csv"
    write_benchmark_orders(generic.with_suffix(".parquet"), orders=lines)
    pl.scan_parquet(generic.with_suffix(".parquet")).sink_csv(generic)
    rows = []
    for layout in layouts:
        path = _export(layout, folder, lines)
        pairs = [(_imported(server, generic, GENERIC), _imported(server, path, layout.preset)) for _ in range(repeat)]
        row = {"layout": layout.name, "columns": len(layout.headers), "mb": path.stat().st_size / 1e6, "lines": lines}
        row |= {"generic": _medians([pair[0] for pair in pairs]), "own": _medians([pair[1] for pair in pairs])}
        rows.append(row)
        path.unlink()
        print(f"{layout.name}: {', '.join(f'{key} {ratio:.2f}' for key, ratio in _ratios(row).items())}", flush=True)
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "machine": describe_machine(server.version()),
        "repeat": repeat,
        "generic_mb": generic.stat().st_size / 1e6,
        "layouts": rows,
    }


def _export(layout: Layout, folder: Path, lines: int) -> Path:
    """Generate a file of about so many lines."""
    sample = write_export(layout, folder, orders=SAMPLE_ORDERS, seed=1, bad_share=0)
    with FileReader() as reader, reader.open(sample.path) as file:
        of_sample = sum(frame.height for frame in file.content(get_preset(layout.preset)).frames)
    return write_export(layout, folder, orders=lines * SAMPLE_ORDERS // of_sample, seed=1, bad_share=0).path


def _imported(server: Server, path: Path, preset: str) -> Import:
    """Import a file into a new database, in a process of its own."""
    url = server.url(server.create(DATABASE, template=landing.EMPTY))
    before = _server_cpu(server)
    command = [sys.executable, "-m", "benchmarks.platforms", "--import", url, str(path), preset]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603  # this module
    found = json.loads(answer.stdout)
    per_line = 1e6 / found["lines"]
    spent = {key: found[key] * per_line for key in ("read", "client", "wall")}
    return Import(**spent, server=(_server_cpu(server) - before) * per_line, peak_mb=found["peak_mb"])


def _import(url: str, path: Path, preset_name: str) -> dict[str, float]:
    """Read a file, and then import it; return the seconds."""
    preset = get_preset(preset_name)
    overrides = Overrides(
        shop=None if "shop" in preset.columns else "shop", currency=None if "currency" in preset.columns else "USD"
    )
    named = preset.with_overrides(**{key: value for key, value in asdict(overrides).items() if value is not None})
    database = Database(Settings(database_url=SecretStr(url)))
    with FileReader() as reader:
        with reader.open(path) as file:
            file.headers()  # the reader has started
            before = _cpu()
            for _ in extract_raw_orders(file, named, ReadCounts()):
                pass
            read = _cpu() - before
        started, before = time.perf_counter(), _cpu()
        imported = import_file(database, path, preset, reader=reader, overrides=overrides)
        client, wall = _cpu() - before, time.perf_counter() - started
    database.dispose()
    if imported.error is not None:
        raise RuntimeError(imported.error)
    return {"lines": imported.lines, "read": read, "client": client, "wall": wall, "peak_mb": peak_mb()}


def _cpu() -> float:
    """Return the CPU seconds of this process and of those that it has started, the reader among them."""
    process = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in (process, *process.children()))


def _server_cpu(server: Server) -> float:
    """Return the CPU seconds of the server's processes, those that have ended included."""
    pid = int((server.directory / "postmaster.pid").read_text(encoding="utf-8").split()[0])
    postmaster = psutil.Process(pid)
    return sum(postmaster.cpu_times()[:4]) + sum(sum(one.cpu_times()[:2]) for one in postmaster.children())


def _medians(imports: list[Import]) -> dict[str, float]:
    columns = [asdict(one) for one in imports]
    return {key: statistics.median(column[key] for column in columns) for key in columns[0]}


def _ratios(row: dict[str, Any]) -> dict[str, float]:
    return {key: row["own"][key] / row["generic"][key] for key in ("read", "client", "server", "wall")}


def report(results: dict[str, Any]) -> list[str]:
    """Return the lines of a table for docs/performance.md: microseconds a line, and the ratios to generic."""
    first = results["layouts"][0]
    lines = [
        f"{short(first['lines'])} lines each, medians of {results['repeat']} pairs; µs per line, and times the generic",
        "import that took turns with it. MB/s: of the file, by the CPU seconds of `read`.",
        "",
        "| layout | columns | bytes per line | read | ratio | MB/s | client | ratio | server | ratio | wall | ratio |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in (_generic_row(results), *results["layouts"]):
        own, ratios = row["own"], _ratios(row)
        size = row["mb"] * 1e6 / row["lines"]
        cells = [row["layout"], str(row["columns"]), f"{size:.0f}", f"{own['read']:.1f}", f"{ratios['read']:.2f}"]
        cells.append(f"{size / own['read']:.0f}")
        cells += [cell for key in ("client", "server", "wall") for cell in (f"{own[key]:.1f}", f"{ratios[key]:.2f}")]
        lines.append(f"| {' | '.join(cells)} |")
    above = [row["layout"] for row in results["layouts"] if _ratios(row)["wall"] > LIMIT]
    return [*lines, "", f"above {LIMIT} times the time of the generic import: {', '.join(above) or 'none'}"]


def _generic_row(results: dict[str, Any]) -> dict[str, Any]:
    """Return the generic imports as a row of their own: medians of those of all layouts."""
    columns = [row["generic"] for row in results["layouts"]]
    medians = {key: statistics.median(column[key] for column in columns) for key in columns[0]}
    lines = results["layouts"][0]["lines"]
    return {
        "layout": GENERIC,
        "columns": 13,
        "mb": results["generic_mb"],
        "lines": lines,
        "own": medians,
        "generic": medians,
    }


if __name__ == "__main__":
    main()
