"""Settings that users give a shop (time zone, currency, shown name), and the re-reading of its orders that follows.

The pipeline never overwrites a shop (`shop.step`); this is the only module that changes one. What a time zone or
currency means for an order is a rule of `orders`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import sqlalchemy as sa

from etl_assets.database.frames import copy_to_temp_table, fetch_frame, update_rows
from etl_assets.errors import EtlError
from etl_assets.ledger import queue
from etl_assets.ledger.batches import BatchCounts, close_batch, open_batch, outdate_batches
from etl_assets.ledger.queue import RawIdRange
from etl_assets.ledger.range_sql import LIVE
from etl_assets.presets.field_types import is_timezone
from etl_assets.shop.transform import SHOP_KEY
from etl_assets.user_actions import record_user_action
from etl_assets.values.currencies import currency_code
from etl_assets.values.text import clean_text, clean_text_str

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from etl_assets.database.database import Database

SETTINGS: Final = ("timezone", "default_currency", "shown_name")
"""Columns of `shop_configs` that users set."""
READ_WITH: Final = ("timezone", "default_currency")
"""Those of them that a version of an order is read with."""
MAX_GAP: Final = 1_000
"""Raw rows of other shops within a range: bounds the number of ranges where the rows of shops alternate."""

_LOCK_EPOCHS: Final = "SELECT FROM asset_epochs WHERE asset = ANY (:assets) ORDER BY asset FOR UPDATE"
_RAW_SHOP: Final = {"platform": pl.String(), "shop": pl.String()}


class UnknownShopError(EtlError):
    """There is no such shop."""


class AmbiguousShopError(EtlError):
    """Several platforms have a shop of this name."""


class ShopSettingError(EtlError):
    """A value is no setting of a shop. `setting` is the column."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(message)
        self.setting = setting


def valid_settings(settings: Mapping[str, str]) -> dict[str, str | None]:
    """Return texts that a user typed as settings; an empty currency or name is none.

    Raises:
        ShopSettingError: there is no such time zone or currency.
    """
    valid: dict[str, str | None] = {}
    for column, text in settings.items():
        if column == "timezone":
            if not is_timezone(text):
                msg = f"there is no time zone {text!r}; use a name such as Asia/Shanghai or Europe/London."
                raise ShopSettingError(column, msg)
            valid[column] = text
        elif column == "default_currency":
            try:
                valid[column] = currency_code(text) if text.strip() else None
            except ValueError as error:
                raise ShopSettingError(column, f"{error}.") from None
        else:
            valid[column] = clean_text_str(text)
    return valid


@dataclass(frozen=True, slots=True)
class ShopChange:
    """Outcome of a change to a shop's settings."""

    shop: Mapping[str, Any]
    """The shop as it is now (`platform`, `shop_name`, `SETTINGS`, `currency`)."""
    before: Mapping[str, Any]
    """The settings that were changed, as they were; empty where nothing was."""
    orders: int
    """Stored orders whose raw rows are pending again."""


def list_shops(database: Database) -> list[dict[str, Any]]:
    """Return all shops with their settings, by platform and name."""
    with database.transaction() as connection:
        return [_without_id(shop) for shop in _shops(connection, "ORDER BY platform, shop_name")]


def read_shop(database: Database, name: str, platform: str | None) -> dict[str, Any]:
    """Return one shop with its settings.

    Raises:
        UnknownShopError: there is no such shop.
        AmbiguousShopError: there are several.
    """
    with database.transaction() as connection:
        return _without_id(_require_shop(connection, name, platform))


def set_shop(
    database: Database,
    name: str,
    platform: str | None,
    settings: Mapping[str, str | None],
    *,
    user_name: str | None = None,
) -> ShopChange:
    """Change settings of a shop; put all its raw rows back on the queue of `orders` where they are read with these.

    Setting what is set already changes nothing, so this may be repeated.

    Hazards:
    - A batch may have been read with the old settings and not be committed, so batches read before are made to read
      again (docs/decisions.md, "Fencing token").
    - Versions of an order are compared by their times, of which those read in the new zone do not compare with one read
      in the old zone; so stored orders lose theirs, and any version that is read anew precedes it (docs/decisions.md,
      "Another time zone").
    - The values of inserted rows are those of now with the logged changes undone, so the change is a batch of `shop`,
      which logs it (docs/decisions.md, "Change log"). It locks what such batches lock, in their order: epochs, shop.

    Args:
        database: the store.
        name: the shop's name, compared as orders are.
        platform: its platform, where several have a shop of this name.
        settings: new values of some of `SETTINGS`, already valid; None for a currency or name that is no longer set.
        user_name: the user of the web page; by default the user of this process.

    Raises:
        UnknownShopError: there is no such shop.
        AmbiguousShopError: there are several.
    """
    with database.transaction() as connection:
        shop = _require_shop(connection, name, platform)
        is_read_again = bool(_changed(shop, settings).keys() & set(READ_WITH))
        if _changed(shop, settings):
            assets = ["orders", "shop"] if is_read_again else ["shop"]
            connection.execute(sa.text(_LOCK_EPOCHS), {"assets": assets})
            shop = _require_shop(connection, name, platform, is_locked=True)
        changed = _changed(shop, settings)
        before = {column: shop[column] for column in changed}
        orders = 0
        if changed:
            _update(connection, shop["shop_id"], changed)
            target = f"{shop['platform']}:{shop['shop_name']}"
            record_user_action(connection, "shops set", target, before, changed, user_name=user_name)
        if changed.keys() & set(READ_WITH):
            outdate_batches(connection, "orders")
            orders = enqueue_orders(connection, shop, is_other_zone="timezone" in changed)
    return ShopChange(_without_id(shop | changed), before, orders)


def _changed(shop: Mapping[str, Any], settings: Mapping[str, str | None]) -> dict[str, str | None]:
    return {column: value for column, value in settings.items() if shop[column] != value}


def _require_shop(
    connection: sa.Connection, name: str, platform: str | None, *, is_locked: bool = False
) -> dict[str, Any]:
    """Return the shop of this name; with `is_locked`, it is locked until the transaction ends."""
    clauses, parameters = "WHERE shop_name = :name", {"name": clean_text_str(name)}
    if platform is not None:
        clauses, parameters["platform"] = f"{clauses} AND platform = :platform", clean_text_str(platform)
    lock = " FOR UPDATE" if is_locked else ""
    return only_shop(_shops(connection, f"{clauses} ORDER BY platform{lock}", **parameters), name, platform)


def only_shop(found: Sequence[dict[str, Any]], name: str, platform: str | None) -> dict[str, Any]:
    """Return the one shop that was found by its name, and platform if that is given.

    Raises:
        UnknownShopError: none was found.
        AmbiguousShopError: several were.
    """
    if not found:
        where = f" on platform {platform!r}" if platform is not None else ""
        msg = f"There is no shop {name!r}{where}: `etl-assets shops list` shows all, once their orders have been run."
        raise UnknownShopError(msg)
    if len(found) > 1:
        platforms = ", ".join(shop["platform"] for shop in found)
        msg = f"There is a shop {name!r} on several platforms: name one of {platforms} with --platform."
        raise AmbiguousShopError(msg)
    return found[0]


def _shops(connection: sa.Connection, clauses: str, **parameters: object) -> list[dict[str, Any]]:
    columns = ("shop_id", *SHOP_KEY, *SETTINGS, "currency")
    rows = connection.execute(sa.text(f"SELECT {', '.join(columns)} FROM shop_configs {clauses}"), parameters)  # noqa: S608  # constants
    return [dict(row) for row in rows.mappings()]


def _without_id(shop: Mapping[str, Any]) -> dict[str, Any]:
    return {column: value for column, value in shop.items() if column != "shop_id"}


def _update(connection: sa.Connection, shop_id: int, changed: Mapping[str, str | None]) -> None:
    """Update the shop in a batch of `shop`, which logs the change."""
    values = pl.DataFrame(
        {"shop_id": [shop_id], **{column: [value] for column, value in changed.items()}, "is_provisional": [False]},
        schema={"shop_id": pl.Int32(), **dict.fromkeys(changed, pl.String()), "is_provisional": pl.Boolean()},
    )
    record = open_batch(connection, "shop", None, expected_epoch=None)
    update_rows(connection, "shop_configs", values, key=["shop_id"], batch_id=record.batch_id)
    close_batch(connection, record, BatchCounts(updated=1), [])


def enqueue_orders(connection: sa.Connection, shop: Mapping[str, Any], *, is_other_zone: bool) -> int:
    """Put the raw rows of a shop on the queue of `orders`; return how many stored orders it has."""
    if is_other_zone:
        connection.execute(
            sa.text("UPDATE orders SET source_updated_at = NULL WHERE shop_id = :id AND source_updated_at IS NOT NULL"),
            {"id": shop["shop_id"]},
        )
    queue.enqueue(connection, ["orders"], _raw_rows(connection, shop))
    counted = connection.execute(sa.text("SELECT count(*) FROM orders WHERE shop_id = :id"), {"id": shop["shop_id"]})
    return int(counted.scalar_one())


def _raw_rows(connection: sa.Connection, shop: Mapping[str, Any]) -> list[RawIdRange]:
    """Return ranges that hold all raw rows of a shop but those that `shop` has yet to process."""
    spelt = fetch_frame(connection, "SELECT DISTINCT platform, shop FROM raw_orders", _RAW_SHOP)
    is_of_shop = (clean_text(pl.col(raw)) == shop[name] for raw, name in zip(_RAW_SHOP, SHOP_KEY, strict=True))
    copy_to_temp_table(connection, "raw_orders", spelt.filter(*is_of_shop), name="spelt_shops")
    return [RawIdRange(*row) for row in connection.execute(sa.text(_RAW_ROWS), {"max_gap": MAX_GAP})]


_RAW_ROWS: Final = f"""
    WITH of_shop AS (
        SELECT t.batch_id, r.raw_id,
               r.raw_id - lag(r.raw_id) OVER (PARTITION BY t.batch_id ORDER BY r.raw_id) > :max_gap AS is_apart
        FROM spelt_shops JOIN raw_orders r USING (platform, shop) JOIN import_tasks t USING (import_id)
        WHERE {LIVE}
    ), numbered AS (
        SELECT batch_id, raw_id, count(*) FILTER (WHERE is_apart) OVER (PARTITION BY batch_id ORDER BY raw_id) AS part
        FROM of_shop
    ), parts AS (
        SELECT batch_id, int8multirange(int8range(min(raw_id), max(raw_id), '[]')) AS ids
        FROM numbered GROUP BY batch_id, part
    ), of_upstream AS (
        SELECT batch_id, range_agg(int8range(low, high, '[]')) AS ids FROM etl_work WHERE asset = 'shop' GROUP BY 1
    )
    SELECT batch_id, lower(ids), upper(ids) - 1 FROM (
        SELECT batch_id, unnest(p.ids - coalesce(u.ids, '{{}}')) AS ids
        FROM parts p LEFT JOIN of_upstream u USING (batch_id)
    ) remaining ORDER BY 2
"""  # noqa: S608  # constants only
