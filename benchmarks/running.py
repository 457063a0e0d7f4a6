"""Runs a case: every way in alternation, one run that is counted and compared, then those that are timed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from benchmarks import landing
from benchmarks.cases import INCREMENTAL, ORM_ORDERS, Case
from benchmarks.compare import Print, fingerprints, require_equal
from benchmarks.proxy import CountingProxy
from benchmarks.ways import floor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from benchmarks.server import Server

ROOT = Path(__file__).parents[1]
TOOLS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
SCHEMAS = {"ours": "etl", "floor": "etl", "set_sql": "set_sql", "dlt_dbt": "dlt_dbt", "orm": "orm"}


@dataclass(slots=True)
class Measured:
    """Result of one way in one case. `scale` is the factor of its seconds (for orders that were not run)."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    counted: dict[str, int] = field(default_factory=dict)
    scale: float = 1.0


class Worker:
    """A process of one way (see `benchmarks/worker.py`)."""

    def __init__(self, way: str, url: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "worker.log"
        self._way = way
        self._log = self.log.open("a", encoding="utf-8")
        python = TOOLS_PYTHON if way == "dlt_dbt" else Path(sys.executable)
        self._process = subprocess.Popen(  # noqa: S603  # this program's own worker
            [python, "-m", "benchmarks.worker", way, url, folder],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        self._log.close()

    def do(self, what: str) -> dict[str, Any]:
        """`prepare`, `run` or `revert`; returns seconds per asset, their total and the peak memory so far."""
        if self._process.stdin is None or self._process.stdout is None:
            msg = "the worker has no pipes"
            raise RuntimeError(msg)
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            tail = "".join(self.log.read_text(encoding="utf-8").splitlines(keepends=True)[-15:])
            msg = f"{self._way} failed:\n{tail}"
            raise RuntimeError(msg)
        answer: dict[str, Any] = json.loads(line)
        return {**answer, "total": sum(answer["seconds"].values())}


@dataclass(slots=True)
class Bench:
    """The server, a working folder, and the databases and files prepared so far."""

    server: Server
    folder: Path
    repeat: int
    imports: list[dict[str, float]] = field(default_factory=list)
    _landed: dict[Path, str] = field(default_factory=dict)
    _bases: dict[tuple[str, int], str] = field(default_factory=dict)
    _prints: dict[Path, dict[str, Print]] = field(default_factory=dict)
    _thousands: Counter[tuple[str, int]] = field(default_factory=Counter)

    def run(self, case: Case) -> dict[str, Any]:
        """Measure a case; returns it as results hold it."""
        runners = {"first_load": self._first_load, "imports": self._imports, "reverted": self._reverted}
        runner = runners.get(case.kind, self._on_base)
        measured = {way: Measured() for way in case.ways}
        runner(case, measured)
        return {
            "name": case.name, **asdict(case), "handled": case.handled,
            "measured": {way: asdict(result) for way, result in measured.items()},
        }  # fmt: skip

    def forget(self, orders: int) -> None:
        """Drop the databases of one number of orders, which are large."""
        for key, name in [(key, name) for key, name in self._bases.items() if key[1] == orders]:
            self.server.drop(name)
            del self._bases[key]
        for path, name in list(self._landed.items()):
            if f"_{orders}_" in path.name:
                self.server.drop(name)
                del self._landed[path]

    # One kind of case each.

    def _first_load(self, case: Case, measured: dict[str, Measured]) -> None:
        path = landing.orders_file(self.folder, case.orders, bad_share=case.bad_share)
        for repetition in self._repetitions(case):
            for way, result in measured.items():
                source = path
                if way == "orm":
                    source = landing.orders_file(self.folder, min(ORM_ORDERS, case.orders), bad_share=case.bad_share)
                    result.scale = case.orders / min(ORM_ORDERS, case.orders)
                template = landing.EMPTY if way == "floor" else self._template(source)
                database = self.server.create("run", template=template)
                if repetition == 0:
                    result.counted = self._counted(way, database, prepare=True)
                else:
                    result.runs.append(self._timed(way, database, prepare=True))
                if repetition == 0 or case.once:
                    self._check(way, database, source)
                self._keep_as_base(way, case, database)
            self._progress(case, measured, repetition)
        shutil.rmtree(self.folder / "floor", ignore_errors=True)

    def _on_base(self, case: Case, measured: dict[str, Measured]) -> None:
        path = landing.orders_file(self.folder, case.orders)
        # Compared with the first load, whose rows have been vacuumed.
        land = landing.land_and_vacuum if case.kind == "reimport" else landing.land
        for repetition in range(self.repeat + 1):
            delta = self._delta(case, path)  # the same for all ways
            prints = {}
            for way, result in measured.items():
                database = self._base(way, case.orders, path)
                if delta is not None:
                    land(self.server, database, delta)
                if repetition == 0:
                    result.counted = self._counted(way, database, prepare=False)
                    prints[way] = fingerprints(self.server.url(database), SCHEMAS[way])
                    require_equal(way, prints[way], prints["ours"])
                else:
                    result.runs.append(self._timed(way, database, prepare=False))
            self._progress(case, measured, repetition)

    def _reverted(self, case: Case, measured: dict[str, Measured]) -> None:
        path = landing.orders_file(self.folder, case.orders)
        database = self._base("ours", case.orders, path)
        for repetition in range(self.repeat + 1):
            before = fingerprints(self.server.url(database), SCHEMAS["ours"]) if repetition == 0 else {}
            landing.land(self.server, database, self._changed(case, path, "changed"))
            with self._worker("ours", database) as worker:
                worker.do("run")
            if repetition == 0:
                measured["ours"].counted = self._counted("ours", database, prepare=False, what="revert")
                require_equal("ours, reverted", fingerprints(self.server.url(database), SCHEMAS["ours"]), before)
            else:
                with self._worker("ours", database) as worker:
                    measured["ours"].runs.append(self._go(worker, database, None, "revert"))
            self._progress(case, measured, repetition)

    def _imports(self, case: Case, measured: dict[str, Measured]) -> None:
        paths = landing.split_file(self.folder, landing.orders_file(self.folder, case.orders), case.parts)
        prints: dict[str, dict[str, Print]] = {}
        for repetition in self._repetitions(case):
            for way, result in measured.items():
                database = self.server.create("run", template=landing.EMPTY)
                if repetition == 0:
                    result.counted = self._counted(way, database, prepare=True, paths=paths)
                else:
                    result.runs.append(self._timed(way, database, prepare=True, paths=paths))
                if repetition == 0 or case.once:
                    prints[way] = fingerprints(self.server.url(database), SCHEMAS[way])
                    require_equal(way, prints[way], prints["ours"])
                self.server.drop(database)
            self._progress(case, measured, repetition)

    # What they are made of.

    def _repetitions(self, case: Case) -> Sequence[int]:
        """The numbers of the runs: 0 is the one that is counted."""
        return [1] if case.once else range(self.repeat + 1)

    def _template(self, path: Path) -> str:
        if path not in self._landed:
            name, seconds = landing.landed_template(self.server, path)
            self._landed[path] = name
            self.imports.append({"orders": int(path.stem.split("_")[1]), "seconds": seconds})
        return self._landed[path]

    def _keep_as_base(self, way: str, case: Case, database: str) -> None:
        """Keep a loaded database for the cases that build on it, if there is none yet."""
        if way in INCREMENTAL and not case.bad_share and (way, case.orders) not in self._bases:
            self._bases[way, case.orders] = self.server.rename(database, f"base_{way}_{case.orders}")
        else:
            self.server.drop(database)

    def _base(self, way: str, orders: int, path: Path) -> str:
        """The way's own database with all orders loaded, which the cases work on one after the other."""
        if (way, orders) not in self._bases:
            name = self.server.create(f"base_{way}_{orders}", template=self._template(path))
            with self._worker(way, name) as worker:
                worker.do("prepare")
                worker.do("run")
            self._bases[way, orders] = name
        return self._bases[way, orders]

    def _delta(self, case: Case, path: Path) -> Path | None:
        """The file that is landed before each run."""
        if case.kind in landing.CHANGES:
            return self._changed(case, path, case.kind)
        return path if case.kind == "reimport" else None

    def _changed(self, case: Case, path: Path, kind: str) -> Path:
        """The next thousand orders that change in this way."""
        self._thousands[kind, case.orders] += 1
        return landing.changed_orders_file(self.folder, path, self._thousands[kind, case.orders], kind)

    def _worker(self, way: str, database: str, *, proxy_port: int | None = None) -> Worker:
        folder = self.folder / way
        return Worker(way, self.server.url(database, proxy_port=proxy_port), folder)

    def _timed(self, way: str, database: str, *, prepare: bool, paths: list[Path] | None = None) -> dict[str, Any]:
        with self._worker(way, database) as worker:
            if prepare:
                worker.do("prepare")
            return self._go(worker, database, paths)

    def _counted(
        self, way: str, database: str, *, prepare: bool, paths: list[Path] | None = None, what: str = "run"
    ) -> dict[str, int]:
        proxy = CountingProxy(self.server.socket)
        with self._worker(way, database, proxy_port=proxy.port) as worker:
            if prepare:
                worker.do("prepare")
            time.sleep(0.2)
            before = proxy.traffic.snapshot()
            rows = self.server.rows_written(database, SCHEMAS[way])
            wal = self.server.wal_bytes()
            self._go(worker, database, paths, what)
            traffic = proxy.traffic.since(before)
            wal = self.server.wal_bytes() - wal
        proxy.close()
        rows = self.server.rows_written(database, SCHEMAS[way]) - rows
        return {**traffic, "wal_bytes": wal, "rows_written": rows}

    def _go(self, worker: Worker, database: str, paths: list[Path] | None, what: str = "run") -> dict[str, Any]:
        """One run, or one for each file as it arrives, added up."""
        if paths is None:
            self.server.settle()
            return worker.do(what)
        total: dict[str, Any] = {"seconds": {}, "total": 0.0}
        for path in paths:
            landing.land(self.server, database, path)
            part = worker.do("run")
            seconds = {step: total["seconds"].get(step, 0.0) + value for step, value in part["seconds"].items()}
            total = {**part, "seconds": seconds, "total": total["total"] + part["total"]}
        return total

    def _check(self, way: str, database: str, path: Path) -> None:
        """Compare with the result of ours from the same file."""
        if way == "floor":
            return
        if way != "ours" and path not in self._prints:
            self._run_ours_on(path)
        prints = fingerprints(self.server.url(database), SCHEMAS[way])
        if way == "ours":
            self._prints[path] = prints
            (self.folder / "floor").mkdir(exist_ok=True)
            floor.export(self.server.url(database), self.folder / "floor")
        else:
            require_equal(way, prints, self._prints[path])

    def _run_ours_on(self, path: Path) -> None:
        database = self.server.create("ours_on_fewer", template=self._template(path))
        with self._worker("ours", database) as worker:
            worker.do("run")
        self._prints[path] = fingerprints(self.server.url(database), SCHEMAS["ours"])
        self.server.drop(database)

    def _progress(self, case: Case, measured: dict[str, Measured], repetition: int) -> None:
        if repetition == 0:
            print(f"{case.name}: results compared, queries counted", flush=True)
            return
        totals = "  ".join(f"{way} {m.runs[-1]['total'] * m.scale:.2f} s" for way, m in measured.items())
        print(f"{case.name} run {repetition}: {totals}", flush=True)
