"""Nothing is dropped, held or refused in silence: `run --json` and `status --json` have a count of each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services

pytestmark = pytest.mark.slow

HEADER = "platform,shop,order_id,customer_name,amount,ordered_at\n"
MAPPING = "{name: own, columns: {platform: {constant: own}, shop: {constant: Maple}, order_id: number, remark: note}}"
INBOX: Mapping[str, str] = {
    "good.csv": HEADER + "etsy,Maple,A1,Ann,5.00,2026-01-02\netsy,Maple,A2,,6.00,2026-01-02\n",
    "good again.csv": HEADER + "etsy,Maple,A1,Ann,5.00,2026-01-02\netsy,Maple,A2,,6.00,2026-01-02\n",
    "some bad rows.csv": HEADER + "etsy,Maple,B1,Bob,5.00,2026-01-02\netsy,Maple,B2,Bob,five,2026-01-02\n",
    "unreadable.csv": HEADER + "etsy,Maple,C1,Cid,5.00,01/31/26\netsy,Maple,C2,Cid,5.00,02/01/26\n",
    "refused.csv": "colour\nred\n",
    "odd.csv": f"Orders of May\n{HEADER}etsy,Maple,1.23E+17,Fay,5.00,2026-01-02\netsy,Maple,F1,Fay,5.00,2026-01-02\n"
    "etsy,Maple,F1,Gil,7.00,2026-01-02\nTotal,,,,17.00,\n",
    "shopify/shop.txt": "North Stitch",
    "shopify/orders.csv": "Id,Name,Email,Financial Status,Created at,Total,Lineitem name,Lineitem quantity\n"
    "11,#1,a@example.com,paid,2026-01-02 10:00:00 +0000,5.00,Mug,1\n"
    "12,#1,b@example.com,new,2026-01-02 10:00:00 +0000,6.00,Cap,1\n"
    "13,#2,b@example.com,new,2026-01-02 10:00:00 +0000,6.00,Cap,1\n",
    "unfinished.csv.part": HEADER,
    "own/mapping.yaml": MAPPING,
    "own/lacks a header.csv": "number\nD1\n",
    "nameless/orders.csv": HEADER,
    "stuck/mapping.yaml": "no mapping",
    "stuck/orders.csv": HEADER,
}


def answer(*arguments: str, exit_code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


@pytest.fixture
def inbox(services: Services, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ETL_INBOX_SETTLE_SECONDS", "0")
    folder = services.database.settings.inbox_folder
    for name, text in INBOX.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_whatever_is_dropped_held_or_refused_is_counted_where_a_program_can_read_it(inbox: Path) -> None:
    report = answer("run", exit_code=1)
    inputs = report["inputs"]
    counts = {name: number for name, number in inputs.items() if name.endswith(("_count", "_rows"))}
    assert counts == {
        "imported_count": 6, "imported_rows": 13, "refused_count": 1, "known_count": 1, "stuck_count": 1,
        "waiting_count": 2, "pulled_rows": 0, "problem_count": 2,
    }  # fmt: skip
    findings = [
        {"code": "CONFLICTING_ORDERS", "imports": 1, "rows": 2},
        {"code": "DISAGREEING_ROWS", "imports": 1, "rows": 2},  # of the columns customer_name and amount
        {"code": "LINES_ABOVE_HEADERS", "imports": 1, "rows": 1},
        {"code": "MISSING_HEADERS", "imports": 1, "rows": 1},
        {"code": "TOTAL_ROWS", "imports": 1, "rows": 1},
        {"code": "UNKNOWN_STATUS", "imports": 1, "rows": 2},
    ]
    assert report["findings"] == findings
    by_import = (one["code"] for result in inputs["imported"] for one in result.get("findings", ()))
    assert set(by_import) == {one["code"] for one in findings}
    assert "mapping.yaml" in inputs["refused"][0]["error"]
    assert {one["source"].removeprefix(f"{inbox}/") for one in inputs["waiting"]} == {"nameless", "unfinished.csv.part"}
    assert [one["source"].removeprefix(f"{inbox}/") for one in inputs["stuck"]] == ["stuck/orders.csv"]

    assert report["status"] == "failed"
    assert report["failed_checks"] == ["raw_orders:all_inputs_ingested", "orders:imports_are_readable"]
    (unreadable,), partly = report["unreadable_imports"], report["partly_unreadable_imports"]
    assert (unreadable["rows"], unreadable["unreadable"]) == (2, 2)
    assert "ordered_at looks like 99/99/99, try '%m/%d/%y'" in unreadable["message"]
    assert sorted((one["rows"], one["unreadable"]) for one in partly) == [(2, 1), (3, 1), (3, 2)]
    orders = report["assets"]["orders"]
    assert (orders["input_rows"], orders["inserted"], orders["superseded"], orders["quarantined"]) == (13, 6, 1, 6)
    assert report["assets"]["customers"]["anonymous_orders"] == 2

    status = answer("status")
    assert status["findings"] == findings
    assert status["failed_imports"]["count"] == 1
    assert (status["unreadable_orders"]["imports"], status["unreadable_orders"]["orders"]) == (4, 6)
    assert {(one["asset"], one["reason_code"]): one["open"] for one in status["quarantine"]} == {
        ("orders", "BAD_AMOUNT"): 1,
        ("orders", "BAD_TIMESTAMP"): 2,
        ("orders", "CONFLICTING_ORDER"): 2,
        ("orders", "ROUNDED_ORDER_ID"): 1,
    }


def test_what_was_corrected_is_counted_no_more(inbox: Path) -> None:
    answer("run", exit_code=1)
    (inbox / "refused.csv").write_text(HEADER + "etsy,Maple,E1,Eve,5.00,2026-01-02\n", encoding="utf-8")
    corrected = INBOX["unreadable.csv"].replace("01/31/26", "2026-01-31").replace("02/01/26", "2026-02-01")
    (inbox / "unreadable.csv").write_text(corrected, encoding="utf-8")
    (inbox / "stuck" / "mapping.yaml").unlink()
    report = answer("run")
    assert (report["status"], report["failed_checks"], report["unreadable_imports"]) == ("success", [], [])
    assert (report["inputs"]["imported_count"], report["inputs"]["refused_count"]) == (2, 0)
    assert not (inbox / "failed" / "refused.csv.error.txt").exists()
    status = answer("status")
    assert (status["failed_imports"]["count"], status["unreadable_orders"]["orders"]) == (0, 4)


def test_what_has_changed_since_the_last_import_is_counted(inbox: Path) -> None:
    answer("run", exit_code=1)
    (inbox / "stuck" / "mapping.yaml").unlink()
    wider = HEADER.replace("amount,", "amount,currency,colour,")
    (inbox / "wider.csv").write_text(f"{wider}etsy,Maple,H1,Hal,5.00,$,red,2026-01-03\n", encoding="utf-8")
    (inbox / "own" / "mapping.yaml").write_text(
        "{name: own, timezone: Asia/Tokyo, columns:"
        " {platform: {constant: etsy}, shop: {constant: Maple}, order_id: number, amount: [sum, total]}}",
        encoding="utf-8",
    )
    (inbox / "own" / "zone.csv").write_text("number,sum\nI1,5.00\n", encoding="utf-8")
    report = answer("run")
    assert [(one["code"], one["rows"]) for one in report["findings"]] == [
        ("AMBIGUOUS_CURRENCY", 1),
        ("NEW_HEADERS", 2),
        ("TIMEZONE_IGNORED", 1),
    ]
