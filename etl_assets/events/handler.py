"""`event_task_handler`: decorator of every listener of an event.

Version check, required fields, error handling and the format of the log lines are here and nowhere else. Not here:
which events a listener gets (`events.consumer`).
"""

from __future__ import annotations

import functools
import inspect
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

from etl_assets.errors import EtlError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

logger = logging.getLogger(__name__)

More = ParamSpec("More")
Result = TypeVar("Result")
Payload = Mapping[str, Any]


class EventRefusedError(EtlError):
    """The payload is of another version or lacks a required field; the listener was not called."""


def event_task_handler(
    *, supported_version: str, required_fields: Sequence[str], task_name: str
) -> Callable[[Callable[Concatenate[Payload, More], Result]], Callable[Concatenate[Payload, More], Result]]:
    """Turn a function (plain or async) whose first argument is an event's payload into a listener.

    Args:
        supported_version: the only `event_version` that is accepted.
        required_fields: fields that the payload must have, not null.
        task_name: name of the listener in the log.

    Raises:
        EventRefusedError: by the listener, when the payload does not fit.
    """

    def decorate(
        listener: Callable[Concatenate[Payload, More], Result],
    ) -> Callable[Concatenate[Payload, More], Result]:
        @functools.wraps(listener)
        def handle(payload: Payload, /, *args: More.args, **kwargs: More.kwargs) -> Result:
            _check(payload, supported_version, required_fields, task_name)
            with _Logged(task_name, payload):
                return listener(payload, *args, **kwargs)

        @functools.wraps(listener)
        async def handle_async(payload: Payload, /, *args: More.args, **kwargs: More.kwargs) -> object:
            _check(payload, supported_version, required_fields, task_name)
            with _Logged(task_name, payload):
                return await cast("Awaitable[object]", listener(payload, *args, **kwargs))

        if inspect.iscoroutinefunction(listener):
            return cast("Callable[Concatenate[Payload, More], Result]", handle_async)
        return handle

    return decorate


def _check(payload: Payload, supported_version: str, required_fields: Sequence[str], task_name: str) -> None:
    version = payload.get("event_version")
    missing = [field for field in required_fields if payload.get(field) is None]
    if version != supported_version:
        msg = f"{task_name} refused an event: version {version!r}, it understands {supported_version!r}."
    elif missing:
        msg = f"{task_name} refused an event: missing {', '.join(missing)}."
    else:
        return
    logger.error(msg)
    raise EventRefusedError(msg)


class _Logged:
    """Logs begin, end and failure of one call in one format; never swallows the error."""

    def __init__(self, task_name: str, payload: Payload) -> None:
        self.label = f"{task_name} event={payload.get('event')} batch={payload.get('batch_id')}"

    def __enter__(self) -> None:
        self.started = time.perf_counter()
        logger.info("%s started", self.label)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        seconds = time.perf_counter() - self.started
        if kind is None:
            logger.info("%s done in %.3f s", self.label, seconds)
        else:
            logger.error("%s failed after %.3f s: %s", self.label, seconds, kind.__name__)
