"""Page /health: what needs somebody, the state of assets, checks and shops; order types and shops are set there.

What needs somebody is decided in `health.needs`, what may be set in `orders.order_types` and `shop.configure`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from zoneinfo import available_timezones

from starlette.exceptions import HTTPException

from etl_assets.health.needs import SENTENCES, find_needs
from etl_assets.health.page import Links
from etl_assets.health.rhythm import shop_rhythms
from etl_assets.orders.order_types import (
    SYSTEM_ORDER_TYPES,
    OrderTypeError,
    list_order_types,
    set_order_types,
    unmapped_order_types,
)
from etl_assets.quality.checks import CHECKS
from etl_assets.shop.configure import (
    SETTINGS,
    ShopSettingError,
    UnknownShopError,
    list_shops,
    read_shop,
    set_shop,
    valid_settings,
)
from etl_assets.texts import Text
from etl_assets.web.labels import FAULT_TEXTS
from etl_assets.web.page import (
    PageRoute,
    database_of,
    form_text,
    redirect_with_message,
    render,
    settings_of,
    translate,
    translate_count,
    user_of,
)
from etl_assets.web.permissions import Permission

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from etl_assets.health.needs import HealthState, Need
    from etl_assets.health.records import CheckResult

SHOPS_SHOWN: Final = 200
TYPES_SHOWN: Final = 200
_DESCRIPTIONS: Final[dict[tuple[str, str], str]] = {(check.asset, check.name): check.description for check in CHECKS}


def show_health(request: Request) -> Response:
    """Show the page."""
    state = _read_health(request)
    needs = find_needs(state)
    checks = sorted(state.records.checks, key=lambda one: one.passed) if state.records else []
    return render(
        request,
        "health/list.html",
        state=state,
        headline=_headline(request, needs),
        needs=[_shown_need(request, need) for need in needs],
        is_error=any(need.severity == "error" for need in needs),
        checks=[_shown_check(one) for one in checks],
        checks_of=_checks_by_asset(checks),
        shops=_shops(request, state),
        mappings=sorted(list_order_types(database_of(request)).items())[:TYPES_SHOWN],
        unmapped=unmapped_order_types(database_of(request)),
        system_types=SYSTEM_ORDER_TYPES,
    )


def set_order_type(request: Request) -> Response:
    """Map an order type."""
    raw, system = form_text(request, "order_type"), form_text(request, "system_type")
    try:
        stored = set_order_types(database_of(request), {raw: system}, user_name=user_of(request).name)
    except OrderTypeError as error:
        return redirect_with_message(request, "/health", str(error), kind="error")
    name, kind = next(iter(stored.items()))
    said = translate(
        request, "%(name)s counts as %(kind)s in new orders; a full refresh applies it to stored ones.",
        name=name, kind=kind,
    )  # fmt: skip
    return redirect_with_message(request, "/health", said)


def show_shop(request: Request) -> Response:
    """Show the form of a shop's settings."""
    try:
        shop = read_shop(database_of(request), *_shop_key(request))
    except UnknownShopError:
        raise HTTPException(404) from None
    return _render_shop(request, shop, {}, {})


def save_shop(request: Request) -> Response:
    """Change settings of a shop."""
    name, platform = _shop_key(request)
    typed = {column: form_text(request, column) for column in SETTINGS}
    try:
        settings = valid_settings(typed)
    except ShopSettingError as error:
        shop = read_shop(database_of(request), name, platform)
        return _render_shop(request, shop, typed, {error.setting: str(error)})
    change = set_shop(database_of(request), name, platform, settings, user_name=user_of(request).name)
    if not change.before:
        said = translate(request, "The shop is as it was.")
    elif change.orders:
        said = translate_count(
            request,
            "Saved. %(count)s order is read again in the next run.",
            "Saved. %(count)s orders are read again in the next run.",
            change.orders,
        )
    else:
        said = translate(request, "Saved.")
    return redirect_with_message(request, "/health", said)


def _shop_key(request: Request) -> tuple[str, str]:
    """Return name and platform of the shop that the path names."""
    return request.path_params["shop"], request.path_params["platform"]


def _render_shop(request: Request, shop: dict[str, Any], typed: dict[str, str], errors: dict[str, str]) -> Response:
    return render(
        request,
        "health/shop.html",
        status=422 if errors else 200,
        shop=shop,
        values={column: typed.get(column, shop[column]) for column in SETTINGS},
        errors=errors,
        timezones=[(zone, zone) for zone in sorted(available_timezones() | {shop["timezone"]})],
    )


def _read_health(request: Request) -> HealthState:
    from etl_assets.orchestration.health import read_health  # noqa: PLC0415  # Dagster takes seconds to import
    from etl_assets.orchestration.instance import open_instance  # noqa: PLC0415  # as above

    with open_instance(settings_of(request)) as instance:
        return read_health(database_of(request), instance)


def _headline(request: Request, needs: list[Need]) -> str:
    if not needs:
        return translate(request, "Nothing needs anybody")
    return translate_count(request, "%(count)s thing needs somebody", "%(count)s things need somebody", len(needs))


def _shown_need(request: Request, need: Need) -> dict[str, Any]:
    """Return a need in the user's language, with the address of the page where it is dealt with."""
    links = Links(web_url=None, public_url=settings_of(request).public_url)
    return {
        "text": translate(request, SENTENCES[need.kind], **need.values),
        "detail": _shown_detail(request, need.detail),
        "is_error": need.severity == "error",
        "since": need.since,
        "link": need.web_path,
        "dagster": links.dagster(need.dagster_path),
    }


def _shown_detail(request: Request, detail: str | Text | None) -> str | None:
    """Return a detail in the user's language; codes of reasons in the words of the page of bad rows."""

    def worded(template: str) -> str:
        return translate(request, FAULT_TEXTS[template].label if template in FAULT_TEXTS else template)

    return detail.translated(worded) if isinstance(detail, Text) else detail


def _shown_check(result: CheckResult) -> dict[str, Any]:
    return {"result": result, "description": _DESCRIPTIONS.get((result.asset, result.check), "")}


def _checks_by_asset(checks: list[CheckResult]) -> dict[str, dict[str, int]]:
    """Return how many checks of each asset passed, warn and fail."""
    found: dict[str, dict[str, int]] = {}
    for one in checks:
        counts = found.setdefault(one.asset, {"passed": 0, "warn": 0, "error": 0})
        counts["passed" if one.passed else one.severity] += 1
    return found


def _shops(request: Request, state: HealthState) -> list[dict[str, Any]]:
    """Return the shops with their settings and rhythm, late ones first."""
    if state.tables is None:
        return []
    rhythms = shop_rhythms(state.tables.arrivals, state.now.date()).rows(named=True)
    by_shop = {(row["platform"], row["shop_name"]): row for row in rhythms}
    order = {key: place for place, key in enumerate(by_shop)}
    shops = [{**shop, "key": (shop["platform"], shop["shop_name"])} for shop in list_shops(database_of(request))]
    shops.sort(key=lambda shop: order.get(shop["key"], len(order)))
    return [{**shop, "rhythm": by_shop.get(shop["key"])} for shop in shops[:SHOPS_SHOWN]]


ROUTES: Final = (
    PageRoute("/health", show_health, Permission.SEE),
    PageRoute("/health/order-types", set_order_type, Permission.CONFIGURE, methods=("POST",)),
    PageRoute("/health/shops/{platform}/{shop:path}", show_shop, Permission.CONFIGURE),
    PageRoute("/health/shops/{platform}/{shop:path}", save_shop, Permission.CONFIGURE, methods=("POST",)),
)
