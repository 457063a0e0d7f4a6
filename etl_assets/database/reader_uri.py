"""The URI of the bulk reader's connections: where and how the engine's own connection went, in the reader's terms.

ConnectorX connects by itself, with a driver that knows a part of libpq's parameters. It is told what libpq came to (of
several hosts the one in use, what a service or password file says) and never anything weaker than what was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn
from urllib.parse import quote, urlencode

from etl_assets.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

PASSED_ON: Final = (
    "sslrootcert", "sslcert", "sslkey", "sslnegotiation", "channel_binding", "connect_timeout", "keepalives",
    "keepalives_idle", "keepalives_interval", "tcp_user_timeout", "application_name",
)  # fmt: skip
"""The parameters that mean the same to both drivers."""

REFUSED: Final = (
    "sslcrl", "sslcrldir", "sslpassword", "require_auth", "requirepeer", "ssl_min_protocol_version",
    "ssl_max_protocol_version",
)  # fmt: skip
"""Demands that the reader's driver can't meet; all other parameters it may do without."""

SSL_MODES: Final = {
    "disable": "disable",
    "allow": "prefer",
    "prefer": "prefer",
    "require": "require",
    "verify-ca": "require",
}


def reader_uri(info: psycopg.ConnectionInfo, options: str) -> str:
    """The URI that leads ConnectorX to the database of an open connection.

    Args:
        info: what libpq says of the connection.
        options: the session's options, as the server's command line has them.

    Raises:
        DatabaseUnavailableError: the connection was asked for something that the reader can't do.
    """
    parameters = info.get_parameters()
    query = {name: parameters[name] for name in PASSED_ON if parameters.get(name)}
    if "hostaddr" in parameters and info.hostaddr:
        query["hostaddr"] = info.hostaddr
    query |= {"sslmode": _ssl_mode(parameters), "options": options}
    host = f"[{info.host}]" if ":" in info.host else quote(info.host, safe="")
    secret = f":{quote(info.password, safe='')}" if info.password else ""
    return (
        f"postgresql://{quote(info.user, safe='')}{secret}@{host}:{info.port}/{quote(info.dbname, safe='')}"
        f"?{urlencode(query, quote_via=quote)}"
    )


def _ssl_mode(parameters: Mapping[str, str]) -> str:
    """What the reader's driver has for libpq's sslmode: with a root certificate, `require` checks who signed."""
    mode, root = parameters.get("sslmode", "prefer"), parameters.get("sslrootcert")
    unmet = next((name for name in REFUSED if parameters.get(name)), None)
    if unmet:
        _refuse(unmet, "leave it out")
    if ("sslcert" in parameters) != ("sslkey" in parameters):
        _refuse("sslcert or sslkey alone", "give both")
    if mode == "verify-full" or root == "system":
        _refuse("sslmode=verify-full", "use sslmode=verify-ca and sslrootcert=FILE, which check who signed")
    if mode == "verify-ca" and not root:
        _refuse("sslmode=verify-ca without sslrootcert", "add sslrootcert=FILE")
    return SSL_MODES[mode]


def _refuse(what: str, remedy: str) -> NoReturn:
    msg = f"ETL_DATABASE_URL (or libpq's environment) asks for {what}, which the bulk reader can't do: {remedy}."
    raise DatabaseUnavailableError(msg)
