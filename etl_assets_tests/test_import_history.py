"""`etl-assets imports`: what came in, and what became of the rows of one import."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.orchestration.metadata import findings_table
from etl_assets.presets.catalog import get_preset
from etl_assets.quarantine.dismiss import dismiss
from etl_assets.raw_orders.importing import Overrides, import_file
from etl_assets.reverts.imports import restore_imports, revert_imports
from etl_assets_tests.helpers.pipeline import query, run_all

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID

    from click.testing import Result

    from etl_assets.pipeline.protocol import Services

HEADER = "shop,order_id,customer_name,amount,updated_at,items\n"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["imports", *arguments])


def shown(import_id: object) -> dict[str, Any]:
    result = call("show", str(import_id), "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def land(services: Services, path: Path, *rows: str) -> UUID:
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return import_file(services.database, path, get_preset("generic"), overrides=Overrides(platform="p")).import_id


def fates(import_id: object) -> dict[str, int]:
    return {fate: count for fate, count in shown(import_id)["rows"].items() if count}


def test_what_became_of_the_rows_is_told_by_the_import(services: Services, tmp_path: Path) -> None:
    older = land(
        services,
        tmp_path / "a.csv",
        "s,1,kim,5,2026-01-01,Mug",
        "s,2,kim,5,2026-01-01,Mug",
        "s,3,kim,five,2026-01-01,Mug",
        "s,4,kim,six,2026-01-01,Mug",
        "s,5,kim,5,2026-01-01,[broken",
    )
    assert fates(older) == {"pending": 5}
    run_all(services)
    newer = land(services, tmp_path / "b.csv", "s,1,kim,6,2026-01-02,Mug", "s,2,kim,5,2025-12-31,Mug")
    run_all(services)
    (bad,) = query(services, "SELECT quarantine_id FROM quarantine WHERE order_id = '4'")
    dismiss(services.database, [bad["quarantine_id"]], "a test")
    assert fates(older) == {"current": 2, "superseded_or_unchanged": 1, "quarantined": 1, "dismissed": 1}
    assert fates(newer) == {"current": 1, "superseded_or_unchanged": 1}
    found = shown(str(older)[:8])
    assert found["quarantine"] == [
        {"asset": "order_items", "reason_code": "BAD_ITEMS", "open": 1, "resolved": 0},
        {"asset": "orders", "reason_code": "BAD_AMOUNT", "open": 1, "resolved": 1},
    ]
    assert [(batch["input_rows"], batch["inserted"], batch["imports"]) for batch in found["batches"]] == [(5, 3, 1)]
    again = land(services, tmp_path / "c.csv", "s,1,kim,6,2026-01-02,Mug")
    run_all(services)
    assert fates(again) == {"superseded_or_unchanged": 1}


def test_a_reverted_import_and_those_that_its_orders_fell_to_tell_what_became_of_their_rows(
    services: Services, tmp_path: Path
) -> None:
    older = land(services, tmp_path / "a.csv", "s,1,kim,5,2026-01-01,Mug", "s,2,kim,5,2026-01-01,Mug")
    newer = land(services, tmp_path / "b.csv", "s,1,kim,6,2026-01-02,Mug", "s,3,kim,five,2026-01-02,Mug")
    run_all(services)
    before = {"older": fates(older), "newer": fates(newer)}
    assert before["newer"] == {"current": 1, "quarantined": 1}
    revert_imports(services.database, [newer])
    assert fates(newer) == {"pending": 2}
    run_all(services)
    assert fates(newer) == {"reverted": 2}
    assert fates(older) == {"current": 2}
    listed = {one["import_id"]: one for one in json.loads(call("list", "--json").stdout)["imports"]}
    assert (listed[str(newer)]["status"], listed[str(newer)]["quarantined"]) == ("reverted", 0)
    (table,) = findings_table(services.database).values()
    assert {record.data["import_id"] for record in table.records} == {str(older)}
    restore_imports(services.database, [newer])
    run_all(services)
    assert {"older": fates(older), "newer": fates(newer)} == before


def test_an_import_is_shown_with_its_headers_mapping_and_findings(services: Services, tmp_path: Path) -> None:
    import_id = land(services, tmp_path / "a.csv", "s,1,kim,5,2026-01-01,Mug")
    found = shown(import_id)
    assert found["headers"] == HEADER.strip().split(",")
    assert found["mapping"]["columns"]["amount"]["columns"] == ["amount"]
    assert [finding["code"] for finding in found["findings"]] == ["MISSING_HEADERS"]
    text = call("show", str(import_id).upper()).stdout
    for part in (f"Headers: {', '.join(found['headers'])}", "MISSING_HEADERS", "lacks the headers", "constant 'p'"):
        assert part in text


def test_the_list_counts_findings_and_open_rows(services: Services, tmp_path: Path) -> None:
    land(services, tmp_path / "a.csv", "s,1,kim,five,2026-01-01,Mug")
    run_all(services)
    import_file(services.database, tmp_path / "none.csv", None)
    newest, oldest = json.loads(call("list", "--json").stdout)["imports"]
    assert (newest["status"], newest["rows"], newest["findings"]) == ("failed", None, 0)
    assert (oldest["rows"], oldest["lines"], oldest["findings"], oldest["quarantined"]) == (1, 1, 1, 1)
    assert len(json.loads(call("list", "--limit", "1", "--json").stdout)["imports"]) == 1
    assert "a.csv" in call("list").stdout
    failed = call("show", newest["import_id"])
    assert (failed.exit_code, "there is no such file" in failed.stderr) == (0, True)


def test_the_metadata_of_raw_orders_shows_the_findings_of_the_last_imports(services: Services, tmp_path: Path) -> None:
    assert findings_table(services.database) == {}
    import_id = land(services, tmp_path / "a.csv", "s,1,kim,5,2026-01-01,Mug")
    (table,) = findings_table(services.database).values()
    (record,) = table.records
    assert (record.data["import_id"], record.data["code"]) == (str(import_id), "MISSING_HEADERS")


@pytest.mark.parametrize(("typed", "message"), [("xyz", "is no id of an import"), ("00000000", "No import has the id")])
def test_an_id_that_names_no_import_is_wrong_use(services: Services, typed: str, message: str) -> None:
    result = call("show", typed)
    assert (result.exit_code, message in result.stderr) == (2, True)
