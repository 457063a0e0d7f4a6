"""The figures of a lead, listed once, with their types and labels.

Frames, look-ups and texts derive from this list; the tables `business_leads` and `lead_changes` and the view
`lead_history` have the same columns, which tests compare. How figures come from orders is a rule (`leads.transform`);
the check `figures_equal_orders` computes them anew in SQL, on purpose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from etl_assets.values.numbers import TOTAL
from etl_assets.values.timestamps import TIMESTAMP_UTC

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIMES: Final[Mapping[str, tuple[pl.DataType, str]]] = {
    "first_order_at": (TIMESTAMP_UTC, "first order"),
    "last_order_at": (TIMESTAMP_UTC, "last order"),
}
_SUMS: Final[Mapping[str, tuple[pl.DataType, str]]] = {
    "order_count": (pl.Int32(), "orders"),
    "total_amount": (TOTAL, "total"),
    "sample_count": (pl.Int32(), "samples"),
    "sample_amount": (TOTAL, "sample amount"),
    "proof_count": (pl.Int32(), "proofs"),
    "proof_amount": (TOTAL, "proof amount"),
    "bulk_count": (pl.Int32(), "bulk orders"),
    "bulk_amount": (TOTAL, "bulk amount"),
    "currency": (pl.String(), "currency"),
    "other_currency_count": (pl.Int32(), "orders in another currency"),
    "refunded_amount": (TOTAL, "refunded"),
}
"""Type and label of each figure."""

FIGURES: Final = {name: dtype for name, (dtype, _) in {**_TIMES, **_SUMS}.items()}
"""The figures as a schema of frames, in the order of the tables."""

FIGURE_LABELS: Final = {name: label for name, (_, label) in {**_SUMS, **_TIMES}.items()}
"""The figures as texts name them, the most telling first."""
