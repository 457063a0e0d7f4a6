"""Previews of imports: they write nothing, and what they count is what the import and the run then do."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.presets.model import Preset
from etl_assets.preview.preview import preview_imports
from etl_assets.preview.reading import Candidate
from etl_assets.preview.store import store_in
from etl_assets.raw_orders.extract import ReadCounts
from etl_assets.reverts.imports import restore_imports, revert_imports
from etl_assets_tests.helpers import strategies
from etl_assets_tests.helpers.effort import HISTORIES
from etl_assets_tests.helpers.pipeline import (
    PRESET,
    as_frame,
    as_lines,
    land,
    lines_preset,
    query,
    raw_fields,
    run_all,
    scalar,
    start_afresh,
    with_batch_size,
)
from etl_assets_tests.helpers.strategies import RawFields

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from click.testing import Result

    from etl_assets.pipeline.protocol import Services
    from etl_assets.preview.preview import Preview
    from etl_assets.settings import Settings

EXAMPLES: Final = int(os.environ.get("PREVIEW_HISTORIES", str(HISTORIES)))
HISTORY: Final = {
    "batch_id",
    "created_at",
    "updated_at",
    "opened_at",
    "reopened_at",
    "raw_id",
    "order_no",
    "latest_raw_id",
}


Import = tuple[list[RawFields], Preset]
"""Rows of an import, and the mapping that they are read with."""


def preview_of(services: Services, imports: Sequence[Import], in_memory: int) -> Preview:
    candidates = [Candidate("test", preset, ReadCounts(), [as_frame(rows)] if rows else []) for rows, preset in imports]
    with services.database.snapshot() as connection:
        chosen = services.settings.model_copy(update={"batch_size": in_memory})
        return preview_imports(store_in(services.database, connection), candidates, chosen)


def table(services: Services, name: str, *key: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of a table by key, without the columns that record history."""
    rows = query(services, f"SELECT * FROM {name}")  # noqa: S608  # of the tests
    return {
        tuple(row[column] for column in key): {name: value for name, value in row.items() if name not in HISTORY}
        for row in rows
    }


def differences(before: dict[Any, Any], after: dict[Any, Any]) -> dict[str, int]:
    both = before.keys() & after.keys()
    return {
        "new": len(after.keys() - before.keys()),
        "changed": sum(before[key] != after[key] for key in both),
        "gone": len(before.keys() - after.keys()),
    }


def make_history(data: st.DataObject, services: Services, imports: Sequence[Import]) -> None:
    """Land imports, with reverts, runs, stages that users set and leads that they delete in between; run all."""
    landed = []
    for rows, preset in imports:
        landed.append(land(services, rows, preset))
        for step in data.draw(
            st.lists(st.sampled_from(("run", "run", "stage", "stage", "delete", "revert", "restore")), max_size=3)
        ):
            match step:
                case "run":
                    run_all(services)
                case "stage":
                    stage = data.draw(st.sampled_from(("COLD", "WON", "LOST")))
                    change_a_lead(data, services, f"UPDATE business_leads SET current_stage = '{stage}'")  # noqa: S608
                case "delete":
                    change_a_lead(data, services, "DELETE FROM business_leads")
                case "revert":
                    revert_imports(services.database, [data.draw(st.sampled_from(landed))])
                case _:
                    restore_imports(services.database, [data.draw(st.sampled_from(landed))])
    run_all(services)


def change_a_lead(data: st.DataObject, services: Services, statement: str) -> None:
    leads = query(services, "SELECT lead_id FROM business_leads WHERE current_stage = 'OPEN' ORDER BY 1")
    if leads:
        query(services, f"{statement} WHERE lead_id = :lead", lead=data.draw(st.sampled_from(leads))["lead_id"])


@st.composite
def histories(draw: st.DrawFn) -> list[list[RawFields]]:
    """Draw the rows of some imports: hostile ones, or good ones of few orders, which move and are cancelled often."""
    if draw(st.sampled_from((False, False, True))):
        return draw(strategies.split_into_imports(draw(strategies.raw_field_lists(max_size=30))))
    row = st.builds(
        raw_fields,
        st.sampled_from(("1", "2", "3", "4")),
        customer_name=st.sampled_from(("Ann", "Bob", "Cy", None)),
        order_status=st.sampled_from(("paid", "paid", "cancelled")),
        amount=st.sampled_from(("5", "6", None)),
        currency=st.sampled_from(("EUR", "EUR", "USD")),
        ordered_at=st.sampled_from(("2026-05-01", "2026-05-02", None)),
        updated_at=st.sampled_from((None, None, None, "2026-06-01")),
        items=st.sampled_from(("Mug*2", "Mug*2;Cap", "[")),
    )
    return draw(st.lists(st.lists(row, min_size=3, max_size=6), min_size=3, max_size=4))


@pytest.mark.slow
@pytest.mark.sampled
@pytest.mark.timeout(300 + 10 * EXAMPLES)
@given(data=st.data(), preset=strategies.presets())
@settings(max_examples=EXAMPLES)
def test_a_preview_counts_what_import_and_run_then_do(services: Services, data: st.DataObject, preset: Preset) -> None:
    files = data.draw(histories())
    are_lines = [data.draw(st.sampled_from((False, False, False, True))) for _ in files]
    imports: list[Import] = [
        (as_lines(rows), lines_preset(preset)) if is_lines else (rows, preset)
        for rows, is_lines in zip(files, are_lines, strict=True)
    ]
    new = data.draw(st.integers(1, 2))
    start_afresh(with_batch_size(services, 1000))
    make_history(data, services, imports[:-new])
    in_memory = data.draw(st.sampled_from((1, 4, 1000)))
    names = {"shop_configs": ("shop_id",), "customers": ("customer_global_id",), "business_leads": ("lead_id",)}
    before = {name: table(services, name, *key) for name, key in names.items()}
    last_batch, last_entry = (
        scalar(services, f"SELECT coalesce(max({column}), 0) FROM {name}")  # noqa: S608  # of the tests
        for name, column in (("etl_batches", "batch_id"), ("quarantine", "quarantine_id"))
    )

    preview = preview_of(services, imports[-new:], in_memory)
    for rows, mapping in imports[-new:]:
        land(services, rows, mapping)
    results = run_all(services)

    found, orders = preview.database, results["orders"].counts
    by_order, by_line = found["orders"], found["lines"]
    assert (by_order["new"], by_order["changed"] + by_line["changed"]) == (orders.inserted, orders.updated)
    assert by_order["unchanged"] + by_line["unchanged"] + by_line["waiting"] == orders.unchanged
    assert by_order["older"] + by_line["older"] + found["rows"]["overtaken"] == orders.superseded
    assert found["rows"]["quarantined"] == orders.quarantined
    after = {name: differences(before[name], table(services, name, *key)) for name, key in names.items()}
    assert len(found["shops"]["new"]) == after["shop_configs"]["new"]
    assert found["customers"] == after["customers"]
    leads = found["leads"]
    assert {"new": leads["opened"], "changed": leads["changed"], "gone": leads["withdrawn"]} == after["business_leads"]
    entries = query(
        services,
        "SELECT asset, reason_code, count(*) AS rows FROM quarantine WHERE quarantine_id > :last GROUP BY 1, 2",
        last=last_entry,
    )
    shown: dict[tuple[str, str], int] = {}
    for file in preview.files:
        for reason in file["quarantine"]:
            key = (reason["asset"], reason["reason_code"])
            shown[key] = shown.get(key, 0) + reason["rows"]
    quarantined = {(row["asset"], row["reason_code"]): row["rows"] for row in entries}
    if any(are_lines):  # what can't be read of lines from another file is not counted
        shown, quarantined = (
            {key: count for key, count in counts.items() if key[0] == "orders"} for counts in (shown, quarantined)
        )
    assert shown == quarantined
    assert last_batch < scalar(services, "SELECT max(batch_id) FROM etl_batches")


@pytest.mark.parametrize(
    "taken",
    [
        pytest.param({"customer_name": None}, id="customers"),
        pytest.param({"amount": None, "items": "Mug*2"}, id="amounts and lines"),
        pytest.param({"items": "[{", "processes": None}, id="lines that can't be read"),
        pytest.param({"order_status": "cancelled"}, id="leads of cancelled orders"),
        pytest.param({"order_status": "shipped"}, id="nothing"),
    ],
)
def test_a_preview_tells_what_the_brake_would_hold(services: Services, taken: dict[str, str | None]) -> None:
    def orders(count: int, **fields: str | None) -> list[RawFields]:
        usual = {"amount": "5", "ordered_at": "2026-05-13", "items": "Mug*2;Cap*1", "processes": "print"}
        return [raw_fields(f"A{at}", **(usual | {"customer_name": f"c{at}"} | fields)) for at in range(count)]

    land(services, orders(30))
    run_all(services)
    found = preview_of(services, [(orders(22, **taken), PRESET), (orders(1), PRESET)], 10)
    import_id = land(services, orders(22, **taken))
    land(services, orders(1))
    run_all(services)
    held = query(services, "SELECT held FROM import_tasks WHERE import_id = :id", id=import_id)[0]["held"]
    assert [file["held"] for file in found.files] == [held["tables"] if held else {}, {}]


FILE: Final = """platform;shop;order_id;customer_name;order_status;order_type;amount;ordered_at;items;gift note
etsy;Maple;A1;Kim;paid;sample;5,00;2026-05-13 10:00;Mug x 2;For Lee
etsy;Maple;A2;Kim;cancelled;;7,50;2026-05-14 10:00;Cap;
etsy;Maple;A3;Lee;paid;rush;twelve;2026-05-15 10:00;Cap;
etsy;Maple;A4;Lee;paid;;1,00;2026-13-15;Cap;
etsy;Maple;A5;;paid;;2,00;2026-05-16 10:00;*3;
"""
MAPPING: Final = """name: maple
delimiter: ;
columns:
  platform: platform
  shop: shop
  order_id: order_id
  customer_name: customer_name
  order_status: order_status
  order_type: order_type
  amount: amount
  currency: {constant: EUR}
  ordered_at: ordered_at
  items: items
numbers: {decimal: ',', thousands: '.'}
known_statuses: [paid]
cancelled_statuses: [cancelled]
"""


@pytest.fixture
def export(tmp_path: Path) -> tuple[Path, Path]:
    """A file and its mapping."""
    file, mapping = tmp_path / "orders.csv", tmp_path / "maple.yaml"
    file.write_text(FILE, encoding="utf-8")
    mapping.write_text(MAPPING, encoding="utf-8")
    return file, mapping


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def previewed(*arguments: object) -> dict[str, Any]:
    result = call("import", "--dry-run", "--json", *arguments)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def everything(services: Services) -> dict[str, object]:
    """All rows of all tables, and the states of all sequences."""
    sequences = "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2"
    names = [row["name"] for row in query(services, "SELECT relname AS name FROM pg_class WHERE relkind = 'r'")]
    own = [name for name in names if not name.startswith(("pg_", "sql_"))]
    tables = {name: query(services, f"SELECT * FROM {name} t ORDER BY t::text") for name in own}  # noqa: S608
    return {**tables, "sequences": query(services, sequences)}


def files_under(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


def test_a_preview_writes_nothing(
    services: Services, settings: Settings, export: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself refuses to write; all tables, all sequences and the project's folder stay as they are."""
    file, mapping = export
    assert call("import", file, "--mapping", mapping).exit_code == 0
    run_all(services)
    file.write_text(FILE.replace("paid", "shipped").replace("A2", "A9"), encoding="utf-8")
    before = everything(services), files_under(settings.home)
    url = services.database.url.update_query_dict({"options": "-c default_transaction_read_only=on"})
    monkeypatch.setenv("ETL_DATABASE_URL", url.render_as_string(hide_password=False))
    assert call("import", file, "--mapping", mapping).exit_code == 1  # the server does refuse
    changes = previewed(file, "--mapping", mapping)["database"]["orders"]
    assert changes == {"new": 1, "changed": 2, "unchanged": 0, "older": 0}
    assert (everything(services), files_under(settings.home)) == before


def test_a_snapshot_refuses_to_write(services: Services) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="read-only"), services.database.snapshot() as connection:
        connection.execute(sa.text("DELETE FROM raw_orders"))
    with services.database.transaction() as connection:  # the same pooled connection may write again
        connection.execute(sa.text("DELETE FROM raw_orders"))


def test_keys_of_any_text_are_found_in_a_read_only_transaction(services: Services) -> None:
    """Quotes, backslashes, braces, per cent signs, words of SQL."""
    ids = ["'", '"', "\\", "{a,b}", "%s", "NULL", "a\nb", " ", "$1", "张"]
    land(services, [raw_fields(order_id, items=order_id) for order_id in ids])
    run_all(services)
    rows = [raw_fields(order_id, items=order_id) for order_id in [*ids, "new"]]
    found = preview_of(services, [(rows, PRESET)], 1000).database["orders"]
    assert found == {"new": 1, "changed": 0, "unchanged": len(ids) - 1, "older": 0}  # a blank is no number


def test_a_preview_shows_what_the_file_holds_and_how_it_is_read(settings: Settings, export: tuple[Path, Path]) -> None:
    file, mapping = export
    found = previewed(file, "--mapping", mapping)["files"][0]
    assert {name: found[name] for name in ("lines", "rows", "orders", "cancelled", "without_customer", "items")} == {
        "lines": 5,
        "rows": 5,
        "orders": 3,
        "cancelled": 1,
        "without_customer": 1,
        "items": 2,
    }
    columns = {column["column"]: column for column in found["columns"]}
    assert columns["customer_name"]["from"] == ["customer_name"]
    assert columns["customer_name"]["filled"] == 0.8
    assert columns["amount"]["values"][0] == {"file": "5,00", "read": "5.0000", "is_read": True}
    assert columns["ordered_at"]["values"][0]["read"] == "2026-05-13T10:00:00+00:00"
    assert found["headers_not_taken"] == [{"header": "gift note", "values": ["For Lee"]}]
    assert {(one["status"], one["orders"], one["is_cancelled"], one["is_known"]) for one in found["statuses"]} == {
        ("paid", 2, False, True),
        ("cancelled", 1, True, True),
    }
    types = {one["order_type"]: (one["system_order_type"], one["is_mapped"]) for one in found["order_types"]}
    assert types == {"sample": ("BULK", False), None: ("BULK", False)}
    assert [(one["currency"], one["orders"], one["amount"]) for one in found["amounts"]] == [("EUR", 3, "14.5000")]
    rejected = {
        one["reason_code"]: (one["asset"], one["rows"], one["examples"][0]["line"], one["examples"][0]["value"])
        for one in found["quarantine"]
    }
    assert rejected == {
        "BAD_AMOUNT": ("orders", 1, 4, "amount twelve"),
        "BAD_TIMESTAMP": ("orders", 1, 5, "ordered_at 2026-13-15"),
        "BAD_ITEMS": ("order_items", 1, 6, "*3"),
    }
    shown = call("import", "--dry-run", file, "--mapping", mapping).stdout
    for text in ("amount twelve", "For Lee", "14.50 EUR", "5 lines → 3 orders with 2 items", "Nothing was written."):
        assert text in shown


def test_a_column_is_shown_as_it_is_read_beside_another_that_cannot_be_read(settings: Settings, tmp_path: Path) -> None:
    file, mapping = tmp_path / "orders.csv", tmp_path / "mapping.yaml"
    file.write_text("No;Date;Total;Tax\n1;02/06/2026;12,50;abc\n1;13/06/2026;12,50;abc\n", encoding="utf-8")
    mapping.write_text(
        "{name: t, delimiter: ';', timestamp_formats: ['%m/%d/%Y'], columns: {shop: {constant: S}, order_id: No,"
        " order_status: State, ordered_at: Date, amount: Total,"
        " refunded_amount: {sum: {plus: [Total], minus: [Tax]}}}}",
        encoding="utf-8",
    )
    found = previewed(file, "--mapping", mapping)["files"][0]
    columns = {column["column"]: column for column in found["columns"]}
    assert columns["ordered_at"]["values"] == [
        {"file": "02/06/2026", "read": "2026-02-06T00:00:00+00:00", "is_read": True},
        {"file": "13/06/2026", "read": None, "is_read": False},
    ]
    assert columns["amount"]["values"] == [{"file": "12,50", "read": None, "is_read": False}]
    assert (columns["order_status"]["from"], columns["order_status"]["missing"]) == ([], ["State"])
    assert columns["refunded_amount"]["from"] == ["the sum of Total less Tax"]
    shown = call("import", "--dry-run", file, "--mapping", mapping).stdout
    for text in ("2 rows can't be read", "the file lacks 'State'", "Nothing was written. Correct the mapping"):
        assert text in shown


def test_a_preview_of_what_was_imported_says_that_nothing_changes(
    services: Services, export: tuple[Path, Path]
) -> None:
    file, mapping = export
    first = previewed(file, "--mapping", mapping)["database"]
    assert first["orders"]["new"] == 3
    assert first["leads"]["opened"] == 1
    assert call("import", file, "--mapping", mapping).exit_code == 0
    assert previewed(file, "--mapping", mapping)["database"]["pending_rows"] == 5
    run_all(services)
    again = previewed(file, "--mapping", mapping)["database"]
    assert again["orders"] == {"new": 0, "changed": 0, "unchanged": 3, "older": 0}
    assert [again[name] for name in ("customers", "leads")] == [
        dict.fromkeys(again[name], 0) for name in ("customers", "leads")
    ]
    assert again["shops"]["new"] == []
    assert again["pending_rows"] == 0


def test_files_are_looked_at_one_after_another_as_they_would_be_imported(
    settings: Settings, tmp_path: Path, export: tuple[Path, Path]
) -> None:
    file, mapping = export
    later, broken = tmp_path / "later.csv", tmp_path / "broken.csv"
    later.write_text(FILE.replace("paid", "shipped"), encoding="utf-8")
    broken.write_text("no;headers;here\n1;2;3\n", encoding="utf-8")
    result = call("import", "--dry-run", "--json", file, broken, later, "--mapping", mapping)
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert sorted("error" in one for one in found["files"]) == [False, False, True]
    assert found["database"]["orders"] == {"new": 3, "changed": 0, "unchanged": 0, "older": 0}
    assert found["database"]["rows"] == {"overtaken": 3, "quarantined": 4}


def test_a_preview_needs_no_database_and_makes_none(
    tmp_path: Path, export: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    file, mapping = export
    monkeypatch.delenv("ETL_DATABASE_URL", raising=False)
    monkeypatch.setenv("ETL_HOME", str(tmp_path / "none"))
    found = previewed(file, "--mapping", mapping)["database"]
    assert found["is_empty"]
    assert found["orders"]["new"] == 3
    assert not (tmp_path / "none").exists()


def test_a_preview_does_not_migrate_a_database_of_another_version(
    services: Services, settings: Settings, export: tuple[Path, Path]
) -> None:
    file, mapping = export
    query(services, "UPDATE alembic_version SET version_num = '0001'")
    result = call("import", "--dry-run", file, "--mapping", mapping)
    assert result.exit_code == 1
    assert "db upgrade" in result.stderr
    assert scalar(services, "SELECT version_num FROM alembic_version") == "0001"
