"""A patient table that is trusted: a data frame, or a file that is ours; and the rules of its columns.

:func:`read_table` gives raw columns: every cell of a CSV is still text. What the columns mean is decided by
:mod:`medprune.intake.columns`, whose rules are offered here too. A file from outside is read by
:func:`medprune.intake.read_table_safely`, in a process of its own; :func:`opened` chooses between the two.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from medprune.errors import BadInput
from medprune.intake.columns import Feature, TypedColumn, typed, typed_for
from medprune.intake.missing import NUMBER_MISSING, TEXT_MISSING
from medprune.intake.safely import read_table_safely
from medprune.intake.table_bytes import table_of
from medprune.intake.table_choices import TableChoices
from medprune.intake.table_kinds import check_local
from medprune.intake.table_shape import check_rows, check_size, checked_names

__all__ = [
    "NUMBER_MISSING",
    "TEXT_MISSING",
    "Feature",
    "TableFile",
    "TypedColumn",
    "opened",
    "read_table",
    "read_with_notes",
    "typed",
    "typed_for",
]


@dataclass(frozen=True)
class TableFile:
    """An uploaded table: its bytes, and a file name for messages that is never used as a path."""

    name: str
    data: bytes


Source: TypeAlias = "str | os.PathLike[str] | bytes | TableFile | pd.DataFrame"


def opened(source: Source, choices: TableChoices | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Raw columns and notes: a data frame as it is, a path or an upload through a child process.

    Raises BadInput when it is no table, has no rows, has unnamed or duplicate columns, or lines of unequal
    length.
    """
    if isinstance(source, pd.DataFrame):
        return from_frame(source, "the data frame"), ()
    if isinstance(source, TableFile):
        data: bytes | str | os.PathLike[str] = source.data
        name = source.name
    else:
        data, name = source, "table" if isinstance(source, bytes) else Path(source).name
    read = read_table_safely(data, name=name, choices=choices or TableChoices())
    return read.frame, read.notes


def read_table(source: Source, *, name: str | None = None) -> pd.DataFrame:
    """Like :func:`opened`, but in this process: for files that are our own, such as the samples."""
    return read_with_notes(source, name=name)[0]


def read_with_notes(source: Source, *, name: str | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Like :func:`read_table`, with a sentence for every decision taken while reading."""
    if isinstance(source, pd.DataFrame):
        return from_frame(source, name or "the data frame"), ()
    if isinstance(source, TableFile):
        data, called = source.data, name or source.name
    elif isinstance(source, bytes):
        data, called = source, name or ""
    else:
        data, called = _read_bytes(source), name or Path(source).name
    read = table_of(data, name=called)
    return read.table.to_pandas(), read.notes


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    shown = os.fspath(path)
    check_local(path)
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise BadInput(f"There is no file {shown!r}; check the path of the table.") from None
    except (OSError, ValueError):
        raise BadInput(f"The file {shown!r} cannot be read; check that it is a file you may open.") from None


def from_frame(frame: pd.DataFrame, title: str) -> pd.DataFrame:
    """A data frame with clean names and rows counted from 0; an index that has a name becomes a column."""
    if frame.columns.nlevels > 1:
        raise BadInput(f"The columns of {title} have several rows of names; give every column one name.")
    named = [level for level in frame.index.names if level is not None and level not in frame.columns]
    frame = frame.reset_index(level=named) if named else frame
    names = checked_names([str(name) for name in frame.columns], title)
    check_rows(len(frame), title)
    check_size(len(frame), len(names), title)
    return frame.set_axis(names, axis=1).reset_index(drop=True)
