"""Error pages: refusals and failures as a page of the site, or as a line of text for a fragment."""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException

from etl_assets.database.database import sqlstate_of
from etl_assets.errors import (
    DatabaseUnavailableError,
    EtlError,
    FolderError,
    MissingKeyError,
    NotMigratedError,
    PanicError,
    ReadError,
)
from etl_assets.web.language import N_
from etl_assets.web.page import is_fragment, render

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_LOG: Final = logging.getLogger("etl_assets.web")

OF_THE_SERVER: Final = (FolderError, MissingKeyError, NotMigratedError, PanicError, ReadError)
"""Errors about the state of the server; all others are about what the request asks for."""

TEXTS: Final = {
    400: (N_("This request can't be read"), N_("Go back and try again.")),
    403: (
        N_("This is not allowed"),
        N_("Your role does not include it, or the page was open for too long: load it again and repeat the action."),
    ),
    404: (N_("There is no such page"), N_("The address is wrong, or what it showed no longer exists.")),
    405: (N_("This is not allowed"), N_("The address does not accept this kind of request.")),
    413: (N_("That is too large"), N_("The file or form exceeds the limit of this server.")),
    422: (N_("This can't be done"), N_("Go back and try again.")),
    429: (N_("Too many attempts"), N_("Wait a quarter of an hour, then try again.")),
    500: (
        N_("Something went wrong"),
        N_(
            "Look whether it was done before you repeat it. The server's log has the details;"
            " tell your administrator when it happened."
        ),
    ),
    503: (N_("The database does not answer"), N_("Try again in a minute, and tell your administrator if it persists.")),
}
"""Heading and advice by status."""


def refused(request: Request, error: Exception) -> Response:
    """Return the page of an `HTTPException`; its detail, if it has one of its own, is the advice."""
    if not isinstance(error, HTTPException):
        raise error
    standard = HTTPStatus(error.status_code).phrase
    response = _error_page(request, error.status_code, "" if error.detail == standard else error.detail)
    response.headers.update(error.headers or {})
    return response


def failed(request: Request, error: Exception) -> Response:
    """Return the page of an error that the handler left to this: its text, or for an unforeseen one, the log has it.

    Hazard: the text of a driver's error quotes values of rows, so the log gets its kind and its frames only.
    """
    if isinstance(error, DatabaseUnavailableError):
        _LOG.error("%s", error)
        return _error_page(request, 503, "")
    if isinstance(error, EtlError):
        status = 500 if isinstance(error, OF_THE_SERVER) else 422
        _LOG.log(logging.ERROR if status == 500 else logging.INFO, "%s %s: %s", request.method, request.url.path, error)  # noqa: PLR2004
        return _error_page(request, status, str(error))
    kind, frames = type(error).__name__, "".join(traceback.format_tb(error.__traceback__))
    state = sqlstate_of(error) or "-"
    _LOG.error("%s %s failed: %s, SQLSTATE %s\n%s", request.method, request.url.path, kind, state, frames)
    return _error_page(request, 500, "")


def _error_page(request: Request, status: int, detail: str) -> Response:
    heading, advice = TEXTS.get(status, TEXTS[500 if status >= 500 else 400])  # noqa: PLR2004
    template = "error_fragment.html" if is_fragment(request) else "error.html"
    return render(request, template, status=status, heading=heading, advice=advice, detail=detail)
