"""Files of bad rows: the workbook of a filter to be corrected elsewhere, and the corrected file that comes back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from starlette.responses import Response

from etl_assets.quarantine.corrections import CorrectionError, import_corrections
from etl_assets.quarantine.open_rows import open_raw_ids
from etl_assets.quarantine.spreadsheet import SUFFIXES, SpreadsheetError, export_quarantine, read_corrections
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.reporting.import_list import without_folders
from etl_assets.web.language import N_
from etl_assets.web.page import (
    PageRoute,
    database_of,
    form_of,
    redirect_with_message,
    translate,
    translate_count,
    user_of,
)
from etl_assets.web.pages.bad_rows import filter_of
from etl_assets.web.permissions import Permission
from etl_assets.web.processing import process_changes
from etl_assets.web.uploads import UploadError, save_upload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

    from etl_assets.quarantine.corrections import CorrectionResult
    from etl_assets.web.page import MessageKind

MOST_ROWS: Final = 5_000
"""Rows of a downloaded workbook: its newest ones, which are written within a few seconds."""
WORKBOOK: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def export_rows(request: Request) -> Response:
    """Return the newest rows of a filter as a workbook."""
    chosen = filter_of(request.query_params)
    with TemporaryDirectory(prefix="etl-assets-") as folder:
        path = Path(folder) / "bad-rows.xlsx"
        try:
            export_quarantine(database_of(request), path, chosen, limit=MOST_ROWS)
        except SpreadsheetError:
            text = translate(request, N_("A workbook can't hold one of these rows: export them with the command."))
            return redirect_with_message(request, "/bad-rows", text, "error")
        content = path.read_bytes()
    name = f"bad-rows-{datetime.now(UTC):%Y-%m-%d}.xlsx"
    return Response(content, media_type=WORKBOOK, headers={"Content-Disposition": f'attachment; filename="{name}"'})


def upload_rows(request: Request) -> Response:
    """Land the corrected rows of an uploaded file, run them, and say what became of them."""
    database, user = database_of(request), user_of(request)
    with TemporaryDirectory(prefix="etl-assets-") as folder:
        try:
            path = save_upload(form_of(request).get("file"), Path(folder), SUFFIXES)
            rows = read_corrections(path, database.settings.reader_memory_mb)
            done = import_corrections(database, rows, path.name, user_name=user.name)
        except UploadError as error:
            return _refused(request, translate(request, error.text, **error.values))
        except (ImportFileError, CorrectionError) as error:
            return _refused(request, without_folders(str(error), str(path)))
    failed = [result.error for result in done.imports if result.error is not None]
    if failed:
        return _refused(request, " ".join(failed))
    said = process_changes(request) if done.landed else ""
    still = len(open_raw_ids(database, done.raw_ids))
    parts = [
        translate(
            request,
            N_("%(rows)s rows corrected: %(good)s good now, %(bad)s still bad."),
            rows=f"{len(done.raw_ids):,}",
            good=f"{len(done.raw_ids) - still:,}",
            bad=f"{still:,}",
        ),
        *_not_landed(request, done),
        said,
    ]
    kind: MessageKind = "error" if still or done.unknown or not done.raw_ids else "success"
    return redirect_with_message(request, "/bad-rows", " ".join(filter(None, parts)), kind)


def _not_landed(request: Request, done: CorrectionResult) -> Iterator[str]:
    """Yield in words how many entries of the file were not landed, and why."""
    count = len(done.unchanged)
    if count:
        yield translate_count(request, "%(count)s entry was not changed.", "%(count)s entries were not changed.", count)
    count = len(done.resolved)
    if count:
        yield translate_count(
            request, "%(count)s entry was resolved before.", "%(count)s entries were resolved before.", count
        )
    count = len(done.unknown)
    if count:
        yield translate_count(request, "%(count)s id is unknown.", "%(count)s ids are unknown.", count)


def _refused(request: Request, why: str) -> Response:
    text = translate(request, N_("Nothing was changed. %(why)s"), why=why)
    return redirect_with_message(request, "/bad-rows", text, "error")


ROUTES: Final = (
    PageRoute("/bad-rows/export.xlsx", export_rows, Permission.SEE),
    PageRoute("/bad-rows/upload", upload_rows, Permission.CORRECT_ROWS, ("POST",), is_upload=True),
)
