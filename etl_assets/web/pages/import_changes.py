"""Changes of imports: revert, restore, acceptance, dismissal of refused files, each looked at first; “Run now”."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.exceptions import HTTPException

from etl_assets.raw_orders.dismiss import DismissImportError, dismiss_imports
from etl_assets.reporting.held import read_held_imports
from etl_assets.reporting.import_list import read_listed, read_revert_effects
from etl_assets.reverts.imports import ByUser, RevertError, accept_imports, restore_imports, revert_imports
from etl_assets.web.labels import HELD_LABELS
from etl_assets.web.language import N_
from etl_assets.web.page import (
    PageRoute,
    database_of,
    form_text,
    redirect_with_message,
    render,
    translate,
    translate_count,
    user_of,
)
from etl_assets.web.permissions import Permission
from etl_assets.web.processing import BACKGROUND_RUN, process_changes, rows_left

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from starlette.requests import Request
    from starlette.responses import Response

    from etl_assets.database.database import Database
    from etl_assets.reverts.imports import ImportChange


class Change(NamedTuple):
    """Change that a page offers: the function, what it is called, and what is said once it is done."""

    apply: Callable[[Database, Sequence[UUID], ByUser], list[ImportChange]]
    title: str
    button: str
    done: str


CHANGES: Final[Mapping[str, Change]] = {
    "revert": Change(
        revert_imports, N_("Revert import"), N_("Revert"), N_("Reverted: all figures are as if it had never come.")
    ),
    "restore": Change(restore_imports, N_("Restore import"), N_("Restore"), N_("Restored: its orders count again.")),
    "accept": Change(accept_imports, N_("Accept import"), N_("Accept"), N_("Accepted: its orders count now.")),
}


def show_change(name: str, request: Request) -> Response:
    """Show what a change of an import will do, and ask for the reason."""
    import_id: UUID = request.path_params["import_id"]
    with database_of(request).transaction() as connection:
        one = read_listed(connection, import_id)
        if one is None:
            raise HTTPException(404)
        effects = read_revert_effects(connection, import_id) if name == "revert" else None
        held = next((held for held in read_held_imports(connection) if held.import_id == import_id), None)
    return render(
        request,
        "imports/change.html",
        name=name,
        change=CHANGES[name],
        one=one,
        effects=effects,
        held=held,
        held_labels=HELD_LABELS,
    )


def change_import(name: str, request: Request) -> Response:
    """Revert, restore or accept an import, and run what follows."""
    import_id: UUID = request.path_params["import_id"]
    reason, page = form_text(request, "reason"), f"/imports/{import_id}"
    if not reason:
        text = translate(request, N_("Write a reason, please."))
        return redirect_with_message(request, f"{page}/{name}", text, "error")
    try:
        (change,) = CHANGES[name].apply(database_of(request), [import_id], ByUser(user_of(request).name, reason[:1000]))
    except RevertError as error:
        return redirect_with_message(request, page, str(error), "error")
    if not change.is_changed:
        text = translate(request, N_("Nothing was to be changed: somebody has done it before."))
        return redirect_with_message(request, page, text, "error")
    text = translate(request, CHANGES[name].done)
    if change.corrections:
        text += " " + translate_count(
            request,
            "%(count)s correction of its rows changes with it.",
            "%(count)s corrections of its rows change with it.",
            change.corrections,
        )
    return redirect_with_message(request, page, f"{text} {process_changes(request)}".strip())


def dismiss_import(request: Request) -> Response:
    """Set a refused file aside, with a reason."""
    import_id, reason = request.path_params["import_id"], form_text(request, "reason")
    page = f"/imports/{import_id}"
    if not reason:
        return redirect_with_message(request, page, translate(request, N_("Write a reason, please.")), "error")
    try:
        done = dismiss_imports(database_of(request), [import_id], reason[:1000], user_name=user_of(request).name)
    except DismissImportError:
        done = []
    if not any(one.is_changed for one in done):
        text = translate(request, N_("Nothing was to be changed: somebody has done it before."))
        return redirect_with_message(request, page, text, "error")
    return redirect_with_message(request, page, translate(request, N_("Dismissed. Nothing of the file was imported.")))


def run_now(request: Request) -> Response:
    """Run what is pending: at once where it is little, else in the background."""
    said = process_changes(request)
    if rows_left(database_of(request)):
        is_started = BACKGROUND_RUN.start()
        said = translate(request, N_("A run was started.") if is_started else N_("A run is under way already."))
    return redirect_with_message(request, "/imports", said or translate(request, N_("All rows are processed.")))


ROUTES: Final = (
    PageRoute("/imports/run", run_now, Permission.MANAGE_IMPORTS, ("POST",)),
    PageRoute("/imports/{import_id:uuid}/dismiss", dismiss_import, Permission.MANAGE_IMPORTS, ("POST",)),
    *(
        PageRoute(f"/imports/{{import_id:uuid}}/{name}", partial(handler, name), Permission.MANAGE_IMPORTS, methods)
        for name in CHANGES
        for handler, methods in ((show_change, ("GET",)), (change_import, ("POST",)))
    ),
)
