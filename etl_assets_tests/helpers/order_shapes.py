"""Cases of `test_memory`: the pure transforms with inputs of every shape, in any size.

In a module of its own, which processes are forked from: nothing here may set the threads of Polars to work when it is
imported. They would be missing in the fork, and it would wait for them for ever.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from etl_assets.customers.transform import CUSTOMER_ORDER_SCHEMA, summarise_customers, without_orders
from etl_assets.database.frames import encode_binary
from etl_assets.database.schema import order_items as order_items_table
from etl_assets.frame_schemas import CUSTOMER_SCHEMA
from etl_assets.leads.transform import (
    LEAD_ORDER_SCHEMA,
    attach_orders,
    empty_figures,
    figures_and_withdrawals,
    lead_figures,
    with_reverted,
    withdrawn_leads,
)
from etl_assets.order_items.step import ORDER_ITEMS
from etl_assets.order_items.transform import LINE_SCHEMA, join_faults, read_items, unreadable
from etl_assets.orders.transform import (
    ORDER_KEY,
    ORDER_SCHEMA,
    compare_anew,
    compare_with_stored,
    newest_versions,
    read_orders,
)
from etl_assets.pipeline.diff import diff_rows
from etl_assets.pipeline.order_lines import parse_lines
from etl_assets.presets.amount_sum import AmountSum
from etl_assets.presets.column_mapping import ColumnMapping
from etl_assets.presets.model import RAW_COLUMNS, Preset
from etl_assets.process_items.transform import read_processes
from etl_assets.quarantine.corrections import changed_rows
from etl_assets.raw_orders.group_lines import group_lines
from etl_assets.raw_orders.readers.columns import LINE_NUMBER, ROW_ERROR
from etl_assets.raw_orders.transform import file_headers, to_raw_orders, without_empty_values
from etl_assets.shop.transform import distinct_shops, first_shops, new_shops, settled_shops, shops_of_imports
from etl_assets.values.numbers import NumberFormat
from etl_assets.values.order_keys import order_keys
from etl_assets.values.timestamps import parse_timestamps

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection


SIZES: Final = (1_000, 2_000, 4_000)
ADDRESS_SPACE: Final = 3 << 30
NUMBERS: Final = NumberFormat()
EVERY_COLUMN: Final = Preset.model_validate({"name": "test", "columns": {column: column for column in RAW_COLUMNS}})
LINE_ITEMS: Final = Preset.model_validate(
    {
        "name": "lines",
        "shape": "line_item",
        "columns": {"shop": "Shop", "order_id": "No"},
        "item": {"name": "Name", "quantity": "Qty", "unit_price": "Price"},
        "amount_from_items": True,
        "item_variant_separator": " - ",
    }
)
ORDER_ROWS: Final = Preset.model_validate(
    {
        "name": "rows",
        "columns": {"shop": "Shop", "order_id": "No", "items": "Name", "amount": {"sum": {"plus": ["Price", "Qty"]}}},
        "item_counts": {"kinds": "Qty", "pieces": "Qty"},
    }
)
DASHES: Final = ORDER_ROWS.model_copy(update={"empty_values": ("-",)})
SUMS: Final = LINE_ITEMS.model_copy(
    update={"columns": {**LINE_ITEMS.columns, "amount": ColumnMapping(sum=AmountSum(plus=("No",), plus_rows=("Qty",)))}}
)
ODD: Final = '[{"name": "a", "z": {"k": 1}}]'
"""Items that take the slow path of the reader, where long texts in other rows must not be copied for them."""


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def usual_items(lines: int) -> str:
    return compact([{"name": f"Mug {n}", "sku": f"S{n}", "quantity": 2, "unit_price": "3.50"} for n in range(lines)])


def other_items(lines: int, **besides: Any) -> str:
    return json.dumps([{"name": f"Mug {n}", "quantity": 2, "unit_price": 3.5, **besides} for n in range(lines)])


def processes(count: int, **besides: Any) -> str:
    return json.dumps([{"process": f"print {n}", "position": "chest", **besides} for n in range(count)])


def items(*texts: str, order_id: str = "o") -> object:
    return read_items(text_orders(texts, [None] * len(texts), order_id), NUMBERS)


def order_processes(*texts: str | None, of_lines: str = ODD) -> object:
    orders = text_orders([of_lines] * len(texts), texts)
    return read_processes(orders, read_items(orders, NUMBERS)[0])


def text_orders(texts: Any, processes: Any, order_id: str = "o") -> pl.DataFrame:
    return pl.DataFrame(
        {"items": texts, "processes": processes}, schema={"items": pl.String, "processes": pl.String}
    ).select(
        "items",
        "processes",
        shop_id=pl.lit(1, pl.Int32),
        order_id=pl.lit(order_id) + pl.int_range(pl.len()).cast(pl.String),
        raw_id=pl.int_range(pl.len(), dtype=pl.Int64),
        order_no=pl.int_range(pl.len(), dtype=pl.Int64),
    )


def export(lines: int, **columns: str | pl.Expr) -> pl.DataFrame:
    texts = {"Shop": "s", "No": "1", "Name": "Mug - Blue", "Qty": "2", "Price": "3.50"} | columns
    made = {name: text if isinstance(text, pl.Expr) else pl.lit(text, pl.String) for name, text in texts.items()}
    numbers = pl.DataFrame({LINE_NUMBER: pl.int_range(lines, eager=True)})
    return numbers.with_columns(pl.lit(None, pl.String).alias(ROW_ERROR), **made)


def said_once(lines: int, column: str, text: str) -> pl.DataFrame:
    """Make lines of which only the first has a value in a column."""
    return export(lines).with_columns(pl.Series(column, [text, *[None] * (lines - 1)]))


def gathered(lines: pl.DataFrame, preset: Preset = LINE_ITEMS) -> object:
    return list(group_lines([lines], preset))


NUMBER: Final = pl.col(LINE_NUMBER).cast(pl.String)


def corrected(rows: int, original: str) -> object:
    ids = {"quarantine_id": 1, "raw_id": 1, "mapping": "{}", "corrected_before": 0, "extra": None, "defect": None}
    texts = dict.fromkeys(RAW_COLUMNS, "x")
    optional = {"extra": pl.String, "defect": pl.String}
    originals = pl.DataFrame([ids | texts | {"items": original}], schema_overrides=optional)
    file = pl.select(row_no=pl.int_range(rows)).with_columns(
        quarantine_id=pl.lit(1, pl.Int64), **{name: pl.lit(text) for name, text in texts.items()}
    )
    earlier = pl.DataFrame(schema={"raw_id": pl.Int64, **dict.fromkeys(RAW_COLUMNS, pl.String)})
    return changed_rows(file.cast({"quarantine_id": pl.Int64}), originals, earlier)


def made(schema: Any, rows: int, **columns: pl.Expr) -> pl.DataFrame:
    """Make rows of a schema, null but for the given columns."""
    n = pl.int_range(rows, dtype=pl.Int64, eager=True).alias("n").to_frame()
    return n.select(
        columns.get(name, pl.lit(None)).cast(dtype).alias(name) for name, dtype in pl.Schema(schema).items()
    )


N: Final = pl.col("n")
N_TEXT: Final = pl.format("text {}", "n")
AT: Final = pl.datetime(2026, 5, 1, time_zone="UTC")
RAW: Final[dict[str, pl.DataType]] = {
    "raw_id": pl.Int64(),
    "defect": pl.String(),
    **dict.fromkeys(RAW_COLUMNS, pl.String()),
}


def named_shops(rows: int) -> pl.DataFrame:
    return distinct_shops(raw(rows, shop=N_TEXT, platform=N_TEXT), EVERY_COLUMN)


def shops() -> pl.DataFrame:
    known = {"shop_id": 1, "platform": "p", "shop_name": "s", "timezone": "Asia/Shanghai", "default_currency": None}
    return pl.DataFrame(known, schema_overrides={"shop_id": pl.Int32(), "default_currency": pl.String()})


def raw(rows: int, **columns: pl.Expr) -> pl.DataFrame:
    given = {"platform": pl.lit("p"), "shop": pl.lit("s"), "order_id": N_TEXT, "customer_name": N_TEXT, "raw_id": N}
    return made(
        RAW, rows, **{**given, "ordered_at": pl.lit("2026-05-01 10:00"), "amount": pl.lit("1,250.00"), **columns}
    )


def orders_of(raw_rows: pl.DataFrame) -> object:
    types = pl.DataFrame(
        {"order_type": [None], "system_order_type": ["BULK"]}, schema_overrides={"order_type": pl.String}
    )
    return read_orders(raw_rows, EVERY_COLUMN, shops(), types)


def versions(rows: int, order_id: pl.Expr = N_TEXT) -> pl.DataFrame:
    return made(ORDER_SCHEMA, rows, shop_id=pl.lit(1), order_id=order_id, raw_id=N, customer_nickname=N_TEXT)


def customer_orders(rows: int, customer: pl.Expr) -> pl.DataFrame:
    given = {"shop_id": pl.lit(1), "order_id": N_TEXT, "is_cancelled": pl.lit(value=False), "raw_id": N}
    named = {"customer_global_id": customer, "customer_nickname": customer, "ordered_at": AT}
    return made(CUSTOMER_ORDER_SCHEMA, rows, **given, **named)


def lead_orders(rows: int, customer: pl.Expr, **columns: pl.Expr) -> pl.DataFrame:
    given = {"shop_id": pl.lit(1), "order_id": N_TEXT, "raw_id": N, "customer_global_id": customer, "ordered_at": AT}
    told = {"is_cancelled": pl.lit(value=False), "system_order_type": pl.lit("BULK"), "amount": pl.lit(1)}
    known = {"lead_id": pl.String(), "lead_customer": pl.String()}
    return made({**LEAD_ORDER_SCHEMA, **known}, rows, **{**given, **told, **columns})


def leads(rows: int) -> pl.DataFrame:
    schema = {
        "lead_id": pl.String(), "customer_global_id": pl.String(), "lead_no": pl.Int32(), "current_stage": pl.String(),
    }  # fmt: skip
    given = {"lead_id": N_TEXT, "customer_global_id": N_TEXT, "lead_no": pl.lit(0), "current_stage": pl.lit("OPEN")}
    return made(schema, rows, **given)


def lines(rows: int, order_id: str) -> pl.DataFrame:
    """Make lines of one order, whose id they share."""
    numbered = made(ORDER_ITEMS.schema, rows, order_no=pl.lit(1), shop_id=pl.lit(1), line_no=N, quantity=pl.lit(1))
    return (
        numbered.drop("order_id").join(pl.DataFrame({"order_id": [order_id]}), how="cross").select(*ORDER_ITEMS.schema)
    )


def read_parts(rows: int) -> object:
    orders = text_orders(["x"] * rows, [None] * rows)
    part = made(LINE_SCHEMA, rows, raw_id=N, line_no=pl.lit(1), product=N_TEXT)
    bad = unreadable(orders.with_row_index("row"), _faults(rows), "BAD_ITEMS")
    return parse_lines(ORDER_ITEMS, orders, [(part, bad)] * 2)


def _faults(rows: int) -> pl.DataFrame:
    return made({"row": pl.UInt32, "reason": pl.String}, rows, row=N, reason=N_TEXT)


CASES: Final[dict[str, Callable[[int], object]]] = {
    "read_items: a long order as programs write it": lambda n: items(usual_items(2 * n)),
    "read_items: a long order beside an odd one": lambda n: items(other_items(2 * n), ODD),
    "read_items: a long odd order beside another": lambda n: items(other_items(n, z={"k": 1}), ODD, usual_items(n)),
    "read_items: many short orders": lambda n: items(*[usual_items(2)] * (5 * n), *[other_items(2)] * (5 * n)),
    "read_items: many odd orders": lambda n: items(*[other_items(2, z=[1])] * (4 * n)),
    "read_items: many that are no items": lambda n: items(*['[{"name":["a"]}]'] * (n // 4), other_items(n)),
    "read_items: odd processes of a long order": lambda n: items(other_items(n, processes=["x"]), ODD),
    "read_items: processes of one line": lambda n: items(
        compact([{"name": "a", "processes": json.loads(processes(4 * n))}])
    ),
    "read_items: too many lines": lambda n: items(other_items(10 * n), usual_items(10 * n), "a;" * (50 * n), ODD),
    "read_items: deep arrays": lambda n: items("[" * (200 * n), "[" * (200 * n) + "]" * (200 * n), ODD),
    "read_items: deep objects": lambda n: items(
        '[{"a":' * (50 * n), '[{"z":' + '{"a":' * (50 * n) + "1" + "}" * (50 * n) + "}]"
    ),
    "read_items: a wide object": lambda n: items(
        compact([{"name": "a", **{f"k{key}": {} for key in range(10 * n)}}]), ODD
    ),
    "read_items: one long text": lambda n: items(compact([{"name": "杯" * (100 * n)}]), ODD, "杯" * (100 * n)),
    "read_items: free text": lambda n: items(";".join(f"Mug {line} x2 @3.50" for line in range(2 * n)), ODD),
    "read_items: free text of keys and values": lambda n: items("Mug" + ";k:v" * (2 * n), "Mug" + " k:v" * (50 * n)),
    "read_items: free text of brackets": lambda n: items(
        "Mug" + "(" * (100 * n), "Mug" + "(a)" * (50 * n), "@1," * (2 * n)
    ),
    "read_items: malformed": lambda n: items(other_items(5 * n)[:-1], usual_items(5 * n)[1:], ODD),
    "read_items: a long order id": lambda n: items(other_items(2 * n), ODD, order_id="x" * (100 * n)),
    "unreadable": lambda n: unreadable(
        text_orders(["x"] * (20 * n), [None] * (20 * n)).with_row_index("row"), _faults(20 * n), "X"
    ),
    "read_processes: a long text beside an odd one": lambda n: order_processes(
        processes(5 * n), processes(1, z={"k": 1})
    ),
    "read_processes: many texts": lambda n: order_processes(
        *(processes(3, position=f"{order}") for order in range(2 * n))
    ),
    "read_processes: of lines": lambda n: order_processes(
        None, of_lines=other_items(n, processes=json.loads(processes(3)))
    ),
    "read_processes: free text": lambda n: order_processes(";".join(f"print {part}:chest*2" for part in range(5 * n))),
    "read_processes: deep": lambda n: order_processes("[" * (100 * n), '[{"process":"a","z":' + "[" * (100 * n)),
    "to_raw_orders: many lines": lambda n: to_raw_orders(export(20 * n, Other=NUMBER), ORDER_ROWS),
    "to_raw_orders: many columns": lambda n: to_raw_orders(
        export(50, **{f"c{c}": NUMBER for c in range(n // 5)}), ORDER_ROWS
    ),
    "to_raw_orders: a long cell": lambda n: to_raw_orders(export(2, Other=pl.lit('"\n' * (500 * n))), ORDER_ROWS),
    "file_headers": lambda n: file_headers(export(1, **{f"c{column}": "x" for column in range(n // 5)})),
    "without_empty_values": lambda n: without_empty_values(export(20 * n, Other=pl.lit("-")), DASHES),
    "group_lines: a long order": lambda n: gathered(export(10 * n, Other=NUMBER)),
    "group_lines: many orders": lambda n: gathered(export(10 * n, No=NUMBER, Other=NUMBER)),
    "group_lines: sums": lambda n: gathered(export(5 * n, No=NUMBER, Qty=pl.lit("3", pl.String)), SUMS),
    "group_lines: only the first line names the shop": lambda n: gathered(said_once(10 * n, "Shop", "s" * (20 * n))),
    "group_lines: only the first line says the rest": lambda n: gathered(said_once(10 * n, "Other", "x" * (20 * n))),
    "changed_rows: many about one long text": lambda n: corrected(n, "x" * (100 * n)),
    "read_orders: many": lambda n: orders_of(raw(10 * n)),
    "read_orders: long texts": lambda n: orders_of(
        raw(100, customer_name=pl.lit("张" * (2 * n)), order_id=pl.lit("x" * (5 * n)))
    ),
    "read_orders: a long shop": lambda n: orders_of(
        raw(100, shop=pl.lit("s" * (5 * n)), order_status=pl.lit("é" * (5 * n)))
    ),
    "join_faults": lambda n: join_faults(
        made({"row": pl.Int64(), "reason": pl.String()}, 20 * n, row=N // 2, reason=N_TEXT), "row", "reason"
    ),
    "order_keys": lambda n: order_keys(raw(10 * n, shop=N_TEXT), shops()),
    "newest_versions: many of one order": lambda n: newest_versions(versions(20 * n, pl.lit("o"))),
    "newest_versions: many orders": lambda n: newest_versions(versions(10 * n)),
    "compare_with_stored": lambda n: compare_with_stored(
        versions(10 * n), versions(10 * n).with_columns(lines_differ=True)
    ),
    "compare_anew": lambda n: compare_anew(versions(10 * n), versions(10 * n)),
    "distinct_shops": lambda n: distinct_shops(raw(10 * n, shop=N_TEXT, platform=N_TEXT), EVERY_COLUMN),
    "new_shops": lambda n: new_shops(*[raw(10 * n, shop=N_TEXT).select("platform", shop_name="shop")] * 2),
    "first_shops": lambda n: first_shops(pl.concat([named_shops(5 * n)] * 2)),
    "settled_shops": lambda n: settled_shops(
        named_shops(5 * n), named_shops(5 * n).with_row_index("shop_id").with_columns(is_provisional=True)
    ),
    "shops_of_imports": lambda n: shops_of_imports(
        [(EVERY_COLUMN, raw(5 * n, shop=N_TEXT, platform=N_TEXT).with_columns(import_batch_id="raw_id"))] * 2
    ),
    "summarise_customers: many": lambda n: summarise_customers(customer_orders(10 * n, N_TEXT), shops()),
    "summarise_customers: one": lambda n: summarise_customers(customer_orders(20 * n, pl.lit("x")), shops()),
    "without_orders": lambda n: without_orders(made(CUSTOMER_SCHEMA, 10 * n, customer_key=N_TEXT)),
    "attach_orders: many customers": lambda n: attach_orders(lead_orders(5 * n, N_TEXT), leads(5 * n)),
    "with_reverted": lambda n: with_reverted(
        attach_orders(lead_orders(5 * n, N_TEXT), leads(5 * n)), lead_orders(5 * n, N_TEXT).select(*ORDER_KEY)
    ),
    "attach_orders: one customer": lambda n: attach_orders(lead_orders(10 * n, pl.lit("text 0")), leads(10)),
    "lead_figures: many": lambda n: lead_figures(lead_orders(5 * n, N_TEXT, lead_id=N_TEXT)),
    "lead_figures: a long currency": lambda n: lead_figures(
        lead_orders(2 * n, pl.lit("x"), lead_id=pl.lit("x"), currency=pl.when(N == 0).then(pl.lit("x" * (50 * n))))
    ),
    "empty_figures": lambda n: empty_figures(leads(10 * n)),
    "figures_and_withdrawals": lambda n: figures_and_withdrawals(
        leads(10 * n).select("lead_id"), lead_orders(5 * n, N_TEXT, lead_id=N_TEXT), leads(10 * n)
    ),
    "withdrawn_leads": lambda n: withdrawn_leads(leads(10 * n), leads(10 * n)),
    "parse_lines": lambda n: read_parts(10 * n),
    "diff_rows": lambda n: diff_rows(lines(10 * n, "o"), lines(10 * n, "o" * (20 * n)), ORDER_ITEMS.key),
    "copied rows: many": lambda n: copied(lines(20 * n, "o")),
    "copied rows: a long id that they share": lambda n: copied(lines(2 * n, "o" * (10 * n))),
    "parse_timestamps": lambda n: parse_timestamps(
        pl.Series(["2026-05-01T10:00:00Z", "01.05.2026 10:00", "x" * 100] * n),
        pl.Series(["Asia/Shanghai", "Europe/Berlin", "UTC"] * n),
        ["%d.%m.%Y %H:%M"],
    ),
}


def copied(rows: pl.DataFrame) -> int:
    """Encode rows as they are sent to the server, which takes the pieces one by one."""
    return sum(len(piece) for piece in encode_binary(rows, order_items_table.columns))


def peak() -> int:
    """Return the peak memory of this process, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def limit_address_space() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def measure(name: str, answer: Connection) -> None:
    limit_address_space()
    CASES[name](4)
    before = peak()
    for size in SIZES:
        CASES[name](size)
        answer.send(peak() - before)
    answer.close()
