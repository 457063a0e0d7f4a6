"""Pages that belong to no part of the data: the first page, and the choice of language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from etl_assets.web.language import COOKIE, COOKIE_SECONDS, LANGUAGES
from etl_assets.web.page import PageRoute, form_text, redirect
from etl_assets.web.permissions import Permission

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def show_first_page(request: Request) -> Response:
    """Redirect to the leads."""
    return redirect(request, "/leads")


def set_language(request: Request) -> Response:
    """Keep the chosen language in a cookie, and return to the page."""
    response = redirect(request, form_text(request, "next", "/"))
    language = form_text(request, "language")
    if language in LANGUAGES:
        response.set_cookie(
            COOKIE,
            language,
            max_age=COOKIE_SECONDS,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
    return response


ROUTES: Final = (
    PageRoute("/", show_first_page, Permission.SEE),
    PageRoute("/language", set_language, None, methods=("POST",)),
)
