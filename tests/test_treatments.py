"""Treatments: how they are named, what they do, that they are fitted on train alone, and that they travel."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medprune import BadInput, Cohort, load_cohort
from medprune.flow import provenance
from medprune.intake.clean import OTHER, Clean
from medprune.intake.columns import typed
from medprune.model_file import load_model, model_bytes
from medprune.path import prune_steps
from medprune.quality import usual_ranges
from medprune.treating import fitted
from medprune.treatments import KINDS, Treatment, of_the_table, treatment, treatments_of
from tests.hostile.case import CANARY
from tests.laws.test_treatments import TREATED, dirty
from tests.makers import untrained_model


def load(*treatments: str, frame: pd.DataFrame | None = None, **more: Any) -> Cohort:
    """The dirty table with these treatments; its column of numbers and text only where one is for it."""
    if frame is None:
        frame = (
            dirty() if {"text-missing:crp", "suggested"} & set(treatments) else dirty().drop(columns="crp")
        )
    return load_cohort(frame, outcome="died", treatments=treatments, **more)


def column(cohort: Cohort, name: str) -> pd.Series:
    return cohort.all().frame[name]


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_is_read_as_it_is_written(kind: str) -> None:
    how = KINDS[kind]
    made = Treatment(kind, "a:b c" if how.column else None, "18.016" if how.value else "")
    assert treatment(made.id) == made
    assert made.told.endswith(".")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("drops:x", "did you mean 'drop'"),
        ("drop", "lacks a column"),
        ("sentinel-missing:x", "lacks a column"),
        ("sentinel-missing:x:", "lacks a value"),
        ("drop-duplicates:x", "takes no column"),
        ("unit:x:much", "needs a factor above 0"),
        ("unit:x:-2", "needs a factor above 0"),
    ],
)
def test_a_wrong_id_is_told_in_a_sentence(text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        treatment(text)


def test_codes_become_missing() -> None:
    assert column(load(), "lab").eq(0).sum() == 45
    mended = load("sentinel-missing:lab:0")
    assert column(mended, "lab").isna().sum() == 45
    assert mended.treatments == ("sentinel-missing:lab:0",)
    assert "Treated as asked for: 0 in 'lab' counts as missing." in mended.notes


def test_impossible_values_become_missing_and_others_stay() -> None:
    before, after = column(load(), "age"), column(load("impossible-missing:age"), "age")
    assert after.isna().sum() == 1
    pd.testing.assert_series_equal(after.dropna(), before[after.notna()])


def test_the_smaller_group_is_converted_to_the_unit_of_the_larger() -> None:
    after = column(load("unit:glucose:18.016"), "glucose")
    assert after.min() > 40
    assert after.max() < 200
    upside_down = dirty().drop(columns="crp").assign(glucose=lambda frame: frame["glucose"] / 18.016)
    upside_down.loc[upside_down["glucose"] < 1, "glucose"] *= 18.016**2
    assert column(load("unit:glucose:18.016", frame=upside_down), "glucose").max() < 15


def test_spellings_are_merged_into_the_commonest() -> None:
    cohort = load("merge-categories:sex")
    assert column(cohort, "sex").nunique() == 2
    assert not [p for p in cohort.quality.problems if p.kind == "encoding" and p.column == "sex"]


def test_rare_categories_are_grouped_for_new_patients_too() -> None:
    cohort = load("group-rare:ward")
    assert set(column(cohort, "ward")) == {"A", "B", "unknown", OTHER}
    [feature] = [feature for feature in cohort.features if feature.name == "ward"]
    assert feature.clean.label("never seen") == OTHER


def test_text_among_numbers_is_emptied_or_read_as_categories() -> None:
    with pytest.raises(BadInput, match="'crp' is read as numbers"):
        load_cohort(dirty(), outcome="died")
    assert (
        column(load_cohort(dirty(), outcome="died", treatments=("text-missing:crp",)), "crp").dtype.kind
        == "f"
    )
    cohort = load_cohort(dirty(), outcome="died", treatments=("as-category:crp",))
    assert cohort.features[-1].kind == "category"


def test_repeats_and_further_visits_are_left_out() -> None:
    frame = dirty().drop(columns="crp")
    frame = pd.concat([frame, frame.iloc[:7]], ignore_index=True)
    assert load("drop-duplicates", frame=frame).rows == 400
    visits = frame.assign(who=np.arange(407) // 2)
    cohort = load("one-row-per-patient:who", frame=visits)
    assert (cohort.rows, cohort.patient) == (204, "who")
    assert cohort.all().rows.tolist() == list(range(0, 407, 2))
    assert load("patient:who", frame=visits).rows == 407


def test_an_outcome_with_numbers_in_brackets_and_a_long_tail_can_be_used() -> None:
    frame = dirty().drop(columns="crp")
    letters = np.random.default_rng(0).choice([*"ABCDEFGH"], 400, p=[0.6, 0.36, *[0.04 / 6] * 6])
    frame["died"] = [f"{letter}[{i}]" for i, letter in enumerate(letters)]
    with pytest.raises(BadInput, match="one class a row"):
        load(frame=frame)
    cohort = load("cut-brackets:died", "group-rare:died", frame=frame)
    assert set(cohort.classes) == {"A", "B", OTHER}


def test_what_is_fitted_is_fitted_on_train() -> None:
    frame = dirty()
    train = np.arange(400) % 2 == 0
    changed = frame.copy()
    changed.loc[~train, ["ward", "sex", "glucose", "age"]] = ["w3", "M", 121.0, 20.0]
    treatments = treatments_of(each for each in TREATED if "crp" not in each)

    def learnt(table: pd.DataFrame) -> dict[str, Clean]:
        columns = {str(name): typed(table[name], str(name)) for name in table}
        return fitted(treatments, columns, train, usual_ranges())[0]

    assert learnt(frame) == learnt(changed)
    assert (
        learnt(frame)
        != fitted(
            treatments, {str(n): typed(changed[n], str(n)) for n in changed}, train | True, usual_ranges()
        )[0]
    )


def test_the_same_table_without_them_is_as_it_was() -> None:
    frame = dirty().drop(columns="crp")
    copy = frame.copy()
    before = load(frame=frame)
    treated = load("sentinel-missing:lab:0", "drop:ward", "drop-duplicates", frame=frame)
    after = load(frame=frame)
    pd.testing.assert_frame_equal(frame, copy)
    pd.testing.assert_frame_equal(before.all().frame, after.all().frame)
    assert before.table_hash == treated.table_hash == after.table_hash
    assert "ward" not in [feature.name for feature in treated.features]


def test_a_model_carries_what_was_done() -> None:
    cohort = load(*TREATED, "drop-duplicates")
    model = untrained_model(cohort)
    again = load_model(model_bytes(model), cohort)
    assert again.preparation == model.preparation
    cleaned = [feature.name for feature in again.preparation.features if feature.clean]
    assert set(cleaned) == {"glucose", "age", "lab", "sex", "ward", "crp"}
    reused = load_cohort(
        dirty(),
        outcome="died",
        split=model.origin.split,
        features=model.preparation.features,
        treatments=of_the_table(cohort.treatments, "died"),
    )
    pd.testing.assert_frame_equal(reused.test.frame, cohort.test.frame[list(reused.test.frame)])
    with pytest.raises(BadInput, match="treats its columns as it was trained to"):
        load_cohort(dirty(), outcome="died", features=model.preparation.features, treatments=TREATED[:1])


def test_treatments_are_in_the_origin_and_in_the_provenance() -> None:
    cohort = load("sentinel-missing:lab:0", frame=dirty().drop(columns="crp"))
    model = untrained_model(cohort)
    *_, last = prune_steps(model, cohort, "contribution", sparsities=(0.5,))
    assert last.path is not None
    record = provenance(last.path, last.path.dense, cohort, None, None)
    assert [each["id"] for each in record["treatments"]] == ["sentinel-missing:lab:0"]


@pytest.mark.parametrize(
    ("treatments", "says"),
    [
        (("drop:nothing",), "has no column 'nothing'"),
        (("drop:died",), "is the outcome"),
        (("merge-categories:lab",), "holds no categories"),
        (("unit:ward:10",), "holds none"),
        (("unit:age:7",), "no second unit"),
        (("impossible-missing:glucose2",), "has no column"),
        (("impossible-missing:noise",), "No plausible range"),
        (("sentinel-missing:lab:many",), "needs a number as its code"),
        (("patient:ward", "patient:sex"), "several patient columns"),
        (("cut-brackets:ward",), "treats an outcome"),
    ],
)
def test_a_treatment_that_does_not_fit_is_told(treatments: tuple[str, ...], says: str) -> None:
    frame = dirty().drop(columns="crp").assign(noise=np.arange(400.0) / 7, secret=CANARY)
    with pytest.raises(BadInput, match=says) as told:
        load(*treatments, frame=frame)
    assert CANARY not in str(told.value)


def test_suggested_ones_are_taken_together_and_recorded() -> None:
    cohort = load("suggested")
    wanted = {"sentinel-missing:lab:0", "impossible-missing:age", "merge-categories:sex", "text-missing:crp"}
    assert wanted <= set(cohort.treatments)
    assert len(treatments_of(cohort.treatments)) == len(cohort.treatments)
    assert json.dumps(cohort.treatments)
