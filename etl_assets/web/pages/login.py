"""Log-in and log-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from etl_assets.user_actions import record_user_action
from etl_assets.web.page import (
    PageRoute,
    database_of,
    form_of,
    form_text,
    local_path,
    redirect,
    render,
    settings_of,
    state_of,
    visit_of,
)
from etl_assets.web.security.log_in import WINDOW_SECONDS, Attempt, log_in
from etl_assets.web.security.users import end_session
from etl_assets.web.state import Visit

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

REFUSED: Final = 422
LIMITED: Final = 429


def show_log_in(request: Request) -> Response:
    """Show the form; a user who is logged in goes on."""
    next_path = local_path(request.query_params.get("next", "/"))
    visit = visit_of(request)
    if visit is not None and visit.user is not None:
        return redirect(request, next_path)
    return render(request, "login.html", next=next_path, name="", problem=None)


def log_user_in(request: Request) -> Response:
    """Log in, or show the form again; a limited attempt is not looked at."""
    visit = visit_of(request)
    state = state_of(request)
    next_path = local_path(form_text(request, "next", "/"))
    name, password = form_text(request, "name"), form_of(request).get("password", "")
    attempt = Attempt(
        name, password if isinstance(password, str) else "", request.client.host if request.client else ""
    )
    new_session = state.sessions.new_id()
    outcome = log_in(
        database_of(request),
        attempt,
        key=state.key,
        sessions=(visit.session_id if visit else "", new_session),
        hours=settings_of(request).web_session_hours,
    )
    if outcome == "logged in":
        request.state.visit = Visit(new_session, is_new=True, csrf_token=state.sessions.csrf_token(new_session))
        return redirect(request, next_path)
    status = REFUSED if outcome == "refused" else LIMITED
    response = render(request, "login.html", status=status, next=next_path, name=name, problem=outcome)
    if outcome == "limited":
        response.headers["Retry-After"] = str(WINDOW_SECONDS)
    return response


def log_user_out(request: Request) -> Response:
    """End the session; the browser gets a new one."""
    visit = visit_of(request)
    sessions = state_of(request).sessions
    if visit is not None and visit.user is not None:
        with database_of(request).transaction() as connection:
            end_session(connection, visit.session_id)
            record_user_action(connection, "log out", visit.user.name, {}, {}, user_name=visit.user.name)
    new_session = sessions.new_id()
    request.state.visit = Visit(new_session, is_new=True, csrf_token=sessions.csrf_token(new_session))
    return redirect(request, "/login")


ROUTES: Final = (
    PageRoute("/login", show_log_in, None),
    PageRoute("/login", log_user_in, None, methods=("POST",)),
    PageRoute("/logout", log_user_out, None, methods=("POST",)),
)
