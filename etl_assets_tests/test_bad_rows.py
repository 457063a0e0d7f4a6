"""Bad rows as pages show them: lists with faults and cells, what became of each, and what is run at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from etl_assets.ledger.queue import count_pending_rows
from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.quality.checks import CHECKS
from etl_assets.quality.running import CheckOutcome
from etl_assets.quarantine import bad_rows
from etl_assets.quarantine.bad_rows import (
    count_bad_rows,
    count_by_reason,
    list_bad_rows,
    list_shops_of_bad_rows,
    open_ids_of,
    read_bad_row,
)
from etl_assets.quarantine.corrections import build_corrections, import_corrections
from etl_assets.quarantine.dismiss import dismiss, dismiss_chosen
from etl_assets.quarantine.outcome import read_outcome
from etl_assets.quarantine.row_filter import ALL_OPEN_ROWS, RowFilter
from etl_assets.quarantine.spreadsheet import BAD_CELL_COLOUR, export_quarantine
from etl_assets.reverts.imports import revert_imports
from etl_assets.run import at_once
from etl_assets.run.at_once import run_at_once
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator
    from pathlib import Path
    from uuid import UUID

    from etl_assets.pipeline.protocol import Services
    from etl_assets.quality.checks import Check
    from etl_assets.quarantine.outcome import Outcome

USUAL = {"customer_name": "Ann", "amount": "5", "items": "Mug*2", "ordered_at": "2024-01-05 10:00"}


def order(order_id: str | None, **fields: str | None) -> dict[str, str | None]:
    return raw_fields(order_id, **(USUAL | fields))


def read(services: Services, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    with services.database.transaction() as connection:
        return function(connection, *arguments, **options)


def correct(services: Services, raw_id: int, **texts: str) -> None:
    ids = read(services, open_ids_of, [raw_id])
    rows = build_corrections(services.database, [{"quarantine_id": ids[0], **texts}])
    import_corrections(services.database, rows, "corrections of kim", user_name="kim")


def outcome(services: Services, raw_id: int) -> Outcome:
    found: Outcome = read(services, read_outcome, raw_id)
    return found


@pytest.fixture
def landed(services: Services) -> UUID:
    """Four bad rows (raw ids 2 to 5) of five."""
    import_id = land(
        services,
        [
            order("1"),
            order("2", amount="five", ordered_at="soon", extra='{"gift": "<b>"}'),
            order("3", shop="t", items="[broken", remark="x" * 300),
            order("4", shop=None),
            order("5", amount="six"),
        ],
    )
    assert run_at_once(services.database).pending_rows == 0
    return import_id


def test_rows_are_listed_with_their_faults_cells_and_places(services: Services, landed: UUID) -> None:
    rows = read(services, list_bad_rows, ALL_OPEN_ROWS)
    assert [row.raw_id for row in rows] == [5, 4, 3, 2]
    assert [sorted(row.bad_columns) for row in rows] == [["amount"], ["shop"], ["items"], ["amount", "ordered_at"]]
    assert [(row.line, row.shop_name, row.source) for row in rows] == [
        (5, "s", "test"), (4, None, "test"), (3, "t", "test"), (2, "s", "test"),
    ]  # fmt: skip
    assert (rows[0].cells["amount"], rows[0].import_id) == ("six", landed)
    assert (len(rows[2].cells["remark"]), rows[2].cut) == (200, {"remark"})
    assert rows[3].extra == {"gift": "<b>"}
    assert read(services, count_bad_rows, ALL_OPEN_ROWS) == (4, True)
    counts = {code: count.rows for code, count in read(services, count_by_reason).items()}
    assert counts == {"BAD_AMOUNT": 2, "BAD_ITEMS": 1, "MISSING_SHOP": 1}
    shops = read(services, list_shops_of_bad_rows)
    assert [(shop["shop_name"], shop["platform"]) for shop in shops] == [("s", "p"), ("t", "p")]
    (only,) = read(services, list_bad_rows, RowFilter(shop_id=shops[1]["shop_id"], import_id=landed))
    assert (only.raw_id, only.entries[0].asset) == (3, "order_items")
    of_amount = RowFilter(reason_code="BAD_AMOUNT")
    first = read(services, list_bad_rows, of_amount, limit=1)
    assert [row.raw_id for row in first + read(services, list_bad_rows, of_amount, before=5, limit=1)] == [5, 2]
    assert read(services, list_bad_rows, of_amount, before=2) == []
    assert read(services, read_bad_row, 3).cells["remark"] == "x" * 300
    assert read(services, read_bad_row, 1) is None


def test_more_rows_than_are_counted_are_said_to_be_more(
    services: Services, landed: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bad_rows, "MOST_COUNTED", 1)
    assert read(services, count_bad_rows, ALL_OPEN_ROWS) == (1, False)
    assert read(services, count_by_reason)["BAD_AMOUNT"] == (1, False)
    assert read(services, count_by_reason)["BAD_ITEMS"] == (1, True)


def test_what_became_of_a_row_is_told(services: Services, landed: UUID) -> None:
    assert (outcome(services, 2).state, outcome(services, 2).is_corrected) == ("quarantined", False)
    correct(services, 2, amount="5.00", ordered_at="x")
    assert outcome(services, 2).state == "pending"
    run_at_once(services.database)
    again = outcome(services, 2)
    assert (again.state, again.is_corrected, again.raw_id) == ("quarantined", True, 6)
    correct(services, again.raw_id, ordered_at="2024-01-05")
    run_at_once(services.database)
    done = outcome(services, 2)
    assert (done.state, done.raw_id, done.order_id, done.customer) == ("loaded", 7, "2", "Ann")
    assert done.lead_id is not None
    land(services, [order("5", amount="7")])
    run_at_once(services.database)
    assert outcome(services, 5).state == "overtaken"
    dismiss(services.database, read(services, open_ids_of, [4]), "a test", user_name="kim")
    assert (outcome(services, 4).state, read(services, read_bad_row, 4).entries[0].note) == ("dismissed", "a test")
    correct(services, 3, items="Cap")
    run_at_once(services.database)
    assert (outcome(services, 3).state, outcome(services, 3).order_id) == ("loaded", "3")
    revert_imports(services.database, [landed])
    assert outcome(services, 3).state == "pending"
    run_at_once(services.database)
    assert outcome(services, 3).state == "reverted"


def test_users_of_corrections_and_dismissals_are_recorded(services: Services, landed: UUID) -> None:
    correct(services, 5, amount="6")
    dismiss(services.database, read(services, open_ids_of, [4]), "a test", user_name="lee")
    assert dismiss_chosen(services.database, RowFilter(reason_code="BAD_ITEMS"), "no", user_name="lee") == 1
    assert dismiss_chosen(services.database, RowFilter(reason_code="BAD_ITEMS"), "no", user_name="lee") == 0
    actions = query(services, "SELECT user_name, action, target, after FROM user_actions ORDER BY action_id")
    assert [(one["user_name"], one["action"]) for one in actions] == [
        ("kim", "quarantine correct"), ("lee", "quarantine dismiss"), ("lee", "quarantine dismiss"),
    ]  # fmt: skip
    assert [one["after"] for one in actions[1:]] == [{"rows": 1, "reason": "a test"}, {"rows": 1, "reason": "no"}]
    assert actions[2]["target"] == "rows of reason_code BAD_ITEMS"
    (names,) = query(services, "SELECT array_agg(user_name ORDER BY batch_id) AS users FROM import_tasks")
    assert names["users"] == [None, "kim"]


def test_workbooks_have_a_frozen_header_a_filter_and_coloured_bad_cells(
    services: Services, landed: UUID, tmp_path: Path
) -> None:
    path = tmp_path / "rows.xlsx"
    assert export_quarantine(services.database, path, limit=3) == 3
    sheet = openpyxl.load_workbook(path)["quarantine"]
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("B2", "A1:U4")
    header = [cell.value for cell in sheet[1]]
    marked = [
        [header[at] for at, cell in enumerate(row) if cell.fill.fgColor.rgb == f"00{BAD_CELL_COLOUR}"]
        for row in sheet.iter_rows(min_row=2)
    ]
    assert sorted(marked) == [["amount"], ["items"], ["shop"]]
    assert {*RAW_COLUMNS} < {*header}


def test_large_work_is_left_and_a_failing_asset_is_told(services: Services, landed: UUID) -> None:
    land(services, [order("8"), order("9")])
    left = run_at_once(services.database, at_most=1)
    assert (left.is_left, left.pending_rows, read(services, count_pending_rows)) == (True, 2, 2)
    query(services, "ALTER TABLE customers RENAME COLUMN customer_key TO other")
    failed = run_at_once(services.database)
    assert failed.problem is not None
    assert "customers" in failed.problem
    assert failed.pending_rows > 0


def test_a_blocking_check_that_fails_ends_the_run(
    services: Services, landed: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_database: object, asset: str, *, left_out: Container[str]) -> Iterator[tuple[Check, CheckOutcome]]:
        for check in CHECKS:
            if check.asset == asset and check.name not in left_out:
                yield check, CheckOutcome(asset != "orders", (), is_of_full_tables=False, violation_count=1)

    monkeypatch.setattr(at_once, "run_checks", failing)
    land(services, [order("8")])
    stopped = run_at_once(services.database)
    blocking = [
        check.name for check in CHECKS if check.asset == "orders" and check.is_blocking and not check.full_table_only
    ]
    assert stopped.problem == f"orders: the check {', '.join(blocking)} failed."
    assert scalar(services, "SELECT count(*) FROM orders WHERE order_id = '8'") == 1
    assert query(services, "SELECT DISTINCT asset FROM etl_work ORDER BY asset") == [
        {"asset": "customers"}, {"asset": "order_items"},
    ]  # fmt: skip


def test_nothing_pending_is_nothing_to_run(services: Services) -> None:
    done = run_at_once(services.database)
    assert (done.pending_rows, done.is_left, done.problem) == (0, False, None)
