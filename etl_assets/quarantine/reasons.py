"""Reason codes of the rules of orders, and the texts of their reasons: written by `orders.faults`, read by `faults`.

Texts name no values. The rules themselves are in `orders.faults`.
"""

from __future__ import annotations

from typing import Final

REASONS: Final = {
    "BAD_TEXT": "The row holds what the database can't store (NUL, half a character), or could not be read.",
    "ROUNDED_ORDER_ID": "a spreadsheet has rounded the number, so its last digits are lost. Export the orders again,"
    " with the column as text.",
    "CONFLICTING_ORDER": "several orders of the file have this number, with different ids of the platform. If they are"
    " of several shops, import each shop's file under its own name (--shop, or a shop.txt in its folder of the inbox),"
    " then dismiss this row.",
    "MISSING_SHOP": "the row names none.",
    "MISSING_ORDER_ID": "the row has none.",
    "BAD_AMOUNT": "no number that the mapping's format allows, or beyond numeric(18,4).",
    "BAD_TIMESTAMP": "in none of the known formats, or no date.",
}
"""Codes in the order of their rank, with what is wrong: the first one that applies is the code of the row."""

SHARED_BY_SHOPS: Final = (
    "shop: several shops of the file have this order number, and lines that name none may be of each. Name the shop on"
    " every line."
)
"""Reason, as `CONFLICTING_ORDER`, of a row that names no id of the platform."""
SHOP_NOT_MADE: Final = "shop: the row's shop is not in shop_configs: replay the row to have it made."
"""Reason, as `MISSING_SHOP`, of a row that does name a shop."""
