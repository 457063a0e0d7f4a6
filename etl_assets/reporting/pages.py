"""Markdown pages for metadata in the UI: a chart first, the exact figures below it.

Pure functions of frames that `figures` has read; drawing is in `charts`.
"""

from __future__ import annotations

import base64
import unicodedata
from typing import TYPE_CHECKING, Any, Final, cast

import polars as pl

from etl_assets.reporting import charts
from etl_assets.reporting.figures import DAYS_SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SHOPS_SHOWN: Final = 12
KINDS: Final = ("sample", "proof", "bulk")
_LONGEST_LABEL: Final = 28
"""Columns of a shop's name beside its bar; a Chinese character takes two."""


def image(alt: str, svg: str) -> str:
    """Embed a picture as a data URL."""
    return f"![{alt}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode('ascii')})"


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Write a table, with every cell escaped."""
    lines = [header, ["---"] * len(header), *([cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cell(value: object) -> str:
    """Write a value as text without any meaning for Markdown or HTML."""
    if value is None:
        return "–"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else " ".join(str(value).split())
    return "".join(f"&#{ord(character)};" if character in _SPECIAL else character for character in text)


_SPECIAL: Final = frozenset(r"\`*_{}[]()<>#+!|~&$")


def rates_page(rates: pl.DataFrame) -> str | None:
    """Compose the rates of an asset's last runs, in less than the 1,000 characters that the UI shows in place.

    Args:
        rates: rows of `figures.RATE_SCHEMA` of one asset, oldest first.

    Returns:
        The page; None before the first run with rows.
    """
    if rates.is_empty():
        return None
    per_second = rates.select(rate=pl.col("rows") / pl.col("seconds").clip(lower_bound=1e-6))["rate"]
    svg = charts.draw_rates(per_second.to_list())
    last, median = charts.short(per_second[-1]), charts.short(cast("float", per_second.median()))
    summary = f"Last run: {last} rows/s; median of {rates.height}: {median} rows/s."
    return f"{image('rows per second', svg)}\n\n{summary}"


def leads_page(funnel: pl.DataFrame) -> str | None:
    """Compose the funnel of leads: sample, proof, bulk order.

    Args:
        funnel: rows of `figures.FUNNEL_SCHEMA`.

    Returns:
        The page; None without leads.
    """
    if funnel.is_empty():
        return None
    total = funnel.select(pl.exclude("currency").sum()).row(0, named=True)
    # The currency of most leads: amounts of several are never added together.
    main = funnel.drop_nulls("currency").head(1)
    stages = []
    for kind in KINDS:
        amount = f" · {charts.short(float(main[f'{kind}_amount'][0]))} {main['currency'][0]}" if main.height else ""
        leads, orders = total[f"{kind}_leads"], total[f"{kind}_orders"]
        share = f"{leads / total['leads']:.0%}"
        stages.append((kind, leads, f"{share} · {leads:,} leads · {orders:,} orders{amount}"))
    rows = [
        [kind, row["currency"], row[f"{kind}_leads"], row[f"{kind}_orders"], f"{row[f'{kind}_amount']:,.2f}"]
        for row in funnel.head(5).iter_rows(named=True)
        for kind in KINDS
    ]
    parts = [image("leads by type of order", charts.draw_funnel(stages, total["leads"]))]
    if total["sample_leads"]:
        share = total["sample_then_bulk"] / total["sample_leads"]
        parts.append(f"Of the leads with a sample, {share:.1%} also have a bulk order.")
    parts.append(table(["type", "currency of the lead", "leads", "orders", "amount"], rows))
    return "\n\n".join(parts)


def orders_page(by_shop: pl.DataFrame, by_day: pl.DataFrame) -> str | None:
    """Compose orders per shop and per day.

    Args:
        by_shop: rows of `figures.SHOP_SCHEMA`, most orders first.
        by_day: rows of `figures.DAY_SCHEMA`, oldest first.

    Returns:
        The page; None without orders.
    """
    if by_shop.is_empty():
        return None
    shown = by_shop.head(SHOPS_SHOWN)
    title = f"Orders per shop ({shown.height} of {by_shop.height} shops)"
    bars = [(_truncate(name), orders) for name, orders in shown.select("shop_name", "orders").iter_rows()]
    parts = [image("orders per shop", charts.draw_shops(bars, title))]
    if by_day.height:
        days = list(by_day.select("day", "orders").iter_rows())
        parts.append(
            image(
                "orders per day", charts.draw_days(days, f"Orders per day (UTC), {DAYS_SHOWN} days", slots=DAYS_SHOWN)
            )
        )
    parts.append(table(["shop", "platform", "name", "orders"], shown.iter_rows()))
    return "\n\n".join(parts)


def _truncate(name: str) -> str:
    """Cut a name to the columns of a label."""
    columns = 0
    for place, character in enumerate(name):
        columns += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if columns > _LONGEST_LABEL:
            return f"{name[:place]}…"
    return name
