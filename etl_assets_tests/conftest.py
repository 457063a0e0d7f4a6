"""A real PostgreSQL for the tests: one embedded server a session, one migrated database a test."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from etl_assets.database import embedded, migrate
from etl_assets.database.database import Database
from etl_assets.run.registry import build_services
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl_assets.pipeline.protocol import Services

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TEMPLATE = "etl_template"
CAREFUL = ("fsync", "full_page_writes", "synchronous_commit")
"""Settings of the server that guard against a power cut: no test has one, and waiting for the disk takes minutes."""
_numbers = count()

for _profile, _examples in (("default", 25), ("thorough", 1000)):
    hypothesis_settings.register_profile(
        _profile,
        deadline=None,
        max_examples=_examples,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """Where the tests' own server keeps its data: not in pytest's folder, which other sessions tidy up."""
    with TemporaryDirectory(prefix="etl-assets-tests-") as folder:
        directory = Path(folder) / "data"
        yield directory
        embedded.stop(directory)


@pytest.fixture(scope="session")
def server_url(server_directory: Path) -> sa.URL:
    """The URL of a server of the tests' own, with a migrated template database."""
    url = embedded.start(server_directory)
    for setting in CAREFUL:
        _execute(url, f"ALTER SYSTEM SET {setting} = off")
    _execute(url, "SELECT pg_reload_conf()")
    _execute(url, f"CREATE DATABASE {TEMPLATE}")
    template = Database(_settings(url.set(database=TEMPLATE)))
    migrate.upgrade(template)
    template.dispose()
    return url


@pytest.fixture
def database_url(server_url: sa.URL, server_directory: Path) -> Iterator[sa.URL]:
    """A migrated database for one test, on a server that is started anew if it died in another."""
    embedded.start(server_directory)
    name = f"test_{os.getpid()}_{next(_numbers)}"
    _execute(server_url, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY file_copy")
    yield server_url.set(database=name)
    _execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(database_url: sa.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that lead to the test's database; the environment says the same."""
    home = tmp_path / "home"
    monkeypatch.setenv("ETL_DATABASE_URL", database_url.render_as_string(hide_password=False))
    monkeypatch.setenv("ETL_HOME", str(home))
    monkeypatch.setenv("ETL_SCHEMA", "etl")
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    return Settings()


@pytest.fixture
def services(settings: Settings) -> Iterator[Services]:
    """The services on the test's database."""
    built = build_services(settings)
    yield built
    built.database.dispose()


def _settings(url: sa.URL) -> Settings:
    return Settings(database_url=url.render_as_string(hide_password=False))


def _execute(url: sa.URL, statement: str) -> None:
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(statement))
    engine.dispose()
