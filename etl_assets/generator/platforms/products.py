"""Products and wishes of generated orders by language: made up, with the punctuation that real titles have.

Titles hold commas, quotes and line breaks on purpose: they are what breaks a reader. Data and their tables only.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl


class Options(NamedTuple):
    """Up to two labelled choices of a product, such as colour and size; empty texts stand for none."""

    label: str
    value: str
    label_2: str = ""
    value_2: str = ""


class Goods(NamedTuple):
    """Product of a shop; the price is in hundredths of the catalogue's unit, scaled by the market."""

    name: str
    sku: str
    price: int
    options: tuple[Options, ...]


class Assortment(NamedTuple):
    """Goods of shops of one language, and texts of their buyers."""

    goods: tuple[Goods, ...]
    personalisations: tuple[str, ...]
    buyer_notes: tuple[str, ...]
    seller_notes: tuple[str, ...]


def _sizes(label: str, values: str, label_2: str = "", values_2: str = "") -> tuple[Options, ...]:
    others = values_2.split("|")
    return tuple(Options(label, value, label_2, other) for value in values.split("|") for other in others)


ENGLISH: Final = Assortment(
    goods=(
        Goods('Custom Mug, 11 oz, "Best Dad" Gift', "MUG-11", 1650, _sizes("Color", "White|Black", "Size", "11 oz")),
        Goods("Embroidered Cap", "CAP-EMB", 2400, _sizes("Color", "Navy|Khaki")),
        Goods("Printed T-shirt; organic cotton", "TEE-PRT", 2250, _sizes("Color", "White|Grey", "Size", "M|XL")),
        Goods("Walnut Name Sign - rustic", "SIGN-WAL", 3900, _sizes("Size", "20 x 10 cm|30 x 15 cm")),
        Goods("Photo Cushion\n(cover & filling)", "CUSH-12", 2800, _sizes("Fabric", "Linen|Velvet")),
        Goods("Key Ring, 50 pcs", "KEY-ACR", 5500, _sizes("Shape", "Round|Heart")),
        Goods("Canvas Tote Bag 🌿", "TOTE-CAN", 1400, (Options("", ""),)),
    ),
    personalisations=(
        "Anna & Tom", 'Team "Alpine", left chest', "Line one\nLine two", "GRANDAD: 1950-2025",
        "Zoë, Ålborg; gold thread",
        "J.S. x2",
    ),
    buyer_notes=("Gift, no invoice please", 'Please write "Happy Birthday"\nin gold', "Rush order, needed by Friday"),
    seller_notes=("proof approved", "VIP, ship first"),
)  # fmt: skip
PLAIN_ENGLISH: Final = ENGLISH._replace(
    goods=(
        Goods("Embroidered Cap", "CAP-EMB", 2400, (Options("", ""),)),
        Goods("Engraved Mug", "MUG-ENG", 1650, (Options("", ""),)),
        Goods("Walnut Name Sign", "SIGN-WAL", 3900, (Options("", ""),)),
        Goods("Canvas Tote Bag", "TOTE-CAN", 1400, (Options("", ""),)),
    )
)
"""Titles without separators, for exports that join titles without any escape: nothing could tell them apart."""
CHINESE: Final = Assortment(
    goods=(
        Goods("定制马克杯，情侣对杯，生日礼物", "MUG-350", 2900, _sizes("颜色分类", "白色|黑色", "规格", "350ml")),
        Goods("刺绣帽子 定做LOGO", "CAP-EMB", 4500, _sizes("颜色分类", "藏青[加厚]|卡其色", "尺码", "均码")),
        Goods("印花T恤,班服,团体服", "TEE-PRT", 5900, _sizes("颜色分类", "白色|灰色", "尺码", "M|XL")),
        Goods("激光刻字木牌（胡桃木）", "SIGN-LSR", 3600, _sizes("颜色分类", "来图定制(备注)|20x10cm")),
        Goods("保温杯刻字*500ml", "CUP-ENG", 6900, _sizes("颜色分类", "银色|墨绿")),
        Goods("钥匙扣定制；企业礼品", "KEY-MET", 880, _sizes("材质", "不锈钢|亚克力")),
        Goods("照片抱枕", "PIL-PHO", 3200, (Options("", ""),)),
    ),
    personalisations=("平安喜乐", "王小明，李小红", "第一行\n第二行", "“爸爸”生日快乐", "楷体，金色"),
    buyer_notes=(
        "请刻字：平安喜乐",
        "先打样，确认后再做大货",
        "两件刻“爸爸”“妈妈”，字体用楷体",
        "周五前\n一定要收到！",
    ),
    seller_notes=("已确认图稿 V2", "老客户，打九折", "绣线用 1902#"),
)
GERMAN: Final = Assortment(
    goods=(
        Goods("Tasse mit Wunschtext; 330 ml", "TAS-330", 1650, _sizes("Farbe", "Weiß|Schwarz")),
        Goods('Holzschild "Familie", graviert', "SCH-HOL", 3990, _sizes("Größe", "20 x 10 cm|30 x 15 cm")),
        Goods("Bestickte Mütze", "MUE-STI", 2495, (Options("", ""),)),
        Goods("Schlüsselanhänger – 50 Stück", "ANH-50", 105000, (Options("", ""),)),
    ),
    personalisations=("Jürgen & Käthe", "Für Oma; in Gold"),
    buyer_notes=("Bitte bis Freitag; danke!", "Geschenk, ohne Rechnung"),
    seller_notes=("Entwurf bestätigt",),
)
INDONESIAN: Final = Assortment(
    goods=(
        Goods("Mug Custom Foto, Kado Ultah", "MUG-CST", 900, _sizes("Warna", "Putih|Hitam")),
        Goods("Kaos Sablon Satuan (Bahan 30s)", "KAOS-SB", 1700, _sizes("Warna", "Putih|Navy", "Ukuran", "L|XXL")),
        Goods("Gantungan Kunci Akrilik 50 pcs", "GANT-50", 3500, _sizes("Bentuk", "Bulat|Hati")),
        Goods("Topi Bordir Nama", "TOPI-BR", 1100, (Options("", ""),)),
    ),
    personalisations=("Budi & Sari", "Selamat Ulang Tahun,\nIbu"),
    buyer_notes=("Tolong kirim cepat ya kak", "Nama: Budi, warna emas"),
    seller_notes=("Desain sudah disetujui",),
)
PORTUGUESE: Final = Assortment(
    goods=(
        Goods("Caneca Personalizada, 325 ml", "CAN-325", 3990, _sizes("Cor", "Branca|Preta")),
        Goods("Camiseta Estampada – algodão", "CAM-EST", 4950, _sizes("Cor", "Branca|Azul", "Tamanho", "M|GG")),
        Goods("Boné Bordado", "BON-BOR", 125000, (Options("", ""),)),
    ),
    personalisations=("João & Conceição", "Feliz Aniversário, Mãe!"),
    buyer_notes=("Enviar até sexta, por favor", "É presente: não incluir nota"),
    seller_notes=("Arte aprovada",),
)
THAI: Final = Assortment(
    goods=(
        Goods("แก้วสกรีนชื่อ", "TH-MUG", 19900, _sizes("สี", "ขาว|ดำ")),
        Goods("หมวกปัก, ใส่ชื่อได้", "TH-CAP", 25000, (Options("", ""),)),
    ),
    personalisations=("สมชาย",),
    buyer_notes=("ขอด่วนค่ะ",),
    seller_notes=("ยืนยันแบบแล้ว",),
)
JAPANESE: Final = Assortment(
    goods=(
        Goods("名入れマグカップ、記念品", "JP-MUG", 1980, (Options("", ""),)),
        Goods("刺繍キャップ", "JP-CAP", 2480, (Options("", ""),)),
    ),
    personalisations=("山田太郎",),
    buyer_notes=("急ぎでお願いします",),
    seller_notes=("校正済み",),
)


def goods_table(assortment: Assortment) -> pl.DataFrame:
    """Return a row per product and choice: ``name, sku, price`` and the labels and values of the choice."""
    rows = [
        (goods.name, f"{goods.sku}-{number:02d}", goods.price, *options)
        for goods in assortment.goods
        for number, options in enumerate(goods.options, start=1)
    ]
    schema = {"name": pl.String, "sku": pl.String, "price": pl.Int64}
    return pl.DataFrame(rows, schema=schema | dict.fromkeys(Options._fields, pl.String), orient="row").with_columns(
        pl.col(name).replace("", None) for name in Options._fields
    )
