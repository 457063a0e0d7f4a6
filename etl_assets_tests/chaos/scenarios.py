"""What goes on when a fault comes: the state of the database, what a process does, how that ends undisturbed."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import yaml

from etl_assets.quarantine.spreadsheet import export_quarantine
from etl_assets.raw_orders.importing import import_file
from etl_assets.reverts.imports import restore_imports, revert_imports
from etl_assets.run.registry import STEPS, build_services, run_asset
from etl_assets_tests.chaos.nursery import Operation
from etl_assets_tests.chaos.operations import imports_of
from etl_assets_tests.chaos.orders import make_imports, write_import
from etl_assets_tests.chaos.proxy import COPY_DATA, SIDES, FaultyProxy, Point, Statement
from etl_assets_tests.chaos.verdict import LANDED, judge, read_outcome
from etl_assets_tests.helpers import pipeline
from etl_assets_tests.helpers.pipeline import PRESET, query, run_all, scalar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services
    from etl_assets_tests.chaos.nursery import Nursery
    from etl_assets_tests.chaos.server import Server

SIZES: Final = [14, 16, 8]
"""Rows of the first import, of the one after it, and of one that comes in between."""
SEED: Final = 7
REFUSING: Final = "ALTER TABLE orders ADD CONSTRAINT refusing CHECK (amount <> 20.5)"
ACCEPTING: Final = "ALTER TABLE orders DROP CONSTRAINT refusing"


@dataclass(frozen=True, slots=True)
class Scenario:
    """A process that does one thing to one state of the database."""

    name: str
    operation: Operation
    template: str
    """The database that a round gets a copy of."""
    batch_size: int = 1000
    enumerates: Literal["all", "readers", "none"] = "all"
    """Whose boundaries are all tried: those of all connections, or of the bulk reader's (the others' are another
    scenario's), or nobody's, because its statements do not come in the same order each time."""
    inbox: tuple[Path, ...] = ()
    """Files that lie in the inbox; others leave it alone while one process takes them in."""
    weight: int = 10
    """How often faults are drawn for it, next to the others."""
    replays: bool = False
    """It runs rows of quarantine again."""
    statements: tuple[Statement, ...] = ()
    """Those that it sends, undisturbed."""
    expected: dict[str, Any] | None = None
    """How it ends, undisturbed."""
    landed: int | None = None
    """How many raw orders there are at the end; None if a file may have to be imported again."""

    def boundaries(self) -> list[Point]:
        """Every moment before and after a statement that is to be met."""
        first = {"all": 0, "readers": 1, "none": len(self.statements)}[self.enumerates]
        numbers = [number for number, one in enumerate(self.statements) if one.connection >= first]
        return [Point(number, side) for number in numbers for side in SIDES]

    def is_in_a_copy(self, point: Point) -> bool:
        """Whether the server waits there for the data of a COPY."""
        number = point.number + (point.side == "after")
        return number < len(self.statements) and self.statements[number].label == COPY_DATA


class Stage:
    """Makes the databases that scenarios begin with, and plays each scenario once without a fault."""

    def __init__(self, server: Server, nursery: Nursery, folder: Path) -> None:
        self._server, self._nursery, self._folder = server, nursery, folder
        imports = make_imports(SIZES, orders=12, seed=SEED)
        self.files = [write_import(folder / f"{number}.csv", rows) for number, rows in enumerate(imports)]
        self._corrected = folder / "corrected.csv"
        self._mapping = folder / "mapping.yaml"
        self._mapping.write_text(yaml.safe_dump(PRESET.model_dump(mode="json")), "utf-8")

    def build(self, names: Collection[str] = ()) -> list[Scenario]:
        """The scenarios whose names contain one of these texts, or all, with what they come to undisturbed."""
        chosen = [one for one in self._scenarios() if not names or any(name in one.name for name in names)]
        self._make_templates({one.template for one in chosen})
        return [self._rehearse(scenario) for scenario in chosen]

    def environment(
        self, database: str, *, port: int | None = None, options: str = "", batch_size: int = 1000
    ) -> dict[str, str]:
        """The settings of a process that works on a database, directly or through a proxy."""
        url = self._server.url(database, port=port, options=options)
        return {
            "ETL_DATABASE_URL": url.render_as_string(hide_password=False),
            "ETL_BATCH_SIZE": str(batch_size),
            "ETL_HOME": str(self.home(database)),
            "DAGSTER_HOME": str(self.home(database) / "dagster"),
        }

    def furnish(self, database: str, scenario: Scenario, tablespace: str = "pg_default") -> None:
        """Make a database, and what lies in the inbox of those who work on it, as a scenario begins."""
        self._server.create(database, template=scenario.template, tablespace=tablespace)
        if scenario.inbox:
            inbox = self.home(database) / "inbox"
            inbox.mkdir(parents=True)
            for file in scenario.inbox:
                shutil.copy(file, inbox)

    def clear(self, database: str) -> None:
        """Remove a database, and the home of those who worked on it."""
        self._server.drop(database)
        shutil.rmtree(self.home(database), ignore_errors=True)

    def home(self, database: str) -> Path:
        """The ETL_HOME of processes that work on a database."""
        return self._folder / "homes" / database

    def _scenarios(self) -> list[Scenario]:
        first, second, _ = map(str, self.files)
        assets = list(STEPS)
        return [
            *(Scenario(f"{asset}, changes", Operation("run", (asset,)), f"next_{asset}") for asset in assets),
            *(Scenario(f"{asset}, first load", Operation("run", (asset,)), f"first_{asset}") for asset in assets),
            *(
                Scenario(
                    f"{asset}, bulk reader",
                    Operation("run through bulk reader", (asset,)),
                    f"next_{asset}",
                    enumerates="readers",
                )
                for asset in assets
            ),
            Scenario("import, the first", Operation("import", (first,)), "nothing"),
            Scenario("import, changes", Operation("import", (second,)), "first_end"),
            Scenario("inbox, changes", Operation("inbox"), "first_end", inbox=(self.files[1], self._mapping)),
            Scenario("replay as they are", Operation("replay"), "refused", enumerates="none", replays=True),
            Scenario(
                "replay corrected",
                Operation("replay corrected", (str(self._corrected),)),
                "refused",
                enumerates="none",
                replays=True,
            ),
            Scenario("all, in small batches", Operation("run"), "next_shop", batch_size=4, enumerates="none"),
            Scenario(
                "all, first load in small batches", Operation("run"), "first_shop", batch_size=4, enumerates="none"
            ),
            Scenario("imports revert", Operation("revert", (second,)), "next_end"),
            Scenario("imports restore, after a revert", Operation("restore", (second,)), "reverted_end"),
            Scenario("orders, after a revert", Operation("run", ("orders",)), "reverted"),
            Scenario("all, after a revert", Operation("run"), "reverted", batch_size=4, enumerates="none"),
            Scenario(
                "all, after a revert and a restore", Operation("run"), "restored", batch_size=4, enumerates="none"
            ),
            # Through Dagster, which takes seconds to start.
            Scenario("etl-assets run", Operation("command", ("run",)), "next_shop", enumerates="none", weight=1),
            Scenario(
                "etl-assets quarantine replay",
                Operation("command", ("quarantine", "replay")),
                "refused",
                enumerates="none",
                weight=1,
                replays=True,
            ),
        ]

    def _make_templates(self, wanted: set[str]) -> None:
        """Make the databases that scenarios begin with; not all, as each takes runs."""
        self._server.create_migrated("nothing")
        with self._services("nothing") as services:
            pipeline.start_afresh(services)
        self._make_chain("nothing", "first", self.files[0])
        self._make_chain("first_end", "next", self.files[1])
        if wanted & {"reverted", "reverted_end", "restored"}:
            self._make_reverted()
        if "refused" in wanted:
            self._make_refused()

    def _make_refused(self) -> None:
        """Make a database with open rows of quarantine, and a file that corrects them."""
        self._server.create("refused", template="first_end")
        with self._services("refused") as services:
            query(services, REFUSING + " NOT VALID")
            import_file(services.database, self.files[1], PRESET)
            run_all(services)
            query(services, ACCEPTING)
            export_quarantine(services.database, self._corrected)
        self._corrected.write_text(self._corrected.read_text("utf-8").replace("oops", "77"), "utf-8")

    def _make_reverted(self) -> None:
        """Make databases whose second import is just reverted, reverted with all that follows, and just restored."""
        self._server.create("reverted", template="next_end")
        with self._services("reverted") as services:
            revert_imports(services.database, imports_of(services.database, str(self.files[1])))
        self._server.create("reverted_end", template="reverted")
        with self._services("reverted_end") as services:
            run_all(services)
        self._server.create("restored", template="reverted_end")
        with self._services("restored") as services:
            restore_imports(services.database, imports_of(services.database, str(self.files[1])))

    def _make_chain(self, template: str, name: str, file: Path) -> None:
        """Make a database for each asset in which it, and all after it, have a file's rows yet to come."""
        assets = list(STEPS)
        for asset, following in zip([None, *assets], [*assets, "end"], strict=True):
            self._server.create(f"{name}_{following}", template=template)
            template = f"{name}_{following}"
            with self._services(template) as services:
                if asset is None:
                    import_file(services.database, file, PRESET)
                else:
                    run_asset(asset, services)

    def _rehearse(self, scenario: Scenario) -> Scenario:
        """Play a scenario undisturbed."""
        self.furnish("rehearsal", scenario)
        proxy = FaultyProxy(self._server.socket)
        environment = self.environment("rehearsal", port=proxy.port, batch_size=scenario.batch_size)
        child = self._nursery.start(scenario.operation, environment)
        if child.wait():
            msg = f"{scenario.name} fails without a fault: {child.log.read_text()}"
            raise RuntimeError(msg)
        proxy.close()
        with self._services("rehearsal") as services:
            run_all(services)
            expected = read_outcome(services)
            landed: int = scalar(services, LANDED)
            verdict = judge(services, expected, landed, each_row_once=not scenario.replays)
        if not verdict.is_good:
            msg = f"{scenario.name} goes wrong without a fault: {verdict}"
            raise RuntimeError(msg)
        self.clear("rehearsal")
        lands_once = scenario.operation.name != "import"
        return replace(
            scenario,
            statements=tuple(proxy.statements),
            expected=expected,
            landed=landed if lands_once else None,
        )

    @contextmanager
    def _services(self, database: str) -> Iterator[Services]:
        services = build_services(self._server.settings(database))
        yield services
        services.database.dispose()
