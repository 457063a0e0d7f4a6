"""Orders from a MariaDB: what columns become, that no late commit is lost, what happens when things break."""

from __future__ import annotations

import random
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Literal

import pymysql
import pytest

from etl_assets.errors import ConcurrentRunError
from etl_assets.sources import pull as pulling
from etl_assets.sources import session
from etl_assets.sources.errors import SourceError, SourceReadError
from etl_assets.sources.process import Child, ChildFailedError
from etl_assets.sources.pull import pull, reconcile
from etl_assets.sources.session import SourceSession
from etl_assets_tests.helpers.effort import WRITING_SECONDS
from etl_assets_tests.helpers.source_servers import PASSWORD, count, newest, require_mariadb, running_mariadb, source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl_assets.pipeline.protocol import Services
    from etl_assets.sources.model import SourceConfig
from etl_assets_tests.helpers.source_servers import MariaDB

pytestmark = pytest.mark.slow

ORDERS = "CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, buyer TEXT, total DECIMAL(12,2), ordered_at DATETIME)"


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    require_mariadb()
    with running_mariadb() as running:
        yield running


@pytest.fixture
def shop(server: MariaDB, monkeypatch: pytest.MonkeyPatch) -> MariaDB:
    """The server with an empty database."""
    monkeypatch.setenv("SHOP_DB_URL", server.url)
    server.execute("DROP DATABASE shop", "CREATE DATABASE shop CHARACTER SET utf8mb4")
    return server


def described(**fields: Any) -> SourceConfig:
    return source("maria", "SHOP_DB_URL", **{"table": "orders", "changes": "change_table", **fields})


def set_up(shop: MariaDB, described: SourceConfig) -> None:
    """Run what `sources setup` prints."""
    with SourceSession(described) as session:
        text = session.backend.setup(described)
    statements = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    shop.execute(*(statement for statement in statements.split(";\n") if statement.strip()))


def test_a_mapped_column_that_is_missing_stops_the_pull(services: Services, shop: MariaDB) -> None:
    shop.execute(ORDERS.replace("buyer", "buyers"), "INSERT INTO orders (buyers) VALUES ('a')")
    with pytest.raises(SourceError, match="There is no column 'buyer' for customer_name; did you mean 'buyers'"):
        pull(services.database, described(changes="reconcile"))
    assert count(services, "raw_orders") == 0


def test_every_type_arrives_as_text_or_is_marked(services: Services, shop: MariaDB) -> None:
    shop.execute(
        "SET sql_mode = ''",
        "CREATE TABLE orders (id BIGINT UNSIGNED PRIMARY KEY, buyer TEXT, total DECIMAL(65,30), ordered_at DATETIME(6),"
        " stamped TIMESTAMP NULL, day DATE, took TIME, u UUID, j JSON, raw VARBINARY(20), bits BIT(9), y YEAR,"
        " kind ENUM('a','b'), tags SET('x','y'), flag BOOLEAN, ratio DOUBLE, `odd ``name; --` CHAR(5), old VARCHAR(9)"
        " CHARACTER SET latin1, nothing INT)",
        "INSERT INTO orders (id) VALUES (1)",
        "SET time_zone = '+08:00'",
        "INSERT INTO orders VALUES (18446744073709551615, '张三 🧵\\0x',"
        " 12345678901234567890123456789012345.123456789012345678901234567890, '0000-00-00', '2026-01-02 03:04:05',"
        " '2024-00-15', '-12:34:56', '123e4567-e89b-12d3-a456-426614174000', '{\"a\": 1}', x'00ff27', b'101', 2026,"
        " 'b', 'x,y', 2, 0.1, 'c', 'é', NULL)",
    )
    result = pull(services.database, described(changes="reconcile"))
    assert (result.mode, result.read, result.landed, result.missed) == ("full", 2, 2, None)
    rows = newest(services, "customer_name, amount, ordered_at, defect, extra")
    assert rows["1"] == (None, None, None, None, None)
    name, amount, ordered_at, defect, extra = rows["18446744073709551615"]
    assert (name, defect) == ("张三 🧵␀x", "BAD_TEXT")  # PostgreSQL can't hold NUL
    assert amount == "12345678901234567890123456789012345.123456789012345678901234567890"
    assert ordered_at == "0000-00-00 00:00:00.000000"
    assert extra == {
        "stamped": "2026-01-01 19:04:05+00:00",
        "day": "2024-00-15",
        "took": "-12:34:56",
        "u": "123e4567-e89b-12d3-a456-426614174000",
        "j": '{"a": 1}',
        "raw": "\\x00ff27",
        "bits": "5",
        "y": "2026",
        "kind": "b",
        "tags": "x,y",
        "flag": "2",
        "ratio": "0.1",
        "odd `name; --": "c",
        "old": "é",
    }


def test_a_row_that_commits_late_is_not_lost(services: Services, shop: MariaDB) -> None:
    shop.execute(ORDERS)
    orders = described()
    set_up(shop, orders)
    pull(services.database, orders)
    with shop.connect() as early, early.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("INSERT INTO orders (buyer) VALUES ('early')")
        shop.execute("INSERT INTO orders (buyer) VALUES ('late')")
        assert pull(services.database, orders).landed == 1
        cursor.execute("COMMIT")
    assert pull(services.database, orders).landed == 1
    assert newest(services, "customer_name") == {"1": ("early",), "2": ("late",)}
    again = pull(services.database, orders)
    assert (again.read, again.import_id, shop.execute("SELECT * FROM etl_changes")) == (0, None, [])
    assert reconcile(services.database, orders).missed == 0


def write(shop: MariaDB, seed: int, stop: threading.Event, failures: list[BaseException]) -> None:
    """Insert and update rows in transactions that overlap, roll back in part or as a whole, and end in any order."""
    draw = random.Random(seed)  # noqa: S311
    try:
        with shop.connect() as connection, connection.cursor() as cursor:
            while not stop.is_set():
                try:
                    cursor.execute("BEGIN")
                    for _ in range(draw.randint(1, 4)):
                        cursor.execute("INSERT INTO orders (buyer, total) VALUES (%s, %s)", (seed, draw.randint(1, 99)))
                    cursor.execute("SAVEPOINT s")
                    cursor.execute(
                        "UPDATE orders SET total = total + 1 WHERE id = (SELECT id FROM (SELECT floor(rand() *"
                        " max(id)) id FROM orders) o)"
                    )
                    if draw.random() < 0.3:
                        cursor.execute("ROLLBACK TO SAVEPOINT s")
                    time.sleep(draw.random() * 0.05)
                    cursor.execute("ROLLBACK" if draw.random() < 0.15 else "COMMIT")
                except pymysql.err.OperationalError as error:
                    if error.args[0] not in {1213, 1205}:
                        raise
                    cursor.execute("ROLLBACK")
    except BaseException as error:  # noqa: BLE001  # the test raises it
        failures.append(error)


@pytest.mark.sampled
def test_nothing_is_lost_while_many_write(services: Services, shop: MariaDB) -> None:
    shop.execute(ORDERS)
    orders = described()
    set_up(shop, orders)
    stop, failures = threading.Event(), list[BaseException]()
    writers = [threading.Thread(target=write, args=(shop, seed, stop, failures)) for seed in range(6)]
    for writer in writers:
        writer.start()
    began, pulls = time.monotonic(), 0
    while time.monotonic() < began + WRITING_SECONDS or pulls < 4:
        pulls += pull(services.database, orders).landed > 0
    stop.set()
    for writer in writers:
        writer.join()
    assert failures == []
    pull(services.database, orders)
    truth = {str(number): tuple(map(str, row)) for number, *row in shop.execute("SELECT id, buyer, total FROM orders")}
    assert len(truth) > 30
    assert newest(services) == truth
    found = reconcile(services.database, orders)
    assert (found.landed, found.missed) == (0, 0)


def test_a_pull_that_dies_before_it_releases_its_changes_only_reads_them_again(
    services: Services, shop: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.execute(ORDERS)
    orders = described()
    set_up(shop, orders)
    pull(services.database, orders)
    shop.execute("INSERT INTO orders (buyer) VALUES ('a'), ('b')")
    with monkeypatch.context() as patched:
        patched.setattr(pulling, "_release", dying)
        with pytest.raises(KeyboardInterrupt):
            pull(services.database, orders)
    assert len(shop.execute("SELECT * FROM etl_changes")) == 2
    again = pull(services.database, orders)
    assert (again.read, again.landed, again.import_id) == (2, 0, None)
    assert (count(services, "raw_orders"), count(services, "import_tasks")) == (2, 1)
    assert shop.execute("SELECT * FROM etl_changes") == []


def dying(*_: Any) -> None:
    raise KeyboardInterrupt


def test_releasing_waits_for_writers_that_are_in_the_way(
    services: Services, shop: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.execute(ORDERS)
    orders = described()
    set_up(shop, orders)
    pull(services.database, orders)
    shop.execute("INSERT INTO orders (buyer) VALUES ('a')")
    real, refused = SourceSession.run, list[str]()
    deadlock = ChildFailedError("maria", "statement", "OperationalError", "1213")

    def run(session: SourceSession, *statements: str) -> Any:
        if statements[0].startswith("delete") and len(refused) < 2:
            refused.append(statements[0])
            raise deadlock
        return real(session, *statements)

    monkeypatch.setattr(SourceSession, "run", run)
    assert pull(services.database, orders).landed == 1
    assert len(refused) == 2
    assert shop.execute("SELECT * FROM etl_changes") == []


def test_the_number_of_an_error_reaches_the_one_who_tries_again(shop: MariaDB) -> None:
    """A lock that is not given in time must be told from other errors."""
    shop.execute(ORDERS, "INSERT INTO orders (buyer) VALUES ('a')")
    with shop.connect() as holder, holder.cursor() as cursor, SourceSession(described()) as session:
        cursor.execute("BEGIN")
        cursor.execute("UPDATE orders SET buyer = 'b'")
        with pytest.raises(ChildFailedError) as raised:
            session.run("select id from orders for update nowait")
        cursor.execute("ROLLBACK")
    assert raised.value.code == "1205"


def test_of_two_pulls_one_lands_and_only_it_releases(
    services: Services, shop: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.execute(ORDERS)
    orders = described()
    set_up(shop, orders)
    pull(services.database, orders)
    shop.execute("INSERT INTO orders (buyer) VALUES ('a')")
    real = pulling._land_new_orders

    def overtaken(*arguments: Any) -> Any:
        monkeypatch.setattr(pulling, "_land_new_orders", real)
        assert pull(services.database, orders).landed == 1
        shop.execute("INSERT INTO orders (buyer) VALUES ('b')")
        return real(*arguments)

    monkeypatch.setattr(pulling, "_land_new_orders", overtaken)
    with pytest.raises(ConcurrentRunError, match="another pull"):
        pull(services.database, orders)
    assert len(shop.execute("SELECT * FROM etl_changes")) == 1
    assert newest(services, "customer_name") == {"1": ("a",)}
    assert pull(services.database, orders).landed == 1


def test_lines_of_an_order_are_read_together(services: Services, shop: MariaDB) -> None:
    shop.execute(
        ORDERS,
        "CREATE TABLE `lines` (line INT PRIMARY KEY AUTO_INCREMENT, order_id INT, name TEXT, price DECIMAL(8,2))",
    )
    orders = described(
        table=None,
        query="select o.id, o.buyer, l.name, l.price from orders o left join `lines` l on l.order_id = o.id -- all",
        changes={"kind": "change_table", "tables": {"orders": ["id"], "lines": ["order_id"]}},
        mapping={
            "shape": "line_item",
            "columns": {"shop": {"constant": "Maple"}, "order_id": "id", "customer_name": "buyer"},
            "item": {"name": "name", "unit_price": "price"},
        },
    )
    set_up(shop, orders)
    shop.execute(
        "INSERT INTO orders (buyer) VALUES ('a'), ('b')",
        "INSERT INTO `lines` (order_id, name, price) VALUES (1, 'mug', 5), (1, 'cap', 6), (2, 'pin', 1)",
    )
    first = pull(services.database, orders)
    assert (first.read, first.landed) == (3, 2)
    shop.execute("DELETE FROM `lines` WHERE name = 'mug'", "UPDATE `lines` SET price = 7 WHERE name = 'cap'")
    second = pull(services.database, orders)
    assert (second.mode, second.read, second.landed) == ("changes", 1, 1)
    items = newest(services, "items")
    assert items["1"] == ('[{"name":"cap","unit_price":"7.00"}]',)
    assert items["2"] == ('[{"name":"pin","unit_price":"1.00"}]',)


def test_reconciling_finds_what_no_trigger_saw(services: Services, shop: MariaDB) -> None:
    shop.execute(ORDERS)
    orders = described()
    set_up(shop, orders)
    shop.execute("INSERT INTO orders (buyer) VALUES ('a'), ('b'), ('c')")
    pull(services.database, orders)
    shop.execute("UPDATE orders SET buyer = 'B' WHERE id = 2", "DELETE FROM etl_changes")
    shop.execute("INSERT INTO orders (buyer) VALUES ('d')")
    assert newest(services, "customer_name")["2"] == ("b",)
    found = reconcile(services.database, orders)
    assert (found.read, found.landed, found.missed) == (4, 2, 1)  # d was still to be pulled
    assert {name for (name,) in newest(services, "customer_name").values()} == {"a", "B", "c", "d"}


def test_the_session_can_write_nothing_but_releases(services: Services, shop: MariaDB) -> None:
    shop.execute(ORDERS)
    orders = described(table=None, query="insert into orders (buyer) values ('x') returning id", changes="reconcile")
    with pytest.raises(SourceReadError):
        pull(services.database, orders)
    assert shop.execute("SELECT * FROM orders") == []


def test_a_wrong_password_fails_at_once_and_is_not_told(
    services: Services, shop: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DB_URL", shop.url.replace("shop:", "shop:Secret"))
    roles: list[str] = []

    def start(source: str, role: Literal["driver", "reader"]) -> Child:
        roles.append(role)
        return Child(source, role)

    monkeypatch.setattr("etl_assets.sources.session.Child", start)
    with pytest.raises(SourceReadError, match="password is wrong") as raised:
        pull(services.database, described())
    assert roles == ["driver"]  # the reader would try for 30 s
    assert "Secret" not in str(raised.value)
    assert PASSWORD not in str(raised.value)
    assert raised.value.__cause__ is None


def test_a_frozen_server_costs_a_pull_its_time_and_no_more(
    services: Services, shop: MariaDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "FURTHER_SECONDS", 1)
    shop.execute(ORDERS)
    orders = described(timeout_seconds=1, changes="reconcile")
    shop.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(SourceReadError, match=r"did not answer|connection"):
            pull(services.database, orders)
    finally:
        shop.process.send_signal(signal.SIGCONT)
    assert pull(services.database, orders).read == 0
