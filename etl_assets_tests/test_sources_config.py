"""`sources.yaml`, the commands on it, when sources are due, and the process that touches a source's database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.settings import Settings
from etl_assets.sources.config import load_sources
from etl_assets.sources.errors import SourceConfigError, SourceError, SourceReadError
from etl_assets.sources.process import Child
from etl_assets.sources.pull import due_reconciles, due_sources, pull, reconcile
from etl_assets_tests.helpers.pipeline import scalar
from etl_assets_tests.helpers.source_servers import MAPPING, newest
from etl_assets_tests.test_sources_sqlite import execute

if TYPE_CHECKING:
    from click.testing import Result

    from etl_assets.pipeline.protocol import Services

ORDERS = "CREATE TABLE orders (id INTEGER, buyer TEXT, total TEXT, ordered_at TEXT)"
EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "examples" / "sources.yaml"


def entry(**fields: Any) -> dict[str, Any]:
    base = {"name": "a", "url_env": "URL", "table": "orders", "key": ["id"], "changes": "reconcile", "mapping": MAPPING}
    return {key: value for key, value in {**base, **fields}.items() if value is not None}


def settings_of(tmp_path: Path, *entries: Any) -> Settings:
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": list(entries)}), encoding="utf-8")
    return Settings(sources=path)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["sources", *arguments])


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SQLite file with two orders, and settings with it as the source `lite` and a broken one."""
    path = tmp_path / "shop.db"
    execute(path, ORDERS, "INSERT INTO orders (id, buyer) VALUES (1, 'a'), (2, 'b')")
    lite = entry(name="lite", url_env="LITE_URL", changes="change_sequence", mapping=MAPPING)
    settings = settings_of(tmp_path, lite, entry(name="broken", url_env="BROKEN_URL"))
    monkeypatch.setenv("ETL_SOURCES", str(settings.sources))
    monkeypatch.setenv("LITE_URL", f"sqlite:///{path}")
    return path


def test_the_example_is_valid() -> None:
    webshop, till = load_sources(Settings(sources=EXAMPLE))
    assert (webshop.name, webshop.changes.kind, webshop.mapping.name) == ("webshop", "xid_column", "webshop")
    assert (till.key, till.mapping.shape) == (("id",), "line_item")


def test_a_mapping_may_be_a_preset_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(yaml.safe_dump({"name": "ours", **MAPPING}), encoding="utf-8")
    settings = settings_of(
        tmp_path, entry(mapping=None, preset="generic"), entry(name="b", mapping=None, mapping_file="ours.yaml")
    )
    assert [source.mapping.name for source in load_sources(settings)] == ["generic", "ours"]
    assert load_sources(Settings(sources=None)) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"table": None}, "source a: name either a table or a query"),
        ({"query": "select 1"}, "source a: name either a table or a query"),
        ({"name": "A b"}, "source A b: name: "),
        ({"password": "x"}, "password: there is no such key"),
        ({"changes": "updated_at"}, "changes: "),
        ({"changes": "xmin", "table": None, "query": "select 1"}, "xmin needs a table"),
        ({"changes": {"kind": "change_table", "tables": {"t": ["a", "b"]}}}, "changes.tables: t needs as many"),
        ({"changes": {"kind": "xmin", "column": "x"}}, "column: there is no such key"),
        ({"key": []}, "key: "),
        ({"key": ["id", "id"]}, "key names a column twice"),
        ({"key": ["a\0b"]}, "control characters"),
        ({"table": "a..b"}, "schema.table"),
        ({"every_seconds": 0}, "every_seconds: "),
        ({"mapping": None}, "name one of mapping, mapping_file, preset"),
        ({"preset": "generic"}, "name one of mapping, mapping_file, preset"),
        ({"mapping": None, "preset": "nonsense"}, "no preset 'nonsense'"),
        ({"mapping": {"columns": {}}}, "mapping: columns must say where order_id comes from"),
    ],
)
def test_what_is_wrong_with_a_source_is_named(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceConfigError) as raised:
        load_sources(settings_of(tmp_path, entry(**fields)))
    assert message in str(raised.value)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"sources: [", "not valid YAML"),
        (b"\xff", "not UTF-8"),
        (b"a: 1", "one key, sources"),
        (b"sources: [x]", "source no. 1: must hold keys"),
        (None, "can't be read"),
    ],
)
def test_what_is_wrong_with_the_file_is_named(tmp_path: Path, text: bytes | None, message: str) -> None:
    path = tmp_path / "sources.yaml"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(SourceConfigError, match=message):
        load_sources(Settings(sources=path))


def test_two_sources_can_not_have_one_name(tmp_path: Path) -> None:
    with pytest.raises(SourceConfigError, match="two sources"):
        load_sources(settings_of(tmp_path, entry(), entry()))


@pytest.mark.slow
def test_the_commands(services: Services, shop: Path) -> None:
    sql = json.loads(call("setup", "lite", "--json").stdout)["sql"]
    assert call("setup", "lite").stdout == sql
    executescript(shop, sql)
    assert json.loads(call("list", "--json").stdout)["sources"][0]["pulled_at"] is None
    assert call("check", "lite").exit_code == 0
    pulled = call("pull", "--json")
    assert pulled.exit_code == 1  # one source is broken, the other one is pulled all the same
    lite, broken = json.loads(pulled.stdout)["sources"]
    assert (lite["status"], lite["landed"], lite["why_full"]) == ("done", 2, "first pull")
    assert (broken["status"], "BROKEN_URL is not set" in broken["error"]) == ("failed", True)
    assert newest(services, "customer_name") == {"1": ("a",), "2": ("b",)}
    assert scalar(services, "SELECT source FROM import_tasks") == "source:lite"
    again = json.loads(call("reconcile", "lite", "--json").stdout)["sources"][0]
    assert (again["landed"], again["missed"], again["import_id"]) == (0, 0, None)
    assert json.loads(call("list", "--json").stdout)["sources"][0]["pulled_at"] is not None
    assert "lite" in call("list").stdout


def executescript(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(script)


def test_check_finds_keys_that_are_not_unique(services: Services, shop: Path) -> None:
    executescript(shop, json.loads(call("setup", "lite", "--json").stdout)["sql"])
    execute(shop, "INSERT INTO orders (id, buyer) VALUES (1, 'again'), (NULL, 'none')")
    result = call("check", "lite", "--json")
    assert result.exit_code == 1
    assert "2 keys (id) are NULL or not unique" in json.loads(result.stdout)["sources"][0]["problem"]


@pytest.mark.slow
@pytest.mark.parametrize("reads", [{}, {"table": None, "query": "SELECT * FROM orders", "changes": "reconcile"}])
def test_a_mapped_column_that_is_missing_fails_check_and_pull_and_names_the_nearest(
    services: Services, shop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reads: dict[str, Any]
) -> None:
    """Its customers would otherwise be read as missing, and taken away."""
    misspelt = {**MAPPING, "columns": {**MAPPING["columns"], "customer_name": "buyr"}}
    described = entry(name="lite", url_env="LITE_URL", mapping=misspelt, **reads)
    monkeypatch.setenv("ETL_SOURCES", str(settings_of(tmp_path, described).sources))
    checked, pulled = call("check", "--json"), call("pull", "--json")
    problem = json.loads(checked.stdout)["sources"][0]["problem"]
    assert "There is no column 'buyr' for customer_name; did you mean 'buyer'?" in problem
    assert json.loads(pulled.stdout)["sources"][0]["error"] == problem
    assert (checked.exit_code, pulled.exit_code) == (1, 1)
    assert scalar(services, "SELECT count(*) FROM raw_orders") == 0
    assert scalar(services, "SELECT position IS NULL AND pulled_at IS NULL FROM source_progress")


@pytest.mark.slow
def test_a_column_that_disappears_between_two_pulls_stops_the_second(
    services: Services, shop: Path, tmp_path: Path
) -> None:
    (lite,) = load_sources(settings_of(tmp_path, entry(name="lite", url_env="LITE_URL")))
    pull(services.database, lite)
    before = scalar(services, "SELECT position FROM source_progress")
    execute(shop, "ALTER TABLE orders RENAME COLUMN buyer TO customer", "UPDATE orders SET total = '5'")
    with pytest.raises(SourceError, match="There is no column 'buyer' for customer_name"):
        pull(services.database, lite)
    assert newest(services, "customer_name") == {"1": ("a",), "2": ("b",)}
    assert scalar(services, "SELECT position FROM source_progress") == before


@pytest.mark.slow
def test_a_column_that_a_source_gains_is_a_finding_of_the_pull(services: Services, shop: Path) -> None:
    executescript(shop, json.loads(call("setup", "lite", "--json").stdout)["sql"])
    assert "findings" not in json.loads(call("pull", "lite", "--json").stdout)["sources"][0]
    execute(shop, "ALTER TABLE orders ADD COLUMN tax TEXT", "UPDATE orders SET total = '5'")
    pulled = call("pull", "lite", "--json")
    (finding,) = json.loads(pulled.stdout)["sources"][0]["findings"]
    assert (finding["code"], finding["subject"]) == ("NEW_HEADERS", "'tax'")
    assert f"lite: {finding['message']}" in pulled.stderr


@pytest.mark.slow
def test_of_alternative_columns_one_is_enough(services: Services, shop: Path, tmp_path: Path) -> None:
    columns = {**MAPPING["columns"], "customer_name": ["login", "buyer"]}
    (lite,) = load_sources(settings_of(tmp_path, entry(name="lite", url_env="LITE_URL", mapping={"columns": columns})))
    assert pull(services.database, lite.model_copy(update={"name": "b"})).landed == 2


@pytest.mark.parametrize("arguments", [["pull", "nonsense"], ["check", "nonsense"], ["setup", "nonsense"]])
def test_a_name_that_is_not_in_the_file_is_wrong_use(shop: Path, arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert "lite, broken" in result.stderr


def test_without_a_file_the_commands_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ETL_SOURCES", raising=False)
    result = call("list", "--json")
    assert result.exit_code == 2
    assert "ETL_SOURCES" in json.loads(result.stdout)["error"]


@pytest.mark.slow
def test_sources_are_due_by_their_own_times(services: Services, shop: Path, tmp_path: Path) -> None:
    fields = {"url_env": "LITE_URL", "every_seconds": 60, "reconcile_seconds": 3600}
    lite, other = load_sources(settings_of(tmp_path, entry(name="lite", **fields), entry(name="other")))
    database, now = services.database, datetime.now(UTC)
    assert due_sources(database, [lite, other], now) == ["lite", "other"]
    pull(database, lite)
    assert due_sources(database, [lite, other], now) == ["other"]
    assert due_sources(database, [lite], now + timedelta(seconds=90)) == ["lite"]
    assert due_reconciles(database, [lite], now + timedelta(seconds=90)) == []
    assert due_reconciles(database, [lite], now + timedelta(seconds=3700)) == ["lite"]
    assert due_reconciles(database, [lite.model_copy(update={"reconcile_seconds": None})], now) == []
    assert reconcile(database, lite).why_full == "asked for"


def test_a_process_that_dies_is_an_error() -> None:
    with Child("a", "driver") as child:
        child._process._process.kill()
        with pytest.raises(SourceReadError, match="ended"):
            child.call({"url": "sqlite://", "statements": [], "seconds": 1}, 5)


def test_a_failure_tells_its_kind_and_no_text() -> None:
    request = {"url": "sqlite://", "statements": ["select * from secret_name"], "seconds": 1}
    with Child("a", "driver") as child:
        with pytest.raises(SourceReadError) as raised:
            child.call(request, 60)
        assert "secret_name" not in str(raised.value)
        assert child.call({**request, "statements": ["select 1"]}, 60)["results"][0]["rows"] == [[1]]
