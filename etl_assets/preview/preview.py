"""Preview of imports: what importing files and running the assets would do, found out without writing anything.

Three passes, each in bounded memory: the files are read once; their rows are decided order by order; the changed orders
customer by customer. Between them rows lie in memory, or in temporary partition files (`spill`). All rules are those of
the steps (docs/decisions.md, "Previews"). Showing the result belongs in `cli`.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from etl_assets.errors import DatabaseUnavailableError, EtlError
from etl_assets.orders.brake import Brake
from etl_assets.presets.detect import matching_headers
from etl_assets.preview.columns import describe_columns, headers_not_taken
from etl_assets.preview.customers import CustomerParts
from etl_assets.preview.orders import OrderParts
from etl_assets.preview.reading import ORDER_NUMBER, Candidate
from etl_assets.preview.removals import Removals
from etl_assets.raw_orders.each_sheet import presets_of_each_sheet
from etl_assets.raw_orders.importing import Overrides, begin_extraction, require_presets
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.shop.transform import SHOP_KEY, distinct_shops, first_shops, new_shops, settled_shops
from etl_assets.spill import Spill
from etl_assets.values.text import normalize_case, normalize_case_str
from etl_assets.vectorized_queries import SHOP_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from etl_assets.presets.model import Preset
    from etl_assets.preview.figures import Figures
    from etl_assets.preview.store import Store
    from etl_assets.raw_orders.readers.file_reader import FileReader
    from etl_assets.raw_orders.remedies import Entry
    from etl_assets.settings import Settings

FIRST_NEW_SHOP: Final = -1
"""Numbers of shops that are not made count down from here: no stored shop has them."""


@dataclass(frozen=True, slots=True)
class Preview:
    """Result of a preview. `files` and `database` are as ``--json`` prints them."""

    files: list[dict[str, Any]]
    """Each file with what it holds, or the `error` for which it can't be imported."""
    database: dict[str, Any]
    """Effects on the tables of importing all of them and running the assets."""

    @property
    def has_failed(self) -> bool:
        """Return whether a file can't be imported."""
        return any("error" in file for file in self.files)

    def as_dict(self) -> dict[str, Any]:
        """Return the preview as ``--json`` prints it."""
        return {"files": self.files, "database": self.database}


def preview_files(  # noqa: PLR0913  # what differs between the command and the page
    store: Store,
    reader: FileReader,
    files: Sequence[tuple[Path, Preset | None, Overrides]],
    settings: Settings,
    given_by: str,
    progress: Callable[[str], AbstractContextManager[Callable[[int], None]]],
    *,
    entry: Entry = "command",
) -> Preview:
    """Preview the import of files in this order.

    Args:
        store: the stored rows.
        reader: reads the files.
        files: each with its preset, if it is not to be detected, and what replaces its values.
        settings: the batch size, which is about the rows to have in memory; the brake.
        given_by: what gives the preset, where it is not detected.
        progress: opens the counter of the lines of a file of this name.
        entry: words the remedies of errors.
    """
    candidates: dict[int, Candidate] = {}
    shown: list[dict[str, Any] | int] = []
    with Spill(ORDER_NUMBER, settings.batch_size) as rows:
        for path, preset, overrides in files:
            with progress(path.name) as on_progress, reader.open(path) as file:
                try:
                    presets = require_presets(file) if preset is None else presets_of_each_sheet(file, preset)
                except EtlError as error:
                    shown.append({"source": str(path), "error": _said(error, entry)})
                    continue
                for chosen, headers in presets:
                    is_detected = preset is None
                    begun = begin_extraction(file, chosen, overrides, is_detected=is_detected, on_progress=on_progress)
                    why = _why(headers or file.headers(), chosen) if is_detected else given_by
                    why += f", sheet {chosen.sheets[0]}" if chosen.each_sheet and chosen.sheets else ""
                    candidate = Candidate(str(path), begun.preset, begun.counts, begun.frames, begun.shop_checks, why)
                    try:
                        with closing(begun.frames):
                            _read(store, len(shown), candidate, candidates, rows)
                        shown.append(len(shown))
                    except DatabaseUnavailableError:
                        raise
                    except EtlError as error:
                        shown.append({"source": str(path), "preset": chosen.name, "error": _said(error, entry)})
        preview = _decide(store, candidates, rows, settings)
    found = dict(zip(candidates, preview.files, strict=True))
    return Preview([found[one] if isinstance(one, int) else one for one in shown], preview.database)


def _said(error: EtlError, entry: Entry) -> str:
    return str(error.worded_for(entry) if isinstance(error, ImportFileError) else error)


def preview_imports(store: Store, candidates: Sequence[Candidate], settings: Settings) -> Preview:
    """Preview imports whose raw orders can be read; their frames are consumed."""
    read: dict[int, Candidate] = {}
    with Spill(ORDER_NUMBER, settings.batch_size) as rows:
        for number, candidate in enumerate(candidates):
            _read(store, number, candidate, read, rows)
        return _decide(store, read, rows, settings)


def _read(store: Store, number: int, candidate: Candidate, before: dict[int, Candidate], rows: Spill) -> None:
    """Read an import after others, and add it to them once all of it could be read."""
    first_raw_id = store.last_raw_id() + 1 + sum(one.rows for one in before.values())
    candidate.read(store, number, first_raw_id, rows)
    before[number] = candidate


def _decide(store: Store, candidates: dict[int, Candidate], rows: Spill, settings: Settings) -> Preview:
    shops, new = _shops(store, candidates.values())
    removals = Removals(store, Brake.of(settings), candidates)
    orders, customers = OrderParts(store, candidates, shops, removals), CustomerParts(store, shops, removals)
    with Spill(pl.col("of_customer"), settings.batch_size) as changed:
        for part in rows.parts():
            changed.add(orders.decide(part))
        for part in changed.parts():
            customers.decide(part)
    orders.complete_findings()
    changes = orders.changes
    database = {
        "is_empty": store.connection is None,
        "pending_rows": store.pending_rows(),
        "shops": {"new": [dict(zip(SHOP_KEY, one, strict=True)) for one in new.select(SHOP_KEY).iter_rows()]},
        "orders": {
            "new": changes["inserted"],
            "changed": changes["updated"],
            "unchanged": changes["unchanged"],
            "older": changes["superseded"],
        },
        "lines": orders.lines.changes,
        "rows": {
            "overtaken": orders.overtaken_rows + orders.lines.overtaken_rows,
            "quarantined": sum(one.rejected_rows for one in orders.figures.values()),
        },
        **customers.as_dict(),
    }
    held = removals.held()
    files = [
        _describe(store, candidates[number], orders.figures[number], shops) | {"held": held.get(number, {})}
        for number in candidates
    ]
    return Preview(files, database)


def _shops(store: Store, candidates: Iterable[Candidate]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return all shops as they would be (`SHOP_SCHEMA`), and the new ones of them."""
    known = store.shops()
    nothing = pl.DataFrame(schema=dict.fromkeys(("raw_id", "platform", "shop", "currency"), pl.String()))
    named = pl.concat([distinct_shops(nothing, None), *(one.shops() for one in candidates)])
    found = first_shops(named)
    new = new_shops(found, known)
    settled = settled_shops(found, known)
    known = known.update(settled, on="shop_id", include_nulls=True)
    numbered = new.with_columns(
        shop_id=FIRST_NEW_SHOP - pl.int_range(pl.len(), dtype=pl.Int32), default_currency=pl.lit(None, pl.String)
    )
    return pl.concat([known, numbered.select(pl.col(name).cast(dtype) for name, dtype in SHOP_SCHEMA.items())]), new


def _describe(store: Store, candidate: Candidate, figures: Figures, shops: pl.DataFrame) -> dict[str, Any]:
    """Return what a file holds."""
    return {
        "source": candidate.origin,
        "preset": candidate.preset.name,
        "chosen_by": candidate.chosen_by,
        "lines": candidate.counts.lines,
        "rows": candidate.rows,
        "orders": figures.orders,
        "cancelled": figures.cancelled,
        "without_customer": figures.without_customer,
        "items": figures.items,
        "first_order_at": figures.first_order_at,
        "last_order_at": figures.last_order_at,
        "without_time": figures.without_time,
        "timezone": candidate.preset.timezone,
        "amounts": figures.amounts.as_dicts(),
        "columns": describe_columns(candidate, store, shops),
        "headers_not_taken": headers_not_taken(candidate),
        "statuses": _statuses(candidate.preset, figures),
        "order_types": _order_types(store, figures),
        "quarantine": figures.quarantine(),
        "hint": figures.hint(),
        "findings": [finding.as_dict() for finding in candidate.counts.findings],
    }


def _statuses(preset: Preset, figures: Figures) -> list[dict[str, Any]]:
    """Return the statuses, and whether the preset knows each; None where it does not list any."""
    known = {normalize_case_str(status) for status in preset.all_known_statuses()}
    rows = figures.statuses.as_dicts()
    texts = pl.Series([row["status"] for row in rows], dtype=pl.String).to_frame("status")
    normal = texts.select(normalize_case(pl.col("status"))).to_series()
    return [
        row | {"is_known": None if not known else status is None or status in known}
        for row, status in zip(rows, normal, strict=True)
    ]


def _order_types(store: Store, figures: Figures) -> list[dict[str, Any]]:
    rows = figures.order_types.as_dicts()
    types = store.order_types(pl.Series([row["order_type"] for row in rows], dtype=pl.String))
    mapped = dict(types.select("order_type", "is_mapped").iter_rows())
    return [row | {"is_mapped": mapped[row["order_type"]]} for row in rows]


def _why(headers: Sequence[str], chosen: Preset) -> str:
    """Say why a preset was detected."""
    return f"its headers {', '.join(map(repr, matching_headers(headers, chosen)))}"
