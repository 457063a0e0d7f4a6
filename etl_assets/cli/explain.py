"""`etl-assets explain`: shows the orders and the history of a lead, and the versions of an order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from etl_assets.changes.values import shown_value
from etl_assets.cli.output import (
    AsJson,
    WrongUseError,
    failures_reported,
    print_json,
    print_records,
    print_table,
)
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.leads.explanations import with_texts
from etl_assets.leads.history import LeadIdError, read_lead
from etl_assets.orders.history import read_order
from etl_assets.shop.configure import AmbiguousShopError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def explain() -> None:
    """Explain the state of a lead or an order."""


@app.command("lead")
def explain_lead(
    lead: Annotated[str, typer.Argument(metavar="ID", help="Id of a lead, or at least its first 8 digits.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show a lead's orders, the rule that attached each, and its history with batches and runs."""
    with failures_reported(as_json=as_json), opened_database(load_settings()) as database:
        try:
            found = read_lead(database, lead)
        except LeadIdError as error:
            raise WrongUseError(str(error)) from None
        found["history"] = with_texts(found["history"])
        if as_json:
            print_json(found)
        else:
            _show_lead(found)


@app.command("order")
def explain_order(
    shop: Annotated[str, typer.Argument(metavar="SHOP", help="Name of the shop, as `shops list` shows it.")],
    order: Annotated[str, typer.Argument(metavar="ORDER", help="Number of the order.")],
    *,
    platform: Annotated[str | None, typer.Option(help="Platform, where several have a shop of this name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show the versions of an order: import and line of each, which one counts and why, and what each changed."""
    with failures_reported(as_json=as_json), opened_database(load_settings()) as database:
        try:
            found = read_order(database, shop, order, platform)
        except AmbiguousShopError as error:
            raise WrongUseError(str(error)) from None
        if as_json:
            print_json(found)
        else:
            _show_order(found)


def _show_order(found: Mapping[str, Any]) -> None:
    title = f"Order {found['order_id']} ({found['platform']}, {found['shop_name']})"
    order = found["order"]
    if order is None:
        print_table(title, ["state"], [["not stored: no version counts"]])
    else:
        columns = ["latest_status", "amount", "currency", "ordered_at", "source_updated_at", "raw_id", "batch_id"]
        print_records(title, [order], columns)
    columns = ["raw_id", "source", "line", "imported_at", "updated_at", "text"]
    times = [{**one, "updated_at": (one["values"] or {}).get("source_updated_at")} for one in found["versions"]]
    print_records("Versions, the newest last", times, columns)
    print_table("Changed from the version before", ["raw_id", "column", "old", "new"], _changed(found["versions"]))
    print_table(
        "Changes of the stored order",
        ["at", "change", "column", "old", "new", "batch_id", "run_id"],
        (
            [one["at"], one["change"], column, shown_value(old), shown_value(new), one["batch_id"], one["run_id"]]
            for one in found["changes"]
            for column, (old, new) in (one["values"] or {"": (None, None)}).items()
        ),
    )


def _changed(versions: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[object]]:
    for one in versions:
        for column, (old, new) in one["changed"].items():
            yield one["raw_id"], column, shown_value(old), shown_value(new)


def _show_lead(found: Mapping[str, Any]) -> None:
    lead = found["lead"]
    title = f"Lead {found['lead_id']}"
    if lead is None:
        print_table(title, ["stage"], [["deleted by the pipeline or by hand"]])
    else:
        columns = [
            "current_stage", "platform", "shop_name", "customer_global_id", "opened_at", "reopened_at", "order_count",
            "total_amount", "refunded_amount", "currency",
        ]  # fmt: skip
        print_records(title, [lead], columns)
    columns = [
        "platform", "shop_name", "order_id", "ordered_at", "system_order_type", "amount", "refunded_amount", "currency",
        "strategy", "batch_id",
    ]  # fmt: skip
    print_records("Orders", found["orders"], columns)
    print_records("History", found["history"], ["happened_at", "text", "batch_id", "run_id"])
