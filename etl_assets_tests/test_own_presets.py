"""The user's own presets: added once, they are used by detection, `--preset`, the inbox and sources."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.inbox.ingest import ingest_inbox
from etl_assets.presets.catalog import list_presets, load_mapping
from etl_assets.settings import Settings
from etl_assets.sources.config import load_sources
from etl_assets.sources.errors import SourceConfigError
from etl_assets_tests.helpers.pipeline import query

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from etl_assets.pipeline.protocol import Services

OF_PACKAGE: Final = [preset.name for preset in list_presets()]
MAPPING: Final = """\
# our own system
name: ours
columns: {shop: {constant: Maple}, order_id: Nr, customer_name: Who, amount: Sum}
detect_headers: [[Nr, Who, Sum], [Nr, Who, Total]]
"""
ORDERS: Final = "nr,WHO,Sum\n1,Ada,2.50\n"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one test's own for presets."""
    monkeypatch.setenv("ETL_PRESETS", str(tmp_path / "presets"))
    return tmp_path / "presets"


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    return written(tmp_path / "my.yaml", MAPPING)


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    return written(tmp_path / "orders.csv", ORDERS)


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def answer(result: Result) -> Any:
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_an_added_preset_is_listed_shown_and_detected(mapping: Path, orders: Path, home: Path) -> None:
    assert call("presets", "detect", orders).exit_code == 1
    added = answer(call("presets", "add", mapping, "--json"))
    assert added == {"preset": "ours", "file": str(home / "ours.yaml"), "replaces": None}
    assert (home / "ours.yaml").read_text(encoding="utf-8") == MAPPING
    listed = {one["name"]: one["file"] for one in answer(call("presets", "list", "--json"))["presets"]}
    assert listed == {"ours": str(home / "ours.yaml")} | dict.fromkeys(OF_PACKAGE)
    assert call("presets", "show", "ours").exit_code == 0
    assert answer(call("presets", "detect", orders, "--json"))["preset"] == "ours"


def test_imports_and_the_inbox_use_an_added_preset(
    services: Services, mapping: Path, orders: Path, tmp_path: Path
) -> None:
    assert call("presets", "add", mapping).exit_code == 0
    assert answer(call("import", orders, "--json"))["imports"][0]["preset"] == "ours"
    assert answer(call("import", orders, "--preset", "ours", "--json"))["imports"][0]["preset"] == "ours"
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    shutil.copy(orders, inbox)
    (result,) = ingest_inbox(services.database, inbox, settle_seconds=0).imports
    assert result.preset == "ours"
    rows = query(services, "SELECT DISTINCT platform, shop, order_id, customer_name, amount FROM raw_orders")
    assert [tuple(row.values()) for row in rows] == [("ours", "Maple", "1", "Ada", "2.50")]


def test_sources_use_an_added_preset(mapping: Path, tmp_path: Path) -> None:
    entry = {"name": "a", "url_env": "URL", "table": "t", "key": ["Nr"], "changes": "reconcile", "preset": "ours"}
    settings = Settings(sources=written(tmp_path / "sources.yaml", yaml.safe_dump({"sources": [entry]})))
    with pytest.raises(SourceConfigError, match="There is no preset 'ours'"):
        load_sources(settings)
    assert call("presets", "add", mapping).exit_code == 0
    assert load_sources(settings)[0].mapping == load_mapping(mapping)


def test_a_name_that_is_taken_needs_replace(mapping: Path, home: Path, tmp_path: Path) -> None:
    assert call("presets", "add", mapping).exit_code == 0
    again = written(tmp_path / "again.yaml", MAPPING.replace("Maple", "Oak"))
    refused = call("presets", "add", again)
    assert refused.exit_code == 2
    assert "'ours' (your own)" in refused.stderr
    assert "Maple" in (home / "ours.yaml").read_text(encoding="utf-8")
    assert answer(call("presets", "add", again, "--replace", "--json"))["replaces"] == "own"
    assert "Oak" in (home / "ours.yaml").read_text(encoding="utf-8")
    shopify = written(tmp_path / "shopify.yaml", MAPPING.replace("ours", "shopify"))
    assert "'shopify' (the package's)" in call("presets", "add", shopify).stderr
    assert answer(call("presets", "add", shopify, "--replace", "--json"))["replaces"] == "package"
    listed = {one["name"]: one["replaces_package"] for one in answer(call("presets", "list", "--json"))["presets"]}
    assert listed == dict.fromkeys(("ours", *OF_PACKAGE), False) | {"shopify": True}


def test_a_mapping_that_can_not_be_used_is_not_added(home: Path, tmp_path: Path) -> None:
    for text, problem in (("name: x\n", "columns"), ("name: x\ncolumns: {order_id: DECIDE}\n", "still to be decided")):
        result = call("presets", "add", written(tmp_path / "bad.yaml", text))
        assert result.exit_code == 2
        assert problem in result.stderr
    assert not home.exists()


def test_a_preset_without_detect_headers_is_added_with_a_note(tmp_path: Path) -> None:
    result = call("presets", "add", written(tmp_path / "x.yaml", "name: x\ncolumns: {order_id: Nr}\n"))
    assert result.exit_code == 0
    assert "name it with --preset" in result.stderr


def test_a_broken_own_preset_fails_what_needs_it_by_name_and_leaves_the_inbox_file(
    services: Services, orders: Path, home: Path, tmp_path: Path
) -> None:
    home.mkdir()
    written(home / "broken.yaml", "name: [")
    checks = json.loads(call("doctor", "--json").stdout)["checks"]
    assert [check["name"] for check in checks if not check["ok"]] == ["own presets"]
    for arguments in (["presets", "list"], ["presets", "detect", orders], ["import", orders]):
        result = call(*arguments)
        assert result.exit_code != 0
        assert "broken.yaml" in result.stderr
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    shutil.copy(orders, inbox)
    outcome = ingest_inbox(services.database, inbox, settle_seconds=0)
    assert "broken.yaml" in outcome.problems[inbox / "orders.csv"]
    assert (inbox / "orders.csv").exists()
    assert call("import", orders, "--mapping", written(tmp_path / "m.yaml", MAPPING)).exit_code == 0


def test_a_file_that_fits_no_preset_is_told_the_nearest(mapping: Path, tmp_path: Path) -> None:
    assert call("presets", "add", mapping).exit_code == 0
    path = written(tmp_path / "o.csv", "Nr,Who,Summe\n1,Ada,2.50\n")
    result = call("presets", "detect", path, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["nearest"] == [
        {"preset": "ours", "lacks": ["Sum"], "did_you_mean": {"Sum": "Summe"}}
    ]
    plain = call("presets", "detect", path)
    assert plain.exit_code == 1
    assert "nearest is ours, for which it lacks 'Sum' (did you mean 'Summe'?)" in plain.stderr
