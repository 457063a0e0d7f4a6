"""The file `shop.txt` of a folder of the inbox: one line, the name of the shop, for exports that do not name it.

Whatever else an export does not say is described in a `mapping.yaml` (`ingest.prescribed_mapping`).
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from etl_assets.errors import EtlError
from etl_assets.inbox.ready_files import SHOP_FILE
from etl_assets.presets.headers import AmbiguousHeaderError, fit_to_headers
from etl_assets.raw_orders.extract import check_required
from etl_assets.raw_orders.readers.errors import ImportFileError
from etl_assets.raw_orders.remedies import NAME_THE_SHOP

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from etl_assets.presets.model import Preset
    from etl_assets.raw_orders.readers.file_reader import ImportFile


class ShopFileError(EtlError):
    """Error of a `shop.txt` that can't be used; the files that it is for wait until it is corrected."""


def with_shop_of_folder(preset: Preset, file: ImportFile, inbox: Path, headers: Sequence[str] | None = None) -> Preset:
    """Return the preset with the shop that the `shop.txt` beside the file names; the preset itself where none does.

    The one of a sub-folder is for all its files; that of the inbox itself is for files that name no shop. `headers` are
    those of the sheet that the preset reads, by default those of the file.

    Raises:
        ShopFileError: the file `shop.txt` can't be used.
    """
    shop_file = file.folder / SHOP_FILE
    if not shop_file.is_file() or (file.folder == inbox and not _lacks_shop(preset, file, headers)):
        return preset
    return preset.with_overrides(shop=read_shop_file(shop_file))


def read_shop_file(path: Path) -> str:
    """Return the one line of a `shop.txt`, in UTF-8 or with the mark of UTF-16. Raises `ShopFileError`."""
    try:
        content = path.read_bytes()
        has_utf16_mark = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        lines = [line.strip() for line in content.decode("utf-16" if has_utf16_mark else "utf-8-sig").splitlines()]
    except UnicodeDecodeError:
        msg = f"{path}: the file is not UTF-8. Save it as UTF-8."
        raise ShopFileError(msg) from None
    except OSError as error:
        msg = f"{path}: the file can't be read ({error.strerror}). Check who may read it."
        raise ShopFileError(msg) from None
    names = [line for line in lines if line]
    if len(names) != 1:
        msg = f"{path}: the file has {len(names)} lines. Write one line with the name of the shop, and nothing else."
        raise ShopFileError(msg)
    return names[0]


def _lacks_shop(preset: Preset, file: ImportFile, headers: Sequence[str] | None) -> bool:
    """Test that a shop is what the file lacks; any other fault of it is reported when it is read."""
    found = file.headers() if headers is None else headers
    try:
        check_required(file.path, found, fit_to_headers(preset, found))
    except ImportFileError as error:
        return error.remedy is NAME_THE_SHOP
    except AmbiguousHeaderError:
        return False
    return False
