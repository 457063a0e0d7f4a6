"""Metadata in the Dagster UI: lineage, charts, the page of the pipeline's health."""

from __future__ import annotations

import base64
import datetime as dt
import logging
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

import dagster as dg
import polars as pl
import pytest
import sqlalchemy as sa

from etl_assets.asset_graph import SPECS, TABLE_OF
from etl_assets.database.schema import metadata as tables
from etl_assets.definitions import build_defs
from etl_assets.health.durations import duration
from etl_assets.health.page import table_sections
from etl_assets.health.tables import read_table_state
from etl_assets.orchestration.charts import chart_metadata
from etl_assets.orchestration.health_records import read_check_results, read_failed_runs
from etl_assets.orchestration.instance import open_instance
from etl_assets.orchestration.jobs import PIPELINE_JOB
from etl_assets.orchestration.metadata import sample_rows
from etl_assets.reporting import charts, figures, pages
from etl_assets.reporting.figures import TooSlowError
from etl_assets.run.registry import STEPS, run_asset
from etl_assets_tests.helpers.pipeline import land, raw_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl_assets.asset_graph import AssetName
    from etl_assets.pipeline.protocol import Services
    from etl_assets.settings import SampleRows, Settings
    from etl_assets_tests.conftest import Prepare

LOG: Final = logging.getLogger("test")
PICTURE: Final = re.compile(r"!\[[^\]]*\]\(data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)\)")
SHOWN_IN_PLACE: Final = 1000
"""Markdown that is shorter is shown by the UI where it stands, longer one in a dialog."""
SVG: Final = "{http://www.w3.org/2000/svg}"
ASSETS: Final = tuple(TABLE_OF)


def orders(shop: str = "North") -> list[dict[str, str | None]]:
    def order(number: int, kind: str, amount: str, currency: str, customer: str = "Ann") -> dict[str, str | None]:
        ordered_at = f"2026-01-0{number} 10:00:00"
        fields = {"order_type": kind, "amount": amount, "currency": currency, "ordered_at": ordered_at}
        return raw_fields(
            str(number), shop=shop, customer_name=customer, items="Mug*2", processes="print:front", **fields
        )

    return [
        order(1, "sample", "10", "EUR"),
        order(2, "proof", "20", "EUR"),
        order(3, "bulk", "300", "EUR"),
        order(4, "sample", "7", "EUR", "Ben"),
        order(5, "bulk", "900", "USD", "Cid"),
        order(6, "bulk", "not a number", "USD", "Dan"),
    ]


@pytest.fixture
def loaded(services: Services, prepare: Prepare) -> Services:
    """Five good orders and a bad one, gone through all assets."""
    prepare(load_orders)
    return services


def load_orders(services: Services) -> None:
    with services.database.transaction() as connection:
        connection.execute(
            sa.text("INSERT INTO order_type_mappings VALUES ('sample', 'SAMPLE'), ('proof', 'PROOF')"
                    " ON CONFLICT DO NOTHING")
        )  # fmt: skip
    land(services, orders())
    for step in STEPS:
        run_asset(step, services, run_id="first")


@pytest.fixture
def instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with open_instance(settings) as opened:
        yield opened


def pipeline_job(services: Services) -> dg.JobDefinition:
    made = {
        "database": services.database,
        "batch_processor": services.batch_processor,
        "vectorized_queries": services.vectorized_queries,
    }
    resources = {name: dg.ResourceDefinition.hardcoded_resource(value) for name, value in made.items()}
    return build_defs(resources=resources).resolve_job_def(PIPELINE_JOB)


def run_job(
    services: Services, instance: dg.DagsterInstance, *, expect_success: bool = True
) -> dict[str, dict[str, Any]]:
    """Run the whole job as the UI does; the metadata of each asset that was materialised."""
    result = pipeline_job(services).execute_in_process(instance=instance, raise_on_error=False)
    assert result.success == expect_success
    materialised = (event.step_materialization_data for event in result.get_asset_materialization_events())
    return {
        data.materialization.asset_key.to_user_string(): {
            name: value.value for name, value in data.materialization.metadata.items()
        }
        for data in materialised
    }


def pictures_in(page: str) -> list[ET.Element]:
    """Return the charts of a page, parsed."""
    return [ET.fromstring(base64.b64decode(data)) for data in PICTURE.findall(page)]  # noqa: S314  # our own


def texts_in(picture: ET.Element) -> list[str]:
    return [element.text or "" for element in picture.iter(f"{SVG}text")]


def paths_in(picture: ET.Element, colour: str = charts.COLOUR) -> list[str]:
    return [element.attrib["d"] for element in picture.iter(f"{SVG}path") if element.attrib["fill"] == colour]


def test_every_asset_is_described_owned_tagged_and_has_a_freshness_policy() -> None:
    specs = list(build_defs().resolve_all_asset_specs())
    assert {spec.key.to_user_string() for spec in specs} == {*ASSETS, "pipeline_health"}
    for spec in specs:
        assert spec.owners
        assert spec.kinds
        assert "layer" in spec.tags
        assert spec.description is not None
        assert re.search(r"^Answers:\n- .+\?", spec.description, re.MULTILINE)
        policy = spec.freshness_policy
        assert isinstance(policy, dg.FreshnessPolicy)


def test_freshness_and_schema_follow_the_settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ETL_FRESHNESS_HOURS", "3")
    monkeypatch.setenv("ETL_SCHEMA", "shops")
    by_key = {spec.key.to_user_string(): spec for spec in build_defs().resolve_all_asset_specs()}
    policy = dg.FreshnessPolicy.time_window(fail_window=dt.timedelta(hours=6), warn_window=dt.timedelta(hours=3))
    assert all(spec.freshness_policy == policy for spec in by_key.values())
    assert by_key["leads"].metadata["dagster/table_name"] == "shops.business_leads"


@pytest.mark.parametrize("asset", [asset for asset in ASSETS if asset != "raw_orders"])
def test_every_column_of_the_lineage_exists(asset: AssetName) -> None:
    lineage = SPECS[asset].lineage
    assert set(lineage) <= set(tables.tables[TABLE_OF[asset]].columns.keys())
    assert set(tables.tables[TABLE_OF[asset]].primary_key.columns.keys()) - {"shop_id"} <= set(lineage)
    upstream: dict[str, str] = {str(name): table for name, table in TABLE_OF.items()}
    graph = build_defs().resolve_asset_graph()
    before = {key.to_user_string() for key in graph.get_ancestor_asset_keys(dg.AssetKey(asset))}
    for source in " ".join(lineage.values()).split():
        source_asset, column = source.split(".")
        assert column in tables.tables[upstream[source_asset]].columns
        assert source_asset in before


@pytest.mark.slow
def test_a_run_of_empty_tables_has_metadata_and_no_pictures(services: Services, instance: dg.DagsterInstance) -> None:
    metadata = run_job(services, instance)
    assert metadata.keys() == {*ASSETS, "pipeline_health"}
    assert not any(PICTURE.search(str(values)) for values in metadata.values())
    assert metadata["leads"]["rows_pending"] == 0


@pytest.mark.slow
def test_a_run_has_the_figures_that_are_plotted_and_its_pictures(
    services: Services, instance: dg.DagsterInstance
) -> None:
    land(services, orders())
    metadata = run_job(services, instance)
    materialised = list(metadata)
    assert materialised.index("leads") < materialised.index("order_items"), "users wait for leads"
    for asset in STEPS:
        values = metadata[asset]
        assert values["dagster/table_name"] == f"etl.{TABLE_OF[asset]}"
        for name in ("dagster/row_count", "rows_input", "rows_inserted", "rows_quarantined", "duration_seconds",
                     "rows_per_second", "quarantined_share", "rows_pending", "open_quarantine"):  # fmt: skip
            assert isinstance(values[name], int | float)
        if values["rows_input"]:  # nothing is drawn for an asset that none of these orders concerns
            assert len(pictures_in(values["rate_of_the_last_runs"])) == 1
            assert len(values["rate_of_the_last_runs"]) < SHOWN_IN_PLACE
    assert all(metadata[asset]["rows_input"] for asset in ("orders", "order_items", "process_items", "leads"))
    assert len(pictures_in(metadata["leads"]["orders_per_shop_and_day"])) == 2
    assert len(pictures_in(metadata["leads"]["lead_funnel"])) == 1
    assert metadata["orders"]["open_quarantine"] == 1
    health = metadata["pipeline_health"]
    assert (health["rows_pending"], health["open_quarantine"], health["unreadable_parts"]) == (0, 1, 0)
    assert "BAD&#95;AMOUNT" in health["health"]
    assert "1 rows in quarantine" in health["summary"]


def test_the_funnel_counts_leads_and_orders_by_type_and_never_adds_currencies(loaded: Services) -> None:
    funnel = figures.read_lead_funnel(loaded.database, seconds=10)
    euros = funnel.row(by_predicate=pl.col("currency") == "EUR", named=True)
    assert funnel["currency"].to_list() == ["EUR", "USD"]
    assert (euros["leads"], euros["sample_leads"], euros["bulk_leads"], euros["sample_then_bulk"]) == (2, 2, 1, 1)
    assert (euros["sample_amount"], euros["bulk_amount"]) == (Decimal(17), Decimal(300))
    page = pages.leads_page(funnel)
    assert page is not None
    assert "50.0% also have a bulk order" in page
    assert "1,200" not in page


def test_open_leads_and_their_amount_are_plotted_per_currency(loaded: Services) -> None:
    with loaded.database.transaction() as connection:
        connection.execute(sa.text("UPDATE business_leads SET current_stage = 'WON' WHERE total_amount = 7"))
    shown = chart_metadata(loaded.database, "leads", LOG)
    plots = {name: value for name, value in shown.items() if name.startswith("open_")}
    assert plots == {"open_leads": 2, "open_amount_EUR": 330.0, "open_amount_USD": 900.0}


@pytest.mark.parametrize("mode", ["on", "masked", "off"])
def test_the_sample_of_leads_is_the_newest_with_names_shop_and_amount_first(loaded: Services, mode: SampleRows) -> None:
    loaded.database.settings = loaded.database.settings.model_copy(update={"sample_rows": mode})
    found = sample_rows(loaded.database, "business_leads")
    if mode == "off":
        assert found == {}
        return
    rows = [record.data for record in found["sample_rows"].records]
    assert list(rows[0])[:4] == ["customer", "shop", "amount", "currency"]
    names = {"on": ["Cid", "Ben", "Ann"], "masked": ["xxx"] * 3}
    assert [row["customer"] for row in rows] == names[mode]
    assert [row["amount"] for row in rows] == ["900.00", "7.00", "330.00"]


def test_orders_are_counted_per_shop_and_day(loaded: Services) -> None:
    land(loaded, orders("South")[:2])
    run_asset("shop", loaded)
    run_asset("orders", loaded)
    by_shop, by_day = figures.read_order_counts(loaded.database, seconds=10)
    assert by_shop.select("shop_name", "orders").rows() == [("North", 5), ("South", 2)]
    assert by_day.rows()[:3] == [(dt.date(2026, 1, 1), 2), (dt.date(2026, 1, 2), 2), (dt.date(2026, 1, 3), 1)]


def test_rates_are_those_of_the_last_runs_oldest_first(services: Services) -> None:
    with services.database.transaction() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO etl_batches"
                " (asset, run_id, import_ids, status, input_rows, inserted, duration, started_at)"
                " SELECT 'orders', 'run ' || i / 2, '{}', 'success', i, i, 0.5, now() FROM generate_series(2, 61) i"
            )
        )
    rates = figures.read_rates(services.database, "orders")
    assert rates.height == figures.RUNS_SHOWN
    assert rates.row(-1) == (60 + 61, 1.0)
    assert rates.row(0) == (22 + 23, 1.0)
    assert figures.read_rates(services.database, "leads").is_empty()


def test_figures_that_take_too_long_are_left_out_with_a_notice(
    loaded: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "_FUNNEL", "SELECT pg_sleep(5)")
    monkeypatch.setattr("etl_assets.orchestration.charts.SECONDS", 0.05)
    with pytest.raises(TooSlowError, match=r"within 0\.05 s"):
        figures.read_lead_funnel(loaded.database, seconds=0.05)
    shown = chart_metadata(loaded.database, "leads", LOG)
    assert str(shown["lead_funnel"].value).startswith("Left out.")
    assert pictures_in(str(shown["rate_of_the_last_runs"].value))


def test_a_picture_that_fails_is_logged_without_the_drivers_text(
    loaded: Services, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(figures, "_FUNNEL", "SELECT 'secret 4711'::int")
    shown = chart_metadata(loaded.database, "leads", LOG)
    assert "Could not be drawn" in str(shown["lead_funnel"].value)
    assert "lead_funnel could not be drawn" in caplog.text
    assert "4711" not in f"{caplog.text}{shown}"


NAMES: Final = ["定制店", "$a$ & <b>|c|", "🎁 gifts", "x" * 80, "定" * 80, "", "שלום", "a\x01\ufffeb"]


def test_any_shop_name_is_text_in_the_picture_and_in_the_table() -> None:
    by_shop = pl.DataFrame(
        [(number, "p", name, 9 - number) for number, name in enumerate(NAMES)], figures.SHOP_SCHEMA, orient="row"
    )
    page = pages.orders_page(by_shop, pl.DataFrame(schema=figures.DAY_SCHEMA))
    assert page is not None
    (picture,) = pictures_in(page)
    shown = [*NAMES[:3], "x" * 28 + "…", "定" * 14 + "…", *NAMES[5:7], "ab"]
    assert texts_in(picture)[1::2] == shown
    assert texts_in(picture)[2::2] == [str(9 - number) for number in range(len(NAMES))]
    assert "定制店" in page
    assert "<b>" not in page
    assert "|c|" not in page


def test_bars_are_as_long_as_their_figures() -> None:
    shops = ET.fromstring(charts.draw_shops([("a", 400), ("b", 100), ("c", 0)], "shops"))  # noqa: S314
    assert [float(re.findall(r"h([\d.]+)v", bar)[0]) for bar in paths_in(shops)] == [400, 100, 0]
    stages = [("sample", 4, ""), ("proof", 1, ""), ("bulk", 0, "")]
    funnel = ET.fromstring(charts.draw_funnel(stages, 4))  # noqa: S314
    (full,) = {re.findall(r"h([\d.]+)v", bar)[0] for bar in paths_in(funnel, charts.GROUND)}
    shares = [float(re.findall(r"h([\d.]+)v", bar)[0]) / float(full) for bar in paths_in(funnel)]
    assert shares == [1, 0.25, 0]
    (rates,) = paths_in(ET.fromstring(charts.draw_rates([50, 100, 25])))  # noqa: S314
    assert re.findall(r"V(\d+)h", rates) == ["18", "0", "27"]


def test_days_have_the_same_slots_however_many_there_are() -> None:
    day = dt.date(2026, 3, 31)
    for days in ([(day, 5)], [(day - dt.timedelta(days=age), 5) for age in range(89, -1, -1)]):
        picture = ET.fromstring(charts.draw_days(days, "days", slots=90))  # noqa: S314
        (steps,) = paths_in(picture)
        heights = re.findall(r"V([\d.]+)H", steps)
        assert len(heights) == 90
        assert heights.count("40") == len(days), "a day is as wide as the ninetieth part of ninety days"
        assert texts_in(picture) == ["days", "5", "0", "2026-01-01", "2026-02-15", "2026-03-31"]


def test_pictures_are_small_however_much_they_show() -> None:
    many_shops = pl.DataFrame(
        [(number, "淘宝", f"定制店 {number} 旗舰店", 10**9 - number) for number in range(500)],
        figures.SHOP_SCHEMA,
        orient="row",
    )
    first = dt.date(2026, 1, 1)
    many_days = pl.DataFrame(
        [(first + dt.timedelta(days=day), 10**6 + day * day) for day in range(90)], figures.DAY_SCHEMA, orient="row"
    )
    page = pages.orders_page(many_shops, many_days)
    assert page is not None
    assert page.count("\n| ") < 20
    assert all(len(data) < 10_000 for data in PICTURE.findall(page))


def test_one_day_of_orders_and_leads_without_currency_can_be_drawn() -> None:
    shop = pl.DataFrame([(1, "p", "North", 1)], figures.SHOP_SCHEMA, orient="row")
    day = pl.DataFrame([(dt.date(2026, 1, 1), 1)], figures.DAY_SCHEMA, orient="row")
    assert len(pictures_in(pages.orders_page(shop, day) or "")) == 2
    row = (None, 1, 0, 0, Decimal(0), 0, 0, Decimal(0), 1, 1, Decimal(0), 0, 1, Decimal(0))
    funnel = pl.DataFrame([row], figures.FUNNEL_SCHEMA, orient="row")
    assert len(pictures_in(pages.leads_page(funnel) or "")) == 1


def test_the_rates_of_twenty_runs_are_shown_in_place() -> None:
    rates = pl.DataFrame([(10**6 + run, 0.7 + run) for run in range(20)], figures.RATE_SCHEMA, orient="row")
    page = pages.rates_page(rates)
    assert page is not None
    assert len(page) < SHOWN_IN_PLACE


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (999.7, "1.0k"), (1234, "1.2k"), (9960, "10k"), (35_400, "35k"), (4.1e6, "4.1M")],
)
def test_numbers_are_written_short(number: float, text: str) -> None:
    assert charts.short(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, None), (0.4, "0 s"), (59, "59 s"), (60, "1 min"), (7500, "2 h 5 min"), (4 * 86400 + 3 * 3600, "4 d 3 h")],
)
def test_durations_are_written_in_two_units(seconds: float | None, text: str | None) -> None:
    assert duration(seconds) == text


def test_the_state_names_backlog_quarantine_and_failed_imports(loaded: Services) -> None:
    land(loaded, orders("South"))
    with loaded.database.transaction() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO import_tasks (import_id, source, status, error)"
                " VALUES (gen_random_uuid(), '/data/bad.csv', 'failed', 'its headers fit | none')"
            )
        )
    state = read_table_state(loaded.database)
    by_asset = {one.asset: one for one in state.assets}
    assert list(by_asset) == list(TABLE_OF)
    assert by_asset["shop"].pending_rows == state.pending_rows == 6
    assert by_asset["shop"].waiting is not None
    assert by_asset["leads"].waiting is None
    assert by_asset["leads"].age is not None
    sections = table_sections(state, dt.datetime.now(dt.UTC))
    assert "| shop |" in sections["Freshness and backlog"]
    assert "bad.csv" in sections["Refused imports"]
    assert "fit &#124; none" in sections["Refused imports"]


@pytest.mark.slow
def test_the_health_page_names_failed_checks_and_failed_runs_in_our_own_words(
    services: Services, instance: dg.DagsterInstance
) -> None:
    land(services, orders())
    run_job(services, instance)
    failed = [(one.asset, one.check, one.severity) for one in read_check_results(instance) if not one.passed]
    assert ("orders", "no_open_quarantine", "warn") in failed
    assert read_failed_runs(instance) == []
    with services.database.transaction() as connection:
        connection.execute(sa.text("ALTER TABLE business_leads RENAME COLUMN sample_count TO secret_4711"))
    land(services, orders("South"))
    assert "pipeline_health" not in run_job(services, instance, expect_success=False)
    (run,) = read_failed_runs(instance)
    assert "leads" in run.reason
    assert "4711" not in run.reason


def test_a_health_page_with_an_unreadable_part_names_it_and_is_materialised(
    services: Services, instance: dg.DagsterInstance
) -> None:
    with services.database.transaction() as connection:
        connection.execute(sa.text("ALTER TABLE import_tasks RENAME COLUMN error TO secret_4711"))
    result = pipeline_job(services).execute_in_process(
        instance=instance, asset_selection=[dg.AssetKey("pipeline_health")]
    )  # fmt: skip
    (event,) = result.get_asset_materialization_events()
    values = event.step_materialization_data.materialization.metadata
    assert values["unreadable_parts"].value == 1
    assert values["failed_checks"].value == 0
    page = str(values["health"].value)
    assert "The state of the tables could not be read: ProgrammingError &#40;SQLSTATE 42703&#41;." in page
    assert "4711" not in page
