"""`etl-assets explain`: shows the orders and the history of a lead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

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

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def explain() -> None:
    """Explain the state of a lead."""


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
