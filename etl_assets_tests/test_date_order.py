"""Dates of a file: the order of day and month is decided by the file as a whole, never silently; names of months."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.presets.catalog import PresetError, parse_mapping
from etl_assets.presets.model import Preset
from etl_assets.raw_orders import date_order
from etl_assets.raw_orders.extract import ReadCounts, extract_raw_orders
from etl_assets.raw_orders.import_order import read_newest_time
from etl_assets.raw_orders.importing import Overrides, import_file
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.values.date_order import conflicting_formats
from etl_assets.values.timestamps import parse_timestamps
from etl_assets_tests.helpers.in_process_reader import FileHere

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services

BOTH = ["%d/%m/%Y", "%m/%d/%Y"]
COLUMNS = {"shop": {"constant": "Alstadt"}, "order_id": "No", "ordered_at": "Date"}


def preset_of(formats: list[str] = BOTH, **keys: Any) -> Preset:
    fields = {"name": "own", "columns": COLUMNS, "timestamp_formats": formats}
    return Preset.model_validate(fields | keys)


def write(folder: Path, *dates: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text("No,Date\n" + "".join(f"{number},{date}\n" for number, date in enumerate(dates)), encoding="utf-8")
    return path


def counts_of(path: Path, preset: Preset) -> ReadCounts:
    counts = ReadCounts()
    rows = pl.concat(extract_raw_orders(FileHere(path), preset, counts)).height
    assert rows == counts.lines == path.read_text(encoding="utf-8").count("\n") - 1
    return counts


def found(path: Path, preset: Preset) -> list[tuple[str, str, int | None]]:
    return [(one.code, one.subject, one.first_line) for one in counts_of(path, preset).findings]


@pytest.mark.parametrize(
    ("dates", "order", "line"),
    [
        (["01/02/2026", "13/02/2026"], "day", 3),
        (["01/02/2026", "02/13/2026", "02/14/2026"], "month", 3),
        (["", "2026-02-03", "31/12/2026"], "day", 4),
    ],
)
def test_a_number_above_12_decides_for_the_whole_file(tmp_path: Path, dates: list[str], order: str, line: int) -> None:
    path = write(tmp_path, *dates)
    assert found(path, preset_of()) == [("DATE_ORDER", f"{order} first", line)]
    assert counts_of(path, preset_of()).date_order == order


def test_a_form_that_one_order_has_decides_without_a_finding_as_nothing_is_ambiguous(tmp_path: Path) -> None:
    preset = preset_of(["%d/%m/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p"])
    path = write(tmp_path, "01/02/2026 03:04:05", "01/02/2026 03:04:05 PM")
    assert found(path, preset) == []


@pytest.mark.parametrize("dates", [["01/02/2026"], ["05/05/2026", "01/02/2026", ""]])
def test_a_file_that_does_not_decide_it_is_refused_with_what_to_type(tmp_path: Path, dates: list[str]) -> None:
    with pytest.raises(ImportFileError) as caught:
        counts_of(write(tmp_path, *dates), preset_of())
    assert caught.value.line == dates.index("01/02/2026") + 2
    assert "--day-first or --month-first" in str(caught.value)
    assert "date_order: day" in str(caught.value.worded_for("inbox"))
    assert "2026" not in str(caught.value)


@pytest.mark.parametrize("dates", [["05/05/2026", "12/12/2026"], ["2026-01-02"], [""], ["soon"]])
def test_a_file_without_a_date_of_two_meanings_needs_no_order(tmp_path: Path, dates: list[str]) -> None:
    counts = counts_of(write(tmp_path, *dates), preset_of())
    assert (counts.findings, counts.date_order) == ([], None)


def test_a_date_that_contradicts_an_earlier_one_refuses_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "13/02/2026", "01/02/2026", "02/14/2026")
    with pytest.raises(ImportFileError, match="line 4: its dates have no one order: the one in line 2 is day first"):
        counts_of(path, preset_of())
    assert counts_of(path, preset_of(date_order="day")).findings == []


def test_a_contradiction_is_found_in_later_parts_of_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(date_order, "IN_MEMORY_BYTES", 100)
    preset = preset_of()
    frames = [pl.DataFrame({"__line": [at + 2], "Date": [text]}) for at, text in enumerate(["01/02/2026"] * 3)]
    sure, contrary = (pl.DataFrame({"__line": [9], "Date": [text]}) for text in ("13/02/2026", "02/13/2026"))
    with ExitStack() as files:
        decided, lines = date_order.with_dates_of_file(tmp_path, iter([*frames, sure, frames[0]]), preset, [], files)
        assert decided.time_formats == ("%d/%m/%Y",)
        assert pl.concat(lines)["__line"].to_list() == [2, 3, 4, 9, 2]
        _, lines = date_order.with_dates_of_file(tmp_path, iter([sure, frames[0], contrary]), preset, [], files)
        with pytest.raises(ImportFileError, match="no one order"):
            list(lines)


def test_the_latest_of_several_times_is_found_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("No,Made,Sent\n1,01/12/2026,11/01/2026\n2,05/01/2026,31/12/2026\n")
    columns = {"shop": {"constant": "s"}, "order_id": "No", "updated_at": {"latest_of": ["Made", "Sent"]}}
    rows = pl.concat(extract_raw_orders(FileHere(path), preset_of(columns=columns)))
    assert rows["updated_at"].to_list() == ["01/12/2026", "31/12/2026"]


def test_files_are_sorted_by_times_in_the_order_that_they_decide(tmp_path: Path) -> None:
    newest = read_newest_time(FileHere(write(tmp_path, "01/12/2026", "13/01/2026")), preset_of())
    assert str(newest) == "2026-12-01 00:00:00+00:00"


def test_the_stored_mapping_has_the_order_of_the_file_and_the_one_that_an_option_names(
    services: Services, tmp_path: Path
) -> None:
    path = write(tmp_path, "02/13/2026", "01/02/2026")
    decided = import_file(services.database, path, preset_of())
    asked = import_file(
        services.database, write(tmp_path, "01/02/2026"), preset_of(), overrides=Overrides(date_order="month")
    )
    refused = import_file(services.database, write(tmp_path, "01/02/2026"), preset_of())
    stored = services.database.read(
        "SELECT CAST(import_id AS text) AS import_id, mapping ->> 'date_order' AS date_order FROM import_tasks",
        {"import_id": pl.String(), "date_order": pl.String()},
    )
    orders = dict(stored.iter_rows())
    assert [orders[str(one.import_id)] for one in (decided, asked, refused)] == ["month", "month", None]
    assert (refused.status, refused.rows) == ("failed", 0)


def test_the_options_of_the_command_are_named_in_its_help() -> None:
    shown = CliRunner().invoke(app, ["import", "--help"], env={"COLUMNS": "200"}).stdout
    assert "--day-first" in shown


def test_formats_conflict_only_where_both_read_one_text_as_two_dates() -> None:
    none: dict[str, tuple[str, ...]] = {"day": (), "month": ()}
    assert conflicting_formats(("%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%d", "excel", "%b %d %Y")) == none
    assert conflicting_formats(("%d/%m/%y", "%d-%m-%Y", "%m/%d/%Y")) == {"day": ("%d/%m/%y",), "month": ("%m/%d/%Y",)}


# Years and names of months


def parsed(text: str, strptime: str, year: int | None = None) -> str | None:
    instant = parse_timestamps(pl.Series([text]), pl.Series(["UTC"]), [strptime], year).item()
    return None if instant is None else f"{instant:%Y-%m-%d %H:%M}"


@pytest.mark.parametrize(
    ("text", "strptime", "instant"),
    [
        ("10-Dez-25", "%d-%b-%y", "2025-12-10 00:00"),
        ("Jul-25-26", "%b-%d-%y", "2026-07-25 00:00"),
        ("25-Sept-26", "%d-%b-%y", "2026-09-25 00:00"),
        ("1 de mayo de 2026 10:00 hs.", "%d de %B de %Y %H:%M hs.", "2026-05-01 10:00"),
        ("3 de MARÇO de 2026", "%d de %B de %Y", "2026-03-03 00:00"),
        ("13 févr. 2026 09:00", "%d %b %Y %H:%M", "2026-02-13 09:00"),
        ("3. Mär. 2026", "%d. %b. %Y", "2026-03-03 00:00"),
        ("03 Agu 2026", "%d %b %Y", None),
        ("03 Agustus 2026", "%d %B %Y", "2026-08-03 00:00"),
        ("2026/5/13 下午 3:01", "%Y/%m/%d %p %I:%M", "2026-05-13 15:01"),
        ("13/05/2026 3:01 p. m.", "%d/%m/%Y %I:%M %p", "2026-05-13 15:01"),
        ("30 février 2026", "%d %B %Y", None),
        ("13 Maybe 2026", "%d %b %Y", None),
    ],
)
def test_names_of_months_of_other_languages_are_read(text: str, strptime: str, instant: str | None) -> None:
    assert parsed(text, strptime) == instant


def test_a_time_without_a_year_has_that_of_the_mapping() -> None:
    assert parsed("5月13日", "%m月%d日", 2026) == "2026-05-13 00:00"
    assert parsed("5.13", "%m.%d", 2025) == "2025-05-13 00:00"
    assert parsed("29.2.", "%d.%m.", 2026) is None
    assert parsed("5月13日", "%m月%d日") is None


@pytest.mark.parametrize(
    ("name", "year"), [("订单-2026.csv", 2026), ("orders 2025.csv", 2025), ("export_20260513.csv", 2026)]
)
def test_the_year_is_that_of_the_name_of_the_file(tmp_path: Path, name: str, year: int) -> None:
    path = write(tmp_path, "5月13日", name=name)
    assert counts_of(path, preset_of(["%m月%d日"], year="file_name")).year == year


@pytest.mark.parametrize(("name", "what"), [("a.csv", "no year"), ("2025-2026.csv", "several years")])
def test_a_name_without_one_year_is_refused(tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(ImportFileError, match=what):
        counts_of(write(tmp_path, "5月13日", name=name), preset_of(["%m月%d日"], year="file_name"))


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("timestamp_formats: ['%m月%d日']", "name it in year"),
        ("timestamp_formats: ['%m月%d日']\nyear: this", "year"),
        ("date_order: american", "date_order: it must be day or month"),
    ],
)
def test_a_mistake_in_these_keys_says_what_to_write(keys: str, problem: str) -> None:
    with pytest.raises(PresetError, match=problem):
        parse_mapping(f"name: own\ncolumns: {{order_id: No}}\n{keys}\n", "own.yaml")
    text = "name: own\ncolumns: {order_id: No}\ntimestamp_formats: ['%m月%d日']\nyear: 2026\n"
    assert parse_mapping(text, "own.yaml").known_year == 2026
