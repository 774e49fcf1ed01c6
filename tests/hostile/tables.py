"""Bad tables, each made here and harmless: what its user gets is part of the case.

The numbers are those of the list of bad inputs that MedPrune answers for (37 to 60).
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.hostile.case import CANARY, Case, Outcome
from tests.hostile.harness import MARKER, OUTCOME
from tests.hostile.workbooks import packed, sheet_xml, with_sheets, written

XLSX = "t.xlsx"
DTD = '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
NAME = '<row r="1"><c r="A1" t="inlineStr"><is><t>outcome</t></is></c></row>'


def patients(rows: int = 60, **more: Any) -> pd.DataFrame:
    """A table that is accepted, and any columns more."""
    rng = np.random.default_rng(0)
    age = rng.normal(60, 10, rows).round(1)
    outcome = (age + rng.normal(0, 5, rows) > 60).astype(int)
    sex = rng.choice(["f", "m"], rows)
    return pd.DataFrame({"age": age, "sex": sex, OUTCOME: outcome}).assign(**more)


def csv(frame: pd.DataFrame, **how: Any) -> bytes:
    encoding = how.pop("encoding", "utf-8")
    return str(frame.to_csv(index=False, lineterminator="\n", **how)).encode(encoding)


def parquet(table: pa.Table | pd.DataFrame, **how: Any) -> bytes:
    out = io.BytesIO()
    pq.write_table(table if isinstance(table, pa.Table) else pa.Table.from_pandas(table), out, **how)
    return out.getvalue()


class Touch:
    """An object whose pickle, once loaded, leaves a marker."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (MARKER,)


def lines(*rows: str) -> Callable[[], bytes]:
    return lambda: "".join(f"{row}\n" for row in rows).encode()


def with_column(**more: Any) -> Callable[[], bytes]:
    return lambda: csv(patients(**more))


def refused(name: str, make: Callable[[], bytes], says: str, file_name: str = "t.csv") -> Case:
    return Case(name, file_name, make, "refused", says)


def accepted(name: str, make: Callable[[], bytes], says: str = "", file_name: str = "t.csv") -> Case:
    return Case(name, file_name, make, "accepted", says)


def few_cells(cell: str, times: int = 1) -> list[str]:
    return [cell] * times + [str(60 + k) for k in range(60 - times)]


SHAPES = [
    refused("37 empty", lambda: b"", "'t.csv' is empty"),
    refused("37 blank", lambda: b"\xef\xbb\xbf \n\n", "is empty"),
    refused("37 header alone", lines("age,outcome"), "column names but no rows"),
    refused("37 one row", lambda: csv(patients(1)), "only one class|fewer than 5 patients"),
    refused("38 no outcome", lambda: csv(patients().drop(columns=OUTCOME)), "no outcome column 'outcome'"),
    refused(
        "38 misspelt", lambda: csv(patients().rename(columns={OUTCOME: "Outcom"})), "did you mean 'Outcom'"
    ),
    refused("39 one class", with_column(outcome=1), "only one class"),
    refused("39 rare class", with_column(outcome=[1] * 57 + [0] * 3), "fewer than 5 patients"),
    accepted(
        "40 yes and no", with_column(outcome=["no", "yes"] * 30), "'yes' is taken as the positive class"
    ),
    accepted("40 1 and 2", with_column(outcome=[1, 2] * 30), "'2' is taken as the positive class"),
    accepted("40 True and False", with_column(outcome=[True, False] * 30), "'True' is taken as the positive"),
    refused("41 double name", lines("a,a,outcome", "1,2,0"), "'a' occurs more than once"),
    accepted("42 names by case", with_column(AGE=range(60)), "'age' and 'AGE' differ only in capital"),
    refused("42 names by space", lines("a, a,outcome", "1,2,0"), "'a' occurs more than once"),
    accepted(
        "42 spaces around", lambda: csv(patients()).replace(b"age", b"\xc2\xa0age "), "'age' were left out"
    ),
    refused("42 no name", lines("a,,outcome", "1,2,0"), "Column number 2 .* has no name"),
    refused("42 unseen", lines("a\u200db,outcome", "1,0"), "cannot be seen"),
    accepted("43 all missing", with_column(empty=None), "'empty' is left out: every value is missing"),
    accepted("43 constant", with_column(same=5), "'same' is left out: it has the same value"),
    accepted("44 n/a among numbers", with_column(x=few_cells("n/a", 9)), "'x' is missing in 9 of 60"),
    refused(
        "44 unit", with_column(x=few_cells(f"12 mmHg {CANARY}")), r"'x' .* 1 cell holds text \(data row 1\)"
    ),
    refused(
        "44 below", with_column(x=few_cells(f"<0.1 {CANARY}", 3)), "3 cells hold text .data rows 1, 2, 3"
    ),
]

TEXTS = [
    accepted("45 semicolons", lambda: csv(patients(), sep=";"), "separated by semicolons"),
    accepted("45 tabs", lambda: csv(patients(), sep="\t"), "separated by tabs", "t.tsv"),
    accepted("45 bars", lambda: csv(patients(), sep="|"), "separated by vertical bars"),
    accepted("46 decimal comma", lambda: csv(patients(), sep=";", decimal=","), "Decimal commas .* 'age'"),
    accepted(
        "46 thousands", lambda: csv(patients(x=["1.234,5", "2,5"] * 30), sep=";"), "commas .* 'age'|'x'"
    ),
    accepted("46 two readings", lambda: csv(patients(age=["1,234"] * 59 + ["5"]), sep=";"), "--decimal"),
    accepted("47 cp1252", lambda: csv(patients(größe=1.5), encoding="cp1252"), "read as Windows-1252"),
    accepted("47 UTF-16", lambda: csv(patients(größe=range(60)), encoding="utf-16")),
    accepted("47 UTF-16, no mark", lambda: csv(patients(), encoding="utf-16-le"), "read as UTF-16"),
    accepted("47 UTF-8 with a mark", lambda: csv(patients(), encoding="utf-8-sig")),
    refused("47 damaged UTF-8", lambda: csv(patients(ü="äöü")).replace(b"\xc3\xa4", b"\xe4", 1), "not UTF-8"),
    accepted("47 garbled before", lambda: csv(patients(x="MÃ¼ller")), "read them in the wrong encoding"),
    refused("47 no encoding", lambda: b"outcome,x\n1,\x81\x8d\n", "encoding .* not known"),
    refused("48 NUL", lines("a,outcome", "1,0", f"{CANARY}\0,1"), "Line 3 .* not text"),
    refused("48 control", lines("a,outcome", f"{CANARY}\x1b[2J,1"), "Line 2 .* not text"),
    refused("48 bidi name", lines("a\u202eb,outcome", "1,0"), "cannot be seen"),
    accepted("48 bidi cell", with_column(x=[f"\u202e{k % 2}" for k in range(60)])),
    refused("49 one longer", lines("a,outcome", "1,0", f"1,0,{CANARY}"), "Line 3 .* has 3 values"),
    refused("49 all longer", lines("a,outcome", f"{CANARY},1,0", "2,3,1"), "Line 2 .* has 3 values"),
    refused("49 delimiter at the end", lines("a,outcome,", "1,0,", "2,1,"), "Column number 3 .* no name"),
    refused("50 open quotation", lines("a,outcome", f'"{CANARY},0', "1,1"), "quotation marks .* line 2"),
    refused("50 long field", lambda: b'a,outcome\n"' + b"x" * 50_000_000 + b'",1\n', "longer than 131,072"),
    accepted("50 line breaks", with_column(x=["a\nb", "c"] * 30)),
    refused("51 columns", lambda: (b"x," * 199_999 + b"y\n") + (b"1," * 199_999 + b"1\n"), "200,000 columns"),
    refused(
        "51 rows", lambda: b"a,b,c,d,e,outcome\n" + b"1,2,3,4,5,6\n" * 10_000_000, "over 50,000,000 cells"
    ),
    accepted("52 infinite", with_column(x=["inf", "-inf", "1e400", "1.5"] * 15), "45 infinite values of 'x'"),
    accepted("52 long codes", with_column(x=[f"{10**19 + k}" for k in range(60)]), "'x' .* codes"),
    accepted("52 leading zeros", with_column(x=[f"{k:05}" for k in range(60)]), "'x' .* codes"),
    accepted("52 dates", with_column(day=[f"2020-01-{k % 28 + 1:02}" for k in range(60)]), "'day' .* date"),
    accepted("53 NA as a category", with_column(drug=["NA", "None", "x"] * 20)),
    accepted("54 leakage", lambda: csv(patients().assign(y=lambda t: t[OUTCOME] * 2.5 + 1)), "^leakage: 'y'"),
    accepted("55 identifier", with_column(mrn=[f"M{CANARY}{k}" for k in range(60)]), "'mrn' .* identifier"),
    accepted("55 name", with_column(name=[f"{CANARY} {k}" for k in range(60)]), "'name' .* identifier"),
    accepted(
        "56 repeated patients", with_column(patient_id=[k // 2 for k in range(60)]), "--patient|patient_id"
    ),
]


def starts(*first: bytes) -> Callable[[], bytes]:
    return lambda: b"".join(first) + b"\n1,2\n" * 20


def zipped(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, csv(patients()))
    return out.getvalue()


KINDS = [
    refused("57 web page", lines("<!DOCTYPE html>", "<html><body>log in</body></html>"), "a web page"),
    refused("57 PNG", starts(b"\x89PNG\r\n\x1a\n"), "a PNG picture"),
    refused("57 PDF", starts(b"%PDF-1.7"), "a PDF document"),
    refused("57 workbook as CSV", lambda: written(patients()), "is an Excel workbook, although .* [.]csv"),
    refused("57 Parquet as CSV", lambda: parquet(patients()), "is a Parquet file, although .* [.]csv"),
    refused("57 CSV as workbook", lambda: csv(patients()), "is text, although .* [.]xlsx", XLSX),
    refused("57 pickle", lambda: pickle.dumps(Touch()), "pickle, which can run code"),
    refused("57 pickle as Parquet", lambda: pickle.dumps(Touch()), "pickle", "t.parquet"),
    refused("57 pickle of old", lambda: pickle.dumps(Touch(), protocol=0), "", "t.csv"),
    refused("57 zipped CSV", lambda: zipped("t.csv"), "zip archive", "t.zip"),
    refused("57 gzipped", starts(b"\x1f\x8b\x08"), "a gzip archive", "t.csv.gz"),
    refused("57 .xls", starts(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "old Excel workbook .* .xlsx", "t.xls"),
    refused(
        "57 .ods", lambda: zipped_kind("mimetype", "application/vnd.oasis.opendocument.spreadsheet"), "[.]ods"
    ),
    refused("57 .xlsb", lambda: zipped_kind("xl/workbook.bin", ""), "[.]xlsb"),
    refused("57 Feather", starts(b"ARROW1\0\0"), "a Feather file"),
    refused("57 JSON", starts(b'{"a": [1]}'), "a JSON file"),
    refused("57 noise", lambda: np.random.default_rng(0).bytes(4096), ""),
    refused("57 noise as workbook", lambda: np.random.default_rng(1).bytes(4096), "", XLSX),
    refused(
        "57 noise as Parquet", lambda: b"PAR1" + np.random.default_rng(2).bytes(4096), "damaged", "t.parquet"
    ),
]


def zipped_kind(name: str, text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, text)
    return out.getvalue()


def set_cell(place: str, value: Any) -> Callable[[Any], object]:
    return lambda book: book.active.__setitem__(place, value)


def one_cell(place: str, head: str = "", before: str = "") -> Callable[[], bytes]:
    row = place.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    cells = f'{NAME}<row r="{row}"><c r="{place}"><v>1</v></c></row>'
    return lambda: packed(sheet_xml(cells, head=head, before=before))


WORKBOOKS = [
    accepted("58 workbook", lambda: written(patients()), "", XLSX),
    accepted("58 hidden sheets", lambda: written(patients(), with_sheets("b", state="hidden")), "", XLSX),
    refused(
        "58 three sheets", lambda: written(patients(), with_sheets("b", "c")), "3 sheets, 'Sheet', 'b'", XLSX
    ),
    refused("58 far cell", one_cell("XFD1048576"), "reaches to cell XFD1048576", XLSX),
    refused(
        "58 size that lies", one_cell("A2", before='<dimension ref="A1:XFD1048576"/>'), "only one class", XLSX
    ),
    refused("58 DTD", one_cell("A2", head=DTD), "XML entities", XLSX),
    refused(
        "58 DTD in the strings",
        lambda: packed(sheet_xml(NAME), more={"xl/sharedStrings.xml": DTD + "<sst/>"}),
        "XML entities",
        XLSX,
    ),
    refused("58 bomb", lambda: packed(sheet_xml(NAME + " " * 30_000_000)), "would unpack to 30,", XLSX),
    refused(
        "58 encrypted",
        starts(b"\xd0\xcf\x11\xe0\xa1\xb1", "EncryptedPackage".encode("utf-16-le")),
        "encrypted with a password",
        XLSX,
    ),
    refused(
        "58 merged header",
        lambda: written(patients(), lambda book: book.active.merge_cells("A1:B1")),
        "merged cells .A1:B1",
        XLSX,
    ),
    accepted(
        "58 merged cells",
        lambda: written(patients(), lambda book: book.active.merge_cells("A5:A7")),
        "1 areas of merged",
        XLSX,
    ),
    refused(
        "58 formulas",
        lambda: written(patients(), set_cell("A3", "=1+1")),
        "1 formula has no saved value",
        XLSX,
    ),
    accepted("58 text among numbers is text", lambda: written(patients(x=few_cells("?", 2))), "", XLSX),
    refused(
        "58 numbers for names",
        lambda: written(patients().set_axis([1, 2, 3], axis=1)),
        "holds numbers where",
        XLSX,
    ),
    refused("58 empty sheet", lambda: packed(sheet_xml("")), "is empty", XLSX),
    refused(
        "58 macros",
        lambda: packed(sheet_xml(NAME), "application/vnd.ms-excel.sheet.macroEnabled.main+xml"),
        "macros",
        "t.xlsm",
    ),
    refused("58 cut", lambda: written(patients())[:-700], "damaged or incomplete", XLSX),
    refused("58 one part twice", lambda: packed(sheet_xml(NAME), times=3), "incomplete or damaged", XLSX),
    refused(
        "58 no sheet",
        lambda: packed(sheet_xml(NAME), more={"xl/_rels/workbook.xml.rels": "<x/>"}),
        "no visible sheet",
        XLSX,
    ),
]


def out_of_range() -> bytes:
    """A column of three words, with places in its dictionary that say there is a fourth."""
    good = parquet(
        pa.table({"x": ["aa", "bb", "cc", "aa"] * 2000, OUTCOME: [0, 1] * 4000}), compression="none"
    )
    pattern = b"\x24" * 100  # the places 0, 1, 2, 0 in two bits each
    assert pattern in good
    return good.replace(pattern, b"\xff" * 100)


def wrong_checksum() -> bytes:
    good = bytearray(parquet(patients(), compression="none", use_dictionary=False, write_page_checksum=True))
    place = good.index(np.float64(patients()["age"][5]).tobytes())
    good[place] ^= 1
    return bytes(good)


def long_words() -> bytes:
    word = pa.array(["y" * 2**20])
    return parquet(pa.table({OUTCOME: pa.DictionaryArray.from_arrays(pa.array([0] * 10_000), word)}))


def nested(cell: Any) -> Callable[[], bytes]:
    return lambda: parquet(pa.table({"x": pa.array([cell] * 9), OUTCOME: pa.array([1] * 9)}))


PQ = "t.parquet"
PARQUETS = [
    accepted("59 Parquet", lambda: parquet(patients()), "", PQ),
    refused("59 cut", lambda: parquet(patients())[:-9], "incomplete or damaged", PQ),
    refused("59 cut early", lambda: parquet(patients())[:40], "incomplete or damaged", PQ),
    refused(
        "59 many rows",
        lambda: parquet(pa.table({OUTCOME: pa.array(np.zeros(60_000_000))})),
        "over 50,000,000 cells",
        PQ,
    ),
    refused("59 long words", long_words, "bytes of values", PQ),
    refused("59 lists", nested([1, 2]), "'x' .* hold lists", PQ),
    refused("59 records", nested({"a": 1}), "'x' .* hold lists, records", PQ),
    refused("59 bytes", nested(b"x"), "'x' .* binary data", PQ),
    refused(
        "59 double names",
        lambda: parquet(pa.table([pa.array([1]), pa.array([2])], names=["x", "x"])),
        "'x' occurs more than once",
        PQ,
    ),
    refused("59 dictionary", out_of_range, "incomplete or damaged", PQ),
    refused("59 checksum", wrong_checksum, "incomplete or damaged", PQ),
    refused("59 no rows", lambda: parquet(patients(0)), "no rows", PQ),
]


def named(label: str, file_name: str, outcome: Outcome = "accepted") -> Sequence[Case]:
    """A file of that name: one that is read, and one whose sentence has to name it."""
    return (
        Case(f"60 {label}", file_name, lambda: csv(patients()), outcome),
        Case(f"60 {label}, refused", file_name, lambda: b"a,a\n1,2\n", "refused", "occurs more than once"),
    )


NAMES = [
    *named("way up", "../../../etc/passwd"),
    *named("NUL", "a\0b"),
    *named("long", "x" * 4_000),
    *named("device", "CON"),
    *named("turned", "a\u202evsc.exe"),
    *named("double ending", "x.csv.pkl"),
    *named("markup", "<img src=x onerror=alert(1)>"),
    *named("line break", "a\nb.csv"),
    *named("empty", ""),
]

TABLES = [*SHAPES, *TEXTS, *KINDS, *WORKBOOKS, *PARQUETS, *NAMES]
