"""Dagster jobs that export open rows of quarantine and replay corrected ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
import pytest

from etl_assets.asset_graph import STEP_ASSETS
from etl_assets.definitions import build_defs
from etl_assets.orchestration.quarantine_jobs import Correction, QuarantineJobError, allowed_file, quarantine_folder
from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.quarantine import spreadsheet
from etl_assets.quarantine.corrections import CorrectionError, build_corrections
from etl_assets.reporting.status import is_anything_pending
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all, scalar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services
    from etl_assets.settings import Settings
    from etl_assets_tests.conftest import Prepare

pytestmark = pytest.mark.slow


@pytest.fixture
def bad(services: Services, prepare: Prepare) -> Services:
    """Three bad rows in quarantine (1: an amount, 2: a time, 3: items), and a good one."""
    prepare(load_bad_rows)
    return services


def load_bad_rows(services: Services) -> None:
    fields = {"customer_name": "Ann-Secret", "ordered_at": "2026-01-02 10:00:00", "amount": "10"}
    rows = [
        raw_fields("A1", **{**fields, "amount": "five", "remark": "=1+1"}),
        raw_fields("A2", **{**fields, "ordered_at": "15.13.2026 17:45"}),
        raw_fields("A3", **{**fields, "items": '[{"name":'}),
        raw_fields("A4", **fields),
    ]
    land(services, rows)
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM quarantine WHERE resolved_at IS NULL") == 3


def run_job(services: Services, job: str, **config: Any) -> dg.ExecuteInProcessResult:
    resources = {"database": dg.ResourceDefinition.hardcoded_resource(services.database)}
    definition = build_defs(resources=resources).resolve_job_def(job)
    (op,) = definition.all_node_defs
    run_config = {"ops": {op.name: {"config": config}}, "loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        return definition.execute_in_process(run_config=run_config, instance=instance, raise_on_error=False)


def metadata(result: dg.ExecuteInProcessResult) -> Mapping[str, dg.MetadataValue[Any]]:
    assert result.success, failure(result)
    (event,) = [event for event in result.all_events if event.is_successful_output]
    return event.step_output_data.metadata


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in result.all_events if event.is_step_failure]
    data = event.step_failure_data.user_failure_data
    assert data is not None
    assert data.description is not None
    return data.description


def quarantine_id(services: Services, code: str) -> int:
    number: int = scalar(services, "SELECT quarantine_id FROM quarantine WHERE reason_code = :code", code=code)
    return number


def open_codes(services: Services) -> list[str]:
    rows = query(services, "SELECT reason_code FROM quarantine WHERE resolved_at IS NULL ORDER BY 1")
    return [row["reason_code"] for row in rows]


def is_pending(services: Services) -> bool:
    with services.database.transaction() as connection:
        return is_anything_pending(connection)


def put(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


# --- export ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_the_open_rows_are_exported_without_formulas_and_the_ui_shows_no_customer(bad: Services, suffix: str) -> None:
    found = metadata(run_job(bad, "export_quarantine", file_name="bad rows", format=suffix.upper()))
    path = quarantine_folder(bad.database.settings) / f"bad rows.{suffix}"
    assert found["path"].value == str(path)
    assert found["dagster/row_count"].value == 3
    shown = found["first_rows"]
    assert isinstance(shown, dg.TableMetadataValue)
    table = shown.records
    assert [record.data["reason_code"] for record in table] == ["BAD_AMOUNT", "BAD_TIMESTAMP", "BAD_ITEMS"]
    assert set(table[0].data) == {"quarantine_id", "asset", "reason_code", "reason"}
    assert "Ann-Secret" not in repr(found)
    assert spreadsheet.read_corrections(path)["remark"].to_list() == ["=1+1", None, None]
    if suffix == "csv":
        assert "'=1+1" in path.read_text(encoding="utf-8")


def test_an_export_may_be_of_one_asset_and_is_named_after_the_time(bad: Services) -> None:
    found = metadata(run_job(bad, "export_quarantine", asset="order_items"))
    assert found["dagster/row_count"].value == 1
    assert str(found["path"].value).endswith(".xlsx")


def test_the_jobs_take_the_filters_of_the_commands(bad: Services) -> None:
    import_id = str(scalar(bad, "SELECT import_id FROM import_tasks"))
    config = {"reason_code": "BAD_AMOUNT", "import_id": import_id[:6]}
    assert metadata(run_job(bad, "export_quarantine", **config))["dagster/row_count"].value == 1
    assert metadata(run_job(bad, "replay_quarantine", **config))["queued"].value == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"file_name": "../rows"}, "not a plain file name"),
        ({"file_name": "a/b"}, "not a plain file name"),
        ({"file_name": "a\\b"}, "not a plain file name"),
        ({"file_name": "mine", "format": "CSV"}, "may hold corrected rows"),
        ({"file_name": "link", "format": "CSV"}, "may hold corrected rows"),
        ({"asset": "shop"}, "no row can be in quarantine for 'shop'"),
    ],
)
def test_an_export_that_would_go_elsewhere_or_replace_a_file_is_refused(
    bad: Services, tmp_path: Path, config: dict[str, str], message: str
) -> None:
    folder = quarantine_folder(bad.database.settings)
    put(folder, "mine.csv", "corrected")
    (folder / "link.csv").symlink_to(tmp_path / "elsewhere.csv")
    assert message in failure(run_job(bad, "export_quarantine", **config))
    assert (folder / "mine.csv").read_text(encoding="utf-8") == "corrected"
    assert not (tmp_path / "elsewhere.csv").exists()


# --- replay ---------------------------------------------------------------------------------------------------------


def test_a_corrected_export_is_landed_and_left_pending(bad: Services) -> None:
    metadata(run_job(bad, "export_quarantine", file_name="rows", format="CSV"))
    path = quarantine_folder(bad.database.settings) / "rows.csv"
    corrected = pl.read_csv(path, infer_schema=False).with_columns(
        amount=pl.when(pl.col("amount") == "five").then(pl.lit("5.50")).otherwise("amount")
    )
    corrected.write_csv(path.with_name("corrected.csv"))
    result = run_job(bad, "replay_quarantine", file="corrected.csv")
    found = metadata(result)
    assert found["queued"].value == 1
    assert len(found["unchanged"].value) == 2
    assert "sensors" in str(found["next"].value)
    assert is_pending(bad)
    assert scalar(bad, "SELECT run_id FROM etl_batches ORDER BY batch_id DESC LIMIT 1") == result.run_id
    run_all(bad)
    assert scalar(bad, "SELECT amount FROM orders WHERE order_id = 'A1'") == 5.5
    assert open_codes(bad) == ["BAD_ITEMS", "BAD_TIMESTAMP"]
    again = metadata(run_job(bad, "replay_quarantine", file="corrected.csv"))
    assert (again["queued"].value, again["next"].value) == (0, "No row is pending.")
    assert not is_pending(bad)


def test_typed_corrections_change_only_the_columns_that_they_name(bad: Services) -> None:
    corrections = [
        {"quarantine_id": quarantine_id(bad, "BAD_TIMESTAMP"), "ordered_at": "2026-05-15 17:45:00"},
        {"quarantine_id": quarantine_id(bad, "BAD_ITEMS"), "items": "Mug*2", "amount": ""},
    ]
    found = metadata(run_job(bad, "replay_quarantine", corrections=corrections))
    assert found["queued"].value == 2
    run_all(bad)
    assert open_codes(bad) == ["BAD_AMOUNT"]
    orders = query(bad, "SELECT order_id, amount, customer_nickname, ordered_at FROM orders ORDER BY order_id")
    assert [(row["order_id"], row["amount"], row["customer_nickname"]) for row in orders] == [
        ("A2", 10, "Ann-Secret"), ("A3", None, "Ann-Secret"), ("A4", 10, "Ann-Secret"),
    ]  # fmt: skip
    assert orders[0]["ordered_at"].month == 5
    assert query(bad, "SELECT product, quantity FROM order_items") == [{"product": "Mug", "quantity": 2}]
    again = metadata(run_job(bad, "replay_quarantine", corrections=corrections))
    assert (again["queued"].value, len(again["already_resolved"].value)) == (0, 2)


def test_two_rows_of_quarantine_about_one_raw_order_are_corrected_as_one(services: Services) -> None:
    land(services, [raw_fields("B1", ordered_at="2026-01-02 10:00:00", items="Mug*2", processes='[{"pictures": 2}]')])
    run_all(services)
    query(
        services,
        "INSERT INTO quarantine (asset, import_id, raw_id, shop_id, order_id, reason_code, reason, row)"
        " SELECT 'order_items', import_id, raw_id, shop_id, order_id, 'BAD_ITEMS', reason, row FROM quarantine",
    )
    corrections = [
        {"quarantine_id": quarantine_id(services, "BAD_PROCESSES"), "processes": "print"},
        {"quarantine_id": quarantine_id(services, "BAD_ITEMS"), "items": "Cup*3"},
    ]
    assert metadata(run_job(services, "replay_quarantine", corrections=corrections))["queued"].value == 1
    run_all(services)
    assert open_codes(services) == []
    assert query(services, "SELECT product, process_type FROM order_items JOIN process_items USING (order_id)") == [
        {"product": "Cup", "process_type": "print"}
    ]


@pytest.mark.parametrize("which", ["all", "one"])
def test_rows_are_queued_as_they_are(bad: Services, which: str) -> None:
    ids = [] if which == "all" else [quarantine_id(bad, "BAD_AMOUNT")]
    query(bad, "UPDATE raw_orders SET amount = '5' WHERE amount = 'five'")  # as if the rules had changed
    found = metadata(run_job(bad, "replay_quarantine", quarantine_ids=ids))
    assert found["queued"].value == (3 if which == "all" else 1)
    assert is_pending(bad)
    run_all(bad)
    assert open_codes(bad) == ["BAD_ITEMS", "BAD_TIMESTAMP"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"quarantine_ids": [4711]}, "have the ids 4711"),
        ({"corrections": [{"quarantine_id": 4711, "amount": "1"}]}, "have the ids 4711"),
        ({"corrections": [{"quarantine_id": 1}]}, "at least one of platform"),
        ({"quarantine_ids": [1], "file": "rows.csv"}, "Give one of"),
        ({"quarantine_ids": [1], "asset": "orders"}, "Give one of"),
        ({"reason_code": "NONSENSE"}, "use one of BAD_AMOUNT"),
        ({"file": "nowhere.csv"}, "is not a file inside"),
    ],
)
def test_an_invalid_replay_is_refused_with_a_reason(bad: Services, config: dict[str, Any], message: str) -> None:
    assert message in failure(run_job(bad, "replay_quarantine", **config))
    assert not is_pending(bad)


def test_corrections_that_contradict_each_other_are_refused(bad: Services) -> None:
    number = quarantine_id(bad, "BAD_AMOUNT")
    corrections = [{"quarantine_id": number, "amount": amount} for amount in ("1", "2")]
    assert "make them agree" in failure(run_job(bad, "replay_quarantine", corrections=corrections))


def test_an_error_of_the_database_reaches_dagster_without_its_text(bad: Services) -> None:
    query(bad, "ALTER TABLE quarantine RENAME COLUMN reason TO reason_secret_4711")
    message = failure(run_job(bad, "export_quarantine"))
    assert "SQLSTATE 42703" in message
    assert "secret" not in message


def test_a_correction_has_all_raw_columns_and_a_blank_one_is_refused(bad: Services) -> None:
    assert list(Correction.model_fields) == ["quarantine_id", *RAW_COLUMNS]
    with pytest.raises(CorrectionError, match="Correction 1"):
        build_corrections(bad.database, [{"amount": "1"}])


# --- dismissal, order types ------------------------------------------------------------------------------------------


def test_rows_are_dismissed_by_number_or_filter_with_a_reason(bad: Services) -> None:
    one = quarantine_id(bad, "BAD_AMOUNT")
    found = metadata(run_job(bad, "dismiss_quarantine", reason=" a test ", quarantine_ids=[one]))
    assert found["dismissed_rows"].value == 1
    found = metadata(run_job(bad, "dismiss_quarantine", reason="another", reason_code="BAD_ITEMS"))
    assert found["dismissed_rows"].value == 1
    assert open_codes(bad) == ["BAD_TIMESTAMP"]
    notes = query(bad, "SELECT note FROM quarantine WHERE resolution = 'dismissed' ORDER BY reason_code")
    assert [row["note"] for row in notes] == ["a test", "another"]
    assert "have the ids 4711" in failure(run_job(bad, "dismiss_quarantine", reason="x", quarantine_ids=[4711]))


@pytest.mark.parametrize(
    ("job", "config", "message"),
    [
        ("dismiss_quarantine", {"reason": " ", "quarantine_ids": [1]}, "reason is empty"),
        ("dismiss_quarantine", {"reason": "x"}, "Name the rows"),
        ("dismiss_quarantine", {"reason": "x", "quarantine_ids": [1], "asset": "orders"}, "Name the rows"),
        ("dismiss_quarantine", {"reason": "x", "asset": "shop"}, "no row can be in quarantine for 'shop'"),
        ("set_order_type", {"order_type": " ", "counts_as": "SAMPLE"}, "raw order type is empty"),
        ("revert_import", {"import_ids": ["zz"]}, "zz"),
        ("replay_quarantine", {"quarantine_ids": [4711]}, "have the ids 4711"),
    ],
)
def test_wrong_input_ends_with_a_message_and_without_a_stack_trace(
    services: Services, job: str, config: dict[str, Any], message: str
) -> None:
    result = run_job(services, job, **config)
    assert message in failure(result)
    (event,) = [event for event in result.all_events if event.is_step_failure]
    error = event.step_failure_data.error
    assert error is not None
    assert (error.stack, error.cause, error.context) == ([], None, None)
    assert message in error.message


def test_an_order_type_is_mapped_and_applied_to_stored_orders_by_the_full_refresh(bad: Services) -> None:
    query(bad, "UPDATE orders SET order_type = 'rush'")
    query(bad, "UPDATE raw_orders SET order_type = 'rush'")
    found = metadata(run_job(bad, "set_order_type", order_type=" Rush ", counts_as="PROOF"))
    assert "full_refresh" in str(found["next"].value)
    assert scalar(bad, "SELECT system_order_type FROM order_type_mappings WHERE raw_order_type = 'rush'") == "PROOF"
    job = build_defs().resolve_job_def("full_refresh")
    assert job.run_config is not None
    assert {name: op["config"] for name, op in job.run_config["ops"].items()} == {
        asset: {"full_refresh": True} for asset in STEP_ASSETS
    }
    run_all(bad, full_refresh=True)
    assert scalar(bad, "SELECT DISTINCT system_order_type FROM orders") == "PROOF"


# --- which files ----------------------------------------------------------------------------------------------------


def test_only_files_of_the_folder_of_exports_are_read(settings: Settings, tmp_path: Path) -> None:
    mine = put(quarantine_folder(settings), "mine.csv", "")
    secret = put(tmp_path / "home", "secret.csv", "")
    (quarantine_folder(settings) / "link.csv").symlink_to(secret)
    (quarantine_folder(settings) / "folder.csv").mkdir()
    assert allowed_file(settings, "mine.csv") == allowed_file(settings, str(mine)) == mine
    for name in (str(secret), "../secret.csv", "link.csv", "folder.csv", ".", "/etc/hostname", "missing.csv"):
        with pytest.raises(QuarantineJobError, match="is not a file inside"):
            allowed_file(settings, name)
