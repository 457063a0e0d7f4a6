"""URI of the bulk reader's connections, built from an open connection of the engine.

ConnectorX connects by itself, with a driver that supports only some of libpq's parameters. It gets the values that
libpq resolved (of several hosts the one in use; entries of service and password files), and never weaker security
than was requested. See docs/decisions.md, "Address of the bulk reader".
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
"""Parameters with the same meaning in both drivers."""

REFUSED: Final = (
    "sslcrl", "sslcrldir", "sslpassword", "require_auth", "requirepeer", "ssl_min_protocol_version",
    "ssl_max_protocol_version",
)  # fmt: skip
"""Security demands that the reader's driver can't meet; other unsupported parameters are left out."""

SSL_MODES: Final = {
    "disable": "disable",
    "allow": "prefer",
    "prefer": "prefer",
    "require": "require",
    "verify-ca": "require",
}


def reader_uri(info: psycopg.ConnectionInfo, options: str) -> str:
    """Return the URI that connects ConnectorX to the database of an open connection.

    Args:
        info: libpq's description of the connection.
        options: session options, in the form of the server's command line.

    Raises:
        DatabaseUnavailableError: the connection demands a feature that the reader lacks.
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
    """Return the driver's equivalent of libpq's sslmode: with a root certificate, `require` verifies the CA."""
    mode, root = parameters.get("sslmode", "prefer"), parameters.get("sslrootcert")
    unmet = next((name for name in REFUSED if parameters.get(name)), None)
    if unmet:
        _refuse(unmet, "leave it out")
    if ("sslcert" in parameters) != ("sslkey" in parameters):
        _refuse("sslcert or sslkey alone", "give both")
    if mode == "verify-full" or root == "system":
        _refuse("sslmode=verify-full", "use sslmode=verify-ca and sslrootcert=FILE, which verify the CA")
    if mode == "verify-ca" and not root:
        _refuse("sslmode=verify-ca without sslrootcert", "add sslrootcert=FILE")
    return SSL_MODES[mode]


def _refuse(demand: str, remedy: str) -> NoReturn:
    msg = f"ETL_DATABASE_URL (or libpq's environment) demands {demand}, which the bulk reader lacks: {remedy}."
    raise DatabaseUnavailableError(msg)
