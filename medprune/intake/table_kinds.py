"""What kind of file a table is: by its content, with which its name must then agree."""

from __future__ import annotations

import io
import os
import re
import zipfile
from pathlib import PurePosixPath
from typing import Literal

from medprune.errors import BadInput

Kind = Literal["text", "parquet", "workbook"]

PARQUET = b"PAR1"
OLE = b"\xd0\xcf\x11\xe0"
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")  # a stream of an Office file that has a password
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
LONGEST_TITLE = 80
WAY_OUT = "save the table as CSV, Parquet or .xlsx"

# First bytes of what people upload by mistake, and what to call it.
MAGIC = {
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"\x1f\x8b": "a gzip archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an xz archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "a zstd archive",
    b"\x89HDF": "an HDF5 file",
    b"ARROW1": "a Feather file",
    b"ORC": "an ORC file",
    b"SQLite format 3": "a database",
    b"$FL2": "an SPSS file",
    b"$FL3": "an SPSS file",
    b"<stata_dta>": "a Stata file",
    b"HEADER RECORD***": "a SAS transport file",
    b"RDX": "an R file",
    b"\x7fELF": "a program",
    **{
        bytes((0x80, version)): "a Python pickle, which can run code and is never opened"
        for version in range(2, 6)
    },
}
TEXT_STARTS = (b"ORC", b"RDX", b"BZh", b"GIF8")  # a header line may begin like these; the next byte tells
MARKUP = {
    b"<!doctype html": "a web page (perhaps a log-in page in place of the table)",
    b"<html": "a web page (perhaps a log-in page in place of the table)",
    b"<head": "a web page (perhaps a log-in page in place of the table)",
    b"<?xml": "an XML file",
    b"{\\rtf": "a text document",
    b'{"': "a JSON file",
    b'[{"': "a JSON file",
}
ENDINGS: dict[str, Kind] = {
    ".csv": "text",
    ".tsv": "text",
    ".tab": "text",
    ".txt": "text",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "workbook",
}
CALLED = {"text": "text", "parquet": "a Parquet file", "workbook": "an Excel workbook"}


def titled(name: str) -> str:
    """A file name for sentences: quoted, its unseen characters escaped, and not too long."""
    shown = name if len(name) <= LONGEST_TITLE else f"{name[: LONGEST_TITLE - 16]}…{name[-15:]}"
    return repr(shown)


def kind_of(data: bytes, name: str, title: str) -> Kind:
    """Text, Parquet or a workbook; BadInput that says what else it is, or that its name says otherwise."""
    kind = _by_content(data, title)
    ending = PurePosixPath(name).suffix.lower()
    promised = ENDINGS.get(ending)
    if promised is not None and promised != kind:
        raise BadInput(
            f"The file {title} is {CALLED[kind]}, although its name ends in {ending}; rename it, if it is "
            "the right file."
        )
    return kind


def _by_content(data: bytes, title: str) -> Kind:
    if data.startswith(PARQUET):
        return "parquet"
    if data.startswith(ZIP_STARTS):
        return _archive(data, title)
    if data.startswith(OLE):
        raise _old_office(data, title)
    start = data[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    what = next((what for first, what in MAGIC.items() if data.startswith(first)), "")
    if data.startswith(TEXT_STARTS) and _is_plain(data[:64]):
        what = ""
    what = what or next((what for first, what in MARKUP.items() if start.startswith(first)), "")
    if what:
        raise _other(title, what)
    return "text"


def _is_plain(start: bytes) -> bool:
    return all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in start)  # noqa: PLR2004 - printable ASCII


def _archive(data: bytes, title: str) -> Kind:
    """What a zip archive is, by the names in it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            types = b""
            if "[Content_Types].xml" in names and "xl/workbook.xml" in names:
                with archive.open("[Content_Types].xml") as file:
                    types = file.read(2**20)
            first = archive.open("mimetype").read(200) if "mimetype" in names else b""
    except Exception:  # zipfile raises many kinds on damaged archives
        raise BadInput(
            f"The file {title} is a damaged or incomplete workbook or archive; export or upload it again."
        ) from None
    if b"macroEnabled" in types or any(name.lower().endswith("vbaproject.bin") for name in names):
        raise _other(title, "a workbook with macros (.xlsm)")
    if types:
        return "workbook"
    if "xl/workbook.bin" in names:
        raise _other(title, "a binary workbook (.xlsb)")
    if b"opendocument" in first:
        raise _other(title, "an OpenDocument file (.ods)")
    if any(name.endswith("data.pkl") for name in names):
        raise _other(title, "a PyTorch file")
    raise _other(title, "a zip archive or another Office document")


def _old_office(data: bytes, title: str) -> BadInput:
    if ENCRYPTED in data:
        return BadInput(
            f"The file {title} is encrypted with a password; save the workbook without one, or as CSV."
        )
    return _other(title, "an old Excel workbook (.xls) or another Office file")


def _other(title: str, what: str) -> BadInput:
    return BadInput(f"The file {title} is {what}, not a table that is read here; {WAY_OUT}.")


def check_local(path: str | os.PathLike[str]) -> None:
    """BadInput for a web address."""
    if re.match(r"\s*[A-Za-z][A-Za-z0-9+.-]+://", os.fspath(path)):
        raise BadInput("The table must be a file on this computer, not a web address; download it first.")
