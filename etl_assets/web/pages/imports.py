"""Page /imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from etl_assets.web.page import PageRoute, render
from etl_assets.web.permissions import Permission

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def show_imports(request: Request) -> Response:
    """Show the page."""
    return render(request, "imports/list.html")


ROUTES: Final = (PageRoute("/imports", show_imports, Permission.SEE),)
