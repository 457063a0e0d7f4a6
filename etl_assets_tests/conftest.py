"""A real PostgreSQL for the tests: one embedded server a session, one migrated database a test."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir, mkdtemp
from typing import TYPE_CHECKING, Final, Protocol, TypeVar, cast

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from etl_assets.database import embedded
from etl_assets.errors import EtlError
from etl_assets.folders import locked
from etl_assets.orchestration.instance import open_instance
from etl_assets.run.registry import build_services
from etl_assets.settings import Settings
from etl_assets_tests.helpers.database_pool import DatabasePool
from etl_assets_tests.helpers.effort import EXAMPLES, PROFILE
from etl_assets_tests.helpers.in_process_reader import FilesHere
from etl_assets_tests.helpers.kept_children import kept_children
from etl_assets_tests.helpers.pipeline import land, raw_fields, run_all
from etl_assets_tests.helpers.quick_dagster import make_dagster_quick
from etl_assets_tests.helpers.web import WebClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from xdist.remote import Producer  # type: ignore[import-untyped]

    from etl_assets.pipeline.protocol import Services

Filled = TypeVar("Filled")
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

for _profile, _examples in EXAMPLES.items():
    hypothesis_settings.register_profile(
        _profile,
        deadline=None,
        max_examples=_examples,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
hypothesis_settings.load_profile(PROFILE)


@pytest.hookimpl(tryfirst=True)  # before pytest chooses a folder itself
def pytest_configure(config: pytest.Config) -> None:
    """Give each session temporary files of its own.

    pytest's usual folder is one for all sessions of a user, and each session closes it to other users anew. As root,
    the servers of tests run as another user: a second session would take the files away from those of the first.
    """
    if config.option.basetemp is None and not hasattr(config, "workerinput"):
        folder = mkdtemp(prefix="etl-assets-pytest-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
        config.option.basetemp = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.hookimpl(trylast=True)  # after the shuffling
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the slow tests begin, first those with a timeout of their own, so that none is left alone at the end."""

    def order(item: pytest.Item) -> tuple[bool, float]:
        timeout = item.get_closest_marker("timeout")
        return item.get_closest_marker("slow") is None, 0.0 if timeout is None else -timeout.args[0]

    items.sort(key=order)


TOGETHER: Final = frozenset(
    f"etl_assets_tests/test_{name}.py"
    for name in ("browser", "deploy", "new_module", "platform_presets", "sources_mariadb", "ui_guard", "upgrade")
)
"""Modules whose fixtures start servers, copy the project, or fill databases: each runs in one worker."""


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """Distribution of tests one by one, but of the modules of `TOGETHER` as a whole, these first.

    The groups of pytest-xdist 3.8 (`xdist_group`) have no effect with pytest 9.
    """

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if module in TOGETHER else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Scheduling:
    """Choose our own distribution of tests over workers."""
    return _Scheduling(config, log)


RAM_DISK = Path("/dev/shm")  # noqa: S108  # made by `mkdtemp`, for this user alone
FOLDERS, LOCK, LOCK_SECONDS = "etl-assets-tests-", "session.lock", 60.0
ROOM = 4 << 30
"""Free bytes that the files of one test session may need."""


@sa.event.listens_for(sa.Engine, "connect")
def _do_not_wait_for_the_disk(connection: object, _record: object) -> None:
    """Dagster's SQLite databases need not outlive a power cut either."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


@pytest.fixture(scope="session")
def session_folder() -> Iterator[Path]:
    """A folder in memory where there is room, as much of a server's time for a small test goes into its files.

    It is not in pytest's folder, which other sessions tidy up.
    """
    has_room = RAM_DISK.is_dir() and shutil.disk_usage(RAM_DISK).free > ROOM
    parent = RAM_DISK if has_room else Path(gettempdir())
    _remove_what_killed_sessions_left(parent)
    with (
        TemporaryDirectory(prefix=FOLDERS, dir=parent) as folder,
        locked(Path(folder) / LOCK, seconds=LOCK_SECONDS),
    ):
        yield Path(folder)


def _remove_what_killed_sessions_left(parent: Path) -> None:
    """Stop the servers of sessions that were killed, and delete their files: nobody else gives back the memory."""
    for lock in parent.glob(f"{FOLDERS}*/{LOCK}"):
        with suppress(EtlError, OSError):  # in use, another user's, or gone
            if time.time() - lock.stat().st_mtime > LOCK_SECONDS:  # one that is made now may not be held yet
                with locked(lock, seconds=0):
                    embedded.stop(lock.parent / "data")
                    shutil.rmtree(lock.parent)


@pytest.fixture(scope="session")
def server_directory(session_folder: Path) -> Iterator[Path]:
    """The directory in which the tests' own server keeps its data."""
    directory = session_folder / "data"
    yield directory
    embedded.stop(directory)


@pytest.fixture(scope="session", autouse=True)
def _quick_dagster() -> Iterator[None]:
    """Spare what Dagster's storage does again for each statement, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        make_dagster_quick(patch)
        yield


@pytest.fixture(scope="session")
def new_instance(session_folder: Path) -> Path:
    """The home of a Dagster instance as it is before the first run: making one takes longer than most tests."""
    home = session_folder / "dagster"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        open_instance(Settings()).dispose()
    return home


@pytest.fixture(scope="session")
def database_pool(server_directory: Path) -> DatabasePool:
    """The databases on a server of the tests' own."""
    return DatabasePool(embedded.start(server_directory))


@pytest.fixture(scope="session")
def server_url(database_pool: DatabasePool) -> sa.URL:
    """The URL of the server of the tests' own."""
    return database_pool.server


@pytest.fixture
def database_url(database_pool: DatabasePool, server_directory: Path) -> Iterator[sa.URL]:
    """A migrated database for one test, on a server that is started anew if it died in another."""
    embedded.start(server_directory)
    name = database_pool.lend()
    yield database_pool.server.set(database=name)
    embedded.start(server_directory)
    database_pool.take_back(name)


@pytest.fixture
def settings(database_url: sa.URL, new_instance: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that lead to the test's database and Dagster instance; the environment says the same."""
    home = tmp_path / "home"
    shutil.copytree(new_instance, home / "dagster")
    monkeypatch.setenv("ETL_DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("ETL_HOME", str(home))
    monkeypatch.setenv("ETL_SCHEMA", "etl")
    monkeypatch.setenv("ETL_SENSOR_WAIT_SECONDS", "0")  # a tick that finds nothing would take longer than most tests
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    return Settings()


READERS: Final = (
    "cli.demo", "cli.imports", "cli.presets", "inbox.ingest", "quarantine.spreadsheet", "raw_orders.importing",
    "web.pages.uploads",
)  # fmt: skip
"""Modules that make a `FileReader`."""


@pytest.fixture(autouse=True)
def _read_files_in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read import files without a process of their own, but in tests that are about it (`reader_process`).

    Each import would start one, which takes longer than most tests.
    """
    if request.node.get_closest_marker("reader_process") is None:
        for module in READERS:
            monkeypatch.setattr(f"etl_assets.{module}.FileReader", FilesHere)


@pytest.fixture(scope="session", autouse=True)
def _keep_processes_of_sources() -> Iterator[None]:
    """Start one driver and one reader a session: as processes of their own they are as in production."""
    with pytest.MonkeyPatch.context() as patch, kept_children() as kept:
        patch.setattr("etl_assets.sources.session.Child", kept)
        yield


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    """The services on the test's database."""
    built = build_services(settings)
    yield built
    built.database.dispose()


class Prepare(Protocol):
    """Function that fills the test's database."""

    def __call__(self, fill: Callable[[Services], Filled]) -> Filled:
        """Fill it; returns what `fill` does."""
        ...


@pytest.fixture
def prepare(services: Services, database_pool: DatabasePool) -> Prepare:
    """Fill the test's empty database by a function of its module, which is run for the first test that asks for it.

    The others get copies of that database: copying takes a tenth of the time of a run of the assets.
    """
    name = str(services.database.url.database)

    def fill_or_copy(fill: Callable[[Services], Filled]) -> Filled:
        key = f"{fill.__module__}.{fill.__qualname__}"
        if key in _filled:
            kept, result = _filled[key]
            services.database.dispose()
            database_pool.restore(name, kept)
        else:
            result = fill(services)
            services.database.dispose()
            _filled[key] = (database_pool.keep(name), result)
        return cast("Filled", result)

    return fill_or_copy


_filled: Final[dict[str, tuple[str, object]]] = {}
"""The kept database of each function that has filled one, and what the function returned."""


@pytest.fixture
def services_with_rows(services: Services, prepare: Prepare) -> Services:
    """A database with leads, a bad row and an import, for pages to show."""
    prepare(_load_rows)
    return services


def _load_rows(services: Services) -> None:
    rows = [
        raw_fields("1", customer_name="Ann <b>", order_type="sample", items="Mug*2"),
        raw_fields("2", customer_name="安娜", order_type="bulk", items="Cap*200"),
        raw_fields("3", customer_name="Ben", amount="not a number"),
    ]
    land(services, rows)
    run_all(services)


@pytest.fixture
def web(services: Services) -> WebClient:
    """A browser in front of the web page on the test's database."""
    return WebClient(services)
