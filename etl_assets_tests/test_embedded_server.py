"""Embedded server: started once, the only process stopped, after crashes and on full, foreign or read-only disks."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil
import psycopg
import pytest
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.database import embedded, pool, postmaster
from etl_assets.database.data_directory import LEAST_WAL_MEGABYTES, MOST_WAL_MEGABYTES, wal_megabytes
from etl_assets.database.database import Database
from etl_assets.errors import DatabaseUnavailableError
from etl_assets.settings import Settings
from etl_assets_tests.helpers.alert_receivers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

pytestmark = pytest.mark.slow


PROJECT: Final = Path(__file__).resolve().parents[1]
COMMAND: Final = Path(sys.executable).with_name("etl-assets")


def query(directory: Path, statement: str) -> Any:
    with psycopg.connect(
        host=str(embedded.start(directory).query["host"]), user="postgres", dbname="postgres"
    ) as open_:
        cursor = open_.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None  # type: ignore[index]  # as above


def server_process(directory: Path) -> psutil.Process:
    server = postmaster.find_server(directory)
    assert server is not None
    assert server.process is not None
    return server.process


def kill(process: psutil.Process) -> None:
    process.kill()
    while postmaster.is_alive(process):
        time.sleep(0.01)


def crash(directory: Path) -> None:
    """Kill the server; its other processes end by themselves soon after."""
    kill(server_process(directory))
    while postmaster.processes_in(directory):
        time.sleep(0.01)


def environment(home: Path) -> dict[str, str]:
    unset = {"ETL_DATABASE_URL", "DAGSTER_HOME", "ETL_HOME"}
    return {**{name: value for name, value in os.environ.items() if name not in unset}, "ETL_HOME": str(home)}


def run(home: Path, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(argument) for argument in arguments],
        env=environment(home),
        check=False,
        capture_output=True,
        text=True,
        cwd=home.parent,
        **options,
    )


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with a row in it, and a server that runs."""
    directory = tmp_path_factory.mktemp("stored") / ".etl" / "postgres"
    query(directory, "CREATE TABLE kept AS SELECT 7 AS n")
    yield directory
    embedded.stop(directory)


def as_owner(directory: Path) -> dict[str, Any]:
    """Arguments of `Popen` for a process of the server's user: a signal of its programs would reach it."""
    return {"user": directory.stat().st_uid} if os.geteuid() == 0 else {}


@pytest.fixture
def sleeper(stored: Path) -> Iterator[int]:
    process = subprocess.Popen(["sleep", "600"], **as_owner(stored))
    yield process.pid
    assert process.poll() is None, "a process that is none of ours was signalled"
    process.kill()
    process.wait()


@pytest.fixture
def zombie(stored: Path) -> Iterator[int]:
    process = subprocess.Popen(["true"], **as_owner(stored))
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    yield process.pid
    process.wait()


@pytest.fixture
def foreign_postgres(database_url: sa.URL, server_directory: Path) -> Iterator[int]:  # it runs
    """The tests' own server: a postgres of another directory."""
    process = server_process(server_directory)
    yield process.pid
    assert postmaster.is_alive(process), "another directory's server was stopped"


@pytest.fixture
def dead() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def name_in_pid_file(directory: Path, pid: int) -> None:
    """Leave the pid file of a power cut, with the number of a living process."""
    embedded.start(directory)
    file = directory / postmaster.PID_FILE
    _, _, rest = file.read_text().partition("\n")
    crash(directory)
    file.write_text(f"{pid}\n{rest}")


@pytest.mark.parametrize("holder", ["sleeper", "zombie", "foreign_postgres", "dead"])
def test_a_stale_pid_file_harms_no_process_and_the_server_starts(
    stored: Path, holder: str, request: pytest.FixtureRequest
) -> None:
    name_in_pid_file(stored, request.getfixturevalue(holder))
    said = run(stored.parent, COMMAND, "db", "stop")
    assert (said.returncode, said.stdout) == (0, "The embedded database is not running.\n"), said.stderr
    assert query(stored, "SELECT n FROM kept") == 7
    assert server_process(stored).name() == "postgres"


@pytest.mark.parametrize("text", ["", "\n", "garbage\n", "-5\n", "99999999999999999999\n", "1"])
def test_a_pid_file_that_was_cut_short_is_taken_over(stored: Path, text: str) -> None:
    name_in_pid_file(stored, 1)
    (stored / postmaster.PID_FILE).write_text(text)
    assert embedded.stop(stored) is False
    assert query(stored, "SELECT n FROM kept") == 7


def test_make_clean_stops_the_server_of_its_folder_and_nothing_else(stored: Path, sleeper: int, tmp_path: Path) -> None:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "etl-assets").symlink_to(COMMAND)
    directory = tmp_path / ".etl" / "postgres"
    query(directory, "SELECT 1")
    process = server_process(directory)
    kept = environment(stored.parent) | {"ETL_DATABASE_URL": "postgresql://somebody@127.0.0.1:9/own"}
    subprocess.run(["make", "clean"], cwd=tmp_path, env=kept, check=True, capture_output=True)
    assert not postmaster.is_alive(process)
    assert not directory.exists()
    assert query(stored, "SELECT n FROM kept") == 7

    (tmp_path / ".etl" / "postgres").mkdir(parents=True)
    programs.mkdir(parents=True)
    (programs / "etl-assets").symlink_to(COMMAND)
    rest = (stored / postmaster.PID_FILE).read_text().partition("\n")[2]
    rest = rest.replace(str(stored), str(directory))
    (directory / postmaster.PID_FILE).write_text(f"{sleeper}\n{rest}")
    subprocess.run(["make", "clean"], cwd=tmp_path, env=kept, check=True, capture_output=True)
    assert not directory.exists()


def test_processes_that_start_a_new_server_at_once_share_one(tmp_path: Path) -> None:
    directory = tmp_path / "home" / "postgres"
    code = (
        f"from pathlib import Path; from etl_assets.database import embedded; embedded.start(Path({str(directory)!r}))"
    )
    starters = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(4)]
    assert [starter.wait() for starter in starters] == [0, 0, 0, 0]
    assert query(directory, "SELECT 1") == 1
    assert len([one for one in postmaster.processes_in(directory) if "-D" in one.cmdline()]) == 1
    assert embedded.stop(directory) is True
    assert postmaster.processes_in(directory) == []


def replace_text(file: Path, text: str) -> None:
    """Change a file at once: a reader must not find it empty."""
    written = file.with_suffix(".new")
    written.write_text(text)
    written.replace(file)


def test_a_server_that_is_still_recovering_is_waited_for(stored: Path) -> None:
    """A pid file says `starting` as long as that takes; the command neither fails nor starts a second one."""
    process = server_process(stored) if postmaster.find_server(stored) else None
    embedded.start(stored)
    process = server_process(stored)
    file = stored / postmaster.PID_FILE
    text = file.read_text()
    replace_text(file, text.replace("ready   ", "starting"))
    code = f"from pathlib import Path; from etl_assets.database import embedded; embedded.start(Path({str(stored)!r}))"
    waiting = subprocess.Popen([sys.executable, "-c", code])
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(2)
    replace_text(file, text)
    assert waiting.wait(60) == 0
    assert server_process(stored) == process


def test_an_initialisation_that_was_killed_is_begun_anew(tmp_path: Path) -> None:
    directory = tmp_path / "home" / "postgres"
    unfinished = directory.with_name(".postgres.unfinished")
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    assert query(directory, "SELECT 1") == 1
    assert not unfinished.exists()
    assert embedded.stop(directory) is True


def test_a_folder_with_other_files_is_not_touched(tmp_path: Path) -> None:
    directory = tmp_path / "postgres"
    directory.mkdir()
    (directory / "mine.txt").write_text("mine")
    with pytest.raises(DatabaseUnavailableError, match=r"holds an incomplete database.*delete the folder"):
        embedded.start(directory)
    assert (directory / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["n" * 120, "a 店铺, $HOME, 100% and 'quotes\""])
def test_the_home_may_have_any_name(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name / "postgres"
    assert query(directory, "SELECT 1") == 1
    folder = Path(str(embedded.start(directory).query["host"]))
    assert folder.stat().st_mode & 0o077 == 0
    assert embedded.stop(directory) is True
    if folder != directory:
        folder.rmdir()


def test_the_wal_is_limited_by_the_disk() -> None:
    gigabyte = 1 << 30
    assert [wal_megabytes(free) for free in (0, gigabyte // 4, gigabyte, 10 * gigabyte)] == [64, 64, 128, 2048]
    assert wal_megabytes(10**15) == MOST_WAL_MEGABYTES
    assert wal_megabytes(1) == LEAST_WAL_MEGABYTES


def test_the_settings_of_an_older_data_directory_follow_the_disk_and_the_users_own_stay(tmp_path: Path) -> None:
    directory = tmp_path / "postgres"
    embedded.start(directory)
    embedded.stop(directory)
    main = directory / "postgresql.conf"
    plain = main.read_text().partition("# etl_assets")[0]
    old = "# etl_assets: bulk loads\nshared_buffers = '512MB'\nmax_wal_size = '4GB'\ncheckpoint_timeout = '15min'\n"
    main.write_text(f"{plain}{old}shared_buffers = '64MB'\n")
    (directory / "etl_assets.conf").unlink()
    expected = wal_megabytes(shutil.disk_usage(directory).free)
    assert query(directory, "SELECT setting::int FROM pg_settings WHERE name = 'max_wal_size'") == expected
    assert query(directory, "SHOW shared_buffers") == "64MB"
    assert "max_wal_size = '4GB'" not in main.read_text()
    embedded.stop(directory)


def keep_to_rights() -> None:
    """Make root respect permissions of files, as other users do."""
    drop_from_bounding_set, override, search = 24, 1, 2
    library = ctypes.CDLL(None)
    for capability in (override, search):
        library.prctl(drop_from_bounding_set, capability, 0, 0, 0)


CALLS: Final = """
import json, sys
from typer.testing import CliRunner
from etl_assets.cli.main import app
for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(app, arguments)
    unexpected = None if isinstance(result.exception, SystemExit | None) else repr(result.exception)
    print(json.dumps([arguments, result.exit_code, result.stderr, unexpected]))
"""


@pytest.mark.parametrize("own_server", [False, True])
def test_a_home_that_cannot_be_written_is_named_with_the_remedy(
    tmp_path: Path, settings: Settings, *, own_server: bool
) -> None:
    home = tmp_path / "locked"
    if own_server:
        home.write_text("a file")
    else:
        home.mkdir(mode=0o555)
    (tmp_path / "orders.csv").write_text("platform,shop,order_id,amount\netsy,Maple,A1,5.00\n")
    needs_home = [["run"], ["demo"], ["dev", "--port", str(free_port())]]
    others = [["status"], ["import", str(tmp_path / "orders.csv")], ["db", "url"], ["db", "upgrade"]]
    # Without its privileges, root does not reach the socket of the tests' own server.
    limited = {"preexec_fn": keep_to_rights} if os.geteuid() == 0 and not own_server else {}
    variables = environment(home)
    if own_server and settings.database_url is not None:
        variables["ETL_DATABASE_URL"] = settings.database_url.get_secret_value()
    calls = json.dumps([*needs_home, *others, ["db", "stop"]])
    program = [sys.executable, "-c", CALLS, calls]
    made = subprocess.run(program, env=variables, check=False, capture_output=True, text=True, **limited)  # type: ignore[call-overload]  # preexec_fn
    said = [json.loads(line) for line in made.stdout.splitlines()]
    assert len(said) == len(needs_home) + len(others) + 1, made.stderr
    for arguments, code, text, unexpected in said:
        refused = arguments in needs_home or (not own_server and arguments != ["db", "stop"])
        assert unexpected is None, arguments
        assert code == int(refused), (arguments, text)
        if refused:
            assert str(home) in text
            assert "ETL_HOME" in text
            assert ("is a file" if own_server else "may not write there") in text
    assert made.returncode == 0, made.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 200 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "small", folder], check=False, capture_output=True
    )
    if made.returncode != 0:
        pytest.skip(f"this user may not mount a small disk: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path, left: int = 0) -> Path:
    """Use up the space of a disk but a little; the file to delete."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - left)
    return filler


def test_a_new_server_on_a_full_disk_reports_it_and_starts_when_there_is_space(small_disk: Path) -> None:
    directory = small_disk / "home" / "postgres"
    filler = fill(small_disk, left=4 << 20)
    with pytest.raises(DatabaseUnavailableError, match="the disk is full"):
        embedded.start(directory)
    filler.unlink()
    assert query(directory, "SELECT setting::int FROM pg_settings WHERE name = 'max_wal_size'") == LEAST_WAL_MEGABYTES
    embedded.stop(directory)


def test_commands_say_that_the_disk_is_full_and_go_on_when_there_is_space(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = small_disk / "home"
    monkeypatch.setenv("ETL_HOME", str(home))
    for name in ("ETL_DATABASE_URL", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    rows = small_disk / "orders.csv"
    lines = (f"etsy,Maple,A{number},{number}.00,{'x' * 200}" for number in range(20_000))
    rows.write_text("platform,shop,order_id,amount,remark\n" + "\n".join(lines))
    commands = CliRunner()
    try:
        assert commands.invoke(app, ["import", str(rows)]).exit_code == 0
        assert commands.invoke(app, ["run", "--only", "shop"]).exit_code == 0
        filler = fill(small_disk)
        for arguments in (["import", str(rows)], ["run"]):
            result = commands.invoke(app, arguments)
            assert result.exit_code == 1
            assert isinstance(result.exception, SystemExit)
            assert "disk" in result.stderr
            assert "is full" in result.stderr
        filler.unlink()
        assert commands.invoke(app, ["import", str(rows)]).exit_code == 0
        assert commands.invoke(app, ["run"]).exit_code == 0
    finally:
        embedded.stop(home / "postgres")


def test_a_server_that_died_is_restarted_on_demand(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_SECONDS", 0)  # a connection used just now is not tested before its next use
    embedded.start(stored)
    database = Database(Settings(home=stored.parent, database_url=None))
    for _ in range(2):
        with database.transaction() as connection:
            assert connection.exec_driver_sql("SELECT n FROM public.kept").scalar_one() == 7
        crash(stored)
    with pytest.raises(DatabaseUnavailableError, match="broke the connection off"):
        lose_connection(database)
    database.dispose()


def lose_connection(database: Database) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")


def test_a_signal_from_the_keyboard_does_not_reach_the_server(stored: Path) -> None:
    embedded.start(stored)
    assert os.getsid(server_process(stored).pid) != os.getsid(0)
