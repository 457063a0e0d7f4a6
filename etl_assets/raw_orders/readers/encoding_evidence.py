"""Evidence in bytes for the encoding of text that no preset names: cp1252, as Excel writes it, and Japanese cp932.

The hazard is gb18030, in which nearly all bytes are valid: a German name would be read as Chinese without an error
(docs/decisions.md, "Guessed encoding").
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

WESTERN: Final = "cp1252"
JAPANESE: Final = "cp932"
GUESSED: Final = frozenset((WESTERN, JAPANESE))
MULTI_BYTE: Final = frozenset(codecs.lookup(name).name for name in ("utf-8", "utf-8-sig", "gb18030", "gbk", "gb2312"))
"""Encodings beside which one of `GUESSED` may be; a mapping that names one of a byte per character means that."""
SAMPLE_BYTES: Final = 1 << 20
MOST: Final = 0.8
LEAST_KANA: Final = 0.2
MOST_HALF_WIDTH: Final = 0.05
_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_KANA: Final = re.compile(r"[\u3041-\u3096\u30a1-\u30fa]")
_HALF_WIDTH: Final = re.compile(r"[\uff61-\uff9f]")
_UTF8: Final = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_RUN: Final = re.compile(rb"[\x80-\xff]+")
_WESTERN_RUN: Final = re.compile(
    rb"(?<![\x80-\xff])(?:[\x80-\xff]|(?<=[A-Za-z])[\x9a\x9c\x9e\xdf-\xf6\xf8-\xff]{2}(?=[a-z]))(?![\x80-\xff])"
)
"""A character by itself, or two small letters within a word."""
_IN_WORD: Final = re.compile(r"(?<=[A-Za-z])[^\x00-\x7f](?=[A-Za-z])")
_IN_LOWER_CASE: Final = re.compile(r"(?<=[a-z])[^\x00-\x7f](?=[a-z])")
_NO_LETTER_OF_A_WORD: Final = re.compile(r"[^À-ÖØ-öø-ÿŠšŽžŒœŸªº’´\xad]")


def may_be_guessed(encodings: Iterable[str]) -> bool:
    """Test that a mapping names no encoding that those of `GUESSED` could be confused with."""
    return all(codecs.lookup(name).name in MULTI_BYTE for name in encodings)


def guess_encoding(sample: bytes) -> str | None:
    """Return the encoding of `GUESSED` that bytes are evidence for; None where there is too little."""
    if looks_western(sample):
        return WESTERN
    return JAPANESE if looks_japanese(sample) else None


def looks_japanese(sample: bytes) -> bool:
    """Test that bytes are those of Japanese text in cp932: not UTF-8, with many kana, and hardly any of half width.

    Hazard: bytes of Chinese text in gb18030 are often valid in cp932, as kana of half width, which exports do not have.
    """
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)
    except UnicodeDecodeError:
        pass
    else:
        return False
    try:
        text = codecs.getincrementaldecoder(JAPANESE)().decode(sample)
    except UnicodeDecodeError:
        return False
    letters = len(_BEYOND_ASCII.findall(text))
    kana, half_width = len(_KANA.findall(text)), len(_HALF_WIDTH.findall(text))
    return kana >= LEAST_KANA * letters > 0 and half_width <= MOST_HALF_WIDTH * letters


def looks_western(sample: bytes) -> bool:
    """Test that bytes are those of text in cp1252.

    They are valid in it and hold no character of UTF-8; letters beyond ASCII stand alone between ASCII, as accents and
    umlauts do (Chinese ones come in pairs, Cyrillic ones in words); and within words there are letters only, in lower
    case between lower case.
    """
    if sample.isascii() or _UTF8.search(sample):
        return False
    try:
        text = sample.decode(WESTERN)
    except UnicodeDecodeError:
        return False
    runs = len(_RUN.findall(sample))
    if not runs or len(_WESTERN_RUN.findall(sample)) < MOST * runs:
        return False
    in_words, in_lower_case = "".join(set(_IN_WORD.findall(text))), "".join(set(_IN_LOWER_CASE.findall(text)))
    return not _NO_LETTER_OF_A_WORD.search(in_words) and not any(char.isupper() for char in in_lower_case)


def name_fitting(sample: bytes) -> str | None:
    """Return an encoding that bytes which are not UTF-8 fit: gb18030, where nearly all come in pairs; else None."""
    runs = _RUN.findall(sample)
    is_paired = sum(len(run) % 2 == 0 for run in runs) >= MOST * len(runs) > 0
    try:
        codecs.getincrementaldecoder("gb18030")().decode(sample)
    except UnicodeDecodeError:
        return None
    return "gb18030" if is_paired else None
