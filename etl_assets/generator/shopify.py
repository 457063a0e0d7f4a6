"""Orders export of Shopify: one row per line item, further rows of an order nearly empty; one shop per file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from etl_assets.generator import people
from etl_assets.generator.catalogue import ENGLISH_PRODUCTS, Shop, product_table
from etl_assets.generator.errors import BAD_AMOUNT, BAD_TIMESTAMP, Places, corrupt, draw_errors
from etl_assets.generator.lines import draw_lines, order_totals
from etl_assets.generator.random_columns import (
    Chunk,
    chance,
    chunks,
    local_text,
    money,
    order_seconds,
    pick,
    returning_buyers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADDRESS: Final = (
    "Name", "Street", "Address1", "Address2", "Company", "City", "Zip", "Province", "Country", "Phone",
)  # fmt: skip
HEADERS: Final = (
    "Name", "Email", "Financial Status", "Paid at", "Fulfillment Status", "Fulfilled at", "Accepts Marketing",
    "Currency", "Subtotal", "Shipping", "Taxes", "Total", "Discount Code", "Discount Amount", "Shipping Method",
    "Created at",
    "Lineitem quantity", "Lineitem name", "Lineitem price", "Lineitem compare at price", "Lineitem sku",
    "Lineitem requires shipping", "Lineitem taxable", "Lineitem fulfillment status",
    *(f"Billing {part}" for part in _ADDRESS), *(f"Shipping {part}" for part in _ADDRESS),
    "Notes", "Note Attributes", "Cancelled at", "Payment Method", "Payment Reference", "Refunded Amount", "Vendor",
    "Outstanding Balance", "Employee", "Location", "Device ID", "Id", "Tags", "Risk Level", "Source",
    "Lineitem discount",
    *(f"Tax {number} {part}" for number in range(1, 6) for part in ("Name", "Value")),
    "Phone", "Receipt Number", "Duties", "Billing Province Name", "Shipping Province Name", "Payment ID",
    "Payment Terms Name", "Next Payment Due At", "Payment References",
)  # fmt: skip
REPEATED_HEADERS: Final = ("Name", "Email", "Created at")
"""Columns that the further rows of an order repeat; all others but their own ``Lineitem …`` columns are empty."""
ERRORS: Final[Places] = {"amount": {"Total": BAD_AMOUNT}, "timestamp": {"Created at": BAD_TIMESTAMP}}
_TIME: Final = "%Y-%m-%d %H:%M:%S %z"
_NOTES: Final = (
    None, None, None, None, 'Please embroider "Team Alpine 2024"\nin gold thread,\nleft side.',
    "Gift, no invoice please",
    'Engraving:\n"Anna & Tom"\n12.06.2024', "Sample first, then 50 pieces 🙏", "Rush order, needed by Friday",
)  # fmt: skip
_ATTRIBUTES: Final = (
    None, None, "Engraving text: Anna & Tom\nFont: Script", "Position: left chest\nThread: gold", "Proof approved: yes",
)  # fmt: skip
_PLACES: Final = (
    ("Marktgasse 12", "Basel", "'4001", "BS", "CH", "Basel-Stadt"),
    ("Lindenweg 3", "Zürich", "'8004", "ZH", "CH", "Zürich"),
    ("12 Elm Street", "Burlington", "'05401", "VT", "US", "Vermont"),
    ("4 Harbour Road, Flat 2", "Bristol", "BS1 5TY", "ENG", "GB", "England"),
    ("Rue de l'Église 8", "Liège", "'4000", None, "BE", None),
)


def order_chunks(shop: Shop, orders: int, seed: int, chunk_size: int, bad_share: float) -> Iterator[pl.DataFrame]:
    """Yield the export of one shop, some orders at a time: the columns `HEADERS`, text, null for an empty cell."""
    for chunk in chunks(seed, f"shopify {shop.name}", orders, chunk_size):
        orders_frame, lines = _orders(chunk, shop)
        errors = draw_errors(chunk.rng, tuple(ERRORS), bad_share, chunk.size, each_kind=True)
        yield _by_line(chunk, corrupt(orders_frame, errors, ERRORS), lines)


def _by_line(chunk: Chunk, orders: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """Return a row per line: the order's columns on its first row, only `REPEATED_HEADERS` on the further ones."""
    further = pl.lit(lines.get_column("line") > 0)
    without_email = pl.lit(chance(chunk.rng, 0.1, lines.height)) & further
    rows = orders.select(pl.all().gather(lines.get_column("order"))).with_columns(
        pl.when(~further).then(column).alias(column) for column in orders.columns if column not in REPEATED_HEADERS
    )
    rows = rows.with_columns(Email=pl.when(~without_email).then("Email"))
    items = lines.select(
        (pl.col("name") + " - " + pl.col("variant")).alias("Lineitem name"),
        pl.col("quantity").cast(pl.String).alias("Lineitem quantity"),
        money(pl.col("cents")).alias("Lineitem price"),
        pl.col("sku").alias("Lineitem sku"),
        pl.lit("true").alias("Lineitem requires shipping"),
        pl.lit("true").alias("Lineitem taxable"),
        pl.lit("pending").alias("Lineitem fulfillment status"),
        pl.lit("0.00").alias("Lineitem discount"),
    )
    filled = pl.concat([rows, items], how="horizontal")
    return filled.select(_or_empty(header, filled.columns) for header in HEADERS)


def _orders(chunk: Chunk, shop: Shop) -> tuple[pl.DataFrame, pl.DataFrame]:
    rng, size = chunk.rng, chunk.size
    counts = rng.choice(np.array([1, 2, 3, 4]), size=size, p=(0.6, 0.25, 0.1, 0.05))
    most = rng.choice(np.array([1, 2, 40]), size=size, p=(0.5, 0.3, 0.2))
    lines = draw_lines(rng, product_table(ENGLISH_PRODUCTS), counts, most)
    drawn = _drawn(chunk).with_columns(order_totals(lines))
    created = local_text(pl.col("second"), shop.timezone, _TIME)
    total = money(pl.col("cents") + pl.col("shipping"))
    refunded = pl.when(pl.col("status") == "refunded").then(total).otherwise(pl.lit("0.00"))
    later = local_text(pl.col("second") + 86_400, shop.timezone, _TIME)
    card = pl.lit("card")
    values = {
        "Name": pl.format("#{}", "number"), "Email": pl.col("email"), "Financial Status": pl.col("status"),
        "Paid at": pl.when(~pl.col("status").is_in(("pending", "voided"))).then(created),
        "Fulfillment Status": pl.when("fulfilled").then(pl.lit("fulfilled")).otherwise(pl.lit("unfulfilled")),
        "Fulfilled at": pl.when("fulfilled").then(later), "Accepts Marketing": pl.lit("no"),
        "Currency": pl.lit(shop.currency), "Subtotal": money(pl.col("cents")), "Shipping": money(pl.col("shipping")),
        "Taxes": pl.lit("0.00"), "Total": total, "Discount Amount": pl.lit("0.00"),
        "Shipping Method": pl.lit("Standard"), "Created at": created, "Notes": pl.col("note"),
        "Note Attributes": pl.col("attributes"),
        "Cancelled at": pl.when("cancelled").then(later), "Refunded Amount": refunded, "Vendor": pl.lit(shop.name),
        "Payment Method": pl.when(pl.col("email").is_null()).then(pl.lit("Cash on Delivery (COD)")).otherwise(card),
        "Outstanding Balance": pl.lit("0.00"), "Id": (pl.col("number") + 3_700_000_000_000).cast(pl.String),
        "Risk Level": pl.lit("Low"), "Source": pl.lit("web"), "Phone": pl.col("phone"),
    }  # fmt: skip
    values |= {f"{kind} {part}": pl.col(part) for kind in ("Billing", "Shipping") for part in _drawn_address(drawn)}
    return drawn.select(value.alias(header) for header, value in values.items()), lines


def _drawn(chunk: Chunk) -> pl.DataFrame:
    rng, size = chunk.rng, chunk.size
    buyers = returning_buyers(rng, chunk)
    by_phone = pl.lit(chance(rng, 0.08, size))
    places = pl.DataFrame(
        list(_PLACES), schema=["Street", "City", "Zip", "Province", "Country", "Province Name"], orient="row"
    )
    statuses = ("paid", "pending", "authorized", "partially_refunded", "refunded", "voided")
    drawn = pl.DataFrame(
        {
            "number": np.arange(chunk.start, chunk.start + size, dtype=np.int64) + 1_001,
            "second": order_seconds(rng, chunk),
            "status": pick(rng, statuses, size, (80, 8, 3, 3, 4, 2)),
            "fulfilled": chance(rng, 0.8, size),
            "dropped": chance(rng, 0.03, size),
            "shipping": rng.choice(np.array([0, 490, 900]), size=size),
            "note": pick(rng, _NOTES, size),
            "attributes": pick(rng, _ATTRIBUTES, size),
            "email": people.emails(buyers),
            "Name": people.western_names(buyers),
            "Phone": people.western_phones(buyers),
        }
    ).with_columns(
        email=pl.when(~by_phone).then("email"),
        phone=pl.when(by_phone).then("Phone"),
        cancelled=pl.col("status").is_in(("refunded", "voided")) | pl.col("dropped"),
    )
    return pl.concat([drawn, places[buyers % places.height]], how="horizontal").with_columns(Address1=pl.col("Street"))


def _drawn_address(drawn: pl.DataFrame) -> list[str]:
    return [part for part in (*_ADDRESS, "Province Name") if part in drawn.columns]


def _or_empty(header: str, columns: list[str]) -> pl.Expr:
    return pl.col(header) if header in columns else pl.lit(None, dtype=pl.String).alias(header)
