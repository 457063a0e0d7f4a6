"""Row by row through an ORM session: a query for every key and a commit for every row.

Measured on few orders and multiplied, because each order costs the same number of round trips.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session

from benchmarks.ways.set_sql import make_tables
from benchmarks.ways.way import Stopwatch, Task
from etl_assets.values.identifiers import CUSTOMER_NAMESPACE, LEAD_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.ways.way import Way

SCHEMA = "orm"
CANCELLED = {"cancelled", "canceled", "交易关闭", "已取消"}
TYPES = {"SAMPLE": "sample", "PROOF": "proof", "BULK": "bulk"}

Row = Any
"""A mapped row: automap makes the classes from the tables."""


class Orm:
    """Right for the generated data, in a first load."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.engine = sa.create_engine(
            sa.make_url(task.url).set(drivername="postgresql+psycopg"),
            connect_args={"options": f"-c search_path={SCHEMA},etl -c timezone=UTC"},
        )
        self.tables: Any = None

    def prepare(self) -> None:
        """Make the tables and map classes to them."""
        with psycopg.connect(self.task.url) as connection:
            make_tables(connection, SCHEMA)

    def run(self) -> dict[str, float]:
        """One pass over all rows for each asset."""
        base = automap_base()
        base.prepare(autoload_with=self.engine)
        self.tables = base.classes
        watch = Stopwatch()
        raw_ids = self._ids("SELECT raw_id FROM raw_orders ORDER BY raw_id")
        steps: tuple[tuple[str, Callable[[Session, int], None]], ...] = (
            ("shop", self._shop),
            ("orders", self._order),
            ("order_items", self._items),
            ("process_items", self._processes),
            ("customers", self._customer),
        )
        with Session(self.engine) as session:
            for asset, step in steps:
                with watch.of(asset):
                    self._each(session, raw_ids, step)
            by_time = "SELECT raw_id FROM orders ORDER BY ordered_at NULLS LAST, order_id"
            with watch.of("leads"):
                self._each(session, self._ids(by_time), self._lead)
        return watch.seconds

    def _ids(self, query: str) -> Sequence[int]:
        with self.engine.connect() as connection:
            return connection.execute(sa.text(query)).scalars().all()

    def _each(self, session: Session, raw_ids: Sequence[int], step: Callable[[Session, int], None]) -> None:
        for raw_id in raw_ids:
            step(session, raw_id)
            session.commit()

    def _raw(self, session: Session, raw_id: int) -> Row:
        return session.execute(sa.text("SELECT * FROM raw_orders WHERE raw_id = :raw_id"), {"raw_id": raw_id}).one()

    def _find_shop(self, session: Session, raw: Row) -> Row:
        return (
            session.query(self.tables.shop_configs).filter_by(platform=raw.platform, shop_name=raw.shop).one_or_none()
        )

    def _find_order(self, session: Session, raw_id: int) -> Row:
        return session.query(self.tables.orders).filter_by(raw_id=raw_id).one_or_none()

    def _shop(self, session: Session, raw_id: int) -> None:
        raw = self._raw(session, raw_id)
        if raw.platform and raw.shop and self._find_shop(session, raw) is None:
            session.add(
                self.tables.shop_configs(
                    platform=raw.platform, shop_name=raw.shop, currency=raw.currency, timezone="UTC"
                )
            )

    def _order(self, session: Session, raw_id: int) -> None:
        raw = self._raw(session, raw_id)
        shop = self._find_shop(session, raw)
        try:
            amount = Decimal(raw.amount) if raw.amount else None
            ordered, updated = (_timestamp(text) for text in (raw.ordered_at, raw.updated_at))
        except (InvalidOperation, ValueError) as error:
            code = "BAD_TIMESTAMP" if isinstance(error, ValueError) else "BAD_AMOUNT"
            self._reject(session, "orders", raw, code if shop and raw.order_id else None, shop)
            return
        if shop is None or not raw.order_id:
            self._reject(session, "orders", raw, None, shop)
            return
        stored = session.get(self.tables.orders, (shop.shop_id, raw.order_id))
        if stored is not None and stored.source_updated_at >= updated:
            return
        mapping = session.execute(
            sa.text("SELECT system_order_type FROM order_type_mappings WHERE raw_order_type = :type"),
            {"type": raw.order_type},
        ).scalar()
        values = {
            "customer_nickname": raw.customer_name,
            "customer_global_id": uuid.uuid5(CUSTOMER_NAMESPACE, _key(shop, raw)) if raw.customer_name else None,
            "latest_status": raw.order_status,
            "is_cancelled": raw.order_status in CANCELLED,
            "order_type": raw.order_type,
            "system_order_type": mapping or "BULK",
            "amount": amount,
            "currency": raw.currency,
            "ordered_at": ordered,
            "source_updated_at": updated,
            "raw_id": raw_id,
        }
        session.merge(self.tables.orders(shop_id=shop.shop_id, order_id=raw.order_id, **values))

    def _items(self, session: Session, raw_id: int) -> None:
        raw, order = self._raw(session, raw_id), self._find_order(session, raw_id)
        if order is None:
            return
        items = _array(raw.items)
        if items is None:
            self._reject(session, "order_items", raw, "BAD_ITEMS", order)
            return
        for number, item in enumerate(items, start=1):
            session.merge(
                self.tables.order_items(
                    shop_id=order.shop_id, order_id=order.order_id, line_no=number, product=item["name"],
                    variant=item["variant"], sku=item["sku"], quantity=item["quantity"],
                    unit_price=Decimal(item["unit_price"]),
                )
            )  # fmt: skip

    def _processes(self, session: Session, raw_id: int) -> None:
        raw, order = self._raw(session, raw_id), self._find_order(session, raw_id)
        if order is None:
            return
        if raw.processes is not None:
            self._reject(session, "process_items", raw, "BAD_PROCESSES", order)
            return
        for number, item in enumerate(_array(raw.items) or (), start=1):
            for place, process in enumerate(item["processes"], start=1):
                session.merge(
                    self.tables.process_items(
                        shop_id=order.shop_id, order_id=order.order_id, line_no=number, process_no=place,
                        process_type=process["process"], position=process["position"],
                        picture_count=process["pictures"], quantity=item["quantity"],
                        picture_print_quantity=item["quantity"] * process["pictures"],
                    )
                )  # fmt: skip

    def _customer(self, session: Session, raw_id: int) -> None:
        order = self._find_order(session, raw_id)
        if order is None or order.customer_global_id is None:
            return
        shop: Row = session.get(self.tables.shop_configs, order.shop_id)
        customer = session.get(self.tables.customers, order.customer_global_id)
        if customer is None:
            customer = self.tables.customers(
                customer_global_id=order.customer_global_id,
                customer_key=f"{_escaped(shop.platform)}:{_escaped(shop.shop_name)}:{_escaped(order.customer_nickname)}",
                shop_id=order.shop_id,
                customer_nickname=order.customer_nickname,
                order_count=0,
            )
            session.add(customer)
        if not order.is_cancelled:
            customer.order_count += 1
            customer.first_order_at = min(customer.first_order_at or order.ordered_at, order.ordered_at)
            customer.last_order_at = max(customer.last_order_at or order.ordered_at, order.ordered_at)

    def _lead(self, session: Session, raw_id: int) -> None:
        order = self._find_order(session, raw_id)
        if order is None or order.customer_global_id is None or order.is_cancelled:
            return
        leads, attached = self.tables.business_leads, self.tables.lead_orders
        if session.get(attached, (order.shop_id, order.order_id)) is not None:
            return
        of_customer = session.query(leads).filter_by(customer_global_id=order.customer_global_id)
        lead = of_customer.filter(leads.current_stage.in_(("OPEN", "COLD"))).one_or_none()
        strategy = "reuse"
        if lead is None:
            strategy, number = "new", of_customer.count()
            zeros = {f"{name}_{what}": 0 for name in TYPES.values() for what in ("count", "amount")}
            lead = leads(
                lead_id=uuid.uuid5(LEAD_NAMESPACE, f"{order.customer_global_id}:{number}"),
                customer_global_id=order.customer_global_id, lead_no=number, current_stage="OPEN", order_count=0,
                reopen_count=0, total_amount=0, currency=order.currency, other_currency_count=0,
                first_order_at=order.ordered_at, last_order_at=order.ordered_at, **zeros,
            )  # fmt: skip
            session.add(lead)
        name = TYPES[order.system_order_type]
        lead.order_count += 1
        lead.total_amount += order.amount
        setattr(lead, f"{name}_count", getattr(lead, f"{name}_count") + 1)
        setattr(lead, f"{name}_amount", getattr(lead, f"{name}_amount") + order.amount)
        lead.first_order_at = min(lead.first_order_at, order.ordered_at)
        lead.last_order_at = max(lead.last_order_at, order.ordered_at)
        session.add(attached(shop_id=order.shop_id, order_id=order.order_id, lead_id=lead.lead_id, strategy=strategy))

    def _reject(self, session: Session, asset: str, raw: Row, code: str | None, shop: Row) -> None:
        code = code or ("MISSING_SHOP" if shop is None else "MISSING_ORDER_ID")
        known = session.query(self.tables.quarantine).filter_by(asset=asset, raw_id=raw.raw_id, reason_code=code)
        if known.one_or_none() is None:
            row = {name: str(value) for name, value in raw._mapping.items()}  # noqa: SLF001  # its public name
            session.add(self.tables.quarantine(asset=asset, raw_id=raw.raw_id, reason_code=code, row=row))


def _timestamp(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _array(text: str) -> list[dict[str, Any]] | None:
    try:
        return list(json.loads(text))
    except ValueError:
        return None


def _escaped(part: str) -> str:
    return part.replace("\\", "\\\\").replace(":", "\\:")


def _key(shop: Row, raw: Row) -> str:
    return ":".join(_escaped(part) for part in (shop.platform, shop.shop_name, raw.customer_name))


def build(task: Task) -> Way:
    return Orm(task)
