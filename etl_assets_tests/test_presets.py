"""Presets and mapping files: the ones that come along are sound, and a wrong one says what to correct."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl
import pytest

from etl_assets.presets import catalog
from etl_assets.presets.catalog import PresetError, get_preset, list_presets, load_mapping
from etl_assets.presets.detect import detect_preset, nearest_presets
from etl_assets.presets.model import Preset
from etl_assets.raw_orders.extract import extract_raw_orders
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.transform import to_raw_orders
from etl_assets.values.text import clean_text, is_not_blank
from etl_assets_tests.helpers.in_process_reader import FileHere

OF_PACKAGE: Final = sorted(file.stem for file in Path(catalog.__file__).parent.glob("*.yaml"))


def test_the_presets_of_the_package_load() -> None:
    assert [preset.name for preset in list_presets()] == OF_PACKAGE


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(PresetError, match=", ".join(OF_PACKAGE)):
        get_preset("shopfy")


def test_the_most_specific_preset_is_detected() -> None:
    (shopify,) = get_preset("shopify").detect_headers
    presets = list_presets()
    assert detect_preset([*shopify, "Notes"], presets) == get_preset("shopify")
    assert detect_preset([*shopify, "shop", "order_id"], presets) == get_preset("shopify")
    assert detect_preset(["order_id", "shop", "x"], presets) == get_preset("generic")
    assert detect_preset(["order_id"], presets) is None


def preset_of(**keys: object) -> Preset:
    return Preset.model_validate({"name": "x", "columns": {"order_id": "id"}, **keys})


def test_any_set_of_detect_headers_suffices() -> None:
    two = preset_of(detect_headers=[["id", "old"], ["id", "new", "newer"]])
    one = preset_of(name="y", detect_headers=["id", "old", "older"])
    presets = [two, one]
    assert detect_preset(["id", "old", "x"], presets) == two
    assert detect_preset(["id", "newer", "new"], presets) == two
    assert detect_preset(["id", "old", "older"], presets) == one
    assert detect_preset(["id", "old", "older", "new", "newer"], presets) == two
    assert detect_preset(["id", "new"], presets) is None


def test_the_nearest_presets_say_what_a_file_lacks() -> None:
    (wanted,) = get_preset("shopify").detect_headers
    headers = [*wanted[:-2], "Line item name"]
    (near,) = nearest_presets(headers, list_presets())
    assert near.as_dict() == {
        "preset": "shopify",
        "lacks": ("Lineitem name", "Lineitem quantity"),
        "did_you_mean": {"Lineitem name": "Line item name"},
    }
    assert str(near) == (
        "shopify, for which it lacks 'Lineitem name' (did you mean 'Line item name'?) and 'Lineitem quantity'"
    )
    assert nearest_presets(["colour", "size"], list_presets()) == []


def own_preset(folder: Path, text: str, file_name: str = "mine.yaml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / file_name).write_text(text, encoding="utf-8")
    return folder


MINE = "name: mine\ncolumns: {order_id: Nr}\ndetect_headers: [shop, order_id]\n"


def test_own_presets_come_before_those_of_the_package_and_replace_those_of_their_name(tmp_path: Path) -> None:
    folder = own_preset(tmp_path / "presets", MINE)
    assert [preset.name for preset in list_presets(folder)] == ["mine", *OF_PACKAGE]
    found = detect_preset(["shop", "order_id"], list_presets(folder))
    assert found == get_preset("mine", folder)
    own_preset(folder, MINE.replace("mine", "generic"), "other.yml")
    assert get_preset("generic", folder).columns["order_id"].columns == ("Nr",)
    assert [preset.name for preset in list_presets(folder)] == [
        "generic",
        "mine",
        *(name for name in OF_PACKAGE if name != "generic"),
    ]
    assert get_preset("generic").columns["order_id"].columns == ("order_id",)


def test_a_changed_own_preset_counts_at_once(tmp_path: Path) -> None:
    folder = own_preset(tmp_path, MINE)
    assert get_preset("mine", folder).timezone == "UTC"
    own_preset(folder, MINE + "timezone: Asia/Shanghai\n")
    assert get_preset("mine", folder).timezone == "Asia/Shanghai"


def test_a_broken_own_preset_is_an_error_that_names_its_file(tmp_path: Path) -> None:
    own_preset(tmp_path, MINE)
    own_preset(tmp_path, "name: broken\ncolumns: {shop: A}\n", "broken.yaml")
    with pytest.raises(PresetError, match=r"broken\.yaml: columns must say where order_id comes from"):
        list_presets(tmp_path)
    (tmp_path / "broken.yaml").unlink()
    own_preset(tmp_path, MINE, "twice.yaml")
    with pytest.raises(PresetError, match=r"twice\.yaml and .*mine\.yaml are both presets with the name 'mine'"):
        list_presets(tmp_path)


def test_a_folder_of_presets_need_not_exist_but_must_be_readable(tmp_path: Path) -> None:
    assert len(list_presets(tmp_path / "none")) == len(OF_PACKAGE)
    (tmp_path / "file").write_text("")
    with pytest.raises(PresetError, match="ETL_PRESETS"):
        list_presets(tmp_path / "file")


def test_a_stored_preset_with_one_set_of_detect_headers_still_parses() -> None:
    stored = '{"name": "x", "columns": {"order_id": {"columns": ["id"]}}, "detect_headers": ["id", "b"]}'
    assert Preset.model_validate_json(stored).detect_headers == (("id", "b"),)
    assert preset_of(detect_headers=[]).detect_headers == ()


def test_known_statuses_include_those_of_the_mapping_itself() -> None:
    status = {"columns": ["state"], "constant": "open", "rules": [{"when": "end", "matches": ".", "value": "gone"}]}
    columns = {"order_id": "id", "order_status": status}
    preset = preset_of(columns=columns, known_statuses=["paid"], cancelled_statuses=["gone", "storno"])
    assert preset.all_known_statuses() == ("paid", "gone", "storno", "open")
    assert preset_of(columns=columns, cancelled_statuses=["storno"]).all_known_statuses() == ()


def test_the_mapping_in_the_documentation_is_valid(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "importing.md").read_text(encoding="utf-8")
    example = tmp_path / "example.yaml"
    example.write_text(text.split("```yaml")[1].split("```")[0], encoding="utf-8")
    assert load_mapping(example).amount_from_items


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: x\ncolumns: {order_id: A", "line 2"),
        ("- 1", "name and columns"),
        ("name: x\ncolumns: {shop: A}", "order_id"),
        ("name: x\ncolumns: {order_id: A, custmer: B}", "columns.custmer"),
        ("name: x\ncolums: {order_id: A}", "colums: there is no such key"),
        ("name: x\ncolumns: {order_id: A}\ntimezone: Mars", "timezone: unknown time zone"),
        ("name: x\ncolumns: {order_id: A}\ntimezone: ''", "timezone: unknown time zone"),
        ("name: x\ncolumns: {order_id: A}\ntimezone: localtime", "timezone: unknown time zone"),
        ("name: x\ncolumns: {order_id: A}\nencodings: [utf-9]", "unknown encoding"),
        ("name: x\ncolumns: {order_id: A}\nknown_statuses: [paid, ' ']", "holds an empty text"),
        ("name: x\ncolumns: {order_id: A}\ndetect_headers: [[A], []]", "detect_headers no. 2"),
        ("name: x\ncolumns: {order_id: {rules: [{when: A, matches: '(?=x)', value: b}]}}", "look-around"),
        ("name: x\ncolumns: {order_id: A, custmer_name: B}", "no such key. Did you mean 'customer_name'?"),
        ("name: x\ncolums: {order_id: A}", "Did you mean 'columns'?"),
        ("name: x\ncolumns: {order_id: A}\nnumbers: {decimel: ','}", "Did you mean 'decimal'?"),
        (
            "name: x\ncolumns: {order_id: A, amount: {column: B}}",
            "amount.column: there is no such key. Did you",
        ),
        ("name: My shop\ncolumns: {order_id: A}", "name: only a-z, 0-9, _ and - are allowed"),
        ("name: x\ncolumns: {order_id: A}\nshape: lines", "shape: it must be order or line_item"),
        ("name: x\ncolumns: {order_id: A}\nencodings: utf-8", "encodings: it must be a list, such as [a, b]"),
        ("name: x\ncolumns: {order_id: A}\namount_from_items: maybe", "amount_from_items: it must be true or false"),
        ("name: x\ncolumns: {order_id: {rules: [{when: A, value: b}]}}", "rules no. 1.matches: it is missing"),
        ("name: x\ncolumns: {order_id: A}\ntimestamp_formats: [DD/MM/YY HH:mm]", "write '%d/%m/%y %H:%M'"),
        ("name: x\ncolumns: {order_id: A}\ntimestamp_formats: [european]", "has no % codes"),
        ("name: x\ncolumns: {order_id: A}\nname: y", "line 3: not valid YAML (the key 'name' is given twice)"),
        ("name: x\ncolumns: {order_id: A}\nshape: line_item", "name or sku"),
    ],
)
def test_a_wrong_mapping_names_the_file_and_the_key(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    with pytest.raises(PresetError) as caught:
        load_mapping(path)
    assert str(path) in str(caught.value)
    assert expected in str(caught.value)
    assert "docs/importing.md" in str(caught.value)


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("name: x\ncolumns: {" + ", ".join(f"c{number}: a" for number in range(90)) + "}")
    with pytest.raises(PresetError, match="and 84 more") as caught:
        load_mapping(path)
    assert len(str(caught.value)) < 800


def test_scalars_of_a_mapping_are_the_text_that_stands_there(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "name: x\nshape: line_item\namount_from_items: yes\ntimestamp_formats: [excel]\n"
        "columns: {order_id: 2024, platform: {constant: 007}, remark: {constant: yes}, shop: {constant: 1.50}}\n"
        "item: {name: 1, quantity: 2, unit_price: 3}\n"
    )
    preset = load_mapping(path)
    constants = [preset.columns[column].constant for column in ("platform", "remark", "shop")]
    assert (constants, preset.columns["order_id"].columns) == (["007", "yes", "1.50"], ("2024",))
    assert (preset.amount_from_items, preset.timestamp_formats) == (True, ("excel",))


def test_a_stored_mapping_keeps_a_format_without_codes() -> None:
    stored = {"name": "x", "columns": {"order_id": "A"}, "timestamp_formats": ["DD.MM.YYYY"]}
    assert Preset.model_validate(stored).timestamp_formats == ("DD.MM.YYYY",)


def test_a_missing_mapping_or_one_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "gbk.yaml").write_bytes("name: 店".encode("gb18030"))
    with pytest.raises(PresetError, match="UTF-8"):
        load_mapping(tmp_path / "gbk.yaml")
    with pytest.raises(PresetError, match="can't be read"):
        load_mapping(tmp_path / "none.yaml")


def test_rules_come_before_columns_and_columns_before_the_constant() -> None:
    preset = Preset.model_validate(
        {
            "name": "x",
            "columns": {
                "order_id": "id",
                "order_status": {
                    "rules": [
                        {"when": "closed", "matches": r"\S", "value": "cancelled"},
                        {"when": "state", "matches": "^wait", "value": "open"},
                        {"when": "absent", "matches": "", "value": "never"},
                    ],
                    "columns": ["state", "state2"],
                    "constant": "unknown",
                },
            },
        }
    )
    lines = pl.DataFrame(
        {
            "id": ["1", "2", "3", "4", "5"],
            "closed": ["yes", " ", "", None, ""],
            "state": ["waiting", "waiting", " done ", '=""', None],
            "state2": ["", "", "", "late", ""],
            LINE_NUMBER: [2, 3, 4, 5, 6],
            ROW_ERROR: pl.Series([None] * 5, dtype=pl.String),
        }
    )
    orders = to_raw_orders(lines, preset)
    assert orders["order_status"].to_list() == ["cancelled", "open", " done ", "late", "unknown"]
    assert orders["platform"].unique().to_list() == ["x"]


def test_the_platform_and_shop_of_one_import_replace_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("order_id,shop,platform\n1,s,p\n")
    preset = get_preset("generic").with_overrides(platform="P", shop="S")
    (orders,) = extract_raw_orders(FileHere(path), preset)
    assert orders.select("platform", "shop").rows() == [("P", "S")]


def test_taobao_falls_back_to_the_total_and_keeps_the_rest_as_extra(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    header = (
        "订单编号,买家会员名,买家实际支付金额,总金额,订单状态,订单创建时间,"
        "宝贝标题,店铺名称,买家留言,订单备注,联系手机\n"
    )
    rows = (
        '="1234567890123456789",张三,,12.50,交易关闭,2021-05-13 11:01:13,杯子，盘子,小店,,急单,\'13800000000\n'
        "2\t,李**,9.90,12.50,交易成功,2021-05-13 11:01:13,杯子,小店,谢谢,急单,\n"
    )
    path.write_bytes((header + rows).encode("gb18030"))
    (orders,) = extract_raw_orders(FileHere(path), get_preset("taobao"))
    empty = ("order_type", "updated_at", "processes", "platform_order_id", "refunded_amount", "defect")
    assert orders.drop(empty).rows() == [
        (
            2, "taobao", "小店", '="1234567890123456789"', "张三", "交易关闭", "12.50", "CNY", "2021-05-13 11:01:13",
            "杯子，盘子", "急单", '{"联系手机":"\'13800000000"}',
        ),
        (
            3, "taobao", "小店", "2\t", "李**", "交易成功", "9.90", "CNY", "2021-05-13 11:01:13",
            "杯子", "谢谢", None,
        ),
    ]  # fmt: skip


def test_text_is_filled_where_cleaning_leaves_something() -> None:
    characters = [chr(code) for code in range(1, 0x10000) if not 0xD800 <= code < 0xE000]
    around = ("{}", '="{}"', '{}""', '="{}', " {} ")
    texts = pl.DataFrame({"text": [shape.format(char) for shape in around for char in characters]})
    text = pl.col("text")
    assert texts.filter(is_not_blank(text) != clean_text(text).is_not_null()).is_empty()
