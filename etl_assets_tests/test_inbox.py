"""The inbox: files that are finished are imported once and moved, whatever happens meanwhile; others wait."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from etl_assets.database.database import Database
from etl_assets.errors import DatabaseUnavailableError
from etl_assets.inbox import archive, ingest, ready_files
from etl_assets.inbox.archive import move_to_done
from etl_assets.inbox.ingest import ingest_inbox
from etl_assets.inbox.ready_files import InboxError, find_ready_files
from etl_assets_tests.helpers.pipeline import query, scalar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from etl_assets.pipeline.protocol import Services
    from etl_assets.raw_orders.load import ImportResult
    from etl_assets.settings import Settings

ORDERS = "shop,order_id\ns,1\ns,2\n"
MAPPING = "{name: own, columns: {shop: {constant: Maple}, order_id: number}}"
WITHOUT_LEASES = OSError(22, "Invalid argument")


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


def drop(folder: Path, name: str = "a.csv", text: str = ORDERS) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def take(services: Services, folder: Path, **options: Any) -> list[ImportResult]:
    outcome = ingest_inbox(services.database, folder, settle_seconds=0, **options)
    assert outcome.problems == {}
    return outcome.imports


def problem(services: Services, folder: Path) -> str:
    """Take in files of which one has to stay; return why."""
    (why,) = ingest_inbox(services.database, folder, settle_seconds=0).problems.values()
    return why


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def raw_rows(services: Services) -> int:
    return int(scalar(services, "SELECT count(*) FROM raw_orders"))


def test_looking_for_files_makes_the_folder_and_nothing_else(tmp_path: Path) -> None:
    assert find_ready_files(tmp_path / "deep" / "inbox", settle_seconds=0) == []
    assert tree(tmp_path) == []
    assert (tmp_path / "deep" / "inbox").is_dir()
    drop(tmp_path, "file")
    with pytest.raises(InboxError, match="ETL_INBOX"):
        find_ready_files(tmp_path / "file", settle_seconds=0)


def test_a_file_waits_while_somebody_has_it_open_for_writing(inbox: Path) -> None:
    path = drop(inbox)
    with path.open("a"):
        assert find_ready_files(inbox, settle_seconds=0) == []
    with path.open():
        assert find_ready_files(inbox, settle_seconds=0) == [path]


def test_without_leases_the_quiet_time_decides_alone(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise WITHOUT_LEASES

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    path = drop(inbox)
    with path.open("a"):
        assert find_ready_files(inbox, settle_seconds=60) == []
        assert find_ready_files(inbox, settle_seconds=0) == [path]


@pytest.mark.parametrize("offset", [-1e6, 1e6])
def test_a_copy_that_brings_its_old_time_along_waits_for_the_quiet_time(inbox: Path, offset: float) -> None:
    path = drop(inbox)
    os.utime(path, (time.time() + offset, time.time() + offset))
    assert find_ready_files(inbox, settle_seconds=60) == []
    assert find_ready_files(inbox, settle_seconds=0) == [path]


def test_a_file_from_before_the_clock_was_set_back_does_not_wait_until_that_time_comes_again(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(inbox)
    now = time.time()
    monkeypatch.setattr("etl_assets.inbox.ready_files.time.time", lambda: now - 60)  # another machine's clock, maybe
    assert find_ready_files(inbox, settle_seconds=3) == []
    monkeypatch.setattr("etl_assets.inbox.ready_files.time.time", lambda: now - 5 * 3600)
    assert find_ready_files(inbox, settle_seconds=3) == [path]


def test_names_of_unfinished_files_and_of_what_is_no_export_are_passed_over(inbox: Path) -> None:
    for name in (".a.csv", "~$a.xlsx", "a.csv.PART", "b.tmp", "c.crdownload", "d.partial", "e.filepart",
                 "mapping.yaml", "a.csv.error.txt", "done/x.csv", "failed/x.csv", "other/x.csv"):  # fmt: skip
        (inbox / name).parent.mkdir(exist_ok=True)
        drop(inbox, name)
    drop(inbox, "download.csv", "")  # what is downloaded lies beside it
    drop(inbox, "download.csv.part")
    assert find_ready_files(inbox, settle_seconds=0) == []


def test_links_are_refused(inbox: Path, tmp_path: Path) -> None:
    secret = drop(tmp_path, "secret.csv")
    (inbox / "a.csv").symlink_to(secret)
    elsewhere = tmp_path / "elsewhere"
    drop(elsewhere, "mapping.yaml", MAPPING)
    drop(elsewhere, "b.csv")
    (inbox / "sub").symlink_to(elsewhere)
    assert find_ready_files(inbox, settle_seconds=0) == []


def test_a_finished_file_is_imported_and_moved(services: Services, inbox: Path) -> None:
    newer, older = drop(inbox, "a.csv"), drop(inbox, "b.csv", "shop,order_id\ns,3\n")
    os.utime(older, (1, 1))
    seen: list[tuple[str, int]] = []
    first, second = take(services, inbox, run_id="r1", on_progress=lambda path, lines: seen.append((path.name, lines)))
    assert (first.source, first.preset, first.status, first.rows) == (str(older), "generic", "completed", 1)
    assert (second.source, second.status, second.rows) == (str(newer), "completed", 2)
    assert seen == [("b.csv", 1), ("a.csv", 2)]
    assert tree(inbox) == ["done/a.csv", "done/b.csv"]
    claims = query(services, "SELECT file_name, byte_count, import_id FROM inbox_files ORDER BY file_name")
    assert [tuple(claim.values()) for claim in claims] == [
        ("a.csv", len(ORDERS), second.import_id),
        ("b.csv", 18, first.import_id),
    ]
    assert query(services, "SELECT DISTINCT run_id FROM etl_batches") == [{"run_id": "r1"}]
    assert take(services, inbox) == []


def test_a_content_is_imported_once_under_whatever_name_it_comes(services: Services, inbox: Path) -> None:
    drop(inbox)
    assert len(take(services, inbox)) == 1
    for name in ("a.csv", "b.csv"):
        drop(inbox, name)
    assert take(services, inbox) == []
    assert raw_rows(services) == 2
    assert tree(inbox) == ["done/a-2.csv", "done/a.csv", "done/b.csv"]


def test_a_file_that_cannot_be_imported_lies_in_failed_with_the_error_beside(services: Services, inbox: Path) -> None:
    drop(inbox, "a.csv", "colour\nred\n")
    drop(inbox, "b.csv", "shop,order_id\ns,1,2\n")
    drop(inbox, "c.csv", "")
    drop(inbox, "d.doc", "x")
    results = take(services, inbox)
    assert [result.status for result in results] == ["failed"] * 4
    names = ("a.csv", "b.csv", "c.csv", "d.doc")
    assert tree(inbox) == sorted(f"failed/{name}{ending}" for name in names for ending in ("", ".error.txt"))
    text = (inbox / "failed" / "b.csv.error.txt").read_text()
    assert "line 2: the row has 3 cells, the header 2" in text
    assert f"move it back to {inbox}" in text
    assert scalar(services, "SELECT count(*) FROM import_tasks WHERE status = 'failed' AND error IS NOT NULL") == 4
    assert scalar(services, "SELECT count(*) FROM inbox_files") == 0


def test_a_file_that_is_moved_back_from_failed_is_tried_again(services: Services, inbox: Path) -> None:
    drop(inbox, "a.csv", "number\n1\n")
    assert [result.status for result in take(services, inbox)] == ["failed"]
    drop(inbox, "mapping.yaml", MAPPING)
    for name in ("a.csv", "a.csv.error.txt"):
        (inbox / "failed" / name).rename(inbox / name)
    assert [result.status for result in take(services, inbox)] == ["completed"]
    assert tree(inbox) == ["done/a.csv", "mapping.yaml"]


def test_a_kill_between_commit_and_move_leaves_only_the_move(
    services: Services, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    drop(inbox)
    with monkeypatch.context() as patched:
        patched.setattr(ingest, "move_to_done", die)
        with pytest.raises(KeyboardInterrupt):
            take(services, inbox)
    assert (tree(inbox), raw_rows(services)) == (["a.csv"], 2)
    assert take(services, inbox) == []
    assert (tree(inbox), raw_rows(services)) == (["done/a.csv"], 2)


def test_a_kill_before_the_commit_leaves_the_file_to_be_imported(
    services: Services, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    drop(inbox)
    with monkeypatch.context() as patched:
        patched.setattr("etl_assets.raw_orders.load.complete_import", die)
        with pytest.raises(KeyboardInterrupt):
            take(services, inbox)
    assert (tree(inbox), raw_rows(services)) == (["a.csv"], 0)
    assert [result.status for result in take(services, inbox)] == ["completed"]
    assert (tree(inbox), raw_rows(services)) == (["done/a.csv"], 2)


def test_files_stay_while_the_database_is_unavailable(services: Services, inbox: Path, settings: Settings) -> None:
    drop(inbox)
    url = sa.make_url(services.database.url).set(host="127.0.0.1", port=1)
    nowhere = Database(
        settings.model_copy(update={"database_url": SecretStr(url.render_as_string(hide_password=False))})
    )
    with pytest.raises(DatabaseUnavailableError):
        ingest_inbox(nowhere, inbox, settle_seconds=0)
    assert tree(inbox) == ["a.csv"]


def test_a_lost_connection_fails_no_file_and_the_next_one_imports_it(
    services: Services, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(connection: sa.Connection, *_: object) -> None:
        connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))

    drop(inbox)
    with monkeypatch.context() as patched:
        patched.setattr(ingest, "record_content", cut)
        assert "the database refused it" in problem(services, inbox)
    assert (tree(inbox), raw_rows(services)) == (["a.csv"], 0)
    assert [result.status for result in take(services, inbox)] == ["completed"]


def test_all_connections_may_be_cut_while_files_are_taken_in(
    services: Services, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        with services.database.engine.connect() as connection:
            connection.execute(
                sa.text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )

    drop(inbox)
    with monkeypatch.context() as patched:
        patched.setattr(ingest, "record_content", cut)
        assert "the database refused it" in problem(services, inbox)
    assert [result.status for result in take(services, inbox)] == ["completed"]
    assert tree(inbox) == ["done/a.csv"]


def test_a_file_that_can_not_be_moved_is_a_trouble_that_leaves_the_others_alone(
    services: Services, inbox: Path
) -> None:
    drop(inbox)
    (inbox / "done").symlink_to(inbox / "nowhere")
    drop(inbox / "sub", "mapping.yaml", MAPPING)
    drop(inbox / "sub", "b.csv", "number\n7\n")
    assert "it can't be moved" in problem(services, inbox)
    assert (inbox / "sub" / "done" / "b.csv").exists()
    assert raw_rows(services) == 3


def test_two_at_once_import_a_file_once(services: Services, settings: Settings, inbox: Path) -> None:
    drop(inbox)
    results = _at_once(settings, inbox)
    assert [result.status for result in results] == ["completed"]
    assert (tree(inbox), raw_rows(services)) == (["done/a.csv"], 2)


def test_who_gets_past_the_lock_loses_by_the_record_of_the_content(
    services: Services, settings: Settings, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    barrier = threading.Barrier(2, timeout=30)
    record = ingest.record_content

    def record_together(*arguments: Any) -> None:
        barrier.wait()
        record(*arguments)

    monkeypatch.setattr(ingest, "_lock", lambda _: nullcontext(True))
    monkeypatch.setattr(ingest, "record_content", record_together)
    drop(inbox)
    results = _at_once(settings, inbox)
    assert [result.status for result in results] == ["completed"]
    assert (tree(inbox), raw_rows(services)) == (["done/a.csv"], 2)


def test_a_file_that_changes_while_it_is_imported_stays_and_is_imported_as_it_is_then(
    services: Services, inbox: Path
) -> None:
    path = drop(inbox)

    def go_on(*_: object) -> None:
        replacement = drop(inbox, "new.tmp", ORDERS + "s,3\n")  # same folder, so that it takes the name at once
        replacement.replace(path)

    (result,) = take(services, inbox, on_progress=go_on)
    assert (result.status, "changed" in str(result.error)) == ("failed", True)
    assert (tree(inbox), raw_rows(services)) == (["a.csv"], 0)
    assert [result.rows for result in take(services, inbox)] == [3]
    assert tree(inbox) == ["done/a.csv"]


def move_interrupted_by(interrupt: Callable[[], object], path: Path, monkeypatch: pytest.MonkeyPatch) -> Path | None:
    """Move a file to `done`; `interrupt` is called between the last look at it and the move."""
    stamp = ready_files.stamp_of(path)
    assert stamp is not None
    reserve = archive._reserve

    def reserve_late(folder: Path, name: str) -> Path:
        if folder.name == "done":
            interrupt()
        return reserve(folder, name)

    monkeypatch.setattr(archive, "_reserve", reserve_late)
    return move_to_done(path, stamp)


def test_a_file_that_takes_the_name_of_an_imported_one_is_not_moved_with_it(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(inbox)
    other = "shop,order_id\ns,9\n"
    assert move_interrupted_by(lambda: drop(inbox, "new.tmp", other).replace(path), path, monkeypatch) is None
    assert tree(inbox) == ["a.csv"]
    assert path.read_text() == other


def test_a_file_that_is_gone_at_the_last_moment_is_not_moved_and_no_error(
    inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(inbox)
    assert move_interrupted_by(path.unlink, path, monkeypatch) is None
    assert tree(inbox) == []


def test_the_inbox_is_free_before_the_connection_that_held_it_is_closed(services: Services) -> None:
    # A server notices the end of a connection some time later: the next one to ask must not be refused until then.
    held = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()")
    seen: list[int] = []
    with services.database.engine.connect() as watcher:
        sa.event.listen(
            services.database.engine,
            "close_detached",
            lambda _: seen.append(watcher.execute(held).scalar_one()),
        )
        with ingest._lock(services.database) as is_ours:
            assert is_ours
            assert watcher.execute(held).scalar_one() == 1
    assert seen == [0]


@pytest.mark.slow
def test_names_that_are_taken_get_a_number_and_long_ones_are_shortened(services: Services, inbox: Path) -> None:
    long_name = "订" * 83 + ".csv"
    for number in range(3):
        drop(inbox, "a.csv", f"shop,order_id\ns,{number}\n")
        drop(inbox, "no_ending", f"x{number}")
        drop(inbox, long_name, f"wrong\n{number}\n")
        take(services, inbox)
    assert tree(inbox / "done") == ["a-2.csv", "a-3.csv", "a.csv"]
    failed = {name for name in tree(inbox / "failed") if not name.endswith(".error.txt")}
    assert {"no_ending", "no_ending-2", "no_ending-3"} < failed
    assert len(failed) == 6
    assert all((inbox / "failed" / f"{name}.error.txt").exists() for name in failed)


def test_a_name_that_is_no_utf8_is_taken_in(services: Services, inbox: Path) -> None:
    for name, text in ((b"\xd6\xd0.csv", ORDERS), (b"\xb9\xfa.csv", "wrong\n1\n")):
        drop(inbox, os.fsdecode(name), text)
    assert {result.status for result in take(services, inbox)} == {"completed", "failed"}
    assert len(tree(inbox)) == 3


def test_a_sub_folder_with_a_mapping_holds_files_of_its_form(services: Services, inbox: Path) -> None:
    drop(inbox / "maple", "mapping.yaml", MAPPING.replace("number}", "number, amount: total}"))
    drop(inbox / "maple", "a.csv", "number,shop,order_id\n7,no,no\n")
    drop(inbox / "maple", "b.csv", "wrong\n")
    drop(inbox / "maple" / "deeper", "mapping.yaml", MAPPING)
    drop(inbox / "maple" / "deeper", "c.csv", "number\n8\n")
    results = {result.source: result for result in take(services, inbox)}
    assert results[str(inbox / "maple" / "a.csv")].unmatched == ("amount",)
    assert query(services, "SELECT platform, shop, order_id FROM raw_orders") == [
        {"platform": "own", "shop": "Maple", "order_id": "7"}
    ]
    assert [name for name in tree(inbox / "maple") if not name.startswith("deeper")] == [
        "done/a.csv", "failed/b.csv", "failed/b.csv.error.txt", "mapping.yaml",
    ]  # fmt: skip
    assert (inbox / "maple" / "deeper" / "c.csv").exists()


def test_the_mapping_of_the_inbox_is_for_files_that_fit_no_preset(services: Services, inbox: Path) -> None:
    drop(inbox, "mapping.yaml", MAPPING)
    drop(inbox, "a.csv")
    drop(inbox, "b.csv", "number\n7\n")
    presets = {os.path.basename(result.source): result.preset for result in take(services, inbox)}  # noqa: PTH119
    assert presets == {"a.csv": "generic", "b.csv": "own"}


def test_an_export_of_quarantine_is_not_taken_for_new_orders(services: Services, inbox: Path) -> None:
    drop(inbox, "bad_rows.csv", "quarantine_id,reason,shop,order_id\n1,x,s,1\n")
    (result,) = take(services, inbox)
    assert (result.status, "quarantine replay" in str(result.error)) == ("failed", True)
    assert raw_rows(services) == 0


def test_a_mapping_that_cannot_be_used_keeps_its_files_waiting(services: Services, inbox: Path) -> None:
    drop(inbox / "maple", "mapping.yaml", "{name: own}")
    drop(inbox / "maple", "b.csv", "number\n7\n")
    drop(inbox)
    assert "mapping.yaml: columns" in problem(services, inbox)
    assert tree(inbox) == ["done/a.csv", "maple/b.csv", "maple/mapping.yaml"]
    drop(inbox / "maple", "mapping.yaml", MAPPING)
    assert [result.status for result in take(services, inbox)] == ["completed"]


def _at_once(settings: Settings, inbox: Path) -> list[ImportResult]:
    results: list[ImportResult] = []
    errors: list[BaseException] = []

    def work() -> None:
        database = Database(settings)
        try:
            results.extend(ingest_inbox(database, inbox, settle_seconds=0).imports)
        except BaseException as error:  # noqa: BLE001  # the test looks at them
            errors.append(error)
        finally:
            database.dispose()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    return results


OWN = "{name: own, columns: {order_id: number}}"


def shops(services: Services) -> list[str | None]:
    return [row["shop"] for row in query(services, "SELECT shop FROM raw_orders ORDER BY raw_id")]


def error_text(folder: Path, name: str) -> str:
    return (folder / "failed" / f"{name}.error.txt").read_text(encoding="utf-8")


def test_a_shop_file_in_a_sub_folder_names_the_shop_of_all_its_files(services: Services, inbox: Path) -> None:
    drop(inbox / "maple", "shop.txt", "\n Maple & Söhne \n")
    drop(inbox / "maple", "a.csv")
    drop(inbox / "own", "mapping.yaml", OWN)
    (inbox / "own" / "Shop.txt").write_text("other")  # the name is as documented, in lower case
    (inbox / "own" / "shop.txt").write_text("Own", encoding="utf-16")
    drop(inbox / "own", "b.csv", "number\n7\n")
    assert {result.status for result in take(services, inbox)} == {"completed"}
    assert sorted(map(str, shops(services))) == ["Maple & Söhne", "Maple & Söhne", "Own"]


def test_the_shop_file_of_the_inbox_is_for_files_that_name_no_shop(services: Services, inbox: Path) -> None:
    drop(inbox, "shop.txt", "Maple")
    drop(inbox, "mapping.yaml", OWN)
    for name, text in (("a.csv", ORDERS), ("b.csv", "number\n7\n")):
        drop(inbox, name, text)
    take(services, inbox)
    assert sorted(map(str, shops(services))) == ["Maple", "s", "s"]


def test_the_shop_file_of_the_inbox_is_for_files_that_spell_their_headers_in_another_way(
    services: Services, inbox: Path
) -> None:
    drop(inbox, "shop.txt", "Maple")
    drop(inbox, "mapping.yaml", "{name: own, columns: {order_id: Order Number}}")
    drop(inbox, "a.csv", "Order number\n7\n")
    take(services, inbox)
    assert list(map(str, shops(services))) == ["Maple"]


@pytest.mark.parametrize(("text", "lines"), [("", 0), ("a\nb\n", 2)])
def test_a_shop_file_that_names_no_shop_keeps_its_files_waiting(
    services: Services, inbox: Path, text: str, lines: int
) -> None:
    drop(inbox / "maple", "shop.txt", text)
    drop(inbox / "maple", "a.csv")
    assert f"shop.txt: the file has {lines} lines" in problem(services, inbox)
    assert tree(inbox) == ["maple/a.csv", "maple/shop.txt"]


def test_the_error_names_the_files_that_help_in_the_inbox_and_no_option(services: Services, inbox: Path) -> None:
    drop(inbox, "mapping.yaml", OWN)
    drop(inbox, "shopless.csv", "number\n7\n")
    drop(inbox / "own", "mapping.yaml", MAPPING)
    drop(inbox / "own", "numberless.csv", "wrong\n1\n")
    take(services, inbox)
    (inbox / "mapping.yaml").unlink()
    drop(inbox, "unknown.csv", "colour\nred\n")
    drop(inbox, "bad_rows.csv", "quarantine_id,order_id\n1,2\n")
    take(services, inbox)
    assert "Put a file shop.txt beside it" in error_text(inbox, "shopless.csv")
    assert "in a file mapping.yaml beside it" in error_text(inbox, "unknown.csv")
    assert "replay_quarantine" in error_text(inbox, "bad_rows.csv")
    assert "in mapping.yaml beside it" in error_text(inbox / "own", "numberless.csv")
    errors = [row["error"] for row in query(services, "SELECT error FROM import_tasks WHERE status = 'failed'")]
    assert [text for text in errors if "--" in text] == []


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.jsonl"])
def test_a_corrected_file_takes_its_errors_away_and_no_others(services: Services, inbox: Path, name: str) -> None:
    for number in range(2):
        drop(inbox, "a.csv", f"colour\n{number}\n")
        take(services, inbox)
    for other in ("a-b.csv", "b.csv", "a"):
        drop(inbox, other, f"{other}\n")
    take(services, inbox)
    (inbox / "failed" / "a.error.txt").write_text("/x/b: about another file", encoding="utf-8")
    drop(inbox, name, '{"shop": "s", "order_id": "1"}\n' if name.endswith("l") else ORDERS)
    assert [result.status for result in take(services, inbox)] == ["completed"]
    left = [path for path in tree(inbox) if path.endswith(".error.txt")]
    assert left == ["failed/a-b.csv.error.txt", "failed/a.error.txt", "failed/b.csv.error.txt"]
    assert {"failed/a.csv", "failed/a-2.csv"} <= set(tree(inbox))


def test_what_lies_in_the_inbox_and_is_not_imported_is_listed_with_the_reason(services: Services, inbox: Path) -> None:
    drop(inbox, "new.csv")
    drop(inbox, "known.csv", "shop,order_id\ns,9\n")
    assert len(ingest_inbox(services.database, inbox, settle_seconds=0).imports) == 2
    drop(inbox, "again.csv")
    drop(inbox / "maple", "orders.csv")
    drop(inbox / "own", "shop.txt", "Own")
    (inbox / "own" / "deeper").mkdir()
    drop(inbox, "b.csv.part")
    (inbox / "link.csv").symlink_to(inbox / "done" / "new.csv")
    with drop(inbox, "c.csv").open("a"):
        outcome = ingest_inbox(services.database, inbox, settle_seconds=0)
    assert [path.name for path in outcome.known] == ["again.csv"]
    waiting = {str(one.path.relative_to(inbox)): one.reason for one in outcome.waiting}
    assert waiting.keys() == {"b.csv.part", "c.csv", "link.csv", "maple", "own/deeper"}
    assert "open for writing" in waiting["c.csv"]
    assert "neither mapping.yaml nor shop.txt" in waiting["maple"]
    assert "changed less than 60 s ago" in ready_files.find_waiting_files(inbox, settle_seconds=60)[1].reason
