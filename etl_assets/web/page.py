"""Tools of page modules: the route type, rendering, and what a handler may ask of a request.

A page module has handlers, plain functions from a request to a response, and ends with
`ROUTES: Final = (PageRoute(...), …)`; `app` gathers them. Handlers run in a thread, so they may wait for the database;
their SQL is in `reporting` and in the packages that own the rules. What precedes a handler (user, permission, form,
CSRF token) is in `endpoint`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast
from urllib.parse import quote, urlsplit
from zoneinfo import ZoneInfo

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from etl_assets.web.language import LANGUAGE_NAMES, N_, language_of

if TYPE_CHECKING:
    from starlette.datastructures import FormData

    from etl_assets.database.database import Database
    from etl_assets.settings import Settings
    from etl_assets.web.permissions import Permission, User
    from etl_assets.web.state import Visit, WebState

Handler = Callable[[Request], Response]
MessageKind = Literal["success", "error", "info"]

NAVIGATION: Final = (
    ("/leads", N_("Leads")),
    ("/orders", N_("Orders")),
    ("/bad-rows", N_("Bad rows")),
    ("/imports", N_("Imports")),
    ("/health", N_("Health")),
)
"""Entries of the top bar."""
MESSAGE_COOKIE: Final = "etl_message"
MESSAGE_SECONDS: Final = 60
_SAFE: Final = ":/%#?=@[]!$&'()*+,;"
"""Characters of an address that a header holds as they are."""


@dataclass(frozen=True)
class PageRoute:
    """Route of a page.

    Attributes:
        path: as in Starlette: `/leads/{lead_id:uuid}`.
        handler: called with the request, in a thread.
        permission: the permission that is needed; None for a page without log-in.
        methods: `("GET",)` or `("POST",)`; a POST has passed the check of its CSRF token.
        is_upload: true if the form may carry files of up to `ETL_WEB_UPLOAD_MB`.
    """

    path: str
    handler: Handler
    permission: Permission | None
    methods: tuple[str, ...] = ("GET",)
    is_upload: bool = False


def render(request: Request, template: str, *, status: int = 200, **values: object) -> Response:
    """Render a template of `templates/` in the user's language."""
    state = state_of(request)
    visit = visit_of(request)
    message = _take_message(request)
    language = language_of(request)
    html = state.environments[language].get_template(template).render(
        {
            "request": request,
            "path": request.url.path,
            "user": visit.user if visit else None,
            "is_local": visit is not None and visit.is_local,
            "can_log_out": visit is not None and visit.can_log_out,
            "csrf_token": visit.csrf_token if visit else "",
            "language": language,
            "language_names": LANGUAGE_NAMES,
            "navigation": NAVIGATION,
            "message": message,
            **values,
        }
    )  # fmt: skip
    response = HTMLResponse(html, status)
    response.headers["Vary"] = "Cookie, Accept-Language, HX-Request"
    if message is not None:
        response.delete_cookie(MESSAGE_COOKIE, httponly=True, samesite="lax")
    return response


def redirect_with_message(request: Request, to: str, message: str, kind: MessageKind = "success") -> Response:
    """Redirect to a path of this page, which shows the message (translated already) once."""
    response = redirect(request, to)
    value = state_of(request).message_signer.dumps({"text": message[:1000], "kind": kind})
    response.set_cookie(
        MESSAGE_COOKIE,
        value if isinstance(value, str) else value.decode(),
        max_age=MESSAGE_SECONDS,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


def redirect(request: Request, to: str) -> Response:
    """Redirect to a path of this page: as a full page load, also from a fragment request."""
    target = quote(local_path(to), safe=_SAFE)
    if is_fragment(request):
        return Response(status_code=204, headers={"HX-Redirect": target})
    return RedirectResponse(target, status_code=303)


def local_path(to: str, otherwise: str = "/") -> str:
    """Return a path if it leads to this page only; else `otherwise`: forms and links may name any address."""
    try:
        parts = urlsplit(to)
    except ValueError:  # such as //[
        return otherwise
    is_local = not parts.scheme and not parts.netloc and to.startswith("/") and to[1:2] not in {"/", "\\"}
    return to if is_local and to.isprintable() else otherwise


def translate(request: Request, text: str, **values: object) -> str:
    """Return a text in the user's language, with values for its `%(name)s`."""
    translated = state_of(request).translations[language_of(request)].gettext(text)
    return translated % values if values else translated


def translate_count(request: Request, one: str, many: str, count: int, **values: object) -> str:
    """Return the singular or plural of a text in the user's language; `%(count)s` is the number."""
    translated = state_of(request).translations[language_of(request)].ngettext(one, many, count)
    return translated % {"count": f"{count:,}", **values}


def is_fragment(request: Request) -> bool:
    """Return whether htmx asks for a part of a page; links it follows for history want the whole."""
    headers = request.headers
    return headers.get("hx-request") == "true" and headers.get("hx-history-restore-request") != "true"


def form_of(request: Request) -> FormData:
    """Return the form of a POST."""
    return cast("FormData", request.state.form)


def form_text(request: Request, name: str, default: str = "") -> str:
    """Return a text field of the form, trimmed; a file under this name counts as absent."""
    value = form_of(request).get(name, default)
    return value.strip() if isinstance(value, str) else default


def read_number(text: str, most: int) -> int | None:
    """Read a number from 0 to `most` of an address or a form; None for anything else."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(most))
    return int(text) if is_number and int(text) <= most else None


def user_of(request: Request) -> User:
    """Return the user of a request that needed a permission."""
    visit = visit_of(request)
    if visit is None or visit.user is None:
        msg = "The route of this handler needs no permission, so it has no user."
        raise LookupError(msg)
    return visit.user


def database_of(request: Request) -> Database:
    """Return the database of the pipeline."""
    return state_of(request).database


def settings_of(request: Request) -> Settings:
    """Return the settings."""
    return state_of(request).settings


def timezone_of(request: Request) -> ZoneInfo:
    """Return the time zone in which pages and exports show times."""
    return ZoneInfo(settings_of(request).web_timezone)


def state_of(request: Request) -> WebState:
    """Return the state of the application."""
    return cast("WebState", request.app.state.web)


def visit_of(request: Request) -> Visit | None:
    """Return session and user of a request; None for a path without a page."""
    return cast("Visit | None", getattr(request.state, "visit", None))


def _take_message(request: Request) -> dict[str, Any] | None:
    """Return the message of the redirect before, unless only a part of a page is asked for."""
    cookie = request.cookies.get(MESSAGE_COOKIE)
    if cookie is None or is_fragment(request):
        return None
    is_valid, value = state_of(request).message_signer.loads_unsafe(cookie, max_age=MESSAGE_SECONDS)
    return cast("dict[str, Any]", value) if is_valid else None
