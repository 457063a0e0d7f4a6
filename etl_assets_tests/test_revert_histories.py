"""Random histories of imports, runs, reverts, restores and stages, with runs that are cut off: against the oracle.

The oracle knows the imports that are not reverted. More examples: `REVERT_HISTORIES=200`, or the profile `thorough`
of Hypothesis.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from etl_assets.asset_graph import TABLES_OF
from etl_assets.reverts.imports import RevertError, accept_imports, restore_imports, revert_imports
from etl_assets.run.registry import STEPS, run_asset
from etl_assets_tests.helpers import pipeline, strategies
from etl_assets_tests.helpers.effort import HISTORIES
from etl_assets_tests.helpers.pipeline import assert_same, land, query, run_all, start_afresh, with_batch_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from etl_assets.pipeline.protocol import Services
    from etl_assets.presets.model import Preset
    from etl_assets_tests.helpers.strategies import RawFields

EXAMPLES: Final = int(os.environ.get("REVERT_HISTORIES", str(HISTORIES)))
pytestmark = pytest.mark.sampled
STAGES: Final = ("OPEN", "COLD", "WON", "LOST")


class CutOffError(BaseException):
    """The process ends here: no handler of errors may go on."""


@dataclass
class History:
    """A store, and what was landed in it."""

    services: Services
    preset: Preset
    imports: list[tuple[UUID, list[RawFields]]] = field(default_factory=list)
    holds: list[str] = field(default_factory=list)
    """Part of its orders that each import brings."""
    reverted: set[UUID] = field(default_factory=set)

    @property
    def gone(self) -> set[UUID]:
        """The imports whose rows do not count."""
        return self.reverted

    def land(self, rows: list[RawFields], holds: str = "orders") -> None:
        of_lines = holds == "lines"
        landed = pipeline.as_lines(rows) if of_lines else rows
        preset = pipeline.lines_preset(self.preset) if of_lines else self.preset
        self.imports.append((land(self.services, landed, preset), landed))
        self.holds.append(holds)

    def revert(self, which: UUID) -> None:
        revert_imports(self.services.database, [which])
        self.reverted.add(which)

    def restore(self, which: UUID) -> None:
        restore_imports(self.services.database, [which])
        self.reverted.discard(which)

    def change_until_cut_off(self, which: UUID, statements: int) -> None:
        """Revert or restore an import in a process that ends in between: all of it happens, or nothing."""
        change = restore_imports if which in self.reverted else revert_imports
        with suppress(CutOffError), cut_off(self.services, statements):
            change(self.services.database, [which])
            self.reverted ^= {which}

    def run_some(self, assets: int) -> None:
        for asset in list(STEPS)[:assets]:
            run_asset(asset, self.services)

    def run_until_cut_off(self, statements: int) -> None:
        with suppress(CutOffError), cut_off(self.services, statements):
            run_all(self.services)

    def assert_as_expected(self, *, with_leads: bool = True) -> None:
        """Compare with the oracle; entries of quarantine that a reverted import brought about may be left, closed."""
        numbered = strategies.number_rows([rows for _, rows in self.imports], holds=self.holds)
        ends = list(accumulate((len(rows) for _, rows in self.imports), initial=0))
        gone_imports = self.gone
        gone = {
            raw_id
            for (import_id, _), start, end in zip(self.imports, ends, ends[1:], strict=False)
            for raw_id in range(start + 1, end + 1)
            if import_id in gone_imports
        }
        live = [row for row in numbered if row.raw_id not in gone]
        expected, stored = pipeline.work_out(live, self.preset), pipeline.read_tables(self.services)
        pipeline.leave_closed_quarantine_out(stored, expected)
        if not with_leads:
            stored.tables.leads, stored.tables.lead_orders = expected.leads, expected.lead_orders
            kept = [
                stored.tables.customers.pop(key)
                for key, one in [*stored.tables.customers.items()]
                if not one["order_count"] and key not in expected.customers
            ]  # with a lead whose stage is set; and with them their shops
            stored.tables.shops -= {(one["platform"], one["shop_name"]) for one in kept} - expected.shops
        pipeline.assert_tables(stored, expected, numbered)


@dataclass
class BrakedHistory(History):
    """A store in which any import is held that takes anything from an order."""

    @property
    def gone(self) -> set[UUID]:
        held = query(self.services, "SELECT import_id FROM import_tasks WHERE status = 'held'")
        return self.reverted | {row["import_id"] for row in held}

    def restore(self, which: UUID) -> None:
        with suppress(RevertError):  # it is held
            super().restore(which)

    def change_until_cut_off(self, which: UUID, statements: int) -> None:
        with suppress(RevertError):
            super().change_until_cut_off(which, statements)

    def accept(self, which: UUID) -> None:
        with suppress(RevertError):
            accept_imports(self.services.database, [which])


@contextmanager
def cut_off(services: Services, statements: int) -> Iterator[None]:
    """End the process, as it were, before its n-th statement: what is not committed by then is lost."""
    left = statements

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise CutOffError

    engine = services.database.engine
    sa.event.listen(engine, "before_cursor_execute", count)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", count)


def play(
    data: st.DataObject,
    services: Services,
    preset: Preset,
    *,
    more: Sequence[Callable[[], None]] = (),
    kind: type[History] = History,
) -> History:
    """Land random rows in random imports, of orders and of lines, with reverts, restores, and runs in between."""
    rows = data.draw(strategies.raw_field_lists(max_size=15))
    imports = data.draw(strategies.split_into_imports(rows))
    start_afresh(with_batch_size(services, data.draw(st.sampled_from((2, 5, 1000)))))
    history = kind(services, preset)

    def chosen() -> UUID:
        return data.draw(st.sampled_from([import_id for import_id, _ in history.imports]))

    steps = [
        lambda: history.run_some(len(STEPS)),
        lambda: history.run_some(data.draw(st.integers(1, len(STEPS)))),
        lambda: history.run_until_cut_off(data.draw(st.integers(1, 150))),
        lambda: history.revert(chosen()),
        lambda: history.revert(chosen()),
        lambda: history.restore(chosen()),
        lambda: history.change_until_cut_off(chosen(), data.draw(st.integers(1, 25))),
        *more,
    ]
    if isinstance(history, BrakedHistory):
        steps.append(lambda: history.accept(chosen()))
    for part in imports:
        history.land(part, data.draw(st.sampled_from(("orders", "orders", "lines"))))
        for step in data.draw(st.lists(st.sampled_from(range(len(steps))), max_size=4)):
            steps[step]()
    run_all(services)
    return history


def assert_books_balance(services: Services) -> None:
    sums = query(
        services,
        "SELECT asset, sum(inserted - deleted) AS rows,"
        " bool_and(input_rows = inserted + updated + unchanged + superseded + quarantined) AS is_exact"
        " FROM etl_batches WHERE asset <> 'raw_orders' GROUP BY asset",
    )
    assert all(row["is_exact"] for row in sums)
    tables = {asset: tables[0] for asset, tables in TABLES_OF.items()}
    counted = {row["asset"]: row["rows"] for row in sums}
    stored = {asset: pipeline.scalar(services, f"SELECT count(*) FROM {tables[asset]}") for asset in counted}  # noqa: S608
    assert stored == counted
    assert query(services, "SELECT * FROM etl_work") == []


@pytest.mark.slow
@pytest.mark.timeout(300 + 10 * EXAMPLES)
@given(data=st.data(), preset=strategies.presets())
@settings(max_examples=EXAMPLES)
def test_the_tables_are_as_if_reverted_imports_had_never_been(
    services: Services, data: st.DataObject, preset: Preset
) -> None:
    history = play(data, services, preset)
    history.assert_as_expected()
    assert_books_balance(services)
    before = pipeline.snapshot(services)
    run_all(services, full_refresh=True)
    assert pipeline.snapshot(services) == before, "a full refresh"
    for import_id, _ in history.imports:
        history.restore(import_id)
    run_all(services)
    history.assert_as_expected()
    assert_books_balance(services)


@pytest.mark.slow
@pytest.mark.timeout(300 + 10 * EXAMPLES)
@given(data=st.data(), preset=strategies.presets())
@settings(max_examples=EXAMPLES)
def test_the_tables_are_as_if_held_imports_had_never_been_until_they_are_accepted(
    services: Services, data: st.DataObject, preset: Preset
) -> None:
    """With the strictest brake, and batches so small that most imports have several."""
    services.database.settings = services.database.settings.model_copy(update={"brake_share": 0, "brake_rows": 0})
    history = play(data, services, preset, kind=BrakedHistory)
    history.assert_as_expected()
    assert_books_balance(services)
    gone = history.gone
    run_all(services, full_refresh=True)
    assert history.gone == gone
    history.assert_as_expected()
    for import_id in history.gone - history.reverted:
        accept_imports(services.database, [import_id])
    run_all(services)
    assert history.gone == history.reverted
    history.assert_as_expected()
    assert_books_balance(services)


@pytest.mark.slow
@pytest.mark.timeout(300 + 10 * EXAMPLES)
@given(data=st.data(), preset=strategies.presets())
@settings(max_examples=EXAMPLES)
def test_stages_that_users_set_stay(services: Services, data: st.DataObject, preset: Preset) -> None:
    set_stages: dict[UUID, str] = {}

    def set_stage() -> None:
        leads = [
            row["lead_id"]
            for row in query(services, "SELECT lead_id FROM business_leads WHERE current_stage = 'OPEN' ORDER BY 1")
        ]
        if leads:
            lead, stage = data.draw(st.sampled_from(leads)), data.draw(st.sampled_from(("WON", "LOST")))
            query(
                services,
                "UPDATE business_leads SET current_stage = :stage WHERE lead_id = :lead",
                stage=stage,
                lead=lead,
            )
            set_stages[lead] = stage

    history = play(data, services, preset, more=[set_stage, set_stage])
    history.assert_as_expected(with_leads=False)
    assert_books_balance(services)
    stored = {row["lead_id"]: row["current_stage"] for row in query(services, "SELECT * FROM business_leads")}
    assert {lead: stored.get(lead) for lead in set_stages} == set_stages
    assert_same("attached orders", *attached_and_attachable(services))
    before = pipeline.snapshot(services)
    run_all(services, full_refresh=True)
    assert pipeline.snapshot(services) == before, "a full refresh"
    attachments = query(services, "SELECT shop_id, order_id, lead_id FROM lead_orders")
    live = [import_id for import_id, _ in history.imports if import_id not in history.reverted]
    for change in (history.revert, history.restore):
        for import_id in live:
            change(import_id)
        run_all(services)
    returned = query(services, "SELECT shop_id, order_id, lead_id FROM lead_orders")
    kept = {row["lead_id"] for row in attachments if row["lead_id"] in set_stages}
    assert_same(
        "orders of leads whose stage is set",
        {tuple(row.values()) for row in returned if row["lead_id"] in kept},
        {tuple(row.values()) for row in attachments if row["lead_id"] in kept},
    )


def attached_and_attachable(services: Services) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    """The orders in leads, with the customer of the lead, and the orders that belong in one."""
    attached = query(
        services, "SELECT shop_id, order_id, customer_global_id FROM lead_orders JOIN business_leads USING (lead_id)"
    )
    attachable = query(
        services,
        "SELECT shop_id, order_id, customer_global_id FROM orders"
        " WHERE NOT is_cancelled AND customer_global_id IS NOT NULL",
    )
    return {tuple(row.values()) for row in attached}, {tuple(row.values()) for row in attachable}
