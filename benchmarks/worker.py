"""The process in which one way runs, so that its memory is its own: one JSON line out for each method's name in.

Usage: python -m benchmarks.worker WAY URL FOLDER. Imports nothing of the project but the way itself.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path

from benchmarks.ways.way import Task


def main() -> None:
    name, url, folder = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever the tools print is no answer
    way = importlib.import_module(f"benchmarks.ways.{name}").build(Task(url, Path(folder)))
    for line in sys.stdin:
        started = time.perf_counter()
        seconds = getattr(way, line.strip())() or {}
        answer = {"seconds": seconds, "elapsed": time.perf_counter() - started, "peak_mb": peak_mb()}
        answers.write(json.dumps(answer) + "\n")


def peak_mb() -> int:
    """Return the peak memory of this process; `getrusage` would include its parent's from before exec."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    lines = status.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024


if __name__ == "__main__":
    main()
