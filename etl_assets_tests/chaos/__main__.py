"""Faults against the real pipeline on a real PostgreSQL, drawn from a seed: `make chaos`.

Usage: python -m etl_assets_tests.chaos [--faults N] [--minutes M] [--seed S] [--only N] [--first N] [--storms N]
    [--kind TEXT] [--scenario TEXT]
Exit code 1 if anything was lost, doubled, different, or left to be done by hand.
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import tempfile
import time
from pathlib import Path

from etl_assets_tests.chaos.program import Wish, run_program, say


def main() -> int:
    """Try what the arguments ask for, and print what it came to."""
    parser = argparse.ArgumentParser(
        prog="python -m etl_assets_tests.chaos", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--faults", type=int, help="how many; else a cut at every statement, and 600 others")
    parser.add_argument("--minutes", type=float, help="end after so many minutes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one fault of that seed, to be tried again")
    parser.add_argument("--first", type=int, default=0, help="the number to begin with, where another session ended")
    parser.add_argument(
        "--storms", type=int, default=None, help="kills of daemon, code server and workers: rounds of 5"
    )
    parser.add_argument("--kind", help="only kinds of faults whose names contain the text (kill -9)")
    parser.add_argument("--scenario", help="only scenarios whose names contain the text (revert)")
    given = parser.parse_args()
    narrowed = {"kinds": given.kind, "scenarios": given.scenario}
    parts = {name: (text,) for name, text in narrowed.items() if text}
    storms = given.storms if given.storms is not None else int(given.only is None and not parts)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="etl-chaos-") as folder:
        wish = Wish(given.seed, given.faults, given.minutes, given.only, given.first, storms=storms, **parts)
        report, scenarios = run_program(wish, Path(folder))
    for line in ["", *report.table(), "", *report.coverage(scenarios), ""]:
        say(line)
    options = {"SEED": given.seed, "FAULTS": given.faults, "KIND": given.kind, "SCENARIO": given.scenario}
    again = " ".join(["make chaos", *(f"{name}={shlex.quote(str(value))}" for name, value in options.items() if value)])
    if missing := report.missing(scenarios):
        say(f"{missing:,} boundaries were not met.")
    for number in report.bad:
        say(f"Wrong: fault {number}. Again: {again} ONLY={number}")
    wrong = len(report.bad) + report.bad_storms
    say(f"{report.total.faults:,} faults, {wrong} rounds wrong, {time.monotonic() - started:,.0f} s; {again}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
