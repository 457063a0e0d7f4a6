"""Drafts of mappings: columns by their headers, notation by the values; an unchanged draft imports its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import openpyxl
import polars as pl
import pytest
import yaml
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.drafts.choice import candidates, choose
from etl_assets.drafts.draft import DraftOptions, draft_mapping
from etl_assets.drafts.notation import decide_numbers, decide_times
from etl_assets.drafts.profile import ColumnProfile, FileProfile, Kind, measure_column
from etl_assets.drafts.words import fitting_headers, says_cancelled
from etl_assets.orders.transform import read_orders
from etl_assets.presets.catalog import PresetError, load_mapping, parse_mapping
from etl_assets.raw_orders.extract import extract_raw_orders
from etl_assets_tests.helpers.in_process_reader import FileHere

if TYPE_CHECKING:
    from click.testing import Result

    from etl_assets.presets.model import Preset

EXPORTS: Final = yaml.safe_load((Path(__file__).parent / "data" / "export_headers.yaml").read_text(encoding="utf-8"))
WANTED: Final = ("order_id", "customer_name", "amount", "ordered_at")
LEAST_RIGHT: Final = 0.9

ETSY: Final = """\
Sale Date,Order ID,Buyer User ID,Full Name,Number of Items,Currency,Order Value,Order Total,Status,Order Net,SKU
05/13/25,3001,fictive1,Ada Example,1,USD,12.00,16.00,,15.00,
01/02/25,3002,,Bo Example,2,USD,"1,020.00","1,024.50",,15.00,A-1
"""
TIKTOK: Final = """\
Order ID,Order Status,Seller SKU,Product Name,Variation,Quantity,SKU Unit Original Price,Order Amount,Created Time,\
Cancelled Time,Buyer Message,Buyer Username,Recipient
5761\t,Completed,M-1,Mug,Blue,2,50.00,130.00,23/10/2026 07:00:05\t,\t,engrave Z,buyer_one,F. One
5761\t,Completed,P-1,Plate,,1,30.00,130.00,23/10/2026 07:00:05\t,\t,,buyer_one,F. One
5762\t,Canceled,M-1,Mug,Red,1,50.00,50.00,05/10/2026 09:10:11\t,06/10/2026 09:00:00\t,,buyer_two,F. Two
"""
TAOBAO_NEW: Final = """\
订单编号,买家应付货款,总金额,买家实付金额,订单状态,买家留言,收货人姓名,订单创建时间,商品标题,店铺名称,商家备注
="1234567890123456781",12.50,12.50,9.90,交易成功,刻字,张**,2026-05-13 11:01:13,杯子，盘子,小店,
="1234567890123456782",20.00,20.00,20.00,交易关闭,,李**,2026-05-14 11:01:13,杯子,小店,急
"""
GERMAN: Final = """\
Bestellnr.;Kundennr.;Käufer;Artikel;Menge;Einzelpreis;Gesamtbetrag;Bestelldatum;Status;Bemerkung
A-1;K1;Mia Müster;Tasse, blau;2;5,50;1.011,00 €;03.02.2026 10:11;bezahlt;schöne Grüße
A-1;K1;Mia Müster;Teller;1;1.000,00;1.011,00 €;03.02.2026 10:11;bezahlt;
A-2;K2;Jörg Größe;Teller;1;7,00;7,00 €;1.3.2026 9:00;storniert;
"""
SPANISH: Final = """\
N.º de pedido;Fecha del pedido;Cliente;Producto;Cantidad;Precio unitario;Importe total;Moneda;Estado
77;25/02/2026;Ejemplo Uno;Taza;3;4,10;12,30;EUR;Pagado
78;01/03/2026;Ejemplo Dos;Plato;1;1.204,00;1.204,00;EUR;Cancelado
"""
PORTUGUESE: Final = """\
Número do pedido\tData do pedido\tComprador\tTítulo do anúncio\tQuantidade\tTotal (BRL)\tSituação
501\t28/02/2026 10:00\tExemplo Um\tCaneca\t1\t39,90\tEnviado
502\t01/03/2026 11:30\tExemplo Dois\tPrato\t2\t1.050,00\tCancelado
"""
FRENCH: Final = """\
N° de commande|Date de commande|Client|Désignation|Quantité|Prix unitaire|Montant total|Statut
9001|2026-02-28 10:00|Exemple Un|Tasse|1|1 039,90|1 039,90 €|Payée
9002|2026-03-01 11:30|Exemple Deux|Assiette|2|5,00|10,00 €|Annulée
"""
LAYOUTS: Final[dict[str, tuple[str, str, list[str], list[bool]]]] = {
    "etsy": (ETSY, "utf-8", ["16.00", "1024.50"], [False, False]),
    "tiktok": (TIKTOK, "utf-8-sig", ["130.00", "50.00"], [False, True]),
    "taobao": (TAOBAO_NEW, "gb18030", ["9.90", "20.00"], [False, True]),
    "german": (GERMAN, "cp1252", ["1011.00", "7.00"], [False, True]),
    "german_utf8": (GERMAN, "utf-8", ["1011.00", "7.00"], [False, True]),
    "spanish": (SPANISH, "cp1252", ["12.30", "1204.00"], [False, True]),
    "portuguese": (PORTUGUESE, "utf-8", ["39.90", "1050.00"], [False, True]),
    "french": (FRENCH, "cp1252", ["1039.90", "10.00"], [False, True]),
}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def written(folder: Path, text: str, encoding: str = "utf-8", name: str = "orders.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def draft_of(path: Path, **options: Any) -> Any:
    return draft_mapping(FileHere(path), DraftOptions(**options))


def orders_of(path: Path, mapping: Preset) -> pl.DataFrame:
    """Read a file with a mapping as orders, none of which may be rejected."""
    raw = pl.concat(extract_raw_orders(FileHere(path), mapping)).with_row_index("raw_id")
    named = raw.select("platform", shop_name="shop", timezone=pl.lit(mapping.timezone))
    shops = named.unique().with_row_index("shop_id").with_columns(default_currency=pl.lit(None, pl.String))
    types = raw.select("order_type", system_order_type=pl.lit("BULK")).unique()
    good, rejected = read_orders(raw, mapping, shops, types)
    assert rejected.rows() == []
    return good.sort("order_id")


def columns_of(headers: list[str]) -> dict[str, tuple[str, ...]]:
    names = [header.strip() for header in headers]
    chosen = choose(candidates(names), FileProfile({name: ColumnProfile() for name in names}))
    price = chosen.columns.get("item.unit_price", ())
    return {**chosen.columns, **({"amount": price} if chosen.amount_from_items else {})}


def profile_of(*texts: str, kinds: tuple[Kind, ...] = ("time", "number", "value")) -> ColumnProfile:
    profile = ColumnProfile()
    measure_column(profile, pl.Series(texts, dtype=pl.String), kinds)
    return profile


@pytest.mark.parametrize("column", WANTED)
def test_the_headers_of_exports_name_their_columns(column: str) -> None:
    exports = {name: export for name, export in EXPORTS.items() if column in export}
    named = {name: columns_of(export["headers"]).get(column, ("",))[0] for name, export in exports.items()}
    wrong = {name: header for name, header in named.items() if header not in exports[name][column]}
    assert len(wrong) <= (1 - LEAST_RIGHT) * len(exports), wrong


def test_the_order_number_is_a_column_that_every_line_has(tmp_path: Path) -> None:
    text = (
        "Name,Email,Total,Created at,Lineitem quantity,Lineitem name,Id\n"
        "#7,a@example.com,5.00,2026-05-13,1,Mug,9007\n#7,a@example.com,,2026-05-13,2,Cup,\n"
    )
    draft = draft_of(written(tmp_path, text))
    assert draft.columns["order_id"] == ("Name",)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_unchanged_draft_imports_its_file(tmp_path: Path, layout: str) -> None:
    text, encoding, amounts, cancelled = LAYOUTS[layout]
    path = written(tmp_path, text, encoding)
    draft = draft_of(path, shop="Corner")
    assert draft.questions == []
    orders = orders_of(path, parse_mapping(draft.text, "draft"))
    assert orders["amount"].cast(pl.String).str.strip_suffix("00").to_list() == amounts
    assert orders["is_cancelled"].to_list() == cancelled
    assert orders["ordered_at"].null_count() == 0


def test_a_row_that_explains_the_headers_is_left_out(tmp_path: Path) -> None:
    headers, *rows = TIKTOK.splitlines(keepends=True)
    explained = "Platform unique order ID.,Current order status.,,,,SKU sold quantity.,,It equals (a+b).,Time.,,,,\n"
    path = written(tmp_path, headers + explained + "".join(rows))
    draft = draft_of(path, shop="s")
    assert draft.questions == []
    mapping = parse_mapping(draft.text, "draft")
    assert mapping.known_statuses == ("Completed",)
    assert orders_of(path, mapping).height == 2


def test_a_title_above_the_headers_is_no_header(tmp_path: Path) -> None:
    path = written(tmp_path, "Orders of May\n\n" + SPANISH)
    assert orders_of(path, parse_mapping(draft_of(path, shop="s").text, "draft")).height == 2


def test_times_amounts_customers_and_lines_of_a_drafted_german_export_are_right(tmp_path: Path) -> None:
    path = written(tmp_path, GERMAN, "cp1252")
    mapping = parse_mapping(
        draft_of(path, shop="Laden", timezone="Europe/Berlin", platform="Eigener Laden").text, "draft"
    )
    assert (mapping.name, mapping.encodings, mapping.delimiter) == ("eigener_laden", ("cp1252",), ";")
    orders = orders_of(path, mapping)
    assert orders["customer_nickname"].to_list() == ["K1", "K2"]
    assert orders["currency"].to_list() == ["EUR", "EUR"]
    assert orders["ordered_at"].dt.to_string("%Y-%m-%d %H:%M").to_list() == ["2026-02-03 09:11", "2026-03-01 08:00"]
    raw = pl.concat(extract_raw_orders(FileHere(path), mapping))
    assert json.loads(raw["items"][0])[0] == {"name": "Tasse, blau", "quantity": "2", "unit_price": "5,50"}
    assert raw["remark"].to_list() == ["schöne Grüße", None]
    assert raw["platform"].unique().to_list() == ["Eigener Laden"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_draft_holds_no_value_of_a_row_but_statuses_and_currencies(tmp_path: Path, layout: str) -> None:
    text, encoding, *_ = LAYOUTS[layout]
    draft = draft_of(written(tmp_path, text, encoding), platform="p")
    for secret in ("Example", "fictive1", "buyer_one", "F. One", "张", "Müster", "Ejemplo", "Exemplo", "Exemple"):
        assert secret not in draft.text
    for number in ("1024", "1,024", "130.00", "1.011", "1.204", "1.050", "9.90", "3001", "5761", "A-1", "9001"):
        assert number not in draft.text


@pytest.mark.parametrize(
    "states",
    [["NY", "CA"], ["call ada@example.com", "open"], ["05551234", "open"], [f"word{'x' * n}" for n in range(9)]],
)
def test_a_column_of_other_texts_is_no_status_and_none_of_them_is_written(tmp_path: Path, states: list[str]) -> None:
    rows = "".join(f"{at},{state},2.00\n" for at, state in enumerate(states))
    draft = draft_of(written(tmp_path, "Order ID,State,Total\n" + rows), shop="s", currency="EUR")
    assert "order_status" not in draft.columns
    assert not any(state in draft.text for state in states)


def test_a_header_alone_and_a_file_of_json_lines_are_drafted(tmp_path: Path) -> None:
    assert draft_of(written(tmp_path, "Order ID,Total,Date\n")).columns["ordered_at"] == ("Date",)
    lines = written(tmp_path, '{"orderNumber": "7", "total": 2.5, "created_at": "2026-05-13"}\n', name="o.jsonl")
    draft = draft_of(lines, shop="s", currency="EUR")
    assert orders_of(lines, parse_mapping(draft.text, "draft"))["order_id"].to_list() == ["7"]


def test_a_workbook_is_drafted(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in yaml.safe_load("[[Order ID, Store, Email, Total, Date], ['7', Maple, a@example.com, 12.5, 2026-05-13]]"):
        book.active.append(row)  # type: ignore[union-attr]  # a new workbook has a sheet
    book.save(tmp_path / "orders.xlsx")
    draft = draft_of(tmp_path / "orders.xlsx", currency="EUR")
    orders = orders_of(tmp_path / "orders.xlsx", parse_mapping(draft.text, "draft"))
    assert orders.select("order_id", "customer_nickname", "currency").rows() == [("7", "a@example.com", "EUR")]


@pytest.mark.parametrize(
    ("texts", "formats"),
    [
        (["05/13/26", "01/02/26"], ["%m/%d/%y"]),
        (["13/05/26", "01/02/26"], ["%d/%m/%y"]),
        (["13.05.2026", "15.13.2026"], ["%d.%m.%Y"]),
        (["15.13.2026", "31.02.2026", "13.05.2026"], ["%d.%m.%Y"]),
        (["1.2.2026 9:05"], ["%d.%m.%Y %H:%M"]),
        (["13/02/2026, 10:22"], ["%d/%m/%Y, %H:%M"]),
        (["02/13/2026 07:00:05 AM"], ["%m/%d/%Y %I:%M:%S %p"]),
        (["Jul-25-26"], ["%b-%d-%y"]),
        (["25 Jul 2026 10:00"], ["%d %b %Y %H:%M"]),
        (["20260513"], ["%Y%m%d"]),
        (["45678.5"], ["excel"]),
        (["2026年5月13日 11:01"], ["%Y年%m月%d日 %H:%M"]),
        (["5月3日", "12月31日", "2月29日 9:30"], ["%m月%d日", "%m月%d日 %H:%M"]),
        (["5.3", "5.13"], ["%m.%d"]),
        (["13/5", "1/6"], ["%d/%m"]),
        (["2026-05-13 10:11:12", "2026/5/3 22:02", "2026-05-13T11:01:12+02:00", "0000-00-00"], []),
        (["13/02/2026", "01/02/26"], ["%d/%m/%y", "%d/%m/%Y"]),
    ],
)
def test_the_formats_of_times_are_decided_from_the_whole_column(texts: list[str], formats: list[str]) -> None:
    times = decide_times([profile_of(*texts)], None)
    assert (list(times.formats), times.undecided, times.unread) == (formats, (), ())


def test_one_column_of_times_decides_for_the_other() -> None:
    times = decide_times([profile_of("01/02/2026"), profile_of("01/13/2026")], None)
    assert (times.order, times.formats) == ("month", ("%m/%d/%Y",))


def test_points_alone_do_not_say_that_the_day_of_a_date_without_a_year_comes_first() -> None:
    times = decide_times([profile_of("5.3")], None)
    assert (times.formats, times.undecided) == (("%d.%m",), ("%m.%d",))


@pytest.mark.parametrize("texts", [["01/02/2026"], ["13/02/2026", "02/13/2026"]])
def test_an_order_of_dates_that_no_value_decides_or_two_contradict_is_not_guessed(texts: list[str]) -> None:
    times = decide_times([profile_of(*texts)], None)
    assert times.order is None
    assert times.undecided == ("%m/%d/%Y",)


def test_the_named_order_of_dates_does_not_outweigh_the_values() -> None:
    assert decide_times([profile_of("01/02/2026")], "month").formats == ("%m/%d/%Y",)
    assert decide_times([profile_of("13/02/2026")], "month").formats == ("%d/%m/%Y",)


def test_times_that_no_format_reads_are_told_by_their_form() -> None:
    assert decide_times([profile_of("10-Dez-25")], None).unread == ("99-aaa-99",)


@pytest.mark.parametrize(
    ("texts", "decimal", "thousands"),
    [
        (["1.234,50 €", "3,00"], ",", "."),
        (["1,234.50", "$3.00"], ".", ","),
        (["1 234,50"], ",", " "),
        (["1'234.50"], ".", "'"),
        (["1,299", "7"], ".", ","),
        (["50.000", "1.234,5"], ",", "."),
    ],
)
def test_the_notation_of_numbers_is_decided_from_the_values(texts: list[str], decimal: str, thousands: str) -> None:
    numbers, _ = decide_numbers([profile_of(*texts)])
    assert numbers is not None
    assert (numbers.decimal, numbers.thousands) == (decimal, thousands)


@pytest.mark.parametrize("texts", [["50.000"], ["1.50", "1,50"]])
def test_a_notation_that_the_values_do_not_decide_is_not_guessed(texts: list[str]) -> None:
    assert decide_numbers([profile_of(*texts)])[0] is None


def test_currency_signs_beyond_the_usual_ones_are_read() -> None:
    numbers, _ = decide_numbers([profile_of("Rp 1.000,00", "12,00 CHF")])
    assert numbers is not None
    assert {"Rp", "CHF", "€"} <= set(numbers.currency_signs)


def test_headers_match_without_regard_to_case_accents_punctuation_and_camel_case() -> None:
    for header in ("ORDER_NUMBER", "orderNumber", "Order-number", "Ｏｒｄｅｒ Number", "order #"):
        assert fitting_headers("order_id", ["Colour", header]) == [header]
    assert fitting_headers("order_id", ["NUMERO DE PEDIDO", "Número de pedido", "Tracking number"])[:2] == [
        "NUMERO DE PEDIDO", "Número de pedido",
    ]  # fmt: skip


def test_statuses_that_say_cancelled_are_known_in_every_language() -> None:
    for status in (
        "Canceled",
        "CANCELLED",
        "已取消",
        "交易关闭",
        "Storniert",
        "Cancelado",
        "Anulado",
        "Annulée",
        "Batal",
    ):
        assert says_cancelled(status), status
    for status in ("paid", "交易成功", "bezahlt", "Pagado", "shipped"):
        assert not says_cancelled(status), status


def test_columns_without_values_of_the_kind_are_passed_over(tmp_path: Path) -> None:
    text = "Order no,Status,Total,Total price,Date,Created at\nr 1,,free,2.00,soon,2026-05-13\nx2,,,3.00,,2026-05-14\n"
    draft = draft_of(written(tmp_path, text), shop="s", currency="EUR")
    assert draft.columns["amount"] == ("Total price",)
    assert draft.columns["ordered_at"] == ("Created at",)
    assert "order_status" not in draft.columns


def test_an_amount_that_differs_between_the_lines_of_an_order_is_their_sum(tmp_path: Path) -> None:
    text = "Order ID,Item,Qty,Price,Total\n1,Mug,2,3.00,6.00\n1,Cup,1,4.00,4.00\n2,Cup,1,4.00,4.00\n"
    path = written(tmp_path, text)
    mapping = parse_mapping(draft_of(path, shop="s", currency="EUR").text, "draft")
    assert mapping.amount_from_items
    assert orders_of(path, mapping)["amount"].cast(pl.String).to_list() == ["10.0000", "4.0000"]


def test_the_amount_of_a_line_is_not_taken_for_that_of_the_order(tmp_path: Path) -> None:
    text = "amazon-order-id,sku,quantity,item-price,purchase-date\n1,A,2,6.00,2026-05-13T10:00:00+00:00\n"
    draft = draft_of(written(tmp_path, text), shop="s", currency="EUR")
    assert draft.columns["amount"] == ("item-price",)
    assert [question.split(":")[0] for question in draft.questions] == ["amount"]
    with pytest.raises(PresetError, match=r"columns\.amount is still to be decided"):
        parse_mapping(draft.text, "draft.yaml")


def test_what_no_column_gives_is_told(tmp_path: Path) -> None:
    draft = draft_of(written(tmp_path, TAOBAO_NEW, "gb18030"), currency="CNY", timezone="Asia/Shanghai")
    assert [text for text in draft.notes if text.startswith("no column")] == [
        "no column gives customer_name: the orders will have no customers, and make no leads"
    ]
    assert "  # customer_name: COLUMN" in draft.text


def test_rows_without_an_order_number_are_told(tmp_path: Path) -> None:
    draft = draft_of(written(tmp_path, "Order ID,Total\n1,2.00\n,3.00\n"), shop="s", currency="EUR")
    assert any("1 rows have no order number" in text for text in draft.notes)


def test_an_undecided_draft_is_written_asks_and_is_refused_until_it_is_decided(tmp_path: Path) -> None:
    path = written(tmp_path, "Order ID,Date,Total,Currency\n1,01/02/2026,3.00,USD\n")
    out = tmp_path / "draft.yaml"
    asked = call("presets", "draft", path, "--out", out)
    assert asked.exit_code == 1
    assert "To decide: timestamp_formats" in asked.stderr
    with pytest.raises(PresetError, match="timestamp_formats is still to be decided") as caught:
        load_mapping(out)
    assert str(out) in str(caught.value)
    text = out.read_text(encoding="utf-8")
    assert "%d/%m/%Y" in text
    assert "%m/%d/%Y" in text
    decided = call("presets", "draft", path, "--month-first", "--shop", "s")
    assert decided.exit_code == 0
    assert call("presets", "draft", path, "--currency", "$").exit_code == 2
    assert parse_mapping(decided.stdout, "stdout").timestamp_formats == ("%m/%d/%Y",)


def test_a_file_whose_headers_name_no_order_number_is_asked_about(tmp_path: Path) -> None:
    result = call("presets", "draft", written(tmp_path, "colour,size\nred,3\n"), "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["to_decide"] == ["order_id: no header says that it is the order number"]
    with pytest.raises(PresetError, match=r"columns\.order_id is still to be decided"):
        parse_mapping(answer["mapping"], "draft")


def test_a_draft_does_not_list_the_values_of_a_file_without_headers(tmp_path: Path) -> None:
    draft = draft_of(written(tmp_path, "1234567,ada@example.com,2026-05-13\n1234568,bo@example.com,2026-05-14\n"))
    assert "example.com" not in draft.text
    assert "1234567" not in draft.text


def test_a_file_that_fits_a_preset_needs_no_draft_which_is_said(tmp_path: Path) -> None:
    draft = draft_of(written(tmp_path, "shop,order_id,amount,currency\ns,1,2.00,EUR\n"))
    assert draft.notes[0] == "the preset generic fits this file, which needs no mapping therefore"


def test_a_draft_does_not_overwrite_a_file(tmp_path: Path) -> None:
    out = written(tmp_path, "mine", name="mine.yaml")
    assert call("presets", "draft", written(tmp_path, ETSY), "--out", out).exit_code == 2
    assert out.read_text(encoding="utf-8") == "mine"


def test_headers_of_any_text_stay_one_yaml_line(tmp_path: Path) -> None:
    text = '"Order\nID","Total: ""x"" # y",no,"- a, [b"\n1,2.00,x,y\n'
    draft = draft_of(written(tmp_path, text), shop="yes", platform="a: b #c", currency="EUR")
    mapping = parse_mapping(draft.text, "draft")
    assert mapping.columns["order_id"].columns == ("Order\nID",)
    assert mapping.columns["shop"].constant == "yes"
    assert mapping.columns["platform"].constant == "a: b #c"
