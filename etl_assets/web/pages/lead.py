"""Page /leads/{lead_id}: one lead with its figures, orders and history."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode

from starlette.exceptions import HTTPException

from etl_assets.leads.explanations import history_texts
from etl_assets.leads.history import UnknownLeadError, read_lead
from etl_assets.reporting.lead_choices import read_choices
from etl_assets.reporting.order_details import read_lines
from etl_assets.web.lead_filters import list_address
from etl_assets.web.page import PageRoute, database_of, render, timezone_of, translate
from etl_assets.web.permissions import Permission

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from etl_assets.texts import Text

SHOWN: Final = 30
"""Orders and entries of the history that the page shows at first."""
MAX_SHOWN: Final = 1_000
MAX_ALIKE: Final = 3
"""Attachments by one rule that are told one by one; of more, the first is told, and the others are folded."""
TONES: Final = {"opened": "info", "reopened": "good", "cooled": "warning", "left": "bad", "stage_set": "good"}
"""Tone of an entry of the history; neutral for others."""


def show_lead(request: Request) -> Response:
    """Show the lead."""
    limit = MAX_SHOWN if "all" in request.query_params else SHOWN
    database = database_of(request)
    try:
        found = read_lead(database, request.path_params["lead_id"].hex, limit=limit + 1)
    except UnknownLeadError:
        raise HTTPException(404) from None
    orders, history, lead = found["orders"][-limit:][::-1], found["history"], found["lead"]
    texts = history_texts(history, lead["currency"] if lead else None)
    events = list(zip(history, texts, strict=True))[-limit:][::-1]
    query = dict(parse_qsl(request.query_params.get("back", "")))
    back = list_address(query, timezone_of(request))
    with database.snapshot() as connection:
        lines = read_lines(connection, [one["order_no"] for one in orders if one["order_no"] is not None])
        stages = read_choices(connection).stages
    return render(
        request,
        "leads/lead.html",
        lead_id=found["lead_id"],
        lead=lead,
        days_since_last_order=_days_since(lead["last_order_at"] if lead else None),
        back=back,
        here=_address(request, back),
        all_here=_address(request, back, all="1"),
        orders=orders,
        lines=lines,
        events=_grouped(request, events),
        stages=stages,
        is_cut=limit == SHOWN and (len(found["orders"]) > limit or len(history) > limit),
    )


def _days_since(moment: datetime | None) -> int | None:
    """Return whole days, as the list counts them."""
    return None if moment is None else (datetime.now(tz=UTC) - moment).days


def _address(request: Request, back: str, **fields: str) -> str:
    """Return the address of this page that leads back to the same list."""
    query = back.partition("?")[2]
    encoded = urlencode({**fields, **({"back": query} if query else {})})
    return f"{request.url.path}?{encoded}" if encoded else request.url.path


def _grouped(request: Request, events: list[tuple[dict[str, Any], Text]]) -> list[dict[str, Any]]:
    """Return entries of the history, translated; more than `MAX_ALIKE` attachments by one rule are one entry."""
    groups = []
    for (what, _), alike in groupby(events, key=lambda event: (event[0]["what"], event[1].values.get("rule"))):
        rows = list(alike)
        parts = [rows] if what == "attached" and len(rows) > MAX_ALIKE else [[row] for row in rows]
        for part in parts:
            texts = [text.translated(lambda template: translate(request, template)) for _, text in part]
            groups.append({"at": part[0][0]["happened_at"], "tone": TONES.get(what, "neutral"), "texts": texts})
    return groups


ROUTES: Final = (PageRoute("/leads/{lead_id:uuid}", show_lead, Permission.SEE),)
