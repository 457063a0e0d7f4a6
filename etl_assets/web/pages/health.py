"""Page /health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from etl_assets.web.page import PageRoute, render
from etl_assets.web.permissions import Permission

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def show_health(request: Request) -> Response:
    """Show the page."""
    return render(request, "health/list.html")


ROUTES: Final = (PageRoute("/health", show_health, Permission.SEE),)
