"""Pages /bad-rows: rows that can't be loaded, with their faults; they are corrected, run again or dismissed here.

Files of bad rows are in `bad_row_files`. What a row is and what becomes of it is decided in `etl_assets.quarantine`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from uuid import UUID

from starlette.exceptions import HTTPException

from etl_assets.presets.model import RAW_COLUMNS
from etl_assets.quarantine.bad_rows import (
    PAGE_ROWS,
    SHOWN_CHARACTERS,
    count_bad_rows,
    count_by_reason,
    list_bad_rows,
    list_shops_of_bad_rows,
    open_ids_of,
    read_bad_row,
)
from etl_assets.quarantine.corrections import CorrectionError, build_corrections, import_corrections
from etl_assets.quarantine.dismiss import dismiss, dismiss_chosen
from etl_assets.quarantine.outcome import read_outcome
from etl_assets.quarantine.requeue import requeue
from etl_assets.quarantine.row_filter import ALL_OPEN_ROWS, RowFilter
from etl_assets.quarantine.versions import changed_cells, read_versions
from etl_assets.reporting.import_list import shown_name
from etl_assets.web.labels import COLUMN_LABELS, FAULT_TEXTS, OUTCOME_LABELS, RESOLUTION_LABELS, fault_text
from etl_assets.web.language import N_
from etl_assets.web.page import (
    PageRoute,
    database_of,
    form_of,
    form_text,
    is_fragment,
    read_number,
    redirect_with_message,
    render,
    translate,
    translate_count,
    user_of,
)
from etl_assets.web.permissions import Permission
from etl_assets.web.processing import process_changes

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlalchemy as sa
    from starlette.requests import Request
    from starlette.responses import Response

    from etl_assets.quarantine.bad_rows import BadRow
    from etl_assets.web.page import MessageKind

LONG_TEXTS: Final = frozenset(("items", "processes", "remark"))
LONG_TEXT: Final = 80
LARGEST_ID: Final = 2**63 - 1
LARGEST_SHOP_ID: Final = 2**31 - 1


def show_list(request: Request) -> Response:
    """Show the rows of a filter, newest first."""
    chosen = filter_of(request.query_params)
    before = read_number(request.query_params.get("before", ""), LARGEST_ID)
    with database_of(request).transaction() as connection:
        rows = list_bad_rows(connection, chosen, before=before, limit=PAGE_ROWS + 1)
        total = count_bad_rows(connection, chosen)
        reasons, shops = count_by_reason(connection), list_shops_of_bad_rows(connection)
        import_name = _import_name(connection, chosen)
    older = rows[PAGE_ROWS - 1].raw_id if len(rows) > PAGE_ROWS else None
    query = filter_query(chosen)
    template = "bad_rows/_rows.html" if is_fragment(request) else "bad_rows/list.html"
    return render(
        request,
        template,
        rows=rows[:PAGE_ROWS],
        total=total,
        chosen=chosen,
        query=query,
        older=f"/bad-rows?{urlencode({**query, 'before': older})}" if older is not None else "",
        newer=f"/bad-rows?{urlencode(query)}" if before is not None else "",
        labels=COLUMN_LABELS,
        fault_text=fault_text,
        fault_texts=FAULT_TEXTS,
        shown_name=shown_name,
        reasons=reasons,
        shops=shops,
        import_name=import_name,
    )


def show_row(request: Request) -> Response:
    """Show one row: its cells as a form while it is open, else as the last correction has them; and its history."""
    raw_id = _raw_id(request)
    with database_of(request).transaction() as connection:
        row = read_bad_row(connection, raw_id)
        if row is None:
            raise HTTPException(404)
        outcome = read_outcome(connection, raw_id)
        versions = read_versions(connection, raw_id, SHOWN_CHARACTERS)
        following = list_bad_rows(connection, ALL_OPEN_ROWS, before=raw_id, limit=1)
    faults = {fault.column: fault.code for fault in reversed(row.faults)}
    cells = {version.raw_id: version.cells for version in versions}.get(outcome.raw_id, row.cells)
    return render(
        request,
        "bad_rows/row.html",
        row=row,
        outcome=outcome,
        cells=cells,
        changed=changed_cells(versions[0].cells, cells),
        original=versions[0],
        corrections=versions[1:],
        following=following[0].raw_id if following else None,
        faults=faults,
        columns=_form_columns(row),
        long_columns={name for name, text in row.cells.items() if name in LONG_TEXTS or _is_long(text)},
        labels=COLUMN_LABELS,
        fault_text=fault_text,
        outcome_labels=OUTCOME_LABELS,
        resolutions=RESOLUTION_LABELS,
        shown_name=shown_name,
    )


def correct_row(request: Request) -> Response:
    """Land the corrected cells as a row that replaces this one, run it, and show what became of it."""
    raw_id, database, user = _raw_id(request), database_of(request), user_of(request)
    with database.transaction() as connection:
        row = read_bad_row(connection, raw_id)
    if row is None or not row.open_entries:
        return _already_resolved(request, raw_id)
    form = form_of(request)
    texts = {name: form[name] for name in RAW_COLUMNS if name in form and name not in row.cut}
    corrected: dict[str, Any] = {
        name: text.replace("\r\n", "\n") for name, text in texts.items() if isinstance(text, str)
    }
    if not corrected:
        raise HTTPException(400)
    correction = {"quarantine_id": row.open_entries[0].quarantine_id, **corrected}
    try:
        rows = build_corrections(database, [correction])
        done = import_corrections(database, rows, f"corrections by {user.name}", user_name=user.name)
    except CorrectionError as error:
        return redirect_with_message(request, f"/bad-rows/{raw_id}", str(error), "error")
    if done.unchanged:
        text = translate(request, N_("Nothing was changed in the row. Change a cell, or run it again as it is."))
        return redirect_with_message(request, f"/bad-rows/{raw_id}", text, "error")
    if not done.landed:
        return _already_resolved(request, raw_id)
    return _show_outcome(request, raw_id, process_changes(request))


def run_again(request: Request) -> Response:
    """Run a row again as it is: its shop, a mapping or a rule may have changed."""
    raw_id, database = _raw_id(request), database_of(request)
    with database.transaction() as connection:
        ids = open_ids_of(connection, [raw_id])
    if not ids or not requeue(database, ids, user_name=user_of(request).name).queued:
        return _already_resolved(request, raw_id)
    return _show_outcome(request, raw_id, process_changes(request))


def dismiss_rows(request: Request) -> Response:
    """Dismiss ticked rows, or all of a filter, with a reason."""
    database, user, note = database_of(request), user_of(request), form_text(request, "note")
    chosen = _filter_of_form(request)
    back = f"/bad-rows?{urlencode(filter_query(chosen))}"
    if not note:
        return redirect_with_message(request, back, translate(request, N_("Write a reason, please.")), "error")
    if form_text(request, "scope") == "all":
        dismissed = dismiss_chosen(database, chosen, note, user_name=user.name)
    else:
        raw_ids = _ticked(request)
        with database.transaction() as connection:
            ids = open_ids_of(connection, raw_ids)
        dismissed = len(dismiss(database, ids, note, user_name=user.name).dismissed)
    text = translate_count(request, "%(count)s entry dismissed.", "%(count)s entries dismissed.", dismissed)
    return redirect_with_message(request, back, text, "success" if dismissed else "error")


def run_rows_again(request: Request) -> Response:
    """Run ticked rows again as they are."""
    database = database_of(request)
    with database.transaction() as connection:
        ids = open_ids_of(connection, _ticked(request))
    queued = len(requeue(database, ids, user_name=user_of(request).name).queued) if ids else 0
    said = process_changes(request)
    with database.transaction() as connection:
        still = len(set(open_ids_of(connection, _ticked(request))) & set(ids))
    text = translate(
        request,
        N_("%(queued)s entries were run again: %(done)s resolved, %(still)s still open."),
        queued=queued,
        done=len(ids) - still,
        still=still,
    )
    back = f"/bad-rows?{urlencode(filter_query(filter_of(_texts(request))))}"
    return redirect_with_message(request, back, f"{text} {said}".strip(), "error" if still else "success")


def filter_of(values: Mapping[str, str]) -> RowFilter:
    """Return the filter that an address or a form names; what can't be one counts as not given."""
    return RowFilter(
        reason_code=values.get("reason") or None,
        shop_id=read_number(values.get("shop", ""), LARGEST_SHOP_ID),
        import_id=_uuid(values.get("import")),
    )


def _filter_of_form(request: Request) -> RowFilter:
    """Return the filter that a form names.

    Hazard: a part that can't be read must not count as not given, as all rows would be dismissed then.
    """
    chosen, texts = filter_of(_texts(request)), _texts(request)
    if len(filter_query(chosen)) != sum(bool(texts.get(name)) for name in ("reason", "shop", "import")):
        raise HTTPException(400)
    return chosen


def filter_query(chosen: RowFilter) -> dict[str, str]:
    """Return the query of a filter's address."""
    values = {"reason": chosen.reason_code, "shop": chosen.shop_id, "import": chosen.import_id}
    return {name: str(value) for name, value in values.items() if value is not None}


def _show_outcome(request: Request, raw_id: int, said: str) -> Response:
    """Show the page of the row, or of the one that corrects it and is bad itself."""
    with database_of(request).transaction() as connection:
        outcome = read_outcome(connection, raw_id)
    label, kind = OUTCOME_LABELS[outcome.state]
    shown = outcome.raw_id if outcome.state == "quarantined" else raw_id
    kinds: dict[str, MessageKind] = {"success": "success", "info": "success"}
    text = f"{translate(request, label)} {said}".strip()
    return redirect_with_message(request, f"/bad-rows/{shown}", text, kinds.get(kind, "error"))


def _already_resolved(request: Request, raw_id: int) -> Response:
    text = translate(request, N_("This row is not open any more: somebody, or a newer row, has resolved it."))
    return redirect_with_message(request, f"/bad-rows/{raw_id}", text, "error")


def _form_columns(row: BadRow) -> dict[str, list[str]]:
    """Return the columns of the form: bad ones, other filled ones, empty ones."""
    bad: list[str] = [name for name in RAW_COLUMNS if name in row.bad_columns]
    filled: list[str] = [name for name in RAW_COLUMNS if name not in bad and row.cells[name]]
    return {
        "bad": bad,
        "filled": filled,
        "empty": [name for name in RAW_COLUMNS if name not in bad and name not in filled],
    }


def _is_long(text: str | None) -> bool:
    return text is not None and (len(text) > LONG_TEXT or "\n" in text)


def _import_name(connection: sa.Connection, chosen: RowFilter) -> str | None:
    if chosen.import_id is None:
        return None
    rows = list_bad_rows(connection, RowFilter(import_id=chosen.import_id), limit=1)
    return shown_name(rows[0].source) if rows else str(chosen.import_id)[:8]


def _raw_id(request: Request) -> int:
    raw_id: int = request.path_params["raw_id"]
    if raw_id > LARGEST_ID:
        raise HTTPException(404)
    return raw_id


def _ticked(request: Request) -> list[int]:
    numbers = (read_number(value, LARGEST_ID) for value in form_of(request).getlist("row") if isinstance(value, str))
    return [number for number in numbers if number is not None]


def _texts(request: Request) -> dict[str, str]:
    return {name: value for name, value in form_of(request).items() if isinstance(value, str)}


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


ROUTES: Final = (
    PageRoute("/bad-rows", show_list, Permission.SEE),
    PageRoute("/bad-rows/dismiss", dismiss_rows, Permission.CORRECT_ROWS, ("POST",)),
    PageRoute("/bad-rows/run", run_rows_again, Permission.CORRECT_ROWS, ("POST",)),
    PageRoute("/bad-rows/{raw_id:int}", show_row, Permission.SEE),
    PageRoute("/bad-rows/{raw_id:int}/correct", correct_row, Permission.CORRECT_ROWS, ("POST",)),
    PageRoute("/bad-rows/{raw_id:int}/run", run_again, Permission.CORRECT_ROWS, ("POST",)),
)
