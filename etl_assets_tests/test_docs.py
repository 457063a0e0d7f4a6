"""What the documentation shows works: its code runs, its commands and files exist, its mappings are valid."""

from __future__ import annotations

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import openpyxl
import pytest
import sqlalchemy as sa
import typer
from typer.testing import CliRunner

from etl_assets.cli.main import app
from etl_assets.presets.catalog import parse_mapping
from etl_assets.settings import Settings
from etl_assets_tests.conftest import SHARED_DATA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from etl_assets.pipeline.runner import Services

ROOT: Final = Path(__file__).resolve().parents[1]
READMES: Final = (ROOT / "README.md", ROOT / "README.zh-CN.md")
PAGES: Final = (*READMES, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
OTHER_RUNS: Final = {"new-module.md", "online-retail.md"}
"""Pages whose code has a test of its own."""

BLOCK: Final = re.compile(r"^```([\w-]*)(?: +(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
INLINE: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file it shows (if it names one) and its text."""

    language: str
    file: str
    text: str


def blocks(page: Path, *languages: str) -> list[Block]:
    found = [Block(*match.groups("")) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    return [block for block in found if not languages or block.language in languages]


def prose(page: Path) -> str:
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def commands(text: str) -> list[list[str]]:
    """The calls of `etl-assets` in a block, as arguments; brackets around what may be left out don't count."""
    lines = (re.sub(r"[\[\]]", "", line) for line in text.splitlines())
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("etl-assets ")]


def parse_command(arguments: list[str]) -> None:
    """Parse a call without running it; unknown commands, options and missing arguments raise."""
    command: Any = typer.main.get_command(app)
    context: Any = command.context_class(command, info_name="etl-assets")
    while hasattr(command, "get_command"):
        assert arguments, f"{command.name} needs a command"
        found = command.get_command(context, arguments[0])
        assert found is not None, f"there is no command {arguments[0]}"
        command, arguments = found, arguments[1:]
    command.make_context(command.name, list(arguments), parent=context)


def per_page(pages: tuple[Path, ...], wanted: Callable[[Path], object] = bool) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", [page for page in pages if wanted(page)], ids=lambda page: page.name)


def run_page(page: Path, services: Services) -> dict[str, object]:
    """Do what a page shows, in its order: write its files, run its commands, its queries and its Python.

    Returns the names that the Python code defined.
    """
    namespace: dict[str, object] = {}
    for number, block in enumerate(blocks(page)):
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile(block.text, f"{page.name}, block {number}", "exec", dont_inherit=True), namespace)  # noqa: S102  # it is what the page shows
        elif block.language == "sql":
            with services.database.transaction() as connection:
                connection.execute(sa.text(block.text))
        elif block.language == "sh" and page in READMES:
            for arguments in commands(block.text):
                run_command(arguments)
    return namespace


def run_command(arguments: list[str]) -> None:
    if arguments == ["doctor"]:
        return  # it looks at the machine
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == (1 if arguments[:2] == ["presets", "detect"] else 0), (arguments, result.output)
    if arguments[:2] == ["quarantine", "export"]:
        correct(Path(arguments[2]))


def correct(file: Path) -> None:
    """Do what the reader is told to: correct the date."""
    book = openpyxl.load_workbook(file)
    cells: Iterator[Any] = itertools.chain.from_iterable(book.worksheets[0].iter_rows())
    wrong = [cell for cell in cells if cell.value == "15.13.2026 17:45"]
    assert len(wrong) == 1
    wrong[0].value = "15.12.2026 17:45"
    book.save(file)


@pytest.mark.slow
@per_page(READMES)
def test_the_readme_can_be_followed_from_export_to_lead(
    page: Path, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(page, services)
    leads = "SELECT order_count, sample_count, CAST(total_amount AS int) FROM business_leads"
    with services.database.transaction() as connection:
        assert connection.execute(sa.text(leads)).all() == [(2, 1, 274)]


@per_page(PAGES, lambda page: page not in READMES and page.name not in OTHER_RUNS and blocks(page, "python", "sql"))
def test_the_code_of_a_page_runs(page: Path, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run_page(page, services)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED_DATA / "online_retail.parquet").exists(), reason="the shared data set is not there")
def test_the_page_of_the_real_data_has_its_figures(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    page = ROOT / "docs" / "online-retail.md"
    namespace = run_page(page, services)
    shown = dict(re.findall(r"^\| (.+?) \| ([\d,.]+) \|$", prose(page), re.MULTILINE))
    assert namespace["figures"] == {figure: value.replace(",", "") for figure, value in shown.items()}


@pytest.mark.slow
def test_the_new_module_works_when_its_page_is_followed(tmp_path: Path) -> None:
    for folder in ("etl_assets", "etl_assets_tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for block in blocks(ROOT / "docs" / "new-module.md", "python", "diff"):
        target = tmp_path / block.file
        if block.language == "diff":
            target.write_text(patched(target.read_text(encoding="utf-8"), block), encoding="utf-8")
        else:
            target.parent.mkdir(exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
    (tmp_path / "etl_assets" / "invoices" / "__init__.py").touch()
    tests = ["etl_assets_tests/test_invoices.py", "etl_assets_tests/test_schema.py"]
    # Without --basetemp it would close pytest's folder to servers of other tests that run as another user.
    options = ("--basetemp", tmp_path / "of-tests", "-p", "no:cacheprovider", "-p", "no:xdist")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options, *tests],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]


def patched(text: str, block: Block) -> str:
    """Apply a block of a diff without line numbers: what it shows of the old text must occur exactly once."""
    lines = block.text.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(old) == 1, f"{block.file} has this {text.count(old)} times instead of once:\n{old}"
    return text.replace(old, new)


@per_page(PAGES, lambda page: any("columns:" in block.text for block in blocks(page, "yaml")))
def test_mappings_are_valid(page: Path) -> None:
    for block in blocks(page, "yaml"):
        if "columns:" in block.text:
            parse_mapping(block.text, page.name)


def test_the_mapping_of_the_real_data_is_the_example() -> None:
    (shown,) = blocks(ROOT / "docs" / "online-retail.md", "yaml")
    example = (ROOT / "docs" / "examples" / "online_retail.yaml").read_text(encoding="utf-8")
    described = parse_mapping(example, "example")
    assert parse_mapping(shown.text, "page") == described.model_copy(update={"description": ""})


@per_page(PAGES, lambda page: any(commands(block.text) for block in blocks(page, "sh", "")))
def test_commands_and_options_exist(page: Path) -> None:
    for block in blocks(page, "sh", ""):
        for arguments in commands(block.text):
            parse_command(arguments)


@per_page(PAGES)
def test_commands_in_running_text_exist(page: Path) -> None:
    for code in INLINE.findall(prose(page)):
        names = code.split()[1:] if code.startswith("etl-assets ") else []
        if names and names[0].islower():
            command: Any = typer.main.get_command(app)
            context: Any = command.context_class(command)
            found = command.get_command(context, names[0])
            assert found is not None, code
            if hasattr(found, "get_command") and len(names) > 1:
                assert found.get_command(context, names[1]) is not None, code


def test_an_unknown_command_or_option_would_be_noticed() -> None:
    with pytest.raises(AssertionError):
        parse_command(["launch"])
    with pytest.raises(Exception, match="--everything"):
        parse_command(["run", "--everything"])


@per_page(PAGES)
def test_links_lead_to_files(page: Path) -> None:
    targets = [link.partition("#")[0] for link in LINK.findall(prose(page)) if not link.startswith(("https://", "#"))]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


@per_page(PAGES)
def test_paths_make_targets_and_settings_in_the_text_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    shown = {block.file for block in blocks(page)}
    paths = {code for code in INLINE.findall(prose(page)) if re.fullmatch(r"etl_assets(_tests)?/[\w/.]+", code)}
    assert [path for path in paths - shown if not (ROOT / path).exists()] == []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", "\n".join(block.text for block in blocks(page, "sh")), re.MULTILINE)
    targets += [code.removeprefix("make ") for code in INLINE.findall(prose(page)) if code.startswith("make ")]
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
    known = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert {name for name in re.findall(r"\bETL_[A-Z_]+\b", text) if f"{name}=" not in known} == set()


def test_both_readmes_say_the_same() -> None:
    english, chinese = (outline(page) for page in READMES)
    assert english == chinese


def outline(page: Path) -> dict[str, object]:
    """What must be the same in every language: the sections, the code, the links, the tables."""
    text = prose(page)
    code = [(block.language, block.file, without_comments(block)) for block in blocks(page)]
    return {
        "sections": re.findall(r"^#+", text, re.MULTILINE),
        "code": code,
        "links": sorted(link for link in LINK.findall(text) if not link.startswith("README")),
        "rows": len(re.findall(r"^\|", text, re.MULTILINE)),
        "points": len(re.findall(r"^- ", text, re.MULTILINE)),
        "commands": sorted(code for code in INLINE.findall(text) if re.fullmatch(r"[a-z-]+|etl-assets.*", code)),
    }


def without_comments(block: Block) -> list[str]:
    return [re.sub(r"\s*# .*$", "", line) for line in block.text.splitlines()]


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").partition("## For development")
    wanted = (project["project"]["dependencies"], project["dependency-groups"]["dev"])
    for section, requirements in zip((page[0], page[2]), wanted, strict=True):
        named = re.findall(r"^\| ([\w-]+) \| \S", section, re.MULTILINE)[1:]
        assert sorted(named) == sorted(re.split(r"[\[<>=~;]", requirement)[0] for requirement in requirements)


def test_the_changelog_has_the_version_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_setting_is_in_the_example() -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    fields = Settings.model_fields
    known = {str(field.validation_alias or f"ETL_{name}").upper() for name, field in fields.items()}
    assert known <= set(re.findall(r"^#(ETL_[A-Z_]+)=", text, re.MULTILINE))
