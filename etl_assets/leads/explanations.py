"""Texts of a lead's history: why orders were attached or detached, what happened to the lead, who set its stage.

All texts of rules and events are here and nowhere else; a new strategy needs one in `ATTACH_REASONS`. The history is
read and written by `leads.history`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from etl_assets.lead_figures import FIGURE_LABELS
from etl_assets.texts import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ATTACH_REASONS: Final = {
    "new": "started this lead: the customer had no open or cold one",
    "reuse": "joined this lead: it was the customer's open one",
    "reuse_reopened": "joined this lead: it was the customer's cold one, and is open again",
    "reuse_same_batch": "joined this lead: an earlier order of the customer had just started it",
}
"""How an order came to its lead, by strategy; `reuse` in more detail where the batch of the attachment shows it."""

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
TEMPLATES: Final = {
    "reopened": "COLD → OPEN because {order} came",
    "left": "{order} left: {reason}",
    "attached": "{order} {rule}",
    "stage_set": "{user} set the stage: {before} → {after}",
    "stage_set_with_note": "{user} set the stage: {before} → {after} ({note})",
    "noted": "{user} noted: {note}",
    "figures": "{changes}",
}
ORDER: Final = "order {order} ({platform}, {shop})"
UNKNOWN_RULE: Final = "joined this lead by a rule of an earlier version"
CHANGE: Final = "{label} {before} → {after}"
AMOUNTS: Final = frozenset({"total_amount", "sample_amount", "proof_amount", "bulk_amount", "refunded_amount"})
"""Figures that are told with the lead's currency."""
NO_CHANGE: Final = "its figures were worked out again"
NONE: Final = "none"


def rule_text(rule: str) -> Text:
    """Return how an order came to its lead: `rule` is a key of `ATTACH_REASONS`."""
    return Text(ATTACH_REASONS.get(rule, UNKNOWN_RULE))


def with_texts(history: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a lead's history, each with its `text` in English.

    Args:
        history: rows of the view `lead_history` of one lead, in their order.
    """
    rows = [dict(row) for row in history]
    return [{**row, "text": str(text)} for row, text in zip(rows, history_texts(rows), strict=True)]


def history_texts(rows: Sequence[Mapping[str, Any]], currency: str | None = None) -> list[Text]:
    """Return the text of each row of a lead's history, as for `with_texts`.

    Args:
        rows: the history, or its newest rows.
        currency: of the lead now; that of earlier amounts is worked out from it.
    """
    currencies = _currencies(rows, currency)
    made = {row["batch_id"] for row in rows if row["what"] == "opened"} - {None}
    reopened = {row["batch_id"] for row in rows if row["what"] == "reopened"}
    return [_text(row, made, reopened, known) for row, known in zip(rows, currencies, strict=True)]


def _currencies(rows: Sequence[Mapping[str, Any]], currency: str | None) -> list[tuple[str | None, str | None]]:
    """Return the lead's currency before and after each row, followed back from the one it has now."""
    found = []
    for row in reversed(rows):
        before = (row["figures_before"] or {}).get("currency", currency)
        found.append((before, currency))
        currency = before
    return found[::-1]


def _text(
    row: Mapping[str, Any], made: set[int], reopened: set[int], currencies: tuple[str | None, str | None]
) -> Text:
    order = Text(ORDER, {"order": row["order_id"], "platform": row["platform"], "shop": row["shop_name"]})
    what, values = row["what"], {"order": order}
    match what:
        case "attached":
            values["rule"] = rule_text(_rule(row, made, reopened))
        case "left":
            values["reason"] = Text(DETACH_REASONS.get(row["reason"], row["reason"]))
        case "figures":
            return figures_text(row["figures_before"] or {}, row["figures_after"] or {}, currencies)
        case "stage_set" | "noted":
            what = "stage_set_with_note" if what == "stage_set" and row["note"] else what
            named = {"user": "user_name", "before": "stage_before", "after": "stage_after", "note": "note"}
            values |= {name: row[column] for name, column in named.items()}
    return Text({**EVENT_TEXTS, **TEMPLATES}[what], values)


def _rule(row: Mapping[str, Any], made: set[int], reopened: set[int]) -> str:
    if row["strategy"] == "reuse" and row["batch_id"] in reopened:
        return "reuse_reopened"
    if row["strategy"] == "reuse" and row["batch_id"] in made:
        return "reuse_same_batch"
    return str(row["strategy"])


def figures_text(
    before: Mapping[str, Any], after: Mapping[str, Any], currencies: tuple[str | None, str | None] = (None, None)
) -> Text:
    """Return the figures that changed, as text: `orders 1 → 2, total 10 EUR → 25 EUR`; known currencies are told."""
    was, now = currencies
    changed = tuple(
        Text(
            CHANGE,
            {
                "label": Text(label),
                "before": _shown(before[name], was if name in AMOUNTS else None),
                "after": _shown(after.get(name), now if name in AMOUNTS else None),
            },
        )
        for name, label in FIGURE_LABELS.items()
        if name in before
    )
    return Text(TEMPLATES["figures"], {"changes": changed}) if changed else Text(NO_CHANGE)


def _shown(value: object, currency: str | None = None) -> str | Text:
    match value:
        case None:
            return Text(NONE)
        case bool() | str():
            return str(value).removesuffix("+00:00").replace("T", " ")
        case int() | float() | Decimal():
            number = f"{Decimal(str(value)).normalize():,f}"
            return f"{number} {currency}" if currency else number
        case _:
            return str(value)
