"""Events: what listeners have in common, what every batch publishes, and that it is announced."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from etl_assets.asset_graph import SUBJECT_OF
from etl_assets.events.handler import EventRefusedError, event_task_handler
from etl_assets.events.payload import CHANNEL
from etl_assets.events.subjects import EVENT_VERSION
from etl_assets_tests.helpers.pipeline import land, query, raw_fields, run_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etl_assets.pipeline.protocol import Services

GOOD = {"event": "ORDERS_ETL_COMPLETED", "event_version": "1.0", "batch_id": 7, "import_ids": []}


def make(calls: list[Any]) -> Any:
    @event_task_handler(supported_version="1.0", required_fields=("batch_id", "import_ids"), task_name="lines")
    def listener(payload: Mapping[str, Any], extra: int = 0) -> int:
        """Listen."""
        calls.append(payload)
        return extra + 1

    return listener


def test_a_listener_gets_the_payload_and_its_result_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[Any] = []
    with caplog.at_level(logging.INFO):
        assert make(calls)(GOOD, extra=2) == 3
    assert calls == [GOOD]
    messages = [record.getMessage() for record in caplog.records]
    assert messages[0] == "lines event=ORDERS_ETL_COMPLETED batch=7 started"
    assert messages[1].startswith("lines event=ORDERS_ETL_COMPLETED batch=7 done in ")
    assert make(calls).__name__ == "listener"


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ({**GOOD, "event_version": "2.0"}, "version '2.0', it understands '1.0'"),
        ({key: value for key, value in GOOD.items() if key != "event_version"}, "version None"),
        ({**GOOD, "batch_id": None}, "missing batch_id"),
        ({"event_version": "1.0"}, "missing batch_id, import_ids"),
    ],
)
def test_a_payload_of_another_version_or_without_its_fields_is_refused(
    payload: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[Any] = []
    with pytest.raises(EventRefusedError, match=words):
        make(calls)(payload)
    assert calls == []
    assert words in caplog.text


def test_an_async_listener_is_awaited_and_checked_the_same_way() -> None:
    @event_task_handler(supported_version="1.0", required_fields=("batch_id",), task_name="lines")
    async def listener(payload: Mapping[str, Any]) -> Any:
        await asyncio.sleep(0)
        return payload["batch_id"]

    assert asyncio.run(listener(GOOD)) == 7
    with pytest.raises(EventRefusedError):
        asyncio.run(listener({**GOOD, "batch_id": None}))


@pytest.mark.parametrize("is_async", [False, True])
def test_an_error_of_a_listener_is_logged_without_its_text_and_raised(
    caplog: pytest.LogCaptureFixture, *, is_async: bool
) -> None:
    def fail(_: Mapping[str, Any]) -> None:
        msg = "Ann Secret"
        raise ValueError(msg)

    async def fail_async(payload: Mapping[str, Any]) -> None:
        fail(payload)

    decorate = event_task_handler(supported_version="1.0", required_fields=(), task_name="lines")
    with pytest.raises(ValueError, match="Ann Secret"):
        asyncio.run(decorate(fail_async)(GOOD)) if is_async else decorate(fail)(GOOD)
    assert "lines event=ORDERS_ETL_COMPLETED batch=7 failed after" in caplog.text
    assert "ValueError" in caplog.text
    assert "Secret" not in caplog.text


def test_every_batch_publishes_its_event_with_all_fields(services: Services) -> None:
    import_id = str(land(services, [raw_fields("1", customer_name="Ann", items="杯子"), raw_fields("2", amount="x")]))
    run_all(services)
    events = query(services, "SELECT subject, payload FROM etl_events ORDER BY event_id")
    batches = query(services, "SELECT * FROM etl_batches ORDER BY batch_id")
    assert [event["subject"] for event in events] == [SUBJECT_OF[batch["asset"]] for batch in batches]
    assert [batch["asset"] for batch in batches] == list(SUBJECT_OF)
    for event, batch in zip(events, batches, strict=True):
        payload = event["payload"]
        assert payload.pop("duration") >= 0
        assert payload == {
            "event": SUBJECT_OF[batch["asset"]],
            "event_version": EVENT_VERSION,
            "batch_id": batch["batch_id"],
            "import_ids": [import_id],
            "status": "partial_success" if batch["asset"] == "orders" else "success",
            "success_count": batch["input_rows"] - batch["quarantined"],
            "error_count": batch["quarantined"],
        }


def test_events_are_announced_when_they_are_committed(services: Services) -> None:
    url = services.database.url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as listener:
        listener.execute(f"LISTEN {CHANNEL}")
        land(services, [raw_fields("1", customer_name="Ann")])
        run_all(services)
        announced = [int(notice.payload) for notice in listener.notifies(timeout=5, stop_after=len(SUBJECT_OF))]
    events = query(services, "SELECT event_id, payload FROM etl_events ORDER BY event_id")
    assert announced == [event["event_id"] for event in events]


def test_nothing_new_publishes_nothing(services: Services) -> None:
    land(services, [raw_fields("1", customer_name="Ann")])
    run_all(services)
    before = query(services, "SELECT count(*) FROM etl_events")
    run_all(services)
    assert query(services, "SELECT count(*) FROM etl_events") == before
