"""Names of raw columns, faults, assets, statuses and outcomes on pages, to be translated where they are shown.

The codes are of the packages that own them (`quarantine.faults`, `reporting.import_fates`, `import_tasks.status`). What
a fault means for users is told here and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from etl_assets.web.language import N_

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMN_LABELS: Final[Mapping[str, str]] = {
    "platform": N_("Platform"),
    "shop": N_("Shop"),
    "order_id": N_("Order number"),
    "customer_name": N_("Customer"),
    "order_status": N_("Status"),
    "order_type": N_("Order type"),
    "amount": N_("Amount"),
    "currency": N_("Currency"),
    "ordered_at": N_("Time of the order"),
    "updated_at": N_("Time of the last change"),
    "items": N_("Items"),
    "processes": N_("Processes"),
    "remark": N_("Remark"),
    "platform_order_id": N_("The platform's own order id"),
    "refunded_amount": N_("Refunded amount"),
}


class FaultText(NamedTuple):
    """Texts of a fault: what it is, and what to do about it."""

    label: str
    advice: str


FAULT_TEXTS: Final[Mapping[str, FaultText]] = {
    "BAD_AMOUNT": FaultText(
        N_("Amount can't be read"), N_("Write a number such as 1234.50, or leave the cell empty if there is none.")
    ),
    "BAD_TIMESTAMP": FaultText(
        N_("Time can't be read"), N_("Write the time as 2026-01-31 14:05, or leave the cell empty if it is not known.")
    ),
    "MISSING_SHOP": FaultText(N_("Shop is missing"), N_("Write platform and shop as your other files name them.")),
    "SHOP_NOT_MADE": FaultText(N_("Shop is not known yet"), N_("Run the row again: the shop is created by that.")),
    "MISSING_ORDER_ID": FaultText(N_("Order number is missing"), N_("Write the number that the platform shows.")),
    "ROUNDED_ORDER_ID": FaultText(
        N_("Order number was rounded"),
        N_("A spreadsheet has replaced its last digits. Write the whole number, or export the file again."),
    ),
    "CONFLICTING_ORDER": FaultText(
        N_("Several orders have this number"),
        N_("If they are of several shops, import each shop's file under its own name, then dismiss this row."),
    ),
    "SHARED_BY_SHOPS": FaultText(
        N_("Several shops have this order number"), N_("Write the shop on every line of the order.")
    ),
    "TOO_LONG": FaultText(N_("Text is too long"), N_("Shorten it: no index can hold it.")),
    "BAD_TEXT": FaultText(
        N_("Unreadable characters"), N_("Replace the marked symbols (␀ or �) by what the file should say.")
    ),
    "BAD_ITEMS": FaultText(
        N_("Items can't be read"), N_("Write one item after another, such as Mug*2; Cap*1. The order itself is loaded.")
    ),
    "BAD_PROCESSES": FaultText(
        N_("Processes can't be read"), N_("Correct the text of the processes. The order itself is loaded.")
    ),
    "DB_REJECTED": FaultText(
        N_("The database refused it"), N_("The technical reason below names the column. Correct its value.")
    ),
}
OTHER_FAULT: Final = FaultText(N_("Can't be loaded"), N_("The technical reason below says why."))

STATUS_LABELS: Final[Mapping[str, tuple[str, str]]] = {
    "pending": (N_("Being read"), "info"),
    "completed": (N_("Imported"), "good"),
    "failed": (N_("Refused"), "bad"),
    "dismissed": (N_("Refused, dismissed"), "neutral"),
    "held": (N_("Held"), "warning"),
    "reverted": (N_("Reverted"), "neutral"),
}
"""Status of an import, with its tone; `dismissed` is a failed one that users have set aside."""

FATE_LABELS: Final[Mapping[str, tuple[str, str]]] = {
    "current": (N_("in force"), "good"),
    "superseded_or_unchanged": (N_("same as before, or older"), "neutral"),
    "waiting": (N_("wait for their order"), "info"),
    "quarantined": (N_("bad rows"), "bad"),
    "corrected": (N_("corrected"), "neutral-2"),
    "dismissed": (N_("dismissed"), "neutral-2"),
    "reverted": (N_("reverted"), "neutral"),
    "held": (N_("held"), "warning"),
    "pending": (N_("not processed yet"), "info"),
}
"""Outcomes of the rows of an import (`import_fates.FATES`), with their tones."""

OUTCOME_LABELS: Final[Mapping[str, tuple[str, str]]] = {
    "loaded": (N_("Loaded: the order is as this row says."), "success"),
    "overtaken": (N_("Not in force: another version of the order counts."), "info"),
    "pending": (N_("Waits to be processed."), "info"),
    "quarantined": (N_("Still bad."), "error"),
    "dismissed": (N_("Dismissed."), "info"),
    "held": (N_("Its import is held."), "warning"),
    "reverted": (N_("Its import is reverted."), "info"),
}
"""Outcomes of a bad row (`quarantine.outcome`), with the kind of message."""

HELD_LABELS: Final[Mapping[str, str]] = {
    "orders": N_("%(removed)s of %(rows)s orders lose customer, amount or time."),
    "business_leads": N_("%(removed)s of %(rows)s leads lose their orders."),
    "order_items": N_("%(removed)s of %(rows)s order lines are deleted."),
    "process_items": N_("%(removed)s of %(rows)s processes are deleted."),
}
"""Effects for which the brake holds an import, by table."""

RESOLUTION_LABELS: Final[Mapping[str, str]] = {
    "superseded": N_("a newer row of the order was loaded"),
    "replayed": N_("corrected or run again"),
    "dismissed": N_("dismissed"),
    "reverted": N_("import reverted"),
}

ACTION_LABELS: Final[Mapping[str, str]] = {
    "import": N_("File imported"),
    "imports accept": N_("Held import accepted"),
    "imports dismiss": N_("Refused file dismissed"),
    "imports restore": N_("Import restored"),
    "imports revert": N_("Import reverted"),
    "leads stage": N_("Stage of a lead set"),
    "log in": N_("Logged in"),
    "log out": N_("Logged out"),
    "order-types set": N_("Order type set"),
    "quarantine correct": N_("Bad rows corrected"),
    "quarantine dismiss": N_("Bad rows dismissed"),
    "shops set": N_("Settings of a shop changed"),
    "users add": N_("User added"),
    "users password": N_("Password set"),
    "users remove": N_("User removed"),
    "users role": N_("Role of a user changed"),
    "views delete": N_("View deleted"),
    "views save": N_("View saved"),
}
"""Actions of the log (`user_actions.action`)."""


def fault_text(code: str) -> FaultText:
    """Return the texts of a fault."""
    return FAULT_TEXTS.get(code, OTHER_FAULT)
