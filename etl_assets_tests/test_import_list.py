"""Lists of imports for pages: choices, search, pages, effects of a revert; dismissal of refused files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etl_assets.errors import EtlError
from etl_assets.presets.catalog import get_preset
from etl_assets.quarantine.corrections import build_corrections, import_corrections
from etl_assets.raw_orders.dismiss import dismiss_imports
from etl_assets.raw_orders.importing import Overrides, import_file
from etl_assets.raw_orders.load import record_failed_import
from etl_assets.reporting import import_list
from etl_assets.reporting.failed_imports import read_failed_imports
from etl_assets.reporting.import_fates import count_fates
from etl_assets.reporting.import_list import count_choices, list_page, read_revert_effects, shown_name
from etl_assets.reverts.imports import ByUser, revert_imports
from etl_assets_tests.helpers.pipeline import query, run_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    import pytest

    from etl_assets.pipeline.protocol import Services

HEADER = "shop,order_id,customer_name,amount,updated_at,items\n"


def land(services: Services, path: Path, *rows: str) -> UUID:
    path.write_text(HEADER + "".join(f"{row}\n" for row in rows))
    return import_file(services.database, path, get_preset("generic"), overrides=Overrides(platform="p")).import_id


def read(services: Services, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    with services.database.transaction() as connection:
        return function(connection, *arguments, **options)


def test_imports_are_listed_by_choice_name_and_page(services: Services, tmp_path: Path) -> None:
    land(services, tmp_path / "May.csv", "s,1,kim,5,2026-01-01,Mug", "s,2,kim,x,2026-01-01,Mug")
    second = land(services, tmp_path / "june.csv", "s,3,kim,5,2026-01-01,Mug")
    refused = record_failed_import(services.database, tmp_path / "july.csv", EtlError(f"{tmp_path}/july.csv: no."))
    run_all(services)
    (bad,) = query(services, "SELECT quarantine_id FROM quarantine")
    rows = build_corrections(services.database, [{**bad, "amount": "5"}])
    import_corrections(services.database, rows, tmp_path / "mended.csv", user_name="kim")
    revert_imports(services.database, [second], ByUser("lee", "twice"))
    listed = read(services, list_page)
    assert [(one.name, one.kind, one.status, one.bad_rows, one.user_name) for one in listed] == [
        ("mended.csv", "corrections", "completed", 0, "kim"),
        ("july.csv", "file", "failed", 0, None),
        ("june.csv", "file", "reverted", 0, None),
        ("May.csv", "file", "completed", 0, None),
    ]
    assert listed[1].problem == "july.csv: no."
    assert [one.name for one in read(services, list_page, search="MAY")] == ["May.csv"]
    assert [one.name for one in read(services, list_page, choice="reverted")] == ["june.csv"]
    assert [one.name for one in read(services, list_page, before=listed[1].place, limit=1)] == ["june.csv"]
    assert read(services, list_page, choice="bad") == []
    assert read(services, count_choices) == {"held": 0, "refused": 1}
    dismiss_imports(services.database, [refused.import_id], "a test", user_name="lee")
    assert read(services, count_choices) == {"held": 0, "refused": 0}
    (dismissed,) = read(services, list_page, choice="dismissed")
    assert (dismissed.name, dismissed.note) == ("july.csv", "a test")
    assert read(services, read_failed_imports, shown=5).total == 0
    actions = query(services, "SELECT user_name, action, after FROM user_actions ORDER BY action_id")
    assert [tuple(one.values()) for one in actions[1:]] == [
        ("lee", "imports revert", {"status": "reverted", "reason": "twice"}),
        ("lee", "imports dismiss", {"dismissed": True, "note": "a test"}),
    ]


def test_effects_of_a_revert_are_counted_before_it(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = land(services, tmp_path / "a.csv", "s,1,kim,5,2026-01-01,Mug", "s,2,lee,5,2026-01-01,Mug")
    run_all(services)
    newer = land(services, tmp_path / "b.csv", "s,1,kim,6,2026-01-02,Mug", "s,3,kim,5,2026-01-01,Mug")
    refused = record_failed_import(services.database, tmp_path / "c.csv", EtlError("no"))
    run_all(services)
    effects = read(services, read_revert_effects, newer)
    assert (effects.orders, effects.only_here, effects.leads, effects.is_more) == (2, 1, 1, False)
    assert read(services, read_revert_effects, older).orders == 1
    assert read(services, read_revert_effects, refused.import_id).orders == 0
    monkeypatch.setattr(import_list, "MOST_COUNTED", 1)
    assert read(services, read_revert_effects, newer).is_more


def test_fates_are_counted_of_imports_whose_rows_lie_between_those_of_another(
    services: Services, tmp_path: Path
) -> None:
    first = land(services, tmp_path / "a.csv", "s,1,kim,5,2026-01-01,Mug", "s,2,kim,x,2026-01-01,Mug")
    second = land(services, tmp_path / "b.csv", "s,1,kim,5,2025-01-01,Mug", "s,4,kim,5,2026-01-01,Mug")
    query(services, "UPDATE raw_orders SET raw_id = 9 - raw_id WHERE raw_id IN (2, 3)")  # as two imports at once
    query(services, "UPDATE raw_orders SET raw_id = CASE raw_id WHEN 7 THEN 3 ELSE 2 END WHERE raw_id IN (6, 7)")
    query(
        services,
        "UPDATE import_tasks SET first_raw_id = least(first_raw_id, 2), last_raw_id = greatest(last_raw_id, 3)",
    )
    query(services, "UPDATE etl_work SET low = least(low, 2), high = greatest(high, 3)")
    assert [count["pending"] for count in read(services, count_fates, [first, second]).values()] == [2, 2]
    run_all(services)
    counted = read(services, count_fates, [first, second])
    found = {one: {fate: rows for fate, rows in fates.items() if rows} for one, fates in counted.items()}
    assert found == {
        first: {"current": 1, "quarantined": 1},
        second: {"current": 1, "superseded_or_unchanged": 1},
    }


def test_names_are_shown_without_folders() -> None:
    assert [shown_name(one) for one in ("/a/b/c.csv", "source:shop db", "corrections of kim", "/")] == [
        "c.csv", "shop db", "corrections of kim", "/",
    ]  # fmt: skip
