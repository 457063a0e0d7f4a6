"""Drift of exports: what is said of an import whose headers, columns or statuses are not those of the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from etl_assets.presets.model import Preset
from etl_assets.quality.checks import CHECKS
from etl_assets.quality.running import run_check
from etl_assets.raw_orders.drift import Layout, feed_of, find_drift
from etl_assets.raw_orders.findings import read_findings
from etl_assets.raw_orders.importing import Overrides, import_file
from etl_assets.raw_orders.profile import MAX_STATUSES, Profile
from etl_assets.reporting.findings import count_findings_of_last_days
from etl_assets.reverts.imports import restore_imports, revert_imports
from etl_assets_tests.helpers.pipeline import scalar

if TYPE_CHECKING:
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services
    from etl_assets.raw_orders.findings import Finding
    from etl_assets.raw_orders.load import ImportResult

PRESET = Preset.model_validate(
    {
        "name": "stall",
        "columns": {
            "platform": {"constant": "stall"},
            "shop": {"constant": "Maple"},
            "order_id": "No",
            "customer_name": ["Email", "Phone"],
            "order_status": "State",
            "amount": "Total",
        },
        "cancelled_statuses": ["cancelled"],
        "known_statuses": ["open", "Shipped"],
    }
)
HEADERS = ("No", "Email", "Phone", "State", "Total", "Notes")


def profile_of(*rows: tuple[str | None, ...], headers: tuple[str, ...] = HEADERS, times: int = 5) -> Layout:
    """The layout of an import with these rows of a file, each so many times."""
    lines = pl.DataFrame(list(rows) * times, schema=dict.fromkeys(headers, pl.String), orient="row")
    profile = Profile()
    profile.count_lines(lines, PRESET)
    columns = {"No": "order_id", "State": "order_status", "Total": "amount", "Email": "customer_name"}
    filled = lines.with_columns(pl.when(pl.all() != "").then(pl.all()))
    named = filled.with_columns(pl.coalesce(name for name in ("Email", "Phone") if name in headers).alias("Email"))
    orders = named.rename(columns, strict=False).with_row_index("row_no", 2).cast({"row_no": pl.Int32})
    profile.count_orders(orders, PRESET)
    return Layout(headers, profile)


def told(findings: list[Finding]) -> dict[str, str]:
    return {finding.code: finding.subject for finding in findings}


ORDINARY = ("1", "a@example.com", None, "open", "5", None)


def test_an_import_like_the_last_one_has_no_drift() -> None:
    assert find_drift(profile_of(ORDINARY), profile_of(ORDINARY, ORDINARY), PRESET) == []


def test_new_and_missing_headers_are_named_whatever_their_case_and_blanks() -> None:
    now = profile_of(("1", None, "open", "5", None, None), headers=("NO", "Phone", "State", "Total", "Memo ", "Tax"))
    found = told(find_drift(profile_of(ORDINARY), now, PRESET))
    assert (found["NEW_HEADERS"], found["GONE_HEADERS"]) == ("'Memo ', 'Tax'", "'Email', 'Notes'")


def test_many_headers_are_counted_and_values_among_them_are_not_shown() -> None:
    many = (*HEADERS, *(f"further {chr(97 + at)}" for at in range(20)))
    (new,) = find_drift(profile_of(ORDINARY), Layout(many, profile_of(ORDINARY).profile), PRESET)
    assert (new.count, new.subject.endswith("'further h' and 12 more")) == (20, True)
    doubtful = Layout((*HEADERS, "kim@example.com"), profile_of(ORDINARY).profile)
    assert told(find_drift(profile_of(ORDINARY), doubtful, PRESET)) == {"NEW_HEADERS": "not shown"}


def test_a_column_that_can_not_be_read_any_more_is_named() -> None:
    before, now = (
        profile_of(ORDINARY),
        profile_of(("1", "a", None, "open", None), headers=("No", "Email", "Phone", "State", "Notes")),
    )
    assert told(find_drift(before, now, PRESET))["LOST_COLUMN"] == "amount"


def test_a_column_that_was_filled_and_is_empty_is_named_where_there_are_enough_orders() -> None:
    empty = ("1", "a@example.com", None, "open", "", None)
    assert told(find_drift(profile_of(ORDINARY), profile_of(empty), PRESET)) == {"EMPTIED_COLUMN": "amount"}
    assert find_drift(profile_of(ORDINARY), profile_of(empty, times=4), PRESET) == []
    assert find_drift(profile_of(empty, empty, empty, ORDINARY), profile_of(empty), PRESET) == []


def test_a_column_that_comes_from_another_of_its_headers_is_named() -> None:
    by_phone = ("1", "", "0", "open", "5", None)
    assert told(find_drift(profile_of(ORDINARY), profile_of(by_phone), PRESET)) == {
        "MOVED_COLUMN": "customer_name ('Email' → 'Phone')"
    }
    assert find_drift(profile_of(ORDINARY, by_phone), profile_of(by_phone), PRESET) == []


def test_unknown_statuses_are_counted_by_their_cleaned_text() -> None:
    rows = [("1", "a", None, status, "5", None) for status in ("open", " SHIPPED", "Cancelled", "lost ", "lost", None)]
    (finding,) = profile_of(*rows, times=1).profile.status_findings()
    assert (finding.code, finding.subject, finding.count, finding.first_line) == ("UNKNOWN_STATUS", "lost", 2, 5)


def test_of_many_unknown_statuses_the_first_are_named_and_the_others_counted() -> None:
    rows = [("1", "a", None, f"{'x' * 70}" if at == 0 else f"s{at}", "5", None) for at in range(30)]
    first, *_, last = found = profile_of(*rows, times=2).profile.status_findings()
    assert (len(found), first.subject) == (MAX_STATUSES + 1, "x" * 60)
    assert (last.code, last.count) == ("MORE_UNKNOWN_STATUSES", 20)


def test_a_feed_is_a_preset_with_its_constants_or_a_source() -> None:
    assert feed_of("a.csv", PRESET) == feed_of("b.csv", PRESET) != feed_of("a.csv", PRESET.with_overrides(shop="Oak"))
    assert feed_of("source:till", PRESET) == "source:till"
    assert len(feed_of("a.csv", PRESET.with_overrides(shop="x" * 9000))) == 64


def land(services: Services, path: Path, text: str, **overrides: Any) -> ImportResult:
    path.write_text(text)
    return import_file(services.database, path, PRESET, overrides=Overrides(**overrides))


def outcome(services: Services, name: str) -> Any:
    (check,) = (check for check in CHECKS if check.name == name)
    return run_check(services.database, check)


def test_an_import_is_compared_with_the_last_one_of_its_preset_and_shop(services: Services, tmp_path: Path) -> None:
    def file(headers: str, *cells: str) -> str:
        return "\n".join([headers, *(f"{at},{','.join(cells)}" for at in range(6))])

    first = land(services, tmp_path / "a.csv", file("No,Email,Phone,State,Total", "a@example.com", "", "open", "5"))
    with_tax = file("No,Email,Phone,State,Total,Tax", "a@example.com", "", "open", "5", "1")
    other = land(services, tmp_path / "c.csv", with_tax, shop="Oak")
    assert (first.findings, other.findings) == ((), ())
    assert outcome(services, "columns_as_before").passed
    second = land(services, tmp_path / "b.csv", file("No,Phone,State,Total", "0", "open", "5"))
    assert told(list(second.findings)) == {
        "GONE_HEADERS": "'Email'",
        "MOVED_COLUMN": "customer_name ('Email' → 'Phone')",
    }
    with services.database.transaction() as connection:
        assert read_findings(connection, [second.import_id])[second.import_id] == list(second.findings)
    found = outcome(services, "columns_as_before")
    assert (found.passed, {row["finding"] for row in found.violations}) == (False, {"GONE_HEADERS", "MOVED_COLUMN"})
    land(services, tmp_path / "d.csv", "No,Phone,State,Total\n7,0,open,5\n")
    assert outcome(services, "columns_as_before").passed


def test_reverted_imports_are_compared_with_no_others_and_their_findings_are_not_counted(
    services: Services, tmp_path: Path
) -> None:
    def file(headers: str, state: str) -> str:
        return "\n".join([headers, *(f"{at},a@example.com,{state},5" for at in range(6))])

    def findings() -> list[str]:
        with services.database.transaction() as connection:
            return [row["code"] for row in count_findings_of_last_days(connection, 30)]

    land(services, tmp_path / "a.csv", file("No,Email,State,Total", "open"))
    wrong = land(services, tmp_path / "b.csv", file("No,Phone,State,Total", "on hold"))
    codes = {"GONE_HEADERS", "MOVED_COLUMN", "UNKNOWN_STATUS"}
    assert codes <= {*told(list(wrong.findings))} | {*findings()}
    revert_imports(services.database, [wrong.import_id])
    assert findings() == []
    assert outcome(services, "columns_as_before").passed
    assert outcome(services, "statuses_are_known").passed
    assert land(services, tmp_path / "c.csv", file("No,Email,State,Total", "open")).findings == ()
    restore_imports(services.database, [wrong.import_id])
    assert set(findings()) >= codes


def test_unknown_statuses_are_reported_until_a_later_import_knows_them(services: Services, tmp_path: Path) -> None:
    text = "No,Email,Phone,State,Total\n1,a,,on hold,5\n2,a,,open,5\n3,a,,ON HOLD,5\n"
    result = land(services, tmp_path / "a.csv", text)
    assert [(one.code, one.subject, one.count) for one in result.findings] == [("UNKNOWN_STATUS", "on hold", 2)]
    found = outcome(services, "statuses_are_known")
    assert (found.passed, [(row["status"], row["orders"]) for row in found.violations]) == (False, [("on hold", 2)])
    (tmp_path / "b.csv").write_text(text)
    extended = PRESET.model_copy(update={"known_statuses": (*PRESET.known_statuses, "On hold")})
    assert import_file(services.database, tmp_path / "b.csv", extended).findings == ()
    assert outcome(services, "statuses_are_known").passed
    assert scalar(services, "SELECT count(*) FROM import_findings") == 1
