"""Checks of an import against the settings of known shops: another time zone, symbols of several currencies.

They look at rows while these are landed, and add to the findings of the import. Making shops and changing their
settings is in `shop`; which currency a text means is a rule of `values.currencies`.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.database.frames import fetch_frame
from etl_assets.errors import EtlError
from etl_assets.ledger.range_sql import LIVE
from etl_assets.presets.catalog import list_presets
from etl_assets.raw_orders.findings import Finding
from etl_assets.values.currencies import AMBIGUOUS, ambiguous_symbols, currency_codes
from etl_assets.values.text import clean_text

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.findings import FindingCode

_RAW_SHOP: Final = ("platform", "shop")
_SHOP_KEY: Final = ("platform", "shop_name")
_SHOPS: Final = "SELECT platform, shop_name, timezone, default_currency FROM shop_configs WHERE NOT is_provisional"
_SHOP_SCHEMA: Final = dict.fromkeys(("platform", "shop_name", "timezone", "default_currency"), pl.String())
_PENDING: Final = f"""
    SELECT DISTINCT r.platform, r.shop, t.mapping ->> 'timezone'
    FROM etl_work w JOIN import_tasks t USING (batch_id)
    JOIN raw_orders r ON r.import_id = t.import_id AND r.raw_id BETWEEN w.low AND w.high
    WHERE w.asset = 'shop' AND {LIVE} AND t.mapping ->> 'holds' IS DISTINCT FROM 'lines'
"""  # noqa: S608  # constants only


class ShopTimezoneError(EtlError):
    """An import was given a time zone, and one of its shops has another one."""


class ShopChecks:
    """The checks of one import.

    Args:
        preset: the format that the import is read with.
        timezone: the time zone that the user gave for this import; shops with another one fail it.

    Its methods take an open transaction, or None where there is no database yet, and so no shop.
    """

    def __init__(self, preset: Preset, timezone: str | None = None) -> None:
        self.preset, self.timezone = preset, timezone
        # Lines are read in the time zone of their mapping, and give their shop none.
        self._is_zone_checked = preset.holds == "orders" and (timezone is not None or _has_own_timezone(preset))
        self._shops: list[pl.DataFrame] = []
        self._symbols: list[pl.DataFrame] = []

    def look_at(self, connection: sa.Connection | None, raw: pl.DataFrame) -> pl.DataFrame:
        """Look at rows that are about to be landed; return them.

        Raises:
            ShopTimezoneError: one of their shops has another time zone than the one given.
        """
        counted = {"rows": pl.len(), "first_line": pl.col("row_no").min()}
        if self._is_zone_checked:
            self._shops.append(raw.group_by(_RAW_SHOP).agg(**counted))
            if self.timezone is not None:
                self._require_timezone(connection, self._shops[-1])
        symbols = ambiguous_symbols(raw["currency"], self.preset.currency_symbols) if "currency" in raw.columns else []
        if symbols:
            undecided = raw.filter(pl.col("currency").is_in(symbols))
            self._symbols.append(undecided.group_by(*_RAW_SHOP, "currency").agg(**counted))
        return raw

    def findings(self, connection: sa.Connection | None) -> list[Finding]:
        """Return what the rows have shown, by the settings that the shops have now."""
        found = []
        if self._shops:
            shops = _with_settings(connection, pl.concat(self._shops))
            others = shops.filter(pl.col("timezone") != self.preset.timezone)
            found += _findings("TIMEZONE_IGNORED", others, "shop_name")
        if self._symbols:
            shops = _with_settings(connection, pl.concat(self._symbols))
            words = self.preset.currency_symbols
            codes = currency_codes(shops["currency"], defaults=shops["default_currency"], symbols=words)
            undecided = shops.with_columns(code=codes).filter(pl.col("code").is_in(list(AMBIGUOUS)))
            found += _findings("AMBIGUOUS_CURRENCY", undecided, "code")
        return found

    def _require_timezone(self, connection: sa.Connection | None, named: pl.DataFrame) -> None:
        shops = _with_settings(connection, named)
        is_known = pl.col("timezone").is_not_null()
        if not shops.select(is_known.all()).item():
            shops = pl.concat([shops.filter(is_known), _with_pending(connection, shops.filter(~is_known))])
        others = shops.filter(pl.col("timezone") != self.timezone).sort("shop_name")
        if others.is_empty():
            return
        shop, zone, is_pending = others.select("shop_name", "timezone", "is_pending").row(0)
        command = f"`etl-assets shops set {shlex.quote(shop)} --timezone {self.timezone}`"
        first = "run `etl-assets run`, which makes the shop, and then " if is_pending else ""
        msg = (
            f"The shop {shop!r} has the time zone {zone}, not {self.timezone}: leave out --timezone, or change the"
            f" shop's: {first}{command}, which has its orders read again."
        )
        raise ShopTimezoneError(msg)


def _has_own_timezone(preset: Preset) -> bool:
    """Test that a mapping names a time zone, other than that of the preset of the package that it is."""
    packaged = {one.timezone for one in list_presets() if one.name == preset.name}
    return "timezone" in preset.model_fields_set and preset.timezone not in packaged


def _with_settings(connection: sa.Connection | None, named: pl.DataFrame) -> pl.DataFrame:
    """Add the settings of the shops that are named as in an export; null for shops that are not known yet."""
    cleaned = named.with_columns(clean_text(pl.col("platform")), shop_name=clean_text(pl.col("shop")))
    known = _fetch(connection, _SHOPS, _SHOP_SCHEMA)
    return cleaned.join(known, on=_SHOP_KEY, how="left").with_columns(is_pending=pl.lit(value=False))


def _with_pending(connection: sa.Connection | None, unknown: pl.DataFrame) -> pl.DataFrame:
    """Give shops that are not known the time zone that an import has, of which they have yet to be made."""
    schema = dict.fromkeys(("platform", "shop_name", "timezone"), pl.String())
    pending = _fetch(connection, _PENDING, schema).with_columns(clean_text(pl.col(_SHOP_KEY)))
    zones = pending.drop_nulls().group_by(_SHOP_KEY).agg(pl.col("timezone").min())
    joined = unknown.drop("timezone").join(zones, on=_SHOP_KEY, how="left")
    return joined.select(unknown.columns).with_columns(is_pending=pl.lit(value=True))


def _fetch(connection: sa.Connection | None, query: str, schema: dict[str, pl.String]) -> pl.DataFrame:
    return pl.DataFrame(schema=schema) if connection is None else fetch_frame(connection, query, schema)


def _findings(code: FindingCode, rows: pl.DataFrame, subject: str) -> list[Finding]:
    """Return a finding for each value of the column `subject`, with the sum of `rows` and the least `first_line`."""
    added = rows.group_by(subject).agg(pl.col("rows").sum(), pl.col("first_line").min()).sort(subject)
    return [Finding(code, *row) for row in added.iter_rows()]
