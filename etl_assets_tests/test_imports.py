"""Landing a file: what is recorded of it, what is said of headers that it lacks, and how long reading it may take."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.errors import ConcurrentRunError, DatabaseUnavailableError
from etl_assets.presets.catalog import get_preset
from etl_assets.raw_orders.extract import ReadCounts
from etl_assets.raw_orders.importing import import_file
from etl_assets.raw_orders.load import land_raw_orders
from etl_assets_tests.helpers.pipeline import PRESET, query, scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from uuid import UUID

    import psycopg

    from etl_assets.pipeline.protocol import Services
    from etl_assets.raw_orders.load import ImportResult

MAPPING = """
name: own
columns: {shop: {constant: s}, order_id: number, amount: totl, currency: {constant: EUR}}
"""


def one_order(before: Callable[[], None]) -> Iterator[pl.DataFrame]:
    """One raw order, before which something happens."""
    before()
    yield pl.DataFrame({"row_no": [1], "order_id": ["1"], "platform": ["p"], "shop": ["s"]})


def land_one(services: Services, path: Path, before: Callable[[], None], **options: Any) -> ImportResult:
    return land_raw_orders(services.database, path, PRESET, one_order(before), ReadCounts(lines=1), **options)


def test_headers_that_the_file_lacks_are_noted_beside_the_result_and_recorded(
    services: Services, tmp_path: Path
) -> None:
    (tmp_path / "mapping.yaml").write_text(MAPPING)
    (tmp_path / "orders.csv").write_text("number,total\n1,5.00\n")
    arguments = ["import", str(tmp_path / "orders.csv"), "--mapping", str(tmp_path / "mapping.yaml")]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    (entry,) = json.loads(result.stdout)["imports"]
    assert (result.exit_code, entry["status"], entry["unmatched"]) == (0, "completed", ["amount"])
    assert "lacks the headers that the mapping names for amount" in result.stderr
    assert "lacks the headers that the mapping names for amount" in CliRunner().invoke(app, arguments).stderr
    recorded = query(services, "SELECT unmatched FROM import_tasks")
    assert [row["unmatched"] for row in recorded] == [["amount"]] * 2


def test_nothing_is_noted_of_a_detected_preset_or_where_nothing_lacks(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("shop,order_id\ns,1\n")
    detected = import_file(services.database, path, None)
    assert (detected.status, detected.unmatched, "unmatched" in detected.as_dict()) == ("completed", (), False)
    assert "amount" in import_file(services.database, path, get_preset("generic")).unmatched
    columns = get_preset("generic").columns
    values = {"platform": "p", "shop": "s", "order_id": "1"}
    rows = (columns, (values.get(name, "") for name in columns))
    (tmp_path / "full.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    full = import_file(services.database, tmp_path / "full.csv", get_preset("generic"))
    assert (full.status, full.unmatched) == ("completed", ())


def test_a_file_may_be_read_for_longer_than_an_idle_transaction_may_wait(services: Services, tmp_path: Path) -> None:
    def be_impatient(connection: psycopg.Connection, _: object) -> None:
        connection.execute("SET idle_in_transaction_session_timeout = '100ms'")
        connection.commit()

    sa.event.listen(services.database.engine, "connect", be_impatient)
    assert land_one(services, tmp_path / "orders.csv", lambda: time.sleep(0.5)).status == "completed"
    assert scalar(services, "SHOW idle_in_transaction_session_timeout") == "100ms"


def test_an_unreachable_database_is_no_failed_import(services: Services, tmp_path: Path) -> None:
    def lose() -> None:
        msg = "The database does not accept connections."
        raise DatabaseUnavailableError(msg)

    with pytest.raises(DatabaseUnavailableError):
        land_one(services, tmp_path / "orders.csv", lose)
    assert query(services, "SELECT status FROM import_tasks") == [{"status": "failed"}]


def test_what_is_done_before_the_rows_knows_their_import(services: Services, tmp_path: Path) -> None:
    seen: list[UUID] = []
    result = land_one(
        services, tmp_path / "orders.csv", lambda: None, before_rows=lambda _, import_id: seen.append(import_id)
    )
    assert seen == [result.import_id]


def test_an_import_that_loses_to_another_is_failed_and_says_so_to_its_caller(
    services: Services, tmp_path: Path
) -> None:
    def lose(*_: object) -> None:
        msg = "another one was first"
        raise ConcurrentRunError(msg)

    with pytest.raises(ConcurrentRunError):
        land_one(services, tmp_path / "orders.csv", lambda: None, before_rows=lose)
    assert query(services, "SELECT status, error FROM import_tasks") == [
        {"status": "failed", "error": "another one was first"}
    ]
    assert scalar(services, "SELECT count(*) FROM raw_orders") == 0


def test_the_ledger_says_when_an_import_began_and_ended_and_how_long_it_took(
    services: Services, tmp_path: Path
) -> None:
    land_one(services, tmp_path / "orders.csv", lambda: time.sleep(0.2))
    (batch,) = query(
        services,
        "SELECT duration, extract(epoch FROM finished_at - started_at) AS between, finished_at <= now() AS is_over"
        " FROM etl_batches WHERE asset = 'raw_orders'",
    )
    assert batch["duration"] >= 0.2
    assert float(batch["between"]) == pytest.approx(batch["duration"], abs=0.001)
    assert batch["is_over"]
