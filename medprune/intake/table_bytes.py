"""One door for the bytes of a table, whatever its format; it runs in the child."""

from __future__ import annotations

from dataclasses import replace

from medprune.intake.parquet_table import parquet_table
from medprune.intake.raw_table import RawTable
from medprune.intake.table_choices import TableChoices
from medprune.intake.table_kinds import kind_of, titled
from medprune.intake.table_shape import check_bytes
from medprune.intake.text_table import text_table
from medprune.intake.workbook import workbook_table


def table_of(data: bytes, *, name: str = "", choices: TableChoices | None = None) -> RawTable:
    """Raw columns of a CSV, TSV, Parquet or .xlsx file. ``name`` is for sentences, and never a path.

    Raises BadInput when the file is no table, has no rows, has unnamed or double columns, is too large, or
    is of a kind that its name does not say.
    """
    title, choices = titled(name) if name else "the table", choices or TableChoices()
    kind = kind_of(data, name, title)
    if kind == "parquet":
        read = parquet_table(data, title)
    elif kind == "workbook":
        read = workbook_table(data, title, choices)
    else:
        read = text_table(data, title, choices)
    check_bytes(read.table.nbytes, title)
    size = {"rows": read.table.num_rows, "columns": read.table.num_columns, "bytes": len(data)}
    return replace(read, manifest=read.manifest | size)
