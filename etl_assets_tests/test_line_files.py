"""Items of an order from another file: which version of each part counts, in whatever order and imports they come."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from etl_assets.changes.report import batches_of_import, table_changes
from etl_assets.changes.scope import note_scope
from etl_assets.orders.history import read_order
from etl_assets.orders.line_versions import (
    STORED_LINES_SCHEMA,
    compare_line_versions,
    newest_line_versions,
    read_line_versions,
)
from etl_assets.presets.model import Preset
from etl_assets.quality.checks import CHECKS
from etl_assets.quality.running import run_check
from etl_assets.quarantine.corrections import build_corrections, import_corrections
from etl_assets.quarantine.requeue import requeue
from etl_assets.reporting.imports import list_imports, read_import
from etl_assets.reporting.status import read_status
from etl_assets.reverts.imports import accept_imports, restore_imports, revert_imports
from etl_assets.vectorized_queries import SHOP_SCHEMA
from etl_assets_tests.helpers import pipeline, strategies
from etl_assets_tests.helpers.effort import HISTORIES
from etl_assets_tests.helpers.pipeline import (
    PRESET,
    as_lines,
    comparable,
    land,
    lines_preset,
    query,
    raw_fields,
    run_all,
    scalar,
    snapshot,
    start_afresh,
    with_batch_size,
)
from etl_assets_tests.test_revert import assert_sound

if TYPE_CHECKING:
    from uuid import UUID

    from etl_assets.pipeline.protocol import Services
    from etl_assets_tests.helpers.strategies import RawFields

LINES: Final = lines_preset(PRESET)
LINES_HAVE_ORDERS: Final = next(check for check in CHECKS if check.name == "lines_have_orders")
MUGS: Final = '[{"name": "mug", "quantity": 50}]'
CAPS: Final = '[{"name": "cap", "quantity": 2}]'


def order(order_id: str = "1", **fields: str | None) -> RawFields:
    usual = {"customer_name": "Ann", "amount": "9.50", "ordered_at": "2026-05-01 10:00", "items": "3 kinds"}
    return raw_fields(order_id, **(usual | fields))


def lines(order_id: str = "1", items: str | None = MUGS, **fields: str | None) -> RawFields:
    return raw_fields(order_id, items=items, **fields)


def land_orders(services: Services, *rows: RawFields) -> UUID:
    return land(services, rows)


def land_lines(services: Services, *rows: RawFields) -> UUID:
    return land(services, rows, LINES)


def products(services: Services) -> list[tuple[Any, ...]]:
    rows = query(services, "SELECT order_id, product, quantity FROM order_items ORDER BY order_id, line_no")
    return [tuple(row.values()) for row in rows]


def stored_order(services: Services) -> dict[str, Any]:
    columns = "customer_nickname, amount, ordered_at, currency, latest_status"
    (found,) = query(services, f"SELECT {columns} FROM orders")  # noqa: S608  # constants
    return found


def waiting(services: Services, import_id: UUID) -> tuple[int, int, int]:
    """Count the orders whose lines wait, by the findings of the import, by what became of its rows, by the status."""
    with services.database.transaction() as connection:
        shown, status = read_import(connection, import_id), read_status(connection)
        (listed,) = (one for one in list_imports(connection, limit=9) if one["import_id"] == import_id)
    (finding,) = shown["findings"]
    assert (finding["code"], listed["findings"]) == ("WAITING_LINES", 1)
    assert {"code": "WAITING_LINES", "imports": 1, "rows": finding["count"]} in status["findings"]
    return finding["count"], shown["rows"]["waiting"], status["waiting_lines"]["orders"]


# --- the rule -------------------------------------------------------------------------------------------------------


def day(number: int) -> datetime:
    return datetime(2026, 5, number, tzinfo=UTC)


def versions(*rows: tuple[str, int, datetime | None, int]) -> pl.DataFrame:
    """Lines of orders of shop 1: order id, raw id, time of change, last raw id."""
    return pl.DataFrame([(1, *row) for row in rows], STORED_LINES_SCHEMA, orient="row")


def test_of_the_lines_of_an_order_the_newest_by_time_counts_and_without_one_the_last() -> None:
    found = versions(("1", 5, day(2), 0), ("1", 7, day(1), 0), ("1", 8, None, 0), ("2", 4, None, 0), ("2", 6, None, 0))
    assert newest_line_versions(found).sort("order_id").rows() == [(1, "1", 5, day(2), 8), (1, "2", 6, None, 6)]


@pytest.mark.parametrize(
    ("new", "stored", "counts"),
    [
        (("1", 9, None, 9), ("1", 5, None, 5), 9),  # no times: the one that was imported last
        (("1", 5, None, 5), ("1", 9, None, 9), 9),  # read late
        (("1", 9, day(1), 9), ("1", 5, day(2), 5), 5),  # an older file, imported after
        (("1", 5, day(2), 5), ("1", 9, day(1), 9), 5),
        (("1", 9, None, 9), ("1", 5, day(1), 5), 5),  # no time is before any
        (("1", 5, day(1), 5), ("1", 5, day(2), 5), 5),  # the same row, read in another way
    ],
)
def test_stored_lines_give_way_to_newer_ones(new: Any, stored: Any, counts: int) -> None:
    (decided,) = compare_line_versions(versions(new), versions(stored)).iter_rows(named=True)
    assert (decided["raw_id"], decided["latest_raw_id"]) == (counts, max(new[1], stored[1]))
    assert decided["is_current"] == (counts == new[1])
    assert decided["source_updated_at"] == (new if decided["is_current"] else stored)[2]


def test_lines_that_are_stored_as_they_are_differ_in_nothing() -> None:
    known = versions(("1", 5, day(1), 8))
    (same,) = compare_line_versions(known, known).iter_rows(named=True)
    (unknown,) = compare_line_versions(known, known.clear()).iter_rows(named=True)
    assert (same["is_current"], same["differs"]) == (True, False)
    assert (unknown["is_current"], unknown["differs"]) == (True, True)


def test_a_row_of_lines_is_bad_only_for_what_it_brings() -> None:
    texts = dict.fromkeys(("platform", "shop"), "x")
    rows = [
        {"raw_id": 1, **texts, "order_id": " 7 ", "amount": "viel", "ordered_at": "bald"},
        {"raw_id": 2, **texts, "order_id": None},
        {"raw_id": 3, **texts, "order_id": "8", "updated_at": "bald"},
        {"raw_id": 4, **texts, "order_id": "1.23E+17"},
        {"raw_id": 5, "platform": "x", "order_id": "9"},
    ]
    names = ("platform", "shop", "order_id", "amount", "ordered_at", "updated_at", "defect", "platform_order_id")
    schema = {"raw_id": pl.Int64(), **dict.fromkeys(names, pl.String())}
    shops = pl.DataFrame([(1, "x", "x", None, "UTC", None, False)], SHOP_SCHEMA, orient="row")
    read = read_line_versions(pl.DataFrame(rows, schema), LINES, shops)
    assert read.versions.rows() == [(1, "7", 1, None)]
    codes = dict(read.rejected.select("raw_id", "reason_code").iter_rows())
    assert codes == {2: "MISSING_ORDER_ID", 3: "BAD_TIMESTAMP", 4: "ROUNDED_ORDER_ID", 5: "MISSING_SHOP"}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"columns": {"platform": "p", "order_id": "No", "items": "i", "amount": "a"}}, "brings no amount"),
        ({"columns": {"order_id": "No", "items": "i"}}, "needs columns.platform"),
        ({"columns": {"platform": "p", "order_id": "No"}}, "needs columns.items"),
    ],
)
def test_a_mapping_of_lines_says_nothing_else(changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Preset.model_validate({"name": "x", "holds": "lines", **changed})


# --- the tables -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sequence", "is_run_between"),
    [("ol", True), ("lo", True), ("lol", True), ("olo", True), ("llo", True), ("olol", True), ("lol", False),
     ("olol", False)],
)  # fmt: skip
def test_orders_and_lines_give_the_same_tables_in_any_sequence(
    services: Services, sequence: str, *, is_run_between: bool
) -> None:
    for part in sequence:
        if part == "o":
            land_orders(services, order(), order("2", items=None, order_status="paid"))
        else:
            land_lines(services, lines(), lines("2", CAPS))
        if is_run_between:
            run_all(services)
    run_all(services)
    assert products(services) == [("1", "mug", 50), ("2", "cap", 2)]
    (lead,) = query(services, "SELECT order_count, total_amount FROM business_leads")
    assert (lead["order_count"], float(lead["total_amount"])) == (2, 19.0)
    assert [row["timezone"] for row in query(services, "SELECT timezone FROM shop_configs")] == [PRESET.timezone]
    assert query(services, "SELECT * FROM quarantine") == []
    before = snapshot(services)
    run_all(services, full_refresh=True)
    assert snapshot(services) == before


def test_lines_blank_nothing_of_their_order_and_orders_nothing_of_their_lines(services: Services) -> None:
    land_orders(services, order(currency="EUR", order_status="paid"))
    run_all(services)
    before = stored_order(services)
    land_lines(services, lines())
    run_all(services)
    assert stored_order(services) == before
    land_orders(services, order(items=None, customer_name="Bob"))
    run_all(services)
    assert products(services) == [("1", "mug", 50)]
    assert stored_order(services)["customer_nickname"] == "Bob"
    land_lines(services, lines(items=None))
    run_all(services)
    assert products(services) == []  # the newest of either says nothing about items


def test_lines_without_their_order_wait_and_say_so(services: Services) -> None:
    import_id = land_lines(services, lines(), lines("2"))
    result = run_all(services)["orders"].counts
    assert (result.unchanged, result.quarantined) == (2, 0)
    assert [scalar(services, f"SELECT count(*) FROM {table}") for table in pipeline.TABLES] == [1] + [0] * 6  # noqa: S608
    assert query(services, "SELECT * FROM quarantine") == []
    assert waiting(services, import_id) == (2, 2, 2)
    assert not run_check(services.database, LINES_HAVE_ORDERS).passed
    land_orders(services, order())
    run_all(services)
    assert query(services, "SELECT order_id FROM line_versions WHERE is_waiting") == [{"order_id": "2"}]
    assert waiting(services, import_id) == (1, 1, 1)
    revert_imports(services.database, [import_id])
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM line_versions") == 0
    assert products(services) == [("1", "3 kinds", 1)]


def test_newer_lines_replace_older_ones(services: Services) -> None:
    land_orders(services, order())
    land_lines(services, lines(items=MUGS, updated_at="2026-05-02"))
    run_all(services)
    land_lines(services, lines(items=CAPS, updated_at="2026-05-01"))
    assert run_all(services)["orders"].counts.superseded == 1
    assert products(services) == [("1", "mug", 50)]
    land_lines(services, lines(items=CAPS, updated_at="2026-05-03"))
    assert run_all(services)["orders"].counts.updated == 1
    assert products(services) == [("1", "cap", 2)]


def test_the_same_lines_again_change_nothing(services: Services) -> None:
    land_orders(services, order())
    land_lines(services, lines())
    run_all(services)
    before = snapshot(services)
    land_lines(services, lines())
    assert run_all(services)["orders"].counts.unchanged == 1
    assert snapshot(services) == before


def test_lines_that_are_read_by_another_mapping_are_read_again(services: Services) -> None:
    items = '[{"name": "mug", "quantity": "1.000"}]'
    land_orders(services, order())
    land_lines(services, lines(items=items))
    run_all(services)
    continental = {**LINES.model_dump(exclude_unset=True), "numbers": {"decimal": ",", "thousands": "."}}
    land(services, [lines(items=items)], Preset.model_validate(continental))
    run_all(services)
    assert products(services) == [("1", "mug", 1000)]


def test_reverting_one_part_takes_back_what_it_brought(services: Services) -> None:
    orders_id = land_orders(services, order())
    first, second = land_lines(services, lines(items=CAPS)), land_lines(services, lines())
    run_all(services)
    whole = comparable(services)
    revert_imports(services.database, [second])
    run_all(services)
    assert products(services) == [("1", "cap", 2)]
    revert_imports(services.database, [first])
    run_all(services)
    assert products(services) == [("1", "3 kinds", 1)]
    restore_imports(services.database, [first, second])
    run_all(services)
    assert comparable(services) == whole
    (reverted,) = revert_imports(services.database, [orders_id])
    run_all(services)
    assert (reverted.orders, scalar(services, "SELECT count(*) FROM orders")) == (1, 0)
    assert scalar(services, "SELECT count(*) FROM line_versions WHERE is_waiting") == 1
    restore_imports(services.database, [orders_id])
    run_all(services)
    assert comparable(services) == whole


def test_a_bad_row_of_one_part_is_not_resolved_by_the_other(services: Services) -> None:
    land_orders(services, order(amount="viel"))
    land_lines(services, lines(updated_at="bald"))
    run_all(services)
    land_orders(services, order())
    run_all(services)
    assert [row["reason_code"] for row in query(services, _OPEN)] == ["BAD_TIMESTAMP"]
    land_lines(services, lines())
    run_all(services)
    assert query(services, _OPEN) == []


def test_lines_that_cannot_be_read_are_replayed_and_overtaken(services: Services) -> None:
    land_orders(services, order())
    land_lines(services, lines(items='[{"quantity": 1}]'))
    run_all(services)
    (entry,) = query(services, _OPEN)
    assert (entry["asset"], entry["raw_id"], products(services)) == ("order_items", 2, [])
    assert requeue(services.database).queued == (entry["quarantine_id"],)
    assert run_all(services)["order_items"].counts.quarantined == 1
    land_lines(services, lines())
    run_all(services)
    assert (query(services, _OPEN), products(services)) == ([], [("1", "mug", 50)])


def test_explanations_tell_which_row_of_lines_counts(services: Services) -> None:
    land_orders(services, order())
    land_lines(services, lines(items=CAPS))
    land_lines(services, lines())
    run_all(services)
    found = read_order(services.database, "s", "1")
    states = {one["raw_id"]: one["state"] for one in found["versions"]}
    assert states == {1: "only", 2: "other_lines", 3: "lines"}


def test_corrected_rows_of_lines_are_rows_of_lines(services: Services) -> None:
    land_orders(services, order())
    land_lines(services, lines(items='[{"quantity": 1}]'), lines("2", updated_at="bald"))
    run_all(services)
    entries = {row["asset"]: row["quarantine_id"] for row in query(services, _OPEN)}
    corrections = build_corrections(
        services.database,
        [
            {"quarantine_id": entries["order_items"], "items": MUGS},
            {"quarantine_id": entries["orders"], "updated_at": "2026-05-01"},
        ],
    )
    import_corrections(services.database, corrections, Path("corrections"))
    run_all(services)
    assert (query(services, _OPEN), products(services)) == ([], [("1", "mug", 50)])
    assert query(services, "SELECT order_id FROM line_versions WHERE is_waiting") == [{"order_id": "2"}]


def test_what_a_file_of_lines_changed_is_told(services: Services) -> None:
    land_orders(services, order())
    land_lines(services, lines())
    run_all(services)
    land_orders(services, order("2"))
    import_id = land_lines(services, lines(items=CAPS))
    run_all(services)
    with services.database.transaction() as connection:
        runs = batches_of_import(connection, import_id)
        note_scope(connection, import_id, [number for one in runs for number in one.of_assets.get("orders", ())])
        told = [
            (counts.table, kind, count)
            for one in runs
            for counts, _ in table_changes(connection, one, ["orders", "order_items"], limit=9, is_scoped=True)
            for kind, count in counts.counts.items()
            if count
        ]
    assert sorted(told) == [("order_items", "updated", 1), ("orders", "updated", 1)]


def test_the_brake_counts_the_lines_of_the_part_that_an_import_brings(services: Services) -> None:
    numbers = [str(number) for number in range(25)]
    two = '[{"name": "mug"}, {"name": "cap"}]'
    land_orders(services, *(order(number, items="mug; cap; box") for number in numbers))
    land_lines(services, *(lines(number, two) for number in numbers))
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM order_items") == 50
    titles = land_orders(services, *(order(number, items="mugs and caps") for number in numbers))
    fewer = land_lines(services, *(lines(number, CAPS) for number in numbers))
    run_all(services)
    statuses = {row["import_id"]: row["status"] for row in query(services, "SELECT * FROM import_tasks")}
    assert (statuses[titles], statuses[fewer]) == ("completed", "held")
    assert scalar(services, "SELECT count(*) FROM order_items") == 50


def held(services: Services) -> dict[UUID, dict[str, int]]:
    found = query(services, "SELECT import_id, held -> 'tables' AS tables FROM import_tasks WHERE status = 'held'")
    return {row["import_id"]: {table: one["removed"] for table, one in row["tables"].items()} for row in found}


TWENTY_FIVE: Final = [str(number) for number in range(25)]
MUG_AND_CAP: Final = '[{"name": "mug"}, {"name": "cap"}]'


def test_of_orders_and_lines_in_one_batch_each_import_is_held_for_what_it_takes(services: Services) -> None:
    land_orders(services, *(order(number) for number in TWENTY_FIVE))
    land_lines(services, *(lines(number, MUG_AND_CAP) for number in TWENTY_FIVE))
    run_all(services)
    before = comparable(services)
    blank = land_orders(services, *(order(number, customer_name=None) for number in TWENTY_FIVE))
    fewer = land_lines(services, *(lines(number, CAPS) for number in TWENTY_FIVE))
    new_order, new_lines = land_orders(services, order("new")), land_lines(services, lines("new", MUG_AND_CAP))
    run_all(services)
    assert held(services) == {blank: {"orders": 25}, fewer: {"order_items": 25}}
    assert [line for line in products(services) if line[0] == "new"] == [("new", "mug", 1), ("new", "cap", 1)]
    assert_sound(services)
    accept_imports(services.database, [fewer])
    run_all(services)
    assert held(services).keys() == {blank}
    assert len(products(services)) == 25 + 2
    assert scalar(services, "SELECT count(*) FROM orders WHERE customer_global_id IS NULL") == 0
    accept_imports(services.database, [blank])
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM orders WHERE customer_global_id IS NULL") == 25
    assert_sound(services)
    revert_imports(services.database, [blank, fewer, new_order, new_lines])
    run_all(services)
    assert comparable(services) == before


def test_orders_and_lines_of_a_batch_that_pass_the_brake_are_committed(services: Services) -> None:
    land_orders(services, *(order(number, items="mug; cap; box") for number in TWENTY_FIVE))
    run_all(services)
    land_orders(services, *(order(number, items="see the other file") for number in TWENTY_FIVE))
    land_lines(services, *(lines(number, MUG_AND_CAP) for number in TWENTY_FIVE))
    run_all(services)
    assert held(services) == {}
    assert len(products(services)) == 50
    assert_sound(services)


def test_lines_that_later_buckets_of_an_import_bring_again_are_not_lost(services: Services) -> None:
    """The last bucket has the newest lines of ten orders: before it is written, they lack a line each."""
    settings = services.database.settings.model_copy(update={"brake_rows": 5})
    services.database.settings = settings
    with_batch_size(services, 10)
    numbers = TWENTY_FIVE[:20]
    land_orders(services, *(order(number) for number in numbers))
    land_lines(services, *(lines(number, MUG_AND_CAP) for number in numbers))
    run_all(services)
    land_lines(services, *(lines(number, text) for text in (CAPS, MUG_AND_CAP) for number in numbers))
    run_all(services)
    assert held(services) == {}
    assert len(products(services)) == 40


_OPEN: Final = "SELECT * FROM quarantine WHERE resolved_at IS NULL ORDER BY quarantine_id"


@pytest.mark.slow
@pytest.mark.sampled
@given(data=st.data(), preset=strategies.presets(), batch_size=st.sampled_from((3, 1000)))
@settings(max_examples=HISTORIES // 2)
def test_files_of_orders_and_of_lines_may_interleave_in_any_way(
    services: Services, data: st.DataObject, preset: Preset, batch_size: int
) -> None:
    rows = [row | {"platform_order_id": None} for row in data.draw(strategies.raw_field_lists(max_size=15))]
    files = data.draw(strategies.split_into_imports(rows))
    holds = [data.draw(st.sampled_from(("orders", "lines"))) for _ in files]
    found = []
    for is_lines_first in (None, False, True):
        ranked = sorted(range(len(files)), key=lambda at: (holds[at] == "lines") == is_lines_first)
        sequence = list(range(len(files))) if is_lines_first is None else ranked
        start_afresh(with_batch_size(services, batch_size))
        for at in sequence:
            is_lines = holds[at] == "lines"
            land(
                services,
                as_lines(files[at]) if is_lines else files[at],
                lines_preset(preset) if is_lines else preset,
            )
            if data.draw(st.booleans()):
                run_all(services)
        run_all(services)
        landed = [as_lines(files[at]) if holds[at] == "lines" else files[at] for at in sequence]
        numbered = strategies.number_rows(landed, holds=[holds[at] for at in sequence])
        pipeline.assert_as_expected(services, numbered, preset)
        found.append(comparable(services))
    assert found[0] == found[1] == found[2]
