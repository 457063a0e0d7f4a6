"""For administrators: the users, and the log of what users did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from etl_assets.reporting.import_list import shown_name
from etl_assets.reporting.user_actions import list_action_names, read_user_actions
from etl_assets.web.labels import ACTION_LABELS
from etl_assets.web.language import N_
from etl_assets.web.page import PageRoute, database_of, read_number, render, translate
from etl_assets.web.permissions import Permission
from etl_assets.web.security.users import list_users

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

LARGEST_KEY: Final = 10**18 - 1
ROLE_NAMES: Final = {
    "viewer": N_("Viewer"),
    "sales": N_("Sales"),
    "operator": N_("Operator"),
    "admin": N_("Administrator"),
}

CHANGE_LABELS: Final = {
    "preset": N_("Format"),
    "reason": N_("Reason"),
    "rows": N_("Rows"),
    "status": N_("Status"),
    "system_order_type": N_("Counts as"),
}
"""Names of what actions change; others are shown as they were recorded."""


def show_users(request: Request) -> Response:
    """Show the users and how they are changed."""
    with database_of(request).transaction() as connection:
        users = list_users(connection)
    return render(request, "users/users.html", users=users, role_names=ROLE_NAMES)


def show_actions(request: Request) -> Response:
    """Show the log of actions, filtered by user and kind."""
    query = request.query_params
    filters = {name: query.get(name) or None for name in ("user_name", "action")}
    with database_of(request).transaction() as connection:
        page = read_user_actions(connection, **filters, below=read_number(query.get("below", ""), LARGEST_KEY))
        actions = list_action_names(connection)
    below = {"below": page.below} if page.below else {}
    older = urlencode({name: value for name, value in {**filters, **below}.items() if value})
    return render(
        request,
        "users/actions.html",
        filters=filters,
        action_options=[(name, _label(request, name)) for name in actions],
        rows=[
            {**row, "label": _label(request, row["action"]), "object": _object(row), "changes": _changes(request, row)}
            for row in page.rows
        ],
        older=f"/actions?{older}" if page.below else "",
        is_first="below" not in query,
    )


def _label(request: Request, action: str) -> str:
    """Return an action in words; one without, as it was recorded."""
    return translate(request, ACTION_LABELS[action]) if action in ACTION_LABELS else action


def _object(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the name of what an action was about, and the address of its page, if it has one."""
    if row["lead_id"] is not None:
        return {"name": row["customer"] or row["target"], "link": f"/leads/{row['lead_id']}" if row["customer"] else ""}
    if row["import_id"] is not None:
        return {"name": shown_name(row["source"]), "link": f"/imports/{row['import_id']}"}
    return {"name": row["target"], "link": ""}


def _changes(request: Request, row: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, old and new value of all that an action changed."""
    before, after = row["before"] or {}, row["after"] or {}
    names = sorted({*before, *after})
    return [
        (translate(request, CHANGE_LABELS.get(name, name)), _text(before.get(name)), _text(after.get(name)))
        for name in names
    ]


def _text(value: object) -> str:
    return "–" if value is None or value == "" else str(value)


ROUTES: Final = (
    PageRoute("/users", show_users, Permission.ADMINISTER),
    PageRoute("/actions", show_actions, Permission.ADMINISTER),
)
