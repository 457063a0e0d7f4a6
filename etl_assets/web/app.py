"""The web application: gathers the routes of all page modules, and wraps them into the middleware in order."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Final

from itsdangerous import URLSafeTimedSerializer
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from etl_assets.errors import EtlError
from etl_assets.ui.guard import allowed_hosts
from etl_assets.web import pages
from etl_assets.web.endpoint import PageEndpoint
from etl_assets.web.errors import failed, refused
from etl_assets.web.language import LANGUAGES, read_translations
from etl_assets.web.security.headers import STATIC_PATH, SecurityHeaders
from etl_assets.web.security.keys import signing_key
from etl_assets.web.security.proxies import TrustedProxies, parse_networks
from etl_assets.web.security.sessions import Sessions
from etl_assets.web.state import WebState
from etl_assets.web.templating import STATIC_FOLDER, environment

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Scope

    from etl_assets.database.database import Database
    from etl_assets.settings import Settings
    from etl_assets.web.page import PageRoute

STATIC_SECONDS: Final = 365 * 24 * 3600
"""Static files may be kept by browsers: their addresses change with their content."""


def create_app(settings: Settings, database: Database) -> Starlette:
    """Return the application on a migrated database.

    Raises:
        EtlError: ETL_WEB_URL names no host, or ETL_WEB_TRUSTED_PROXIES is no list of addresses.
    """
    hosts = allowed_hosts(settings.web_url, "ETL_WEB_URL")
    parse_networks(settings.web_trusted_proxies)  # a mistake is reported at the start, not by the first request
    app = Starlette(
        routes=[
            *(Route(one.path, PageEndpoint(one), methods=list(one.methods)) for one in page_routes()),
            Mount(STATIC_PATH, _StaticFiles(directory=STATIC_FOLDER), name="static"),
        ],
        middleware=[
            Middleware(TrustedProxies, settings=settings),
            Middleware(SecurityHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False),
        ],
        exception_handlers={HTTPException: refused, EtlError: failed, Exception: failed},
    )
    app.state.web = _state(settings, database)
    return app


def page_routes() -> list[PageRoute]:
    """Return the routes of all modules of `pages`."""
    names = (module.name for module in pkgutil.iter_modules(pages.__path__, f"{pages.__name__}."))
    return [route for name in names for route in import_module(name).ROUTES]


def _state(settings: Settings, database: Database) -> WebState:
    key = signing_key(database)
    return WebState(
        settings=settings,
        database=database,
        key=key,
        sessions=Sessions(key, hours=settings.web_session_hours),
        message_signer=URLSafeTimedSerializer(key, salt="message"),
        environments={language: environment(language, settings.web_timezone) for language in LANGUAGES},
        translations={language: read_translations(language) for language in LANGUAGES},
    )


class _StaticFiles(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = f"public, max-age={STATIC_SECONDS}, immutable"
        return response
