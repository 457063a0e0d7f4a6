"""All layouts, by platform and variant."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from etl_assets.generator.platforms.layout import Layout

MODULES: Final = (
    "etsy", "taobao", "pinduoduo", "douyin", "jd", "alibaba", "tiktok", "lazada", "shopee", "ebay", "amazon",
    "woocommerce", "webshops", "shopify_orders",
)  # fmt: skip
LAYOUTS: Final[tuple[Layout, ...]] = tuple(
    layout for module in MODULES for layout in import_module(f"etl_assets.generator.platforms.{module}").LAYOUTS
)
PLATFORMS: Final = tuple(dict.fromkeys(layout.platform for layout in LAYOUTS))


def layouts_of(platform: str, variant: str | None = None) -> tuple[Layout, ...]:
    """Return the layouts of a platform, or the one of a variant; none where there is no such one."""
    return tuple(one for one in LAYOUTS if one.platform == platform and variant in (None, one.variant))
