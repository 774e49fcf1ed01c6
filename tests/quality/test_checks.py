"""The checks one by one: missingness, leakage by name, identifiers, codes, units by name, ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medprune import BadInput, load_cohort
from medprune.intake.columns import BIRTH, IDENTIFIES, REPEATS
from medprune.quality import read_ranges, usual_ranges
from medprune.quality.ranges import COLUMNS
from tests.quality.test_report import ROWS, clean, only, problems


def test_patterns_and_dependence_of_missing_values_are_told() -> None:
    frame = clean().assign(a=1.0, b=2.0, c=3.0)
    rng = np.random.default_rng(0)
    for name in "abc":
        frame[name] += rng.normal(size=ROWS)
    frame.loc[:199, ["a", "b"]] = np.nan
    frame.loc[(frame["died"] == 1) & (rng.random(ROWS) < 0.5), "c"] = np.nan
    found = [problem.message for problem in problems(frame, "missing")]
    assert "Missing in the same rows (200 rows): 'a' and 'b'." in found
    [told] = [message for message in found if "in class" in message or "of class" in message]
    assert told.startswith("'c' is missing in 5") or told.startswith("'c' is missing in 4")
    assert "0.0% of class '0'" in told


def test_nearly_empty_rows_are_counted() -> None:
    frame = clean().assign(a=np.arange(ROWS) / 7)
    frame.loc[:6, ["lab", "a"]] = np.nan
    assert "More than half of the 3 features are missing in 7 rows" in " ".join(
        problem.message for problem in problems(frame, "missing")
    )


@pytest.mark.parametrize(
    "name",
    [
        "discharge_disposition_id", "Discharge diagnosis", "death_date_known", "hospitalDeath", "expired",
        "days_in_hospital", "length_of_stay", "follow_up_weight", "outcome_code", "RAZRIV", "NA_R_3_n",
        "icd_discharge", "complication_3",
    ],
)  # fmt: skip
def test_names_that_follow_the_outcome_are_flagged_with_a_click(name: str) -> None:
    frame = clean().assign(**{name: np.random.default_rng(1).normal(size=ROWS)})
    problem = only(frame, "leakage")
    assert (problem.column, problem.remedies) == (name, (f"drop:{name}",))


@pytest.mark.parametrize(
    "name", ["prior_discharges", "family_death", "previous_readmission", "loss", "deadlift"]
)
def test_names_of_what_lies_before_are_not(name: str) -> None:
    assert not problems(clean().assign(**{name: np.random.default_rng(1).normal(size=ROWS)}), "leakage")


def test_a_rare_value_that_goes_with_one_outcome_is_told() -> None:
    frame = clean()
    frame["died"] = (np.arange(ROWS) < 150).astype(int)
    frame["rupture"] = (np.arange(ROWS) < 40).astype(int)
    problem = only(frame, "leakage")
    assert (problem.column, problem.count) == ("rupture", 40)
    shuffled = frame.assign(rupture=np.random.default_rng(0).permutation(frame["rupture"]))
    assert not problems(shuffled, "leakage")


def test_dates_after_the_outcome_are_counted() -> None:
    frame = clean()
    days = pd.Series(pd.date_range("2020-01-01", periods=ROWS).astype(str))
    later = pd.Series(pd.date_range("2020-01-05", periods=ROWS).astype(str))
    frame["lab_date"], frame["death_date"] = days.where(days.index > 6, "2031-01-01"), later
    found = [problem for problem in problems(frame, "leakage") if problem.column == "lab_date"]
    assert [problem.count for problem in found] == [7]


@pytest.mark.parametrize(
    ("name", "make", "reason"),
    [
        ("patient_name", lambda i: f"N{i % 90}", IDENTIFIES),
        ("email", lambda i: f"a{i % 80}@b.c", IDENTIFIES),
        ("mrn", lambda i: i + 7, IDENTIFIES),
        ("encounterID", lambda i: i * 3, IDENTIFIES),
        ("notes", lambda i: f"came in with pain of the chest {i % 400}", IDENTIFIES),
        ("birth_date", lambda i: f"19{i % 90 + 10}-01-02", BIRTH),
        ("DOB", lambda i: f"19{i % 90 + 10}-01-02", BIRTH),
        ("patient_nbr", lambda i: i // 5, REPEATS),
        ("subject_id", lambda i: i // 3, REPEATS),
    ],
)
def test_what_identifies_is_left_out_by_default(name: str, make: object, reason: str) -> None:
    frame = clean().assign(**{name: [make(i) for i in range(ROWS)]})  # type: ignore[operator]
    cohort = load_cohort(frame, outcome="died")
    assert (name, reason) in cohort.kept_out
    kind = "repeated_patient" if reason == REPEATS else "identifier"
    assert name in {problem.column for problem in cohort.quality.problems if problem.kind == kind}


@pytest.mark.parametrize("name", ["name", "phone", "case_mix", "mobile"])
def test_few_labels_do_not_identify(name: str) -> None:
    frame = clean().assign(**{name: np.random.default_rng(0).choice(["a", "b", "c"], ROWS)})
    assert load_cohort(frame, outcome="died").kept_out == ()


def test_codes_of_the_icd_among_numbers_are_categories() -> None:
    rng = np.random.default_rng(0)
    cells = rng.choice(["428", "250.83", "414", "786"], ROWS).astype(object)
    cells[::10] = "V57"
    cohort = load_cohort(clean().assign(diag_1=cells), outcome="died")
    assert {feature.name: feature.kind for feature in cohort.features}["diag_1"] == "category"


def test_many_like_findings_become_one_with_a_list() -> None:
    rng = np.random.default_rng(0)
    columns = {f"x{i}": np.where(rng.random(ROWS) < 0.1, -1, rng.gamma(2, 9, ROWS)) for i in range(40)}
    frame = clean().assign(**columns, flag=np.where(rng.random(ROWS) < 0.1, -1, rng.integers(0, 2, ROWS)))
    [problem] = problems(frame, "sentinel")
    assert problem.column is None
    assert set(problem.columns) == {*columns, "flag"}
    assert problem.count == 41
    assert "and 29 more" in problem.message
    assert len(problem.remedies) == len(problem.suggested) == 41


def test_a_word_for_missing_is_told() -> None:
    frame = clean()
    frame.loc[:9, "ward"] = "Unknown"
    problem = only(frame, "sentinel")
    assert (problem.count, problem.remedies) == (10, ("sentinel-missing:ward:Unknown",))


@pytest.mark.parametrize(
    ("labels", "merged"),
    [(["Male", "female", "M"], True), (["yes", "no", "Y"], True), (["m", "n", "male"], False)],
)
def test_letters_and_words_of_one_category_are_found(labels: list[str], merged: bool) -> None:
    frame = clean().assign(x=np.random.default_rng(0).choice(labels, ROWS))
    assert bool(problems(frame, "encoding")) is merged


def test_units_are_told_by_the_name_even_when_the_groups_touch() -> None:
    rng = np.random.default_rng(0)
    height = rng.normal(170, 10, ROWS).round(1)
    height[:30] = (height[:30] / 100).round(2)
    frame = clean().assign(height=height)
    problem = only(frame, "mixed_units")
    assert (problem.count, problem.remedies) == (30, ("unit:height:100",))
    assert not problems(frame, "impossible")
    after = load_cohort(frame, outcome="died", treatments=problem.remedies)
    assert after.all().frame["height"].min() > 100


def test_where_both_units_could_be_the_middle_decides() -> None:
    """Half of the glucose values in mg/dL would also be plausible, if extreme, in mmol/L."""
    glucose = usual_ranges().of("glucose")
    assert glucose is not None
    values = np.random.default_rng(0).normal(105, 20, 500)
    for scale, unit in ((1.0, "mg/dL"), (1 / 18.016, "mmol/L")):
        bounds = glucose.bounds_for(values * scale)
        assert bounds is not None
        assert bounds[2] == unit


def test_the_usual_ranges_are_sound() -> None:
    entries = usual_ranges().entries
    assert len(entries) >= 60
    assert all(entry.source for entry in entries)
    for name, what in (
        ("Age (years)", "age"), ("SysBP", "systolic pressure"), ("HbA1c", "HbA1c"), ("glucose", "glucose"),
        ("Serum Creatinine", "creatinine"), ("K", "potassium"), ("TSH", "thyrotropin"),
    ):  # fmt: skip
        entry = usual_ranges().of(name)
        assert entry is not None
        assert entry.what == what
    assert usual_ranges().of("stage") is None
    glucose = usual_ranges().of("glucose")
    assert glucose is not None
    assert glucose.bounds_for(np.array([5.0, 6.1, 7.0, 4.2])) == (*glucose.in_other, "mmol/L")


def test_a_dictionary_of_ones_own_replaces_the_usual_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"{','.join(COLUMNS)}\nlab,my lab,U/L,60,130,,,,our laboratory\n")
    frame = clean()
    found = load_cohort(frame, outcome="died", ranges=read_ranges(path)).quality.problems
    [problem] = [problem for problem in found if problem.kind == "impossible"]
    assert (problem.column, problem.remedies) == ("lab", ("impossible-missing:lab",))
    for line in ("lab,x,U,5,1,,,,", "lab,x,U,a,1,,,,", "(,x,U,1,5,,,,", "lab,x,U,1,5,m,0,,"):
        path.write_text(f"{','.join(COLUMNS)}\n{line}\n")
        with pytest.raises(BadInput, match="Line 2 of the ranges"):
            read_ranges(path)
    path.write_text("names,what\n")
    with pytest.raises(BadInput, match="lack the column 'unit'"):
        read_ranges(path)
    with pytest.raises(BadInput, match="cannot be read"):
        read_ranges(tmp_path / "none.csv")
