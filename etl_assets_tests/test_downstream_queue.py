"""A changed order is handed on to what its change concerns, and to everything while something is to be done for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
import sqlalchemy as sa

from etl_assets.asset_graph import TABLE_OF, AssetName
from etl_assets.customers.transform import CUSTOMER_ORDER_SCHEMA
from etl_assets.leads.transform import LEAD_ORDER_SCHEMA
from etl_assets.ledger.batches import open_batch
from etl_assets.ledger.queue import enqueue_everything
from etl_assets.orders.transform import CUSTOMER_VALUES, ORDER_KEY
from etl_assets.quality.running import run_checks
from etl_assets.run.registry import run_asset
from etl_assets_tests.helpers.pipeline import comparable, land, query, raw_fields, run_all, scalar, services_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from etl_assets.pipeline.protocol import Services
    from etl_assets_tests.helpers.database_pool import DatabasePool

pytestmark = pytest.mark.slow

KNOWN: Final[tuple[AssetName, ...]] = ("shop", "orders", "order_items", "process_items", "customers", "leads")
"""Assets of which `orders` knows whether a change concerns them; it enqueues all changed orders for any other."""
OF_LINES: Final = ["shop", "orders", "order_items", "process_items"]
OF_CUSTOMER: Final = ["shop", "orders", "customers", "leads"]


def paid(order_id: str, **fields: str) -> dict[str, str | None]:
    given = {"customer_name": "Ann", "amount": "10", "currency": "CNY", "ordered_at": "2024-01-01 10:00:00"}
    texts = {"items": "T恤*3", "processes": "刺绣:左胸:2", "order_status": "paid"}
    return raw_fields(order_id, **(given | texts | fields))


def shipped(order_id: str, **fields: str) -> dict[str, str | None]:
    return paid(order_id, **({"order_status": "shipped", "updated_at": "2024-02-01"} | fields))


@pytest.fixture(scope="module")
def done_database(database_pool: DatabasePool) -> Iterator[str]:
    """Two orders of one customer, loaded and checked."""
    with database_pool.copy() as url:
        services = services_of(url)
        land(services, [paid("1"), paid("2")])
        run_all(services)
        check_all(services)
        services.database.dispose()
        yield str(url.database)


@pytest.fixture
def done(database_pool: DatabasePool, done_database: str) -> Iterator[Services]:
    """Services on a copy of that database."""
    with database_pool.copy(done_database) as url:
        services = services_of(url)
        yield services
        services.database.dispose()


def check_all(services: Services) -> None:
    """Run all checks, whatever they find."""
    for asset in TABLE_OF:
        list(run_checks(services.database, asset))


def run(services: Services, *rows: dict[str, str | None], only: Sequence[str] = KNOWN) -> list[AssetName]:
    """Land rows and run some of the assets; returns those that had rows to handle."""
    land(services, rows)
    return [asset for asset in KNOWN if asset in only and run_asset(asset, services).counts.input_rows]


def total(services: Services) -> int:
    return int(scalar(services, "SELECT sum(total_amount) FROM business_leads"))


def test_customers_and_leads_are_made_of_the_values_that_are_compared() -> None:
    used = {**CUSTOMER_ORDER_SCHEMA, **LEAD_ORDER_SCHEMA}.keys() - {*ORDER_KEY, "raw_id"}
    assert set(CUSTOMER_VALUES) == used


@pytest.mark.parametrize(
    ("change", "assets"),
    [
        ({}, ["shop", "orders"]),
        ({"remark": "fragile"}, ["shop", "orders"]),
        ({"amount": "11"}, OF_CUSTOMER),
        ({"currency": "EUR"}, OF_CUSTOMER),
        ({"order_type": "打样"}, OF_CUSTOMER),
        ({"ordered_at": "2024-01-02 10:00:00"}, OF_CUSTOMER),
        ({"customer_name": "Ben"}, OF_CUSTOMER),
        ({"order_status": "cancelled"}, OF_CUSTOMER),
        ({"items": "T恤*4"}, OF_LINES),
        ({"processes": "刺绣:左胸:3"}, OF_LINES),
        ({"items": "T恤*4", "amount": "11"}, list(KNOWN)),
    ],
)
def test_a_changed_order_is_handed_on_to_what_its_change_concerns(
    done: Services, change: dict[str, str], assets: list[str]
) -> None:
    query(done, "INSERT INTO order_type_mappings VALUES ('打样', 'PROOF')")
    assert run(done, shipped("1", **change)) == assets
    whole = comparable(done)
    run_all(done, full_refresh=True)
    assert comparable(done) == whole


@pytest.mark.parametrize("fields", [{"customer_name": ""}, {"order_status": "cancelled"}])
def test_an_order_that_belongs_to_no_lead_is_not_handed_on_for_nothing(done: Services, fields: dict[str, str]) -> None:
    run(done, paid("3", **fields))
    check_all(done)
    assert run(done, paid("3", remark="fragile", updated_at="2024-02-01", **fields)) == ["shop", "orders"]


@pytest.mark.parametrize("before", [["shop", "orders"], ["shop", "orders", "order_items", "customers"]])
def test_an_order_is_handed_on_while_the_version_before_is_pending(done: Services, before: list[str]) -> None:
    dearer = {"amount": "11", "items": "T恤*4"}
    run(done, paid("1", updated_at="2024-01-15", **dearer), only=before)
    query(done, "DELETE FROM etl_pending_checks")
    assert run(done, shipped("1", **dearer)) == list(KNOWN)
    assert total(done) == 21
    assert scalar(done, "SELECT sum(quantity) FROM process_items") == 7


def test_an_order_is_handed_on_while_the_version_before_is_unchecked(services: Services) -> None:
    run(services, paid("1"))
    assert run(services, shipped("1")) == list(KNOWN)
    check_all(services)
    assert run(services, shipped("1", updated_at="2024-03-01")) == ["shop", "orders"]


def test_an_order_whose_lead_fails_its_check_is_handed_on_and_mends_it(done: Services) -> None:
    run(done, paid("1", amount="11", updated_at="2024-01-15"))
    query(done, "UPDATE business_leads SET total_amount = 99")
    check_all(done)
    assert run(done, shipped("1", amount="11")) == OF_CUSTOMER
    assert total(done) == 21


@pytest.mark.parametrize(
    "taken_away",
    [
        "DELETE FROM business_leads",
        "DELETE FROM lead_orders",
        "DELETE FROM customers",
        "UPDATE business_leads SET lead_no = NULL, total_amount = 0",
    ],
    ids=["lead", "attachment", "customer", "made by people"],
)
def test_an_order_whose_lead_or_customer_is_not_the_pipelines_is_handed_on(done: Services, taken_away: str) -> None:
    query(done, taken_away)
    assert run(done, shipped("1"), shipped("2")) == OF_CUSTOMER
    assert (total(done), scalar(done, "SELECT count(*) FROM customers")) == (20, 1)


def test_an_order_that_people_gave_to_another_customers_lead_goes_back(done: Services) -> None:
    run(done, paid("3", customer_name="Ben"))
    check_all(done)
    query(
        done,
        "UPDATE lead_orders SET lead_id = (SELECT lead_id FROM lead_orders WHERE order_id = '3') WHERE order_id = '1'",
    )
    assert run(done, shipped("1")) == OF_CUSTOMER
    own_leads = (
        "lead_orders JOIN orders USING (shop_id, order_id) JOIN business_leads USING (lead_id, customer_global_id)"
    )
    assert scalar(done, f"SELECT count(*) FROM {own_leads}") == 3  # noqa: S608  # a constant


@pytest.mark.parametrize("number", ["1", "2"])
def test_any_order_of_a_customer_whose_lead_was_refused_tries_again(done: Services, number: str) -> None:
    query(done, "ALTER TABLE business_leads ADD CONSTRAINT dear CHECK (total_amount <= 20)")
    run(done, paid("1", amount="11", updated_at="2024-01-15"))
    assert total(done) == 20
    query(done, "ALTER TABLE business_leads DROP CONSTRAINT dear")
    query(done, "DELETE FROM etl_pending_checks")
    assert run(done, shipped(number, amount="11" if number == "1" else "10")) == OF_CUSTOMER
    assert total(done) == 21


def test_a_full_refresh_waits_for_a_batch_of_orders(done: Services) -> None:
    with done.database.transaction() as batch, done.database.transaction() as refresh:
        open_batch(batch, "orders", None, expected_epoch=None)
        refresh.execute(sa.text("SET LOCAL lock_timeout = '100ms'"))
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            enqueue_everything(refresh, "leads")
        refresh.rollback()
