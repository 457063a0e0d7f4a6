"""Texts with values in them: in English, or translated with their values by the web page.

A module that tells something returns a `Text`; commands show it as it is, pages in the language of their user. What is
told stays with the package that knows it; languages are in `web.language`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SEPARATOR = ", "
"""Between the texts of a list; translated like a text."""


@dataclass(frozen=True, slots=True)
class Text:
    """Text with `{names}` of values; a value may be a text again, or a tuple of texts."""

    template: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the text in English."""
        return self.translated(lambda template: template)

    def translated(self, translate: Callable[[str], str]) -> str:
        """Return the text in the language that `translate` translates templates into."""
        values = {name: _filled(value, translate) for name, value in self.values.items()}
        return translate(self.template).format(**values)


def _filled(value: object, translate: Callable[[str], str]) -> str:
    if isinstance(value, Text):
        return value.translated(translate)
    if isinstance(value, tuple):
        return translate(SEPARATOR).join(_filled(one, translate) for one in value)
    return str(value)
