"""The latest of several times as an order's time of change: which text is taken, and what that does to versions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl
import pytest
from pydantic import ValidationError

from etl_assets.presets.catalog import get_preset, parse_mapping
from etl_assets.presets.model import Preset
from etl_assets.raw_orders.importing import Overrides, import_file
from etl_assets.raw_orders.latest_times import latest_texts
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.transform import to_raw_orders
from etl_assets_tests.helpers.pipeline import query, run_all

if TYPE_CHECKING:
    from etl_assets.pipeline.protocol import Services

COLUMNS: dict[str, Any] = {
    "order_id": "No",
    "ordered_at": "Made",
    "updated_at": {"latest_of": ["Made", "Paid", "Sent"]},
}


def preset(**fields: Any) -> Preset:
    return Preset.model_validate({"name": "own", "columns": COLUMNS, "timestamp_formats": ["%d.%m.%Y"], **fields})


def latest(*times: str | None, **fields: Any) -> str | None:
    names = ["Made", "Paid", "Sent"][: len(times)]
    texts = latest_texts(pl.DataFrame([times], dict.fromkeys(names, pl.String), orient="row"), preset(**fields))
    return cast("str | None", texts[0])


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ((None, " ", ""), None),
        (("2026-01-02", None, ""), "2026-01-02"),
        (("2026-01-02", "2026-01-01 23:00", ""), "2026-01-02"),
        (("02.11.2026", "10.01.2026", "2026-10-30"), "02.11.2026"),  # by the time, not by the text
        (("2026-01-02 12:00:00 +0200", "2026-01-02 11:00:00 +0000", None), "2026-01-02 11:00:00 +0000"),
        (("2026-01-02T00:00:00Z", "2026-01-02 00:00:00", None), "2026-01-02T00:00:00Z"),  # the first of equal ones
        (("0000-00-00", "2026-01-02", None), "2026-01-02"),
        (("0000-00-00", "0000-00-00 00:00", None), "0000-00-00"),
        (("2026-01-02", "soon", "2026-01-03"), "soon"),  # held back, instead of being taken for an older version
    ],
)
def test_the_text_of_the_latest_time_is_taken_untouched(times: tuple[str | None, ...], expected: str | None) -> None:
    assert latest(*times) == expected


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (("2026-01-02 12:00:00 +0200", "2026-01-02 13:00:00 +0200"), "2026-01-02 13:00:00 +0200"),
        (("2026-01-02 12:00:00 +0200", "03/01/2026 10:00"), "03/01/2026 10:00"),
        (("03/02/2026 10:00", "01/03/2026 10:00"), "01/03/2026 10:00"),
        (("2026-01-02 12:00:00 1/2", "2026-01-02 13:00:00 1/2"), "2026-01-02 12:00:00 1/2"),  # neither is a time
    ],
)
def test_usual_times_stand_beside_formats_with_a_slash(times: tuple[str, str], expected: str) -> None:
    assert latest(*times, timestamp_formats=["%Y-%m-%d %H:%M:%S %z", "%d/%m/%Y %H:%M"]) == expected


def test_the_times_stay_in_extra_and_may_be_missing_in_the_file() -> None:
    row = {LINE_NUMBER: 2, ROW_ERROR: None, "No": "1", "Made": "2026-01-01", "Sent": "2026-01-05"}
    schema = {LINE_NUMBER: pl.Int64, **dict.fromkeys((ROW_ERROR, "No", "Made", "Sent"), pl.String)}
    (raw,) = to_raw_orders(pl.DataFrame([row], schema), preset()).to_dicts()
    assert (raw["ordered_at"], raw["updated_at"], raw["extra"]) == ("2026-01-01", "2026-01-05", '{"Sent":"2026-01-05"}')


def test_the_example_of_the_documentation_is_right() -> None:
    page = (Path(__file__).parents[1] / "docs" / "importing.md").read_text(encoding="utf-8")
    (block,) = (text for text in page.split("```") if text.startswith("yaml\nname: stall_with_times"))
    stall = parse_mapping(block.removeprefix("yaml"), "importing.md")
    names = stall.columns["updated_at"].latest_of
    table = page.split(f"| {' | '.join(names)} | updated_at |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    assert len(rows) == 3
    times = pl.DataFrame([row[:3] for row in rows], dict.fromkeys(names, pl.String), orient="row")
    assert latest_texts(times, stall).to_list() == [row[3] for row in rows]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"updated_at": {"latest_of": ["A", "B"], "constant": "x"}}, "latest_of stands alone"),
        ({"remark": {"latest_of": ["A", "B"]}}, "latest_of is for ordered_at and updated_at only"),
        ({"updated_at": {"latest_of": []}}, "a constant, latest_of, sum or number_rows_by"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(columns: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        preset(columns={**COLUMNS, **columns})


HEADER = "Name,Email,Financial Status,Paid at,Fulfilled at,Cancelled at,Created at,Total,Currency,Lineitem name,Lineitem quantity\n"  # noqa: E501
FIRST_ROW = (
    "#1,kim@example.com,{status},2026-03-02 10:00:00 +0100,,{cancelled},2026-03-01 10:00:00 +0100,9.00,EUR,Mug,1\n"
)
FURTHER_ROW = "#1,kim@example.com,,,,,2026-03-01 10:00:00 +0100,,,Cup,2\n"


@pytest.mark.parametrize("oldest_first", [True, False])
def test_an_older_shopify_export_does_not_undo_a_cancellation(
    services: Services, tmp_path: Path, *, oldest_first: bool
) -> None:
    older = HEADER + FIRST_ROW.format(status="paid", cancelled="") + FURTHER_ROW
    newer = HEADER + FIRST_ROW.format(status="refunded", cancelled="2026-03-28 23:30:00 +0100") + FURTHER_ROW
    for at, text in enumerate((older, newer) if oldest_first else (newer, older)):
        path = tmp_path / f"{at}.csv"
        path.write_text(text)
        result = import_file(services.database, path, get_preset("shopify"), overrides=Overrides(shop="Maple"))
        assert result.status == "completed"
        run_all(services)
    (order,) = query(services, "SELECT is_cancelled, latest_status, source_updated_at::text FROM orders")
    assert (order["is_cancelled"], order["latest_status"]) == (True, "cancelled")
    assert order["source_updated_at"].startswith("2026-03-28 22:30:00")
    raw = query(services, "SELECT updated_at, extra->>'Paid at' AS paid FROM raw_orders ORDER BY raw_id")
    assert {row["updated_at"] for row in raw} == {"2026-03-02 10:00:00 +0100", "2026-03-28 23:30:00 +0100"}
    assert {row["paid"] for row in raw} == {"2026-03-02 10:00:00 +0100"}
