"""What precedes a handler: session and user, permission, the form within its limit, and its CSRF token.

Handlers are called in Starlette's threads. The order is binding: no body is read before its sender may send it, and no
handler of a POST runs without a valid token.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from etl_assets.errors import EtlError
from etl_assets.ui.guard import is_foreign
from etl_assets.user_actions import os_user_name
from etl_assets.web.errors import failed
from etl_assets.web.language import N_
from etl_assets.web.page import redirect, state_of, translate, visit_of
from etl_assets.web.permissions import Role, User
from etl_assets.web.security.body_limit import FORM_BYTES, limited, require_utf8
from etl_assets.web.security.local import is_local
from etl_assets.web.security.proxies import USER_OF_PROXY
from etl_assets.web.security.sessions import CSRF_FIELD, CSRF_HEADER
from etl_assets.web.security.users import user_of_name, user_of_session
from etl_assets.web.state import Visit

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from etl_assets.web.page import PageRoute

MAX_FILES: Final = 20
MAX_FIELDS: Final = 5000
"""Fields of a form: each ticked row of a table is one."""

NO_USERS: Final = N_("No users are set up, so this page answers on its own machine only: etl-assets users add.")
UNKNOWN_USER: Final = N_("The proxy reports the user %(name)s, who is not set up here: etl-assets users add.")


class PageEndpoint:
    """ASGI application of one route. NUL, which PostgreSQL's texts can't hold, is refused here for all of them."""

    def __init__(self, route: PageRoute) -> None:
        self.route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        try:
            response = await self._respond(scope, receive, send)
        except (HTTPException, EtlError):
            raise  # the application has pages for them
        except Exception as error:  # noqa: BLE001  # Starlette would raise it again, and the server log its text
            response = failed(Request(scope, receive, send), error)
        await response(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> Response:
        request = Request(scope, receive, send)
        request.state.visit = visit = await run_in_threadpool(_begin_visit, request)
        if self.route.permission is None or (visit.user and visit.user.can(self.route.permission)):
            response = await self._answer(scope, receive, send)
        elif visit.user is None:
            response = _to_log_in(request)
        else:
            raise HTTPException(HTTPStatus.FORBIDDEN)
        _keep_session(request, response)
        return response

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> Response:
        request = Request(scope, receive, send)
        if "%00" in request.url.query or "\0" in request.url.path:
            raise HTTPException(HTTPStatus.BAD_REQUEST)
        if request.method != "POST":
            return await run_in_threadpool(self.route.handler, request)
        if is_foreign(request.headers):
            raise HTTPException(HTTPStatus.FORBIDDEN)
        require_utf8(request.headers)
        limit = state_of(request).settings.web_upload_mb * 1024 * 1024 if self.route.is_upload else FORM_BYTES
        request = Request(scope, limited(scope, receive, limit), send)
        parsed = request.form(max_files=MAX_FILES if self.route.is_upload else 0, max_fields=MAX_FIELDS)
        async with parsed as form:
            request.state.form = form
            _require_csrf_token(request)
            if any("\0" in value for _, value in form.multi_items() if isinstance(value, str)):
                raise HTTPException(HTTPStatus.BAD_REQUEST)
            return await run_in_threadpool(self.route.handler, request)


def _begin_visit(request: Request) -> Visit:
    """Return session and user of a request.

    Raises:
        HTTPException: 403 for a proxy's user who is unknown, and without users for requests of other machines.
    """
    state = state_of(request)
    known = state.sessions.read(request)
    session_id = known or state.sessions.new_id()
    visit = Visit(session_id, known is None, state.sessions.csrf_token(session_id))
    reported = request.scope.get(USER_OF_PROXY)
    with state.database.transaction() as connection:
        found = user_of_name(connection, reported) if reported else user_of_session(connection, known)
    if found.has_users:
        if reported and found.user is None:
            raise HTTPException(HTTPStatus.FORBIDDEN, translate(request, UNKNOWN_USER, name=reported))
        return replace(visit, user=found.user, can_log_out=not reported)
    if not is_local(request):
        raise HTTPException(HTTPStatus.FORBIDDEN, translate(request, NO_USERS))
    return replace(visit, user=User(os_user_name(), Role.ADMIN), is_local=True)


def _to_log_in(request: Request) -> Response:
    query = f"?{request.url.query}" if request.url.query else ""
    is_page = request.method in {"GET", "HEAD"} and request.url.path != "/"
    return redirect(request, f"/login?{urlencode({'next': request.url.path + query})}" if is_page else "/login")


def _require_csrf_token(request: Request) -> None:
    token = request.headers.get(CSRF_HEADER) or request.state.form.get(CSRF_FIELD)
    visit = visit_of(request)
    is_valid = (
        visit is not None
        and not visit.is_new
        and isinstance(token, str)
        and state_of(request).sessions.is_csrf_token(visit.session_id, token)
    )
    if not is_valid:
        raise HTTPException(HTTPStatus.FORBIDDEN)


def _keep_session(request: Request, response: Response) -> None:
    visit = visit_of(request)
    if visit is not None and visit.is_new:
        state_of(request).sessions.write(request, response, visit.session_id)
