"""Pages /leads: the list with its filters, saved views and exports; and the change of stages, for one lead or many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from etl_assets.errors import EtlError
from etl_assets.leads.saved_views import delete_view, list_views, save_view
from etl_assets.leads.stage import StageError, set_stages
from etl_assets.reporting.lead_choices import read_choices
from etl_assets.reporting.leads_export import HEADER, export_leads
from etl_assets.reporting.leads_list import read_leads
from etl_assets.reporting.leads_search import search_leads
from etl_assets.web.downloads import TURNS, Download
from etl_assets.web.language import N_
from etl_assets.web.lead_filters import (
    FIELDS,
    FURTHER,
    ORDER_TYPES,
    PAGE_FIELD,
    STAGE_NAMES,
    STANDARD_VIEWS,
    TOTAL_FIELD,
    LeadList,
    read_fields,
)
from etl_assets.web.page import (
    PageRoute,
    database_of,
    form_of,
    form_text,
    is_fragment,
    local_path,
    read_number,
    redirect_with_message,
    render,
    timezone_of,
    translate,
    translate_count,
    user_of,
)
from etl_assets.web.permissions import Permission

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from etl_assets.leads.stage import Refusal, StageOutcome
    from etl_assets.reporting.leads_export import ExportFormat
    from etl_assets.web.page import MessageKind

LARGEST_VIEW_ID: Final = 10**18 - 1
MAX_EXACT: Final = 10_000
MEDIA_TYPES: Final[Mapping[ExportFormat, str]] = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
REFUSALS: Final = {
    "changed": N_("%(customer)s is %(stage)s now: it was changed meanwhile, and stays as it is."),
    "changed_by": N_("%(customer)s is %(stage)s now: %(user)s changed it meanwhile, and it stays as it is."),
    "gone": N_("A lead is gone: it was deleted meanwhile."),
    "busy": N_("%(customer)s is being updated at this moment: try again."),
    "has_active_lead": N_("%(customer)s has another open or cold lead: a customer has one at most."),
}
MAX_TOLD: Final = 5
"""Refused leads that a message names."""


def show_leads(request: Request) -> Response:
    """Show the list; only its results to a request for a part of the page."""
    return _render_list(request, dict(request.query_params))


def _render_list(request: Request, query: Mapping[str, str], told: str = "", told_kind: str = "info") -> Response:
    """Render the list that fields of an address ask for."""
    wanted = read_fields(query, timezone_of(request))
    with database_of(request).snapshot() as connection:
        search = search_leads(connection, wanted.fields.get("q", ""), wanted.filters, inside="inside" in wanted.fields)
        page = read_leads(connection, search.filters, wanted.sort, at=query.get(PAGE_FIELD))
        choices = read_choices(connection)
        views = list_views(connection, user_of(request).name)
    return render(
        request,
        "leads/part.html" if is_fragment(request) else "leads/list.html",
        is_part=is_fragment(request),
        wanted=wanted,
        search=search,
        page=page,
        choices=choices,
        order_types=ORDER_TYPES,
        stage_names=STAGE_NAMES,
        standard_views=STANDARD_VIEWS,
        views=views,
        is_further=any(name in wanted.fields for name in FURTHER),
        here=wanted.address(page=query.get(PAGE_FIELD), total=query.get(TOTAL_FIELD)),
        total=page.total if page.is_exact else read_number(query.get(TOTAL_FIELD, ""), MAX_EXACT),
        told=told,
        told_kind=told_kind,
    )


def set_stage(request: Request) -> Response:
    """Set the stage of the ticked leads, and show the list or the lead that the form came from."""
    back = local_path(form_text(request, "next"), "/leads")
    seen = _seen_stages(request)
    stage, own = form_text(request, "new_stage"), form_text(request, "own_stage")
    kind: MessageKind = "error"
    try:
        if stage and own and stage != own:
            msg = "A stage is chosen, and another one is written."
            raise StageError(msg)
        outcome = set_stages(
            database_of(request), seen, stage or own, note=form_text(request, "note"), user_name=user_of(request).name
        )
    except EtlError as error:
        texts = [_error_text(request, error)]
    else:
        texts = _outcome_texts(request, outcome)
        if not outcome.refused:
            kind = "success" if outcome.changed else "info"
    if is_fragment(request) and urlsplit(back).path == "/leads":
        query = dict(parse_qsl(urlsplit(back).query))
        return _render_list(request, query, " ".join(texts), kind)
    return redirect_with_message(request, back, " ".join(texts), kind)


def _seen_stages(request: Request) -> dict[UUID, str]:
    """Return the ticked leads with the stage that the page showed; what is no such field is left out."""
    seen = {}
    for value in form_of(request).getlist("lead"):
        lead_id, _, stage = str(value).partition("~")
        try:
            seen[UUID(lead_id)] = stage
        except ValueError:
            continue
    return seen


def _error_text(request: Request, error: EtlError) -> str:
    if isinstance(error, StageError):
        return translate(
            request, "Choose one stage or write it, for up to 500 leads; a note has at most 2,000 characters."
        )
    return translate(request, "These leads are being updated at this moment: nothing was changed. Try again.")


def _outcome_texts(request: Request, outcome: StageOutcome) -> list[str]:
    texts = []
    if outcome.changed:
        count = len(outcome.changed)
        texts.append(translate_count(request, "%(count)s lead was changed.", "%(count)s leads were changed.", count))
    if outcome.unchanged:
        count = len(outcome.unchanged)
        texts.append(
            translate_count(
                request, "%(count)s lead has that stage already.", "%(count)s leads have that stage already.", count
            )
        )
    texts += [_refusal_text(request, one) for one in outcome.refused[:MAX_TOLD]]
    further = len(outcome.refused) - MAX_TOLD
    if further > 0:
        text = translate_count(request, "%(count)s more was not changed.", "%(count)s more were not changed.", further)
        texts.append(text)
    return texts


def _refusal_text(request: Request, refusal: Refusal) -> str:
    name = STAGE_NAMES.get(refusal.stage or "")
    stage = translate(request, name) if name else refusal.stage
    code = "changed_by" if refusal.reason == "changed" and refusal.changed_by else refusal.reason
    customer = refusal.customer or translate(request, "A lead")
    return translate(request, REFUSALS[code], customer=customer, stage=stage, user=refusal.changed_by)


def save_list_view(request: Request) -> Response:
    """Save the fields of the list that the form came from as a view of the user."""
    wanted = _list_of_form(request)
    try:
        name = save_view(database_of(request), user_of(request).name, form_text(request, "name"), wanted.fields)
    except EtlError:
        text = translate(request, "A view needs a name of at most 60 characters; 50 views can be saved.")
        return redirect_with_message(request, wanted.address(), text, "error")
    return redirect_with_message(request, wanted.address(), translate(request, "Saved: %(name)s", name=name))


def delete_list_view(request: Request) -> Response:
    """Delete a saved view of the user."""
    view_id = read_number(form_text(request, "view_id"), LARGEST_VIEW_ID)
    name = None if view_id is None else delete_view(database_of(request), user_of(request).name, view_id)
    if name is None:
        return redirect_with_message(request, "/leads", translate(request, "There is no such view."), "error")
    return redirect_with_message(request, "/leads", translate(request, "Deleted: %(name)s", name=name))


def _list_of_form(request: Request) -> LeadList:
    query = dict(parse_qsl(urlsplit(local_path(form_text(request, "next"), "/leads")).query))
    return read_fields({name: query.get(name, "") for name in FIELDS}, timezone_of(request))


def export_csv(request: Request) -> Response:
    """Send the list as CSV."""
    return _export(request, "csv")


def export_xlsx(request: Request) -> Response:
    """Send the list as a workbook."""
    return _export(request, "xlsx")


def _export(request: Request, form: ExportFormat) -> Response:
    wanted = read_fields(dict(request.query_params), timezone_of(request))
    if not TURNS.acquire(blocking=False):
        text = translate(request, N_("Other lists are being exported at this moment: try again in a minute."))
        return redirect_with_message(request, wanted.address(), text, "error")
    try:
        chunks = _chunks(request, wanted, form)
    except BaseException:
        TURNS.release()
        raise
    return Download(chunks, media_type=MEDIA_TYPES[form], file_name=f"leads.{form}")


def _chunks(request: Request, wanted: LeadList, form: ExportFormat) -> Generator[bytes]:
    database = database_of(request)
    with database.snapshot() as connection:
        inside = "inside" in wanted.fields
        search = search_leads(connection, wanted.fields.get("q", ""), wanted.filters, inside=inside)
    header = {name: translate(request, title) for name, title in HEADER.items()}
    timezone = timezone_of(request)
    return export_leads(database, search.filters, wanted.sort, form=form, timezone=timezone, header=header)


ROUTES: Final = (
    PageRoute("/leads", show_leads, Permission.SEE),
    PageRoute("/leads/stage", set_stage, Permission.SET_STAGE, methods=("POST",)),
    PageRoute("/leads/views", save_list_view, Permission.SAVE_VIEWS, methods=("POST",)),
    PageRoute("/leads/views/delete", delete_list_view, Permission.SAVE_VIEWS, methods=("POST",)),
    PageRoute("/leads/export.csv", export_csv, Permission.SEE),
    PageRoute("/leads/export.xlsx", export_xlsx, Permission.SEE),
)
