"""Page /leads/{lead_id}: one lead with its figures, orders and history."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from starlette.exceptions import HTTPException

from etl_assets.leads.explanations import history_texts
from etl_assets.leads.history import UnknownLeadError, read_lead
from etl_assets.reporting.lead_choices import read_choices
from etl_assets.reporting.order_details import read_lines
from etl_assets.web.page import PageRoute, database_of, render, translate
from etl_assets.web.permissions import Permission

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

SHOWN: Final = 30
"""Orders and entries of the history that the page shows at first."""
MAX_SHOWN: Final = 1_000
MAX_ALIKE: Final = 3
NOT_FOUND: Final = 404
TONES: Final = {"opened": "info", "reopened": "good", "cooled": "warning", "left": "bad", "stage_set": "good"}
"""Tone of an entry of the history; neutral for others."""


def show_lead(request: Request) -> Response:
    """Show the lead."""
    limit = MAX_SHOWN if "all" in request.query_params else SHOWN
    database = database_of(request)
    try:
        found = read_lead(database, request.path_params["lead_id"].hex, limit=limit + 1)
    except UnknownLeadError:
        raise HTTPException(NOT_FOUND) from None
    orders, history = found["orders"][-limit:][::-1], found["history"]
    texts = [text.translated(lambda template: translate(request, template)) for text in history_texts(history)]
    events = list(zip(history, texts, strict=True))[-limit:][::-1]
    with database.snapshot() as connection:
        lines = read_lines(connection, [one["order_no"] for one in orders if one["order_no"] is not None])
        stages = read_choices(connection).stages
    return render(
        request,
        "leads/lead.html",
        lead_id=found["lead_id"],
        lead=found["lead"],
        orders=orders,
        lines=lines,
        events=_grouped(events),
        stages=stages,
        is_cut=limit == SHOWN and (len(found["orders"]) > limit or len(history) > limit),
    )


def _grouped(events: list[tuple[dict[str, Any], str]]) -> list[dict[str, Any]]:
    """Return entries of the history; more than `MAX_ALIKE` attachments of one moment are one entry."""
    groups = []
    for (at, what), alike in groupby(events, key=lambda event: (event[0]["happened_at"], event[0]["what"])):
        texts = [text for _, text in alike]
        parts = [texts] if what == "attached" and len(texts) > MAX_ALIKE else [[text] for text in texts]
        groups += [{"at": at, "tone": TONES.get(what, "neutral"), "events": part} for part in parts]
    return groups


ROUTES: Final = (PageRoute("/leads/{lead_id:uuid}", show_lead, Permission.SEE),)
