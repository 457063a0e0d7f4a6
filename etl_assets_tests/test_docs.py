"""What the documentation shows works: its code runs, its commands and files exist, its mappings are valid."""

from __future__ import annotations

import importlib
import itertools
import re
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import openpyxl
import pytest
import sqlalchemy as sa
import typer
from typer.testing import CliRunner

from etl_assets.asset_graph import ASSETS, REPLAY_ENTRY, SUBJECT_OF, TABLES_OF
from etl_assets.cli import output
from etl_assets.cli.main import app
from etl_assets.events import subjects
from etl_assets.presets.catalog import list_presets, parse_mapping
from etl_assets.settings import Settings
from etl_assets_tests.conftest import SHARED_DATA
from etl_assets_tests.helpers.pages import BLOCK, Block, blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from etl_assets.asset_graph import AssetSpec
    from etl_assets.pipeline.protocol import Services

ROOT: Final = Path(__file__).resolve().parents[1]
READMES: Final = (ROOT / "README.md", ROOT / "README.zh-CN.md")
TRIALS: Final = (ROOT / "docs" / "trying-an-export.md", ROOT / "docs" / "trying-an-export.zh-CN.md")
PLATFORMS: Final = (ROOT / "docs" / "platforms.md", ROOT / "docs" / "platforms.zh-CN.md")
WEB: Final = (ROOT / "docs" / "web.md", ROOT / "docs" / "web.zh-CN.md")
IMPORT_ID: Final = "3f2a"
"""Id of an import in these pages."""
PAGES: Final = (*READMES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
LEDGERS: Final = (ROOT / "docs" / "ledgers-kept-by-hand.md", ROOT / "docs" / "ledgers-kept-by-hand.zh-CN.md")
OTHER_RUNS: Final = {"new-module.md", "online-retail.md"}
"""Pages whose code has a test of its own."""

LINK: Final = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
INLINE: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
HEADING: Final = re.compile(r"^#+ (.+)$", re.MULTILINE)
POINTER: Final = re.compile(r'docs/([\w-]+\.md),? ((?:"[^"]+"(?:,? and |, )?)+)')
MODULE: Final = re.compile(r"\b(etl_assets(?:_tests)?(?:\.\w+)+)")
PACKAGES: Final = ("etl_assets", "etl_assets_tests", "benchmarks")


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
        elif block.language == "sh" and page in (*READMES, *TRIALS, *LEDGERS):
            for arguments in commands(block.text):
                run_command([import_id(services) if one == IMPORT_ID else one for one in arguments])
    return namespace


def import_id(services: Services) -> str:
    with services.database.transaction() as connection:
        return str(connection.execute(sa.text("SELECT import_id FROM import_tasks")).scalar_one())


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


# Of a page and its translation with the same code, compared below, the page is run.


@pytest.mark.slow
def test_the_readme_can_be_followed_from_export_to_lead(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(READMES[0], services)
    leads = "SELECT order_count, sample_count, CAST(total_amount AS int) FROM business_leads"
    with services.database.transaction() as connection:
        assert connection.execute(sa.text(leads)).all() == [(2, 1, 274)]


@pytest.mark.slow
def test_an_export_can_be_tried_as_the_page_says(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = TRIALS[0]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "PIPED_WIDTH", 500)  # the page folds lines
    run_page(page, services)
    with services.database.transaction() as connection:
        leads = connection.execute(sa.text("SELECT CAST(total_amount AS int) FROM business_leads")).scalars().all()
    assert leads == [274]
    shown = "".join(
        CliRunner().invoke(app, ["import", "--dry-run", "orders.csv", "--mapping", mapping]).stdout
        for mapping in ("first.yaml", "second.yaml")
    )
    outputs = [block.text for block in blocks(page) if not block.language and not block.file]
    assert [line for text in outputs for line in folded(text) if line not in folded(shown)] == []


@pytest.mark.slow
@per_page(LEDGERS)
def test_a_ledger_can_be_imported_as_the_page_says(
    page: Path, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(output, "PIPED_WIDTH", 500)
    run_page(page, services)
    [shown] = blocks(page, "yaml")
    drafted = Path("ledger.yaml").read_text(encoding="utf-8").splitlines()
    lines = [re.sub(r" {2,}# .*", "", line) for line in drafted if not line.strip().startswith("#")]
    assert lines == shown.text.splitlines()
    with services.database.transaction() as connection:
        query = "SELECT order_id, CAST(amount * 10 AS int), created_at = updated_at FROM orders ORDER BY order_id"
        found = [(number.split("/")[1], *row) for number, *row in connection.execute(sa.text(query))]
    assert found == [("4", 2500, True), ("5", 2000, False), ("7", 7000, True), ("8", 666, True)]
    first, again = (block for block in blocks(page, "csv"))
    Path(again.file).write_text(first.text, encoding="utf-8")
    result = CliRunner().invoke(app, ["import", "--dry-run", first.file, "--mapping", "ledger.yaml"])
    outputs = "".join(block.text for block in blocks(page) if not block.language and not block.file)
    read = {line for line in folded(outputs) if line.startswith(("Read", "Ordered", "Amounts"))}
    assert len(read) == 3  # one of each
    assert read <= folded(result.stdout)


def folded(text: str) -> set[str]:
    """The words of each line, without the lines of tables; a hint is folded in a page."""
    joined = re.sub(r"looks like\n", "looks like ", text)
    return {" ".join(line.split()) for line in joined.splitlines() if not set(line) & set("┏┡└")}


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


def subject_row(spec: AssetSpec) -> str | None:
    commit = f"a batch of `{spec.name}` is committed" if spec.enqueued_by else f"an import has landed in `{spec.name}`"
    return f"| `{spec.publishes}` | {commit} |"


def sensor_row(spec: AssetSpec) -> str | None:
    if spec.triggered_by is None:
        return None
    return f"| `{spec.name}_on_{SUBJECT_OF[spec.triggered_by].lower()}` | `{spec.name}` |"


def queue_row(spec: AssetSpec) -> str | None:
    if spec.enqueued_by is None:
        return None
    content = {"imports": "raw rows of an import", "orders": "orders", "orders_and_moves": "orders, also moved ones"}
    tables = ", ".join(f"`{table}`" for table in TABLES_OF[spec.name])
    places = f"`{spec.enqueued_by}` | {content[spec.range_content]} | `{REPLAY_ENTRY[spec.name]}`"
    return f"| `{spec.name}` | {tables} | {places} |"


ASSET_TABLES: Final = {
    "| subject | published when |": subject_row,
    "| sensor | runs, with everything after it |": sensor_row,
    "| asset | writes | work comes from | a range names | a row of its quarantine runs again from |": queue_row,
}
"""The tables that list assets, by their heads: each with the row of an asset."""
ASSET_TABLE: Final = re.compile(r"<!-- asset graph: begin -->\n(.*?)<!-- asset graph: end -->", re.DOTALL)


def test_the_tables_of_assets_agree_with_the_asset_graph() -> None:
    """The assets of the contract are in them; those of further modules may be."""
    found = [table for page in PAGES for table in ASSET_TABLE.findall(page.read_text(encoding="utf-8"))]
    by_head = {table.splitlines()[0]: table.splitlines()[2:] for table in found}
    assert set(by_head) == set(ASSET_TABLES)
    constants = {value for name, value in vars(subjects).items() if name.endswith("_COMPLETED")}
    for head, row_of in ASSET_TABLES.items():
        rows = {row: spec.publishes in constants for spec in ASSETS if (row := row_of(spec)) is not None}
        assert by_head[head] == [row for row, is_of_contract in rows.items() if is_of_contract or row in by_head[head]]


@per_page(PAGES)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    targets = [link for link in LINK.findall(prose(page)) if not link.startswith("https://")]
    assert [target for target in targets if not leads_somewhere(page, target)] == []


def leads_somewhere(page: Path, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = page.parent / path if path else page
    return target.exists() and (not anchor or anchor in anchors(target))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of the headings of a page."""
    headings = HEADING.findall(prose(page))
    return {re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_a_link_to_nothing_would_be_noticed() -> None:
    page = ROOT / "docs" / "architecture.md"
    assert leads_somewhere(page, "decisions.md#fencing-token")
    assert leads_somewhere(page, "#glossary")
    assert not leads_somewhere(page, "decisions.md#no-such-decision")
    assert not leads_somewhere(page, "no-such-page.md")


def headings(page: str) -> set[str]:
    return set(HEADING.findall(prose(ROOT / "docs" / page)))


def pointers_to_nothing(text: str) -> list[str]:
    """Return the pointers of a text, as in `docs/decisions.md, "Fencing token"`, whose heading does not exist.

    Several headings may be named, as in `"Late rows" and "Unchanged orders"`.
    """
    joined = re.sub(r"\s*\n\s*(#\s+)?", " ", text)
    wrong = []
    for page, named in POINTER.findall(joined):
        known = headings(page) if (ROOT / "docs" / page).exists() else set()
        wrong += [f"{page}, {heading}" for heading in re.findall(r'"([^"]+)"', named) if heading not in known]
    return wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_headings_that_code_points_to_exist(package: str) -> None:
    files = [path for path in sorted((ROOT / package).rglob("*.py")) if path != Path(__file__)]
    wrong = {path.name: pointers_to_nothing(path.read_text(encoding="utf-8")) for path in files}
    assert {name: pointers for name, pointers in wrong.items() if pointers} == {}


def test_a_pointer_to_no_heading_would_be_noticed() -> None:
    assert pointers_to_nothing('# See docs/decisions.md, "Queue as\n    # a set of ranges".') == []
    assert pointers_to_nothing('(docs/decisions.md, "Late rows" and "Late lunch")') == ["decisions.md, Late lunch"]
    assert pointers_to_nothing('docs/no-page.md, "Glossary"') == ["no-page.md, Glossary"]


@per_page(PAGES)
def test_modules_in_the_text_exist(page: Path) -> None:
    shown = {block.file for block in blocks(page)}
    inline = set(INLINE.findall(prose(page))) - shown
    files = {code for code in inline if re.fullmatch(r"(\w+/)+(\w+\.py)?", code)}
    assert [file for file in sorted(files) if not is_file(file)] == []
    names = {name for code in inline for name in MODULE.findall(code) if not name.endswith(".conf")}
    assert [name for name in sorted(names) if not is_name(name)] == []


def is_file(path: str) -> bool:
    """Tell whether a path exists below the project or its package, where pages about the package begin."""
    return (ROOT / path).exists() or (ROOT / "etl_assets" / path).exists()


def is_name(dotted: str) -> bool:
    """Tell whether a dotted name is a module, or something in one."""
    module, _, attribute = dotted.rpartition(".")
    try:
        importlib.import_module(dotted)
    except ImportError:
        return module.count(".") > 0 and hasattr(importlib.import_module(module), attribute)
    return True


def test_a_path_or_name_of_nothing_would_be_noticed() -> None:
    assert is_file("ledger/queue.py")
    assert not is_file("ledger/work.py")
    assert is_name("etl_assets.ledger.queue.RawIdRange")
    assert not is_name("etl_assets.ledger.queue.WorkRange")


@per_page(PAGES)
def test_paths_make_targets_and_settings_in_the_text_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    shown = {block.file for block in blocks(page)}
    paths = {code for code in INLINE.findall(prose(page)) if re.fullmatch(r"etl_assets(_tests)?/[\w/.]+", code)}
    assert [path for path in paths - shown if not (ROOT / path).exists()] == []
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make ([\w-]+)", "\n".join(block.text for block in blocks(page, "sh")), re.MULTILINE)
    targets += [code.removeprefix("make ") for code in INLINE.findall(prose(page)) if code.startswith("make ")]
    assert [target for target in targets if f"\n{target}:" not in makefile] == []
    known = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert {name for name in re.findall(r"\bETL_[A-Z_]+\b", text) if f"{name}=" not in known} == set()


@pytest.mark.parametrize("pages", [READMES, TRIALS, PLATFORMS, WEB], ids=lambda pages: pages[0].name)
def test_a_page_says_the_same_in_both_languages(pages: tuple[Path, Path]) -> None:
    english, chinese = (outline(page) for page in pages)
    assert english == chinese


@pytest.mark.parametrize("page", PLATFORMS, ids=lambda page: page.name)
def test_the_table_of_platforms_has_every_preset_with_its_evidence(page: Path) -> None:
    found = re.findall(r"^\|[^|]*\| `(\w+)` \|.*\| (\w+)(.*) \|$", page.read_text(encoding="utf-8"), re.MULTILINE)
    presets = [preset for preset in list_presets() if preset.name != "generic"]
    assert sorted(found_one[:2] for found_one in found) == [(preset.name, preset.evidence) for preset in presets]
    assert {name for name, _, rest in found if rest} == {preset.name for preset in presets if preset.draft}


def outline(page: Path) -> dict[str, object]:
    """What must be the same in every language: the sections, the code, the links, the tables."""
    text = prose(page)
    code = [(block.language, block.file, without_comments(block)) for block in blocks(page)]
    return {
        "sections": re.findall(r"^#+", text, re.MULTILINE),
        "code": code,
        "links": sorted(
            link.replace(".zh-CN.md", ".md") for link in LINK.findall(text) if not link.startswith("README")
        ),
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
