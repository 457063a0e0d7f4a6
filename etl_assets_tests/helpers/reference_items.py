"""Reference readers of items and processes, row by row in plain Python: the oracle of the vectorised readers.

Written from docs/items-and-processes.md, sharing no code with the package; of it only the data of number formats.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from etl_assets.values.numbers import PLAIN_NUMBERS
from etl_assets_tests.helpers.reference_values import read_amount, read_quantity

if TYPE_CHECKING:
    from decimal import Decimal

    from etl_assets.values.numbers import NumberFormat

_SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_TIMES = "*×✕✖"
_DIGITS = "0123456789"
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PAIRS = {"(": ")", "[": "]", "【": "】"}
_ITEM_UNITS = ("件", "个", "個", "只", "套", "份", "pcs", "pc")
_PROCESS_UNITS = ("处", "處", "张", "張", "幅", "个", "個", "次")
_INT32 = range(-(2**31), 2**31)
_MOST_LINES = 10_000
_MOST_PROCESSES = 50_000
_DEEPEST = 127
_LONGEST = 16 * 1024 * 1024


class BadItems(Exception):  # noqa: N818  # says what it is: an answer, not a failure
    """Raised for items that can't be read."""


class BadProcesses(Exception):  # noqa: N818  # as above
    """Raised for processes that can't be read."""


class _Number(str):
    __slots__ = ()


def reference_items(items: str | None, numbers: NumberFormat) -> list[dict[str, Any]]:
    """Return the lines: the columns of the table, with unit_price as a Decimal; processes are text or a list."""
    if items is None or items.strip(_SPACES) in {"", "null"}:
        return []
    if len(items.encode()) > _LONGEST:
        raise BadItems
    if _is_json(items):
        raw = _parse_array(items, BadItems)
    elif "\0" in items:
        raise BadItems
    else:
        raw = _free_items(items, numbers)
    if len(raw) > _MOST_LINES:
        raise BadItems
    return [_item(element, number, numbers) for number, element in enumerate(raw, 1)]


def reference_processes(order_processes: str | None, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the processes of an order and its lines (as `reference_items` gives them); raises BadProcesses."""
    total = sum(line["quantity"] for line in lines)
    sources = [(0, total, order_processes), *((at["line_no"], at["quantity"], at["processes"]) for at in lines)]
    rows: list[dict[str, Any]] = []
    for line_no, quantity, source in sources:
        found = _processes(source)
        says = source is not None and not (isinstance(source, str) and source.strip(_SPACES) in {"", "null"})
        if says and quantity not in _INT32:
            raise BadProcesses
        rows += [
            {
                "line_no": line_no,
                "process_no": number,
                **process,
                "quantity": quantity,
                "picture_print_quantity": quantity * process["picture_count"],
            }
            for number, process in enumerate(found, 1)
        ]
    if len(rows) > _MOST_PROCESSES:
        raise BadProcesses
    return rows


def _clean(text: str | None) -> str | None:
    if text is None:
        return None
    text = unicodedata.normalize("NFKC", text).strip(_SPACES)
    if len(text) >= 3 and text.startswith('="') and text.endswith('"'):
        text = text[2:-1]
    if text[:1] == "'" and text[1:2].isdecimal():
        text = text[1:]
    return text.strip(_SPACES) or None


def _is_json(text: str) -> bool:
    bare = text.strip(_SPACES)
    if bare[0] == "{":
        return True
    if bare[0] != "[":
        return False
    end = next((at for at in range(1, len(bare)) if bare[at] in '[]{}"'), None)
    return end is None or bare[end] != "]" or not bare[end + 1 :].strip(_SPACES)


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    json.dumps(pairs, ensure_ascii=False).encode()  # those that are left out as well: half a surrogate pair is no text
    return dict(reversed(pairs))


def _number(text: str) -> _Number:
    if float(text) in {float("inf"), float("-inf")}:
        raise ValueError
    return _Number(text)


def _refuse(_: str) -> None:
    raise ValueError


def _parse_array(text: str, bad: type[Exception]) -> list[Any]:
    try:
        parsed = json.loads(
            text, parse_int=_number, parse_float=_number, parse_constant=_refuse, object_pairs_hook=_first_wins
        )
        json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise bad from None
    if not isinstance(parsed, list) or _depth(parsed) > _DEEPEST:
        raise bad
    return parsed


def _depth(value: object) -> int:
    """Count the nesting levels of arrays and objects."""
    deepest, level = 0, [value]
    while level:
        inner = [child for child in level if isinstance(child, list | dict)]
        deepest += bool(inner)
        level = [part for child in inner for part in (child.values() if isinstance(child, dict) else child)]
    return deepest


def _scalar(value: object, bad: type[Exception]) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or isinstance(value, str):
        if value is not None and "\0" in value:
            raise bad
        return value
    raise bad


def _item(element: object, line_no: int, numbers: NumberFormat) -> dict[str, Any]:
    if not isinstance(element, dict):
        raise BadItems
    product, variant, sku, quantity, price = (
        _scalar(element.get(key), BadItems) for key in ("name", "variant", "sku", "quantity", "unit_price")
    )
    processes = element.get("processes")
    if isinstance(processes, bool | _Number):
        processes = str(processes).lower() if isinstance(processes, bool) else str(processes)
    if isinstance(processes, str) and "\0" in processes:
        raise BadItems  # they are kept with the line, for process_items to read
    personalisation = _scalar(element.get("personalisation"), BadItems)
    line = {
        "line_no": line_no,
        "product": _clean(product),
        "variant": _clean(variant),
        "sku": _clean(sku),
        "quantity": _whole(quantity, BadItems, numbers),
        "unit_price": _money(price, numbers),
        "processes": processes,
        "personalisation": (personalisation or "").strip(_SPACES) or None,
    }
    if line["product"] is None and line["sku"] is None:
        raise BadItems
    return line


def _whole(text: str | None, bad: type[Exception], numbers: NumberFormat) -> int:
    try:
        quantity = read_quantity(text, _notation(text, numbers))
    except ValueError:
        raise bad from None
    if quantity is None:
        return 1
    if quantity != int(quantity) or int(quantity) not in _INT32:
        raise bad
    return int(quantity)


def _money(text: str | None, numbers: NumberFormat) -> Decimal | None:
    try:
        return read_amount(text, _notation(text, numbers))
    except ValueError:
        raise BadItems from None


def _notation(text: str | None, numbers: NumberFormat) -> NumberFormat:
    return PLAIN_NUMBERS if isinstance(text, _Number) else numbers


def _prepare(text: str) -> str:
    text = unicodedata.normalize("NFKC", text)
    space = f"[{re.escape(_SPACES)}]"
    return re.sub(f"{space}+", lambda run: "\n" if set(run.group()) & {"\r", "\n"} else " ", text)


def _price_at(text: str, at: int, numbers: NumberFormat) -> int | None:
    """Return the end of the longest price that starts here."""
    signs = sorted(numbers.currency_signs, key=len, reverse=True)

    def skip(position: int, marks: list[str]) -> int:
        found = next((mark for mark in marks if text[position:].lower().startswith(mark.lower())), "")
        return position + len(found)

    def space(position: int) -> int:
        return position + (text[position : position + 1] == " ")

    if text[at] == "@":
        position = skip(space(at + 1), signs)
    else:
        symbols = [mark for mark in signs if not mark[-1].isalpha()]
        position = next((at + len(mark) for mark in symbols if text[at:].startswith(mark)), at)
        if position == at:
            return None
    position = space(position)
    position += text[position : position + 1] in {"+", "-"} and position < len(text)
    group = rf"[0-9]{{1,3}}(?:{re.escape(numbers.thousands)}[0-9]{{3}})+|" if numbers.thousands else ""
    amount = re.compile(f"(?:{group}[0-9]+)(?:{re.escape(numbers.decimal)}[0-9]+)?").match(text, position)
    if amount is None:
        return None
    end = amount.end()
    after = skip(space(end), signs)
    return after if after > space(end) else end


def _segments(text: str, separators: str, numbers: NumberFormat | None) -> list[str]:
    found, start, at = [], 0, 0
    while at < len(text):
        price_end = _price_at(text, at, numbers) if numbers else None
        if price_end is not None:
            at = price_end
        elif text[at] in _PAIRS:
            end = _bracket_end(text, at)
            at = at + 1 if end is None else end
        elif text[at] in separators:
            found.append(text[start:at])
            at = start = at + 1
        else:
            at += 1
    found.append(text[start:])
    return [part.strip(_SPACES) for part in found if part.strip(_SPACES)]


def _bracket_end(text: str, at: int) -> int | None:
    opening, closing = text[at], _PAIRS[text[at]]
    for end in range(at + 1, len(text)):
        if text[end] == closing:
            return end + 1
        if text[end] in {opening, "\n"}:
            return None
    return None


def _count(segment: str, units: tuple[str, ...]) -> tuple[str, str | None]:
    """Take a count off the end of a segment."""
    if segment[-1:] in {")", "]"}:
        at = max(segment.rfind("("), segment.rfind("["))
        inner = segment[at + 1 : -1] if at >= 0 else ""
        inner = inner.removeprefix(" ").removesuffix(" ")
        if at >= 0 and (inner[:1] in {*_TIMES, "x", "X"} or inner[:1] in {*_DIGITS}):
            body, number = _count(inner, units)
            if body == "" and number is not None and not inner.startswith(" "):
                return segment[:at].strip(_SPACES), number
        return segment, None
    unit = next((unit for unit in units if segment.lower().endswith(unit)), "")
    rest = segment[: len(segment) - len(unit)]
    rest = rest.removesuffix(" ") if unit else rest
    before = rest.rstrip(_DIGITS)
    digits = rest[len(before) :]
    if not digits:
        return segment, None
    sign = before[-1:] if before[-1:] in {"+", "-"} else ""
    marked = before[: len(before) - len(sign)]
    spaced, marked = marked.endswith(" "), marked.removesuffix(" ")
    if marked[-1:] and marked[-1] in _TIMES + "xX" and _is_mark(marked[:-1], marked[-1], spaced=spaced):
        return marked[:-1].strip(_SPACES), sign + digits
    if unit and before[-1:] not in {".", "+", "-"}:
        return before.strip(_SPACES), digits
    return segment, None


def _is_mark(left: str, mark: str, *, spaced: bool) -> bool:
    gap, previous = left.endswith(" "), left.removesuffix(" ")[-1:]
    if previous and previous in _LETTERS:
        return gap or mark in _TIMES
    if previous and previous in _DIGITS:
        return gap and not spaced
    return True


def _is_tail(text: str) -> bool:
    if text == "":
        return True
    unit = next((unit for unit in _ITEM_UNITS if text.lower().endswith(unit)), "")
    core = text[: len(text) - len(unit)]
    core = core.removesuffix(" ") if unit else core
    if core.startswith(" ") and core[1:] and all(char in _DIGITS for char in core[1:]):
        return unit != ""
    core = core.removeprefix(" ")
    if not core or core[0] not in _TIMES + "xX":
        return False
    core = core[1:].removeprefix(" ")
    core = core[1:] if core[:1] in {"+", "-"} else core
    return core != "" and all(char in _DIGITS for char in core)


def _take_price(segment: str, numbers: NumberFormat) -> tuple[str, str | None]:
    for at in range(len(segment)):
        end = _price_at(segment, at, numbers)
        if end is not None and _is_tail(segment[end:]):
            body = segment[:at].removesuffix(" ") + " " + segment[end:].removeprefix(" ")
            return body.strip(_SPACES), segment[at:end].removeprefix("@")
    return segment, None


def _take_prefix(body: str) -> tuple[str, str | None]:
    sign = body[:1] if body[:1] in {"+", "-"} else ""
    rest = body[len(sign) :].lstrip(_DIGITS)
    number = body[: len(body) - len(rest)]
    rest = rest.removeprefix(" ")
    if number == sign or not rest:
        return body, None
    if rest[0] in _TIMES:
        name = rest[1:].removeprefix(" ")
    elif rest[:2] in {"x ", "X "}:
        name = rest[2:]
    else:
        return body, None
    return (name, number) if name and name[0] not in _DIGITS + " " else (body, None)


def _key_end(text: str) -> int | None:
    """Return the position of the colon after a key at the start of the text."""
    at = text.find(":")
    key = text[:at].removesuffix(" ")
    good = at > 0 and key and key[0] not in _DIGITS and not set(key) & set(" ()[]【】\n")
    return at if good else None


def _free_items(text: str, numbers: NumberFormat) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    segments = _segments(_prepare(text), "\n;|,、", numbers)
    if len(segments) > _MOST_LINES:
        raise BadItems
    for segment in segments:
        body, price = _take_price(segment, numbers)
        body, quantity = _count(body, _ITEM_UNITS)
        if quantity is None:
            body, quantity = _take_prefix(body)
        colon = _key_end(body)
        value = body[colon + 1 :].removeprefix(" ") if colon is not None else ""
        continues = bool(items) and (body == "" or (value != "" and value[0] not in " /"))
        if continues:
            if body:
                items[-1]["variant"].append(body)
        else:
            name, parts = _name_and_variant(body)
            items.append({"name": name, "variant": parts, "quantity": [], "unit_price": []})
        items[-1]["quantity"] += [quantity] if quantity is not None else []
        items[-1]["unit_price"] += [price] if price is not None else []
    return [
        {
            "name": item["name"],
            "variant": ";".join(item["variant"]),
            "quantity": " ".join(item["quantity"]),
            "unit_price": " ".join(item["unit_price"]),
        }
        for item in items
    ]


def _name_and_variant(body: str) -> tuple[str, list[str]]:
    name, parts = body, []
    opening = {closing: start for start, closing in _PAIRS.items()}.get(body[-1:])
    if opening is not None:
        at = body.rfind(opening)
        left = body[: max(at, 0)].removesuffix(" ")
        if at > 0 and left and _bracket_end(body, at) == len(body) and not left.endswith(" "):
            name, inner = left, body[at + 1 : -1]
            parts = [inner] if inner else []
    for at in range(1, len(name)):
        if name[at] == " " and name[at - 1] != " ":
            colon = _key_end(name[at + 1 :])
            keyed = name[at + 1 :]
            if colon is not None and keyed[colon - 1] != " " and keyed[colon + 1 : colon + 2] not in {"", " ", "/"}:
                return name[:at], [keyed, *parts]
    return name, parts


def _processes(source: object) -> list[dict[str, Any]]:
    if source is None:
        return []
    if isinstance(source, str):
        if source.strip(_SPACES) in {"", "null"}:
            return []
        if len(source.encode()) > _LONGEST:
            raise BadProcesses
        if not _is_json(source):
            return [_process(element) for element in _free_processes(source)]
        source = _parse_array(source, BadProcesses)
    if not isinstance(source, list):
        raise BadProcesses
    return [_process(element) for element in source]


def _process(element: object) -> dict[str, Any]:
    if not isinstance(element, dict):
        raise BadProcesses
    process, position, pictures = (
        _scalar(element.get(key), BadProcesses) for key in ("process", "position", "pictures")
    )
    row = {
        "process_type": _clean(process),
        "position": _clean(position),
        "picture_count": _whole(pictures, BadProcesses, PLAIN_NUMBERS),
    }
    if row["process_type"] is None or row["picture_count"] < 0:  # type: ignore[operator]  # checked by _whole
        raise BadProcesses
    return row


def _free_processes(text: str) -> list[dict[str, Any]]:
    if "\0" in text:
        raise BadProcesses
    found = []
    for segment in _segments(_prepare(text), "\n;|,、+", None):
        body, pictures = _count(segment, _PROCESS_UNITS)
        process, position = body, None
        mark = next((at for at, char in enumerate(body) if char in ":@()[]"), None)
        if mark is not None and body[mark] in ":@":
            process, position = body[:mark], body[mark + 1 :]
        elif body[-1:] in {")", "]", "】"}:
            at = next((at for at, char in enumerate(body) if char in "()[]【】"), 0)
            left = body[:at].removesuffix(" ")
            if left and body[at] in _PAIRS and not left.endswith(" ") and at < len(body) - 1:
                process, position = left, body[at + 1 : -1]
        found.append({"process": process, "position": position, "pictures": pictures})
    return found
