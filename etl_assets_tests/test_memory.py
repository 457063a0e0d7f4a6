"""Memory grows with the bytes of the input and no faster, whatever shape it has; and no text can end the process.

Each case runs in a process of its own, with a limit of address space, for inputs of one, two and four times a size;
what counts is the peak beyond that of a tiny input. The sizes are such that what grows with the square, as 100 kB for
each of 1,000 rows do, is far beyond what is allowed.
"""

from __future__ import annotations

import importlib
import inspect
import multiprocessing
import pkgutil
from typing import TYPE_CHECKING, Any, Final

import pytest

import etl_assets
from etl_assets.run.registry import build_services
from etl_assets.settings import Settings
from etl_assets_tests.helpers import order_shapes
from etl_assets_tests.helpers.order_shapes import (
    ADDRESS_SPACE,
    CASES,
    ODD,
    limit_address_space,
    measure,
    other_items,
    processes,
)
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from etl_assets.pipeline.protocol import Services

ALLOWED: Final = (1, 3, 6)
"""How many times the memory of the first size each may take: twice as much as they should is no quadratic growth."""
SLACK: Final = 24 << 20
PATIENCE: Final = 120


def in_child(target: Callable[..., None], *args: Any) -> tuple[list[Any], int | None]:
    """Run a function in a process of its own; returns what it sent, and how the process ended."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([order_shapes.__name__])
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=target, args=(*args, sender))
    child.start()
    sender.close()
    sent = []
    try:
        while receiver.poll(PATIENCE):
            sent.append(receiver.recv())
    except EOFError:
        child.join(PATIENCE)
    child.kill()  # if it hangs
    child.join()
    return sent, child.exitcode


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_memory_grows_with_the_input_and_no_faster(name: str) -> None:
    peaks, exit_code = in_child(measure, name)
    assert exit_code == 0, f"it needed more than {ADDRESS_SPACE >> 20} MiB, or crashed, after {peaks}"
    allowed = [factor * peaks[0] + SLACK for factor in ALLOWED]
    assert all(got <= most for got, most in zip(peaks, allowed, strict=True)), [got >> 20 for got in peaks]


def test_every_pure_transform_is_measured() -> None:
    names = [module.name for module in pkgutil.walk_packages(etl_assets.__path__, "etl_assets.")]
    transforms = {
        name
        for module in names
        if module.endswith(".transform")
        for name, function in inspect.getmembers(importlib.import_module(module), inspect.isfunction)
        if function.__module__ == module and not name.startswith("_")
        if any("pl.DataFrame" in str(kind) for kind in inspect.get_annotations(function).values())
    }
    assert len(transforms) > 15
    assert transforms <= {name.partition(":")[0] for name in CASES}


LONG: Final = 100_000
HOSTILE: Final = {
    "long": {"items": other_items(LONG)},
    "longest": {"items": other_items(10_000)},
    "too long": {"items": other_items(10_001)},
    "long text": {"items": "a;" * LONG},
    "odd": {"items": ODD},
    "null": {"items": '[{"name":"a"},null]'},
    "escaped": {"items": '[{"name":"a\\u0000"}]'},
    "deep arrays": {"items": "[" * LONG, "processes": "[" * LONG},
    "closed": {"items": "[" * LONG + "]" * LONG},
    "deep objects": {"items": '{"a":' * LONG, "processes": '[{"a":' * LONG},
    "deep within": {"items": '[{"name":"a","z":' + '{"a":' * LONG + "1" + "}" * LONG + "}]"},
    "many processes": {"items": "a", "processes": processes(LONG)},
    "odd processes": {"items": '[{"name":"a","processes":[{"process":"a","z":{"k":1}}]}]'},
}


def run_limited(url: str, home: str, answer: Connection) -> None:
    services = build_services(Settings(database_url=url, home=home))
    limit_address_space()
    run_all(services)
    services.database.dispose()
    answer.close()


@pytest.mark.slow
def test_no_text_ends_a_run_or_takes_its_neighbours_along(services: Services, settings: Settings) -> None:
    rows = [raw_fields(f"good {number}", items="Mug*2", processes="绣") for number in range(3)]
    land(services, [*rows, *(raw_fields(name, **texts) for name, texts in HOSTILE.items())])
    url = services.database.url.render_as_string(hide_password=False)
    _, exit_code = in_child(run_limited, url, str(settings.home))
    assert exit_code == 0
    assert query(services, "SELECT count(*) FROM orders") == [{"count": 3 + len(HOSTILE)}]
    stored = query(services, "SELECT order_id, count(*) AS lines FROM order_items GROUP BY order_id")
    assert {row["order_id"]: row["lines"] for row in stored} == {
        **{f"good {number}": 1 for number in range(3)},
        "longest": 10_000,
        "odd": 1,
        "many processes": 1,
        "odd processes": 1,
    }
    refused = query(services, "SELECT order_id, reason_code, reason FROM quarantine")
    reasons = {(row["order_id"], row["reason_code"]): row["reason"] for row in refused}
    lines_of = {name for name, code in reasons if code == "BAD_ITEMS"}
    assert lines_of == {*HOSTILE} - {"longest", "odd", "many processes", "odd processes"}
    assert {name for name, code in reasons if code == "BAD_PROCESSES"} == {
        "deep arrays", "deep objects", "many processes",
    }  # fmt: skip
    for name in ("long", "too long", "long text"):
        assert reasons[name, "BAD_ITEMS"] == "the text has more than 10,000 lines"
    assert reasons["many processes", "BAD_PROCESSES"] == "processes of the order: more than 50,000 processes"
    processed = query(services, "SELECT order_id, count(*) FROM process_items GROUP BY order_id ORDER BY order_id")
    assert [row["order_id"] for row in processed] == ["good 0", "good 1", "good 2", "odd processes"]
