"""Deterministic identifiers (UUIDv5 of names): the same on every machine and in every rebuilt database.

The hazard is any change here: it gives every customer and lead another identifier.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import polars as pl
import polars_hash as plh

CUSTOMER_NAMESPACE: Final = UUID("0c0d6f0e-52c9-5e5e-9a3c-6a1f5d6f6b01")
"""UUIDv5 namespace of customers. Never change it: that would rename every customer."""

LEAD_NAMESPACE: Final = UUID("0c0d6f0e-52c9-5e5e-9a3c-6a1f5d6f6b02")
"""UUIDv5 namespace of leads. Never change it."""


def customer_key(platform: pl.Expr, shop_name: pl.Expr, nickname: pl.Expr) -> pl.Expr:
    r"""Return ``platform:shop_name:nickname`` with ``\`` and ``:`` in a part escaped by ``\``; null if a part is."""
    return pl.concat_str(_escaped(platform), _escaped(shop_name), _escaped(nickname), separator=":")


def customer_global_id(key: pl.Expr) -> pl.Expr:
    """Return the customer's UUID as text, from its `customer_key`."""
    return _uuid5(CUSTOMER_NAMESPACE, key)


def lead_id(customer: pl.Expr, previous_leads: pl.Expr) -> pl.Expr:
    """Return the lead's UUID as text: UUIDv5 of ``"{customer_global_id}:{n}"``, n = earlier leads of the customer."""
    return _uuid5(LEAD_NAMESPACE, pl.format("{}:{}", customer, previous_leads))


def _escaped(part: pl.Expr) -> pl.Expr:
    return part.str.replace_all("\\", "\\\\", literal=True).str.replace_all(":", "\\:", literal=True)


def _uuid5(namespace: UUID, name: pl.Expr) -> pl.Expr:
    hashed: pl.Expr = plh.concat_str(name).uuidhash.uuid5(str(namespace))
    return hashed
