"""`etl-assets shops`: lists the shops and sets their time zone, currency and shown name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from etl_assets.cli.output import (
    AsJson,
    WrongUseError,
    failures_reported,
    note,
    print_json,
    print_records,
)
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.shop.configure import (
    SETTINGS,
    AmbiguousShopError,
    ShopSettingError,
    list_shops,
    set_shop,
    valid_settings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl_assets.shop.configure import ShopChange

app = typer.Typer(help="Shops: their time zone, currency and shown name.", no_args_is_help=True, add_completion=False)

OPTION_OF: Final = {"timezone": "--timezone", "default_currency": "--currency"}
"""Column of a setting → option that may be wrong."""
COLUMNS: Final = ("platform", "shop_name", *SETTINGS, "currency")


@app.command("list")
def list_all(*, as_json: AsJson = False) -> None:
    """List the shops. `default_currency` is the one that was set, `currency` the first that an order named."""
    with failures_reported(as_json=as_json), opened_database(load_settings()) as database:
        shops = list_shops(database)
        if as_json:
            print_json({"shops": shops})
        else:
            print_records("Shops", shops, COLUMNS)


@app.command("set")
def set_one(  # the options of the command
    shop: Annotated[str, typer.Argument(metavar="SHOP", help="Name of the shop, as `shops list` shows it.")],
    *,
    platform: Annotated[str | None, typer.Option(help="Platform, where several have a shop of this name.")] = None,
    timezone: Annotated[
        str | None, typer.Option(metavar="TZ", help="Time zone in which times without an offset are read.")
    ] = None,
    currency: Annotated[
        str | None, typer.Option(metavar="CUR", help="Currency of orders that name none; '' takes it back.")
    ] = None,
    name_shown: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name that pages show; '' takes it back.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change a shop. Another time zone or currency puts all its orders on the queue, to be read again."""
    with failures_reported(as_json=as_json):
        settings = _require_settings(timezone, currency, name_shown)
        with opened_database(load_settings()) as database:
            try:
                change = set_shop(database, shop, platform, settings)
            except AmbiguousShopError as error:
                raise WrongUseError(str(error)) from None
        _show(change, as_json=as_json)


def _show(change: ShopChange, *, as_json: bool) -> None:
    if as_json:
        print_json({"shop": change.shop, "before": change.before, "orders_to_read_again": change.orders})
        return
    print_records("Shop", [change.shop], COLUMNS)
    if not change.before:
        note("Nothing was to be changed.")
    elif change.orders:
        note(f"{change.orders:,} orders are to be read again: `etl-assets run` does so, or a sensor that is on.")


def _require_settings(timezone: str | None, currency: str | None, name_shown: str | None) -> Mapping[str, str | None]:
    """Return the settings that the options give, by their columns."""
    typed = {"timezone": timezone, "default_currency": currency, "shown_name": name_shown}
    given = {column: text for column, text in typed.items() if text is not None}
    if not given:
        msg = "Give at least one of --timezone, --currency and --name-shown."
        raise WrongUseError(msg)
    try:
        return valid_settings(given)
    except ShopSettingError as error:
        msg = f"{OPTION_OF[error.setting]}: {error}"
        raise WrongUseError(msg) from None
