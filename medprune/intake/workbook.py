"""One sheet of an Excel workbook (.xlsx), read with calamine once it was looked through."""

from __future__ import annotations

import datetime
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medprune.errors import BadInput, listed
from medprune.intake.raw_table import RawTable
from medprune.intake.table_choices import TableChoices
from medprune.intake.table_shape import check_rows, check_size, checked_names, name_notes
from medprune.intake.workbook_check import checked_sheet

if TYPE_CHECKING:
    import pyarrow as pa


def workbook_table(data: bytes, title: str, choices: TableChoices) -> RawTable:
    """The table in a sheet: names in its first row that is not empty, and a patient or visit in each other.

    Cells that the sheet holds as numbers or dates stay so, and text stays text: an identifier that was
    stored as text keeps its leading zeros. Raises BadInput as :func:`checked_sheet` does, and when a column
    has no name.
    """
    import python_calamine

    seen, sheets = checked_sheet(data, title, choices.sheet)
    try:
        with python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(data)) as workbook:
            rows = workbook.get_sheet_by_name(seen.name).to_python()
    except (MemoryError, BadInput):
        raise
    except Exception:  # calamine raises several kinds
        raise BadInput(f"The workbook {title} is incomplete or damaged; save or upload it again.") from None
    rows = [row for row in rows if any(cell != "" for cell in row)]
    if not rows:
        raise BadInput(f"The sheet {seen.name!r} of {title} is empty; choose another sheet (--sheet).")
    header = ["" if cell == "" else _text(cell) for cell in rows[0]]
    if all(isinstance(cell, int | float) for cell in rows[0]):
        raise BadInput(
            f"The first row of the sheet {seen.name!r} of {title} holds numbers where the column names "
            "should be; add a row of names."
        )
    names = checked_names(header, title)
    check_rows(len(rows) - 1, title)
    check_size(len(rows) - 1, len(names), title)
    table, mixed = _columns(rows[1:], names)
    manifest = {"kind": "workbook", "sheet": seen.name, "sheets": list(sheets)}
    notes = [f"The table was read from the sheet {seen.name!r}."] if len(sheets) > 1 else []
    if seen.errors:
        notes.append(f"{seen.errors:,} cells hold an error of Excel and count as missing.")
    if seen.merged:
        notes.append(
            f"{len(seen.merged)} areas of merged cells: only the first cell of each has the value, the "
            "others count as missing."
        )
    if mixed:
        notes.append(f"Numbers or dates stand beside text in {listed(mixed)}, which was read as text.")
    return RawTable(table, (*name_notes(header, names), *notes), manifest)


def _columns(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> tuple[pa.Table, list[str]]:
    """The table, and the names of columns that hold several kinds of values."""
    import pyarrow as pa

    columns, mixed = [], []
    for name, cells in zip(names, zip(*rows, strict=True), strict=True):
        kinds = {_kind(cell) for cell in cells if cell != ""}
        values = [None if cell == "" else cell for cell in cells]
        if kinds == {float}:
            columns.append(pa.array([None if v is None else float(v) for v in values], pa.float64()))
        elif kinds == {bool}:
            columns.append(pa.array(values, pa.bool_()))
        elif kinds == {datetime.datetime}:
            columns.append(pa.array([v and _moment(v) for v in values], pa.timestamp("us")))
        else:
            mixed += [name] if len(kinds) > 1 else []
            columns.append(pa.array(["" if v is None else _text(v) for v in values], pa.large_string()))
    return pa.table(columns, names=list(names)), mixed


def _kind(cell: Any) -> type:
    """Numbers are one kind, and so are dates with and without a time of day."""
    if isinstance(cell, bool):
        return bool
    if isinstance(cell, int | float):
        return float
    return datetime.datetime if isinstance(cell, datetime.date) else str


def _moment(value: Any) -> datetime.datetime:
    if isinstance(value, datetime.datetime):
        return value
    return datetime.datetime(value.year, value.month, value.day)


def _text(cell: Any) -> str:
    """One cell as text; a whole number without a decimal point."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
