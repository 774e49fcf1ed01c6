"""The shell reads tables of every format, in a process of its own, and takes what a file cannot say."""

from __future__ import annotations

from pathlib import Path

from tests.hostile.tables import csv, parquet, patients
from tests.hostile.workbooks import with_sheets, written
from tests.test_cli import Shell, shell

__all__ = ["shell"]


def test_every_format_gives_the_same_findings(shell: Shell, tmp_path: Path) -> None:
    found = []
    for name, data in (("t.csv", csv), ("t.parquet", parquet), ("t.xlsx", written)):
        (tmp_path / name).write_bytes(data(patients()))
        found.append(shell.json("inspect", tmp_path / name, "--outcome", "outcome"))
    assert found[0]["rows"] == 60
    assert found[0] == found[1] == found[2]


def test_a_sheet_is_asked_for_and_taken(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    path.write_bytes(written(patients(), with_sheets("notes")))
    assert "--sheet" in shell.refused("inspect", path, "--outcome", "outcome")
    assert shell.json("inspect", path, "--outcome", "outcome", "--sheet", "Sheet")["rows"] == 60
    assert "is empty" in shell.refused("inspect", path, "--outcome", "outcome", "--sheet", "notes")


def test_marks_and_encodings_are_taken(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(csv(patients(größe=["1,234", "2,345"] * 30), sep=";", decimal=",", encoding="cp1252"))
    given = ("inspect", path, "--outcome", "outcome")
    assert shell.json(*given, "--decimal", ",", "--encoding", "cp1252")["columns"] == 4
    assert "decimal mark must be" in shell.refused(*given, "--decimal", ";")
    assert "'klingon' is not known" in shell.refused(*given, "--encoding", "klingon")
    assert "is not UTF-8" in shell.refused(*given, "--encoding", "utf-8")
