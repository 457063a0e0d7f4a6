"""Pointers from the code to documentation: each names a heading or a decision that is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[1]
POINTER: Final = re.compile(r'docs/([a-z-]+)\.md, ("[^"]+"(?: and "[^"]+")*)')


def docstrings(path: Path) -> Iterator[str]:
    """All texts of a module that stand as statements: docstrings, also those below constants and fields."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield " ".join(node.value.value.split())


def pointers() -> set[tuple[str, str]]:
    """The page and the heading of each pointer."""
    return {
        (page, heading)
        for path in (ROOT / "etl_assets").rglob("*.py")
        for text in docstrings(path)
        for page, headings in POINTER.findall(text)
        for heading in re.findall(r'"([^"]+)"', headings)
    }


@pytest.mark.parametrize(("page", "heading"), sorted(pointers()))
def test_the_heading_that_the_code_points_to_exists(page: str, heading: str) -> None:
    text = " ".join((ROOT / "docs" / f"{page}.md").read_text().replace("**", " ").split())
    headings = re.findall(r"(?m)^(?:#+ |\*\*)(.+)", (ROOT / "docs" / f"{page}.md").read_text())
    assert heading in text
    assert any(" ".join(one.split()).startswith(heading[:20]) for one in headings)


def test_the_delicate_functions_point_to_their_decisions() -> None:
    assert {page for page, _ in pointers()} >= {"architecture", "decisions", "performance"}
    assert len(pointers()) >= 20
