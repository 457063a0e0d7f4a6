"""Orders from a PostgreSQL: what columns become, that no late commit is lost, what happens when things break."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from itertools import count as numbers
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psycopg
import pytest
import sqlalchemy as sa

from etl_assets.errors import ConcurrentRunError
from etl_assets.sources import pull as pulling
from etl_assets.sources import session
from etl_assets.sources.config import source_url
from etl_assets.sources.errors import SourceConfigError, SourceError, SourceReadError
from etl_assets.sources.process import Child
from etl_assets.sources.pull import pull, reconcile
from etl_assets.sources.session import open_backend
from etl_assets_tests.helpers.effort import WRITING_SECONDS
from etl_assets_tests.helpers.source_servers import MAPPING, count, newest, source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl_assets.pipeline.protocol import Services
    from etl_assets.sources.model import SourceConfig

pytestmark = pytest.mark.slow

ORDERS = "CREATE TABLE orders (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY, buyer text, total numeric, ordered_at timestamp)"  # noqa: E501
_numbers = numbers()


class Shop:
    """A database of the tests' PostgreSQL server that stands for a shop's."""

    def __init__(self, url: sa.URL) -> None:
        self.url = url

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.url.render_as_string(hide_password=False), autocommit=True)

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            for statement in statements:
                cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


@pytest.fixture
def shop(server_url: sa.URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    name = f"shop_{os.getpid()}_{next(_numbers)}"
    Shop(server_url).execute(f"CREATE DATABASE {name}")
    url = server_url.set(database=name)
    monkeypatch.setenv("SHOP_DB_URL", url.render_as_string(hide_password=False))
    yield Shop(url)
    Shop(server_url).execute(f"DROP DATABASE {name} WITH (FORCE)")


def described(changes: object = "xid_column", **fields: Any) -> SourceConfig:
    return source("pg", "SHOP_DB_URL", **{"table": "public.orders", "changes": changes, **fields})


def set_up(shop: Shop, described: SourceConfig) -> None:
    """Run what `sources setup` prints; outside a transaction, as its last statement needs."""
    text = open_backend(described, source_url(described)).setup(described)
    whole, commit, indexes = text.partition("COMMIT;")
    shop.execute(whole + commit, *indexes.strip().splitlines())


def test_every_type_arrives_as_text(services: Services, shop: Shop) -> None:
    shop.execute(
        "CREATE TYPE mood AS ENUM ('glad')",
        "CREATE TABLE orders (id text PRIMARY KEY, buyer text, total numeric, ordered_at timestamptz, j json, jb jsonb,"
        " u uuid, raw bytea, a int[], day date, span interval, price money, f float8, ok boolean, kind mood,"
        ' padded char(5), "odd ""%s;-- :x ?" text, bits bit(3), r int4range, nothing int)',
        "INSERT INTO orders (id) VALUES ('null first')",
        "INSERT INTO orders VALUES ('1', '张三 🧵''\"\\', 1e60::numeric + 1e-20::numeric, '2026-01-02 03:04:05+08',"
        " '{\"a\": null}', '{\"a\": null}', '123e4567-e89b-12d3-a456-426614174000', '\\x00ff', '{1,NULL}',"
        " '0044-03-15 BC', '1 mon', '1.50', 'NaN', true, 'glad', 'c', 'odd', '101', '[1,3)', NULL)",
        "INSERT INTO orders (id, total, ordered_at) VALUES ('inf', 'NaN', 'infinity')",
    )
    result = pull(services.database, described("xmin"))
    assert (result.mode, result.why_full, result.read, result.landed) == ("full", "first pull", 3, 3)
    rows = newest(services, "customer_name, amount, ordered_at, defect, extra")
    assert rows["null first"] == (None, None, None, None, None)
    assert rows["inf"] == (None, "NaN", "infinity", None, None)
    extra = {
        "j": '{"a": null}', "jb": '{"a": null}', "u": "123e4567-e89b-12d3-a456-426614174000", "raw": "\\x00ff",
        "a": "{1,NULL}", "day": "0044-03-15 BC", "span": "1 mon", "price": "$1.50", "f": "NaN", "ok": "true",
        "kind": "glad", "padded": "c", 'odd "%s;-- :x ?': "odd", "bits": "101", "r": "[1,3)",
    }  # fmt: skip
    assert rows["1"] == ("张三 🧵'\"\\", "1" + "0" * 60 + "." + "0" * 19 + "1", "2026-01-01 19:04:05+00", None, extra)


@pytest.mark.parametrize("changes", ["xid_column", "xmin"])
def test_a_row_that_commits_late_is_not_lost(services: Services, shop: Shop, changes: str) -> None:
    shop.execute(ORDERS, "INSERT INTO orders (buyer) VALUES ('before')")
    orders = described(changes)
    set_up(shop, orders)
    assert pull(services.database, orders).landed == 1
    with shop.connect() as early:
        early.execute("BEGIN")
        early.execute("INSERT INTO orders (buyer) VALUES ('early')")
        shop.execute("INSERT INTO orders (buyer) VALUES ('late')")
        pull(services.database, orders)
        early.execute("COMMIT")
    assert pull(services.database, orders).mode == "changes"
    assert newest(services, "customer_name") == {"1": ("before",), "2": ("early",), "3": ("late",)}
    again = pull(services.database, orders)
    assert (again.landed, again.import_id) == (0, None)
    assert reconcile(services.database, orders).missed == 0


def write(shop: Shop, seed: int, stop: threading.Event, failures: list[BaseException]) -> None:
    """Insert and update rows in transactions that overlap, roll back in part or as a whole, and end in any order."""
    draw = random.Random(seed)  # noqa: S311
    try:
        with shop.connect() as connection:
            while not stop.is_set():
                connection.execute("BEGIN")
                for _ in range(draw.randint(1, 4)):
                    values = (str(seed), draw.randint(1, 99))
                    connection.execute("INSERT INTO orders (buyer, total) VALUES (%s, %s)", values)
                connection.execute("SAVEPOINT s")
                # Only rows that nobody holds, so that writers never wait in a circle.
                connection.execute(
                    "UPDATE orders SET total = total + 1 WHERE id = (SELECT id FROM orders WHERE mod(id, 7) = %s"
                    " ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED)",
                    (seed,),
                )
                connection.execute("INSERT INTO orders (buyer) VALUES ('in a savepoint')")
                if draw.random() < 0.3:
                    connection.execute("ROLLBACK TO SAVEPOINT s")
                time.sleep(draw.random() * 0.05)
                connection.execute("ROLLBACK" if draw.random() < 0.15 else "COMMIT")
    except BaseException as error:  # noqa: BLE001  # the test raises it
        failures.append(error)


@pytest.mark.sampled
@pytest.mark.parametrize("changes", ["xid_column", "xmin"])
def test_nothing_is_lost_while_many_write(services: Services, shop: Shop, changes: str) -> None:
    shop.execute(ORDERS)
    orders = described(changes)
    set_up(shop, orders)
    pull(services.database, orders)
    stop, failures = threading.Event(), list[BaseException]()
    writers = [threading.Thread(target=write, args=(shop, seed, stop, failures)) for seed in range(6)]
    for writer in writers:
        writer.start()
    began, pulls = time.monotonic(), 0
    while time.monotonic() < began + WRITING_SECONDS or pulls < 4:
        result = pull(services.database, orders)
        assert result.mode == "changes"
        pulls += result.landed > 0
    stop.set()
    for writer in writers:
        writer.join()
    assert failures == []
    pull(services.database, orders)
    truth = {row[0]: row[1:] for row in shop.execute("SELECT id::text, buyer, total::text FROM orders")}
    assert len(truth) > 30
    assert newest(services) == truth
    found = reconcile(services.database, orders)
    assert (found.landed, found.missed) == (0, 0)


def test_a_naive_watermark_would_be_found_out(services: Services, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reconciliation counts what a wrong horizon loses: with it, the row that commits late is missed."""
    from etl_assets.sources import postgresql  # noqa: PLC0415  # to be broken here

    shop.execute(ORDERS)
    orders = described()
    set_up(shop, orders)
    pull(services.database, orders)
    monkeypatch.setattr(postgresql, "HORIZON", postgresql.HORIZON.replace("pg_snapshot_xmin", "pg_snapshot_xmax"))
    with shop.connect() as early:
        early.execute("BEGIN")
        early.execute("INSERT INTO orders (buyer) VALUES ('early')")
        shop.execute("INSERT INTO orders (buyer) VALUES ('late')")
        pull(services.database, orders)
        early.execute("COMMIT")
    pull(services.database, orders)
    assert newest(services, "customer_name") == {"2": ("late",)}
    found = reconcile(services.database, orders)
    assert (found.landed, found.missed) == (1, 1)


def test_of_two_pulls_one_lands(services: Services, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.execute(ORDERS)
    orders = described()
    set_up(shop, orders)
    pull(services.database, orders)
    shop.execute("INSERT INTO orders (buyer) VALUES ('a')")
    real = pulling._land_new_orders

    def overtaken(*arguments: Any) -> Any:
        monkeypatch.setattr(pulling, "_land_new_orders", real)
        assert pull(services.database, orders).landed == 1
        return real(*arguments)

    monkeypatch.setattr(pulling, "_land_new_orders", overtaken)
    with pytest.raises(ConcurrentRunError, match="another pull"):
        pull(services.database, orders)
    assert count(services, "raw_orders") == 1
    assert pull(services.database, orders).landed == 0


@pytest.mark.parametrize("field", ["system", "timeline", "horizon"])
def test_after_a_restore_everything_is_read_again(services: Services, shop: Shop, field: str) -> None:
    shop.execute(ORDERS, "INSERT INTO orders (buyer) VALUES ('a')")
    orders = described("xmin")
    pull(services.database, orders)
    shop.execute("INSERT INTO orders (buyer) VALUES ('b')")
    other = 10**15 if field == "horizon" else "other"
    with services.database.transaction() as connection:
        connection.execute(
            sa.text("UPDATE source_progress SET position = position || jsonb_build_object(:field, :other)").bindparams(
                sa.bindparam("field", field, sa.Text),
                sa.bindparam("other", other, sa.BigInteger if field == "horizon" else sa.Text),
            )
        )
    result = pull(services.database, orders)
    assert (result.mode, result.read, result.landed) == ("full", 2, 1)
    assert result.why_full is not None
    assert "restored" in result.why_full
    assert pull(services.database, orders).mode == "changes"


def test_a_changed_description_reads_everything_again(services: Services, shop: Shop) -> None:
    shop.execute(ORDERS, "INSERT INTO orders (buyer, total) VALUES ('a', 1), ('b', 2)")
    pull(services.database, described("xmin"))
    columns = {**MAPPING["columns"], "remark": "total"}
    result = pull(services.database, described("xmin", mapping={"columns": columns}))
    assert (result.why_full, result.landed, result.missed) == (
        "its description in the file of sources changed", 2, None,
    )  # fmt: skip
    assert newest(services, "remark") == {"1": ("1",), "2": ("2",)}


def test_lines_of_an_order_are_read_together(services: Services, shop: Shop) -> None:
    shop.execute(
        ORDERS,
        "CREATE TABLE lines (line int PRIMARY KEY, order_id bigint, name text)",
        "INSERT INTO orders (buyer) VALUES ('a'), ('b')",
    )
    orders = described(
        {"kind": "xid_column", "column": "tx", "tables": ["orders", "lines"]},
        table=None,
        query="SELECT o.id, o.buyer, l.line, l.name, greatest(o.tx, l.tx) AS tx FROM orders o JOIN lines l"
        " ON l.order_id = o.id; ",
        mapping={
            "shape": "line_item",
            "columns": {"shop": {"constant": "Maple"}, "order_id": "id", "customer_name": "buyer"},
            "item": {"name": "name"},
        },
    )
    set_up(shop, orders)
    shop.execute("INSERT INTO lines VALUES (1, 1, 'mug'), (2, 1, 'cap'), (3, 2, 'pin')")
    assert pull(services.database, orders).landed == 2
    shop.execute("UPDATE lines SET name = 'hat' WHERE line = 2")
    second = pull(services.database, orders)
    assert (second.mode, second.read, second.landed) == ("changes", 2, 1)
    assert newest(services, "items") == {
        "1": ('[{"name":"mug"},{"name":"hat"}]',),
        "2": ('[{"name":"pin"}]',),
    }
    shop.execute("DELETE FROM lines WHERE line = 1")
    assert pull(services.database, orders).landed == 0
    assert reconcile(services.database, orders).missed == 1


def test_rows_with_the_same_key_are_refused(services: Services, shop: Shop) -> None:
    shop.execute(ORDERS, "INSERT INTO orders (buyer) VALUES ('a'), ('a')")
    with pytest.raises(SourceError, match="same buyer"):
        pull(services.database, described("xmin", key=["buyer"]))
    assert count(services, "raw_orders") == 0


def test_rows_without_a_key_land_once(services: Services, shop: Shop) -> None:
    shop.execute("CREATE TABLE orders (id int, buyer text)", "INSERT INTO orders VALUES (NULL, 'a'), (NULL, 'b')")
    orders = described(
        "reconcile", mapping={"columns": {"shop": {"constant": "m"}, "order_id": "id", "remark": "buyer"}}
    )
    assert pull(services.database, orders).landed == 2
    assert pull(services.database, orders).landed == 0


def test_a_mapping_that_does_not_fit_is_refused(services: Services, shop: Shop) -> None:
    shop.execute(ORDERS)
    with pytest.raises(SourceError, match="no column 'number'"):
        pull(services.database, described("xmin", key=["number"]))
    with pytest.raises(SourceReadError, match="no such table"):
        pull(services.database, described("xmin", table="public.nonsense"))


def test_a_mapped_column_that_is_missing_stops_the_pull(services: Services, shop: Shop) -> None:
    shop.execute(ORDERS.replace("buyer", "custmer_name"), "INSERT INTO orders (custmer_name) VALUES ('a')")
    mapping = {"columns": {**MAPPING["columns"], "customer_name": "customer_name"}}
    with pytest.raises(SourceError, match="customer_name; did you mean 'custmer_name'"):
        pull(services.database, described("xmin", mapping=mapping))
    assert count(services, "raw_orders") == 0


def test_a_source_is_never_written_to(services: Services, shop: Shop) -> None:
    shop.execute("CREATE SEQUENCE s")
    query = "SELECT nextval('s')::text AS id, '' AS buyer, '' AS total, '' AS ordered_at"
    with pytest.raises(SourceReadError, match="would write"):
        pull(services.database, described("reconcile", table=None, query=query))
    assert shop.execute("SELECT is_called FROM s") == [(False,)]


def test_a_wrong_password_fails_at_once_and_is_not_told(
    services: Services, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_password(shop, "locked")
    secret = shop.url.set(username="locked", password="Secret%zz@PW")  # noqa: S106
    monkeypatch.setenv("SHOP_DB_URL", secret.render_as_string(hide_password=False))
    roles: list[str] = []

    def start(source: str, role: Literal["driver", "reader"]) -> Child:
        roles.append(role)
        return Child(source, role)

    monkeypatch.setattr("etl_assets.sources.session.Child", start)
    with pytest.raises(SourceReadError, match="password is wrong") as raised:
        pull(services.database, described("xmin"))
    assert roles == ["driver"]  # the reader would try for 30 s
    assert "Secret" not in str(raised.value)
    assert raised.value.__cause__ is None


def with_password(shop: Shop, role: str) -> None:
    """Make a role that has to give a password."""
    if not shop.execute(f"SELECT FROM pg_roles WHERE rolname = '{role}'"):
        shop.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'right'")
    [(file,)] = shop.execute("SHOW hba_file")
    rules = Path(file)
    line = f"local all {role} scram-sha-256\nhost all {role} all scram-sha-256\n"
    text = rules.read_text(encoding="utf-8")
    if line not in text:
        rules.write_text(line + text, encoding="utf-8")
    shop.execute("SELECT pg_reload_conf()")


def test_a_frozen_backend_costs_a_pull_its_time_and_no_more(
    services: Services, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "FURTHER_SECONDS", 1)
    shop.execute(ORDERS)
    orders = described("reconcile", table=None, query="SELECT orders.* FROM orders, pg_sleep(30)", timeout_seconds=2)
    orders = orders.model_copy(update={"mapping": described().mapping})
    shop.execute("INSERT INTO orders (buyer) VALUES ('a')")
    stopped: list[int] = []

    def freeze() -> None:
        deadline = time.monotonic() + 60
        statement = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY%pg_sleep%' AND state = 'active'"
        while not stopped and time.monotonic() < deadline:
            stopped.extend(pid for (pid,) in shop.execute(statement))
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)

    freezer = threading.Thread(target=freeze)
    freezer.start()
    try:
        with pytest.raises(SourceReadError, match="did not answer within 3 s"):
            pull(services.database, orders)
    finally:
        freezer.join()
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    assert stopped
    assert pull(services.database, described("reconcile")).landed == 1


def test_a_read_that_takes_too_long_says_so(services: Services, shop: Shop) -> None:
    query = "SELECT 1 AS id, pg_sleep(30)::text AS buyer, 1 AS total, '' AS ordered_at"
    orders = described("reconcile", table=None, query=query, timeout_seconds=1)
    with pytest.raises(SourceReadError, match="longer than timeout_seconds"):
        pull(services.database, orders)


def test_a_backend_killed_in_mid_read_is_an_error_never_a_short_read(
    services: Services, shop: Shop, tmp_path: Path
) -> None:
    orders = described("reconcile", table=None, query="SELECT 1 AS id")
    uri = open_backend(orders, source_url(orders)).reader_uri()
    slow = "SELECT g::text, CASE WHEN g = 90000 THEN pg_sleep(60)::text END FROM generate_series(1, 200000) g"
    request = {"uri": uri, "query": slow, "before": [], "file": str(tmp_path / "rows")}

    def kill() -> None:
        while not shop.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%' AND wait_event = 'PgSleep'"
        ):
            time.sleep(0.05)

    killer = threading.Thread(target=kill)
    killer.start()
    with Child("pg", "reader") as reader, pytest.raises(SourceReadError):
        reader.call(request, 60)
    killer.join()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "is not set"),
        ("nonsense", "is not a valid URL"),
        ("mysql://u:Secret@h/d", "works with postgresql"),
        ("postgresql://u:Secret@h/d?sslmode=verify-full", "sslmode=verify-full"),
        ("postgresql://u:Secret@h/d?service=x", "has service"),
    ],
)
def test_a_url_that_can_not_be_used_is_said_without_it(monkeypatch: pytest.MonkeyPatch, url: str, message: str) -> None:
    monkeypatch.setenv("SHOP_DB_URL", url)
    with pytest.raises(SourceConfigError, match=message) as raised:
        open_backend(described(), source_url(described()))
    assert "Secret" not in str(raised.value)
