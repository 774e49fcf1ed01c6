"""CSV and its relatives: bytes to text, text to rows of one width, rows to columns of text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from medprune.errors import BadInput, listed
from medprune.intake.decimal_marks import mend_numbers
from medprune.intake.raw_table import RawTable
from medprune.intake.table_choices import DELIMITERS, ENCODINGS, TableChoices, known_encoding
from medprune.intake.table_shape import MOST_CELLS, check_size, checked_names, name_notes

if TYPE_CHECKING:
    import pyarrow as pa

SNIFFED = 256 * 1024  # characters that decide on the delimiter
CHUNK = 20_000  # rows held as Python text at a time: bounds memory
MARKS_LOST = re.compile("Ã[\u0080-\u00bf]|â€")  # UTF-8 that someone has read as Windows-1252 and saved so
NO_TEXT = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f]")
UTF_16_SHARE = 0.4  # of the first bytes that are zero where letters of UTF-16 have their upper halves


def text_table(data: bytes, title: str, choices: TableChoices) -> RawTable:
    """The columns of a CSV, TSV, semicolon or pipe file, every cell as text.

    Raises BadInput when it is empty, not text, or has lines of unequal length.
    """
    text, encoding, notes = _decoded(data, title, choices.encoding)
    delimiter = choices.delimiter or _delimiter(text)
    if '"' not in text:  # else a line break may stand in a cell
        columns = text[: text.find("\n") + 1].count(delimiter) + 1
        check_size(1, columns, title)
        if text.count("\n") * columns > MOST_CELLS + 1000 * columns:  # blank lines are no rows
            check_size(text.count("\n"), columns, title)
    table, raw_names = _columns(text, delimiter, title)
    notes += name_notes(raw_names, table.column_names)
    if delimiter != ",":
        notes.append(f"The columns of the file are separated by {DELIMITERS[delimiter]}.")
    if not text.endswith(("\n", "\r")):
        notes.append("The file does not end with a line break; check that its last line is complete.")
    table, decimal, more = mend_numbers(table, delimiter, choices.decimal)
    codes = [name for name in table.column_names if _holds_codes(table.column(name))]
    if codes:
        notes.append(
            f"The cells of {listed(codes)} begin with zeros or have more than 15 digits, as codes do; leave "
            "the column out if it numbers patients or samples."
        )
    manifest = {"kind": "text", "encoding": encoding, "delimiter": delimiter, "decimal": decimal}
    return RawTable(table, (*notes, *more), manifest)


# --- bytes to text --------------------------------------------------------------------------------


def _decoded(data: bytes, title: str, wanted: str | None) -> tuple[str, str, list[str]]:
    """The text, its encoding, and a note when the encoding is a guess."""
    encoding, notes = (known_encoding(wanted) or "utf-8", []) if wanted else _encoding(data, title)
    try:
        text = data.decode({"utf-8": "utf-8-sig"}.get(encoding, encoding)).removeprefix("\ufeff")
    except (UnicodeDecodeError, UnicodeError):
        raise BadInput(
            f"The file {title} is not {ENCODINGS.get(encoding, encoding)} throughout; it is damaged, or its "
            "encoding is another one: choose it, or save the table as CSV in UTF-8."
        ) from None
    wrong = NO_TEXT.search(text) or (re.search("[\x80-\x84\x86-\x9f]", text) if wanted else None)
    if wrong:
        line = text.count("\n", 0, wrong.start()) + 1
        raise BadInput(
            f"Line {line} of {title} holds bytes that are not text; save the table as CSV in UTF-8"
            f"{', or choose another encoding' if wanted else ''}."
        )
    if not text.strip():
        raise BadInput(f"The file {title} is empty; export the table again as CSV or Parquet.")
    if MARKS_LOST.search(text):
        notes.append(
            "Some letters look as if an earlier program had read them in the wrong encoding; export the "
            "table again if names or categories look odd."
        )
    return text, encoding, notes


def _encoding(data: bytes, title: str) -> tuple[str, list[str]]:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16", []
    start = data[:4096]
    for low, high, encoding in ((0, 1, "utf-16-le"), (1, 0, "utf-16-be")):
        letters, halves = start[low::2], start[high::2]
        if b"\0" not in letters and halves.count(0) > UTF_16_SHARE * max(1, len(halves)):
            return encoding, ["The file has no byte-order mark and was read as UTF-16."]
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _not_utf8(data, title, error)
    return "utf-8", []


def _not_utf8(data: bytes, title: str, error: UnicodeDecodeError) -> tuple[str, list[str]]:
    """Windows-1252, unless the rest is UTF-8: then the file is damaged, and would be garbled."""
    good = sum(map(len, re.findall("[^\0-\x7f]+", data.decode("utf-8", "ignore"))))
    bad = data.decode("utf-8", "replace").count("\ufffd") - data.count(b"\xef\xbf\xbd")
    if data.startswith(b"\xef\xbb\xbf") or good > bad or (good and "end of data" in error.reason):
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"Line {line} of {title} is not UTF-8, as the rest is; the file is damaged or incomplete, so "
            "export or upload it again, or choose its encoding."
        )
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        raise BadInput(
            f"The encoding of {title} is not known; choose it, or save the table as CSV in UTF-8."
        ) from None
    return "cp1252", [
        "The file is not UTF-8 and was read as Windows-1252; check that accented letters are right."
    ]


# --- text to columns ------------------------------------------------------------------------------


def _columns(text: str, delimiter: str, title: str) -> tuple[pa.Table, list[str]]:
    """The table, and its column names as they stand in the file."""
    import pyarrow as pa

    records = _records(text, delimiter, title)
    header = next(records, None)
    if header is None:
        raise BadInput(f"The file {title} is empty; export the table again as CSV or Parquet.")
    names = checked_names(header, title)
    chunks: list[list[pa.Array]] = []
    while rows := list(islice(records, CHUNK)):
        chunks.append([pa.array(cells, pa.large_string()) for cells in zip(*rows, strict=True)])
        check_size(len(chunks) * CHUNK - CHUNK + len(rows), len(names), title)
    if not chunks:
        raise BadInput(f"The file {title} has column names but no rows; export the table with its rows.")
    columns = [pa.chunked_array(parts) for parts in zip(*chunks, strict=True)]
    return pa.table(columns, names=names), header


def _holds_codes(column: pa.ChunkedArray) -> bool:
    """Whether most cells are digits that a number would not keep."""
    import pyarrow.compute as pc

    found = pc.match_substring_regex(column, r"^\s*(?:0[0-9]+|[0-9]{16,})\s*$")
    return int(pc.sum(found).as_py() or 0) > len(column) / 2


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
    except csv.Error as error:
        if "field limit" in str(error):
            raise BadInput(
                f"From line {start} of {title} on, one value is longer than {csv.field_size_limit():,} "
                "characters; close the quotation marks there, or leave the column out."
            ) from None
        raise BadInput(
            f"The quotation marks in {title} do not match from line {start} on; close or double them."
        ) from None


def _values(count: int) -> str:
    return f"{count} value" if count == 1 else f"{count} values"
