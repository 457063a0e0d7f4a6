"""Faults of a row in quarantine, told apart by the column that each is about, so that the bad cell can be shown.

The texts that are read here are written by `orders.faults`, `order_items`, `process_items` and `database.bisect_write`;
they name columns and no values. Deciding what is a fault does not belong here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from etl_assets.presets.model import RAW_COLUMNS, RawColumn
from etl_assets.quarantine.reasons import REASONS
from etl_assets.raw_orders.readers.columns import HALF_CHARACTER, NUL_SYMBOL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOO_LONG: Final = "TOO_LONG"
SHARED_BY_SHOPS: Final = "SHARED_BY_SHOPS"
SHOP_NOT_MADE: Final = "SHOP_NOT_MADE"
"""Codes of faults that have no reason code of their own."""

_NAMED: Final = re.compile(
    r"(?:^|(?<=[.:] ))(?P<columns>platform and shop together|" + "|".join(RAW_COLUMNS) + r")(?=:| looks like| \()"
)
_WORDS: Final = {
    "longer than": TOO_LONG,
    "several shops of the file have this order number": SHARED_BY_SHOPS,
    "is not in shop_configs": SHOP_NOT_MADE,
    **{text: code for code, text in REASONS.items() if code != "BAD_TEXT"},
}
"""Words of a reason, and the code of the fault that they tell of."""
_COLUMN_OF_TABLE: Final[dict[str, RawColumn]] = {
    "customer_nickname": "customer_name",
    "customer_key": "customer_name",
    "latest_status": "order_status",
    "system_order_type": "order_type",
    "source_updated_at": "updated_at",
    "shop_name": "shop",
}
_OF_LINES: Final[dict[str, RawColumn]] = {"BAD_ITEMS": "items", "BAD_PROCESSES": "processes"}


class Fault(NamedTuple):
    """One fault of a row: its code, and the column that it is about (None: of none, or of all)."""

    code: str
    column: RawColumn | None


def read_faults(reason_code: str, reason: str, texts: Mapping[str, str | None]) -> list[Fault]:
    """Return the faults that a reason tells of, in its order.

    Args:
        reason_code: code of the entry.
        reason: its text.
        texts: the raw texts of the row, in which what can't be stored is searched.
    """
    if reason_code in _OF_LINES:
        column = _OF_LINES[reason_code]
        return [Fault(reason_code, "items" if texts.get(column) is None else column)]
    if reason_code == "DB_REJECTED":
        named = re.search(r"\bcolumn (\w+)", reason)
        column_name = _COLUMN_OF_TABLE.get(named[1], named[1]) if named else None
        return [Fault(reason_code, cast("RawColumn", column_name) if column_name in RAW_COLUMNS else None)]
    found = list(dict.fromkeys((*_unstorable(reason, texts), *_named(reason_code, reason))))
    return found or [Fault(reason_code, None)]


def _unstorable(reason: str, texts: Mapping[str, str | None]) -> Iterator[Fault]:
    """Yield the columns with characters that stand for ones that can't be stored."""
    if REASONS["BAD_TEXT"] not in reason:
        return
    columns = [name for name in RAW_COLUMNS if any(one in (texts.get(name) or "") for one in _SYMBOLS)]
    yield from (Fault("BAD_TEXT", name) for name in columns or (None,))


def _named(reason_code: str, reason: str) -> Iterator[Fault]:
    """Yield the columns that a reason names, each with the code of what is said of it."""
    places = list(_NAMED.finditer(reason))
    for at, place in enumerate(places, start=1):
        said = reason[place.end() : places[at].start() if at < len(places) else len(reason)]
        code = next((code for words, code in _WORDS.items() if words in said), reason_code)
        names = ("platform", "shop") if " " in place["columns"] else (place["columns"],)
        yield from (Fault(code, cast("RawColumn", name)) for name in names)


_SYMBOLS: Final = (NUL_SYMBOL, HALF_CHARACTER)
