"""Settings of shops: what `shops set` changes, which rows it has read again, and that no version gets lost by it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.pipeline.runner import run_step
from etl_assets.reporting.figures import read_order_counts
from etl_assets.run.registry import STEPS, run_asset
from etl_assets.shop.configure import set_shop
from etl_assets_tests.helpers.oracle import RawRow
from etl_assets_tests.helpers.pipeline import (
    PRESET,
    assert_as_expected,
    land,
    query,
    raw_fields,
    run_all,
    scalar,
    with_batch_size,
)
from etl_assets_tests.helpers.wrapped_step import WrappedStep

if TYPE_CHECKING:
    from click.testing import Result

    from etl_assets.pipeline.protocol import Services

SHANGHAI_10 = datetime(2024, 1, 5, 2, tzinfo=UTC)
"""10:00 in Shanghai, where the shops of the tests are."""
LONDON_10 = datetime(2024, 1, 5, 10, tzinfo=UTC)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["shops", *arguments])


def order(order_id: str, **fields: str | None) -> dict[str, str | None]:
    return raw_fields(order_id, **({"customer_name": "Ann", "ordered_at": "2024-01-05 10:00", "amount": "5"} | fields))


def stored(services: Services, column: str) -> dict[str, Any]:
    rows = query(services, f"SELECT order_id, {column} AS value FROM orders")  # noqa: S608  # a column
    return {row["order_id"]: row["value"] for row in rows}


def test_shops_set_changes_the_time_zone_and_reads_the_orders_of_the_shop_again(services: Services) -> None:
    land(services, [order("1"), order("2", shop="other"), order("3", shop=" ｓ ")])
    run_all(services)
    assert stored(services, "ordered_at") == dict.fromkeys("123", SHANGHAI_10)
    result = call("set", "ｓ ", "--timezone", "Europe/London", "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert (answer["before"], answer["orders_to_read_again"]) == ({"timezone": "Asia/Shanghai"}, 2)
    assert answer["shop"]["timezone"] == "Europe/London"
    run_all(services)
    assert stored(services, "ordered_at") == {"1": LONDON_10, "2": SHANGHAI_10, "3": LONDON_10}
    assert scalar(services, "SELECT count(*) FROM business_leads WHERE last_order_at = :at", at=LONDON_10) == 1
    (action,) = query(services, "SELECT * FROM user_actions")
    assert (action["action"], action["target"]) == ("shops set", "p:s")
    assert (action["before"], action["after"]) == ({"timezone": "Asia/Shanghai"}, {"timezone": "Europe/London"})
    assert action["user_name"]


@pytest.mark.parametrize("zones", [("Asia/Tokyo", "UTC"), ("UTC", "Asia/Tokyo")], ids="-".join)
def test_a_shop_that_imports_of_a_batch_name_has_the_settings_of_the_first_import(
    services: Services, zones: tuple[str, str]
) -> None:
    """The second import has the format of the third, which no other shop has settings of."""
    first, other = (PRESET.model_copy(update={"timezone": zone}) for zone in zones)
    land(services, [order("1", shop="a", currency="EUR")], other)
    land(services, [order("2", currency=None)], first)
    land(services, [order("3", currency="CNY")], other)
    land(services, [order("4", currency="GBP")], first)
    run_asset("shop", services)
    shops = query(services, "SELECT shop_name, timezone, currency FROM shop_configs ORDER BY shop_name")
    assert [tuple(shop.values()) for shop in shops] == [("a", zones[1], "EUR"), ("s", zones[0], None)]


def test_shops_set_to_what_is_set_changes_nothing(services: Services) -> None:
    land(services, [order("1")])
    run_all(services)
    result = call("set", "s", "--timezone", "Asia/Shanghai", "--currency", "")
    assert result.exit_code == 0
    assert "Nothing" in result.stderr
    assert query(services, "SELECT * FROM user_actions") == []
    assert query(services, "SELECT * FROM etl_work") == []


def test_the_currency_of_a_shop_is_that_of_its_orders_without_one(services: Services) -> None:
    land(services, [order("1"), order("2", currency="$"), order("3", currency="usd"), order("4", currency="€")])
    run_all(services)
    assert stored(services, "currency") == {"1": None, "2": "$", "3": "USD", "4": "EUR"}
    assert call("set", "s", "--currency", "cad").exit_code == 0
    run_all(services)
    assert stored(services, "currency") == {"1": "CAD", "2": "CAD", "3": "USD", "4": "EUR"}
    assert call("set", "s", "--currency", "").exit_code == 0
    run_all(services)
    assert stored(services, "currency") == {"1": None, "2": "$", "3": "USD", "4": "EUR"}


def test_a_shown_name_has_no_order_read_again(services: Services) -> None:
    land(services, [order("1")])
    run_all(services)
    assert call("set", "s", "--name-shown", " Ann's shop ").exit_code == 0
    assert query(services, "SELECT * FROM etl_work") == []
    (shop,) = json.loads(call("list", "--json").stdout)["shops"]
    assert shop == {
        "platform": "p", "shop_name": "s", "timezone": "Asia/Shanghai", "default_currency": None,
        "shown_name": "Ann's shop", "currency": None,
    }  # fmt: skip
    assert "Ann's shop" in call("list").stdout
    by_shop, _ = read_order_counts(services.database, seconds=10)
    assert by_shop["shop_name"].to_list() == ["Ann's shop"]


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo"])
def test_in_another_zone_the_newest_version_is_the_one_that_is_newest_there(services: Services, zone: str) -> None:
    times = ["2024-01-05T03:30Z", "2024-01-05 12:00", None, "2024-01-05 09:00", "2024-01-05 10:00+08:00"]
    rows = [order("1", updated_at=time, amount=str(number)) for number, time in enumerate(times)]
    with_batch_size(services, 1)
    for row in rows:
        land(services, [row])
    run_all(services)
    call("set", "s", "--timezone", zone)
    run_all(services)
    raw = [RawRow(number, "import", 1, **row) for number, row in enumerate(rows, start=1)]
    assert_as_expected(services, raw, PRESET.model_copy(update={"timezone": zone}))


def test_only_rows_of_the_shop_are_put_on_the_queue_in_few_ranges(services: Services) -> None:
    land(services, [order(str(number), shop="sab"[number % 3]) for number in range(30)])
    land(services, [order("50", shop="a"), order("51", shop="a")])
    run_all(services)
    call("set", "s", "--currency", "EUR")
    (work,) = query(services, "SELECT asset, low, high FROM etl_work")
    assert work == {"asset": "orders", "low": 1, "high": 28}


def test_rows_that_the_shops_have_yet_to_be_made_of_are_left_to_them(services: Services) -> None:
    land(services, [order("1")])
    run_all(services)
    land(services, [order("2"), order("3", shop="new")])
    call("set", "s", "--timezone", "UTC")
    work = query(services, "SELECT asset, low, high FROM etl_work ORDER BY asset")
    assert work == [{"asset": "orders", "low": 1, "high": 1}, {"asset": "shop", "low": 2, "high": 3}]
    run_all(services)
    assert stored(services, "ordered_at") == {"1": LONDON_10, "2": LONDON_10, "3": SHANGHAI_10}


class OvertakenStep(WrappedStep):
    """Changes the shop after the rows of the first batch were read, before they are written."""

    is_done = False

    def transform(self, *args: Any) -> Any:
        read = super().transform(*args)
        if not self.is_done:
            self.is_done = True
            set_shop(args[0].database, "s", None, {"timezone": "Europe/London"})
        return read


def test_a_batch_that_was_read_before_the_change_is_read_again(services: Services) -> None:
    land(services, [order("1")])
    run_all(services)
    land(services, [order("2")])
    run_asset("shop", services)
    run_step(OvertakenStep(STEPS["orders"]), services)
    assert stored(services, "ordered_at") == {"1": LONDON_10, "2": LONDON_10}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["s"], 2, "--name-shown"),
        (["s", "--timezone", "Mars/Olympus"], 2, "Mars/Olympus"),
        (["s", "--currency", "$"], 2, "USD, CAD"),
        (["nowhere", "--currency", "EUR"], 1, "shops list"),
        (["s", "--platform", "nowhere", "--currency", "EUR"], 1, "nowhere"),
        (["s", "--currency", "EUR"], 2, "p, q"),
    ],
)
def test_what_cannot_be_set_is_refused(services: Services, arguments: list[str], code: int, said: str) -> None:
    land(services, [order("1"), order("1", platform="q")])
    run_all(services)
    result = call("set", *arguments)
    assert result.exit_code == code
    assert said in result.stderr
    assert call("set", "s", "--platform", "q", "--currency", "EUR").exit_code == 0


def changes_of(run_id: str) -> Any:
    result = CliRunner().invoke(app, ["changes", "--run", run_id, "--json"])
    return json.loads(result.stdout)


def test_settings_of_users_are_logged_so_that_a_run_shows_its_shop_as_it_inserted_it(services: Services) -> None:
    land(services, [order("1")])
    run_asset("shop", services, run_id="first")
    before = changes_of("first")
    assert "Asia/Shanghai" in json.dumps(before)
    set_shop(services.database, "s", None, {"timezone": "Europe/London", "shown_name": "North"}, user_name="ann")
    assert changes_of("first") == before
    assert query(services, "SELECT before, after FROM row_changes") == [
        {"before": {"timezone": "Asia/Shanghai"}, "after": {"timezone": "Europe/London", "shown_name": "North"}}
    ]
    assert query(services, "SELECT user_name, action FROM user_actions") == [
        {"user_name": "ann", "action": "shops set"}
    ]
    set_shop(services.database, "s", None, {"timezone": "Europe/London"})
    assert scalar(services, "SELECT count(*) FROM etl_batches WHERE asset = 'shop'") == 2, "nothing was to be changed"
