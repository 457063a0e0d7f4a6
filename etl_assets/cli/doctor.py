"""`etl-assets doctor`: checks the installation and its configuration, and names remedies."""

from __future__ import annotations

import os
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
import typer
from sqlalchemy.exc import DBAPIError

from etl_assets.cli.output import FAILED, AsJson, WrongUseError, failures_reported, print_json, print_table
from etl_assets.cli.session import load_settings
from etl_assets.database import migrate
from etl_assets.database.database import Database, sqlstate_of
from etl_assets.database.sqlstates import meaning_of
from etl_assets.errors import EtlError, SettingsUrlError
from etl_assets.health.disk import free_bytes, gibibytes, severity_of
from etl_assets.presets.catalog import PresetError, own_presets
from etl_assets.urls import DAGSTER_URL, check_dagster_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from etl_assets.settings import Settings

app = typer.Typer(add_completion=False)

OLDEST_SERVER: Final = 140_000
RIGHTS_MISSING: Final = "42501"


@dataclass(frozen=True, slots=True)
class Check:
    """Result of one check."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


@app.command("doctor")
def doctor(*, as_json: AsJson = False) -> None:
    """Check configuration, connection, rights, migrations and the Dagster instance; show remedies."""
    with failures_reported(as_json=as_json):
        checks = run_checks()
        failed = [check for check in checks if not check.ok]
        if as_json:
            print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
        else:
            rows = [[check.name, "ok" if check.ok else "PROBLEM", check.found, check.remedy] for check in checks]
            print_table("Checks", ["check", "state", "found", "remedy"], rows)
        if failed:
            raise typer.Exit(FAILED)


def run_checks() -> list[Check]:
    """Run all checks; those of the database stop at the first that fails."""
    try:
        settings = load_settings()
    except WrongUseError as error:
        return [Check("settings", False, str(error), "Correct the variables; .env.example explains them."), _versions()]
    share = f"above {settings.brake_share * 100:g} %, from {settings.brake_rows} orders on"
    brake = share if settings.brake_share < 1 else "off"
    checks = [Check("settings", True, f"home {settings.home}, schema {settings.db_schema}, brake {brake}")]
    checks += [_disk(settings), _dagster_home(settings), _versions(), _own_presets(settings)]
    database = Database(settings)
    try:
        for check in (_connection, _server_version, _temporary_tables, _write_rights, _migrations):
            checks.append(_run_check(check, database))
            if not checks[-1].ok:
                break
    finally:
        database.dispose()
    return checks


def _own_presets(settings: Settings) -> Check:
    folder = settings.presets_folder
    try:
        own = own_presets(folder)
    except PresetError as error:
        return Check("own presets", False, str(error), "Correct or delete the file: imports that detect a preset fail.")
    return Check("own presets", True, f"{', '.join(own) or 'none'} in {folder}")


def _run_check(check: Callable[[Database], Check], database: Database) -> Check:
    """Run a check of the database; an error is a failed check."""
    name = check.__name__.strip("_").replace("_", " ")
    try:
        return check(database)
    except EtlError as error:
        return Check(name, False, str(error), "Correct ETL_DATABASE_URL, or unset it for the embedded database.")
    except DBAPIError as error:
        state = sqlstate_of(error)
        rights = "Grant the database user CREATE and TEMPORARY on the database."
        remedy = rights if state == RIGHTS_MISSING else f"{meaning_of(state).capitalize()}."
        return Check(name, False, f"refused with SQLSTATE {state or 'unknown'}", remedy)


def _connection(database: Database) -> Check:
    with database.transaction() as connection:
        user, name = connection.execute(sa.text("SELECT current_user, current_database()")).one()
    kind = "embedded" if database.is_embedded else "your own server"
    return Check("connection", True, f"{kind}, database {name}, user {user}")


def _server_version(database: Database) -> Check:
    with database.transaction() as connection:
        number, text = connection.execute(
            sa.text("SELECT CAST(current_setting('server_version_num') AS int), current_setting('server_version')")
        ).one()
    return Check(
        "server version",
        number >= OLDEST_SERVER,
        f"PostgreSQL {text}",
        "" if number >= OLDEST_SERVER else "Use PostgreSQL 14 or newer.",
    )


def _temporary_tables(database: Database) -> Check:
    with database.transaction() as connection:
        connection.execute(sa.text("CREATE TEMPORARY TABLE etl_doctor (n int) ON COMMIT DROP"))
    return Check("temporary tables", True, "can be created")


def _write_rights(database: Database) -> Check:
    with database.transaction() as connection:
        missing, in_schema, in_database = connection.execute(
            sa.text(
                "SELECT to_regnamespace(:schema) IS NULL,"
                " COALESCE(has_schema_privilege(to_regnamespace(:schema), 'CREATE, USAGE'), false),"
                " has_database_privilege(current_database(), 'CREATE')"
            ),
            {"schema": database.schema},
        ).one()
        locked = connection.execute(
            sa.text(
                "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace(:schema) AND relkind = 'r'"
                " AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')"
                " AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))"
            ),
            {"schema": database.schema},
        ).scalar_one()
    if missing:
        remedy = f"Create the schema {database.schema!r} for the user, or grant CREATE on the database."
        return Check("write rights", in_database, "the schema does not exist yet", "" if in_database else remedy)
    ok = in_schema and not locked
    found = (
        "the user may write to the schema" if ok else f"rights are missing on the schema or on {locked} tables in it"
    )
    return Check("write rights", ok, found, "" if ok else f"Make the user the owner of the schema {database.schema!r}.")


def _migrations(database: Database) -> Check:
    deviation = migrate.find_deviation(database)
    if deviation is None:
        return Check("migrations", True, f"revision {migrate.newest_revision()}, with all keys")
    if database.is_embedded:
        return Check("migrations", True, f"the schema {deviation}; the next command migrates it")
    return Check("migrations", False, f"the schema {deviation}", "Run `etl-assets db upgrade`.")


def _disk(settings: Settings) -> Check:
    free = free_bytes(settings.home)
    is_enough = severity_of(free) != "error"
    remedy = "" if is_enough else "Free some space, or set ETL_HOME to another disk."
    return Check("free disk", is_enough, f"{gibibytes(free)} for {settings.home.resolve()}", remedy)


def _dagster_home(settings: Settings) -> Check:
    home = Path(os.environ.get("DAGSTER_HOME") or settings.dagster_home).absolute()
    try:
        check_dagster_url()
    except SettingsUrlError as error:
        return Check("Dagster instance", False, str(error), f"Correct {DAGSTER_URL}.")
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        found = f"{home} can't be written ({error.strerror})"
        return Check("Dagster instance", False, found, "Set DAGSTER_HOME or ETL_HOME to a folder of your own.")
    return Check("Dagster instance", True, f"{home} can be written")


def _versions() -> Check:
    found: dict[str, str] = {}
    for package in ("dagster", "dagster-webserver"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    ok = len(set(found.values())) == 1 and "not installed" not in found.values()
    text = ", ".join(f"{package} {number}" for package, number in found.items())
    return Check("Dagster versions", ok, text, "" if ok else "Install both in the same version: `pip install -U .`")
