"""What precedes a handler: session and user, permission, the form within its limit, and its CSRF token.

Handlers are called in Starlette's threads. The order is binding: no body is read before its sender may send it, and no
handler of a POST runs without a valid token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request

from etl_assets.user_actions import os_user_name
from etl_assets.web.page import state_of
from etl_assets.web.permissions import Role, User
from etl_assets.web.security.body_limit import FORM_BYTES, limited
from etl_assets.web.security.sessions import CSRF_FIELD, CSRF_HEADER
from etl_assets.web.state import Visit

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from etl_assets.web.page import PageRoute

FORBIDDEN: Final = 403
MAX_FILES: Final = 20
MAX_FIELDS: Final = 5000
"""Fields of a form: each ticked row of a table is one."""


class PageEndpoint:
    """ASGI application of one route."""

    def __init__(self, route: PageRoute) -> None:
        self.route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        limit = FORM_BYTES
        request = Request(scope, receive, send)
        if self.route.is_upload:
            limit = state_of(request).settings.web_upload_mb * 1024 * 1024
        visit = request.state.visit = await run_in_threadpool(_begin_visit, request)
        if self.route.permission is not None and (visit.user is None or not visit.user.can(self.route.permission)):
            raise HTTPException(FORBIDDEN)
        if request.method == "POST":
            request = Request(scope, limited(scope, receive, limit), send)
            form = request.form(max_files=MAX_FILES if self.route.is_upload else 0, max_fields=MAX_FIELDS)
            async with form as request.state.form:
                _require_csrf_token(request, visit)
                response = await run_in_threadpool(self.route.handler, request)
        else:
            response = await run_in_threadpool(self.route.handler, request)
        _keep_session(request, response, visit)
        await response(scope, receive, send)


def _begin_visit(request: Request) -> Visit:
    sessions = state_of(request).sessions
    known = sessions.read(request)
    session_id = known or sessions.new_id()
    user = User(os_user_name(), Role.ADMIN)
    return Visit(session_id, known is None, sessions.csrf_token(session_id), user, is_local=True)


def _require_csrf_token(request: Request, visit: Visit) -> None:
    token = request.headers.get(CSRF_HEADER) or request.state.form.get(CSRF_FIELD)
    is_valid = isinstance(token, str) and state_of(request).sessions.is_csrf_token(visit.session_id, token)
    if visit.is_new or not is_valid:
        raise HTTPException(FORBIDDEN)


def _keep_session(request: Request, response: Response, visit: Visit) -> None:
    if visit.is_new:
        state_of(request).sessions.write(request, response, visit.session_id)
