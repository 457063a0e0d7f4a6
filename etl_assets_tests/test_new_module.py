"""docs/new-module.md works: followed on a copy of the project for two modules, the result passes what knows of assets.

By default lint, types, the definitions, the schema, the asset graph and the quarantine round trips of both modules.
With ETL_TEST_NEW_MODULE=full (`make test-new-module`) all test files that go through the assets.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from etl_assets_tests.helpers.pages import Block, blocks_of

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.slow

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "new-module.md"
FOLDERS: Final = ("etl_assets", "etl_assets_tests", "benchmarks", "docs", "deploy")
FILES: Final = (
    *("pyproject.toml", "Makefile", "LICENSE", ".env.example"),
    *("README.md", "README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md"),
)
MODULES: Final = ("invoices", "refunds")
MIGRATIONS: Final = Path("etl_assets/database/migrations/versions")
IS_FULL: Final = os.environ.get("ETL_TEST_NEW_MODULE") == "full"

QUICK: Final = (
    "test_invoices.py",
    "test_refunds.py",
    "test_schema.py",
    "test_asset_graph.py",
    "test_structure.py",
    "test_orchestration.py::test_dagster_has_the_assets_and_arrows_of_the_contract_and_of_the_asset_graph",
    "test_orchestration.py::test_every_asset_says_which_table_it_is_and_what_it_answers",
    "test_sensors.py::test_every_sensor_of_an_event_is_made_through_the_handler",
    "test_docs.py::test_the_tables_of_assets_agree_with_the_asset_graph",
)
FULL: Final = (
    "test_invoices.py",
    "test_refunds.py",
    *("test_schema.py", "test_asset_graph.py", "test_structure.py", "test_docs.py", "test_upgrade.py"),
    *("test_orchestration.py", "test_sensors.py", "test_events.py", "test_ui_metadata.py", "test_pending_checks.py"),
    *("test_downstream_queue.py", "test_requeue.py", "test_quarantine_commands.py", "test_quarantine_jobs.py"),
    *("test_cost_guard.py", "test_cli.py", "test_bulk_load.py", "test_keys.py", "test_row_changes.py"),
    *("test_pipeline_rules.py", "test_pipeline_oracle.py", "test_pipeline_crashes.py", "test_refused_writes.py"),
)


def copy_project(target: Path) -> Path:
    """Copy what lint, types and tests read."""
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in FILES:
        shutil.copy(ROOT / file, target)
    if (ROOT / ".mypy_cache").is_dir():  # of unchanged modules, which would take a minute to check again
        shutil.copytree(ROOT / ".mypy_cache", target / ".mypy_cache")
    return target


def follow(project: Path, module: str) -> None:
    """Do what the section of a module on the page shows: write its files, apply its diffs."""
    (section,) = re.findall(rf"^## {module}:.*?(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for block in blocks_of(section, "python", "diff"):
        if block.language == "diff":
            target = project / block.file
            target.write_text(patched(target.read_text(encoding="utf-8"), block), encoding="utf-8")
        else:
            write(project, block)
    (project / "etl_assets" / module / "__init__.py").touch()


def write(project: Path, block: Block) -> None:
    """Write the file of a block; a migration is numbered after those that are there."""
    target, text = project / block.file, block.text
    if Path(block.file).parent == MIGRATIONS:
        last = max(path.name[:4] for path in (project / MIGRATIONS).glob("[0-9]*.py"))
        number = f"{int(last) + 1:04}"
        target = target.with_name(number + target.name[4:])
        text = re.sub(r'^revision = ".*"$', f'revision = "{number}"', text, flags=re.MULTILINE)
        text = re.sub(r'^down_revision = ".*"$', f'down_revision = "{last}"', text, flags=re.MULTILINE)
    target.parent.mkdir(exist_ok=True)
    target.write_text(text, encoding="utf-8")


def patched(text: str, block: Block) -> str:
    """Apply a block of a diff without line numbers: the old text that it shows must occur exactly once."""
    lines = block.text.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(old) == 1, f"{block.file} has this {text.count(old)} times instead of once:\n{old}"
    return text.replace(old, new)


def run(project: Path, *arguments: str) -> None:
    """Run a Python tool in the copy, on the copy."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_XDIST", "ETL_"))}
    result = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=project,
        env={**environment, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]


def run_tests(project: Path, tests: Sequence[str]) -> None:
    """Run tests of the copy in one process."""
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:randomly")
    run(project, "pytest", *options, *(f"etl_assets_tests/{test}" for test in tests))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with both modules."""
    copied = copy_project(tmp_path_factory.mktemp("project"))
    for module in MODULES:
        follow(copied, module)
    return copied


def test_the_result_passes_lint(project: Path) -> None:
    run(project, "ruff", "check", "--no-cache", "etl_assets", "etl_assets_tests")
    run(project, "ruff", "format", "--no-cache", "--check", "etl_assets", "etl_assets_tests")


def test_the_result_passes_the_type_checker(project: Path) -> None:
    run(project, "mypy")


@pytest.mark.timeout(3600 if IS_FULL else 300)
def test_the_result_passes_the_tests_that_know_of_assets(project: Path) -> None:
    run_tests(project, FULL if IS_FULL else QUICK)


def test_the_modules_can_be_added_in_any_order(tmp_path: Path) -> None:
    copied = copy_project(tmp_path)
    for module in reversed(MODULES):
        follow(copied, module)
    run(copied, "ruff", "check", "--no-cache", "etl_assets", "etl_assets_tests")


@pytest.mark.skipif(not IS_FULL, reason="the tests of one module alone run with ETL_TEST_NEW_MODULE=full only")
@pytest.mark.timeout(3600)
def test_the_result_of_the_first_module_passes_the_same_tests(tmp_path: Path) -> None:
    copied = copy_project(tmp_path)
    follow(copied, MODULES[0])
    run_tests(copied, [test for test in FULL if test != "test_refunds.py"])
