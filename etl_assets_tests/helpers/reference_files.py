"""Oracle of imports: computes the raw orders of a file line by line, in plain Python.

Written from docs/importing.md, sharing no code with the package; of it only the preset's data.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from etl_assets.presets.column_mapping import ColumnMapping
from etl_assets.presets.model import ITEM_COLUMNS, RAW_COLUMNS
from etl_assets_tests.helpers.reference_values import (
    clean_text,
    read_amount,
    read_quantity,
    read_timestamp,
    write_amount,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from etl_assets.presets.model import Preset
    from etl_assets.values.numbers import NumberFormat

Cells = Mapping[str, str | None]
_Texts = dict[str, str | None]
TOO_LARGE: Final = "too large"
"""Placeholder of a sum that can't be an amount, however it is written."""
NUL: Final = "\0"
NUL_SYMBOL: Final = "␀"
_SOLID: Final = r"[^\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"
"""Anything but Unicode's White_Space; to Python the separators 0x1C to 0x1F are blanks as well."""


@dataclass(frozen=True)
class Line:
    """Row of a file: the line that it starts at, and its unchanged texts by header."""

    number: int
    cells: Cells


@dataclass
class Landed:
    """Raw order: its line, the columns of `raw_orders`, unmapped columns, and its defect."""

    row_no: int
    columns: dict[str, str | None] = field(default_factory=dict)
    extra: dict[str, str] | None = None
    defect: str | None = None


def land_lines(lines: Iterable[Line], preset: Preset) -> list[Landed]:
    """Return the raw orders of a file, in order."""
    kept = [line for line in lines if any(text for text in line.cells.values())]
    if preset.shape == "order":
        return [_order(line, preset) for line in kept]
    return _gathered(kept, preset)


def _order(line: Line, preset: Preset) -> Landed:
    cells, defect = without_nul(line.cells)
    columns: _Texts = {column: _value(_source(preset, column), cells) for column in RAW_COLUMNS}
    columns.update(_latest_times([cells], preset))
    columns.update(_computed_amounts([line], [{}], preset))
    columns["items"] = _counted_titles(columns["items"], cells, preset)
    return Landed(line.number, columns, _extra(cells, preset), defect)


def _counted_titles(titles: str | None, cells: Cells, preset: Preset) -> str | None:
    """Return the one line that titles are where counts stand beside them; the titles as they are without counts."""
    if preset.item_counts is None or titles is None:
        return titles
    kinds, pieces = (_value(getattr(preset.item_counts, name), cells) for name in ("kinds", "pieces"))
    number = read_quantity(kinds, preset.numbers) if _is_readable(read_quantity, kinds, preset) else None
    if pieces is None and number != 1:
        return titles
    item = {"name": titles}
    if number is not None and number > 1:
        item["variant"] = f"{clean_text(kinds)} kinds"
    return json.dumps([item if pieces is None else {**item, "quantity": pieces}])


def without_nul(cells: Cells) -> tuple[dict[str, str | None], str | None]:
    """Return the texts without characters that can't be stored, and the defect of the row."""
    kept = {
        header: text and re.sub(_NO_CHARACTER, "\ufffd", text).replace(NUL, NUL_SYMBOL)
        for header, text in cells.items()
    }
    is_bad = any(re.search(f"{NUL}|{_NO_CHARACTER}", text) for text in cells.values() if text)
    return kept, "BAD_TEXT" if is_bad else None


_NO_CHARACTER: Final = "[\ud800-\udfff]"
"""Half a surrogate pair."""


def _source(preset: Preset, column: str) -> ColumnMapping | None:
    named = {str(name): source for name, source in preset.columns.items()}
    default = ColumnMapping(constant=preset.name) if column == "platform" else None
    return named.get(column, default)


def _value(source: ColumnMapping | None, cells: Cells, *, with_constant: bool = True, name: str = "") -> str | None:
    if source is None:
        return None
    for rule in source.rules:
        (when,) = rule.when
        if when in cells and re.search(rule.matches.replace(r"\S", _SOLID), cells[when] or ""):
            return rule.value
    found = next((text for header in source.columns if (text := _filled(cells.get(header)))), None)
    return source.constant if found is None and with_constant else found


def _latest_times(lines: Sequence[Cells], preset: Preset) -> dict[str, str | None]:
    """Of each column that is the latest of several times, the text of that time; of each, the first line's counts."""
    zone = ZoneInfo(preset.timezone)

    def read(text: str) -> datetime:
        try:
            return read_timestamp(text, preset.timestamp_formats, zone) or datetime.min.replace(tzinfo=UTC)
        except ValueError:
            return datetime.max.replace(tzinfo=UTC)  # held back, instead of being taken for an older version

    found: dict[str, str | None] = {}
    for column, source in preset.columns.items():
        texts = [next((text for one in lines if (text := _filled(one.get(name)))), None) for name in source.latest_of]
        filled = [text for text in texts if text is not None]
        if source.latest_of:
            found[column] = max(filled, key=read) if filled else None
    return found


def _filled(text: str | None) -> str | None:
    """Return the text; None if it is blank or an empty protected cell."""
    if text is None or clean_text(text) is None:
        return None
    return text


def _extra(cells: Cells, preset: Preset) -> dict[str, str] | None:
    sources = [*preset.columns.values(), *preset.item.values()]
    named = {header for source in sources if not (source.latest_of or source.sum) for header in source.headers}
    found = {header: text for header, text in cells.items() if header not in named and _filled(text)}
    return {header: text for header, text in found.items() if text is not None} or None


# --- a row per line item ----------------------------------------------------------------------------------------------

_Key = tuple[str, str | None, str | None]


@dataclass
class _Mapped:
    line: Line
    order: _Texts
    item: _Texts
    extra: dict[str, str] | None
    defect: str | None
    key: _Key
    is_held: bool = False


def _gathered(lines: Sequence[Line], preset: Preset) -> list[Landed]:
    mapped = [_mapped(line, preset) for line in lines]
    _complete_shops(mapped)
    orders: dict[_Key, list[_Mapped]] = {}
    for one in mapped:
        orders.setdefault(one.key, []).append(one)
    return [_gather(group, preset) for group in _split_by_identity(orders.values())]


def _mapped(line: Line, preset: Preset) -> _Mapped:
    cells, defect = without_nul(line.cells)
    order: _Texts = {column: _value(_source(preset, column), cells, with_constant=False) for column in RAW_COLUMNS}
    items = {str(column): source for column, source in preset.item.items()}
    item: _Texts = {column: _value(items.get(column), cells) for column in ITEM_COLUMNS}
    number = clean_text(order["order_id"])
    key = (number or f"{NUL}{line.number}", clean_text(order["platform"]), clean_text(order["shop"]))
    return _Mapped(line, order, item, _extra(cells, preset), defect, key)


def _complete_shops(mapped: Sequence[_Mapped]) -> None:
    """Fill missing platform and shop of a line from the only shop with an order of its number."""
    stated: dict[str, set[tuple[str | None, str | None]]] = {}
    for one in mapped:
        stated.setdefault(one.key[0], set()).add(one.key[1:])
    found: dict[_Key, _Key] = {}
    for number, shops in stated.items():
        with_platform: dict[tuple[str | None, str | None], str | None] = {}
        for platform, shop in shops:
            others: set[str | None]
            if shop is not None:
                others = {known for known, named in shops if named == shop and known is not None}
            else:
                others = {known for known, named in shops if named is not None}
            only = next(iter(others)) if len(others) == 1 else None
            with_platform[platform, shop] = only if platform is None else platform
        for (platform, shop), completed in with_platform.items():
            named: set[str | None] = {
                other for (_, other), known in with_platform.items() if known == completed and other is not None
            }
            only_shop = next(iter(named)) if len(named) == 1 else None
            found[number, platform, shop] = (number, completed, only_shop if shop is None else shop)
    for one in mapped:
        one.key = found[one.key]
    _hold_unclear(mapped)


def _hold_unclear(mapped: Sequence[_Mapped]) -> None:
    """Mark the orders that a line may belong to where there are several, and give it to the one above, or below."""
    keys = {one.key for one in mapped}
    possible: dict[_Key, set[_Key]] = {}
    for number, platform, shop in keys:
        fitting = {
            other
            for other in keys
            if other[0] == number
            and other[2] is not None
            and other != (number, platform, shop)
            and platform in {None, other[1]}
            and shop in {None, other[2]}
        }
        if (platform is None or shop is None) and len(fitting) > 1:
            possible[number, platform, shop] = fitting
    held = set(possible).union(*possible.values())
    clear = [one.key if one.key in held and one.key not in possible else None for one in mapped]
    for at, one in enumerate(mapped):
        one.is_held = one.key in held
        near = [key for key in (*reversed(clear[:at]), *clear[at:]) if key and key[0] == one.key[0]]
        if near and near[0] in possible.get(one.key, ()):
            one.key = near[0]


def _split_by_identity(groups: Iterable[list[_Mapped]]) -> list[list[_Mapped]]:
    """Tell the orders of one number apart by the platform's own id; a line without one belongs to the one above."""
    result = []
    for group in groups:
        ids = [clean_text(one.order["platform_order_id"]) for one in group]
        named = [identity for identity in ids if identity]
        if len(set(named)) < 2:
            result.append(group)
            continue
        current = named[0]
        parts: dict[str, list[_Mapped]] = {}
        for one, identity in zip(group, ids, strict=True):
            current = identity or current
            one.is_held = True
            parts.setdefault(current, []).append(one)
        result += parts.values()
    return sorted(result, key=lambda group: group[0].line.number)


def _gather(group: Sequence[_Mapped], preset: Preset) -> Landed:
    landed = Landed(group[0].line.number)
    for column in RAW_COLUMNS:
        source = _source(preset, column)
        first = next((one.order[column] for one in group if one.order[column] is not None), None)
        landed.columns[column] = source.constant if first is None and source else first
    landed.columns.update(_latest_times([without_nul(one.line.cells)[0] for one in group], preset))
    items = [_with_variant(one.item, preset.item_variant_separator) for one in group]
    said = [{column: text for column, text in item.items() if text is not None} for item in items]
    said = [item for item in said if item]
    landed.columns["items"] = json.dumps(said) if said else None
    landed.columns.update(_computed_amounts([one.line for one in group], items, preset))
    extras: dict[str, str] = {}
    for one in group:
        extras = {**(one.extra or {}), **extras}
    landed.extra = extras or None
    defects = [next((one.defect for one in group if one.defect), None)]
    defects += ["CONFLICTING_ORDER"] * any(one.is_held for one in group)
    landed.defect = " ".join(defect for defect in defects if defect) or None
    return landed


def _with_variant(item: dict[str, str | None], separator: str | None) -> dict[str, str | None]:
    name = item["name"]
    if separator is None or item["variant"] is not None or name is None:
        return item
    for at in reversed([match.start() for match in re.finditer(f"(?={re.escape(separator)})", name)]):
        left, right = name[:at], name[at + len(separator) :]
        if re.search(_SOLID, left) and re.search(_SOLID, right):
            return {**item, "name": left, "variant": right}
    return item


def _computed_amounts(lines: Sequence[Line], items: Sequence[dict[str, str | None]], preset: Preset) -> _Texts:
    """Return the amounts that are sums, or the place and text of their first part that is no number."""
    sums = {str(column): source.sum for column, source in preset.columns.items() if source.sum}
    from_items = {"amount"} if preset.amount_from_items else set()
    return {column: _sum_of(column, lines, items, preset) for column in sums.keys() | from_items}


def _sum_of(column: str, lines: Sequence[Line], items: Sequence[dict[str, str | None]], preset: Preset) -> str | None:
    total: Decimal | None = None
    size, seen = 0.0, set()
    source = {str(name): one for name, one in preset.columns.items()}.get(column)
    parts = source.sum if source else None
    named = [(key, headers) for key, all_of_key in parts or () for headers in all_of_key]
    for line, item in zip(lines, items, strict=True):
        cells, _ = without_nul(line.cells)
        read = []
        for key, headers in named:
            text = next((found for header in headers if (found := _filled(cells.get(header)))), None)
            if not _is_readable(read_amount, text, preset):
                return f"{' or '.join(headers)}, line {line.number}: {text}"
            if clean_text(text) is not None and (key.endswith("_rows") or headers not in seen):
                number = read_amount(text, preset.numbers)
                assert number is not None
                read.append(-number if key.startswith("minus") else number)
                seen.add(headers)
        if column == "amount" and preset.amount_from_items:
            for name, reader in (("quantity", read_quantity), ("unit_price", read_amount)):
                if not _is_readable(reader, item[name], preset):
                    headers = next(one.headers for key, one in preset.item.items() if key == name)
                    return f"{' or '.join(headers)}, line {line.number}: {item[name]}"
            quantity, price = (
                read_quantity(item["quantity"], preset.numbers),
                read_amount(item["unit_price"], preset.numbers),
            )
            if price is not None:
                with localcontext(prec=80):
                    read.append((Decimal(1) if quantity is None else quantity) * price)
                size += abs(float(read[-1]))
        with localcontext(prec=80):
            total = sum(read, total or Decimal(0)) if read else total
    if total is None:
        return None
    return TOO_LARGE if size >= 1e29 else write_amount(total, preset.numbers)


def _is_readable(read: Callable[[str | None, NumberFormat], Decimal | None], text: str | None, preset: Preset) -> bool:
    try:
        read(text, preset.numbers)
    except ValueError:
        return False
    return True
