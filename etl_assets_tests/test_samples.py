"""Texts of customers in Dagster's storage: as they are, masked, or none, by the setting."""

from __future__ import annotations

import csv
import json
import sqlite3
import zlib
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.database.database import Database
from etl_assets.definitions import build_defs
from etl_assets.orchestration.instance import open_instance
from etl_assets.orchestration.jobs import PIPELINE_JOB, WHOLE_TABLES_JOB
from etl_assets.orchestration.quarantine_jobs import quarantine_folder
from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.quality.checks import Check
from etl_assets.reporting.figures import FUNNEL_SCHEMA, SHOP_SCHEMA
from etl_assets.reporting.samples import masked, shown_row, without_free_currencies, without_names
from etl_assets.run.registry import build_services
from etl_assets.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

MARK: Final = "Qvxz"
"""In every text below; nothing else has it."""
CHINESE: Final = "罄竹"
COLUMNS: Final = (*RAW_COLUMNS, "gift note")


@pytest.fixture(autouse=True)
def files_are_finished_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_INBOX_SETTLE_SECONDS", "0")


def marked(column: str) -> str:
    return f"{MARK}{column.replace('_', '').replace(' ', '')}{CHINESE}"


def order(number: int, **fields: str) -> dict[str, str]:
    texts = {column: marked(column) for column in COLUMNS}
    readable = {
        "order_id": f"{marked('order_id')}{number}",
        "amount": "123.45",
        "refunded_amount": "",
        "ordered_at": f"2026-01-0{number} 10:00:00",
        "updated_at": "",
        "items": f"{marked('items')}:{marked('variant')}*2",
        "processes": f"{marked('process')}:{marked('position')}",
    }
    return {**texts, **readable, **fields}


ORDERS: Final = [
    order(1),
    order(2),
    order(3, amount=f"12{MARK}badamount"),
    order(4, ordered_at=f"{MARK}badtime"),
    order(5, items=f'[{{"name":"{MARK}baditems"'),
]


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def jobs(settings: Settings) -> Iterator[Callable[..., bool]]:
    """Run jobs in the instance of the settings; return whether they succeeded."""
    services = build_services(settings)
    made = {
        "database": services.database,
        "batch_processor": services.batch_processor,
        "vectorized_queries": services.vectorized_queries,
    }
    resources = {name: dg.ResourceDefinition.hardcoded_resource(value) for name, value in made.items()}
    defs = build_defs(resources=resources)

    def run(job: str, **config: Any) -> bool:
        definition = defs.resolve_job_def(job)
        return definition.execute_in_process(instance=instance, run_config=config, raise_on_error=False).success

    with open_instance(settings) as instance:
        yield run
    services.database.dispose()


def everything_runs(settings: Settings, run: Callable[..., bool]) -> None:
    """Land a file, run, export the quarantine, correct it by the file, run again, and let checks fail."""
    write(settings.inbox_folder / "orders.csv", ORDERS)
    assert run(PIPELINE_JOB)
    folder = quarantine_folder(settings)
    assert run("export_quarantine", ops={"export_open_rows": {"config": {"file_name": "bad", "format": "CSV"}}})
    with (folder / "bad.csv").open(encoding="utf-8-sig") as file:
        bad = list(csv.DictReader(file))
    assert len(bad) == 3
    corrected = [{**row, "amount": "7", "ordered_at": "", "remark": f"{MARK}corrected"} for row in bad]
    write(folder / "corrected.csv", corrected)
    assert run("replay_quarantine", ops={"replay_rows": {"config": {"file": "corrected.csv"}}})
    assert run(PIPELINE_JOB)
    database = Database(settings)
    with database.transaction() as connection:
        connection.execute(sa.text("UPDATE business_leads SET total_amount = total_amount + 1"))
    database.dispose()
    assert run(WHOLE_TABLES_JOB)


def stored_texts(folder: Path) -> str:
    """Return all that Dagster stores: each value of each SQLite table, decompressed, and all other files."""
    parts: list[str] = []
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        if path.suffix == ".db":
            with closing(sqlite3.connect(path)) as connection:
                tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
                for table in tables:
                    for row in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608  # Dagster's own
                        parts += [_text(value) for value in row]
        elif not path.name.endswith(("-wal", "-shm")):
            parts.append(path.read_text(encoding="utf-8", errors="replace"))
    assert any(path.suffix == ".db" for path in files)
    return "\n".join(parts)


def _text(value: object) -> str:
    if isinstance(value, bytes):
        with suppress(zlib.error):
            return zlib.decompress(value).decode(errors="replace")
        return value.decode(errors="replace")
    return str(value).encode().decode("unicode_escape", errors="replace") if "\\u" in str(value) else str(value)


def found_marks(folder: Path) -> list[str]:
    """Return the surroundings of each mark in the stored texts."""
    text = stored_texts(folder)
    lower, found = text.lower(), []
    for mark in (MARK.lower(), CHINESE, CHINESE.encode("unicode_escape").decode()):
        at = lower.find(mark)
        while at >= 0:
            found.append(text[max(at - 60, 0) : at + 40])
            at = lower.find(mark, at + 1)
    return found


@pytest.mark.parametrize("mode", ["masked", "off"])
def test_no_text_of_a_customer_reaches_dagster_where_it_may_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setenv("ETL_SAMPLE_ROWS", mode)
    with jobs(Settings()) as run:
        everything_runs(settings, run)
    assert found_marks(settings.dagster_home) == []
    text = stored_texts(settings.dagster_home)
    assert ("sample_rows" in text) == (mode == "masked")
    assert ("xxxxxxxxx某某" in text) == (mode == "masked")
    for word in ("BAD_AMOUNT", "order_types_are_mapped", "figures_equal_orders", "violation_count", "shop 1"):
        assert word in text


def test_sample_rows_are_there_as_they_are_unless_they_may_not(
    settings: Settings,
) -> None:
    write(settings.inbox_folder / "orders.csv", ORDERS)
    with jobs(Settings()) as run:
        assert run(PIPELINE_JOB)
    shown = "\n".join(found_marks(settings.dagster_home))
    for column in ("customer_name", "order_type", "items", "remark", "gift note", "shop"):
        assert marked(column) in shown


def test_a_check_that_can_not_be_run_does_not_show_the_text_of_the_driver(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_SAMPLE_ROWS", "masked")
    broken = Check("order_types_are_mapped", "orders", "", "SELECT CAST(customer_nickname AS int) FROM orders")
    monkeypatch.setattr("etl_assets.quality.running.CHECKS", (broken,))
    write(settings.inbox_folder / "orders.csv", ORDERS)
    with jobs(Settings()) as run:
        assert not run(PIPELINE_JOB)
    assert found_marks(settings.dagster_home) == []
    assert "(DataError, SQLSTATE 22P02)" in stored_texts(settings.dagster_home)


def test_the_unmapped_order_types_can_be_listed_where_they_are_not_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_SAMPLE_ROWS", "off")
    write(settings.inbox_folder / "orders.csv", ORDERS)
    with jobs(Settings()) as run:
        assert run(PIPELINE_JOB)
    listed = CliRunner().invoke(app, ["order-types", "list", "--unmapped", "--json"])
    assert [one["order_type"] for one in json.loads(listed.stdout)["unmapped"]] == [marked("order_type")]
    assert CliRunner().invoke(app, ["order-types", "set", marked("order_type"), "PROOF"]).exit_code == 0
    result = CliRunner().invoke(app, ["order-types", "list", "--unmapped"])
    assert result.exit_code == 0
    assert MARK not in result.stdout


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("Ann O'Brien", "xxx x'xxxxx"),
        ("张三 2号", "某某 9某"),
        ("kim@example.com", "xxx@xxxxxxx.xxx"),
        ("+49 170 12", "+99 999 99"),
        ("Ａｎｎ①٣½", "xxx999"),
        ("שלום🎁\u0301\u200b", "某某某某某某某"),
        ("", ""),
        ("a" * 41, "x" * 40 + "…"),
    ],
)
def test_a_masked_text_keeps_its_shape_and_nothing_else(text: str, shape: str) -> None:
    assert masked(text) == shape


def test_numbers_times_and_ids_stay() -> None:
    row = {
        "raw_id": 7,
        "amount": 1.5,
        "extra": {"a": "Ann"},
        "names": ["Ann", 3],
        "reason_code": "BAD_AMOUNT",
        "x": None,
    }
    assert shown_row(row, "masked") == {
        "raw_id": "7", "amount": "1.5", "extra": "{'x': 'xxx'}", "names": "[xxx, 3]", "reason_code": "BAD_AMOUNT",
        "x": "",
    }  # fmt: skip
    assert shown_row(row, "off") == {
        "raw_id": "7", "amount": "1.5", "extra": "", "names": "[, 3]", "reason_code": "BAD_AMOUNT", "x": "",
    }  # fmt: skip
    assert shown_row(row, "on")["names"] == "['Ann', 3]"


@pytest.mark.parametrize("mode", ["masked", "off"])
def test_pictures_name_shops_by_their_ids_and_only_currencies_that_are_codes(mode: Any) -> None:
    shops = pl.DataFrame([(3, "taobao", "Ann's", 9)], SHOP_SCHEMA, orient="row")
    assert without_names(shops, mode).rows() == [(3, None, "shop 3", 9)]
    assert without_names(shops, "on").rows() == shops.rows()
    funnel = pl.DataFrame({"currency": ["EUR", "ANN'S", None]}, {"currency": FUNNEL_SCHEMA["currency"]})
    assert without_free_currencies(funnel, mode)["currency"].to_list() == ["EUR", "?", None]
    assert without_free_currencies(funnel, "on")["currency"].to_list() == ["EUR", "ANN'S", None]


def test_a_setting_that_is_none_of_the_three_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_SAMPLE_ROWS", "some")
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 2
    assert "ETL_SAMPLE_ROWS" in result.stderr
