"""Orders that share an order number: told apart by the platform's own id, held, listed, and never merged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.presets.catalog import get_preset
from etl_assets.quality.checks import ROWS_AGREE
from etl_assets.quality.running import run_check
from etl_assets.quarantine.corrections import build_corrections, import_corrections
from etl_assets.quarantine.requeue import requeue
from etl_assets.quarantine.spreadsheet import export_quarantine, read_corrections
from etl_assets.raw_orders import load
from etl_assets.raw_orders.importing import Overrides, import_file
from etl_assets_tests.helpers import pipeline, strategies
from etl_assets_tests.helpers.effort import HISTORIES
from etl_assets_tests.helpers.pipeline import PRESET, land, query, raw_fields, run_all, start_afresh, with_batch_size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services

HEADERS: Final = (
    "Name,Email,Financial Status,Total,Currency,Created at,Lineitem name,Lineitem quantity,Lineitem price,Id"
)
Fields = dict[str, str | None]


def row(number: str, identity: str | None, **fields: str | None) -> Fields:
    return raw_fields(number, platform_order_id=identity, **fields)


def stored_ids(services: Services) -> dict[str, str | None]:
    return {one["order_id"]: one["platform_order_id"] for one in query(services, "SELECT * FROM orders")}


def open_conflicts(services: Services) -> list[int]:
    rows = query(
        services,
        "SELECT raw_id FROM quarantine WHERE reason_code = 'CONFLICTING_ORDER' AND resolved_at IS NULL ORDER BY raw_id",
    )
    return [one["raw_id"] for one in rows]


def imported(services: Services, *imports: Sequence[Fields]) -> None:
    start_afresh(services)
    for rows in imports:
        land(services, rows)
    run_all(services)


# --- across and within imports ----------------------------------------------------------------------------------------

_ROWS: Final = st.builds(
    row,
    st.sampled_from(["1", "2", " 1"]),
    st.sampled_from(["a", "b", " a", None]),
    shop=st.sampled_from(["s", "s", "t", None]),
    updated_at=st.sampled_from([None, "2024-01-01", "2024-01-02"]),
    amount=st.sampled_from(["1", "1", "2", "x"]),
)


@pytest.mark.sampled
@settings(max_examples=HISTORIES)
@given(
    imports=st.lists(st.lists(_ROWS, max_size=5), max_size=4),
    batch_size=st.sampled_from((1, 2, 3, 1000)),
    data=st.data(),
)
def test_the_same_orders_are_held_however_rows_are_split_into_batches_and_runs(
    services: Services, imports: list[list[Fields]], batch_size: int, data: st.DataObject
) -> None:
    start_afresh(with_batch_size(services, batch_size))
    for rows in imports:
        land(services, rows)
        if data.draw(st.booleans()):
            run_all(services)
    run_all(services)
    pipeline.assert_as_expected(services, strategies.number_rows(imports), PRESET)
    before = pipeline.snapshot(services)
    run_all(services, full_refresh=True)
    assert pipeline.snapshot(services) == before


def test_all_orders_of_a_number_wait_where_one_import_names_several_ids(services: Services) -> None:
    imported(services, [row("1", "a"), row("2", "c"), row("1", None), row("1", "b")])
    assert stored_ids(services) == {"2": "c"}
    assert open_conflicts(services) == [1, 3, 4]


def test_of_two_imports_the_newcomer_waits_even_with_a_later_time(services: Services) -> None:
    imported(services, [row("1", "a", amount="1")], [row("1", "b", amount="2", updated_at="2024-05-01")])
    assert [(one["platform_order_id"], one["raw_id"]) for one in query(services, "SELECT * FROM orders")] == [("a", 1)]
    assert open_conflicts(services) == [2]
    (reason,) = (one["reason"] for one in query(services, "SELECT reason FROM quarantine"))
    assert "--shop" in reason
    assert "inbox" in reason


def test_an_id_is_filled_in_without_a_change_of_the_order_and_kept(services: Services) -> None:
    imported(services, [row("1", None)])
    land(services, [row("1", "a")])
    counts = run_all(services)["orders"].counts
    assert (counts.unchanged, counts.updated, stored_ids(services)) == (1, 0, {"1": "a"})
    land(services, [row("1", None, amount="5")])
    assert run_all(services)["orders"].counts.updated == 1
    assert stored_ids(services) == {"1": "a"}


def test_an_older_version_names_the_id_as_well(services: Services) -> None:
    imported(services, [row("1", None, updated_at="2024-01-02")], [row("1", "a", updated_at="2024-01-01")])
    assert stored_ids(services) == {"1": "a"}
    land(services, [row("1", "b")])
    run_all(services)
    assert open_conflicts(services) == [3]


def test_a_later_row_of_the_stored_order_does_not_resolve_the_other_order(services: Services) -> None:
    imported(services, [row("1", "a")], [row("1", "b")], [row("1", "a", amount="3")])
    assert open_conflicts(services) == [2]


def test_a_later_row_of_the_same_id_resolves_its_own(services: Services) -> None:
    imported(services, [row("1", "a"), row("1", "b")], [row("1", "a", amount="3")])
    assert open_conflicts(services) == [2]
    assert stored_ids(services) == {"1": "a"}


def test_no_later_row_resolves_one_that_names_no_id_among_several(services: Services) -> None:
    imports = [[row("1", "a"), row("1", None), row("1", "b")], [row("1", None)]]
    imported(services, *imports)
    assert stored_ids(services) == {"1": None}
    assert open_conflicts(services) == [1, 2, 3]
    pipeline.assert_as_expected(services, strategies.number_rows(imports), PRESET)


def test_a_replay_of_a_conflict_changes_nothing(services: Services) -> None:
    imported(services, [row("1", "a"), row("1", "b")], [row("2", "c")], [row("2", "d")])
    before = pipeline.snapshot(services)
    assert len(requeue(services.database).queued) == 3
    run_all(services)
    assert pipeline.snapshot(services) == before


def test_an_export_of_conflicts_that_is_replayed_unchanged_changes_nothing(services: Services, tmp_path: Path) -> None:
    imported(services, [row("1", "a"), row("1", "b")])
    export_quarantine(services.database, tmp_path / "rows.csv")
    before = pipeline.snapshot(services)
    result = import_corrections(services.database, read_corrections(tmp_path / "rows.csv"), tmp_path / "rows.csv")
    assert (result.landed, len(result.unchanged)) == ((), 2)
    run_all(services)
    assert pipeline.snapshot(services) == before


def test_a_conflict_whose_shop_is_corrected_loads_both_orders(services: Services, tmp_path: Path) -> None:
    imported(services, [row("1", "a"), row("1", "b")])
    ids = [one["quarantine_id"] for one in query(services, "SELECT quarantine_id FROM quarantine ORDER BY raw_id")]
    correction = [{"quarantine_id": ids[0], "shop": "s"}, {"quarantine_id": ids[1], "shop": "t"}]
    import_corrections(services.database, build_corrections(services.database, correction), tmp_path / "fixed.csv")
    run_all(services)
    assert open_conflicts(services) == []
    loaded = query(services, "SELECT shop_name, platform_order_id FROM orders JOIN shop_configs USING (shop_id)")
    assert sorted(tuple(one.values()) for one in loaded) == [("s", "a"), ("t", "b")]


def test_corrections_that_leave_the_shops_as_they_are_stay_in_conflict(services: Services, tmp_path: Path) -> None:
    imported(services, [row("1", "a"), row("1", "b")])
    ids = [one["quarantine_id"] for one in query(services, "SELECT quarantine_id FROM quarantine")]
    correction = [{"quarantine_id": number, "amount": "9"} for number in ids]
    import_corrections(services.database, build_corrections(services.database, correction), tmp_path / "fixed.csv")
    run_all(services)
    assert stored_ids(services) == {}
    assert len(open_conflicts(services)) == 2


def test_without_the_version_that_the_store_refuses_the_number_is_the_other_orders(services: Services) -> None:
    start_afresh(services)
    pipeline.query(services, "ALTER TABLE orders ADD CONSTRAINT not_a CHECK (platform_order_id <> 'a')")
    try:
        land(services, [row("1", "a")])
        land(services, [row("1", "b")])
        run_all(services)
        assert stored_ids(services) == {"1": "b"}
        assert open_conflicts(services) == []
    finally:
        pipeline.query(services, "ALTER TABLE orders DROP CONSTRAINT not_a")


# --- rows that disagree -----------------------------------------------------------------------------------------------


def test_rows_of_one_order_that_disagree_load_and_are_counted_and_listed(services: Services, tmp_path: Path) -> None:
    start_afresh(services)
    path = tmp_path / "orders.csv"
    rows = [
        "p,s,1,Ann,10,2024-01-01", "p,s,2,Bob,5,2024-01-01", "p,s, 1,Ann ,10.00,2024-01-02", "p,t,2,Eve,6,2024-01-01",
    ]  # fmt: skip
    path.write_text("\n".join(["platform,shop,order_id,customer_name,amount,ordered_at", *rows, ""]), encoding="utf-8")
    result = import_file(services.database, path, None)
    found = [(one.code, one.subject, one.count, one.first_line) for one in result.findings]
    assert found == [("DISAGREEING_ROWS", "ordered_at", 1, 2)]
    assert "Ann" not in str([one.as_dict() for one in result.findings])
    counts = run_all(services)["orders"].counts
    assert (counts.inserted, counts.superseded, counts.quarantined) == (3, 1, 0)
    outcome = run_check(services.database, ROWS_AGREE)
    (violation,) = outcome.violations
    assert (outcome.passed, violation["column_name"], violation["orders"]) == (False, "ordered_at", 1)


def test_more_differing_rows_than_are_compared_at_once_are_compared_in_parts(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "REPEATS_AT_ONCE", 2)
    imported(services, [row(str(at), identity) for at in range(9) for identity in ("a", "b" if at % 2 else "a", None)])
    assert stored_ids(services) == {str(at): "a" for at in range(0, 9, 2)}
    assert len(open_conflicts(services)) == 12


# --- in the layout of Shopify -----------------------------------------------------------------------------------------


def shopify_order(name: str, identity: int, email: str, total: str, *items: str) -> str:
    first, *further = items
    lines = [f"{name},{email},paid,{total},EUR,2024-01-05 10:00:00 +0000,{first},1,5.00,{identity}"]
    lines += [f"{name},{email},,,,2024-01-05 10:00:00 +0000,{item},1,5.00," for item in further]
    return "\n".join(lines)


SHOPS: Final = {
    "north.csv": (
        shopify_order("#1001", 501, "kim@x.test", "10", "Mug", "Pin"),
        shopify_order("#1002", 502, "lee@x.test", "5", "Cap"),
    ),
    "south.csv": (
        shopify_order("#1001", 601, "ann@x.test", "5", "Bag"),
        shopify_order("#1003", 603, "eve@x.test", "5", "Cup"),
    ),
    "north again.csv": (shopify_order("#1001", 501, "kim@x.test", "12", "Mug", "Pin"),),
}


def write(folder: Path, name: str, orders: Sequence[str]) -> Path:
    path = folder / name
    path.write_text("\n".join([HEADERS, *orders, ""]), encoding="utf-8")
    return path


def test_files_of_several_shops_under_one_name_lose_no_order(services: Services, tmp_path: Path) -> None:
    start_afresh(services)
    for name, orders in SHOPS.items():
        path = write(tmp_path, name, orders)
        import_file(services.database, path, get_preset("shopify"), overrides=Overrides(shop="North"))
    counts = run_all(services)["orders"].counts
    assert (counts.inserted, counts.superseded, counts.quarantined) == (3, 1, 1)
    assert stored_ids(services) == {"#1001": "501", "#1002": "502", "#1003": "603"}
    assert open_conflicts(services) == [3]
    south = write(tmp_path, "south.csv", SHOPS["south.csv"])
    import_file(services.database, south, get_preset("shopify"), overrides=Overrides(shop="South"))
    assert run_all(services)["orders"].counts.inserted == 2


def test_one_file_of_several_shops_holds_the_orders_that_share_a_number(services: Services, tmp_path: Path) -> None:
    start_afresh(services)
    joined = [order for name in ("north.csv", "south.csv") for order in SHOPS[name]]
    path = write(tmp_path, "all.csv", joined)
    result = import_file(services.database, path, get_preset("shopify"), overrides=Overrides(shop="North"))
    assert ("CONFLICTING_ORDERS", 2) in {(one.code, one.count) for one in result.findings}
    run_all(services)
    assert stored_ids(services) == {"#1002": "502", "#1003": "603"}
    held = query(
        services, "SELECT platform_order_id, items FROM raw_orders WHERE defect = 'CONFLICTING_ORDER' ORDER BY 1"
    )
    assert [(one["platform_order_id"], one["items"].count('"name"')) for one in held] == [("501", 2), ("601", 1)]
