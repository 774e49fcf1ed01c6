"""A patient table from outside: a CSV or Parquet file, an upload's bytes, or a data frame.

:func:`read_table` gives raw columns: every cell of a CSV is still text. What the columns mean is
decided by :mod:`medprune.intake.columns`, whose rules are offered here too.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from medprune.errors import BadInput, listed
from medprune.intake.columns import (
    NUMBER_MISSING,
    TEXT_MISSING,
    Feature,
    TypedColumn,
    clean_name,
    typed,
    typed_for,
)

__all__ = [
    "NUMBER_MISSING",
    "TEXT_MISSING",
    "Feature",
    "TableFile",
    "TypedColumn",
    "read_table",
    "read_with_notes",
    "typed",
    "typed_for",
]

MOST_COLUMNS = 10_000
MOST_CELLS = 50_000_000
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
SNIFFED = 256 * 1024  # characters that decide on the delimiter
CHUNK = 20_000  # rows held as Python text at a time: bounds memory
DECIMAL_COMMA = r"[+-]?\d+,\d+"
ENOUGH_NUMBERS = 0.5  # of a column's values, for its commas to be decimal ones
PARQUET = b"PAR1"
DEEP_TYPES = "list|large_list|fixed_size|struct|map|dense_union|sparse_union|.*binary|extension"

# First bytes of what people upload by mistake, and what to call it.
MAGIC = {
    b"PK": "an Excel workbook or another zip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook or another Office file",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
    b"ARROW1": "a Feather file",
    b"SQLite format 3": "a database",
    b"$FL2": "an SPSS file",
    b"<stata_dta>": "a Stata file",
    **{
        bytes((0x80, version)): "a Python pickle, which can run code and is never opened"
        for version in range(2, 6)
    },
}
MARKUP = {
    b"<!doctype html": "a web page (perhaps a log-in page in place of the table)",
    b"<html": "a web page (perhaps a log-in page in place of the table)",
    b"<?xml": "an XML file",
    b'{"': "a JSON file",
    b'[{"': "a JSON file",
}
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")


@dataclass(frozen=True)
class TableFile:
    """An uploaded table: its bytes, and a file name for messages that is never used as a path."""

    name: str
    data: bytes


Source: TypeAlias = "str | os.PathLike[str] | bytes | TableFile | pd.DataFrame"


def read_table(source: Source, *, name: str | None = None) -> pd.DataFrame:
    """Raw columns of a CSV/TSV or Parquet file, of an upload, or of a data frame; never of a web address.

    ``name`` is what messages call the table. Raises BadInput when it is no table, has no rows, has
    unnamed or duplicate columns, or lines of unequal length.
    """
    return read_with_notes(source, name=name)[0]


def read_with_notes(source: Source, *, name: str | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Like :func:`read_table`, with a sentence for every decision taken while reading."""
    if isinstance(source, pd.DataFrame):
        return _from_frame(source, name or "the data frame"), ()
    if isinstance(source, TableFile):
        data, title = source.data, repr(name or source.name)
    elif isinstance(source, bytes):
        data, title = source, repr(name) if name else "the table"
    else:
        data, title = _read_bytes(source), repr(name or Path(source).name)
    if data.startswith(PARQUET):
        return _from_parquet(data, title), ()
    _refuse_other_formats(data, title)
    text, notes = _decoded(data, title)
    frame, more = _from_csv(text, title)
    return frame, (*notes, *more)


def _read_bytes(path: str | os.PathLike[str]) -> bytes:
    shown = os.fspath(path)
    check_local(path)
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise BadInput(f"There is no file {shown!r}; check the path of the table.") from None
    except (OSError, ValueError):
        raise BadInput(f"The file {shown!r} cannot be read; check that it is a file you may open.") from None


def check_local(path: str | os.PathLike[str]) -> None:
    """BadInput for a web address."""
    if re.match(r"\s*[A-Za-z][A-Za-z0-9+.-]+://", os.fspath(path)):
        raise BadInput("The table must be a file on this computer, not a web address; download it first.")


def _refuse_other_formats(data: bytes, title: str) -> None:
    start = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    what = next((what for first, what in MAGIC.items() if data.startswith(first)), "")
    if data.startswith(b"PK") and not data.startswith(ZIP_STARTS):
        what = ""  # a table whose first column is called PK...
    what = what or next((what for first, what in MARKUP.items() if start.startswith(first)), "")
    if what:
        raise BadInput(f"The file {title} is {what}, not a table; save the table as CSV or Parquet.")


def _decoded(data: bytes, title: str) -> tuple[str, list[str]]:
    """The text of a CSV file; a note says so when the encoding is a guess."""
    notes: list[str] = []
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError:
            raise BadInput(f"The encoding of {title} is not known; save the table as CSV in UTF-8.") from None
        notes.append(
            "The file is not UTF-8 and was read as Windows-1252; check that accented letters are right."
        )
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise BadInput(
            f"Line {line} of {title} holds bytes that are not text; save the table as CSV in UTF-8."
        )
    if not text.strip():
        raise BadInput(f"The file {title} is empty; export the table again as CSV or Parquet.")
    return text, notes


def _from_csv(text: str, title: str) -> tuple[pd.DataFrame, list[str]]:
    delimiter = _delimiter(text)
    records = _records(text, delimiter, title)
    header = next(records, None)
    if header is None:
        raise BadInput(f"The file {title} is empty; export the table again as CSV or Parquet.")
    names = checked_names(header, title)
    chunks: list[pd.DataFrame] = []
    while rows := list(islice(records, CHUNK)):
        cells = zip(*rows, strict=True)
        chunks.append(pd.DataFrame(dict(zip(names, cells, strict=True)), dtype="str"))
        _check_size(len(chunks) * CHUNK - CHUNK + len(rows), len(names), title)
    if not chunks:
        raise BadInput(f"The file {title} has column names but no rows; export the table with its rows.")
    frame = pd.concat(chunks, ignore_index=True)
    if delimiter == ",":
        return frame, []
    notes = [f"The columns of the file are separated by {DELIMITERS[delimiter]}."]
    return frame, notes + _mend_decimal_commas(frame)


def _delimiter(text: str) -> str:
    """The delimiter under which most of the first lines have as many fields as the header, and over one."""
    lines = text[:SNIFFED].splitlines(keepends=True)
    if len(text) > SNIFFED and len(lines) > 1:
        lines = lines[:-1]  # cut in the middle

    def fit(delimiter: str) -> tuple[float, int]:
        try:
            widths = [
                len(row) for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row
            ]
        except csv.Error:
            return 0.0, 0
        if not widths or widths[0] == 1:
            return 0.0, 0
        return sum(width == widths[0] for width in widths) / len(widths), widths[0]

    return max(DELIMITERS, key=fit)


def _records(text: str, delimiter: str, title: str) -> Iterator[list[str]]:
    """The header and the rows, all of one width; blank lines are passed over.

    A strict reader: a lenient one would move the values of a ragged row into their neighbours' columns.
    """
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    width, start = 0, 1
    try:
        for row in reader:
            blank = not row or (len(row) == 1 and not row[0].strip() and width != 1)
            if width and not blank and len(row) != width:
                raise BadInput(
                    f"Line {start} of {title} has {_values(len(row))} where the header has {width}; "
                    "mend the line, or put text that holds the delimiter in quotation marks."
                )
            if not blank:
                width = len(row)
                yield row
            start = reader.line_num + 1
    except csv.Error:
        raise BadInput(
            f"The quotation marks in {title} do not match from line {start} on; close or double them."
        ) from None


def _values(count: int) -> str:
    return f"{count} value" if count == 1 else f"{count} values"


def _mend_decimal_commas(frame: pd.DataFrame) -> list[str]:
    """Write "1,5" as "1.5", in place, in columns where that makes most of the values numbers."""
    mended = []
    for name in frame.columns:
        text = frame[name].str.strip()
        comma = text.str.fullmatch(DECIMAL_COMMA)
        if not comma.any():
            continue
        dotted = text.where(~comma, text.str.replace(",", ".", regex=False))
        present = dotted[~dotted.isin(NUMBER_MISSING)]
        if pd.to_numeric(present, errors="coerce").notna().mean() >= ENOUGH_NUMBERS:
            frame[name] = dotted
            mended.append(name)
    return [f"Decimal commas were read as decimal points in {listed(mended)}."] if mended else []


def _from_parquet(data: bytes, title: str) -> pd.DataFrame:
    """A Parquet file of flat columns; its size is checked before the values are unpacked."""
    import pyarrow as pa  # takes a while to import: only who reads Parquet waits
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(data), page_checksum_verification=True)
        schema = file.schema_arrow
        _check_size(file.metadata.num_rows, len(schema), title)
        checked_names(schema.names, title)
        deep = [field.name for field in schema if is_deep(field.type)]
        if deep:
            raise BadInput(
                f"Columns {listed(deep)} of {title} hold lists, records or binary data; leave them out."
            )
        table = file.read()
        table.validate(full=True)
        frame = table.to_pandas()
    except (pa.ArrowException, OSError, ValueError, KeyError):
        raise BadInput(
            f"The Parquet file {title} is incomplete or damaged; export or upload it again."
        ) from None
    return _from_frame(frame, title)


def is_deep(kind: object) -> bool:
    """True for Arrow types that hold lists, records or binary data."""
    return re.match(DEEP_TYPES, str(kind)) is not None


def _from_frame(frame: pd.DataFrame, title: str) -> pd.DataFrame:
    """A data frame with clean names and rows counted from 0; an index that has a name becomes a column."""
    if frame.columns.nlevels > 1:
        raise BadInput(f"The columns of {title} have several rows of names; give every column one name.")
    named = [level for level in frame.index.names if level is not None and level not in frame.columns]
    frame = frame.reset_index(level=named) if named else frame
    names = checked_names([str(name) for name in frame.columns], title)
    if not len(frame):
        raise BadInput(f"There are no rows in {title}; export the table with its rows.")
    _check_size(len(frame), len(names), title)
    return frame.set_axis(names, axis=1).reset_index(drop=True)


def checked_names(raw: Sequence[str], title: str) -> list[str]:
    """Clean column names; BadInput when there are none, when one is empty, or double."""
    _check_size(1, len(raw), title)
    names = [clean_name(name) for name in raw]
    if not any(names):
        raise BadInput(f"There are no column names in {title}; its first line must name the columns.")
    if not all(names):
        raise BadInput(
            f"Column number {names.index('') + 1} of {title} has no name; name it, or save the table without "
            "row numbers and without a delimiter at the end of its lines."
        )
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise BadInput(
            f"The column name {listed(twice)} occurs more than once in {title}; give every column its own."
        )
    return names


def _check_size(rows: int, columns: int, title: str) -> None:
    if columns > MOST_COLUMNS:
        raise BadInput(f"There are {columns:,} columns in {title}; choose at most {MOST_COLUMNS:,} of them.")
    if rows * columns > MOST_CELLS:
        raise BadInput(
            f"There are over {MOST_CELLS:,} cells in {title}; leave out rows, or columns not needed."
        )
