"""Texts of the web page: each is translated, and no translation is left over."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import etl_assets.web
from etl_assets.health.needs import DETAILS, SENTENCES
from etl_assets.lead_figures import FIGURE_LABELS
from etl_assets.leads import explanations
from etl_assets.orders.explanations import TEXTS
from etl_assets.reporting.leads_export import HEADER
from etl_assets.texts import SEPARATOR
from etl_assets.web.language import LOCALE_FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

WEB: Final = Path(etl_assets.web.__file__).parent
METHODS: Final = [("templates/**.html", "jinja2"), ("**.py", "python")]
OPTIONS: Final = {"templates/**.html": {"extensions": "jinja2.ext.do", "trimmed": "true", "silent": "false"}}
KEYWORDS: Final = {
    "_": None, "N_": None, "gettext": None, "ngettext": (1, 2), "translate": (2,), "translate_count": (2, 3),
}  # fmt: skip
PLACEHOLDER: Final = re.compile(r"%\(\w+\)s")

Message = str | tuple[str, ...] | list[str] | None


TOLD: Final[set[Message]] = {
    *explanations.ATTACH_REASONS.values(),
    *explanations.DETACH_REASONS.values(),
    *explanations.EVENT_TEXTS.values(),
    *explanations.TEMPLATES.values(),
    *(explanations.ORDER, explanations.UNKNOWN_RULE, explanations.CHANGE, explanations.NO_CHANGE),
    *(explanations.NONE, SEPARATOR),
    *FIGURE_LABELS.values(),
    *HEADER.values(),
    *TEXTS.values(),
    *SENTENCES.values(),
    *DETAILS,
}
"""Texts of packages that know nothing of languages (`etl_assets.texts`), shown on pages."""


def used() -> set[Message]:
    """The message ids in templates and handlers; of plurals, singular and plural."""
    found = extract_from_dir(WEB, METHODS, OPTIONS, KEYWORDS)
    return TOLD | {tuple(message) if isinstance(message, tuple) else message for _, _, message, *_ in found}


def translated(language: str) -> Iterator[tuple[Message, Message, str]]:
    """The message ids of the catalogs with their translations and the catalog's name."""
    for path in sorted((LOCALE_FOLDER / language).glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, abort_invalid=True):
                if message.id:
                    yield message.id, message.string, path.name


def test_each_text_is_translated_and_each_translation_is_used() -> None:
    texts, catalog = used(), {one: text for one, text, _ in translated("zh") if text}
    assert len(texts) > 50
    assert {"missing": sorted(map(str, texts - set(catalog))), "unused": sorted(map(str, set(catalog) - texts))} == {
        "missing": [],
        "unused": [],
    }


def test_a_text_is_translated_in_one_catalog_only() -> None:
    ids = [one for one, _, _ in translated("zh")]
    assert sorted({str(one) for one in ids if ids.count(one) > 1}) == []


def test_translations_have_the_placeholders_of_their_texts() -> None:
    for one, text, catalog in translated("zh"):
        ids = one if isinstance(one, list | tuple) else (one,)
        texts = text if isinstance(text, list | tuple) else (text,)
        assert set(PLACEHOLDER.findall(str(ids[-1]))) == set(PLACEHOLDER.findall(str(texts[0]))), f"{catalog}: {one}"
