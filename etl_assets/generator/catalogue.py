"""Products, processes and shops of generated orders: data and its tables only."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl


class Product(NamedTuple):
    """Product of a shop; the price is in hundredths of the shop's currency."""

    name: str
    sku: str
    cents: int
    variants: tuple[str, ...]


class Shop(NamedTuple):
    """Webshop on one platform."""

    platform: str
    name: str
    currency: str
    timezone: str


CHINESE_PRODUCTS: Final = (
    Product(
        "定制马克杯",
        "MUG-350",
        2900,
        ("颜色分类:白色;规格:350ml", "颜色分类:黑色;规格:350ml", "颜色分类:白色;规格:450ml"),
    ),
    Product(
        "刺绣帽子", "CAP-EMB", 4500, ("颜色分类:藏青;尺码:均码", "颜色分类:卡其色;尺码:均码", "颜色分类:黑色;尺码:均码")
    ),
    Product(
        "印花T恤",
        "TEE-PRT",
        5900,
        ("颜色分类:白色;尺码:M", "颜色分类:白色;尺码:L", "颜色分类:黑色;尺码:XL", "颜色分类:灰色;尺码:L"),
    ),
    Product("激光刻字木牌", "SIGN-LSR", 3600, ("材质:胡桃木;尺寸:20x10cm", "材质:榉木;尺寸:30x15cm")),
    Product("定制帆布袋", "TOTE-CAN", 1980, ("颜色分类:本白;尺码:大号", "颜色分类:黑色;尺码:小号")),
    Product(
        "刺绣工作服", "WORK-EMB", 12800, ("颜色分类:深蓝;尺码:L", "颜色分类:深蓝;尺码:XL", "颜色分类:灰色;尺码:XXL")
    ),
    Product("保温杯刻字", "CUP-ENG", 6900, ("颜色分类:银色;规格:500ml", "颜色分类:墨绿;规格:500ml")),
    Product("钥匙扣定制", "KEY-MET", 880, ("材质:不锈钢", "材质:亚克力")),
    Product("班服卫衣", "HOOD-CLS", 9900, ("颜色分类:红色;尺码:M", "颜色分类:红色;尺码:L", "颜色分类:宝蓝;尺码:XL")),
    Product("照片抱枕", "PIL-PHO", 3200, ("规格:45x45cm", "规格:50x50cm;含芯:是")),
)
ENGLISH_PRODUCTS: Final = (
    Product("Embroidered Cap", "CAP-EMB", 2400, ("Navy / One size", "Khaki / One size", "Black / One size")),
    Product("Engraved Mug", "MUG-ENG", 1650, ("White / 350 ml", "Black / 350 ml", "White / 450 ml")),
    Product("Printed T-shirt", "TEE-PRT", 2250, ("White / M", "White / L", "Black / XL", "Heather grey / L")),
    Product("Walnut Name Sign", "SIGN-WAL", 3900, ("20 x 10 cm", "30 x 15 cm")),
    Product("Canvas Tote Bag", "TOTE-CAN", 1400, ("Natural / Large", "Black / Small")),
    Product("Embroidered Work Jacket", "JKT-EMB", 6800, ("Navy / L", "Navy / XL", "Grey / XXL")),
    Product("Engraved Flask", "FLSK-ENG", 3200, ("Steel / 500 ml", "Forest green / 500 ml")),
    Product("Acrylic Key Ring", "KEY-ACR", 550, ("Round", "Heart")),
    Product('12" Photo Cushion', "CUSH-12", 2800, ("Linen", "Velvet")),
    Product("Dog Bandana (personalised)", "DOG-BAN", 1290, ("Red / S", "Red / M", "Blue / L")),
)

CHINESE_PROCESSES: Final = ("刺绣", "丝印", "烫画", "激光刻字", "热转印", "数码印")
CHINESE_POSITIONS: Final = ("左胸", "后背", "右袖", "帽前", "杯身", "正面")
ENGLISH_PROCESSES: Final = ("embroidery", "screen print", "engraving", "heat transfer", "DTF print", "laser")
ENGLISH_POSITIONS: Final = ("left chest", "back", "right sleeve", "front", "side", "lid")

GENERIC_CHINESE_SHOPS: Final = (
    Shop("1688", "义乌源头定制厂", "CNY", "Asia/Shanghai"),
    Shop("douyin", "山茶手作", "CNY", "Asia/Shanghai"),
    Shop("pinduoduo", "班服工坊", "CNY", "Asia/Shanghai"),
)
GENERIC_ENGLISH_SHOPS: Final = (
    Shop("etsy", "Maple & Thread", "USD", "America/New_York"),
    Shop("amazon", "Kiln Works", "GBP", "Europe/London"),
    Shop("webshop", "Atelier Stickerei", "EUR", "Europe/Berlin"),
)
_BENCHMARK_PLACES: Final = ("Harbour", "Maple", "North", "Kiln", "Cedar", "山茶", "义乌", "青禾")
_BENCHMARK_TRADES: Final = (
    ("etsy", "Stitch Works", "USD", "America/New_York"),
    ("shopify", "Print Room", "EUR", "Europe/Berlin"),
    ("amazon", "Engravers", "GBP", "Europe/London"),
    ("taobao", "定制店", "CNY", "Asia/Shanghai"),
    ("1688", "刺绣厂", "CNY", "Asia/Shanghai"),
)
BENCHMARK_SHOPS: Final = tuple(
    Shop(platform, f"{place} {trade}", currency, timezone)
    for place in _BENCHMARK_PLACES
    for platform, trade, currency, timezone in _BENCHMARK_TRADES
)


def product_table(products: tuple[Product, ...]) -> pl.DataFrame:
    """Return a row per product and variant: ``name, variant, sku`` (text, numbered by variant), ``cents`` (Int64)."""
    rows = [
        (product.name, variant, f"{product.sku}-{number:02d}", product.cents)
        for product in products
        for number, variant in enumerate(product.variants, start=1)
    ]
    return pl.DataFrame(
        rows, schema={"name": pl.String, "variant": pl.String, "sku": pl.String, "cents": pl.Int64}, orient="row"
    )


def shop_table(shops: tuple[Shop, ...]) -> pl.DataFrame:
    """Return a row per shop: ``platform, shop, currency, timezone`` (text)."""
    columns = ("platform", "shop", "currency", "timezone")
    return pl.DataFrame(list(shops), schema=dict.fromkeys(columns, pl.String), orient="row")
