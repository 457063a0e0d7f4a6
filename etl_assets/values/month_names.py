"""Names of months, and words for morning and afternoon, in the languages of exports: put into the English of strftime.

So ``%b`` and ``%B`` read ``10-Dez-25`` and ``1 de mayo de 2026``. A name means one month in all languages here.
"""

from __future__ import annotations

from typing import Final

import polars as pl

ENGLISH: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_NAMES: Final = (
    "january januar jänner jaenner janvier enero ene janeiro gennaio gen januari janv jän",
    "february februar février fevrier févr fevr fév fev febrero fevereiro febbraio februari febr",
    "march märz maerz mär mars marzo março marco maart mrt maret mrz",
    "april avril abril aprile avr abr",
    "may mai mayo maio maggio mei maj mag",
    "june juni juin junio junho giugno jun giu",
    "july juli juillet julio julho luglio juil jul lug",
    "august août aout agosto augustus agustus agt ago ags aoû",
    "september septembre septiembre setembro settembre sept set",
    "october oktober octobre octubre outubro ottobre okt out ott",
    "november novembre noviembre novembro nop",
    "december dezember décembre diciembre dezembro dicembre desember déc dez dic des",
)  # fmt: skip
"""For each month its names in English, German, French, Spanish, Portuguese, Italian, Dutch, Swedish, Indonesian."""
_MONTHS: Final = {
    **{name: english for names, english in zip(_NAMES, ENGLISH, strict=True) for name in names.split()},
    **{english.lower(): english for english in ENGLISH},
}
_ALTERNATIVES: Final = "|".join(sorted(_MONTHS, key=len, reverse=True))
_MONTH: Final = rf"(?is)^(.*?(?:^|[^\p{{L}}]))({_ALTERNATIVES})DOT((?:[^\p{{L}}].*)?)$"
_HALVES: Final = {
    "上午": "AM", "午前": "AM", "下午": "PM", "午後": "PM", "오전": "AM", "오후": "PM",
    "a. m.": "AM", "p. m.": "PM", "a.m.": "AM", "p.m.": "PM",
}  # fmt: skip
"""Words for the halves of a day."""


def in_english(text: pl.Expr, strptime: str) -> pl.Expr:
    """Return the text with the words that a format reads in English: null where it has none, or has them already."""
    named = text
    if "%b" in strptime or "%B" in strptime:
        dot = "" if "%b." in strptime or "%B." in strptime else r"\.?"
        parts = text.str.extract_groups(_MONTH.replace("DOT", dot)).struct
        month = parts[1].str.to_lowercase().replace_strict(_MONTHS, default=None, return_dtype=pl.String)
        named = pl.coalesce(pl.concat_str(parts[0], month, parts[2]), text)
    if "%p" in strptime:
        named = named.str.replace_many(list(_HALVES), list(_HALVES.values()))
    return pl.when(named != text).then(named)


def has_words(strptime: str) -> bool:
    """Test that a format reads words, which differ by language."""
    return any(code in strptime for code in ("%b", "%B", "%p"))
