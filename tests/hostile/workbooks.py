"""Workbooks that no spreadsheet program writes, part by part, and some that one does."""

from __future__ import annotations

import io
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import openpyxl
import pandas as pd

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
SHEET_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"


def sheet_xml(cells: str, before: str = "", head: str = "", after: str = "") -> str:
    """One sheet; ``head`` stands before its first element, ``before`` and ``after`` around its cells."""
    return f'{head}<worksheet xmlns="{MAIN}">{before}<sheetData>{cells}</sheetData>{after}</worksheet>'


def packed(
    sheet: str | bytes, content_type: str = SHEET_TYPE, more: dict[str, str] | None = None, times: int = 1
) -> bytes:
    """A workbook of one sheet, which is there ``times`` over."""
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": (
            f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{content_type}"/></Types>'
        ),
        "_rels/.rels": (
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
            f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>'
        ),
        "xl/workbook.xml": (
            f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
            '<sheet name="Sheet1" sheetId="1" r:id="r1"/></sheets></workbook>'
        ),
        "xl/_rels/workbook.xml.rels": (
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
            f'Type="{OFFICE}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>'
        ),
        "xl/worksheets/sheet1.xml": sheet,
        **(more or {}),
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a name that is there already
            for _ in range(times - 1):
                archive.writestr("xl/worksheets/sheet1.xml", sheet)
    return out.getvalue()


def written(frame: pd.DataFrame, change: Callable[[Any], object] = lambda book: None) -> bytes:
    """A workbook as openpyxl writes it, after ``change`` to it; its first sheet holds the frame."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(list(frame.columns))
    for row in frame.astype(object).where(frame.notna(), None).itertuples(index=False):
        sheet.append(list(row))
    change(book)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def with_sheets(*names: str, state: str = "visible") -> Callable[[Any], object]:
    def change(book: Any) -> None:
        for name in names:
            book.create_sheet(name).sheet_state = state

    return change
