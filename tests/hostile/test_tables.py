"""Every bad table gets its one sentence, and takes nothing with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medprune.intake import ChoiceNeeded, TableChoices, read_table_safely
from tests.hostile.case import Case
from tests.hostile.harness import check, resident, run
from tests.hostile.tables import KINDS, PARQUETS, TABLES, WORKBOOKS, csv, patients
from tests.hostile.workbooks import with_sheets, written

SLACK = 16 * 2**20  # bytes that Python keeps for later


def test_no_two_cases_have_one_name() -> None:
    assert len({case.name for case in TABLES}) == len(TABLES)


@pytest.mark.parametrize("case", TABLES, ids=str)
def test_a_bad_table(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    check(case, tmp_path, monkeypatch, caplog)


def test_memory_is_given_back() -> None:
    """The refusals that would cost most, one after the other, after a first round that imports all."""
    heavy = [case for case in (*KINDS, *WORKBOOKS, *PARQUETS) if case.outcome == "refused"][::3]
    for case in heavy[:3]:
        run(case, case.make())
    before = resident()
    for case in heavy:
        run(case, case.make())
    assert resident() <= 1.1 * before + SLACK


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_names_and_categories_keep_their_letters(encoding: str) -> None:
    frame = patients(größe=["groß", "klein"] * 30, naïve=1.5)
    read = read_table_safely(csv(frame, encoding=encoding), name="t.csv").frame
    assert list(read) == list(frame)
    assert read["größe"].tolist() == frame["größe"].tolist()


@pytest.mark.parametrize(
    ("cells", "choices", "numbers"),
    [
        (["1,5", "2,25", "3"], TableChoices(), [1.5, 2.25, 3]),
        (["1.234,5", "2.000.000,25", "7"], TableChoices(), [1234.5, 2_000_000.25, 7]),
        (["1,5", "1.234", "1,234"], TableChoices(), [1.5, 1234, 1.234]),
        (["1.5", "1,234", "1.234"], TableChoices(), [1.5, 1234, 1.234]),
        (["1,234", "5,678", "9,012"], TableChoices(decimal="."), [1234, 5678, 9012]),
        (["1,234", "5,678", "9,012"], TableChoices(decimal=","), [1.234, 5.678, 9.012]),
        (["1'234.5", "2\u202f000.25", "+7"], TableChoices(), [1234.5, 2000.25, 7]),
        (["-0,5", "0,125", "-1.000,5"], TableChoices(), [-0.5, 0.125, -1000.5]),
        (["1,234,567", "1,234", "8"], TableChoices(), [1_234_567, 1234, 8]),
    ],
)
def test_numbers_are_read_by_the_habit_of_their_file(
    cells: list[str], choices: TableChoices, numbers: list[float]
) -> None:
    data = csv(pd.DataFrame({"x": cells, "y": ["a", "b", "c"]}), sep=";")
    read = read_table_safely(data, name="t.csv", choices=choices)
    np.testing.assert_array_equal(pd.to_numeric(read.frame["x"]), numbers)
    assert any("'x'" in note for note in read.notes)


def test_two_habits_in_one_column_are_left_alone_and_told() -> None:
    read = read_table_safely(b"x;y\n1,5;a\n2.5;b\n1,234;c\n", name="t.csv")
    assert read.frame["x"].tolist() == ["1,5", "2.5", "1,234"]
    assert "stand together in 'x'" in read.notes[-1]


def test_text_that_only_looks_like_numbers_stays() -> None:
    data = b"x;day;icd\n1,5 mg;12.03.2024;E11,9\n2,5 mg;13.03.2024;I10,1\n"
    assert read_table_safely(data, name="t.csv").frame.to_dict("list") == {
        "x": ["1,5 mg", "2,5 mg"],
        "day": ["12.03.2024", "13.03.2024"],
        "icd": ["E11,9", "I10,1"],
    }


def test_a_sheet_can_be_chosen() -> None:
    data = written(patients(), with_sheets("other", "third"))
    with pytest.raises(ChoiceNeeded) as needed:
        read_table_safely(data, name="t.xlsx")
    assert (needed.value.choice, needed.value.options) == ("sheet", ("Sheet", "other", "third"))
    read = read_table_safely(data, name="t.xlsx", choices=TableChoices(sheet="Sheet"))
    assert read.manifest["sheets"] == ["Sheet", "other", "third"]
    pd.testing.assert_frame_equal(read.frame, patients(), check_dtype=False)
    with pytest.raises(ChoiceNeeded, match="no visible sheet 'none'"):
        read_table_safely(data, name="t.xlsx", choices=TableChoices(sheet="none"))


def test_a_workbook_keeps_what_its_cells_are() -> None:
    frame = patients(4).assign(
        code=["001", "002", "003", None],
        day=pd.to_datetime(["2020-01-02", "2021-03-04", None, "2022-05-06"]),
        flag=[True, False, True, False],
        lab=[1.5, None, 2.5, 3.0],
    )
    read = read_table_safely(written(frame), name="t.xlsx").frame
    assert read["code"].tolist() == ["001", "002", "003", ""]
    assert read["day"].tolist()[:2] == frame["day"].tolist()[:2]
    assert read["day"].isna().tolist() == [False, False, True, False]
    assert read["flag"].tolist() == [True, False, True, False]
    np.testing.assert_array_equal(read["lab"], frame["lab"])


def test_an_encoding_can_be_chosen() -> None:
    data = csv(patients(имя=1.5), encoding="cp1251")
    assert "имя" in read_table_safely(data, name="t.csv", choices=TableChoices(encoding="cp1251")).frame
