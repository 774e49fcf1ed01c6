"""A look through a workbook before anything builds it: how large it would become, and what it hides.

An .xlsx file is a zip archive of XML. A few thousand bytes can stand for gigabytes: by compression, by a
cell at the far end of an empty sheet, by XML entities. All are told here, while the XML streams by.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

import defusedxml  # type: ignore[import-untyped]
import defusedxml.ElementTree as SafeTree  # type: ignore[import-untyped]

from medprune.errors import BadInput
from medprune.intake.table_choices import ChoiceNeeded

MOST_PARTS = 5_000
MOST_BYTES = 500 * 1024**2  # of all parts, unpacked
MOST_RATIO = 200  # unpacked to packed, of parts above SMALL
SMALL = 10 * 1024**2
MOST_FILLED = 5_000_000  # cells that the sheet has
MOST_AREA = 10_000_000  # cells from its first to its last one, as they are laid out in memory
WORKBOOK = "xl/workbook.xml"
CELL = re.compile(r"([A-Z]{1,3})([0-9]{1,7})")


@dataclass
class Sheet:
    """What was seen of one sheet."""

    name: str
    part: str
    rows: int = 0  # last row and column with a value, from 1
    columns: int = 0
    first_row: int = 0
    filled: int = 0
    unsaved: int = 0  # formulas without a value
    errors: int = 0  # cells with an error of Excel, such as a division by zero
    merged: list[str] = field(default_factory=list)


def checked_sheet(data: bytes, title: str, wanted: str | None) -> tuple[Sheet, tuple[str, ...]]:
    """The sheet to read, looked through, and the names of all visible sheets.

    Raises BadInput when the workbook is damaged, a bomb, or holds formulas without values or a merged
    header; :class:`ChoiceNeeded` when it has several sheets and none is named.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_archive(archive, title)
            sheets = _visible(archive)
            sheet = _chosen(sheets, archive, title, wanted)
            _look_through(archive, sheet, title)
            for part in ("xl/sharedStrings.xml", "xl/styles.xml", "[Content_Types].xml"):
                if part in archive.namelist():
                    with archive.open(part) as file:
                        _parser().ParseFile(file)
            return sheet, tuple(sheets)
    except (BadInput, MemoryError):
        raise
    except defusedxml.DefusedXmlException:
        raise BadInput(
            f"The workbook {title} holds XML entities, which no spreadsheet program writes; save it again "
            "with Excel, or as CSV."
        ) from None
    except Exception:  # zipfile and the XML parser raise many kinds
        raise _damaged(title) from None


def _damaged(title: str) -> BadInput:
    return BadInput(f"The workbook {title} is incomplete or damaged; save or upload it again.")


def _check_archive(archive: zipfile.ZipFile, title: str) -> None:
    """The parts are not too many and not too large, each is there once, and its name leads nowhere else."""
    parts = archive.infolist()
    names = [part.filename for part in parts]
    unpacked = sum(part.file_size for part in parts)
    packed = sum(part.compress_size for part in parts)
    bomb = unpacked > SMALL and unpacked > MOST_RATIO * max(1, packed)
    if bomb or unpacked > MOST_BYTES or len(parts) > MOST_PARTS:
        raise BadInput(
            f"The workbook {title} would unpack to {unpacked:,} bytes, which is more than is read; save the "
            "table as CSV or Parquet."
        )
    if len(set(names)) < len(names) or any(name.startswith("/") or ".." in name.split("/") for name in names):
        raise _damaged(title)
    if any(part.flag_bits & 1 for part in parts):
        raise BadInput(f"The workbook {title} is encrypted; save it without a password, or as CSV.")


def _elements(archive: zipfile.ZipFile, part: str) -> Iterator[tuple[str, Any]]:
    """Every element of a small part as it ends: its name without its namespace, and itself."""
    with archive.open(part) as file:
        for _, element in SafeTree.iterparse(file, forbid_dtd=True):
            yield element.tag.rpartition("}")[2], element


def _visible(archive: zipfile.ZipFile) -> dict[str, str]:
    """The visible sheets of cells: their names and the parts of the archive they are in."""
    places = {}
    for tag, element in _elements(archive, "xl/_rels/workbook.xml.rels"):
        if tag == "Relationship" and element.get("Type", "").endswith("/worksheet"):
            target = element.get("Target", "")
            whole = target.lstrip("/") if target.startswith("/") else posixpath.join("xl", target)
            places[element.get("Id")] = posixpath.normpath(whole)
    found = {}
    for tag, element in _elements(archive, WORKBOOK):
        if tag == "sheet" and element.get("state", "visible") == "visible":
            link = next((value for key, value in element.attrib.items() if key.endswith("}id")), None)
            if link in places:
                found[str(element.get("name"))] = places[link]
    return found


def _chosen(sheets: dict[str, str], archive: zipfile.ZipFile, title: str, wanted: str | None) -> Sheet:
    if not sheets:
        raise BadInput(f"The workbook {title} has no visible sheet of cells; save the table as CSV.")
    if wanted is not None and wanted not in sheets:
        raise ChoiceNeeded(
            f"The workbook {title} has no visible sheet {wanted!r}; its sheets are "
            f"{', '.join(map(repr, list(sheets)[:20]))}.",
            "sheet",
            tuple(sheets),
        )
    if wanted is None and len(sheets) > 1:
        raise ChoiceNeeded(
            f"The workbook {title} has {len(sheets)} sheets, {', '.join(map(repr, list(sheets)[:20]))}; say "
            "which one holds the table (--sheet).",
            "sheet",
            tuple(sheets),
        )
    name = next(iter(sheets)) if wanted is None else wanted
    return Sheet(name, sheets[name])


def _look_through(archive: zipfile.ZipFile, sheet: Sheet, title: str) -> None:
    """Count the sheet's cells, and refuse what could not be read as a table."""
    _Cells(sheet, title).read(archive)
    if sheet.unsaved:
        how = "formula has no saved value" if sheet.unsaved == 1 else "formulas have no saved values"
        raise BadInput(
            f"In the sheet {sheet.name!r} of {title}, {sheet.unsaved:,} {how}; open the workbook in Excel "
            "and save it, or save the table as CSV."
        )
    header = [ref for ref in sheet.merged if _rows(ref)[0] <= sheet.first_row <= _rows(ref)[1]]
    if header:
        raise BadInput(
            f"The first row of the sheet {sheet.name!r} of {title} has merged cells ({header[0]}), so not "
            "every column has a name of its own; split them and name each column in one row."
        )


class _Cells:
    """Counts cells as the parser meets them. A sheet has millions: no tree is built, not even a small one."""

    def __init__(self, sheet: Sheet, title: str) -> None:
        self.sheet, self.title = sheet, title
        self.cell: dict[str, str] = {}
        self.formula = self.value = self.text = False  # of the cell: has it these?

    def read(self, archive: zipfile.ZipFile) -> None:
        parser = _parser()
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._characters
        with archive.open(self.sheet.part) as file:
            parser.ParseFile(file)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition("}")[2]
        if tag == "c":
            self.cell, self.formula, self.value, self.text = attributes, False, False, False
        elif tag == "f":
            self.formula = True
        elif tag in ("v", "is"):
            self.value = True
        elif tag == "mergeCell":
            self.sheet.merged.append(attributes.get("ref", ""))

    def _characters(self, text: str) -> None:
        self.text = self.text or self.value

    def _end(self, name: str) -> None:
        if name.rpartition("}")[2] != "c":
            return
        if self.formula and not self.text and self.cell.get("t") != "str":
            self.sheet.unsaved += 1
        if self.value:  # else the cell has a style alone
            self._count(self.cell.get("r", ""))

    def _count(self, place: str) -> None:
        sheet, found = self.sheet, CELL.fullmatch(place)
        if not found:
            raise _damaged(self.title)
        row = int(found[2])
        sheet.first_row = sheet.first_row or row
        sheet.rows, sheet.columns = max(sheet.rows, row), max(sheet.columns, _number(found[1]))
        sheet.filled += 1
        sheet.errors += self.cell.get("t") == "e"
        if sheet.filled > MOST_FILLED or sheet.rows * sheet.columns > MOST_AREA:
            raise BadInput(
                f"The sheet {sheet.name!r} of {self.title} reaches to cell {place}, which is more than is "
                "read from a workbook; delete what is outside the table, or save it as CSV or Parquet."
            )


def _parser() -> expat.XMLParserType:
    """A parser that knows no document types, and so no entities of a file's own."""
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartDoctypeDeclHandler = _no_types
    return parser


def _no_types(name: str, system: str | None, public: str | None, inside: bool) -> None:
    raise defusedxml.DTDForbidden(name, system, public)


def _number(letters: str) -> int:
    """The number of a column: A is 1, Z 26, AA 27."""
    number = 0
    for letter in letters:
        number = 26 * number + ord(letter) - 64
    return number


def _rows(area: str) -> tuple[int, int]:
    """First and last row of an area such as A1:C2."""
    found = [int(place[2]) for place in CELL.finditer(area.replace("$", ""))]
    return (min(found), max(found)) if found else (0, 0)
