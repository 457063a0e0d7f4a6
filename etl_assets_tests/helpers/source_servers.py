"""Temporary databases in the role of shops' databases: a MariaDB server, databases of a PostgreSQL server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pymysql
import pytest
import sqlalchemy as sa

from etl_assets.sources.model import SourceConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from etl_assets.pipeline.protocol import Services

PASSWORD: Final = "p@ss:w/%'§ord"  # noqa: S105  # of a server that lives as long as a test
MAPPING: Final = {
    "columns": {
        "platform": {"constant": "own"},
        "shop": {"constant": "Maple"},
        "order_id": "id",
        "customer_name": "buyer",
        "amount": "total",
        "ordered_at": "ordered_at",
    }
}
"""For tables with the columns id, buyer, total, ordered_at and more."""


@dataclass(frozen=True)
class MariaDB:
    """Running server; its user `shop` has all rights on the database `shop`."""

    socket: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return sa.URL.create(
            "mariadb", "shop", PASSWORD, "localhost", database="shop", query={"unix_socket": str(self.socket)}
        ).render_as_string(hide_password=False)

    def connect(self, user: str = "shop") -> pymysql.Connection[Any]:
        return pymysql.connect(
            unix_socket=str(self.socket),
            user=user,
            password=PASSWORD.encode() if user == "shop" else "",
            database="shop" if user == "shop" else None,
            autocommit=True,
            charset="utf8mb4",
        )

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements; returns the rows of the last."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())


def require_mariadb() -> None:
    """Skip the test if MariaDB is not installed; fail it if ETL_TEST_REQUIRE_SERVERS is set."""
    if shutil.which("mariadbd", path=_path()) is None or shutil.which("mariadb-install-db", path=_path()) is None:
        reason = "MariaDB is not installed (Debian: apt-get install mariadb-server)"
        if os.environ.get("ETL_TEST_REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(reason)


def _install_mariadb(data: Path, user: list[str], environment: dict[str, str]) -> None:
    """Create a data directory; in two attempts, as its bootstrap can fail on a busy machine."""
    command = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db",
               "--auth-root-authentication-method=normal", *user]  # fmt: skip
    said = []
    for _attempt in range(2):
        shutil.rmtree(data, ignore_errors=True)
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
        if done.returncode == 0:
            return
        said.append(f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    pytest.fail("mariadb-install-db failed twice:\n" + "\n".join(said))


@contextmanager
def running_mariadb() -> Iterator[MariaDB]:
    """Run a server in a temporary folder with a short path, as sockets need."""
    with tempfile.TemporaryDirectory(prefix="etl-maria-") as folder:
        data, path = Path(folder) / "data", Path(folder) / "socket"
        user = ["--user=root"] if os.geteuid() == 0 else []
        environment = {**os.environ, "PATH": _path()}
        _install_mariadb(data, user, environment)
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen(
                ["mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={path}", "--skip-networking",
                 f"--pid-file={folder}/pid", "--innodb-flush-log-at-trx-commit=2",
                 "--innodb-buffer-pool-size=64M", *user],
                stdout=log, stderr=log, env=environment,
            )  # fmt: skip
        try:
            server = MariaDB(path, process)
            _prepare(server)
            yield server
        finally:
            process.kill()
            process.wait()


def source(name: str, url_env: str, **fields: Any) -> SourceConfig:
    """Describe a source with the mapping of these tests."""
    mapping: Mapping[str, Any] = {"name": "shop", **fields.pop("mapping", MAPPING)}
    return SourceConfig.model_validate(
        {"name": name, "url_env": url_env, "key": ["id"], "timeout_seconds": 60, "mapping": mapping, **fields}
    )


def newest(services: Services, columns: str = "customer_name, amount") -> dict[str, tuple[Any, ...]]:
    """Return the last raw row of each order number."""
    statement = f"SELECT DISTINCT ON (order_id) order_id, {columns} FROM raw_orders ORDER BY order_id, raw_id DESC"  # noqa: S608
    with services.database.transaction() as connection:
        return {row[0]: tuple(row[1:]) for row in connection.execute(sa.text(statement))}


def count(services: Services, table: str) -> int:
    with services.database.transaction() as connection:
        return int(connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608


def _prepare(server: MariaDB) -> None:
    deadline = time.monotonic() + 60
    while not _accepts_connections(server.socket):
        if time.monotonic() > deadline or server.process.poll() is not None:
            msg = "the MariaDB of the tests does not start"
            raise RuntimeError(msg)
        time.sleep(0.1)
    with server.connect("root") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE shop CHARACTER SET utf8mb4")
        cursor.execute("CREATE USER shop@localhost IDENTIFIED BY %s", (PASSWORD,))

        cursor.execute("GRANT ALL ON shop.* TO shop@localhost")


def _accepts_connections(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as tried:
        try:
            tried.connect(str(path))
        except OSError:
            return False
    return True


def _path() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
