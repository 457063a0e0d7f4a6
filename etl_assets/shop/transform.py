"""The rules of shops (design §4): pure functions from raw rows to shops. Reading and writing is in `shop.step`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.values.currencies import currency_codes
from etl_assets.values.text import clean_text, fits_an_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from etl_assets.presets.model import Preset

SHOP_KEY: Final = ("platform", "shop_name")
_RAW_SCHEMA: Final = {"raw_id": pl.Int64(), **dict.fromkeys(("platform", "shop", "currency"), pl.String())}


def distinct_shops(raw: pl.DataFrame, preset: Preset | None) -> pl.DataFrame:
    """Return the distinct shops that raw rows name.

    A row without platform or shop names none, nor does one whose names are too long for a key: `orders` rejects it.

    Args:
        raw: `raw_id`, `platform`, `shop`, `currency` as text, of imports with one preset.
        preset: gives new shops their time zone (UTC without one).

    Returns:
        `platform`, `shop_name`, `currency` (the first that a row of the shop names), `timezone`, `is_provisional` (the
        rows hold lines only, and give no settings); sorted by the key.
    """
    rows = raw.sort("raw_id")
    return (
        rows.select(
            platform=clean_text(pl.col("platform")),
            shop_name=clean_text(pl.col("shop")),
            currency=currency_codes(rows["currency"], symbols=preset.currency_symbols if preset else None),
        )
        .drop_nulls(SHOP_KEY)
        .filter(fits_an_index(*map(pl.col, SHOP_KEY)))
        .group_by(SHOP_KEY)
        .agg(pl.col("currency").drop_nulls().first())
        .with_columns(
            timezone=pl.lit(preset.timezone if preset else "UTC"),
            is_provisional=pl.lit(preset is not None and preset.holds == "lines"),
        )
        .sort(SHOP_KEY)
    )


def new_shops(named: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return the `named` shops that are not `known` (anti join on the key)."""
    return named.join(known, on=SHOP_KEY, how="anti", maintain_order="left")


def first_shops(named: pl.DataFrame) -> pl.DataFrame:
    """Return each shop once, as the first rows of orders name it, or else the first of lines.

    Args:
        named: as `distinct_shops` returns them, of several imports, the first one first.
    """
    return named.sort("is_provisional", maintain_order=True).unique(SHOP_KEY, keep="first", maintain_order=True)


def shops_of_imports(parts: Sequence[tuple[Preset, pl.DataFrame]]) -> pl.DataFrame:
    """Return each shop once, with the settings by the first import of orders that names it, or else of lines.

    So they do not depend on which imports are read together.

    Args:
        parts: the rows of imports by their preset: `raw_id`, `import_batch_id`, `platform`, `shop`, `currency` as text.

    Returns:
        As `distinct_shops`.
    """
    columns = ("raw_id", "import_batch_id")
    names = (clean_text(pl.col("platform")), clean_text(pl.col("shop")).alias("shop_name"))
    named = [part.select(*columns, *names, is_of_lines=pl.lit(preset.holds == "lines")) for preset, part in parts]
    if not named:
        return distinct_shops(pl.DataFrame(schema=_RAW_SCHEMA), None)
    rows = pl.concat(named).sort("is_of_lines", "raw_id")
    firsts = rows.unique(SHOP_KEY, keep="first").select(*SHOP_KEY, "import_batch_id")
    of_firsts = rows.join(firsts, on=[*SHOP_KEY, "import_batch_id"], how="semi").select("raw_id")
    shops = [distinct_shops(part.join(of_firsts, on="raw_id", how="semi"), preset) for preset, part in parts]
    return pl.concat(shops).sort(SHOP_KEY)


def settled_shops(named: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return the known shops that only files of lines have named, and now one of orders: `shop_id` and settings."""
    provisional = known.filter("is_provisional").select("shop_id", *SHOP_KEY)
    by_orders = named.filter(~pl.col("is_provisional")).join(provisional, on=SHOP_KEY, maintain_order="left")
    return by_orders.select("shop_id", "currency", "timezone", "is_provisional")
