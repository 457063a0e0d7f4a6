"""Texts of a lead's history: why orders were attached or detached, and what happened to the lead.

All texts of rules and events are here and nowhere else; a new strategy needs one in `ATTACH_REASONS`. The history is
read and written by `leads.history`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from etl_assets.lead_figures import FIGURE_LABELS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ATTACH_REASONS: Final = {
    "new": "the customer had no OPEN or COLD lead, so the order made this one",
    "reuse": "the customer had an OPEN lead",
    "reuse_reopened": "the customer had a COLD lead, which is OPEN again",
    "reuse_same_batch": "an earlier order of the customer had just made the lead",
}
"""Reason of an attachment, by strategy; `reuse` in more detail where the batch of the attachment shows it."""

DETACH_REASONS: Final = {
    "cancelled": "it was cancelled",
    "moved": "it belongs to another customer now",
    "no_customer": "it names no customer any more",
    "lead_gone": "the lead had been deleted by hand, so it was attached anew",
    "reverted": "the import that it came from was reverted",
}
EVENT_TEXTS: Final = {
    "opened": "the lead was made",
    "cooled": "OPEN → COLD: no order for as many days as ETL_COLD_AFTER_DAYS says",
    "withdrawn": "the lead was withdrawn: its last order had left, and nobody had set its stage",
}


def rule_text(rule: str, strategy: str) -> str:
    """Return the reason of an attachment: `rule` is a key of `ATTACH_REASONS`."""
    return f"attached by rule `{strategy}`: {ATTACH_REASONS.get(rule, 'a rule of an earlier version')}"


def with_texts(history: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a lead's history, each with its `text`.

    Args:
        history: rows of the view `lead_history` of one lead, in their order.
    """
    rows = [dict(row) for row in history]
    made = {row["batch_id"] for row in rows if row["what"] == "opened"} - {None}
    reopened = {row["batch_id"] for row in rows if row["what"] == "reopened"}
    for row in rows:
        row["text"] = _text(row, made, reopened)
    return rows


def _text(row: Mapping[str, Any], made: set[int], reopened: set[int]) -> str:
    order = f"order {row['order_id']} ({row['platform']}, {row['shop_name']})"
    match row["what"]:
        case "attached":
            text = f"{order} {rule_text(_rule(row, made, reopened), row['strategy'])}"
        case "left":
            text = f"{order} left: {DETACH_REASONS.get(row['reason'], row['reason'])}"
        case "reopened":
            text = f"COLD → OPEN because {order} came"
        case "figures":
            text = figures_text(row["figures_before"] or {}, row["figures_after"] or {})
        case what:
            text = EVENT_TEXTS[what]
    return text


def _rule(row: Mapping[str, Any], made: set[int], reopened: set[int]) -> str:
    if row["strategy"] == "reuse" and row["batch_id"] in reopened:
        return "reuse_reopened"
    if row["strategy"] == "reuse" and row["batch_id"] in made:
        return "reuse_same_batch"
    return str(row["strategy"])


def figures_text(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Return the figures that changed, as text: `orders 1 → 2, total 10 → 25`."""
    changed = [
        f"{label} {_shown(before[name])} → {_shown(after.get(name))}"
        for name, label in FIGURE_LABELS.items()
        if name in before
    ]
    return ", ".join(changed) or "its figures were worked out again"


def _shown(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool() | str():
            return str(value).removesuffix("+00:00").replace("T", " ")
        case int() | float() | Decimal():
            return f"{Decimal(str(value)).normalize():,f}"
        case _:
            return str(value)
