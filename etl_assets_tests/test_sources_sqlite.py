"""Orders from a SQLite file that others write to: every cell arrives, no change is lost, and the file is safe."""

from __future__ import annotations

import sqlite3
import sqlite3.dbapi2
from contextlib import closing
from typing import TYPE_CHECKING, Any

import connectorx
import pytest

from etl_assets.sources.config import source_url
from etl_assets.sources.errors import SourceConfigError, SourceReadError
from etl_assets.sources.pull import pull, reconcile
from etl_assets.sources.session import open_backend
from etl_assets_tests.helpers.source_servers import newest, source

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services
    from etl_assets.sources.model import SourceConfig

pytestmark = pytest.mark.slow

ORDERS = "CREATE TABLE orders (id INTEGER PRIMARY KEY, buyer TEXT, total TEXT, ordered_at TEXT)"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path that URLs must quote, to a file in WAL mode."""
    path = tmp_path / "ein Läden %20#?.db"
    monkeypatch.setenv("SHOP_DB_URL", f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}")
    execute(path, "PRAGMA journal_mode = wal")
    return path


def execute(path: Path, *statements: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        for statement in statements[:-1]:
            connection.execute(statement)
        return connection.execute(statements[-1], values).fetchall()


def described(**fields: Any) -> SourceConfig:
    return source("lite", "SHOP_DB_URL", **{"table": "orders", "changes": "change_sequence", **fields})


def set_up(path: Path, described: SourceConfig) -> None:
    """Run what `sources setup` prints."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(open_backend(described, source_url(described)).setup(described))


def test_every_cell_arrives_whatever_its_column_says(services: Services, shop: Path) -> None:
    execute(
        shop, 'CREATE TABLE orders (id, buyer TEXT, total DECIMAL(10,2), ordered_at DATETIME, "odd ""-- ?" JSON, x)'
    )
    rows: list[tuple[Any, ...]] = [
        (None, None, None, None, None, None),
        ("a", "张三 🧵\\' or 1=1 --", "19.99", "2026-01-02T03:04:05Z", '{"a":1}', b"\x00\xff"),
        (2, "nul \0 inside", 2**53, 1767323045, "", 1.5),
        (3.5, 7, "nonsense", b"bytes", -1, "1e5"),
        ("", "empty key", "99999999999999999999.99", "", None, 9223372036854775807),
    ]
    for row in rows:
        execute(shop, "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", values=row)
    execute(shop, "INSERT INTO orders VALUES ('bad', CAST(x'61ff' AS TEXT), 1, 2, 3, 4)")
    mapping = {
        "columns": {
            "platform": {"constant": "own"}, "shop": {"constant": "m"}, "order_id": "id", "customer_name": "buyer",
            "amount": "total", "ordered_at": "ordered_at", "order_status": 'odd "-- ?', "remark": "x",
        }
    }  # fmt: skip
    orders = described(changes="reconcile", mapping=mapping)
    assert pull(services.database, orders).landed == 6
    columns = "customer_name, amount, ordered_at, order_status, remark, defect"
    assert newest(services, columns) == {
        "a": ("张三 🧵\\' or 1=1 --", "19.99", "2026-01-02T03:04:05Z", '{"a":1}', "\\x00ff", None),
        "2": ("nul ␀ inside", "9007199254740992", "1767323045", None, "1.5", "BAD_TEXT"),
        "3.5": ("7", "nonsense", "\\x6279746573", "-1", "1e5", None),
        # Rows of "no number" and of "" have none; the last of them is shown here.
        None: ("empty key", "1.0e+20", None, None, "9223372036854775807", None),
        "bad": ("\\x61ff", "1", "2", "3", "4", "BAD_TEXT"),
    }
    assert pull(services.database, orders).landed == 0


def test_each_change_comes_once(services: Services, shop: Path) -> None:
    execute(shop, ORDERS, "INSERT INTO orders (buyer) VALUES ('before')")
    orders = described()
    set_up(shop, orders)
    assert pull(services.database, orders).why_full == "first pull"
    execute(
        shop,
        "INSERT INTO orders (buyer) VALUES ('b'), ('c')",
        "INSERT OR REPLACE INTO orders (id, buyer) VALUES (2, 'B')",
        "INSERT OR IGNORE INTO orders (id, buyer) VALUES (2, 'ignored')",
        "INSERT INTO orders (id, buyer) VALUES (3, 'x') ON CONFLICT (id) DO UPDATE SET buyer = 'C'",
        "UPDATE OR IGNORE orders SET buyer = 'after' WHERE id = 1",
    )
    result = pull(services.database, orders)
    assert (result.mode, result.read, result.landed) == ("changes", 3, 3)
    assert newest(services, "customer_name") == {"1": ("after",), "2": ("B",), "3": ("C",)}
    assert pull(services.database, orders).read == 0
    assert reconcile(services.database, orders).missed == 0


def test_what_an_open_transaction_wrote_comes_when_it_commits(services: Services, shop: Path) -> None:
    execute(shop, ORDERS)
    orders = described()
    set_up(shop, orders)
    pull(services.database, orders)
    with closing(sqlite3.connect(shop, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("INSERT INTO orders (buyer) VALUES ('open')")
        assert pull(services.database, orders).read == 0
        writer.execute("COMMIT")
        # The reader's own SQLite library must not have dropped this connection's locks or its journal.
        assert pull(services.database, orders).landed == 1
        writer.execute("INSERT INTO orders (buyer) VALUES ('after')")
    assert execute(shop, "SELECT count(*) FROM orders") == [(2,)]
    assert pull(services.database, orders).landed == 1


def test_keys_of_several_columns(services: Services, shop: Path) -> None:
    execute(shop, "CREATE TABLE orders (shop TEXT, no INTEGER, buyer TEXT, PRIMARY KEY (shop, no))")
    orders = described(
        key=["shop", "no"], mapping={"columns": {"shop": "shop", "order_id": "no", "customer_name": "buyer"}}
    )
    set_up(shop, orders)
    execute(shop, "INSERT INTO orders VALUES ('a', 1, 'x'), ('b', 1, 'y')")
    assert pull(services.database, orders).landed == 2
    execute(shop, "UPDATE orders SET buyer = 'Y' WHERE shop = 'b'")
    result = pull(services.database, orders)
    assert (result.mode, result.read, result.landed) == ("changes", 1, 1)


def test_another_file_is_read_from_its_beginning(services: Services, shop: Path) -> None:
    execute(shop, ORDERS)
    orders = described()
    set_up(shop, orders)
    pull(services.database, orders)
    execute(shop, "UPDATE etl_sequence SET id = 'restored'", "INSERT INTO orders (buyer) VALUES ('a')")
    result = pull(services.database, orders)
    assert (result.mode, result.landed, result.missed) == ("full", 1, 0)


def test_the_file_is_only_touched_in_other_processes(
    services: Services, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two SQLite libraries in one process drop each other's locks, and with them committed data."""
    execute(shop, ORDERS, "INSERT INTO orders (buyer) VALUES ('a')")
    orders = described()
    set_up(shop, orders)

    def refuse(*_: Any, **__: Any) -> None:
        msg = "in this process"
        raise AssertionError(msg)

    monkeypatch.setattr(connectorx, "read_sql", refuse)
    monkeypatch.setattr(sqlite3, "connect", refuse)
    monkeypatch.setattr(sqlite3.dbapi2, "connect", refuse)
    assert pull(services.database, orders).landed == 1


def test_a_file_that_is_missing_is_not_made(services: Services, shop: Path) -> None:
    shop.unlink()
    with pytest.raises(SourceConfigError, match="no file"):
        pull(services.database, described())
    assert not shop.exists()


def test_a_file_that_is_no_database_is_refused(services: Services, shop: Path) -> None:
    shop.write_bytes(b"nonsense" * 1000)
    with pytest.raises(SourceReadError, match="could not be read"):
        pull(services.database, described())
