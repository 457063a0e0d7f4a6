"""Made-up ledger of a print shop, kept by hand in a spreadsheet program, with the orders that it holds.

A sheet for each month: a title merged over the table, a date for all orders of a day, further lines of an order under
its first one, running numbers written in advance, totals. The orders are written here by hand, not read from it.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import openpyxl

if TYPE_CHECKING:
    from pathlib import Path

    from openpyxl.worksheet.worksheet import Worksheet

HEADERS: Final = ["序号", "日期", "客户", "联系方式", "产品", "规格", "数量", "单价", "金额", "已付", "状态", "备注"]
MAY: Final[list[list[Any]]] = [
    [1, "5月3日", "青山小学", "fictive-1", "校徽", "3cm", 100, 2.5, 250, 100, "已完成", "加急"],
    [2, None, "李记茶馆", "fictive-2", "杯垫", "圆", 40, 3, 120, 0, "制作中", None],
    [3, None, None, None, "菜单", "A4", 10, 8, 80, None, None, None],
    [4, 46155, "老周", None, "T恤", "L 蓝", 20, 35, 700, 700, "已完成", "胸前\nlogo"],
    [5, dt.date(2026, 5, 20), "青山小学", "fictive-1", "条幅", "5m", 1, 66.6, 66.6, 0, "取消", None],
    [6, "5月31日", "散客", None, "名片", "90x54", 2, 15, 30, 30, "已完成", None],
    [7, None, None, None, None, None, None, None, 0, None, None, None],
    [8, None, None, None, None, None, None, None, 0, None, None, None],
    ["合计", None, None, None, None, None, 173, None, 1246.6, 830, None, None],
]
"""Rows under the headers; those of the numbers 7 and 8 are prepared and empty but for a formula's zero."""
JUNE: Final[list[list[Any]]] = [
    [1, "6月1日", "老周", None, "T恤", "M 白", 5, 35, 175, 0, "制作中", None],
    ["6月合计", None, None, None, None, None, 5, None, 175, 0, None, None],
]
MERGED: Final = {"5月": ("B4:B6", "C5:C6", "D5:D6", "K5:K6")}
ORDERS: Final = {
    "5月/4": ("青山小学", "2026-05-03", 250.0, ["校徽"]),
    "5月/5": ("李记茶馆", "2026-05-03", 200.0, ["杯垫", "菜单"]),
    "5月/7": ("老周", "2026-05-13", 700.0, ["T恤"]),
    "5月/8": ("青山小学", "2026-05-20", 66.6, ["条幅"]),
    "5月/9": ("散客", "2026-05-31", 30.0, ["名片"]),
    "6月/4": ("老周", "2026-06-01", 175.0, ["T恤"]),
}
"""By sheet and row: customer, day, amount and products of each order."""


def write_ledger(path: Path, sheets: dict[str, list[list[Any]]] | None = None) -> Path:
    """Write the workbook, with a sheet of notes beside those of the months."""
    book = openpyxl.Workbook()
    notes = book.worksheets[0]
    notes.title = "说明"
    notes.append(["每月一页", "老板填写"])
    for name, rows in ({"5月": MAY, "6月": JUNE} if sheets is None else sheets).items():
        sheet: Worksheet = book.create_sheet(name)
        sheet.append([f"{name}订单登记表"])
        sheet.merge_cells("A1:L1")
        sheet.append([])
        sheet.append(HEADERS)
        for row in rows:
            sheet.append(row)
        for cells in MERGED.get(name, ()):
            sheet.merge_cells(cells)
    book.save(path)
    return path
