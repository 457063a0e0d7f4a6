"""`etl-assets order-types`: lists and sets the mappings of the shops' order types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from etl_assets.cli.output import (
    AsJson,
    WrongUseError,
    failures_reported,
    note,
    print_json,
    print_records,
    print_table,
    say,
)
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.orders.order_types import OrderTypeError, list_order_types, set_order_types

if TYPE_CHECKING:
    from etl_assets.database.database import Database

app = typer.Typer(
    help="Mappings of the shops' order types to SAMPLE, PROOF or BULK.", no_args_is_help=True, add_completion=False
)


@app.command("list")
def list_types(
    *,
    unmapped: Annotated[
        bool, typer.Option("--unmapped", help="List the types of stored orders without a mapping instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the mappings. A type without a mapping counts as BULK."""
    with failures_reported(as_json=as_json), opened_database(load_settings()) as database:
        if unmapped:
            _show_unmapped(database, as_json=as_json)
            return
        mappings = list_order_types(database)
        if as_json:
            print_json({"order_types": mappings})
        else:
            print_table("Order types", ["raw_order_type", "system_order_type"], mappings.items())


def _show_unmapped(database: Database, *, as_json: bool) -> None:
    from etl_assets.quality.checks import UNMAPPED_ORDER_TYPES  # noqa: PLC0415  # not needed by the other commands
    from etl_assets.quality.running import run_check  # noqa: PLC0415  # as above

    found = run_check(database, UNMAPPED_ORDER_TYPES).violations
    if as_json:
        print_json({"unmapped": found})
    else:
        print_records("Order types without a mapping", found, ["order_type", "first_seen_at"])


@app.command("set")
def set_type(
    raw_type: Annotated[str, typer.Argument(metavar="RAW_TYPE", help="Order type as in the exports.")],
    system_type: Annotated[str, typer.Argument(metavar="SYSTEM_TYPE", help="SAMPLE, PROOF or BULK.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Map an order type. Case, full-width forms and surrounding blanks are ignored."""
    with failures_reported(as_json=as_json), opened_database(load_settings()) as database:
        try:
            stored = set_order_types(database, {raw_type: system_type})
        except OrderTypeError as error:
            raise WrongUseError(str(error)) from None
        if as_json:
            print_json({"order_types": stored})
            return
        for raw, system in stored.items():
            say(f"{raw} → {system}")
        note("New orders use it from now on; `etl-assets run --full-refresh` applies it to stored orders.")
