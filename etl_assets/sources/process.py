"""Parent side of the child processes of sources (`child`). A call has a deadline, after which its process is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Self

from etl_assets.child_process.parent import ChildEndedError, ChildProcess, ChildSilentError
from etl_assets.sources.errors import SourceReadError

if TYPE_CHECKING:
    from types import TracebackType

KINDS_OF_CODE: Final = {
    "28P01": "the user or the password is wrong",
    "28000": "this user may not connect from here",
    "3D000": "there is no such database",
    "42P01": "there is no such table",
    "42703": "there is no such column",
    "42501": "this user may not read it",
    "25006": "it would write, which a source never does",
    "57014": "it took longer than timeout_seconds",
    "57P01": "the server ended the connection",
    "1044": "this user may not use the database",
    "1045": "the user or the password is wrong",
    "1049": "there is no such database",
    "1054": "there is no such column",
    "1060": "two columns have the same name",
    "1142": "this user may not do that",
    "1146": "there is no such table",
    "1792": "it would write, which a source never does",
    "1969": "it took longer than timeout_seconds",
    "2003": "the server can't be reached",
}
"""Meanings of SQLSTATEs of PostgreSQL and of error numbers of MariaDB, for the user."""


class ChildFailedError(SourceReadError):
    """Error that the child answered with; `code` is the database's, where there is one."""

    def __init__(self, source: str, failed: str, error: str, code: str | None) -> None:
        """Build the text from the kind of error and its code."""
        self.code = code
        failure = "does not accept the connection" if failed == "connect" else "could not be read"
        meaning = KINDS_OF_CODE.get(code or "", "see the database's log")
        kind = f"{error}, code {code}" if code else error
        super().__init__(f"Source {source}: its database {failure}: {meaning} ({kind}). Nothing was imported.")


class Child:
    """Process of `etl_assets.sources.child`, started at once; a context manager."""

    def __init__(self, source: str, role: Literal["driver", "reader"]) -> None:
        """Start it."""
        self._source = source
        self._process = ChildProcess("etl_assets.sources.child", role)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it: it has nothing to save."""
        self.kill()

    def call(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and wait for its answer.

        Raises:
            SourceReadError: it failed, its process died, or there was no answer in time (then the process is killed).
        """
        try:
            self._process.send(request)
            answer, _ = self._process.receive(seconds)
        except ChildSilentError:
            msg = (
                f"Source {self._source}: its database did not answer within {seconds:g} s. Nothing was imported; "
                "the next pull tries again. Raise timeout_seconds if the read needs longer."
            )
            raise SourceReadError(msg) from None
        except ChildEndedError as ended:
            msg = f"Source {self._source}: the process that read it ended (code {ended.returncode}). Try again."
            raise SourceReadError(msg) from None
        if "failed" in answer:
            raise ChildFailedError(self._source, answer["failed"], answer["error"], answer["code"])
        return answer

    def kill(self) -> None:
        """End the process now and wait for it."""
        self._process.kill()
