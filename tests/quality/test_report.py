"""What the quality report finds in a table, what it leaves alone, and how it says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprune.cohort import load_cohort
from medprune.quality import CHECKS, KINDS, SENTENCES, Problem

ROWS = 1000


def clean(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """A table without problems: one number, one category, a balanced outcome that follows from neither."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "lab": random.normal(100, 15, rows),
            "ward": random.choice(["a", "b", "c"], rows),
            "died": random.permutation(np.arange(rows) % 2),
        }
    )


def problems(frame: pd.DataFrame, kind: str | None = None, **choices: Any) -> list[Problem]:
    found = load_cohort(frame, **{"outcome": "died", **choices}).quality.problems
    return [problem for problem in found if kind in (None, problem.kind)]


def only(frame: pd.DataFrame, kind: str, **choices: Any) -> Problem:
    """The one problem of this kind; everything about it that must hold for every problem is checked."""
    (problem,) = problems(frame, kind, **choices)
    assert problem.kind in KINDS
    assert problem.message.endswith(".")
    assert "\n" not in problem.message
    assert problem.column is None or repr(problem.column) in problem.message or kind == "repeated_patient"
    return problem


def test_a_clean_table_has_no_problems() -> None:
    assert problems(clean()) == []


def test_every_check_has_its_sentence_and_its_kind() -> None:
    for check in CHECKS:
        assert check.__name__ in SENTENCES
        assert SENTENCES[check.__name__].kind in KINDS


def test_the_report_as_json_has_the_keys_that_scripts_rely_on() -> None:
    frame = clean().assign(empty=None)
    report = load_cohort(frame, outcome="died").quality
    value = json.loads(json.dumps(report.to_json()))
    assert list(value) == ["rows", "columns", "problems", "sampled"]
    assert (value["rows"], value["columns"]) == (ROWS, 4)
    assert value["problems"] == [
        {
            "kind": "missing",
            "column": "empty",
            "count": ROWS,
            "message": "'empty' is left out: every value is missing.",
            "why": "",
            "columns": [],
            "treatments": [],
            "suggested": [],
        }
    ]


def test_missing_values_are_counted_with_their_share() -> None:
    frame = clean()
    frame.loc[:99, "lab"] = np.nan
    problem = only(frame, "missing")
    assert (problem.column, problem.count) == ("lab", 100)
    assert "100 of 1000 rows (10.0%)" in problem.message


def test_imbalance_names_the_smallest_class() -> None:
    frame = clean()
    frame["died"] = (np.arange(ROWS) < 80).astype(int)
    problem = only(frame, "imbalance")
    assert (problem.column, problem.count) == ("died", 80)
    assert "Class '1' of 'died' has 80 of 1000 rows (8.0%)" in problem.message
    frame["died"] = (np.arange(ROWS) < 100).astype(int)
    assert not problems(frame, "imbalance")


def test_repeated_rows_are_counted_beyond_the_first_whatever_their_identifiers() -> None:
    frame = pd.concat([clean(), clean().iloc[:3]], ignore_index=True)
    assert only(frame, "duplicate").count == 3
    assert only(frame.assign(mrn=np.arange(ROWS + 3)), "duplicate").count == 3
    assert only(frame.assign(number=np.arange(ROWS + 3)), "duplicate", exclude="number").count == 3
    assert not problems(frame.assign(visit=np.arange(ROWS + 3) / 7), "duplicate")


def test_repeated_patients_are_counted_once_each() -> None:
    frame = clean().assign(who=[max(0, i - 2) for i in range(ROWS)])
    problem = only(frame, "repeated_patient", patient="who")
    assert (problem.column, problem.count) == ("who", 1)
    assert not problems(clean().assign(who=range(ROWS)), "repeated_patient", patient="who")


def test_a_repeating_patient_number_that_nobody_named_is_reported() -> None:
    problem = only(clean().assign(patient_id=np.arange(ROWS) // 1.5), "repeated_patient")
    assert problem.column == "patient_id"
    assert "--patient" in problem.message


@pytest.mark.parametrize("make", [lambda x: x, lambda x: x.where(x > 100)])
def test_identical_columns_name_their_twin(make: Any) -> None:
    frame = clean()
    frame["lab"] = make(frame["lab"])
    problem = only(frame.assign(copy=frame["lab"]), "identical")
    assert problem.column == "copy"
    assert "'lab'" in problem.message
    assert only(frame.assign(copy=frame["ward"]), "identical").column == "copy"
    assert not problems(frame.assign(copy=frame["ward"].map({"a": "x", "b": "y", "c": "z"})), "identical")


def test_collinear_columns_are_reported_once_each() -> None:
    frame = clean()
    noise = np.random.default_rng(1).normal(size=ROWS)
    frame["other"] = -3 * frame["lab"] + noise
    frame["third"] = frame["lab"] + noise
    found = problems(frame, "collinear")
    assert [(problem.column, problem.count) for problem in found] == [("other", 1), ("third", 2)]
    assert "'lab'" in found[0].message
    assert not problems(clean().assign(other=noise + clean()["lab"] / 15), "collinear")


def test_huge_tiny_and_nearly_constant_numbers_are_no_trouble() -> None:
    frame = clean().assign(huge=1e308, tiny=1e-308, shifted=1e9, half=7.0, other=3.0)
    frame["huge"] *= np.sign(frame["lab"] - 100)
    frame["tiny"] *= frame["lab"]
    frame["shifted"] += frame["lab"]
    frame.loc[::2, ["half", "other"]] = np.nan
    found = {problem.column for problem in problems(frame, "collinear")}
    assert found == {"tiny", "shifted"}


def test_nearly_constant_columns_say_how_many_differ() -> None:
    frame = clean().assign(rare=[1] * 4 + [0] * (ROWS - 4))
    problem = only(frame, "constant")
    assert (problem.column, problem.count) == ("rare", 4)
    assert not problems(clean().assign(rare=[1] * 5 + [0] * (ROWS - 5)), "constant")
    assert "left out" in only(clean().assign(same=1), "constant").message


def test_rare_categories_are_counted_but_not_named() -> None:
    frame = clean()
    frame.loc[:2, "ward"] = "Jane Doe"
    frame.loc[3:4, "ward"] = "John Doe"
    problem = only(frame, "rare_category")
    assert problem.count == 5
    assert "(2, in 5 rows)" in problem.message
    assert "Doe" not in problem.message


def test_spellings_of_one_category_are_found() -> None:
    frame = clean()
    frame.loc[:19, "ward"] = "A"
    frame["ward"] = frame["ward"].replace({"c": "ward  c"})
    frame.loc[20:39, "ward"] = "Ward c"
    problem = only(frame, "encoding")
    assert problem.count == 40
    assert "(2, in 40 rows)" in problem.message


def test_letters_in_the_wrong_encoding_are_found() -> None:
    frame = clean()
    frame["ward"] = frame["ward"].replace({"c": "Güte".encode().decode("cp1252")})
    assert "wrong encoding" in only(frame, "encoding").message
    frame["ward"] = frame["ward"].str.replace("GÃ¼te", "Güte")
    assert not problems(frame, "encoding")


@pytest.mark.parametrize("code", [-1, -9, -999, 0, 999, 9999])
def test_codes_for_missing_are_found_at_either_end(code: int) -> None:
    frame = clean()
    frame.loc[:19, "lab"] = code
    problem = only(frame, "sentinel")
    assert (problem.column, problem.count) == ("lab", 20)
    assert f"'lab' is {code} in 20 rows" in problem.message


def test_several_codes_in_one_column_are_all_found() -> None:
    frame = clean()
    frame.loc[:19, "lab"], frame.loc[20:39, "lab"], frame.loc[40:59, "lab"] = 9999, -1, 999
    assert {problem.count for problem in problems(frame, "sentinel")} == {20}
    assert len(problems(frame, "sentinel")) == 3


@pytest.mark.parametrize(
    "values",
    [
        [i % 30 for i in range(ROWS)],  # counts from 0
        [i % 3 - 1 for i in range(ROWS)],  # -1, 0, 1
        [i % 60 - 30 for i in range(ROWS)],
        [0] * 500 + [i % 90 + 1 for i in range(500)],  # many zeros, but next to the rest
        [99 - i % 60 for i in range(ROWS)],
        [999] + [i % 60 for i in range(ROWS - 1)],  # a single one is an outlier, not a code
    ],
)
def test_ordinary_values_are_no_codes(values: list[int]) -> None:
    assert not problems(clean().assign(x=values), "sentinel")


@pytest.mark.parametrize(
    ("name", "value"),
    [("age", 150), ("Age (years)", -3), ("age", -1), ("SpO2", 120), ("systolic BP", 0), ("bmi", 300)],
)
def test_values_that_no_patient_has_are_counted(name: str, value: float) -> None:
    x = np.linspace(40, 80, ROWS)
    x[7] = value
    found = problems(clean().assign(**{name: x}), "impossible")
    assert [(problem.column, problem.count) for problem in found] == [(name, 1)]


@pytest.mark.parametrize("factor", [10, 18.016, 88.42])
def test_two_units_in_one_column_are_found(factor: float) -> None:
    frame = clean()
    frame.loc[:99, "lab"] *= factor
    problem = only(frame, "mixed_units")
    assert (problem.column, problem.count) == ("lab", 100)


@pytest.mark.parametrize("factor", [1, 3, 30])
def test_a_wide_or_oddly_split_column_is_not_two_units(factor: float) -> None:
    frame = clean()
    frame.loc[:99, "lab"] *= factor
    assert not problems(frame.assign(x=np.exp(np.linspace(0, 9, ROWS))), "mixed_units")


@pytest.mark.parametrize(
    "leak",
    [
        lambda died: died,
        lambda died: 1 - died,
        lambda died: np.where(died, "dead", "alive"),
        lambda died: np.where(died, np.arange(ROWS), np.nan),  # known only for the dead, as a date of death
        lambda died: np.where(died, np.nan, np.arange(ROWS) % 7),
        lambda died: died + np.random.default_rng(0).normal(0, 0.2, ROWS),
        lambda died: np.where(died, np.arange(ROWS) % 10 * 2, np.arange(ROWS) % 10 * 2 + 1),  # even or odd
        lambda died: [f"{'d' if d else 'a'}{i % 40}" for i, d in enumerate(died)],
    ],
)
def test_columns_that_give_the_outcome_away_are_found(leak: Any) -> None:
    frame = clean()
    frame["extra"] = leak(frame["died"].to_numpy())
    problem = only(frame, "leakage")
    assert problem.column == "extra"
    assert "AUROC" in problem.message


def test_a_column_that_gives_one_of_three_classes_away_is_found() -> None:
    frame = clean().assign(died=np.random.default_rng(0).integers(0, 3, ROWS))
    frame["extra"] = (frame["died"] == 1).astype(int)
    assert only(frame, "leakage").column == "extra"


def test_good_predictors_and_many_random_categories_are_no_leaks() -> None:
    frame = clean()
    random = np.random.default_rng(0)
    frame["good"] = frame["died"] + random.normal(0, 0.5, ROWS)  # AUROC .92
    frame["many"] = [f"t{i}" for i in random.integers(0, 900, ROWS)]
    assert not problems(frame, "leakage")


def test_few_rows_counts_the_inputs_that_a_network_will_have() -> None:
    frame = clean(200)
    for i in range(8):
        frame[f"x{i}"] = np.random.default_rng(i).normal(size=200)
    problem = only(frame, "few_rows")
    assert problem.count == 100
    assert "100 patients for about 12 inputs" in problem.message  # 9 numbers, 3 wards
    assert not problems(frame.drop(columns=["x0", "x1"]), "few_rows")


def test_identifiers_are_reported() -> None:
    assert only(clean().assign(record_id=range(ROWS)), "identifier").column == "record_id"
    assert only(clean().assign(name=[f"n{i}" for i in range(ROWS)]), "identifier").column == "name"


def test_the_heart_table(shared_data: Path) -> None:
    frame = pd.read_csv(shared_data / "uci_heart_4sites.csv")
    found = {
        (problem.kind, problem.column): problem.count
        for problem in problems(frame, outcome="num", positive=">0")
    }
    assert found[("sentinel", "chol")] == 172
    assert found[("missing", "ca")] == 611
    assert found[("impossible", "trestbps")] == 1
    assert found[("duplicate", None)] == 2
    assert {kind for kind, _ in found} == {"sentinel", "missing", "impossible", "duplicate"}


def test_the_cardiotocography_table(shared_data: Path) -> None:
    frame = pd.read_csv(shared_data / "cardiotocography.csv")
    found = {
        (problem.kind, problem.column): problem.count for problem in problems(frame, outcome="fetal_health")
    }
    assert found[("imbalance", "fetal_health")] == 176
    assert found[("duplicate", None)] == 13
    assert ("few_rows", None) in found


@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats(allow_nan=False)),
            st.one_of(st.none(), st.text(max_size=3)),
            st.one_of(st.none(), st.integers(-9, 9)),
        ),
        min_size=40,
        max_size=60,
    )
)
def test_any_table_gets_a_report(rows: list[tuple[object, ...]]) -> None:
    frame = pd.DataFrame(rows, columns=["x", "text", "code"]).astype({"text": object})
    frame["lab"], frame["died"] = (
        clean(len(frame))["lab"],
        [0, 1] * (len(frame) // 2) + [0] * (len(frame) % 2),
    )
    report = load_cohort(frame, outcome="died", exclude="text" if _numbers_in(frame["text"]) else ()).quality
    for problem in report.problems:
        assert problem.kind in KINDS
        assert 0 < problem.count <= len(frame)


def _numbers_in(values: pd.Series) -> bool:
    return bool(pd.to_numeric(values.str.strip(), errors="coerce").notna().any())
