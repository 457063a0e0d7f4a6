"""Look-ups of any number of keys, of any content, in a bounded number of statements."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import polars as pl
import psycopg
import pytest

from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl_assets.pipeline.protocol import Services

HOSTILE = (
    'O\'Brien "Bob"',
    "back\\slash",
    "🧵👩‍👩‍👧",
    "a,b;c",
    "\\N",
    "NULL",
    "'; DROP TABLE customers; --",
    "%s $1 :x",
    "a\tb",
)


@pytest.fixture
def stocked(services: Services) -> Services:
    """Services on a database with a customer of each hostile name."""
    land(services, [raw_fields(str(number), customer_name=name) for number, name in enumerate(HOSTILE)])
    run_all(services)
    return services


@contextmanager
def counted_statements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Count what is sent to the server through the driver's cursors."""
    sent: list[str] = []
    execute, copy = psycopg.Cursor.execute, psycopg.Cursor.copy

    def counting_execute(self: Any, statement: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(str(statement))
        return execute(self, statement, *args, **kwargs)

    def counting_copy(self: Any, statement: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(str(statement))
        return copy(self, statement, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", counting_execute)
        patch.setattr(psycopg.Cursor, "copy", counting_copy)
        yield sent


def test_customers_are_found_by_id_by_key_and_by_name_whatever_is_in_it(stocked: Services) -> None:
    queries = stocked.vectorized_queries
    stored = query(stocked, "SELECT customer_global_id::text, customer_key, shop_id, customer_nickname FROM customers")
    everyone = pl.DataFrame(stored).with_columns(pl.col("shop_id").cast(pl.Int32))
    assert set(everyone["customer_nickname"]) == set(HOSTILE)
    for columns in (["customer_global_id"], ["customer_key"], ["shop_id", "customer_nickname"]):
        found = queries.batch_lookup_customers(everyone.select(columns))
        assert set(found["customer_nickname"]) == set(HOSTILE), columns
        assert found.height == len(HOSTILE)
        assert set(found["order_count"]) == {1}


@pytest.mark.slow
def test_keys_that_are_unknown_double_null_or_can_not_exist_do_no_harm(stocked: Services) -> None:
    queries = stocked.vectorized_queries
    shop_id = query(stocked, "SELECT shop_id FROM shop_configs")[0]["shop_id"]
    names = [HOSTILE[0], HOSTILE[0], None, "nobody", "nul\0", "", HOSTILE[2]]
    keys = pl.DataFrame({"shop_id": [shop_id] * 7, "customer_nickname": names}, schema_overrides={"shop_id": pl.Int32})
    assert set(queries.batch_lookup_customers(keys)["customer_nickname"]) == {HOSTILE[0], HOSTILE[2]}
    assert queries.batch_lookup_customers(pl.DataFrame({"customer_key": ["\0"]})).is_empty()
    assert queries.batch_lookup_customers(pl.DataFrame(schema={"customer_key": pl.String})).is_empty()
    with pytest.raises(ValueError, match="no customer key"):
        queries.batch_lookup_customers(pl.DataFrame({"name": ["Ann"]}))


def test_the_leads_of_customers_are_found_whatever_their_stage(stocked: Services) -> None:
    ids = [row["id"] for row in query(stocked, "SELECT customer_global_id::text AS id FROM customers ORDER BY 1")]
    query(stocked, "UPDATE business_leads SET current_stage = 'WON'")
    found = stocked.vectorized_queries.batch_lookup_leads([*ids, str(uuid4()), ids[0]])
    assert found["customer_global_id"].to_list() == ids
    assert set(found["current_stage"]) == {"WON"}
    assert found.equals(stocked.vectorized_queries.batch_lookup_leads(pl.Series(ids)))
    assert stocked.vectorized_queries.batch_lookup_leads([]).is_empty()


def test_order_types_are_matched_cleaned_and_without_case_and_are_bulk_where_unmapped(services: Services) -> None:
    query(
        services,
        "INSERT INTO order_type_mappings VALUES ('样品', 'SAMPLE'), (' Proof ', 'PROOF'), ('O''Neil', 'SAMPLE')",
    )
    given = [" 样品 ", "ｐｒｏｏｆ", "o'neil", "unknown", None, "", "nul\0", "unknown"]
    found = services.vectorized_queries.batch_lookup_order_type_mappings(given)
    assert {row[0]: row[1:] for row in found.iter_rows()} == {
        " 样品 ": ("SAMPLE", True),
        "ｐｒｏｏｆ": ("PROOF", True),
        "o'neil": ("SAMPLE", True),
        "unknown": ("BULK", False),
        None: ("BULK", False),
        "": ("BULK", False),
        "nul\0": ("BULK", False),
    }
    assert found.height == 7


@pytest.mark.slow
def test_the_number_of_statements_does_not_depend_on_the_number_of_keys(
    stocked: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = stocked.vectorized_queries
    counts: dict[int, tuple[int, ...]] = {}
    for number in (10, 1_000, 100_000):
        texts = pl.Series("customer_key", [HOSTILE[0]]).append(
            pl.select(pl.format("p:s:{}", pl.int_range(number - 1))).to_series().alias("customer_key")
        )
        names = texts.to_frame("customer_nickname").with_columns(shop_id=pl.lit(1, pl.Int32))
        sent_for = []
        ids = [str(uuid4()) for _ in range(number)]
        look_ups = (
            partial(queries.batch_lookup_customers, texts.to_frame()),
            partial(queries.batch_lookup_customers, names),
            partial(queries.batch_lookup_order_type_mappings, texts),
            partial(queries.batch_lookup_leads, ids),
        )
        for look_up in look_ups:
            with counted_statements(monkeypatch) as sent:
                look_up()
            sent_for.append(len(sent))
        counts[number] = tuple(sent_for)
    assert counts[10] == counts[1_000]
    assert max(counts[100_000]) < 10
    few, many = counts[10][3], counts[100_000][3]
    assert few < many, "few ids travel with the query, without a temporary table"


@pytest.mark.slow
def test_a_million_keys_are_looked_up(stocked: Services) -> None:
    many = pl.select(pl.format("p:s:{}", pl.int_range(1_000_000)).alias("customer_key"))
    keys = pl.concat([many, pl.DataFrame({"customer_key": ["p:s:a,b;c"]})])
    found = stocked.vectorized_queries.batch_lookup_customers(keys)
    assert found["customer_nickname"].to_list() == ["a,b;c"]
