"""Whatever the database refuses, at whatever statement: one row never stops the others, and none is lost."""

from __future__ import annotations

import json
import os
import random
import string
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, cycle
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl
import pytest
from alembic import command
from pydantic import SecretStr

from etl_assets.asset_graph import TABLE_OF
from etl_assets.batch_processor import BatchProcessor
from etl_assets.database import migrate
from etl_assets.database.database import Database
from etl_assets.errors import BatchFailedError
from etl_assets.pipeline import bisect_batch
from etl_assets.pipeline.protocol import Services
from etl_assets.quarantine.requeue import requeue
from etl_assets.run.registry import STEPS, run_asset
from etl_assets.settings import Settings
from etl_assets.vectorized_queries import VectorizedQueries
from etl_assets_tests.helpers.database_pool import TEMPLATE, DatabasePool
from etl_assets_tests.helpers.effort import some_of
from etl_assets_tests.helpers.pipeline import (
    assert_same,
    comparable,
    land,
    query,
    raw_fields,
    read_tables,
    run_all,
    run_all_whatever_fails,
    scalar,
)
from etl_assets_tests.helpers.wrapped_step import WrappedStep

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import sqlalchemy as sa

    from etl_assets.asset_graph import AssetName
    from etl_assets.ledger.queue import RawIdRange
    from etl_assets.pipeline.protocol import Step

pytestmark = pytest.mark.slow

Row = dict[str, str | None]
_numbers = count()


# --- values that no index can hold ------------------------------------------------------------------------------------


def incompressible(length: int, seed: int = 1) -> str:
    letters = random.Random(seed)  # noqa: S311  # not a secret; text that does not compress
    return "".join(letters.choices(string.ascii_letters + string.digits, k=length))


def quarantine(services: Services) -> list[dict[str, Any]]:
    return query(
        services, "SELECT asset, raw_id, reason_code, reason, resolution FROM quarantine ORDER BY asset, raw_id"
    )


def test_values_too_long_for_an_index_leave_996_of_1000_orders(services: Services) -> None:
    value = incompressible(5000)
    rows: list[Row] = [
        raw_fields(str(number), customer_name=f"c{number % 50}", items="cup*2") for number in range(1000)
    ]
    columns = {17: "shop", 317: "platform", 617: "order_type", 917: "order_id"}
    for number, column in columns.items():
        rows[number][column] = value
    land(services, rows)
    results = run_all(services)
    assert scalar(services, "SELECT count(*) FROM orders") == 996
    refused = quarantine(services)
    assert [row["raw_id"] for row in refused] == [number + 1 for number in columns]
    assert {(row["asset"], row["reason_code"]) for row in refused} == {("orders", "BAD_TEXT")}
    for row, column in zip(refused, columns.values(), strict=True):
        assert column in row["reason"]
        assert "2600" in row["reason"]
        assert value[:8] not in row["reason"]
    assert scalar(services, "SELECT count(*) FROM shop_configs") == 1
    assert (results["orders"].counts.input_rows, results["orders"].counts.quarantined) == (1000, 4)
    land(services, [raw_fields("later"), *(raw_fields(str(number)) for number in columns)])
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM orders") == 1001
    assert scalar(services, "SELECT count(*) FROM etl_work") == 0
    assert [row["resolution"] for row in quarantine(services)] == [None, None, "superseded", None]


# --- refusal at every write -------------------------------------------------------------------------------------------

DATA_STATES: Final = ("54000", "22001", "23505", "23514")
PASSING_STATES: Final = ("40P01", "57P01", "53100")
SEED: Final = int(os.environ.get("ETL_TEST_SEED", "12"))
"""Which rows are refused, and with which SQLSTATE."""
LATE: Final = 0.3
"""The share of refusals that come when the transaction commits."""
IDENTITIES: Final = ("order_id", "raw_id", "order_no", "lead_id", "customer_global_id", "order_type", "shop_name")
"""The columns by which a written row is told from others, the first that a table has."""
NOT_WRITTEN_BY_ASSETS: Final = ("raw_orders", "import_tasks", "seen_writes", "alembic_version")
FAULTS: Final = """
    CREATE TABLE seen_writes (number bigint GENERATED ALWAYS AS IDENTITY, name text, operation text, row jsonb);
    CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO seen_writes (name, operation, row)
        VALUES (TG_TABLE_NAME, TG_OP, CASE WHEN TG_LEVEL = 'ROW' THEN to_jsonb(coalesce(NEW, OLD)) END);
        RETURN NULL;
    END $$;
    CREATE FUNCTION refuse_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF to_jsonb(coalesce(NEW, OLD)) ->> TG_ARGV[1] = TG_ARGV[2] THEN
            RAISE EXCEPTION 'refused: %', TG_ARGV[2] USING ERRCODE = TG_ARGV[0];
        END IF;
        RETURN coalesce(NEW, OLD);
    END $$;
    CREATE FUNCTION refuse_statement() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval(TG_ARGV[2]) <= CAST(TG_ARGV[1] AS bigint) THEN
            RAISE EXCEPTION 'refused' USING ERRCODE = TG_ARGV[0];
        END IF;
        RETURN NULL;
    END $$;
"""
"""What notes writes, and what refuses them: those of one row for ever, or so many statements."""


class Write(NamedTuple):
    """What a batch does to a table."""

    table: str
    operation: str


@dataclass
class Undisturbed:
    """A run that nothing disturbs: the same changes are run again and again, each time with another fault."""

    template: sa.URL
    """The database before it."""
    before: dict[str, Any]
    after: dict[str, Any]
    open_quarantine: set[tuple[str, int, str]]
    written: dict[Write, list[dict[str, Any]]]
    """The rows of each kind of write; none where it is of statements that concern no row, or none that can be told."""


def first_orders() -> list[Row]:
    """Orders that are stored, and processed, before the run in question."""

    def one(order_id: str, customer: str | None, **fields: str | None) -> Row:
        given = {"amount": "10", "currency": "CNY", "ordered_at": "2024-01-05", "updated_at": "2024-01-05"}
        return raw_fields(order_id, customer_name=customer, **{**given, "items": "cup*2", **fields})

    return [
        one("same", "Ann"),
        one("lines", "Lin", items="cup*2;cap;mug", processes="print:front:2;print:back:1"),
        one("moved", "Mia", items="cup"),
        one("moved on", "Moe"),
        one("moved too", "Moe"),
        one("cancelled", "Xia"),
        one("of Xia", "Xia"),
        one("bad amount", "Bob", amount="oops"),
        one("bad items", "Bea", items="[3]"),
        one("bad processes", "Bo", processes="[3]"),
        one("cold", "Cai"),
        one("deleted lead", "Dee"),
        one("anonymous_orders", None),
    ]


def changed_orders() -> list[Row]:
    """What the run in question is about: something for every statement of every asset."""

    def one(order_id: str, customer: str | None, **fields: str | None) -> Row:
        given = {"amount": "20", "currency": "CNY", "ordered_at": "2024-01-05", "updated_at": "2024-02-05"}
        return raw_fields(order_id, customer_name=customer, **{**given, "items": "cup*2", **fields})

    return [
        one("same", "Ann", amount="10", updated_at="2024-01-05"),
        one("lines", "Lin", items="cup*3;cap", processes="print:front:3"),
        one("moved", "Max", items="cup"),
        one("moved too", "Max"),
        one("cancelled", "Xia", order_status="cancelled"),
        one("bad amount", "Bob"),
        one("bad items", "Bea"),
        one("bad processes", "Bo", processes="print:front:2"),
        one("returning", "Cai"),
        one("deleted lead", "Dee"),
        one("anonymous_orders", "Nan"),
        one("new", "Nia", order_type="sample", processes="print:front:2"),
        one("new shop", "Sue", shop="t", order_type="proof"),
        one("new bad amount", "Bob", amount="oops"),
        one("new bad items", "Bea", items="[4]"),
        one("new anonymous_orders", None),
    ]


ORDER_OF: Final = dict(enumerate((row["order_id"] or "" for row in [*first_orders(), *changed_orders()]), start=1))
"""The order of each raw row."""
BAD_BEFORE: Final = {
    ("orders", 8, "BAD_AMOUNT"),
    ("order_items", 9, "BAD_ITEMS"),
    ("process_items", 10, "BAD_PROCESSES"),
}


@pytest.fixture(scope="module")
def undisturbed(database_pool: DatabasePool) -> Iterator[Undisturbed]:
    """The changes in a database of their own, and what they come to."""
    with a_database(database_pool, TEMPLATE) as (url, services):
        land(services, first_orders())
        run_all(services)
        query(services, SET_COLD)
        query(services, DELETE_LEAD)
        land(services, changed_orders())
        with services.database.transaction() as connection:
            driver: Any = connection.connection.driver_connection
            driver.execute(FAULTS)
        before = comparable(services)
        services.database.dispose()
        with a_database(database_pool, str(url.database)) as (_, recording):
            for table in tables(recording):
                for level in ("ROW", "STATEMENT"):
                    add_trigger(recording, Write(table, "INSERT OR UPDATE OR DELETE"), "AFTER", level, "note_write()")
            run_all(recording)
            assert scalar(recording, "SELECT count(*) FROM etl_work") == 0
            written: dict[Write, list[dict[str, Any]]] = {}
            for seen in query(recording, "SELECT name, operation, row FROM seen_writes ORDER BY number"):
                rows = written.setdefault(Write(seen["name"], seen["operation"]), [])
                rows += [seen["row"]] if identity(seen["row"] or {}) else []
            after = comparable(recording)
            open_quarantine = read_tables(recording).tables.open_quarantine
        yield Undisturbed(url, before, after, open_quarantine, written)


@contextmanager
def a_database(pool: DatabasePool, template: str) -> Iterator[tuple[sa.URL, Services]]:
    """A copy of a database, and services that try again at once."""
    with pool.copy(template) as url:
        database = Database(Settings(database_url=SecretStr(url.render_as_string(hide_password=False))))
        patient = BatchProcessor(attempts=60, max_wait_seconds=0.001)
        yield url, Services(database, patient, VectorizedQueries(database))
        database.dispose()


SET_COLD: Final = (
    "UPDATE business_leads l SET current_stage = 'COLD' FROM customers c"
    " WHERE c.customer_global_id = l.customer_global_id AND c.customer_nickname = 'Cai'"
)
DELETE_LEAD: Final = (
    "DELETE FROM business_leads l USING customers c"
    " WHERE c.customer_global_id = l.customer_global_id AND c.customer_nickname = 'Dee'"
)


def tables(services: Services) -> list[str]:
    """All tables that assets may write."""
    found = query(services, "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'etl'::regnamespace")
    return sorted({row["relname"] for row in found} - set(NOT_WRITTEN_BY_ASSETS))


def identity(row: dict[str, Any]) -> tuple[str, str] | None:
    """The column and the value by which a row is told from others; one of the change log by the key of its row."""
    if "row_key" in row:
        return "row_key", json.dumps(row["row_key"])
    return next(((name, str(row[name])) for name in IDENTITIES if row.get(name) is not None), None)


def add_trigger(
    services: Services, write: Write, moment: str, level: str, function: str, *, is_late: bool = False
) -> None:
    kind, when = ("CONSTRAINT TRIGGER", "DEFERRABLE INITIALLY DEFERRED") if is_late else ("TRIGGER", "")
    query(
        services,
        f"CREATE {kind} fault_{next(_numbers)} {moment} {write.operation} ON {write.table} {when}"
        f" FOR EACH {level} EXECUTE FUNCTION {function}",
    )


def refuse_statements(services: Services, write: Write, state: str, times: int) -> None:
    """Refuse the next statements of that kind: whether they are rolled back or not, they are counted."""
    counter = f"counter_{write.table}_{write.operation}"
    query(services, f"CREATE SEQUENCE {counter}")
    add_trigger(services, write, "BEFORE", "STATEMENT", f"refuse_statement('{state}', '{times}', '{counter}')")


def stop_refusing(services: Services) -> None:
    for row in query(
        services, "SELECT tgname, tgrelid::regclass::text AS name FROM pg_trigger WHERE tgname ~ '^fault_'"
    ):
        query(services, f"DROP TRIGGER {row['tgname']} ON {row['name']}")


def orders_of(undisturbed: Undisturbed, column: str, value: str) -> set[str]:
    """The ids of the orders that a row belongs to, before the run or after it."""
    if column == "row_key":
        column, value = identity(json.loads(value)) or ("", "")
    if column in ("raw_id", "order_no"):
        return {ORDER_OF[int(value)]}
    found: set[str] = set()
    for stored in (undisturbed.before, undisturbed.after):
        leads = {str(lead): str(row["customer_global_id"]) for lead, row in stored["leads"].items()}
        for (_, shop, order_id), row in stored["orders"].items():
            named = {"order_id": order_id, "order_type": row["order_type"], "shop_name": shop}
            if str(named.get(column, row["customer_global_id"])) == leads.get(value, value):
                found.add(order_id)
    return found or {value}


def customers_of(undisturbed: Undisturbed, orders: set[str]) -> set[str]:
    """The customers that orders have, or had."""
    both = (undisturbed.before["orders"], undisturbed.after["orders"])
    return {str(row["customer_global_id"]) for stored in both for key, row in stored.items() if key[2] in orders}


def of_others(stored: dict[str, Any], orders: set[str], customers: set[str]) -> dict[str, Any]:
    """The tables without what belongs to some orders, and to their customers."""
    by_order = ("orders", "order_items", "process_items", "lead_orders")
    return {
        **{name: {key: row for key, row in stored[name].items() if key[2] not in orders} for name in by_order},
        **{
            name: {key: row for key, row in stored[name].items() if str(row["customer_global_id"]) not in customers}
            for name in ("customers", "leads")
        },
    }


def assert_same_tables(actual: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, rows in expected.items():
        assert_same(name, actual[name], rows)


def open_rows(services: Services) -> set[tuple[str, int, str]]:
    return read_tables(services).tables.open_quarantine


def assert_the_ledger_is_exact(services: Services) -> None:
    inexact = "input_rows <> inserted + updated + unchanged + superseded + quarantined"
    assert query(services, f"SELECT * FROM etl_batches WHERE {inexact}") == []  # noqa: S608  # a constant


def assert_run_again_as_undisturbed(services: Services, undisturbed: Undisturbed) -> None:
    """Once nothing is refused any more, a replay and a run bring everything."""
    stop_refusing(services)
    requeue(services.database)
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM etl_work") == 0
    assert_same_tables(comparable(services), undisturbed.after)
    assert open_rows(services) == undisturbed.open_quarantine
    assert_the_ledger_is_exact(services)


WRITTEN: Final = {
    *("shop_configs", "orders", "order_items", "process_items", "customers", "business_leads", "lead_orders"),
    *("quarantine", "order_moves", "lead_changes", "deleted_leads", "row_changes"),
}
"""Tables that the disturbed runs write to, at the least: a further module may have no rows of these orders."""


@pytest.mark.sampled
def test_a_row_that_is_refused_at_any_write_is_set_aside_and_the_others_load(
    database_pool: DatabasePool, undisturbed: Undisturbed
) -> None:
    """At every table and operation one row is refused for ever, and besides the first statement that comes."""
    draw = random.Random(SEED)  # noqa: S311  # not a secret
    writes = sorted(write for write, rows in undisturbed.written.items() if rows)
    assert {write.table for write in writes} >= WRITTEN
    cases = [
        (write, draw.choice(undisturbed.written[write]), draw.sample(DATA_STATES, 2), draw.random() < LATE)
        for write in writes
    ]
    for write, row, (state, at_first), is_late in some_of(cases, 8):
        column, value = identity(row) or ("", "")
        moment = "late at" if is_late else "at"
        case = f"{state} {moment} {write.operation} of {write.table} for {column} {value}, after {at_first}"
        with a_database(database_pool, str(undisturbed.template.database)) as (_, services), told(case):
            refuse_statements(services, write, at_first, times=1)
            function = f"refuse_row('{state}', '{column}', '{value}')"
            add_trigger(services, write, "AFTER" if is_late else "BEFORE", "ROW", function, is_late=is_late)
            # A row that is written alone is set aside at once, for the first refusal.
            states = (state, at_first) if len(undisturbed.written[write]) == 1 else (state,)
            _assert_set_aside(services, undisturbed, write, states, orders_of(undisturbed, column, value))
            assert_run_again_as_undisturbed(services, undisturbed)


def _assert_set_aside(
    services: Services, undisturbed: Undisturbed, write: Write, states: Sequence[str], orders: set[str]
) -> None:
    failed = run_all_whatever_fails(services)
    customers = customers_of(undisturbed, orders)
    assert_same_tables(
        of_others(comparable(services), orders, customers), of_others(undisturbed.after, orders, customers)
    )
    assert_the_ledger_is_exact(services)
    read = scalar(services, "SELECT sum(input_rows) FROM etl_batches WHERE asset = 'orders'")
    waiting = scalar(
        services, "SELECT coalesce(sum(high - low + 1), 0) FROM etl_work WHERE asset IN ('shop', 'orders')"
    )
    assert read + waiting == len(ORDER_OF)
    differing = open_rows(services) ^ undisturbed.open_quarantine
    assert {ORDER_OF[raw_id] for _, raw_id, _ in differing} <= orders
    pending = query(services, "SELECT low, high FROM etl_work")
    if write == ("quarantine", "INSERT"):  # there is no other place for the row: it alone stays pending
        assert len(failed) == 1
        assert {ORDER_OF[raw_id] for one in pending for raw_id in range(one["low"], one["high"] + 1)} == orders
        return
    assert (failed, pending) == ([], [])
    found = query(services, "SELECT reason FROM quarantine WHERE reason_code = 'DB_REJECTED' AND resolved_at IS NULL")
    assert found
    assert all(any(f"SQLSTATE {state}" in row["reason"] for state in states) for row in found)
    assert not any("refused:" in row["reason"] for row in found)


@pytest.mark.sampled
def test_what_is_refused_whatever_the_rows_are_sets_no_row_aside(
    database_pool: DatabasePool, undisturbed: Undisturbed
) -> None:
    """What the ledger, the queue and the events are written with: everything stays pending, and loads afterwards."""
    writes = sorted(write for write, rows in undisturbed.written.items() if not rows and write.table != "deleted_leads")
    assert {write.table for write in writes} >= {"etl_work", "etl_batches", "etl_events", "asset_epochs"}
    for number, write in some_of(list(enumerate(writes)), 3):
        state = DATA_STATES[number % len(DATA_STATES)]
        with (
            a_database(database_pool, str(undisturbed.template.database)) as (_, services),
            told(f"{state} at every {write.operation} of {write.table}"),
        ):
            refuse_statements(services, write, state, times=1_000_000)
            assert run_all_whatever_fails(services)
            assert open_rows(services) <= {*undisturbed.open_quarantine, *BAD_BEFORE}
            assert scalar(services, "SELECT count(*) FROM etl_work") > 0
            assert_run_again_as_undisturbed(services, undisturbed)


def test_what_passes_by_itself_is_tried_again_at_every_write(
    database_pool: DatabasePool, undisturbed: Undisturbed
) -> None:
    """Each statement of each batch fails the first time."""
    with a_database(database_pool, str(undisturbed.template.database)) as (_, services):
        for number, write in enumerate(sorted(undisturbed.written), start=SEED):
            refuse_statements(services, write, PASSING_STATES[number % len(PASSING_STATES)], times=1)
        assert run_all_whatever_fails(services) == []
        refused = "SELECT count(*) FROM pg_sequences WHERE sequencename ~ '^counter_' AND last_value > 1"
        assert scalar(services, refused) == len(undisturbed.written)
        assert_same_tables(comparable(services), undisturbed.after)
        assert open_rows(services) == undisturbed.open_quarantine
        assert scalar(services, "SELECT count(*) FROM etl_work") == 0
        assert_the_ledger_is_exact(services)


@contextmanager
def told(case: str) -> Iterator[None]:
    """Say which case it was that failed."""
    try:
        yield
    except Exception as error:
        error.add_note(case)
        raise


# --- what else stops a batch for one of its rows ----------------------------------------------------------------------


class PanicException(BaseException):
    """What panics of Rust code come as."""


class PanickingStep(WrappedStep):
    """A step whose rules can't take one raw row."""

    def __init__(self, step: Step, error: BaseException, raw_id: int) -> None:
        super().__init__(step)
        self.error, self.raw_id = error, raw_id

    def transform(self, queries: VectorizedQueries, rows: pl.DataFrame, ranges: Sequence[RawIdRange]) -> Any:
        if any(one.low <= self.raw_id <= one.high for one in ranges):
            raise self.error
        return self.step.transform(queries, rows, ranges)


def some_orders(number: int = 9) -> list[Row]:
    return [raw_fields(str(one), customer_name=f"c{one}", items="cup", processes="print") for one in range(number)]


ERRORS: Final = {"panic": PanicException("Ann"), "error": pl.exceptions.ComputeError("Ann")}


@pytest.mark.parametrize(
    ("asset", "error"),  # in turn
    [
        pytest.param(asset, error, id=f"{asset}-{name}")
        for asset, (name, error) in zip((one for one in STEPS if one != "shop"), cycle(ERRORS.items()), strict=False)
    ],
)
def test_a_row_that_a_library_gives_up_on_is_set_aside_alone(
    services: Services, asset: AssetName, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(services, some_orders())
    with monkeypatch.context() as patched:
        patched.setitem(STEPS, asset, PanickingStep(STEPS[asset], error, raw_id=5))
        run_all(services)
    (refused,) = quarantine(services)
    assert (refused["asset"], refused["raw_id"], refused["reason_code"]) == (asset, 5, "DB_REJECTED")
    assert "Ann" not in refused["reason"]
    table = TABLE_OF[asset]
    loaded = scalar(services, f"SELECT count(*) FROM {table}")  # noqa: S608  # a table of ours
    assert scalar(services, "SELECT count(*) FROM etl_work") == 0
    requeue(services.database)
    run_all(services)
    assert [row["resolution"] for row in quarantine(services)] == ["replayed"]
    stored = scalar(services, f"SELECT count(*) FROM {table}")  # noqa: S608  # as above
    assert (loaded, stored) == ((8, 9) if stored else (0, 0)), "a further module may have no rows of these orders"
    assert stored or asset not in ("orders", "order_items", "process_items", "customers", "leads")


def test_a_row_that_shop_gives_up_on_goes_on_to_orders(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    land(services, [*some_orders(4), raw_fields("other", shop="other"), *some_orders(3)])
    with monkeypatch.context() as patched:
        patched.setitem(STEPS, "shop", PanickingStep(STEPS["shop"], PanicException(), raw_id=5))
        results = run_all(services)
    (refused,) = quarantine(services)
    assert (refused["asset"], refused["raw_id"], refused["reason_code"]) == ("orders", 5, "MISSING_SHOP")
    assert "not in shop_configs" in refused["reason"]
    assert (results["shop"].counts.quarantined, results["orders"].counts.input_rows) == (1, 8)
    requeue(services.database)
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM orders") == 5
    assert [row["resolution"] for row in quarantine(services)] == ["replayed"]


def test_the_rows_of_a_shop_that_the_database_refuses_are_set_aside_with_its_reason(services: Services) -> None:
    query(services, "ALTER TABLE shop_configs ADD CONSTRAINT no_secrets CHECK (shop_name <> 'secret')")
    land(services, [raw_fields(str(one), shop=("s", "secret")[one % 2]) for one in range(240)])
    results = run_all(services)
    assert scalar(services, "SELECT count(*) FROM orders") == 120
    found = quarantine(services)
    assert {(row["asset"], row["reason_code"], row["resolution"]) for row in found} == {("orders", "DB_REJECTED", None)}
    (reason,) = {row["reason"] for row in found}
    assert "SQLSTATE 23514" in reason
    assert "constraint no_secrets" in reason
    assert "secret" not in reason.replace("no_secrets", "")
    assert (len(found), results["orders"].counts.input_rows) == (120, 240)
    assert results["shop"].status == "partial_success"
    query(services, "ALTER TABLE shop_configs DROP CONSTRAINT no_secrets")
    requeue(services.database)
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM orders") == 240
    assert {row["resolution"] for row in quarantine(services)} == {"replayed"}


def test_a_row_that_a_trigger_passes_over_is_set_aside_alone(services: Services) -> None:
    query(
        services,
        "CREATE FUNCTION pass_over() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF NEW.order_id = '5' THEN RETURN NULL; END IF; RETURN NEW; END $$",
    )
    query(services, "CREATE TRIGGER p BEFORE INSERT ON lead_orders FOR EACH ROW EXECUTE FUNCTION pass_over()")
    land(services, some_orders())
    run_all(services)
    assert [(row["asset"], row["raw_id"]) for row in quarantine(services)] == [("leads", 6)]
    assert scalar(services, "SELECT count(*) FROM lead_orders") == 8


def test_a_run_singles_out_so_many_rows_and_the_next_one_goes_on(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bisect_batch, "MAX_REJECTED_ROWS", 2)
    query(services, "ALTER TABLE order_types ADD CONSTRAINT only_good CHECK (order_type = 'good')")
    types = {2: "a", 3: "b", 6: "c", 7: "d", 8: "e"}
    land(services, [{**row, "order_type": types.get(one, "good")} for one, row in enumerate(some_orders(), start=1)])
    run_asset("shop", services)
    for rejected_rows, loaded in ((2, 2), (4, 4)):
        with pytest.raises(BatchFailedError, match="2 rows were rejected one by one, the limit of one run"):
            run_asset("orders", services)
        assert scalar(services, "SELECT count(*) FROM quarantine") == rejected_rows
        assert scalar(services, "SELECT count(*) FROM orders") >= loaded - 1
    run_all(services)
    assert scalar(services, "SELECT count(*) FROM quarantine") == 5
    assert scalar(services, "SELECT count(*) FROM orders") == 4
    assert scalar(services, "SELECT count(*) FROM etl_work") == 0
    land(services, [raw_fields(str(one), order_type="good", updated_at="2025-01-01") for one in range(9)])
    run_all(services)
    assert {row["resolution"] for row in quarantine(services)} == {"superseded"}


def test_a_lead_that_the_database_keeps_open_does_not_keep_the_others_open(services: Services) -> None:
    land(services, [{**row, "ordered_at": "2024-01-01"} for row in some_orders(5)])
    run_all(services)
    query(
        services,
        "ALTER TABLE business_leads ADD CONSTRAINT k CHECK (bulk_count < 1 OR current_stage <> 'COLD') NOT VALID",
    )
    query(
        services,
        "UPDATE business_leads SET bulk_count = 0"
        " WHERE lead_id <> (SELECT lead_id FROM business_leads ORDER BY lead_id LIMIT 1)",
    )
    services.database.settings = services.database.settings.model_copy(update={"cold_after_days": 1})
    assert run_asset("leads", services).counts.updated == 4
    assert scalar(services, "SELECT count(*) FROM business_leads WHERE current_stage = 'OPEN'") == 1


# --- upgrades ---------------------------------------------------------------------------------------------------------


def test_an_upgrade_lists_the_order_types_that_an_index_holds(settings: Settings, database_url: sa.URL) -> None:
    """What an older version has stored must not keep the schema back: here an order type and an order id."""
    database = Database(settings.model_copy(update={"db_schema": "older"}))
    services = Services(database, BatchProcessor(), VectorizedQueries(database))
    query(services, "CREATE SCHEMA older")
    with database.transaction() as connection:
        command.upgrade(migrate.alembic_config(connection), "0002")
    types = {
        "1": "sample",
        "2": "sample",
        "3": "x" * 9000,
        "4": incompressible(2650),
        "5": incompressible(5000),
        "6": None,
    }
    insert = (
        "INSERT INTO orders"
        " (shop_id, order_id, order_no, is_cancelled, order_type, system_order_type, raw_id, batch_id)"
        " VALUES (1, :order_id, :number, false, :order_type, 'BULK', :number, 1)"
    )
    for number, (order_id, order_type) in enumerate(types.items()):
        query(services, insert, order_id=order_id, order_type=order_type, number=number)
    attach = (
        "INSERT INTO lead_orders (shop_id, order_id, lead_id, strategy) VALUES (1, :order_id, gen_random_uuid(), 'new')"
    )
    query(services, attach, order_id=incompressible(2680))
    assert migrate.upgrade(database) == ("0002", migrate.newest_revision())
    listed = {row["order_type"] for row in query(services, "SELECT order_type FROM order_types")}
    assert listed == {types["1"], types["3"], types["4"]}
    assert scalar(services, "SELECT to_regclass('ix_lead_orders_lead_id') IS NOT NULL")
    database.dispose()
