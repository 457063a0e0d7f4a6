"""Page /bad-rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from etl_assets.web.page import PageRoute, render
from etl_assets.web.permissions import Permission

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def show_bad_rows(request: Request) -> Response:
    """Show the page."""
    return render(request, "bad_rows/list.html")


ROUTES: Final = (PageRoute("/bad-rows", show_bad_rows, Permission.SEE),)
