"""Results as ratios, as Markdown tables and as a plot. Imports nothing of the project.

Usage: python -m benchmarks.report RESULTS.json docs/performance.md (writes docs/images/performance*.svg beside it).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from typing import Any

BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
NAMES = {
    "ours": "etl_assets",
    "set_sql": "set-based SQL",
    "dlt_dbt": "dlt + dbt",
    "orm": "row by row (ORM)",
    "floor": "COPY floor",
}
STEPS = ("shop", "orders", "order_items", "process_items", "customers", "leads", "checks")
COLOURS = ("#9aa5b1", "#2f6f9f", "#5b9bd5", "#8ec6e6", "#e0a458", "#c8553d", "#d9d9d9")


def seconds_of(measured: dict[str, Any], step: str | None = None) -> float:
    """The median over the runs, of one step or of all together."""
    runs = [run["total"] if step is None else run["seconds"].get(step, 0.0) for run in measured["runs"]]
    return float(median(runs) * measured["scale"])


def assets_of(measured: dict[str, Any]) -> float:
    """The median over the runs, of the six assets without the checks."""
    runs = [run["total"] - run["seconds"].get("checks", 0.0) for run in measured["runs"]]
    return float(median(runs) * measured["scale"])


def ratio_lines(results: dict[str, Any]) -> list[str]:
    """Return the ratios of the other ways to ours, a line per case, and of our cases to each other.

    The first ratio is to our six assets, the second one to these with all checks.
    """
    lines = []
    for case in results["cases"]:
        mine = case["measured"]["ours"]
        lines.append(f"{case['name']}: ours {assets_of(mine):.2f} s, with checks {seconds_of(mine):.2f} s")
        for way, one in case["measured"].items():
            if way == "ours":
                continue
            theirs = seconds_of(one)
            ratios = f"{theirs / assets_of(mine):.2f} or {theirs / seconds_of(mine):.2f} times ours"
            if way == "floor":
                ratios = f"ours is {assets_of(mine) / theirs:.2f} or {seconds_of(mine) / theirs:.2f} times that"
            if way == "dlt_dbt":
                ratios += f"; orders alone {seconds_of(one, 'orders') / seconds_of(mine, 'orders'):.2f} times"
            lines.append(f"    {NAMES[way]:18s} {theirs:9.2f} s, {ratios}")
    return [*lines, *_between_cases(results)]


def _between_cases(results: dict[str, Any]) -> list[str]:
    """Return the ratios of our six assets without checks between cases."""
    ours = {case["name"]: assets_of(case["measured"]["ours"]) for case in results["cases"]}
    lines = []
    for kind in ("changed", "shipped"):
        sizes = sorted((case["orders"], case["name"]) for case in results["cases"] if case["kind"] == kind)
        lines += [f"{name} / {sizes[0][1]}: {ours[name] / ours[sizes[0][1]]:.2f}" for _, name in sizes[1:]]
    for case in results["cases"]:
        name = case["name"]
        if case["bad_share"] and name.removesuffix("_bad") in ours:
            lines.append(f"{name} / {name.removesuffix('_bad')}: {ours[name] / ours[name.removesuffix('_bad')]:.2f}")
        first = name.replace("reimport_on", "first_load")
        if case["kind"] == "reimport" and first in ours:
            lines.append(f"{first} / {name}: {ours[first] / ours[name]:.2f}")
    return lines


def markdown(results: dict[str, Any], plots: list[str]) -> str:
    """The machine, the ratios, the plots and a table per case."""
    parts = [f"Measured {results['measured_at']}, medians of {results['repeat']} alternating runs, on:", ""]
    parts += [f"- {name}: {text}" for name, text in results["machine"].items()]
    parts += [
        "",
        "Ratios, to our six assets and to these with all checks:",
        "",
        "```text",
        *ratio_lines(results),
        "```",
        "",
    ]
    parts += [f"![Seconds per asset, {name}](images/{name})\n" for name in plots]
    for case in results["cases"]:
        note = ["Each way was run once.", ""] if case["once"] else []
        parts += ["", f"### {case['name']}", "", *note, *_table(case)]
    if results.get("imports"):
        parts += ["", "### The import itself", "", "| orders | seconds | rows/s |", "|--:|--:|--:|"]
        parts += [
            f"| {one['orders']:,} | {one['seconds']:.2f} | {one['orders'] / one['seconds']:,.0f} |"
            for one in results["imports"]
        ]
    return "\n".join(parts) + "\n"


def _table(case: dict[str, Any]) -> list[str]:
    head = ["way", *(f"{step} s" for step in STEPS), "**all s**", "rows/s", "peak MB", "queries", "MB sent",
            "MB received", "MB of WAL", "rows written"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "--|" * len(head)]
    for way, one in case["measured"].items():
        total, scale, counted = seconds_of(one), one["scale"], one["counted"]
        name = NAMES[way] + (f" (measured on {case['orders'] / scale:,.0f} orders)" if scale > 1 else "")
        cells = [name, *(f"{seconds_of(one, step):.2f}" for step in STEPS), f"**{total:.2f}**"]
        cells.append(f"{case['handled'] / total:,.0f}" if case["handled"] else "-")
        cells.append(f"{max(run['peak_mb'] for run in one['runs']):,}")
        if counted:
            cells.append(f"{counted['queries'] * scale:,.0f}")
            cells += [f"{counted[what] * scale / 1e6:,.1f}" for what in ("bytes_sent", "bytes_received", "wal_bytes")]
            cells.append(f"{counted['rows_written'] * scale:,.0f}")
        else:
            cells += ["-"] * 5
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _how_often(case: dict[str, Any], results: dict[str, Any]) -> str:
    return "one run" if case["once"] else f"median of {results['repeat']} runs"


def plot(results: dict[str, Any], folder: Path) -> list[str]:
    """Bars of the seconds per asset for each first load; returns the files' names."""
    from matplotlib import pyplot as plt  # noqa: PLC0415  # only those who draw need it

    names = []
    for case in results["cases"]:
        if case["kind"] != "first_load" or case["bad_share"]:
            continue
        ways = [way for way in case["measured"] if way != "orm"]  # it would make all others invisible
        figure, axes = plt.subplots(figsize=(8, 1.2 + 0.6 * len(ways)), layout="constrained")
        left = [0.0] * len(ways)
        for step, colour in zip(STEPS, COLOURS, strict=True):
            widths = [seconds_of(case["measured"][way], step) for way in ways]
            axes.barh([NAMES[way] for way in ways], widths, left=left, label=step, color=colour)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        for place, total in enumerate(left):
            axes.text(total, place, f" {total:.1f} s", va="center")
        axes.invert_yaxis()
        axes.set_xlim(0, max(left) * 1.12)
        axes.set_xlabel(f"seconds, first load of {case['orders']:,} orders ({_how_often(case, results)})")
        axes.legend(ncols=4, fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.25))
        axes.spines[["top", "right"]].set_visible(False)
        names.append(f"performance_{case['name']}.svg")
        figure.savefig(folder / names[-1], metadata={"Date": None})
        plt.close(figure)
    return names


def main() -> None:
    source, target = map(Path, sys.argv[1:])
    results = json.loads(source.read_text(encoding="utf-8"))
    images = target.parent / "images"
    images.mkdir(exist_ok=True)
    before, _, rest = target.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    text = f"{before}{BEGIN}\n\n{markdown(results, plot(results, images))}\n{END}{after}"
    target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
