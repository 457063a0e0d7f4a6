"""Languages of the web page: English texts are the message ids, translations are gettext catalogs read at start.

Templates use `{% trans %}` and `_("…")`, handlers `page.translate(request, "…")`. The Chinese texts of a page are in
`locale/zh/<page>.po`; a test compares them with those of templates and handlers. Numbers and dates are in `formats`.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, get_args

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog
    from starlette.requests import Request

Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
LANGUAGE_NAMES: Final[dict[Language, str]] = {"en": "English", "zh": "中文"}
LOCALE_FOLDER: Final = Path(__file__).parent / "locale"
COOKIE: Final = "etl_language"
COOKIE_SECONDS: Final = 365 * 24 * 3600


def N_(text: str) -> str:  # noqa: N802  # gettext's usual name for it
    """Mark a text for translation; it is translated where it is shown: `_(text)`."""
    return text


@cache
def read_translations(language: Language) -> NullTranslations:
    """Read all catalogs of a language as one.

    Raises:
        PoFileError: a catalog is no valid .po file.
    """
    translations = NullTranslations()
    for path in sorted((LOCALE_FOLDER / language).glob("*.po")):
        with path.open("rb") as file:
            catalog = read_po(file, locale=language, abort_invalid=True)
        translations = _merged(translations, catalog)
    return translations


def _merged(translations: NullTranslations, catalog: Catalog) -> NullTranslations:
    compiled = BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    read = Translations(compiled)
    read.add_fallback(translations)
    return read


def language_of(request: Request) -> Language:
    """Return the language that the user chose, or the browser's first one that is known; else English."""
    chosen = request.cookies.get(COOKIE)
    wanted = [chosen] if chosen else _accepted(request.headers.get("accept-language", ""))
    for name in wanted:
        for language in LANGUAGES:
            if name == language or name.startswith(f"{language}-"):
                return language
    return "en"


def _accepted(header: str) -> list[str]:
    """Return the languages of an Accept-Language header, most wanted first."""
    weighted: list[tuple[float, str]] = []
    for part in header[:200].split(","):
        name, _, weight = part.strip().lower().partition(";q=")
        try:
            weighted.append((-float(weight or 1), name))
        except ValueError:
            continue
    return [name for _, name in sorted(weighted, key=lambda one: one[0])]
