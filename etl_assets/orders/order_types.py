"""Mapping of a seller's order types to the system's: the rows of `order_type_mappings`. The look-up is a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from etl_assets.database.schema import order_type_mappings, order_types
from etl_assets.errors import EtlError
from etl_assets.user_actions import record_user_action
from etl_assets.values.text import MAX_KEY_BYTES, normalize_case_str

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl_assets.database.database import Database

SYSTEM_ORDER_TYPES: Final = ("SAMPLE", "PROOF", "BULK")
TYPES_LOOKED_AT: Final = 1_000
TYPES_SHOWN: Final = 50


class OrderTypeError(EtlError):
    """A mapping of an order type can't be stored."""


def list_order_types(database: Database) -> dict[str, str]:
    """Return all mappings, raw to system type."""
    with database.transaction() as connection:
        rows = connection.execute(sa.select(order_type_mappings).order_by(order_type_mappings.c.raw_order_type))
        return {raw: system for raw, system in rows}  # noqa: C416  # rows are no pairs to the type checker


def unmapped_order_types(database: Database) -> list[str]:
    """Return order types of orders that no mapping names, those that came last first, at most `TYPES_SHOWN`."""
    mapped = {normalize_case_str(raw) for raw in list_order_types(database)}
    with database.transaction() as connection:
        newest = sa.select(order_types.c.order_type).order_by(order_types.c.first_seen_at.desc()).limit(TYPES_LOOKED_AT)
        found = [str(one) for one in connection.execute(newest).scalars()]
    return [one for one in found if normalize_case_str(one) not in mapped][:TYPES_SHOWN]


def set_order_types(database: Database, mappings: Mapping[str, str], *, user_name: str | None = None) -> dict[str, str]:
    """Add or replace mappings, in one transaction. Return them as they are stored.

    Args:
        database: the store.
        mappings: raw to system type.
        user_name: the user of the web page; by default the user of this process.

    Raises:
        OrderTypeError: a raw type is empty or can't be stored, or a system type is not one of `SYSTEM_ORDER_TYPES`.
    """
    stored: dict[str, str] = {}
    for raw, system in mappings.items():
        matched = normalize_case_str(raw)
        if matched is None or "\0" in matched:
            msg = "The raw order type is empty or holds a character that the database can't store."
            raise OrderTypeError(msg)
        if len(matched.encode()) > MAX_KEY_BYTES:
            msg = f"The raw order type is longer than {MAX_KEY_BYTES} bytes, the most that an index can hold."
            raise OrderTypeError(msg)
        if system.upper() not in SYSTEM_ORDER_TYPES:
            msg = f"There is no system order type {system!r}; use one of {', '.join(SYSTEM_ORDER_TYPES)}."
            raise OrderTypeError(msg)
        stored[matched] = system.upper()
    with database.transaction() as connection:
        known = connection.execute(sa.select(order_type_mappings)).all()
        outdated = {str(raw): str(system) for raw, system in known if normalize_case_str(raw) in stored}
        if outdated == stored:
            return stored
        connection.execute(sa.delete(order_type_mappings).where(order_type_mappings.c.raw_order_type.in_(outdated)))
        rows = [{"raw_order_type": raw, "system_order_type": system} for raw, system in stored.items()]
        connection.execute(sa.insert(order_type_mappings), rows)
        before = {str(normalize_case_str(raw)): system for raw, system in outdated.items()}
        for raw, system in stored.items():
            if before.get(raw) != system:
                values = ({"system_order_type": before.get(raw)}, {"system_order_type": system})
                record_user_action(connection, "order-types set", raw, *values, user_name=user_name)
    return stored
