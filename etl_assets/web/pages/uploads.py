"""Uploads of export files: kept, looked at in a preview, and only then imported, as `etl-assets import` does it."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from datetime import datetime
from decimal import Decimal
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from starlette.exceptions import HTTPException

from etl_assets.errors import EtlError
from etl_assets.presets.catalog import get_preset, list_presets
from etl_assets.presets.field_types import is_timezone
from etl_assets.preview.preview import preview_files
from etl_assets.preview.store import store_in
from etl_assets.raw_orders.findings import DRIFT
from etl_assets.raw_orders.import_order import oldest_first
from etl_assets.raw_orders.importing import Overrides, import_sheets, require_preset
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.readers.file_reader import FileReader
from etl_assets.raw_orders.readers.open_file import SUFFIXES
from etl_assets.reporting.import_fates import count_fates
from etl_assets.reporting.import_list import shown_name
from etl_assets.run.at_once import ROWS_AT_ONCE
from etl_assets.values.currencies import currency_code
from etl_assets.values.date_order import DateOrder
from etl_assets.web.labels import COLUMN_LABELS, HELD_LABELS, fault_text
from etl_assets.web.language import N_
from etl_assets.web.page import (
    PageRoute,
    database_of,
    form_of,
    redirect,
    redirect_with_message,
    render,
    settings_of,
    translate,
    translate_count,
    user_of,
)
from etl_assets.web.permissions import Permission
from etl_assets.web.processing import process_changes
from etl_assets.web.uploads import Options, UploadError, Uploads, options_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.load import ImportResult
    from etl_assets.settings import Settings
    from etl_assets.web.page import MessageKind
    from etl_assets.web.uploads import Upload

FILE_KINDS: Final = tuple(dict.fromkeys((*SUFFIXES, ".gz")))
PAGE: Final = "/imports/uploads"
_READING: Final = BoundedSemaphore(2)
"""Previews at once: each reads a whole file, with the memory of a batch."""
_IMPORTING: Final = BoundedSemaphore(1)
"""Imports at once: see `Uploads.claim`."""
_SECONDS_TO_WAIT: Final = 60.0


class BusyError(EtlError):
    """Raised if too many files are being read."""


def show_form(request: Request) -> Response:
    """Show the form of an upload."""
    _uploads(request).remove_old()
    return render(request, "imports/upload.html", options=Options(), **_choices(request))


def receive_file(request: Request) -> Response:
    """Keep an uploaded file, and show its preview."""
    form, options = form_of(request), options_of(form_of(request))
    try:
        _overrides(options)
        upload = _uploads(request).add(form.get("file"), user_of(request).name, options, FILE_KINDS)
    except UploadError as error:
        return redirect_with_message(
            request, "/imports/upload", translate(request, error.text, **error.values), "error"
        )
    return redirect(request, f"{PAGE}/{upload.token}")


def show_upload(request: Request) -> Response:
    """Show an upload; its preview is asked for by the page, as it may take a while."""
    upload = _upload(request)
    return render(request, "imports/uploaded.html", upload=upload, options=upload.options, **_choices(request))


def show_preview(request: Request) -> Response:
    """Show what importing an upload would do; nothing is written."""
    upload = _upload(request)
    try:
        with _turn(_READING):
            preview = _preview(request, upload)
    except EtlError as error:
        return render(request, "imports/_preview.html", upload=upload, error=_said(error, upload.path), **_names())
    files = [
        file | {"name": _member(file["source"], upload.path)}
        | ({"error": _without_path(file["error"], upload.path)} if "error" in file else {})
        for file in preview["files"]
    ]  # fmt: skip
    return render(
        request,
        "imports/_preview.html",
        upload=upload,
        error="",
        files=files,
        database=preview["database"],
        is_importable=any("error" not in file for file in files),
        **_names(),
    )


def change_options(request: Request) -> Response:
    """Change the options of an upload, and show its preview anew."""
    upload, options = _upload(request), options_of(form_of(request))
    try:
        _overrides(options)
    except UploadError as error:
        text = translate(request, error.text, **error.values)
        return redirect_with_message(request, f"{PAGE}/{upload.token}", text, "error")
    _uploads(request).change(upload, options)
    return redirect(request, f"{PAGE}/{upload.token}")


def discard(request: Request) -> Response:
    """Remove an upload."""
    upload = _upload(request)
    _uploads(request).discard(upload)
    text = translate(request, N_("%(name)s was discarded: nothing of it was imported."), name=upload.name)
    return redirect_with_message(request, "/imports", text)


def import_upload(request: Request) -> Response:
    """Import an upload, and run what follows."""
    upload = _upload(request)
    with _turn(_IMPORTING):
        path = _uploads(request).claim(upload)
        if path is None:
            raise HTTPException(404)
        try:
            results = _import(request, path, upload)
        except EtlError as error:
            text = translate(request, N_("Nothing was changed. %(why)s"), why=_said(error, path))
            return redirect_with_message(request, "/imports", text, "error")
        finally:
            path.unlink(missing_ok=True)
    rows = sum(result.rows for result in results)
    failed = [_without_path(result.error, path) for result in results if result.error is not None]
    said = process_changes(request) if rows else ""
    to = f"/imports/{results[0].import_id}" if len(results) == 1 else "/imports"
    if failed:
        text = translate(request, N_("Not everything was imported: %(why)s"), why=" ".join(failed))
        return redirect_with_message(request, to, f"{text} {said}".strip(), "error")
    text, kind = _said_of(request, rows, _count_bad(request, results))
    return redirect_with_message(request, to, f"{text} {said}".strip(), kind)


def _count_bad(request: Request, results: list[ImportResult]) -> int:
    """Return how many rows are bad; 0 for a large import, which is processed later."""
    ids = [result.import_id for result in results if result.rows <= ROWS_AT_ONCE]
    with database_of(request).transaction() as connection:
        return sum(fates["quarantined"] for fates in count_fates(connection, ids).values())


def _said_of(request: Request, rows: int, bad: int) -> tuple[str, MessageKind]:
    """Return what a message says of imported orders and of bad rows, and its kind."""
    loaded = translate_count(request, "%(count)s order was imported.", "%(count)s orders were imported.", rows - bad)
    if not bad:
        return loaded, "success"
    wait = translate_count(
        request, "%(count)s row is bad, and waits for a correction.",
        "%(count)s rows are bad, and wait for a correction.", bad,
    )  # fmt: skip
    return (f"{loaded} {wait}", "success") if rows > bad else (wait, "error")


def _preview(request: Request, upload: Upload) -> dict[str, Any]:
    settings, database = settings_of(request), database_of(request)
    preset, overrides = _preset(settings, upload.options), _overrides(upload.options)
    with _reader(settings) as reader, database.snapshot() as connection:
        paths = oldest_first(reader.with_exports(upload.path), reader, lambda file: preset or require_preset(file))
        files = [(path, preset, overrides) for path in paths]
        store = store_in(database, connection)
        given_by = translate(request, N_("chosen in the form"))
        found = preview_files(store, reader, files, settings, given_by, lambda _: nullcontext(_ignore), entry="page")
        return found.as_dict()


def _import(request: Request, path: Path, upload: Upload) -> list[ImportResult]:
    settings, database = settings_of(request), database_of(request)
    preset, overrides = _preset(settings, upload.options), _overrides(upload.options)
    user_name = user_of(request).name
    results: list[ImportResult] = []
    with _reader(settings) as reader:
        for one in oldest_first(reader.with_exports(path), reader, lambda file: preset or require_preset(file)):
            results += import_sheets(database, one, preset, reader=reader, overrides=overrides, user_name=user_name)
    return results


def _reader(settings: Settings) -> FileReader:
    return FileReader(settings.reader_memory_mb, presets_folder=settings.presets_folder)


def _preset(settings: Settings, options: Options) -> Preset | None:
    return get_preset(options.preset, settings.presets_folder) if options.preset else None


def _overrides(options: Options) -> Overrides:
    """Return the values of a form that replace those of a file. Raises `UploadError`."""
    if options.timezone and not is_timezone(options.timezone):
        raise UploadError(N_("There is no time zone %(name)s: write one such as Asia/Shanghai."), name=options.timezone)
    try:
        currency = currency_code(options.currency) if options.currency else None
    except ValueError:
        raise UploadError(
            N_("There is no currency %(name)s: write its code, such as EUR."), name=options.currency
        ) from None
    order = options.date_order if options.date_order in get_args(DateOrder) else None
    return Overrides(
        platform=options.platform or None,
        shop=options.shop or None,
        timezone=options.timezone or None,
        currency=currency,
        date_order=cast("DateOrder | None", order),
    )


def _upload(request: Request) -> Upload:
    found = _uploads(request).find(request.path_params["token"], user_of(request).name)
    if found is None:
        raise HTTPException(404)
    return found


def _uploads(request: Request) -> Uploads:
    return Uploads(settings_of(request).home)


def _choices(request: Request) -> dict[str, Any]:
    presets = sorted(one.name for one in list_presets(settings_of(request).presets_folder))
    return {
        "presets": [(name, name) for name in presets],
        "kinds": FILE_KINDS,
        "limit_mb": settings_of(request).web_upload_mb,
    }


def _names() -> dict[str, Any]:
    names = {"columns": COLUMN_LABELS, "fault_text": fault_text, "held_labels": HELD_LABELS}
    return {**names, "as_read": _as_read, "drift": DRIFT}


def _said(error: EtlError, path: Path) -> str:
    return _without_path(str(error.worded_for("page") if isinstance(error, ImportFileError) else error), path)


def _without_path(text: str | None, path: Path) -> str:
    return (text or "").replace(f"{path.parent}/", "")


def _member(source: str, path: Path) -> str:
    return source.removeprefix(f"{path.parent}/") if source.startswith(f"{path.parent}/") else shown_name(source)


def _as_read(sample: Mapping[str, Any]) -> datetime | str | None:
    """Return a value as it is read, where that is not what the file says."""
    read = sample["read"]
    if not sample["is_read"] or read is None or isinstance(read, datetime):
        return read if sample["is_read"] else None
    texts = {f"{read.normalize():f}", f"{read:.2f}"} if isinstance(read, Decimal) else {str(read)}
    return None if sample["file"] in texts else min(texts, key=len)


def _ignore(_lines: int) -> None:
    """Take the count of the lines that were read."""


@contextmanager
def _turn(semaphore: BoundedSemaphore) -> Iterator[None]:
    """Wait for a turn. Raises `BusyError`."""
    if not semaphore.acquire(timeout=_SECONDS_TO_WAIT):
        msg = "Other files are being read at the moment. Try again in a minute."
        raise BusyError(msg)
    try:
        yield
    finally:
        semaphore.release()


ROUTES: Final = (
    PageRoute("/imports/upload", show_form, Permission.MANAGE_IMPORTS),
    PageRoute("/imports/upload", receive_file, Permission.MANAGE_IMPORTS, ("POST",), is_upload=True),
    PageRoute("/imports/uploads/{token}", show_upload, Permission.MANAGE_IMPORTS),
    PageRoute("/imports/uploads/{token}/preview", show_preview, Permission.MANAGE_IMPORTS),
    PageRoute("/imports/uploads/{token}/options", change_options, Permission.MANAGE_IMPORTS, ("POST",)),
    PageRoute("/imports/uploads/{token}/discard", discard, Permission.MANAGE_IMPORTS, ("POST",)),
    PageRoute("/imports/uploads/{token}/import", import_upload, Permission.MANAGE_IMPORTS, ("POST",)),
)
