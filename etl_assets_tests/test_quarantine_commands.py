"""Quarantine from end to end: rows are listed, exported, corrected and replayed; none is lost or doubled."""

from __future__ import annotations

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import openpyxl
import polars as pl
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.database.schema import import_tasks
from etl_assets.ledger.import_ids import ImportIdError, find_import
from etl_assets.order_items.transform import BAD_ITEMS
from etl_assets.process_items.transform import BAD_PROCESSES
from etl_assets.quarantine.reasons import REASONS
from etl_assets.quarantine.requeue import requeue
from etl_assets.quarantine.row_filter import REASON_CODES
from etl_assets.quarantine.spreadsheet import read_corrections
from etl_assets.run.registry import STEPS, build_services, run_asset
from etl_assets.values.formulas import escape_formula, unescape_formula

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from etl_assets.pipeline.protocol import Services
    from etl_assets.settings import Settings

pytestmark = pytest.mark.slow

HEADER = "platform,shop,order_id,customer_name,amount,ordered_at,items,remark,gift\n"
ROWS = """etsy,Maple,A1,Ann,5.00,2025-01-02,Mug*2,,yes
etsy,Maple,A2,Bob,five,2025-01-02,Mug,=1+1,no
etsy,Maple,,Cid,6.00,2025-01-02,Cap,@x,maybe
etsy,Maple,A4,Dan,7.00,2025-01-02,"[{""name"":",,
etsy,,A5,Eve,-8.00,2025-01-02,Bag,-5,
"""


@pytest.fixture(autouse=True)
def run_without_dagster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the assets without importing Dagster."""

    def run_in_process(settings: Settings, _build_defs: object, **_: object) -> SimpleNamespace:
        services = build_services(settings)
        assets = {asset: run_asset(asset, services).as_dict() for asset in STEPS}
        services.database.dispose()
        lists = dict.fromkeys(("failed_checks", "quarantined_imports", "held_imports", "findings"), ())
        no_faults: dict[str, Any] = {**lists, "inputs": None, "health": ""}
        return SimpleNamespace(status="success", run_id="a-run", assets=assets, **no_faults)

    launch = ModuleType("etl_assets.orchestration.run_in_process")
    launch.run_in_process = run_in_process  # type: ignore[attr-defined]  # a stand-in
    definitions = ModuleType("etl_assets.definitions")
    definitions.build_defs = None  # type: ignore[attr-defined]  # as above
    for module in (launch, definitions):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def answer(*arguments: object) -> Any:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def imported(services: Services, tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + ROWS, encoding="utf-8")
    answer("import", path)
    answer("run")
    return path


def fetch(services: Services, query: str) -> list[Any]:
    with services.database.transaction() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def open_codes(services: Services) -> list[str]:
    query = "SELECT reason_code FROM quarantine WHERE resolved_at IS NULL ORDER BY reason_code"
    return [code for (code,) in fetch(services, query)]


def everything(services: Services) -> list[Any]:
    tables = ("raw_orders", "orders", "order_items", "customers", "business_leads", "lead_orders", "quarantine")
    return [fetch(services, f"SELECT t.* FROM {table} t ORDER BY CAST(t AS text)") for table in tables]  # noqa: S608


def correct(path: Path, target: Path, **expressions: pl.Expr) -> Path:
    pl.read_csv(path, infer_schema=False).with_columns(**expressions).write_csv(target)
    return target


def where(code: str, value: str, column: str) -> pl.Expr:
    return pl.when(pl.col("reason_code") == code).then(pl.lit(value)).otherwise(pl.col(column))


def test_list_shows_ids_and_reasons_but_no_customer(imported: Path) -> None:
    listed = answer("quarantine", "list")
    assert listed["open"] == 4
    assert {row["reason_code"] for row in listed["rows"]} == {
        "BAD_AMOUNT", "MISSING_ORDER_ID", "BAD_ITEMS", "MISSING_SHOP",
    }  # fmt: skip
    assert [row["asset"] for row in answer("quarantine", "list", "--asset", "order_items")["rows"]] == ["order_items"]
    assert len(answer("quarantine", "list", "--limit", 1)["rows"]) == 1
    assert "Bob" not in call("quarantine", "list").output
    assert {(row["source"], row["line"] > 1) for row in listed["rows"]} == {(str(imported), True)}


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_an_unchanged_export_is_read_back_as_it_was_and_runs_nothing(
    imported: Path, services: Services, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"rows{suffix}"
    assert answer("quarantine", "export", path)["rows"] == 4
    before = everything(services)
    done = answer("quarantine", "replay", "--file", path)
    assert (done["replayed"], len(done["unchanged"]), done["run"]) == (0, 4, None)
    assert everything(services) == before
    assert read_corrections(path)["remark"].to_list() == ["=1+1", "@x", "-5", None]


def test_csv_export_has_a_byte_order_mark_and_no_formulas(imported: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    answer("quarantine", "export", path)
    text = path.read_bytes()
    assert text.startswith(b"\xef\xbb\xbfquarantine_id,asset,reason_code,reason,source,line,platform,")
    assert b",'=1+1" in text
    assert b",'@x" in text
    assert b",-5," in text


def test_workbook_cells_are_texts(imported: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.xlsx"
    answer("quarantine", "export", path)
    book = openpyxl.load_workbook(path)
    rows = list(book.worksheets[0].iter_rows(min_row=2))
    book.close()
    assert isinstance(rows[0][0].value, int)
    assert {cell.data_type for row in rows for cell in row[1:] if cell.value is not None} == {"s"}
    assert {cell.number_format for row in rows for cell in row[1:]} == {"@"}


def test_export_does_not_replace_a_file_unasked(imported: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("corrected", encoding="utf-8")
    assert call("quarantine", "export", path).exit_code == 2
    assert path.read_text(encoding="utf-8") == "corrected"
    assert answer("quarantine", "export", path, "--overwrite")["rows"] == 4
    assert call("quarantine", "export", tmp_path / "no folder" / "rows.csv").exit_code == 1


def test_a_text_that_a_workbook_cannot_hold_is_exported_as_csv(services: Services, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + "etsy,Maple,B1,Ann,x,,,bell\x07,\n", encoding="utf-8")
    answer("import", path)
    answer("run")
    refused = call("quarantine", "export", tmp_path / "rows.xlsx")
    assert refused.exit_code == 1
    assert ".csv" in refused.stderr
    assert "bell" not in refused.output
    answer("quarantine", "export", tmp_path / "rows.csv")
    assert read_corrections(tmp_path / "rows.csv")["remark"].to_list() == ["bell\x07"]


def test_corrected_rows_are_loaded_once_however_often_the_file_is_replayed(
    imported: Path, services: Services, tmp_path: Path
) -> None:
    exported = tmp_path / "rows.csv"
    answer("quarantine", "export", exported)
    path = correct(
        exported,
        tmp_path / "corrected.csv",
        amount=where("BAD_AMOUNT", "5.50", "amount"),
        order_id=where("MISSING_ORDER_ID", "A3", "order_id"),
        items=where("BAD_ITEMS", "Sign*3", "items"),
        shop=where("MISSING_SHOP", "Kiln", "shop"),
    )
    done = answer("quarantine", "replay", "--file", path)
    assert (done["replayed"], done["resolved"], done["still_open"]) == (4, 4, 0)
    assert [(entry["rows"], entry["preset"], entry["source"]) for entry in done["imports"]] == [
        (4, "generic", str(path))
    ]
    orders = fetch(services, "SELECT order_id, amount FROM orders ORDER BY order_id")
    assert [(order_id, float(amount)) for order_id, amount in orders] == [
        ("A1", 5.0), ("A2", 5.5), ("A3", 6.0), ("A4", 7.0), ("A5", -8.0),
    ]  # fmt: skip
    assert fetch(services, "SELECT product, quantity FROM order_items WHERE order_id = 'A4'") == [("Sign", 3)]
    assert set(fetch(services, "SELECT resolution FROM quarantine")) == {("replayed",)}
    extra = "SELECT extra ->> 'gift' FROM raw_orders WHERE replaces_raw_id IS NOT NULL AND remark = '=1+1'"
    assert fetch(services, extra) == [("no",)]

    before = everything(services)
    again = answer("quarantine", "replay", "--file", path)
    assert (again["replayed"], len(again["already_resolved"]), again["imports"], again["run"]) == (0, 4, [], None)
    assert everything(services) == before
    answer("run", "--full-refresh")
    assert open_codes(services) == []


def test_a_correction_that_is_still_bad_stays_in_quarantine(imported: Path, services: Services, tmp_path: Path) -> None:
    exported = tmp_path / "rows.csv"
    answer("quarantine", "export", exported)
    path = correct(exported, tmp_path / "corrected.csv", amount=where("BAD_AMOUNT", "six", "amount"))
    done = answer("quarantine", "replay", "--file", path)
    assert (done["replayed"], done["resolved"], done["still_open"], len(done["unchanged"])) == (1, 0, 1, 3)
    assert open_codes(services).count("BAD_AMOUNT") == 1
    before = everything(services)
    assert answer("quarantine", "replay", "--file", path)["replayed"] == 0
    assert everything(services) == before

    answer("quarantine", "export", exported, "--overwrite")
    path = correct(exported, path, amount=where("BAD_AMOUNT", "6", "amount"))
    assert answer("quarantine", "replay", "--file", path)["resolved"] == 1
    assert "BAD_AMOUNT" not in open_codes(services)


def test_a_change_that_does_not_correct_the_row_lands_once(imported: Path, services: Services, tmp_path: Path) -> None:
    exported = tmp_path / "rows.csv"
    answer("quarantine", "export", exported)
    path = correct(exported, tmp_path / "corrected.csv", remark=where("BAD_ITEMS", "looked at", "remark"))
    assert answer("quarantine", "replay", "--file", path)["still_open"] == 1
    before = everything(services)
    assert answer("quarantine", "replay", "--file", path)["replayed"] == 0
    assert everything(services) == before
    assert "BAD_ITEMS" in open_codes(services)


def test_rows_of_one_order_may_be_corrected_in_two_lines_that_agree(
    imported: Path, services: Services, tmp_path: Path
) -> None:
    exported = tmp_path / "rows.csv"
    answer("quarantine", "export", exported)
    rows = pl.read_csv(exported, infer_schema=False).filter(reason_code="BAD_AMOUNT")
    path = tmp_path / "corrected.csv"
    pl.concat([rows.with_columns(amount=pl.lit("1")), rows.with_columns(amount=pl.lit("2"))]).write_csv(path)
    refused = call("quarantine", "replay", "--file", path)
    assert refused.exit_code == 1
    assert "make them agree" in refused.stderr
    pl.concat([rows.with_columns(amount=pl.lit("1")), rows.with_columns(items=pl.lit("Pen"))]).write_csv(path)
    assert answer("quarantine", "replay", "--file", path)["resolved"] == 1
    query = (
        "SELECT CAST(amount AS int), product FROM orders JOIN order_items USING (shop_id, order_id)"
        " WHERE order_id = 'A2'"
    )
    assert fetch(services, query) == [(1, "Pen")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("order_id,amount\nA1,1\n", "quarantine_id"),
        ("quarantine_id,amount\none,1\n", "no number"),
        ("quarantine_id,order_id\n1,3.456E+18\n", "rounded"),
    ],
)
def test_a_file_that_is_no_corrected_export_is_refused(
    imported: Path, services: Services, tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "corrected.csv"
    path.write_text(text, encoding="utf-8")
    before = everything(services)
    refused = call("quarantine", "replay", "--file", path)
    assert refused.exit_code == 1
    assert problem in refused.stderr
    assert everything(services) == before


def test_unknown_rows_of_a_file_are_reported_and_fail(imported: Path, tmp_path: Path) -> None:
    path = tmp_path / "corrected.csv"
    path.write_text("quarantine_id,amount\n4711,1\n", encoding="utf-8")
    refused = call("quarantine", "replay", "--file", path, "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["unknown"] == [4711]


def test_rows_run_again_as_they_are_and_resolve_once_they_can_be_read(imported: Path, services: Services) -> None:
    done = answer("quarantine", "replay")
    assert (done["replayed"], done["resolved"], done["still_open"]) == (4, 0, 4)
    with services.database.transaction() as connection:  # as if the rules had changed
        connection.execute(sa.text("UPDATE raw_orders SET amount = '5' WHERE amount = 'five'"))
        connection.execute(sa.text("UPDATE raw_orders SET items = 'Sign' WHERE order_id = 'A4'"))
    done = answer("quarantine", "replay")
    assert (done["replayed"], done["resolved"], done["still_open"]) == (4, 2, 2)
    assert open_codes(services) == ["MISSING_ORDER_ID", "MISSING_SHOP"]
    assert fetch(services, "SELECT DISTINCT resolution FROM quarantine WHERE resolved_at IS NOT NULL") == [
        ("replayed",)
    ]


def test_only_the_rows_that_are_named_run_again(imported: Path, services: Services) -> None:
    ids = {row["reason_code"]: row["quarantine_id"] for row in answer("quarantine", "list")["rows"]}
    done = answer("quarantine", "replay", "--id", ids["BAD_AMOUNT"])
    assert done["replayed"] == 1
    assert done["run"]["assets"]["orders"]["input_rows"] == 1
    missing = call("quarantine", "replay", "--id", 4711, "--json")
    assert missing.exit_code == 1
    assert json.loads(missing.stdout)["unknown"] == [4711]


def test_a_row_is_put_on_the_queue_once_and_not_when_its_order_has_moved_on(imported: Path, services: Services) -> None:
    with services.database.transaction() as connection:
        connection.execute(sa.text("UPDATE orders SET raw_id = raw_id + 1000 WHERE order_id = 'A4'"))
    first, second = requeue(services.database), requeue(services.database)
    assert first == second
    assert (len(first.queued), len(first.outdated)) == (3, 1)
    assert fetch(services, "SELECT asset, count(*), sum(high - low + 1) FROM etl_work GROUP BY asset") == [
        ("shop", 2, 3)
    ]


def test_list_may_be_of_one_import(imported: Path, services: Services) -> None:
    answer("import", imported)
    answer("run")
    (first, second) = fetch(services, "SELECT import_id FROM import_tasks ORDER BY created_at")
    found = answer("quarantine", "list", "--import", second[0])
    # The order with bad items is unchanged, so its row is the first import's.
    assert (found["open"], {row["import_id"] for row in found["rows"]}) == (3, {str(second[0])})
    assert answer("quarantine", "list", "--import", first[0])["open"] == 4
    assert answer("quarantine", "list", "--import", first[0], "--asset", "order_items")["open"] == 1
    assert answer("quarantine", "list", "--import", str(second[0])[:8].upper())["open"] == 3


def test_dismissed_rows_are_closed_with_their_reason_and_never_run_again(imported: Path, services: Services) -> None:
    ids = {row["reason_code"]: row["quarantine_id"] for row in answer("quarantine", "list")["rows"]}
    chosen = [ids["BAD_AMOUNT"], ids["BAD_ITEMS"]]
    done = answer("quarantine", "dismiss", "--id", chosen[0], "--id", chosen[1], "--reason", " test orders ")
    assert done == {"dismissed_rows": 2, "dismissed": sorted(chosen), "already_resolved": [], "unknown": []}
    assert open_codes(services) == ["MISSING_ORDER_ID", "MISSING_SHOP"]
    query = "SELECT DISTINCT resolution, note FROM quarantine WHERE resolved_at IS NOT NULL"
    assert fetch(services, query) == [("dismissed", "test orders")]
    assert answer("quarantine", "replay")["replayed"] == 2
    answer("run", "--full-refresh")
    assert fetch(services, query) == [("dismissed", "test orders")]
    again = answer("quarantine", "dismiss", "--id", chosen[0], "--reason", "once more")
    assert (again["dismissed"], again["already_resolved"]) == ([], [chosen[0]])


def test_filters_choose_the_rows_of_every_command_and_can_be_combined(
    imported: Path, services: Services, tmp_path: Path
) -> None:
    import_id = str(fetch(services, "SELECT import_id FROM import_tasks")[0][0])[:6]
    of_amount = ("--import", import_id, "--reason-code", "BAD_AMOUNT", "--asset", "orders")
    assert [row["reason_code"] for row in answer("quarantine", "list", *of_amount)["rows"]] == ["BAD_AMOUNT"]
    assert answer("quarantine", "list", "--reason-code", "BAD_AMOUNT", "--asset", "order_items")["open"] == 0
    assert answer("quarantine", "export", tmp_path / "rows.csv", "--reason-code", "BAD_ITEMS")["rows"] == 1
    assert answer("quarantine", "replay", "--asset", "orders")["replayed"] == 3
    dismissed = answer("quarantine", "dismiss", "--import", import_id, "--asset", "orders", "--reason", "a test")
    assert dismissed == {"dismissed_rows": 3}
    assert open_codes(services) == ["BAD_ITEMS"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("list", "--asset", "shop"), "use one of orders"),
        (("list", "--reason-code", "bad"), "use one of BAD_AMOUNT, BAD_ITEMS"),
        (("list", "--import", "mine"), "The last ones are: {import_id}"),
        (("export", "{folder}/rows.csv", "--import", "0000000000"), "The last ones are: {import_id}"),
        (("replay", "--reason-code", "bad"), "use one of BAD_AMOUNT"),
        (("replay", "--id", 1, "--asset", "orders"), "Give --id, --file, or any of --import"),
        (("dismiss", "--asset", "shop", "--reason", "x"), "use one of orders"),
        (("dismiss", "--id", 1, "--asset", "orders", "--reason", "x"), "Name the rows"),
    ],
)
def test_a_filter_that_fits_nothing_is_wrong_use_and_lists_what_there_is(
    imported: Path, services: Services, tmp_path: Path, arguments: tuple[object, ...], message: str
) -> None:
    import_id = fetch(services, "SELECT import_id FROM import_tasks")[0][0]
    result = call("quarantine", *(str(argument).format(folder=tmp_path) for argument in arguments))
    assert result.exit_code == 2
    assert message.format(import_id=import_id) in result.stderr


def test_a_prefix_that_several_imports_have_names_none(services: Services) -> None:
    with services.database.transaction() as connection:
        for digit in "12":
            values = {"import_id": UUID(f"abc{digit}".ljust(32, "0")), "source": "x", "status": "completed"}
            connection.execute(sa.insert(import_tasks).values(values))
        assert find_import(connection, "ABC2") == UUID("abc2".ljust(32, "0"))
        with pytest.raises(ImportIdError, match=r"Several imports .* Give more of it: abc1"):
            find_import(connection, "abc")


def test_every_code_that_a_rule_gives_can_be_asked_for() -> None:
    assert {*REASONS, BAD_ITEMS, BAD_PROCESSES, "DB_REJECTED"} <= set(REASON_CODES)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--id", 4711, "--reason", "x"], 1), (["--id", 1, "--reason", " "], 2), (["--id", 1], 2), (["--reason", "x"], 2)],
)
def test_an_invalid_dismissal_is_refused(
    imported: Path, services: Services, arguments: list[object], code: int
) -> None:
    assert call("quarantine", "dismiss", *arguments).exit_code == code
    assert len(open_codes(services)) == 4


@given(st.text(alphabet="'=+-@\t\r＝＋－＠12.a \n,\"", max_size=8))
def test_neutralised_text_is_harmless_and_restored_exactly(text: str) -> None:
    frame = pl.DataFrame({"text": [text]}).select(safe=escape_formula(pl.col("text")))
    safe = frame["safe"][0]
    assert frame.select(unescape_formula(pl.col("safe")))["safe"][0] == text
    is_number = safe.lstrip("+-").replace(".", "", 1).isascii() and safe[1:].replace(".", "", 1).isdigit()
    assert safe[:1] not in set("=@\t\r＝＋－＠")
    assert safe[:1] not in set("+-") or is_number
