"""Pages /imports: what came, when and from whom, and what became of it; one import with its details.

Changes of imports are in `import_changes`, uploads in `uploads`.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from starlette.exceptions import HTTPException

from etl_assets.reporting.import_fates import count_fates
from etl_assets.reporting.import_list import (
    CONDITIONS,
    PAGE_IMPORTS,
    Place,
    count_choices,
    list_page,
    read_listed,
)
from etl_assets.reporting.imports import describe_mapping, read_import
from etl_assets.reporting.user_actions import read_last_of_import
from etl_assets.reverts.imports import REVERT
from etl_assets.web.labels import COLUMN_LABELS, FATE_LABELS, STATUS_LABELS, fault_text
from etl_assets.web.language import N_
from etl_assets.web.page import PageRoute, database_of, is_fragment, render, settings_of
from etl_assets.web.permissions import Permission
from etl_assets.web.processing import BACKGROUND_RUN, rows_left
from etl_assets.web.uploads import Uploads

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from etl_assets.reporting.import_list import Choice

ROWS_OF_A_BAR: Final = 20_000
"""Rows of an import up to which a list counts at once what became of them; the bar of a larger one is asked for."""
CHOICES: Final = (
    ("", N_("All")),
    ("refused", N_("Refused")),
    ("held", N_("Held")),
    ("bad", N_("With bad rows")),
    ("reverted", N_("Reverted")),
)
"""Tabs of the list."""
LINKED_CHOICES: Final = {
    "disagreeing": N_("Rows of one order disagree"),
    "columns": N_("Other columns than before"),
    "statuses": N_("Unknown statuses"),
    "waiting": N_("Lines wait for their orders"),
}
"""Tabs that are shown where a link has led to them."""


def show_list(request: Request) -> Response:
    """Show the imports of a choice, newest first."""
    query = request.query_params
    named = query.get("show", "")
    choice: Choice = named if named in CONDITIONS else ""
    search, before = query.get("search", "").strip()[:200], _place(query.get("before", ""))
    Uploads(settings_of(request).home).remove_old()
    with database_of(request).transaction() as connection:
        imports = list_page(connection, choice=choice, search=search, before=before, limit=PAGE_IMPORTS + 1)
        counts = count_choices(connection)
        shown = imports[:PAGE_IMPORTS]
        fates = count_fates(connection, [one.import_id for one in shown if (one.rows or 0) <= ROWS_OF_A_BAR])
    names = {name: value for name, value in (("show", choice), ("search", search)) if value}
    older = {**names, "before": _written(shown[-1].place)} if len(imports) > PAGE_IMPORTS else None
    return render(
        request,
        "imports/_rows.html" if is_fragment(request) else "imports/list.html",
        imports=shown,
        fates=fates,
        counts=counts,
        choices=(*CHOICES, *((name, LINKED_CHOICES[name]) for name in LINKED_CHOICES if name == choice)),
        choice=choice,
        search=search,
        older=f"/imports?{urlencode(older)}" if older else "",
        newer=f"/imports?{urlencode(names)}" if before else "",
        rows_left=rows_left(database_of(request)),
        is_running=BACKGROUND_RUN.is_alive,
        **_labels(),
    )


def show_import(request: Request) -> Response:
    """Show one import."""
    import_id: UUID = request.path_params["import_id"]
    with database_of(request).transaction() as connection:
        listed = read_listed(connection, import_id)
        if listed is None:
            raise HTTPException(404)
        found = read_import(connection, import_id, with_rows=(listed.rows or 0) <= ROWS_OF_A_BAR)
        is_reverted = listed.status == "reverted"
        revert = read_last_of_import(connection, REVERT.name, import_id) if is_reverted else None
    return render(
        request,
        "imports/import.html",
        one=listed,
        details=found,
        revert=revert,
        mapping=list(describe_mapping(found["mapping"])) if found["mapping"] else [],
        columns=COLUMN_LABELS,
        fault_text=fault_text,
        rows_left=rows_left(database_of(request)),
        is_running=BACKGROUND_RUN.is_alive,
        **_labels(),
    )


def show_bar(request: Request) -> Response:
    """Show what became of the rows of an import: the part of a page that is asked for where there are many rows."""
    import_id: UUID = request.path_params["import_id"]
    with database_of(request).transaction() as connection:
        fates = count_fates(connection, [import_id])[import_id]
    return render(request, "imports/_bar.html", counts=fates, import_id=import_id, **_labels())


def _labels() -> dict[str, Any]:
    return {"fate_labels": FATE_LABELS, "status_labels": STATUS_LABELS}


def _place(text: str) -> Place | None:
    """Return the place in the list that an address names; None where it names none."""
    time, _, import_id = text.partition("_")
    try:
        found = Place(datetime.fromisoformat(time), UUID(import_id))
    except ValueError:
        return None
    return found if found.created_at.tzinfo is not None else None


def _written(place: Place) -> str:
    return f"{place.created_at.isoformat()}_{place.import_id}"


ROUTES: Final = (
    PageRoute("/imports", show_list, Permission.SEE),
    PageRoute("/imports/{import_id:uuid}", show_import, Permission.SEE),
    PageRoute("/imports/{import_id:uuid}/bar", show_bar, Permission.SEE),
)
