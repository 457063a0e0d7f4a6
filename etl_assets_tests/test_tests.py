"""The tests' own means: what one test does to its database or server does not reach the next."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from pydantic import SecretStr

from etl_assets.run.registry import build_services
from etl_assets.settings import Settings
from etl_assets_tests.helpers.pipeline import land, raw_fields, run_all

if TYPE_CHECKING:
    from etl_assets_tests.helpers.database_pool import DatabasePool

ROOT: Final = Path(__file__).parents[1]
A_SESSION: Final = """
import psutil

from etl_assets_tests.helpers.pipeline import land, raw_fields, run_all, scalar


def kill_server(directory):
    process = psutil.Process(int((directory / "postmaster.pid").read_text().split()[0]))
    process.kill()
    process.wait(60)  # or it would be taken for one that runs


def check(services):
    land(services, [raw_fields("1", customer_name="Ann")])
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM business_leads") == 1


def test_before(services):
    check(services)


def test_that_loses_its_server(services, server_directory):
    check(services)
    kill_server(server_directory)
    check(services)


def test_that_leaves_its_server_dead(services, server_directory):
    kill_server(server_directory)


def test_after(services):
    check(services)
"""


@pytest.mark.slow
def test_a_server_that_dies_fails_one_test_and_is_started_anew(tmp_path: Path) -> None:
    (tmp_path / "test_session.py").write_text(A_SESSION, encoding="utf-8")
    plugins = ("etl_assets_tests.conftest", "no:randomly", "no:cacheprovider", "no:xdist")
    arguments = [argument for plugin in plugins for argument in ("-p", plugin)]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", *arguments, "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.search("^1 failed, 3 passed.* in", result.stdout, re.MULTILINE), (
        result.stdout[-4000:] + result.stderr[-2000:]
    )
    assert "FAILED test_session.py::test_that_loses_its_server" in result.stdout


def oid(connection: psycopg.Connection) -> object:
    return connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()


def contents(connection: psycopg.Connection) -> list[object]:
    """Count the rows of each table; the sequences from which numbers were drawn; the columns with statistics."""
    tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'etl' ORDER BY 1").fetchall()
    counts = [connection.execute(f"SELECT count(*) FROM etl.{table}").fetchone() for (table,) in tables]  # noqa: S608
    drawn = connection.execute("SELECT count(*) FROM pg_sequences WHERE last_value IS NOT NULL").fetchone()
    return [*counts, drawn, connection.execute("SELECT count(*) FROM pg_stats WHERE schemaname = 'etl'").fetchone()]


def test_a_database_is_lent_again_empty_and_under_another_name(database_pool: DatabasePool) -> None:
    first = database_pool.lend()
    with database_pool.connect(first) as connection:
        migrated, number = contents(connection), oid(connection)
    services = build_services(Settings(database_url=SecretStr(database_pool.url(first))))
    land(services, [raw_fields(str(one), customer_name="Ann", items="[3]") for one in range(200)])
    run_all(services)
    with closing(database_pool.connect(first)) as left_open:
        assert contents(left_open) != migrated
        database_pool.take_back(first)
        second = database_pool.lend()
        with database_pool.connect(second) as connection:
            assert (contents(connection), oid(connection)) == (migrated, number)
        with pytest.raises(psycopg.OperationalError):
            left_open.execute("SELECT")
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            database_pool.connect(first)
    services.database.dispose()
    database_pool.take_back(second)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER DATABASE {name} SET datestyle = 'German'",
        "ALTER TABLE orders ADD CONSTRAINT cheap CHECK (amount < 10)",
        "ALTER TABLE orders ADD COLUMN more text",
        "ALTER TABLE orders ALTER COLUMN order_id SET STATISTICS 7",
        "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE INDEX by_amount ON orders (amount)",
        "CREATE RULE r AS ON DELETE TO orders DO INSTEAD NOTHING",
        "CREATE SCHEMA more",
        "CREATE TABLE more ()",
        "DROP INDEX ix_lead_orders_lead_id",
        "DROP SCHEMA etl CASCADE",
        "GRANT SELECT ON orders TO PUBLIC",
        "UPDATE alembic_version SET version_num = '0001'",
    ],
)
def test_a_database_whose_schema_was_changed_is_not_lent_again(database_pool: DatabasePool, statement: str) -> None:
    first = database_pool.lend()
    with database_pool.connect(first) as connection:
        number = oid(connection)
        connection.execute("SET search_path = etl")
        connection.execute(statement.format(name=first))
    database_pool.take_back(first)
    second = database_pool.lend()
    with database_pool.connect(second) as connection:
        assert oid(connection) != number
    database_pool.take_back(second)
