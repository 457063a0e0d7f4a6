"""Tests of items whose export has counts beside titles, and of the buyer's text within a variant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import pytest
from pydantic import ValidationError

from etl_assets.order_items.transform import read_items
from etl_assets.presets.catalog import get_preset
from etl_assets.presets.model import Preset
from etl_assets.raw_orders.group_lines import group_lines
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.transform import to_raw_orders
from etl_assets_tests.helpers.literal_frames import frame_of

if TYPE_CHECKING:
    from etl_assets.raw_orders.readers.columns import ReaderFinding

Cells = dict[str, str | None]
TITLE: Final = "定制T恤，纯棉，来图印字*1 x3"
TITLES: Final = "杯子，帽子(白色)，旗*2"


def frame(rows: list[Cells]) -> pl.DataFrame:
    headers = dict.fromkeys(name for row in rows for name in row)
    schema = {LINE_NUMBER: pl.Int64(), ROW_ERROR: pl.String(), **dict.fromkeys(headers, pl.String())}
    return frame_of(schema, [{LINE_NUMBER: number, **row} for number, row in enumerate(rows, 2)])


def lines_of(raw: pl.DataFrame, preset: Preset) -> tuple[pl.DataFrame, list[str]]:
    """Lines of raw orders, and the reasons of those that can't be read."""
    lines, bad = read_items(raw.with_columns(shop_id=1, raw_id=pl.col("row_no").cast(pl.Int64)), preset.numbers)
    return lines, bad["reason"].to_list()


def taobao(*orders: tuple[str | None, str | None, str | None]) -> tuple[pl.DataFrame, list[ReaderFinding]]:
    """Raw orders of Taobao with a title, kinds and pieces each, and the findings."""
    found: list[ReaderFinding] = []
    rows: list[Cells] = [
        {"订单编号": str(number), "宝贝标题": title, "宝贝种类": kinds, "宝贝总数量": pieces}
        for number, (title, kinds, pieces) in enumerate(orders)
    ]
    return to_raw_orders(frame(rows), get_preset("taobao"), found), found


# --- counts beside titles ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "lines"),
    [
        pytest.param((TITLE, "1", "50"), [(TITLE, None, 50)], id="one kind: not split, with all pieces"),
        pytest.param((TITLES, "3", "50"), [(TITLES, "3 kinds", 50)], id="several kinds: one line with all pieces"),
        pytest.param((TITLES, None, "50"), [(TITLES, None, 50)], id="no kinds: 50 pieces are 50 all the same"),
        pytest.param((TITLES, "?", "50"), [(TITLES, None, 50)], id="kinds that are no number"),
        pytest.param((TITLE, "1", None), [(TITLE, None, 1)], id="one kind, no pieces: not split"),
        pytest.param(
            ("杯子，帽子*2", "2", None),
            [("杯子", None, 1), ("帽子", None, 2)],
            id="no pieces: the text is all there is",
        ),
        pytest.param((TITLE, '="1"', '="1,200"'), [(TITLE, None, 1200)], id="protected, in the notation of the export"),
        pytest.param(('[新款]"杯子"\n', "1", "2"), [('[新款]"杯子"', None, 2)], id="a title that looks like JSON"),
        pytest.param((TITLE, "0", "0"), [(TITLE, None, 0)], id="none"),
        pytest.param((None, "1", "50"), [], id="no title"),
    ],
)
def test_titles_with_counts_are_one_line_with_the_pieces_of_the_order(
    order: tuple[str | None, str | None, str | None], lines: list[tuple[str, str | None, int]]
) -> None:
    read, bad = lines_of(taobao(order)[0], get_preset("taobao"))
    expected = [(product and product.replace("，", ","), variant, quantity) for product, variant, quantity in lines]
    assert (read.select("product", "variant", "quantity").rows(), bad) == (expected, [])


def test_pieces_that_are_no_number_are_no_quantity() -> None:
    _, bad = lines_of(taobao((TITLE, "1", "many"), (TITLE, "1", "2.5"))[0], get_preset("taobao"))
    assert bad == ["line 1 has a quantity that is not a whole number in range"] * 2


def test_a_line_that_stands_for_several_products_is_a_finding() -> None:
    raw, found = taobao((TITLE, "1", "2"), (TITLES, "3", "4"), (TITLES, "3", None), (TITLES, "2", "5"))
    assert found == [("COMBINED_ITEMS", "", 2, 3)]
    assert '"宝贝种类":"3","宝贝总数量":"4"' in raw["extra"][1]  # what the file said is kept


def test_a_file_without_the_counts_is_read_as_before() -> None:
    found: list[ReaderFinding] = []
    raw = to_raw_orders(
        frame([{"订单编号": "1", "宝贝标题": "a，b"}, {"订单编号": "2", "宝贝标题": None}]), get_preset("taobao"), found
    )
    assert (raw["items"].to_list(), found) == (["a，b", None], [])


@pytest.mark.parametrize(
    "changed",
    [{"shape": "line_item", "item": {"name": "n"}, "columns": {"order_id": "id"}}, {"columns": {"order_id": "id"}}],
)
def test_counts_need_titles_in_one_cell(changed: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="item_counts needs shape: order, and columns"):
        Preset.model_validate({"name": "p", "item_counts": {"kinds": "k", "pieces": "p"}, **changed})


# --- the buyer's text -------------------------------------------------------------------------------------------------

ETSY: Final = Preset.model_validate(
    {
        "name": "etsy",
        "shape": "line_item",
        "columns": {"order_id": "Order ID"},
        "item": {
            "name": "Item Name",
            "variant": {
                "columns": ["Variations"],
                "extract": "(?s)^(.*?)(?:(?:^|,)Personali[sz]ation(?: [0-9]+)?:.*)?$",
            },
            "personalisation": {
                "columns": ["Variations"],
                "extract": r"(?s)(?:^|,)Personali[sz]ation(?: [0-9]+)?:(?:Not requested on this item\.$|(.*)$)",
            },
        },
    }
)


@pytest.mark.parametrize(
    ("variations", "variant", "personalisation"),
    [
        pytest.param("Size:L,Personalization:Anna", "Size:L", "Anna", id="the last pair"),
        pytest.param("Personalisation:Anna", None, "Anna", id="the only pair, British"),
        pytest.param(
            "Size:5,5,Colour:Red,Personalization:Ben, Size:L,Font:x*3;(2)", "Size:5,5,Colour:Red",
            "Ben, Size:L,Font:x*3;(2)", id="nothing splits within the text",
        ),
        pytest.param("Size:L,Personalization:a\nb: c", "Size:L", "a\nb: c", id="line breaks"),
        pytest.param("Personalization:A,Personalization 2:B", None, "A,Personalization 2:B", id="two: one text"),
        pytest.param("Size:L,Personalization:Not requested on this item.", "Size:L", None, id="not requested"),
        pytest.param("Size:L,Personalization:", "Size:L", None, id="blank"),
        pytest.param("Size:L", "Size:L", None, id="no such pair"),
        pytest.param("Note:my personalization: x", "Note:my personalization: x", None, id="not at the start of a pair"),
        pytest.param("Size:L,Personalization:①２ & Ａ", "Size:L", "①２ & Ａ", id="as it was written"),
        pytest.param(None, None, None, id="nothing"),
    ],
)  # fmt: skip
def test_the_text_of_the_buyer_is_taken_out_of_the_variant(
    variations: str | None, variant: str | None, personalisation: str | None
) -> None:
    rows: list[Cells] = [{"Order ID": "1", "Item Name": "Mug", "Variations": variations}]
    lines, bad = lines_of(pl.concat(group_lines([frame(rows)], ETSY)), ETSY)
    assert (lines.select("product", "variant", "personalisation", "processes").rows(), bad) == (
        [("Mug", variant, personalisation, None)],
        [],
    )


def test_the_text_of_the_buyer_may_have_a_column_of_its_own() -> None:
    item = {"name": "Item", "personalisation": ["Custom text", "Engraving"]}
    preset = Preset.model_validate({"name": "p", "shape": "line_item", "columns": {"order_id": "id"}, "item": item})
    rows: list[Cells] = [
        {"id": "1", "Item": "Mug", "Custom text": " For Kim ", "Engraving": "x"},
        {"id": "1", "Item": "Cup", "Custom text": " ", "Engraving": "1; 2"},
    ]
    lines, _ = lines_of(pl.concat(group_lines([frame(rows)], preset)), preset)
    assert lines["personalisation"].to_list() == ["For Kim", "1; 2"]
