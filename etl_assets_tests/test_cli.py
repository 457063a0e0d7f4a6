"""Commands: JSON output, exit codes, refusals and their messages."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
import typer
import yaml
from click import Context
from typer.testing import CliRunner

from etl_assets.cli import doctor
from etl_assets.cli.main import COMMANDS, app
from etl_assets.health import disk
from etl_assets.presets.catalog import get_preset, list_presets
from etl_assets.presets.model import Preset
from etl_assets.values.text import normalize_case_str

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from etl_assets.pipeline.protocol import Services
    from etl_assets.settings import Settings

ORDERS = "platform,shop,order_id,amount\netsy,Maple,A1,5.00\netsy,Maple,A2,6.00\n"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def answer(result: Result) -> Any:
    return json.loads(result.stdout)


@pytest.fixture
def orders_file(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS, encoding="utf-8")
    return path


def count(services: Services, query: str) -> int:
    with services.database.transaction() as connection:
        return int(connection.execute(sa.text(query)).scalar_one())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = call(name, "--help")
    assert result.exit_code == 0
    assert name in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_of_each_what_its_own_help_begins_with(name: str) -> None:
    group = typer.main.get_command(app)
    command = group.get_command(Context(group), name)  # type: ignore[attr-defined]  # a group
    assert command.help.partition("\n\n")[0].replace("\n", " ") == COMMANDS[name][1]


def test_the_list_of_commands_imports_none_of_them() -> None:
    code = "from etl_assets.cli.main import app; import sys; sys.argv[1:] = ['--help']; app(standalone_mode=False)"
    code += "; sys.exit(any(name in sys.modules for name in ('polars', 'sqlalchemy', 'dagster')))"
    assert subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.slow
def test_no_command_waits_for_dagster() -> None:
    modules = ", ".join(f"etl_assets.cli.{module}" for module, _ in COMMANDS.values())
    code = f"import {modules}, sys; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["import"],
        ["import", "x.csv", "--preset", "taobao", "--mapping", "m.yaml"],
        ["import", "x.csv", "--preset", "nonsense"],
        ["import", "x.csv", "--mapping", "missing.yaml"],
        ["import", "x.csv", "--timezone", "Mars/Olympus"],
        ["import", "x.csv", "--shop", " "],
        ["run", "--only", "nonsense"],
        ["run", "--only", "raw_orders"],
        ["quarantine", "list", "--asset", "nonsense"],
        ["quarantine", "list", "--limit", "0"],
        ["quarantine", "export", "rows.pdf"],
        ["quarantine", "replay", "--id", "1", "--file", "rows.csv"],
        ["presets", "show", "nonsense"],
        ["order-types", "set", "样品", "NONSENSE"],
        ["order-types", "set", " ", "SAMPLE"],
        ["generate", "folder", "--orders", "9"],
    ],
)
def test_wrong_use_ends_with_2_and_without_a_traceback(settings: Settings, arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_wrong_use_is_an_error_object_with_json(settings: Settings) -> None:
    result = call("run", "--only", "nonsense", "--json")
    assert result.exit_code == 2
    assert "'nonsense'" in answer(result)["error"]


@pytest.mark.parametrize(("variable", "value"), [("ETL_BATCH_SIZE", "abc"), ("ETL_SCHEMA", "no schema")])
def test_a_setting_that_cannot_be_used_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    result = call("status")
    assert result.exit_code == 2
    assert variable in result.stderr
    assert value not in result.stderr
    assert call("doctor").exit_code == 1


def test_a_database_that_cannot_be_reached_is_an_error_without_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ETL_DATABASE_URL", "postgresql://someone:secret@127.0.0.1:9/nothing")
    path = tmp_path / "x.csv"
    path.write_text("shop,order_id\n", encoding="utf-8")
    for arguments in (["status"], ["import", path], ["db", "upgrade"], ["doctor"]):
        result = call(*arguments)
        assert result.exit_code == 1
        assert "secret" not in result.output
    result = call("db", "url", "--json")
    assert "secret" not in result.stdout
    assert "secret" in call("db", "url", "--show-password").stdout
    assert answer(call("db", "stop", "--json"))["stopped"] is False


def test_import_detects_the_preset_and_reports_lines_and_rows(orders_file: Path, services: Services) -> None:
    result = call("import", orders_file, "--json")
    assert result.exit_code == 0
    (entry,) = answer(result)["imports"]
    assert entry.pop("import_id")
    assert entry == {
        "source": str(orders_file), "preset": "generic", "lines": 2, "rows": 2, "status": "completed",
    }  # fmt: skip


def test_options_of_import_override_the_file(orders_file: Path, services: Services) -> None:
    call("import", orders_file, "--platform", "amazon", "--shop", "Other", "--timezone", "Asia/Tokyo")
    query = "SELECT count(*) FROM raw_orders WHERE platform = 'amazon' AND shop = 'Other'"
    assert count(services, query) == 2
    assert count(services, "SELECT count(*) FROM import_tasks WHERE mapping ->> 'timezone' = 'Asia/Tokyo'") == 1


def test_import_continues_after_files_that_fail_and_lands_no_row_of_them(
    orders_file: Path, tmp_path: Path, services: Services
) -> None:
    unknown = tmp_path / "unknown.csv"
    unknown.write_text("colour,size\nred,L\n", encoding="utf-8")
    broken = tmp_path / "broken.csv"
    broken.write_text(ORDERS + 'etsy,Maple,"A3\n', encoding="utf-8")
    result = call("import", unknown, broken, orders_file, "--json")
    assert result.exit_code == 1
    entries = answer(result)["imports"]
    assert [entry["status"] for entry in entries] == ["failed"] * 2 + ["completed"]
    assert all(str(path) in entry["error"] for path, entry in zip([unknown, broken], entries, strict=False))
    assert "--mapping" in entries[0]["error"]
    assert "generic, jd, " in entries[0]["error"]
    assert count(services, "SELECT count(*) FROM raw_orders") == 2
    assert count(services, "SELECT count(*) FROM import_tasks WHERE status = 'failed'") == 2


def test_import_gives_up_imports_whose_process_is_gone(orders_file: Path, services: Services) -> None:
    with services.database.transaction() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO import_tasks (import_id, source, status, created_at)"
                " VALUES (gen_random_uuid(), 'killed.csv', 'pending', now() - interval '1 hour')"
            )
        )
    assert call("import", orders_file).exit_code == 0
    assert count(services, "SELECT count(*) FROM import_tasks WHERE source = 'killed.csv' AND status = 'failed'") == 1


def test_file_names_are_neither_markup_nor_commands_to_the_terminal(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "[bold]\x1b[31m.csv"
    path.write_text("colour\nred\n", encoding="utf-8")
    result = call("import", path)
    assert "[bold]" in result.stdout
    assert "\x1b" not in result.output


def test_status_shows_pending_rows(orders_file: Path, settings: Settings) -> None:
    call("import", orders_file)
    status = answer(call("status", "--json"))
    assert status["pending"]["shop"] == {"ranges": 1, "rows": 2}
    assert status["pending"]["leads"] == {"ranges": 0, "rows": 0}
    assert status["tables"]["raw_orders"] == 2
    assert [entry["status"] for entry in status["imports"]] == ["completed"]
    assert [entry["asset"] for entry in status["batches"]] == ["raw_orders"]
    assert call("status").exit_code == 0


def test_presets_show_prints_a_mapping_file(tmp_path: Path) -> None:
    for name in ("generic", "shopify", "taobao"):
        text = call("presets", "show", name).stdout
        assert Preset.model_validate(yaml.safe_load(text)) == get_preset(name)
        assert Preset.model_validate(answer(call("presets", "show", name, "--json"))) == get_preset(name)
    listed = [one["name"] for one in answer(call("presets", "list", "--json"))["presets"]]
    assert listed == [preset.name for preset in list_presets()]


def test_presets_detect_names_the_preset_or_fails(orders_file: Path, tmp_path: Path) -> None:
    assert answer(call("presets", "detect", orders_file, "--json"))["preset"] == "generic"
    (tmp_path / "other.csv").write_text("colour\nred\n", encoding="utf-8")
    assert call("presets", "detect", tmp_path / "other.csv").exit_code == 1
    assert call("presets", "detect", tmp_path / "missing.csv").exit_code == 1


def test_order_types_are_stored_as_they_are_compared_each_once(services: Services) -> None:
    with services.database.transaction() as connection:
        connection.execute(sa.text("INSERT INTO order_type_mappings VALUES (' Sample', 'BULK')"))
    assert call("order-types", "set", "ＳＡＭＰＬＥ ", "sample").exit_code == 0
    assert call("order-types", "set", "打样", "PROOF").exit_code == 0
    expected = {"sample": "SAMPLE", "打样": "PROOF"}
    assert answer(call("order-types", "list", "--json"))["order_types"] == expected
    looked_up = services.vectorized_queries.batch_lookup_order_type_mappings(["Sample", " 打样"])
    assert looked_up["system_order_type"].to_list() == ["SAMPLE", "PROOF"]


def test_a_blank_order_type_matches_nothing() -> None:
    assert normalize_case_str(" \u3000") is None
    assert normalize_case_str("Ｂｕｌｋ") == "bulk"


def test_db_upgrade_makes_the_schema_that_other_commands_ask_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ETL_SCHEMA", "another")
    refused = call("status")
    assert refused.exit_code == 1
    assert "etl-assets db upgrade" in refused.stderr
    assert any(not check["ok"] for check in answer(call("doctor", "--json"))["checks"])
    made = answer(call("db", "upgrade", "--json"))
    assert (made["schema"], made["before"]) == ("another", None)
    assert answer(call("db", "upgrade", "--json"))["before"] == made["after"]
    assert call("status").exit_code == 0


def test_doctor_finds_nothing_wrong_with_a_migrated_database(settings: Settings) -> None:
    result = call("doctor", "--json")
    assert result.exit_code == 0
    assert answer(result)["ok"] is True
    assert "PROBLEM" not in call("doctor").stdout


def test_doctor_reports_an_unwritable_home_a_full_disk_and_mismatched_packages(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "file" / "below"))
    monkeypatch.setattr(disk, "LEAST_FREE_BYTES", 1 << 62)
    monkeypatch.setattr(doctor, "version", lambda package: package)
    result = call("doctor", "--json")
    assert result.exit_code == 1
    problems = {check["name"] for check in answer(result)["checks"] if not check["ok"]}
    assert problems == {"Dagster instance", "free disk", "Dagster versions"}
    assert all(check["remedy"] for check in answer(result)["checks"] if not check["ok"])


def test_generate_writes_the_same_files_for_the_same_seed(tmp_path: Path) -> None:
    first = answer(call("generate", tmp_path / "a", "--orders", 20, "--json"))["files"]
    call("generate", tmp_path / "b", "--orders", 20)
    assert len(first) == 8
    for entry in first:
        name = entry["path"].rsplit("/", 1)[1]
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


DEMO_PLATFORMS = {"1688", "ebay", "etsy", "shopify", "taobao"}


@pytest.mark.slow
def test_demo_runs_the_whole_pipeline_and_changes_no_order_the_second_time(services: Services) -> None:
    first, second = (_demo() for _ in range(2))
    assert first["run"]["status"] in {"success", "partial_success"}
    assert first["status"]["pending"].keys() == first["run"]["assets"].keys()
    assert not any(entry["rows"] for entry in second["status"]["pending"].values())
    tables = ("orders", "order_items", "process_items", "customers", "business_leads")
    assert all(first["status"]["tables"][table] for table in tables)
    assert {table: first["status"]["tables"][table] for table in tables} == {
        table: second["status"]["tables"][table] for table in tables
    }
    assert {one["platform"] for one in first["platforms"] if one["leads"]} >= DEMO_PLATFORMS
    assert second["platforms"] == first["platforms"]
    counts = second["run"]["assets"]["orders"]
    assert (counts["inserted"], counts["updated"]) == (0, 0)


def _demo() -> Any:
    result = CliRunner().invoke(app, ["demo", "--orders", "60", "--json"])
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)
