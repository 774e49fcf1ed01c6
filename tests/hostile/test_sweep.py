"""Files that were cut or changed by one byte: refused in a sentence, or read as far as nothing is wrong.

What may be accepted depends on what a format can know:

- A workbook has a checksum for each of its parts, so every version that is accepted is equal.
- A Parquet file with page checksums: every cell of an accepted version is equal, unless the byte lies in the
  footer, which has no checksum and tells how cells are to be read. A column may then have another name or
  another type, but there are as many rows and columns, and no cell moves to another row or column.
- A text file has no checksum at all. A changed byte may change the one cell or name it lies in, and nothing
  else; of a file that was cut, whole rows may be missing at the end, and the last cell may be shorter.
"""

from __future__ import annotations

import pytest

from tests.hostile.harness import check_swept
from tests.hostile.sweep import Change, Seen, cuts, flips
from tests.hostile.tables import csv, parquet, patients
from tests.hostile.workbooks import written

FRAME = patients(40, ward=["A", "B", "", "ä"] * 10, lab=[1.5, None, 2.25, 1234.5] * 10)
FILES = {
    "t.csv": csv(FRAME),
    "semicolons.csv": csv(FRAME, sep=";", decimal=","),
    "utf-16.tsv": csv(FRAME, sep="\t", encoding="utf-16"),
    "t.parquet": parquet(FRAME, write_page_checksum=True),
    "t.xlsx": written(FRAME),
}


def footer(data: bytes) -> int:
    """Where the footer of a Parquet file begins."""
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


def check_sweep(name: str, changes: list[Change]) -> list[Seen]:
    return check_swept(FILES[name], name, changes, check_accepted)


def check_accepted(name: str, whole: Seen, version: Seen) -> None:
    kind, place, _ = version.change
    if name.endswith((".csv", ".tsv")):
        (check_cut_text if kind == "cut" else check_changed_text)(whole, version)
    elif name.endswith(".parquet") and place >= footer(FILES[name]):
        assert (len(version.rows), len(version.names)) == (len(whole.rows), len(whole.names))
        ours, theirs = dict(zip(whole.names, whole.cells, strict=True)), {}
        theirs = dict(zip(version.names, version.cells, strict=True))
        differ = {name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name)}
        assert len(differ) <= 2, f"{version.change} changed {differ}"  # one name, that was and that is
    else:
        assert (version.names, version.cells) == (whole.names, whole.cells), version.change


def check_cut_text(whole: Seen, version: Seen) -> None:
    assert version.names == whole.names
    *before, last = version.rows
    assert before == whole.rows[: len(before)]
    beside = whole.rows[len(before)]
    assert last[:-1] == beside[:-1]
    assert beside[-1].replace(".", ",").startswith(last[-1].replace(".", ","))  # cut before its decimals


def check_changed_text(whole: Seen, version: Seen) -> None:
    """At most one cell or name differs. A decimal comma that becomes a point leaves its column as it is
    written, and the user is told; so the two marks count as one here."""
    assert (len(version.rows), len(version.names)) == (len(whole.rows), len(whole.names))
    names = sum(a != b for a, b in zip(whole.names, version.names, strict=True))
    cells = sum(
        a.replace(",", ".") != b.replace(",", ".")
        for ours, theirs in zip(whole.cells, version.cells, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )
    assert names + cells <= 1, version.change


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut(name: str) -> None:
    versions = check_sweep(name, cuts(FILES[name]))
    assert sum(bool(version.refused) for version in versions) > len(versions) / 2


@pytest.mark.parametrize("name", FILES)
def test_a_file_with_a_wrong_byte(name: str) -> None:
    versions = check_sweep(name, flips(FILES[name], 64))
    assert {bool(version.refused) for version in versions} == {True, False}


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 3))
@pytest.mark.parametrize("name", FILES)
def test_a_thousand_files_with_a_wrong_byte(name: str, seed: int) -> None:
    check_sweep(name, flips(FILES[name], 1_000, seed))
