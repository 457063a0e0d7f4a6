"""`etl-assets leads`: writes the list of leads to a file, sets the stage of leads."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path  # noqa: TC003  # Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Final, cast
from uuid import UUID  # noqa: TC003  # as above
from zoneinfo import ZoneInfo

import sqlalchemy as sa
import typer

from etl_assets.cli.output import FAILED, AsJson, WrongUseError, failures_reported, note, print_json, say
from etl_assets.cli.session import load_settings, opened_database
from etl_assets.leads.stage import MAX_LEADS, StageError, set_stages
from etl_assets.reporting.leads_export import export_leads
from etl_assets.reporting.leads_list import ACTIVE, ORDER_TYPES, SORTS, LeadFilters
from etl_assets.reporting.leads_search import search_leads
from etl_assets.shop.configure import AmbiguousShopError, only_shop

if TYPE_CHECKING:
    from etl_assets.leads.stage import StageOutcome
    from etl_assets.reporting.leads_export import ExportFormat

app = typer.Typer(help="Leads: export the list, set the stage.", no_args_is_help=True, add_completion=False)

SUFFIXES: Final = (".csv", ".xlsx")
MAX_DAYS: Final = 36_500


@app.callback()
def leads() -> None:
    """Leads: export the list, set the stage."""


@app.command("export")
def export(  # noqa: PLR0913  # an option for each filter
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .csv or .xlsx file.")],
    *,
    search: Annotated[str, typer.Option(help="Beginning of a customer's name or of an order number.")] = "",
    shop: Annotated[str | None, typer.Option(help="Name of a shop.")] = None,
    stage: Annotated[str | None, typer.Option(help=f"Stage, or '{ACTIVE}' for OPEN and COLD.")] = None,
    orders: Annotated[str | None, typer.Option(help=f"Kind of orders: {', '.join(ORDER_TYPES)}.")] = None,
    currency: Annotated[str | None, typer.Option(help="Currency of the amounts.")] = None,
    min_amount: Annotated[float | None, typer.Option(help="Least amount.")] = None,
    max_amount: Annotated[float | None, typer.Option(help="Greatest amount.")] = None,
    silent_days: Annotated[int | None, typer.Option(min=0, max=MAX_DAYS, help="Least days without an order.")] = None,
    reopened_days: Annotated[int | None, typer.Option(min=0, max=MAX_DAYS, help="Reopened in so many days.")] = None,
    sort: Annotated[str, typer.Option(help=f"Order of the rows: {', '.join(SORTS)}.")] = "recent",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the leads to a file, as the page exports them: names first, formulas neutralised."""
    with failures_reported(as_json=as_json):
        _require_known(file, sort, orders, overwrite=overwrite)
        filters = LeadFilters(
            stage=stage,
            order_types=cast("Any", orders),
            currency=currency,
            min_amount=None if min_amount is None else Decimal(str(min_amount)),
            max_amount=None if max_amount is None else Decimal(str(max_amount)),
            silent_days=silent_days,
            reopened_days=reopened_days,
        )
        settings = load_settings()
        with opened_database(settings) as database:
            with database.snapshot() as connection:
                shop_id = None if shop is None else _shop_id(connection, shop)
                filters = search_leads(connection, search, replace(filters, shop_id=shop_id)).filters
            form = cast("ExportFormat", file.suffix.lower().removeprefix("."))
            timezone = ZoneInfo(settings.web_timezone)
            chunks = export_leads(database, filters, cast("Any", sort), form=form, timezone=timezone)
            part = file.with_name(f"{file.name}.part")
            with part.open("wb") as target:
                size = sum(target.write(chunk) for chunk in chunks)
            part.replace(file)
        if as_json:
            print_json({"file": str(file), "bytes": size})
        else:
            say(f"Written to {file} ({size:,} bytes)")


def _require_known(file: Path, sort: str, orders: str | None, *, overwrite: bool) -> None:
    if file.suffix.lower() not in SUFFIXES:
        msg = f"{file}: name a file that ends in {' or '.join(SUFFIXES)}."
    elif sort not in SORTS:
        msg = f"--sort: there is no order {sort!r}; use one of {', '.join(SORTS)}."
    elif orders not in (None, *ORDER_TYPES):
        msg = f"--orders: there is no kind {orders!r}; use one of {', '.join(ORDER_TYPES)}."
    elif file.exists() and not overwrite:
        msg = f"{file} exists. Name another file, or pass --overwrite."
    else:
        return
    raise WrongUseError(msg)


def _shop_id(connection: sa.Connection, shop: str) -> int:
    found = [dict(row) for row in connection.execute(sa.text(_SHOPS), {"shop": shop}).mappings()]
    try:
        return int(only_shop(found, shop, None)["shop_id"])
    except AmbiguousShopError:
        msg = f"--shop: several shops have the name {shop!r}: give one of them a shown name (`etl-assets shops set`)."
        raise WrongUseError(msg) from None


_SHOPS: Final = "SELECT shop_id, platform, shop_name FROM shop_configs WHERE shop_name = :shop OR shown_name = :shop"


@app.command("stage")
def stage(
    stage: Annotated[str, typer.Argument(metavar="STAGE", help="OPEN, COLD, WON, LOST, or a word of your own.")],
    ids: Annotated[list[UUID], typer.Argument(metavar="ID…", help="Ids of leads.")],
    *,
    remark: Annotated[str, typer.Option("--note", help="Kept in the history of the leads.")] = "",
    as_json: AsJson = False,
) -> None:
    """Set the stage of leads, with a note; the pipeline does not touch any but OPEN and COLD."""
    with failures_reported(as_json=as_json):
        with opened_database(load_settings()) as database:
            with database.snapshot() as connection:
                found = connection.execute(sa.text(_STAGES), {"ids": ids}).all()
            seen: dict[UUID, str] = {row.lead_id: row.current_stage for row in found}
            missing = [str(one) for one in ids if one not in seen]
            if missing or len(ids) > MAX_LEADS:
                msg = f"There is no lead {missing[0]}." if missing else f"Name {MAX_LEADS} leads at most."
                raise WrongUseError(msg)
            try:
                outcome = set_stages(database, seen, stage, note=remark)
            except StageError as error:
                raise WrongUseError(str(error)) from None
        _show(outcome, as_json=as_json)
        if outcome.refused:
            raise typer.Exit(FAILED)


def _show(outcome: StageOutcome, *, as_json: bool) -> None:
    refused = [{"lead_id": one.lead_id, "reason": one.reason, "stage": one.stage} for one in outcome.refused]
    if as_json:
        print_json({"changed": outcome.changed, "unchanged": outcome.unchanged, "refused": refused})
        return
    say(f"{len(outcome.changed):,} changed, {len(outcome.unchanged):,} have that stage")
    for one in outcome.refused:
        note(f"{one.lead_id} stays {one.stage}: {_REASONS[one.reason]}")


_REASONS: Final = {
    "changed": "it was changed meanwhile",
    "gone": "it was deleted meanwhile",
    "busy": "a run is updating it at this moment; try again",
    "has_active_lead": "its customer has another OPEN or COLD lead",
}
_STAGES: Final = "SELECT lead_id, current_stage FROM business_leads WHERE lead_id = ANY (:ids)"
