"""Structure of the package: no folder circles, rules without database and Dagster."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from etl_assets.asset_graph import SPECS

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = Path(__file__).parents[1] / "etl_assets"
RULES: Final = (
    *PACKAGE.glob("*/transform.py"),
    *PACKAGE.glob("values/*.py"),
    *PACKAGE.glob("order_items/[!s]*.py"),
    PACKAGE / "raw_orders" / "group_lines.py",
    PACKAGE / "presets" / "model.py",
    PACKAGE / "frame_schemas.py",
    PACKAGE / "asset_graph.py",
)
"""Modules that hold rules and facts: they run anywhere."""
HEAVY: Final = ("psycopg", "sqlalchemy", "connectorx", "alembic", "dagster")


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


def imported_modules(path: Path) -> Iterator[str]:
    """Names of the modules of the package that a file imports, also for the type checker and inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("etl_assets."))
        elif isinstance(node, ast.ImportFrom) and node.module == "etl_assets":
            yield from (f"etl_assets.{name.name}" for name in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("etl_assets."):
            yield str(node.module)


def folder(module: str) -> str:
    """The folder of a module, or the module itself where it lies beside the folders."""
    return module.split(".")[1]


def test_no_folder_imports_another_that_imports_it() -> None:
    graph: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        if path.parent != PACKAGE or path.stem != "__init__":
            own = folder(module_name(path))
            graph.setdefault(own, set()).update({folder(name) for name in imported_modules(path)} - {own})
    assert {"database", "pipeline", "orders", "orchestration"} <= graph["definitions"] | graph["run"]
    TopologicalSorter(graph).prepare()  # raises CycleError, with the circle


def without(blocked: tuple[str, ...], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that can't import some packages."""
    block = f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))"
    return subprocess.run(
        [sys.executable, "-c", f"{block}\n{code}"], capture_output=True, text=True, check=False, cwd=PACKAGE.parent
    )


def test_rules_are_imported_without_a_database_driver_and_without_dagster() -> None:
    result = without(HEAVY, "\n".join(f"import {module_name(path)}" for path in RULES))
    assert result.returncode == 0, result.stderr


def test_the_asset_graph_is_imported_without_polars() -> None:
    result = without((*HEAVY, "polars"), "import etl_assets.asset_graph")
    assert result.returncode == 0, result.stderr


def test_code_that_needs_a_driver_would_be_noticed() -> None:
    assert without(HEAVY, "import etl_assets.database.frames").returncode != 0


def test_facts_about_assets_stand_in_the_asset_graph_only() -> None:
    """No other dictionary of the package goes by asset, but the registry of steps."""
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Dict) and len(node.keys) > 2
        if all(isinstance(key, ast.Constant) and key.value in SPECS for key in node.keys)
    }
    assert found == {"run/registry.py"}
