"""Oracle of the property tests: computes the expected tables row by row, in plain Python.

It restates the rules of docs and design independently of the package: no Polars, no SQL, and of the package only the
preset's data. `expected` takes raw rows and returns the tables once all of them are processed, however they were
split into imports and batches. History (strategy, opened_at, created_at, …) is left out on purpose: it may differ.
"""

from __future__ import annotations

import re
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from etl_assets_tests.helpers.reference_values import (
    clean_name,
    clean_text,
    fold,
    read_amount,
    read_currency,
    read_timestamp,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from etl_assets.presets.model import Preset
    from etl_assets.values.numbers import NumberFormat

ShopKey = tuple[str, str]
"""(platform, shop_name), both cleaned."""
OrderKey = tuple[str, str, str]
"""(platform, shop_name, order_id), all cleaned."""
Record = dict[str, Any]

_ZERO: Final = Decimal("0.0000")


@dataclass(frozen=True)
class RawRow:
    """Row of `raw_orders`: its identity, the text columns as stored, and its defect in the file."""

    raw_id: int
    import_id: str
    row_no: int
    platform: str | None = None
    shop: str | None = None
    order_id: str | None = None
    customer_name: str | None = None
    order_status: str | None = None
    order_type: str | None = None
    amount: str | None = None
    currency: str | None = None
    ordered_at: str | None = None
    updated_at: str | None = None
    items: str | None = None
    processes: str | None = None
    remark: str | None = None
    platform_order_id: str | None = None
    refunded_amount: str | None = None
    defect: str | None = None
    holds: str | None = None
    """`lines` where the row is one of a file of lines."""


@dataclass
class Expected:
    """Expected content of the tables, keyed by names instead of surrogate keys."""

    shops: set[ShopKey] = field(default_factory=set)
    orders: dict[OrderKey, Record] = field(default_factory=dict)
    order_items: dict[tuple[str, str, str, int], Record] = field(default_factory=dict)
    process_items: dict[tuple[str, str, str, int, int], Record] = field(default_factory=dict)
    customers: dict[str, Record] = field(default_factory=dict)
    leads: dict[uuid.UUID, Record] = field(default_factory=dict)
    lead_orders: dict[OrderKey, uuid.UUID] = field(default_factory=dict)
    quarantine: set[tuple[str, int, str]] = field(default_factory=set)
    """(asset, raw_id, reason_code) of every row set aside, whether resolved since or not. For the items and processes
    only of the winning versions: which losers were looked at in between depends on the batches."""
    open_quarantine: set[tuple[str, int, str]] = field(default_factory=set)
    """Part of `quarantine` that no later good version of the same order has resolved."""
    lines: dict[OrderKey, tuple[RawRow, bool]] = field(default_factory=dict)
    """The newest row of lines of each order, and whether it waits for the order."""


@dataclass(frozen=True)
class Lines:
    """Parsed `items` and `processes` of an order; None for a text that can't be read."""

    items: Sequence[Record] | None
    """Lines in order, line_no 1, 2, …: `product`, `variant`, `sku`, `quantity`, `unit_price`, `personalisation`."""
    processes: Mapping[tuple[int, int], Record] | None
    """By (line_no, process_no): `process_type`, `position`, `picture_count`, `quantity`, `picture_print_quantity`."""


LineReader = Callable[["RawRow", "NumberFormat"], Lines]


@dataclass(frozen=True)
class _Version:
    """Parsed good raw row."""

    key: OrderKey
    row: RawRow
    values: Record

    def rank(self) -> tuple[bool, datetime, int]:
        """Return the rank in the total order of versions: by update time, none before any, then by raw_id."""
        updated = self.values["source_updated_at"]
        return (updated is not None, updated or datetime.min.replace(tzinfo=UTC), self.row.raw_id)


def expected(
    rows: Iterable[RawRow],
    preset: Preset,
    order_type_mappings: Mapping[str, str],
    *,
    customer_namespace: uuid.UUID,
    lead_namespace: uuid.UUID,
    read_lines: LineReader | None = None,
    lines_preset: Preset | None = None,
) -> Expected:
    """Compute the tables for these raw rows, all read with one preset, without stages set by users.

    Rows of files of lines are read with `lines_preset` (the same one without).

    `order_type_mappings` maps a cleaned, lower-cased raw order type to `SAMPLE`, `PROOF` or `BULK`. Without
    `read_lines`, items and processes stay empty and no row is in quarantine for them.
    """
    result = Expected()
    rows = sorted(rows, key=lambda row: row.raw_id)
    versions: dict[OrderKey, list[_Version]] = defaultdict(list)
    rejected: list[tuple[OrderKey | None, RawRow, str]] = []
    ids: dict[OrderKey, str] = {}
    in_conflict = _conflicts_within_imports(rows)
    lines_of = _add_line_rows(result, [row for row in rows if row.holds == "lines"], lines_preset or preset)
    for row in [row for row in rows if row.holds != "lines"]:
        platform, shop, order_id = clean_text(row.platform), clean_text(row.shop), clean_text(row.order_id)
        if platform and shop and _fits_an_index(platform, shop):
            result.shops.add((platform, shop))
        key = (platform, shop, order_id) if platform and shop and order_id else None
        read = read_order(
            row,
            preset,
            order_type_mappings,
            is_conflicting=row.raw_id in in_conflict or "CONFLICTING_ORDER" in (row.defect or ""),
        )
        identity = clean_text(row.platform_order_id)
        if isinstance(read, str):
            rejected.append((key, row, read))
        elif key and identity and ids.setdefault(key, identity) != identity:
            rejected.append((key, row, "CONFLICTING_ORDER"))
        elif key:
            versions[key].append(_Version(key, row, read))

    for key, row, reason_code in rejected:
        entry = ("orders", row.raw_id, reason_code)
        result.quarantine.add(entry)
        good = versions.get(key, []) if key else []
        is_overtaken = any(version.row.raw_id > row.raw_id for version in good)
        is_its_own = key is not None and row.platform_order_id is not None and ids.get(key) == row.platform_order_id
        is_other_order = reason_code == "CONFLICTING_ORDER" and not is_its_own
        if not is_overtaken or is_other_order:
            result.open_quarantine.add(entry)

    winners = [max(candidates, key=_Version.rank) for candidates in versions.values()]
    result.orders = {winner.key: winner.values | {"platform_order_id": ids.get(winner.key)} for winner in winners}
    result.lines = {key: (row, key not in result.orders) for key, row in lines_of.items()}
    if read_lines:
        for winner in winners:
            _add_lines(result, winner, lines_of.get(winner.key), lambda row: read_lines(row, preset.numbers))
    _add_customers(result, customer_namespace)
    _add_leads(result, customer_namespace, lead_namespace)
    return result


# --- orders ---------------------------------------------------------------------------------------------------------


def _conflicts_within_imports(rows: Iterable[RawRow]) -> set[int]:
    """Find the rows whose import names several ids of the platform under their order number."""
    sharing: dict[tuple[str | None, ...], list[RawRow]] = defaultdict(list)
    for row in rows:
        if clean_text(row.order_id):
            names = (clean_text(name) for name in (row.platform, row.shop, row.order_id))
            sharing[row.import_id, *names].append(row)
    return {
        row.raw_id
        for group in sharing.values()
        if len({clean_text(row.platform_order_id) for row in group} - {None}) > 1
        for row in group
    }


def read_order(
    row: RawRow, preset: Preset, order_type_mappings: Mapping[str, str], *, is_conflicting: bool = False
) -> Record | str:
    """Read a raw row as a version of its order, or return its reason code."""
    unnamed = _fault_of_names(row, is_conflicting=is_conflicting)
    if unnamed:
        return unnamed
    try:
        amount = read_amount(row.amount, preset.numbers)
        refunded_amount = read_amount(row.refunded_amount, preset.numbers)
    except ValueError:
        return "BAD_AMOUNT"
    try:
        zone = ZoneInfo(preset.timezone)
        ordered_at = read_timestamp(row.ordered_at, preset.timestamp_formats, zone)
        source_updated_at = read_timestamp(row.updated_at, preset.timestamp_formats, zone)
    except ValueError:
        return "BAD_TIMESTAMP"

    status = clean_text(row.order_status)
    cancelled = {fold(text) for text in preset.cancelled_statuses} - {None}
    return {
        "customer_nickname": clean_name(row.customer_name),
        "latest_status": status,
        "is_cancelled": fold(status) in cancelled,
        "order_type": clean_text(row.order_type),
        "system_order_type": order_type_mappings.get(fold(row.order_type) or "", "BULK"),
        "amount": amount,
        "refunded_amount": refunded_amount,
        "currency": read_currency(row.currency, row.amount, preset.currency_symbols),
        "ordered_at": ordered_at,
        "source_updated_at": source_updated_at,
        "raw_id": row.raw_id,
    }


def _fault_of_names(row: RawRow, *, is_conflicting: bool) -> str | None:
    """Return the reason code of a row whose names can't be read or are not its own."""
    keys = ((row.platform, row.shop), (row.order_id,), (row.order_type,))
    is_rounded = re.match(r"[+-]?[0-9]+([.,][0-9]+[eE][+-]?|[eE][+])[0-9]+$", clean_text(row.order_id) or "")
    faults = {
        "BAD_TEXT": "BAD_TEXT" in (row.defect or "") or not all(_fits_an_index(*map(clean_text, key)) for key in keys),
        "ROUNDED_ORDER_ID": is_rounded,
        "CONFLICTING_ORDER": is_conflicting,
        "MISSING_SHOP": clean_text(row.platform) is None or clean_text(row.shop) is None,
        "MISSING_ORDER_ID": clean_text(row.order_id) is None,
    }
    return next((code for code, applies in faults.items() if applies), None)


def _fits_an_index(*parts: str | None) -> bool:
    """Return whether a key fits an index entry: at most 2704 bytes, about a hundred of them PostgreSQL's own."""
    return sum(len(part.encode()) for part in parts if part) <= 2600


# --- items and processes --------------------------------------------------------------------------------------------


def _add_line_rows(result: Expected, rows: Sequence[RawRow], preset: Preset) -> dict[OrderKey, RawRow]:
    """Add shops and quarantine of the rows of files of lines; return the newest good row of each order's lines."""
    versions: dict[OrderKey, list[tuple[tuple[bool, datetime, int], RawRow]]] = defaultdict(list)
    rejected: list[tuple[OrderKey | None, RawRow, str]] = []
    for row in rows:
        platform, shop, order_id = clean_text(row.platform), clean_text(row.shop), clean_text(row.order_id)
        if platform and shop and _fits_an_index(platform, shop):
            result.shops.add((platform, shop))
        key = (platform, shop, order_id) if platform and shop and order_id else None
        code = _fault_of_names(row, is_conflicting="CONFLICTING_ORDER" in (row.defect or ""))
        try:
            updated = read_timestamp(row.updated_at, preset.timestamp_formats, ZoneInfo(preset.timezone))
        except ValueError:
            code = code or "BAD_TIMESTAMP"
        if code:
            rejected.append((key, row, code))
        elif key:
            rank = (updated is not None, updated or datetime.min.replace(tzinfo=UTC), row.raw_id)
            versions[key].append((rank, row))
    for key, row, code in rejected:
        entry = ("orders", row.raw_id, code)
        result.quarantine.add(entry)
        later = [good for _, good in (versions.get(key, []) if key else []) if good.raw_id > row.raw_id]
        if not later or code == "CONFLICTING_ORDER":
            result.open_quarantine.add(entry)
    return {key: max(found, key=lambda one: one[0])[1] for key, found in versions.items()}


def _add_lines(
    result: Expected, winner: _Version, from_file: RawRow | None, read_lines: Callable[[RawRow], Lines]
) -> None:
    """Add the lines of an order's winning version, or its quarantine.

    What a file of lines says about them comes before what the row of the order says.
    """
    own = winner.row
    has_items = from_file is not None and from_file.items is not None
    items_from = from_file if from_file is not None and has_items else own
    processes = own.processes if from_file is None or from_file.processes is None else from_file.processes
    lines = read_lines(replace(own, items=items_from.items, processes=processes))
    unreadable = set()
    if lines.items is None:
        unreadable.add(("order_items", items_from.raw_id, "BAD_ITEMS"))
    else:
        result.order_items |= {(*winner.key, line_no): item for line_no, item in enumerate(lines.items, start=1)}
    if lines.processes is None:
        unreadable.add(("process_items", (from_file or own).raw_id, "BAD_PROCESSES"))
    else:
        result.process_items |= {(*winner.key, *number): process for number, process in lines.processes.items()}
    result.quarantine |= unreadable
    result.open_quarantine |= unreadable


# --- customers and leads --------------------------------------------------------------------------------------------


def customer_key(platform: str, shop_name: str, nickname: str) -> str:
    """Return the key from which a customer's id is derived."""
    return ":".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in (platform, shop_name, nickname))


def _customer_of(key: OrderKey, order: Record) -> str | None:
    nickname = order["customer_nickname"]
    return None if nickname is None else customer_key(key[0], key[1], nickname)


def _add_customers(result: Expected, namespace: uuid.UUID) -> None:
    for key, order in result.orders.items():
        key_of_customer = _customer_of(key, order)
        if key_of_customer is None:
            continue
        customer = result.customers.setdefault(
            key_of_customer,
            {
                "customer_global_id": uuid.uuid5(namespace, key_of_customer),
                "platform": key[0],
                "shop_name": key[1],
                "nickname": order["customer_nickname"],
                "first_order_at": None,
                "last_order_at": None,
                "order_count": 0,
            },
        )
        if order["is_cancelled"]:
            continue
        customer["order_count"] += 1
        _widen(customer, order["ordered_at"])


def _widen(record: Record, moment: datetime | None) -> None:
    if moment is not None:
        record["first_order_at"] = min(record["first_order_at"] or moment, moment)
        record["last_order_at"] = max(record["last_order_at"] or moment, moment)


def _add_leads(result: Expected, customer_namespace: uuid.UUID, lead_namespace: uuid.UUID) -> None:
    """Attach every order that has a customer and is not cancelled to the customer's first and only lead."""
    attached: dict[str, list[tuple[OrderKey, Record]]] = defaultdict(list)
    for key, order in result.orders.items():
        key_of_customer = _customer_of(key, order)
        if key_of_customer is not None and not order["is_cancelled"]:
            attached[key_of_customer].append((key, order))
    for key_of_customer, orders in attached.items():
        customer_global_id = uuid.uuid5(customer_namespace, key_of_customer)
        lead_id = uuid.uuid5(lead_namespace, f"{customer_global_id}:0")
        result.lead_orders |= {key: lead_id for key, _ in orders}
        result.leads[lead_id] = {
            "customer_global_id": customer_global_id,
            "current_stage": "OPEN",
            **lead_figures(orders),
        }


def lead_figures(orders: Sequence[tuple[OrderKey, Record]]) -> Record:
    """Compute the figures of a lead: all orders are counted, amounts added only in the lead's currency."""
    orders = sorted(orders, key=_in_time_order)
    figures: Record = {
        "first_order_at": None,
        "last_order_at": None,
        "order_count": 0,
        "total_amount": _ZERO,
        "refunded_amount": _ZERO,
        "currency": orders[0][1]["currency"],
    }
    for kind in ("sample", "proof", "bulk"):
        figures |= {f"{kind}_count": 0, f"{kind}_amount": _ZERO}
    for _, order in orders:
        kind = order["system_order_type"].lower()
        amount = order["amount"] or _ZERO
        _widen(figures, order["ordered_at"])
        figures["order_count"] += 1
        figures[f"{kind}_count"] += 1
        if order["currency"] == figures["currency"]:
            figures["total_amount"] += amount
            figures["refunded_amount"] += order["refunded_amount"] or _ZERO
            figures[f"{kind}_amount"] += amount
    return figures


def _in_time_order(keyed_order: tuple[OrderKey, Record]) -> tuple[bool, datetime, bytes]:
    (_, _, order_id), order = keyed_order
    ordered_at = order["ordered_at"]
    return (ordered_at is None, ordered_at or datetime.max.replace(tzinfo=UTC), order_id.encode())
