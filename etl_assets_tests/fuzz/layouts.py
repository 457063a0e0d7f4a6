"""The formats that rows are made in: each preset, and a mapping of line items that writes its numbers differently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from etl_assets.presets.catalog import get_preset
from etl_assets.presets.model import Preset
from etl_assets_tests.helpers import strategies

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from etl_assets_tests.fuzz.values import Values

Row = dict[str, str | None]
"""The texts of a line by header."""

GOOD: Final = "good-"
"""What the numbers of good orders begin with, and no odd one."""

MAPPING: Final = Preset.model_validate(
    {
        "name": "hof_laden",
        "shape": "line_item",
        "encodings": ["utf-8", "gb18030"],
        "delimiter": ";",
        "columns": {
            "shop": "Laden",
            "order_id": "Nr.",
            "customer_name": ["E-Mail", "Telefon"],
            "order_status": {
                "rules": [{"when": "Storniert", "matches": r"\S", "value": "storniert"}],
                "columns": ["Status"],
                "constant": "offen",
            },
            "order_type": "Art",
            "currency": {"constant": "EUR"},
            "ordered_at": "Datum",
            "processes": "Veredelung",
            "remark": {"columns": ["Notiz"], "constant": "ohne"},
        },
        "item": {
            "name": "Artikel", "variant": "Variante", "sku": "Art.-Nr.", "quantity": "Menge", "unit_price": "Preis",
            "processes": "Druck", "personalisation": "Wunschtext",
        },
        "item_variant_separator": " - ",
        "amount_from_items": True,
        "numbers": {"decimal": ","},
        "timestamp_formats": ["%d.%m.%Y %H:%M"],
        "timezone": "Europe/Berlin",
        "cancelled_statuses": ["Storniert"],
    }
)  # fmt: skip


@dataclass(frozen=True)
class Cast:
    """The names that the rows of one round are made of."""

    platforms: tuple[str, ...]
    shops: tuple[str, ...]
    order_ids: tuple[str, ...]
    customers: tuple[str, ...]
    order_types: tuple[str | None, ...] = strategies.ORDER_TYPES

    @classmethod
    def drawn(cls, random: Random, values: Values, rows: int) -> Cast:
        """Choose names so that about two or three rows are versions of each order."""
        ids = [f"{random.randrange(10**6)}" for _ in range(rows // 4)]
        own = [values.text() for _ in range(1 + rows // 40)]
        return cls(
            (*strategies.PLATFORMS, values.text()),
            (*strategies.SHOPS, values.text(), "x" * 2_000),
            (*strategies.ORDER_IDS, *ids, *own),
            (*strategies.CUSTOMERS, *(f"c{random.randrange(10**5)}" for _ in range(rows // 8)), *own),
        )


@dataclass(frozen=True)
class Layout:
    """One format: its preset, its headers, and what draws a row."""

    preset: Preset
    kinds: dict[str, str]
    """What stands under each header: a column of `raw_orders` or of an item."""
    blank_on_further_lines: tuple[str, ...] = ()
    """The columns that many exports fill on an order's first line only."""

    @property
    def headers(self) -> tuple[str, ...]:
        """The headers of a file."""
        return tuple(self.kinds)

    def rows(self, random: Random, values: Values, cast: Cast, count: int) -> list[Row]:
        """Draw rows; of line items, some belong to the order of the row before."""
        rows: list[Row] = []
        for _ in range(count):
            row = {header: _DRAWN[kind](values, cast) for header, kind in self.kinds.items()}
            if self.blank_on_further_lines and rows and random.random() < 0.5:
                row |= {header: rows[-1][header] for header in self.number_headers}
                if random.random() < 0.7:
                    row |= dict.fromkeys(self.blank_on_further_lines)
            rows.append(row)
        return rows

    @property
    def number_headers(self) -> tuple[str, ...]:
        """The headers of the order's number."""
        return self.preset.columns["order_id"].columns


def _plain(value: object) -> str | None:
    return (
        value
        if value is None or isinstance(value, str)
        else str(value).lower()
        if isinstance(value, bool)
        else str(value)
    )


_DRAWN: Final[dict[str, Callable[[Values, Cast], str | None]]] = {
    "platform": lambda v, c: v.key(c.platforms),
    "shop": lambda v, c: v.key(c.shops),
    "order_id": lambda v, c: v.key(c.order_ids),
    "customer_name": lambda v, c: v.customer(c.customers),
    "order_status": lambda v, _: v.status(),
    "order_type": lambda v, c: v.key([kind or "" for kind in c.order_types]),
    "amount": lambda v, _: v.amount(),
    "currency": lambda v, _: v.currency(),
    "ordered_at": lambda v, _: v.time(),
    "updated_at": lambda v, _: v.time(),
    "items": lambda v, _: v.items(),
    "processes": lambda v, _: v.processes(),
    "remark": lambda v, _: v.remark(),
    "platform_order_id": lambda v, _: v.identity(),
    "name": lambda v, c: v.key([*c.shops, "T恤 - 白色", "Mug - - Blue", " - ", "a - "]),
    "variant": lambda v, _: v.remark(),
    "sku": lambda v, c: v.key(c.order_ids) if v.remark() else None,
    "quantity": lambda v, _: _plain(v.quantity()),
    "unit_price": lambda v, _: _plain(v.price()),
    "refunded_amount": lambda v, _: v.refund(),
    "personalisation": lambda v, _: v.remark(),
}


LAYOUTS: Final = {
    "generic": Layout(
        get_preset("generic"),
        {**{column: column for column in get_preset("generic").columns}, "memo": "remark", 'a "b", c': "remark"},
    ),
    "taobao": Layout(
        get_preset("taobao"),
        {
            "店铺名称": "shop",
            "订单编号": "order_id",
            "买家会员名": "customer_name",
            "订单状态": "order_status",
            "买家实际支付金额": "amount",
            "总金额": "amount",
            "订单创建时间": "ordered_at",
            "宝贝标题": "items",
            "买家留言": "remark",
            "订单备注": "remark",
            "宝贝种类": "quantity",
            "宝贝总数量": "quantity",
            "退款金额": "refunded_amount",
        },
    ),
    "shopify": Layout(
        get_preset("shopify").with_overrides(shop="Pop-up"),
        {
            "Name": "order_id",
            "Id": "platform_order_id",
            "Email": "customer_name",
            "Phone": "customer_name",
            "Financial Status": "order_status",
            "Cancelled at": "updated_at",
            "Paid at": "updated_at",
            "Total": "amount",
            "Currency": "currency",
            "Created at": "ordered_at",
            "Notes": "remark",
            "Lineitem name": "name",
            "Lineitem sku": "sku",
            "Lineitem quantity": "quantity",
            "Lineitem price": "unit_price",
            "Vendor": "remark",
            "Refunded Amount": "refunded_amount",
        },
        (
            "Id",
            "Email",
            "Phone",
            "Financial Status",
            "Cancelled at",
            "Paid at",
            "Total",
            "Currency",
            "Created at",
            "Notes",
            "Vendor",
            "Refunded Amount",
        ),
    ),
    "mapping": Layout(
        MAPPING,
        {
            "Laden": "shop",
            "Nr.": "order_id",
            "E-Mail": "customer_name",
            "Telefon": "customer_name",
            "Storniert": "remark",
            "Status": "order_status",
            "Art": "order_type",
            "Datum": "ordered_at",
            "Veredelung": "processes",
            "Notiz": "remark",
            "Artikel": "name",
            "Variante": "variant",
            "Art.-Nr.": "sku",
            "Menge": "quantity",
            "Preis": "unit_price",
            "Druck": "processes",
            "Wunschtext": "personalisation",
            "Lager": "remark",
        },
        ("Laden", "E-Mail", "Telefon", "Storniert", "Status", "Datum"),
    ),
}
"""By name: the presets that come along, and a mapping."""
