"""Engine and bulk reader connect to the same database with the same parameters."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from etl_assets.database import pool
from etl_assets.database.database import Database
from etl_assets.database.reader_uri import PASSED_ON, REFUSED, reader_uri
from etl_assets.database.sqlstates import OTHER, meaning_of, state_of_refused_connection
from etl_assets.errors import DatabaseUnavailableError
from etl_assets.settings import Settings

if TYPE_CHECKING:
    import psycopg

    from etl_assets.pipeline.protocol import Services


@dataclass
class Info:
    """Connection as described by libpq."""

    parameters: dict[str, str] = field(default_factory=dict)
    host: str = "db.example.com"
    hostaddr: str = ""
    port: int = 5433
    user: str = "etl"
    password: str = ""
    dbname: str = "orders"

    def get_parameters(self) -> dict[str, str]:
        return self.parameters


def uri_of(info: Info, options: str = "") -> str:
    return reader_uri(cast("psycopg.ConnectionInfo", info), options)


def query_of(**parameters: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(uri_of(Info(parameters))).query).items()}


def test_names_and_passwords_with_any_characters_survive() -> None:
    info = Info(user="e:t@l", password="p/w?#%&+ =é", dbname="or ders/2")  # noqa: S106  # made up
    parts = urlsplit(uri_of(info, "-c search_path=etl -c work_mem=1MB"))
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (info.user, info.password)
    assert (unquote(parts.path), parts.hostname, parts.port) == ("/or ders/2", "db.example.com", 5433)
    assert "+" not in parts.query
    assert parse_qs(parts.query)["options"] == ["-c search_path=etl -c work_mem=1MB"]


@pytest.mark.parametrize(
    ("host", "written"),
    [("::1", "@[::1]:5433/"), ("/run/my db", "@%2Frun%2Fmy%20db:5433/"), ("10.0.0.1", "@10.0.0.1:")],
)
def test_hosts_are_names_addresses_and_socket_folders(host: str, written: str) -> None:
    assert written in uri_of(Info(host=host))


def test_of_several_hosts_the_reader_uses_the_one_that_libpq_uses() -> None:
    parameters = {"host": "a,b", "port": "5432,5433", "hostaddr": "10.0.0.1,10.0.0.2"}
    uri = uri_of(Info(parameters, host="b", hostaddr="10.0.0.2"))
    assert "@b:5433/" in uri
    assert "hostaddr=10.0.0.2&" in uri
    assert "10.0.0.1" not in uri


def test_only_parameters_that_both_drivers_know_are_passed_on() -> None:
    known = dict.fromkeys(PASSED_ON, "7")
    assert query_of(**known, gssencmode="disable", sslsni="1", target_session_attrs="primary") == {
        **known,
        "sslmode": "prefer",
    }


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("disable", "disable"),
        ("allow", "prefer"),
        ("prefer", "prefer"),
        ("require", "require"),
        ("verify-ca", "require"),
    ],
)
def test_an_sslmode_becomes_one_that_is_not_weaker(asked: str, given: str) -> None:
    query = query_of(sslmode=asked, sslrootcert="/ca.pem")
    assert (query["sslmode"], query["sslrootcert"]) == (given, "/ca.pem")


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"sslmode": "verify-full", "sslrootcert": "/ca.pem"}, "verify-full"),
        ({"sslmode": "verify-ca"}, "sslrootcert=FILE"),
        ({"sslmode": "require", "sslrootcert": "system"}, "verify-full"),
        ({"sslcert": "/me.pem"}, "give both"),
        *(({name: "x"}, name) for name in REFUSED),
    ],
)
def test_demands_that_the_reader_can_not_meet_are_refused_with_a_remedy(parameters: dict[str, str], named: str) -> None:
    with pytest.raises(DatabaseUnavailableError, match=named) as raised:
        uri_of(Info(parameters, password="secret"))  # noqa: S106  # made up
    assert "secret" not in str(raised.value)


SETTINGS_QUERY = (
    "SELECT current_setting('random_page_cost') AS random_page_cost,"
    " current_setting('work_mem') AS work_mem, current_setting('lock_timeout') AS lock_timeout,"
    " current_setting('timezone') AS timezone, current_setting('datestyle') AS datestyle,"
    " current_setting('search_path') AS search_path, current_setting('application_name') AS application_name,"
    " current_setting('client_encoding') AS client_encoding, current_database()::text AS database"
)


def test_both_ways_merge_the_urls_options_with_ours_and_reach_the_same_database(database_url: sa.URL) -> None:
    wanted = {
        "options": "-c random_page_cost=3 -c work_mem=5MB"
        " -c timezone=Asia/Tokyo -c datestyle=German -c search_path=public",
        "application_name": "mine",
        "client_encoding": "latin1",
    }
    url = database_url.update_query_dict(wanted).render_as_string(hide_password=False)
    database = Database(Settings(database_url=url))
    columns = [
        "random_page_cost",
        "work_mem",
        "lock_timeout",
        "timezone",
        "datestyle",
        "search_path",
        "application_name",
        "client_encoding",
    ]
    by_reader = database.read(SETTINGS_QUERY, dict.fromkeys([*columns, "database"], pl.String())).row(0)
    with database.transaction() as connection:
        by_engine: Any = tuple(connection.execute(sa.text(SETTINGS_QUERY)).one())
    database.dispose()
    assert by_engine == by_reader
    assert by_engine == ("3", "5MB", "1min", "UTC", "ISO, YMD", "etl", "mine", "UTF8", database_url.database)


def test_a_role_with_dates_of_its_own_reads_the_same(database_url: sa.URL) -> None:
    database = Database(Settings(database_url=database_url.render_as_string(hide_password=False)))
    with database.transaction() as connection:
        connection.execute(sa.text(f"ALTER DATABASE {database_url.database} SET datestyle = 'German'"))
    database.dispose()
    with database.transaction() as connection:
        assert connection.execute(sa.text("SELECT CAST(date '2024-02-01' AS text)")).scalar_one() == "2024-02-01"
    database.dispose()


def rejection_reason(url: sa.URL) -> str:
    database = Database(Settings(database_url=SecretStr(url.render_as_string(hide_password=False))))
    with pytest.raises(DatabaseUnavailableError) as raised, database.transaction():
        pass
    database.dispose()
    return str(raised.value)


def test_a_refused_connection_names_the_reason_and_the_remedy(database_url: sa.URL) -> None:
    role = f"full_{database_url.database}"
    database = Database(Settings(database_url=SecretStr(database_url.render_as_string(hide_password=False))))
    with database.transaction() as connection:
        connection.execute(sa.text(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0"))
    refused = {
        "3D000": database_url.set(database="no_such_database"),
        "28000": database_url.set(username="no_such_user", password="Zq7Xj9w"),  # noqa: S106  # made up
        "53300": database_url.set(username=role),
        "08001": sa.make_url("postgresql://etl:Zq7Xj9w@127.0.0.1:9/orders"),
    }
    said = {state: rejection_reason(url) for state, url in refused.items()}
    with database.transaction() as connection:
        connection.execute(sa.text(f"DROP ROLE {role}"))
    database.dispose()
    for state, text in said.items():
        assert f"(SQLSTATE {state}): {meaning_of(state)}. Its URL is ETL_DATABASE_URL." in text
        assert "no_such" not in text
        assert "Zq7Xj9w" not in text
    assert len(set(said.values())) == len(said)


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ('FATAL:  password authentication failed for user "x"', "28P01"),
        ("FATAL:  sorry, too many clients already", "53300"),
        ("FATAL:  the database system is starting up", "57P03"),
        ("FATAL:  the database system is not yet accepting connections", "57P03"),
        ("connection timeout expired", "08001"),
        ("FATAL:  用户 Password 认证失败", None),
    ],
)
def test_the_state_of_a_refused_connection_is_known_by_its_text(text: str, state: str | None) -> None:
    assert state_of_refused_connection(text) == state


def test_every_state_has_a_meaning_and_its_class_stands_in_for_it() -> None:
    assert meaning_of("53100") != meaning_of("53999") == meaning_of("53")
    assert "disk of the database server is full" in meaning_of("53100")
    assert meaning_of(None) == meaning_of("XX000") == OTHER


def test_a_connection_that_was_lost_while_idle_in_the_pool_is_replaced(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0)
    database = services.database
    with database.autocommit() as connection:
        lost = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    other = sa.create_engine(database.engine.url, isolation_level="AUTOCOMMIT")
    with other.connect() as connection:
        connection.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": lost})
    other.dispose()
    with database.transaction() as connection:
        assert connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one() != lost
