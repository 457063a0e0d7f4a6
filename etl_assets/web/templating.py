"""Jinja environments of the web page, one a language: what templates may use, and the addresses of static files."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from etl_assets.web.formats import Formats
from etl_assets.web.language import read_translations
from etl_assets.web.security.headers import STATIC_PATH

if TYPE_CHECKING:
    from etl_assets.web.language import Language

STATIC_FOLDER: Final = Path(__file__).parent / "static"
_DIGESTS: Final = {
    path.name: sha256(path.read_bytes()).hexdigest()[:12] for path in STATIC_FOLDER.iterdir() if path.is_file()
}


@cache
def environment(language: Language, timezone: str) -> Environment:
    """Return the environment of a language; its filters show times in the time zone."""
    made = Environment(
        loader=PackageLoader("etl_assets.web"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.policies["ext.i18n.trimmed"] = True
    made.install_gettext_translations(read_translations(language), newstyle=True)  # type: ignore[attr-defined]  # i18n's
    made.filters.update(Formats(language, ZoneInfo(timezone)).filters())
    made.globals["static"] = _static_address
    made.globals["shown_timezone"] = timezone
    return made


def _static_address(name: str) -> str:
    """Return the address of a static file, which changes with its content."""
    return f"{STATIC_PATH}{name}?{_DIGESTS[name]}"
