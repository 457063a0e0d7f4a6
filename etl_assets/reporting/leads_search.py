"""Search of leads by customer name or order number: resolves a text to leads, with the indexes of names and orders.

The names of customers are searched from their beginning, without regard to case; where none begins with the text,
inside as well. Orders are searched by the beginning of their number, shop by shop, as their key begins with the shop.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import sqlalchemy as sa

from etl_assets.values.text import clean_text_str

if TYPE_CHECKING:
    from uuid import UUID

    from etl_assets.reporting.leads_list import LeadFilters

MAX_FOUND: Final = 500
"""Leads that a search is resolved to; more are found by the beginning of the name alone."""
MIN_NUMBER_CHARACTERS: Final = 4
"""Shorter texts are not searched among order numbers."""
MAX_TEXT: Final = 200


class Search(NamedTuple):
    """Filters with a search resolved."""

    filters: LeadFilters
    is_inside: bool
    """True where no name begins with the text, and names that contain it were looked for."""
    is_cut: bool
    """True where more names contain the text than are shown."""


def search_leads(connection: sa.Connection, text: str, filters: LeadFilters, *, inside: bool = False) -> Search:
    """Add the condition of a search to filters.

    Args:
        connection: an open transaction.
        text: what the user typed; without it, the filters stay as they are.
        filters: of the list.
        inside: look inside of names even if some begin with the text.
    """
    wanted = clean_text_str(text[:MAX_TEXT].replace("\0", ""))
    if not wanted:
        return Search(filters, is_inside=False, is_cut=False)
    of_orders = _by_order_number(connection, wanted)
    named = [] if inside else _ids(connection, _BY_PREFIX, {"text": wanted})
    if len(named) > MAX_FOUND:
        return Search(replace(filters, name_prefix=wanted), is_inside=False, is_cut=False)
    if named or of_orders:
        return Search(replace(filters, lead_ids=[*of_orders, *named]), is_inside=False, is_cut=False)
    containing = _ids(connection, _INSIDE, {"pattern": f"%{_escaped(wanted)}%"})
    found = replace(filters, lead_ids=containing[:MAX_FOUND])
    return Search(found, is_inside=True, is_cut=len(containing) > MAX_FOUND)


def _by_order_number(connection: sa.Connection, text: str) -> list[UUID]:
    is_number = len(text) >= MIN_NUMBER_CHARACTERS and any(character.isdigit() for character in text)
    return _ids(connection, _BY_ORDER, {"text": text}) if is_number else []


def _ids(connection: sa.Connection, query: str, parameters: dict[str, Any]) -> list[UUID]:
    limited = {**parameters, "limit": MAX_FOUND + 1}
    return list(connection.execute(sa.text(query), limited).scalars())


def _escaped(text: str) -> str:
    """Return a text as a part of a LIKE pattern that matches just this text."""
    return "".join(f"\\{character}" if character in "\\%_" else character for character in text)


_OF_CUSTOMERS: Final = """
    SELECT l.lead_id FROM customers c JOIN business_leads l USING (customer_global_id)
"""
_BY_PREFIX: Final = f"""
    {_OF_CUSTOMERS}
    WHERE lower(c.customer_nickname) ~>=~ lower(:text)
    AND lower(c.customer_nickname) ~<~ (lower(:text) || chr(1114111)) LIMIT :limit
"""  # chr(1114111) is the last character
_INSIDE: Final = f"{_OF_CUSTOMERS} WHERE lower(c.customer_nickname) LIKE lower(:pattern) LIMIT :limit"
_BY_ORDER: Final = """
    SELECT DISTINCT a.lead_id FROM shop_configs s CROSS JOIN LATERAL (
        SELECT lead_id FROM lead_orders o
        WHERE o.shop_id = s.shop_id AND o.order_id >= :text AND o.order_id < :text || chr(1114111)
        LIMIT :limit
    ) a LIMIT :limit
"""
