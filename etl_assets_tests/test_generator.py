"""Generated exports: deterministic, in the platforms' real formats, with the errors that real exports have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest

from etl_assets.generator import benchmark, generic
from etl_assets.generator.benchmark import write_benchmark_orders
from etl_assets.generator.demo import DemoFile, write_demo_files
from etl_assets.generator.errors import BAD_AMOUNT, BAD_ITEMS, BAD_PROCESSES, BAD_TIMESTAMP, GENERIC_ERRORS, draw_errors
from etl_assets.generator.platforms.write import EXPECTED
from etl_assets.generator.random_columns import chunks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ORDERS = 3_000
GENERIC_ORDERS = 600
BENCHMARK_CHUNK = 500


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DemoFile]:
    written = write_demo_files(tmp_path_factory.mktemp("demo"), orders=ORDERS)
    return {file.path.name: file for file in written}


@pytest.fixture(scope="module")
def generic_orders(files: dict[str, DemoFile]) -> pl.DataFrame:
    return read(files["generic_orders.csv"].path)


def read(path: Path, encoding: str = "utf-8") -> pl.DataFrame:
    return pl.read_csv(path.read_bytes().decode(encoding).encode(), infer_schema=False)


def distinct(frame: pl.DataFrame, column: str) -> set[str | None]:
    return set(frame.get_column(column).unique())


def faulty_rows(frame: pl.DataFrame) -> pl.DataFrame:
    is_dirty = [
        pl.col(column).eq_missing(pl.lit(text, dtype=pl.String))
        for columns in GENERIC_ERRORS.values()
        for column, text in columns.items()
    ]
    return frame.filter(pl.any_horizontal(is_dirty))


def json_items(items: pl.Series) -> Sequence[list[dict[str, object]]]:
    return [json.loads(text) for text in items if text.startswith("[") and text != BAD_ITEMS]


def test_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path, files: dict[str, DemoFile]) -> None:
    again = write_demo_files(tmp_path / "again", orders=ORDERS)
    other = write_demo_files(tmp_path / "other", orders=ORDERS, seed=8)
    assert [file.path.read_bytes() for file in again] == [file.path.read_bytes() for file in files.values()]
    assert all(a.path.read_bytes() != b.path.read_bytes() for a, b in zip(again, other, strict=True))


def test_files_say_how_they_are_to_be_imported(files: dict[str, DemoFile]) -> None:
    assert {name: (file.preset, file.shop, file.currency) for name, file in files.items()} == {
        "taobao-old.csv": ("taobao", "刻刻时光礼品店", None),
        "taobao_items-old.csv": ("taobao_items", "刻刻时光礼品店", None),
        "etsy_orders-us.csv": ("etsy_orders", "Maple & Thread", None),
        "etsy_items-us.csv": ("etsy_items", "Maple & Thread", None),
        "shopify-79.csv": ("shopify", "North Stitch", None),
        "ebay-us.csv": ("ebay", "Kiln & Co", "USD"),
        "alibaba1688-merged.xlsx": ("alibaba1688", None, None),
        "generic_orders.csv": ("generic", None, None),
    }


def test_all_files_together_hold_the_orders_asked_for(files: dict[str, DemoFile], generic_orders: pl.DataFrame) -> None:
    repeated = generic_orders.filter(pl.col("order_id").is_duplicated() & pl.col("order_id").is_not_null())
    assert generic_orders.height >= GENERIC_ORDERS
    assert repeated.height > 0
    folder = files["generic_orders.csv"].path.parent / EXPECTED
    of_platforms = {one.stem: len(one.read_text(encoding="utf-8").splitlines()) for one in folder.iterdir()}
    assert of_platforms["taobao-old"] == of_platforms.pop("taobao_items-old")
    assert of_platforms["etsy_orders-us"] == of_platforms.pop("etsy_items-us")
    assert sum(of_platforms.values()) + GENERIC_ORDERS == ORDERS


def test_too_few_orders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 10"):
        write_demo_files(tmp_path, orders=9)


def test_a_handful_of_orders_still_makes_every_file(tmp_path: Path) -> None:
    assert all(file.path.stat().st_size > 0 for file in write_demo_files(tmp_path, orders=10))


def test_generic_export_has_every_kind_of_dirt_and_little_of_it(generic_orders: pl.DataFrame) -> None:
    assert tuple(generic_orders.columns) == generic.HEADERS
    assert faulty_rows(generic_orders).height == GENERIC_ORDERS // 100
    assert BAD_AMOUNT in distinct(generic_orders, "amount")
    assert 0 < generic_orders["refunded_amount"].count() < GENERIC_ORDERS // 20
    assert BAD_TIMESTAMP in distinct(generic_orders, "ordered_at")
    assert BAD_ITEMS in distinct(generic_orders, "items")
    assert BAD_PROCESSES in distinct(generic_orders, "processes")
    assert generic_orders.select("order_id", "shop").null_count().row(0) == (1, 1)


def test_generic_names_have_full_width_masked_and_emoji_forms_and_come_back(generic_orders: pl.DataFrame) -> None:
    names = generic_orders.get_column("customer_name")
    for form in (r"[Ａ-Ｚａ-ｚ０-９]", r"\*\*$", "🌸$", r"^\s"):
        assert names.str.contains(form).any(), form
    per_customer = generic_orders.group_by("platform", "shop", "customer_name").len()
    assert per_customer.get_column("len").mean() == pytest.approx(3, abs=1)


def test_generic_order_types_are_mapped_ones_unmapped_ones_and_none(generic_orders: pl.DataFrame) -> None:
    types = distinct(generic_orders, "order_type")
    assert {"样品", "打样", "大货", "sample", "proof", "bulk", "返单", "wholesale", None} <= types


def test_generic_items_are_json_with_processes_or_free_text(generic_orders: pl.DataFrame) -> None:
    good = generic_orders.filter(pl.col("items") != BAD_ITEMS)
    is_json = pl.col("items").str.starts_with("[")
    first = json_items(good.get_column("items"))[0][0]
    assert list(first)[:6] == ["name", "variant", "sku", "quantity", "unit_price", "processes"]
    read = [item for items in json_items(good.get_column("items")) for item in items]
    assert any("process" in str(item["processes"]) for item in read)
    assert 0 < sum("personalisation" in item for item in read) < len(read) / 5
    text = good.filter(~is_json)
    for separator in ("；", "\n", " | ", "，", "×", "*", "件"):
        assert text.get_column("items").str.contains(separator, literal=True).any(), separator
    assert text.get_column("processes").str.contains(r"^[^:]+:[^:;*]+(\*\d)?(;|$)").any()


def test_repeated_orders_are_later_versions(generic_orders: pl.DataFrame) -> None:
    versions = generic_orders.filter(pl.col("order_id").is_not_null()).with_columns(
        at=pl.col("updated_at").str.head(19).str.replace("T", " ").str.to_datetime("%Y-%m-%d %H:%M:%S")
    )
    later = versions.group_by("order_id").agg(pl.len(), is_later=pl.col("at").last() > pl.col("at").first())
    repeated = later.filter(pl.col("len") > 1)
    assert repeated.height > 0
    assert repeated.get_column("is_later").all()


def test_as_many_rows_as_asked_for_are_faulty_with_all_kinds_in_turn() -> None:
    chunk = next(chunks(1, "test", 1_000, 1_000))
    exact = draw_errors(chunk.rng, ("a", "b", "c"), 0.1, 1_000)
    assert sorted(exact.drop_nulls().value_counts().get_column("count")) == [33, 33, 34]
    assert draw_errors(chunk.rng, ("a", "b", "c"), 0.001, 1_000, each_kind=True).drop_nulls().n_unique() == 3
    assert draw_errors(chunk.rng, ("a", "b", "c"), 0.0, 1_000, each_kind=True).null_count() == 1_000


def test_benchmark_file_has_the_generic_columns_as_text_and_a_row_group_per_chunk(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    write_benchmark_orders(path, orders=1_750, chunk_orders=BENCHMARK_CHUNK)
    orders = pl.read_parquet(path)
    assert orders.schema == pl.Schema(dict.fromkeys(benchmark.HEADERS, pl.String()))
    assert orders.height == 1_750
    assert orders.get_column("order_id").n_unique() == 1_750
    assert faulty_rows(orders).is_empty()


def test_benchmark_orders_have_the_shares_that_the_benchmark_counts_on(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    write_benchmark_orders(path, orders=20_000)
    orders = pl.read_parquet(path)
    named = orders.filter(pl.col("customer_name").is_not_null())
    customers = named.group_by("platform", "shop", "customer_name").len().get_column("len")
    assert orders.select("platform", "shop").n_unique() == 40
    assert 1 - named.height / orders.height == pytest.approx(0.05, abs=0.01)
    assert (orders.get_column("order_status") == "cancelled").mean() == pytest.approx(0.05, abs=0.01)
    assert 3 < named.height / customers.len() < 4
    assert customers.max() > 50  # type: ignore[operator]  # Polars types max by all column types


def test_benchmark_amount_is_the_sum_of_the_items_and_times_have_an_offset(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    write_benchmark_orders(path, orders=50, items_per_order=3, processes_per_item=2)
    orders = pl.read_parquet(path)
    for amount, items in zip(orders.get_column("amount"), json_items(orders.get_column("items")), strict=True):
        assert [len(item["processes"]) for item in items] == [2, 2, 2]  # type: ignore[arg-type]  # parsed JSON
        total = sum(round(float(str(item["unit_price"])) * 100) * int(str(item["quantity"])) for item in items)
        assert f"{total // 100}.{total % 100:02d}" == amount
    placed, edited = (
        orders.get_column(name).str.to_datetime("%Y-%m-%dT%H:%M:%S%z") for name in ("ordered_at", "updated_at")
    )
    assert (edited > placed).all()


def test_benchmark_is_repeatable_and_has_exactly_the_bad_rows_asked_for(tmp_path: Path) -> None:
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    for path in (first, second):
        write_benchmark_orders(path, orders=3_000, bad_share=0.06, chunk_orders=BENCHMARK_CHUNK)
    orders = pl.read_parquet(first)
    assert orders.equals(pl.read_parquet(second))
    assert faulty_rows(orders).height == 180
    assert (orders.get_column("amount") == BAD_AMOUNT).sum() == 30


def test_benchmark_of_no_orders_is_an_empty_file_of_the_same_columns(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    write_benchmark_orders(path, orders=0)
    assert pl.read_parquet(path).shape == (0, len(benchmark.HEADERS))
