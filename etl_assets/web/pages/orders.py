"""Pages /orders: search of orders, and one order with its versions."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException

from etl_assets.changes.values import shown_value
from etl_assets.orders.explanations import version_text
from etl_assets.orders.history import UnknownOrderError, read_order
from etl_assets.reporting.lead_choices import read_choices
from etl_assets.reporting.order_details import are_versions_slow, read_order_details, read_shop
from etl_assets.reporting.orders_list import read_orders
from etl_assets.web.language import N_
from etl_assets.web.page import PageRoute, database_of, is_fragment, read_number, render, translate
from etl_assets.web.permissions import Permission

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

MAX_ID: Final = 2**31 - 1
MAX_NUMBER: Final = 500
MAX_VERSIONS: Final = 200
"""Versions that the page shows, the newest."""
VALUE_NAMES: Final = {
    "customer_nickname": N_("Customer"),
    "latest_status": N_("Status"),
    "is_cancelled": N_("Cancelled"),
    "order_type": N_("Type in the export"),
    "system_order_type": N_("Type"),
    "amount": N_("Amount"),
    "refunded_amount": N_("Refunded"),
    "currency": N_("Currency"),
    "ordered_at": N_("Ordered"),
    "source_updated_at": N_("Changed at the platform"),
    "items": N_("Items"),
    "processes": N_("Processes"),
    "platform_order_id": N_("The platform's own id"),
}
"""Values of a version as the page names them."""


def show_orders(request: Request) -> Response:
    """Show the list; only its results to a request for a part of the page."""
    query = request.query_params
    text = query.get("q", "")[:MAX_NUMBER]
    at = query.get("page", "").replace("\0", "")[:MAX_NUMBER]
    shop_id = read_number(query.get("shop", ""), MAX_ID)
    with database_of(request).snapshot() as connection:
        page = read_orders(connection, text, shop_id, at=at or None)
        shops = read_choices(connection).shops
    return render(
        request,
        "orders/results.html" if is_fragment(request) else "orders/list.html",
        page=page,
        shops=shops,
        text=text.strip(),
        shop_id=shop_id,
        first=_list_address(text, shop_id) if at else "",
        next=_list_address(text, shop_id, page.next) if page.next else "",
    )


def _list_address(text: str, shop_id: int | None, at: str | None = None) -> str:
    fields = {"q": text, "shop": "" if shop_id is None else str(shop_id), "page": at or ""}
    return f"/orders?{urlencode({name: value for name, value in fields.items() if value})}"


def show_order(request: Request) -> Response:
    """Show one order; its versions only if the address asks for them, as finding them reads all raw rows."""
    shop_id, order_id = request.path_params["shop_id"], request.path_params["order_id"]
    if shop_id > MAX_ID or len(order_id) > MAX_NUMBER or "\0" in order_id:
        raise HTTPException(404)
    database = database_of(request)
    with database.snapshot() as connection:
        shop = read_shop(connection, shop_id)
        order = read_order_details(connection, shop_id, order_id)
        is_slow = are_versions_slow(connection)
    if shop is None:
        raise HTTPException(404)
    versions = None
    if "versions" in request.query_params or order is None:
        try:
            found = read_order(database, shop["shop_name"], order_id, shop["platform"])
        except UnknownOrderError:
            found = None
        if found is None and order is None:
            raise HTTPException(404)
        versions = _versions(request, found["versions"], order) if found else []
    return render(
        request,
        "orders/versions.html" if is_fragment(request) else "orders/order.html",
        order_id=order_id,
        order=order,
        source=file_name(order["source"]) if order and order["source"] else "",
        counting=order["raw_id"] if order else None,
        versions=versions,
        is_slow=is_slow,
        versions_address=f"/orders/{shop_id}/{quote(order_id, safe='')}?versions=1",
    )


def _versions(
    request: Request, versions: list[dict[str, Any]], order: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Return what the page shows of each version, the newest first."""
    counting = order["raw_id"] if order else None
    return [
        {
            "raw_id": one["raw_id"],
            "imported_at": one["imported_at"],
            "file": file_name(one["source"]),
            "line": one["line"],
            "text": version_text(one, counting).translated(lambda template: translate(request, template)),
            "changed": [
                (VALUE_NAMES.get(name, name), _shown(old), _shown(new)) for name, (old, new) in one["changed"].items()
            ],
        }
        for one in versions[-MAX_VERSIONS:][::-1]
    ]


def _shown(value: object) -> str:
    return "–" if value is None else str(shown_value(value))


def file_name(source: str) -> str:
    """Return the name of the file of an import; other sources as they are."""
    return PureWindowsPath(source).name if "\\" in source else PurePosixPath(source).name or source


ROUTES: Final = (
    PageRoute("/orders", show_orders, Permission.SEE),
    PageRoute("/orders/{shop_id:int}/{order_id:path}", show_order, Permission.SEE),
)
