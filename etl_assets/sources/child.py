"""Child process that connects to the database of a source, so that no driver can hang or crash the parent.

Its role is ``driver`` (small statements, through SQLAlchemy) or ``reader`` (bulk reads, through ConnectorX). The hazard
of one process for both is SQLite: two libraries of it in a process drop each other's locks. `process` is the parent
side (docs/decisions.md, "Source processes"). Answers to failures hold the kind
of error and its code, never its text, which quotes values.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any, Final

from etl_assets.child_process.child import serve

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK_ROWS: Final = 20_000
CONNECT_SECONDS: Final = 5
CODES_OF_TEXTS: Final = {
    "password authentication failed": "28P01",
    "due to statement timeout": "57014",
    "due to administrator command": "57P01",
    "read-only transaction": "25006",
    "permission denied": "42501",
}


def run_statements(request: dict[str, Any]) -> dict[str, Any]:
    """Run statements one after the other, each in a transaction of its own; return columns and rows of each."""
    import sqlalchemy as sa  # noqa: PLC0415  # the other role does not need it

    url = sa.make_url(request["url"])
    seconds = int(request["seconds"])
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS}
    if url.get_backend_name() == "mysql":
        arguments |= {"read_timeout": seconds, "write_timeout": seconds}
        if url.password:
            arguments["password"] = url.password.encode()  # PyMySQL would send texts as Latin-1
    elif url.get_backend_name() == "sqlite":
        arguments = {"timeout": min(seconds, 30), "uri": True}
    engine = sa.create_engine(
        url, poolclass=sa.NullPool, hide_parameters=True, connect_args=arguments, isolation_level="AUTOCOMMIT"
    )
    try:
        connection = engine.connect()
    except BaseException as error:  # noqa: BLE001  # a panic of Rust code is no Exception
        raise ConnectFailedError(error) from None
    with connection:
        unformatted = connection.execution_options(no_parameters=True)
        return {"results": [_result(unformatted.exec_driver_sql(statement)) for statement in request["statements"]]}


def read_into_file(request: dict[str, Any]) -> dict[str, Any]:
    """Read a query through ConnectorX into an Arrow file, chunk by chunk; return the number of rows."""
    import connectorx  # noqa: PLC0415  # as above
    import pyarrow as pa  # noqa: PLC0415  # as above

    chunks: Any = connectorx.read_sql(
        request["uri"],
        request["query"],
        return_type="arrow_stream",
        pre_execution_query=request["before"] or None,
        batch_size=CHUNK_ROWS,
    )
    rows = 0
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(request["file"], "wb") as file, pa.ipc.new_stream(file, chunks.schema, options=options) as writer:
        for chunk in chunks:
            writer.write_batch(chunk)
            rows += chunk.num_rows
    return {"rows": rows}


ROLES: Final[dict[str, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    "driver": run_statements,
    "reader": read_into_file,
}


class ConnectFailedError(Exception):
    """Error of a server that could not be reached, or refused the connection."""


def describe_failure(error: BaseException) -> dict[str, Any]:
    """Describe an error by its kind and its code, which hold no values."""
    stage = "connect" if isinstance(error, ConnectFailedError) else "statement"
    if isinstance(error, ConnectFailedError):
        error = error.args[0]
    original = getattr(error, "orig", None) or error
    if original.args and isinstance(original.args[0], int):
        code: str | None = str(original.args[0])  # PyMySQL: more exact than its SQLSTATE
    else:
        code = getattr(original, "sqlstate", None)
    if code is None:
        code = _code_in(str(original))
    return {"failed": stage, "error": type(original).__name__, "code": code}


def _code_in(text: str) -> str | None:
    """Find the code that ConnectorX and libpq have in their texts only."""
    for part, code in CODES_OF_TEXTS.items():
        if part in text:
            return code
    found = re.search(r"SqlState\(E([0-9A-Z]{5})\)|ERROR (\d{4}) \(", text)
    return found and (found[1] or found[2])


def main() -> None:
    """Answer requests until the process that started this one ends."""
    parent, role = sys.argv[1:]
    work = ROLES[role]
    serve(int(parent), lambda request, answers: answers.send(work(request)), describe_failure)


def _result(result: Any) -> dict[str, Any]:  # noqa: ANN401  # SQLAlchemy's cursor result, imported late
    if not result.returns_rows:
        return {"columns": [], "rows": []}
    fields = getattr(getattr(result.cursor, "_result", None), "fields", None)  # PyMySQL: has the character set too
    columns = [
        {"name": one[0], "type": str(one[1]), "charset": fields[at].charsetnr if fields else None}
        for at, one in enumerate(result.cursor.description)
    ]
    rows = [[cell if isinstance(cell, int | None) else str(cell) for cell in row] for row in result]
    return {"columns": columns, "rows": rows}


if __name__ == "__main__":
    main()
