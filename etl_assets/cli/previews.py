"""Output of `etl-assets import --dry-run`: what import and run would do, for the user who has the files.

Values of rows are shown here, on the user's own terminal; they go into no log. What is shown is decided in `preview`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from etl_assets.cli.output import heading, print_pairs, print_table, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from etl_assets.preview.preview import Preview

KINDS_SHOWN: Final = 12
"""Statuses and order types of a file that are shown; ``--json`` has all."""
SHOPS_SHOWN: Final = 8
VALUE_CHARACTERS: Final = 40
NOTHING: Final = "–"


def show_preview(preview: Preview) -> None:
    """Print a preview on stdout, file by file, and then what it would do to the database."""
    for file in preview.files:
        heading(file["source"], stderr=False)
        if "error" in file:
            say(f"Can't be imported: {file['error']}", "red")
            continue
        _show_file(file)
    if any("error" not in file for file in preview.files):
        heading("Against the database", stderr=False)
        _show_database(preview.database)
    say("")
    say(f"Nothing was written. {_next(preview.files)}", "bold")


def _next(files: Sequence[Mapping[str, Any]]) -> str:
    """Return what to do next."""
    if all("error" in file or (file["rows"] and not file["orders"]) for file in files):
        return "Correct the mapping or the file, and look again."
    first = (
        ""
        if not any(one.get("quarantine") for one in files)
        else "Correct the mapping or the file and look again, or import: "
    )
    command = "the same command without --dry-run, then `etl-assets run`; `etl-assets imports revert` takes it back."
    return f"{first or 'To import: '}{command}"


def _show_file(file: Mapping[str, Any]) -> None:
    print_pairs(
        [
            ("Format", _format(file)),
            ("Read", _read(file)),
            ("Ordered", _period(file)),
            ("Amounts", "; ".join(map(_amount, file["amounts"])) or NOTHING),
            (
                "Customers",
                f"{_count(file['without_customer'], 'order')} name none" if file["without_customer"] else None,
            ),
        ]
    )
    print_table("", ["column", "taken from", "filled", "in the file → as read"], map(_column_row, file["columns"]))
    if file["rows"] and not file["orders"]:
        say("None of its orders can be read.", "bold red")
    _show_headers_not_taken(file["headers_not_taken"])
    _show_kinds("Statuses", ["status", "orders", "counts as"], [_status_row(one) for one in file["statuses"]])
    _show_kinds("Order types", ["type", "orders", "counts as"], [_type_row(one) for one in file["order_types"]])
    _show_quarantine(file)
    for table, counts in file["held"].items():
        share = f"{counts['removed']:,} of {counts['rows']:,} rows of {table}"
        say(
            f"The brake would hold it, as it removes or empties {share}."
            " The counts are those after `etl-assets imports accept`.",
            "red",
        )
    for finding in file["findings"]:
        line = f" (line {finding['first_line']:,})" if finding["first_line"] is not None else ""
        say(f"Note: {finding['message']}{line}", "yellow")


def _show_headers_not_taken(headers: Sequence[Mapping[str, Any]]) -> None:
    if not headers:
        return
    shown = "; ".join(
        one["header"] + (f" ({', '.join(map(_short, one['values']))})" if one["values"] else "") for one in headers
    )
    say(f"Kept, but not understood: {shown}")


def _show_kinds(title: str, columns: Sequence[str], rows: list[tuple[Any, ...]]) -> None:
    if len(rows) > KINDS_SHOWN:
        others = rows[KINDS_SHOWN:]
        rows = [*rows[:KINDS_SHOWN], (f"… {len(others):,} more", sum(row[1] for row in others), "")]
    if rows:
        print_table(title, columns, rows)


def _show_quarantine(file: Mapping[str, Any]) -> None:
    if not file["quarantine"]:
        say("Quarantine: no row.", "green")
        return
    rows = [
        (reason["reason_code"], reason["rows"], example["line"], example["order_id"], _short(example["value"], 100))
        for reason in file["quarantine"]
        for example in reason["examples"]
    ]
    table = [
        (*((code, count) if not at or rows[at - 1][0] != code else ("", None)), line, order, value)
        for at, (code, count, line, order, value) in enumerate(rows)
    ]
    print_table("Quarantine: rows that can't be loaded", ["reason", "rows", "line", "order", "value"], table)
    if file["hint"]:
        say(f"Hint: {file['hint']}.", "yellow")


def _show_database(database: Mapping[str, Any]) -> None:
    orders, customers, leads = database["orders"], database["customers"], database["leads"]
    rows = database["rows"]
    if database["is_empty"]:
        say("There is no database yet, so everything is new.")
    print_pairs(
        [
            ("Shops", _shops(database["shops"]["new"])),
            (
                "Orders",
                _sum_up(orders, new="new", changed="changed", unchanged="unchanged", older="older than stored")
                or "none",
            ),
            (
                "Lines of orders from other files",
                _sum_up(
                    database["lines"],
                    changed="changed",
                    unchanged="unchanged",
                    waiting="for orders that are not there yet",
                    older="older than stored",
                ),
            ),
            ("Rows", _sum_up(rows, overtaken="replaced by a newer row of the same order", quarantined="in quarantine")),
            (
                "Customers",
                _sum_up(customers, new="new", changed="changed", gone="without orders, deleted") or "no change",
            ),
            (
                "Leads",
                _sum_up(
                    leads,
                    opened="opened",
                    changed="changed",
                    reopened="of these reopened",
                    emptied="of these emptied",
                    withdrawn="emptied and withdrawn",
                )
                or "no change",
            ),
        ]
    )
    if database["pending_rows"]:
        say(
            f"Up to {database['pending_rows']:,} rows of earlier imports are yet to be run and are not looked at: for"
            " exact counts, run `etl-assets run` first.",
            "yellow",
        )


def _format(file: Mapping[str, Any]) -> str:
    return f"{file['preset']} ({file['chosen_by']})"


def _read(file: Mapping[str, Any]) -> str:
    found = (
        f"{_count(file['lines'], 'line')} → {_count(file['orders'], 'order')} with {_count(file['items'], 'item')};"
        f" {file['cancelled']:,} cancelled"
    )
    rejected = sum(one["rows"] for one in file["quarantine"] if one["asset"] == "orders")
    replaced = file["rows"] - file["orders"] - rejected
    return (
        found
        + (f"; {_count(rejected, 'row')} can't be read" if rejected else "")
        + (f"; {_count(replaced, 'row')} replaced by a newer one of the file" if replaced > 0 else "")
    )


def _period(file: Mapping[str, Any]) -> str | None:
    if file["first_order_at"] is None:
        return NOTHING
    without = f"; {file['without_time']:,} without a time" if file["without_time"] else ""
    zone = f" (times of new shops are read in {file['timezone']})" if file["timezone"] != "UTC" else ""
    return f"{_time(file['first_order_at'])} to {_time(file['last_order_at'])} UTC{without}{zone}"


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"


def _amount(one: Mapping[str, Any]) -> str:
    cancelled = f", of it {one['cancelled_amount']:,.2f} cancelled" if one["cancelled"] else ""
    refunded = f", {one['refunded']:,.2f} given back" if one["refunded"] else ""
    without = f", {one['without_amount']:,} without an amount" if one["without_amount"] else ""
    orders = _count(one["orders"], "order")
    currency = one["currency"] or "without a currency (--currency names one)"
    return f"{one['amount']:,.2f} {currency} ({orders}{cancelled}{refunded}{without})"


def _column_row(column: Mapping[str, Any]) -> tuple[str, str, str, str]:
    filled = NOTHING if column["filled"] is None else _percent(column["filled"])
    missing = ", ".join(map(repr, column["missing"]))
    taken = ", else ".join(column["from"]) or (f"the file lacks {missing}" if missing else "no header of the file")
    return column["column"], taken, filled, "; ".join(map(_value, column["values"]))


def _percent(share: float) -> str:
    rounded = round(share * 100)
    return "<1 %" if share and not rounded else ">99 %" if rounded == 100 and share < 1 else f"{rounded} %"  # noqa: PLR2004


def _value(sample: Mapping[str, Any]) -> str:
    text, read = _short(sample["file"]), sample["read"]
    if sample["is_read"] is None:
        return text
    if not sample["is_read"]:
        return f"{text} → can't be read"
    if hasattr(read, "strftime"):
        return f"{text} → {_time(read)} UTC"
    shown = (
        _short(f"{read.normalize():f}" if hasattr(read, "normalize") else str(read)) if read is not None else NOTHING
    )
    return shown if shown == text or shown.startswith(f"{text} (") else f"{text} → {shown}"


def _status_row(one: Mapping[str, Any]) -> tuple[str, int, str]:
    unknown = ", unknown to the preset" if one["is_known"] is False else ""
    return one["status"] or NOTHING, one["orders"], ("cancelled" if one["is_cancelled"] else "an order") + unknown


def _type_row(one: Mapping[str, Any]) -> tuple[str, int, str]:
    unmapped = "" if one["is_mapped"] or one["order_type"] is None else " (not mapped: `etl-assets order-types set`)"
    return one["order_type"] or NOTHING, one["orders"], one["system_order_type"] + unmapped


def _shops(new: Sequence[Mapping[str, str]]) -> str:
    names = [f"{one['shop_name']} ({one['platform']})" for one in new]
    more = f" and {len(names) - SHOPS_SHOWN:,} more" if len(names) > SHOPS_SHOWN else ""
    return f"{len(names):,} new: {', '.join(names[:SHOPS_SHOWN])}{more}" if names else "none new"


def _sum_up(counts: Mapping[str, int], **words: str) -> str | None:
    """Return counts in words; those that are zero are left out."""
    return ", ".join(f"{counts[name]:,} {word}" for name, word in words.items() if counts[name]) or None


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _short(text: str | None, characters: int = VALUE_CHARACTERS) -> str:
    """Return a text in one line, cut."""
    line = " ".join((text or "").split())
    return line if len(line) <= characters else line[: characters - 1] + "…"
