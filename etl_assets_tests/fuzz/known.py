"""Faults that fuzzing has found and that are not mended yet: what is listed here is not generated.

Each entry says what it is and what happens. Remove the entry together with the fault.
"""

from __future__ import annotations

from typing import Final

LONG_KEYS: Final = "long-keys"
JSON_NUMBERS: Final = "json-numbers"
HALF_SURROGATES: Final = "half-surrogates"
MANY_LINES: Final = "many-lines"
ESCAPED_KEYS: Final = "escaped-keys"
REPEATED_KEYS: Final = "repeated-keys"
DAMAGED_PARQUET: Final = "damaged-parquet"

KNOWN: Final[dict[str, str]] = {
    LONG_KEYS: "a platform, shop or order type of more than 2.6 kB that does not compress stops its asset",
    JSON_NUMBERS: "numbers in JSON lines pass through a float: 12345678901234.5678 is cut, 1e400 refuses the file",
    HALF_SURROGATES: "half a surrogate pair in JSON lines refuses the whole file",
    ESCAPED_KEYS: 'a bare number under a key that is written with an escape ("\\u0073ku": -0) passes through a float',
    REPEATED_KEYS: "of processes or unit_price given twice, the first does not count where one is text or a number",
    DAMAGED_PARQUET: "text of a Parquet file that is not UTF-8 ends the import with the database's error (22021)",
    MANY_LINES: "order_items takes memory quadratic in an order's lines where another order is odd",
}


def is_open(fault: str) -> bool:
    """Whether a fault is still to be mended, so that what shows it is left out."""
    return fault in KNOWN
