"""Cohorts: outcome, features, splits by patient, and every sentence about a wrong choice."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprune.cohort import Cohort, Feature, TableFile, load_cohort
from medprune.errors import BadInput
from medprune.splits import SPLITS, SplitRecord, deal
from tests.makers import patient_table

SECRET = "Jane Doe MRN 12345"


def table(rows: int = 100, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.integers(20, 90, rows),
            "crp": np.where(random.random(rows) < 0.2, np.nan, random.normal(size=rows).round(3)),
            "sex": random.choice(["female", "male"], rows),
            "died": (np.arange(rows) % 4 == 0).astype(int),
        }
    )


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(BadInput) as error:
        action()
    sentence = str(error.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert SECRET not in sentence
    return sentence


def splits(cohort: Cohort) -> list[Any]:
    return [cohort.train, cohort.tuning, cohort.test]


# ---- the whole ----------------------------------------------------------------------------------


def test_a_table_becomes_a_cohort() -> None:
    cohort = load_cohort(table(), outcome="died")
    assert [len(split) for split in splits(cohort)] == [60, 20, 20]
    assert [split.name for split in splits(cohort)] == list(SPLITS)
    assert cohort.features == (Feature("age", "number"), Feature("crp", "number"), Feature("sex", "category"))
    assert cohort.classes == ("0", "1")
    assert [split.outcome.sum() for split in splits(cohort)] == [15, 5, 5]
    for split in splits(cohort):
        assert list(split.frame) == ["age", "crp", "sex"]
        assert [str(kind) for kind in split.frame.dtypes] == ["float64", "float64", "object"]
        assert split.outcome.dtype == split.rows.dtype == np.int64
        assert split.patients.dtype == np.uint64
        assert np.all(np.diff(split.rows) > 0)
        assert split.frame.index.tolist() == list(range(len(split)))


def test_the_three_splits_together_are_the_table_in_its_order() -> None:
    frame = table()
    everyone = load_cohort(frame, outcome="died", subgroups=("sex",)).all()
    assert everyone.name == "all"
    assert everyone.rows.tolist() == list(range(100))
    np.testing.assert_array_equal(everyone.outcome, frame["died"])
    np.testing.assert_array_equal(everyone.frame["crp"], frame["crp"])
    assert everyone.subgroups["sex"].tolist() == frame["sex"].tolist()
    assert load_cohort(frame, outcome="died").all().subgroups.shape == (100, 0)


def test_csv_parquet_upload_and_data_frame_are_the_same_cohort(tmp_path: Path) -> None:
    frame = table()
    file = io.BytesIO()
    frame.to_parquet(file)
    (tmp_path / "p.csv").write_bytes(frame.to_csv(index=False).encode())
    first, *others = (
        load_cohort(source, outcome="died")
        for source in (
            frame,
            tmp_path / "p.csv",
            str(tmp_path / "p.csv"),
            TableFile("p.parquet", file.getvalue()),
        )
    )
    for other in others:
        assert other.record() == first.record()
        pd.testing.assert_frame_equal(other.test.frame, first.test.frame, check_exact=True)
        np.testing.assert_array_equal(other.train.rows, first.train.rows)


def test_the_heart_table(shared_data: Path) -> None:
    cohort = load_cohort(
        shared_data / "uci_heart_4sites.csv", outcome="num", positive=">0", subgroups=["sex", "site"]
    )
    assert cohort.classes == ("num <= 0", "num > 0")
    assert cohort.positive == ">0"
    assert cohort.all().outcome.mean() == pytest.approx(509 / 920)
    assert [len(split) for split in splits(cohort)] == [552, 184, 184]
    assert {feature.name for feature in cohort.features if feature.kind == "category"} == {"site"}
    assert len(cohort.features) == 14
    assert cohort.test.frame["ca"].isna().any()
    assert set(cohort.test.subgroups["site"]) == {"cleveland", "hungarian", "switzerland", "va"}
    assert load_cohort(shared_data / "uci_heart_4sites.csv", outcome="num").classes == (
        "0",
        "1",
        "2",
        "3",
        "4",
    )


def test_the_cardiotocography_table(shared_data: Path) -> None:
    cohort = load_cohort(shared_data / "cardiotocography.csv", outcome="fetal_health")
    assert cohort.classes == ("1", "2", "3")
    overall = np.bincount(cohort.all().outcome)
    for split in splits(cohort):
        shares = np.bincount(split.outcome) / overall
        np.testing.assert_allclose(shares, len(split) / 2126, atol=0.01)


# ---- splits -------------------------------------------------------------------------------------

tables = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 2), st.integers(0, 5)), min_size=60, max_size=120
).map(lambda rows: pd.DataFrame(rows, columns=["who", "outcome", "x"]))


@given(tables, st.integers(0, 3), st.randoms(use_true_random=False))
def test_the_split_is_blind_to_the_order_of_rows_and_columns(
    frame: pd.DataFrame, seed: int, random: Any
) -> None:
    frame["outcome"] = np.arange(len(frame)) % 3
    frame.loc[0, "x"] = 9  # never the same in every row
    order = list(range(len(frame)))
    random.shuffle(order)
    columns = list(frame.columns)
    random.shuffle(columns)
    cohort = load_cohort(frame, outcome="outcome", seed=seed)
    moved = load_cohort(frame.iloc[order][columns], outcome="outcome", seed=seed)
    assert moved.record() == cohort.record()
    assert moved.table_hash == cohort.table_hash
    for one, other in zip(splits(cohort), splits(moved), strict=True):
        assert len(one) == len(other)
        content = [tuple(row) for row in frame.iloc[one.rows].to_numpy()]
        assert sorted(content) == sorted(
            tuple(row) for row in frame.iloc[[order[i] for i in other.rows]].to_numpy()
        )


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), min_size=1, max_size=200),
    st.integers(0, 2**31),
)
def test_no_patient_is_in_two_splits(rows: list[tuple[int, int]], seed: int) -> None:
    patients = np.array([row[0] for row in rows], dtype=np.uint64)
    outcome = np.array([row[1] for row in rows], dtype=np.int64)
    places = deal(patients, outcome, seed)
    for patient in np.unique(patients):
        assert len(set(places[patients == patient])) == 1
    highest = np.array([outcome[patients == patient].max() for patient in np.unique(patients)])
    split = np.array([places[patients == patient][0] for patient in np.unique(patients)])
    for stratum in range(4):
        n = int((highest == stratum).sum())
        counts = np.bincount(split[highest == stratum], minlength=3)
        assert np.abs(counts - n * np.array([0.6, 0.2, 0.2])).max() <= 1.2
        assert n < 5 or counts.min() >= 1
    totals = np.bincount(split, minlength=3)
    assert np.abs(totals - len(split) * np.array([0.6, 0.2, 0.2])).max() <= 1.2


def test_patients_with_several_rows_stay_together_and_are_dealt_by_their_highest_class() -> None:
    frame = table(300)
    frame["who"] = [f"p{i % 100:03d}" for i in range(300)]
    frame["died"] = (np.arange(300) % 100 < 25).astype(int) * (np.arange(300) >= 200)
    cohort = load_cohort(frame, outcome="died", patient="who")
    seen = [set(frame["who"].iloc[split.rows]) for split in splits(cohort)]
    assert [len(patients) for patients in seen] == [60, 20, 20]
    assert len(set.union(*seen)) == 100
    assert [split.outcome.sum() for split in splits(cohort)] == [15, 5, 5]
    assert "who" not in cohort.all().frame
    assert len(np.unique(cohort.all().patients)) == 100


def test_patient_numbers_are_the_same_from_csv_and_data_frame() -> None:
    frame = table(60).assign(who=[float(i // 2) for i in range(60)])
    whole = frame.assign(who=frame["who"].astype(int))
    records = [
        load_cohort(source, outcome="died", patient="who").record()
        for source in (frame, whole, TableFile("a.csv", frame.to_csv(index=False).encode()))
    ]
    assert records[0] == records[1] == records[2]


def test_long_patient_numbers_are_not_rounded_together() -> None:
    frame = table(60).assign(who=[str(10**20 + i) for i in range(60)])
    assert len(np.unique(load_cohort(frame, outcome="died", patient="who").all().patients)) == 60


def test_rows_without_a_patient_are_patients_of_their_own_and_noted() -> None:
    frame = table().assign(who=["p1", "p1", None, "", "NA"] + [f"q{i}" for i in range(95)])
    cohort = load_cohort(frame, outcome="died", patient="who")
    assert len(np.unique(cohort.all().patients)) == 99
    assert "3 rows have no value in 'who'; each counts as a patient of its own." in cohort.notes


def test_equal_rows_are_different_patients_without_a_patient_column() -> None:
    frame = pd.DataFrame({"x": [0, 1] * 30, "y": [0, 1] * 30})
    cohort = load_cohort(frame.assign(x=[0, 1, 1] * 20), outcome="y")
    assert len(np.unique(cohort.all().patients)) == 60


def test_seeds_give_different_splits_and_the_same_seed_the_same() -> None:
    records = [load_cohort(table(), outcome="died", seed=seed).record() for seed in (0, 1, 0)]
    assert records[0] == records[2]
    assert not np.array_equal(records[0].test, records[1].test)
    assert "seed" in refused(lambda: load_cohort(table(), outcome="died", seed=-1))


def test_a_class_of_five_patients_is_in_every_split() -> None:
    frame = table()
    frame["died"] = [1] * 5 + [0] * 95
    for seed in range(10):
        cohort = load_cohort(frame, outcome="died", seed=seed)
        assert [split.outcome.sum() for split in splits(cohort)] == [3, 1, 1]


# ---- splits that travel -------------------------------------------------------------------------


def test_a_record_survives_json() -> None:
    record = load_cohort(table().assign(who=range(100)), outcome="died", patient="who", seed=3).record()
    again = SplitRecord.from_json(json.loads(json.dumps(record.to_json())))
    assert again == record
    assert hash(again) == hash(record)
    assert (again.patient, again.seed) == ("who", 3)
    assert len(again.train) == 60
    assert np.all(np.diff(again.train) > 0)


@pytest.mark.parametrize("change", [{"train": "?"}, {"test": "AAAA"}, {"seed": "x"}, {"tuning": None}])
def test_a_damaged_record_is_refused(change: dict[str, object]) -> None:
    value = load_cohort(table(), outcome="died").record().to_json()
    assert "damaged" in refused(lambda: SplitRecord.from_json(value | change))
    del value["patient"]
    assert "damaged" in refused(lambda: SplitRecord.from_json(value))


def test_a_split_is_reused_whatever_the_seed_and_the_order_of_the_rows() -> None:
    frame = table().assign(who=[i // 2 for i in range(100)])
    first = load_cohort(frame, outcome="died", patient="who", seed=5)
    again = load_cohort(frame.iloc[::-1], outcome="died", seed=9, split=first.record())
    assert again.record() == first.record()
    assert again.seed == 5
    assert again.patient == "who"
    assert set(again.test.rows) == {99 - row for row in first.test.rows}
    assert "The split is the one that the model was made with." in again.notes


def test_patients_outside_the_split_are_left_out_and_noted() -> None:
    frame = table().assign(other=(np.arange(100) % 3 == 0).astype(int))
    frame.loc[:9, "died"] = np.nan
    first = load_cohort(frame, outcome="died")
    again = load_cohort(frame, outcome="other", split=first.record())
    assert len(again.all()) == 90
    assert "10 rows are in no split of the model and are left out." in again.notes


def test_a_changed_table_is_refused_unless_it_is_external() -> None:
    frame = table()
    record = load_cohort(frame, outcome="died").record()
    changed = frame.copy()
    changed.loc[3, "age"] += 1
    assert "has changed" in refused(lambda: load_cohort(changed, outcome="died", split=record))
    assert "--external" in refused(lambda: load_cohort(frame.iloc[1:], outcome="died", split=record))
    external = load_cohort(changed, outcome="died", split=record, external=True)
    assert [len(split) for split in splits(external)] == [0, 0, 100]
    assert external.test.rows.tolist() == list(range(100))
    assert len(external.all()) == 100
    same = refused(lambda: load_cohort(frame, outcome="died", split=record, external=True))
    assert "not external" in same


def test_a_split_of_another_patient_column_is_refused() -> None:
    frame = table().assign(who=range(100))
    by_who = load_cohort(frame, outcome="died", patient="who").record()
    by_row = load_cohort(frame, outcome="died").record()
    for record, patient, words in ((by_who, "age", "'who'"), (by_row, "who", "every row")):
        assert words in refused(
            lambda r=record, p=patient: load_cohort(frame, outcome="died", patient=p, split=r)
        )


def test_external_patients_need_not_be_many_but_have_the_models_classes_and_features() -> None:
    model = load_cohort(table(), outcome="died")
    few = table(8, seed=1).assign(sex="male", crp=np.nan)
    external = load_cohort(
        few,
        outcome="died",
        external=True,
        classes=model.classes,
        features=model.features,
        split=model.record(),
    )
    assert external.features == model.features
    assert external.classes == ("0", "1")
    assert external.test.frame["crp"].isna().all()
    assert external.kept_out == ()
    assert "external" in " ".join(external.notes)


def test_classes_of_a_model_give_the_order_and_unknown_ones_are_refused() -> None:
    frame = table().assign(stage=(["low", "high", "middle", "low"] * 25))
    ordered = load_cohort(frame, outcome="stage", classes=("low", "middle", "high", "extreme"), external=True)
    assert ordered.classes == ("low", "middle", "high", "extreme")
    assert ordered.all().outcome[:3].tolist() == [0, 2, 1]
    sentence = refused(lambda: load_cohort(frame, outcome="stage", classes=("low", "middle")))
    assert "'high', which the model does not know" in sentence
    assert "'low' and 'middle'" in sentence


def test_a_models_features_are_read_as_the_model_reads_them() -> None:
    frame = table().assign(stage=["1", "2"] * 50)
    chosen = (Feature("stage", "category"), Feature("age", "number"))
    cohort = load_cohort(frame, outcome="died", features=chosen, exclude=["age"])
    assert cohort.features == chosen
    assert cohort.all().frame["stage"].tolist() == ["1", "2"] * 50
    lacking = (Feature("bmi", "number"),)
    assert "lacks 'bmi'" in refused(lambda: load_cohort(frame, outcome="died", features=lacking))


# ---- the outcome --------------------------------------------------------------------------------


def outcomes(values: list[object], **choices: Any) -> Cohort:
    rows = len(values)
    return load_cohort(table(rows).drop(columns="died").assign(y=values), outcome="y", **choices)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([0, 1, 0], ("0", "1")),
        ([2.0, 1.0, 2.0], ("1", "2")),
        (["1", "0", "0"], ("0", "1")),
        ([True, False, False], ("False", "True")),
        (["yes", "no", "yes"], ("no", "yes")),
        (["Dead", "Alive", "Dead"], ("Alive", "Dead")),
        (["notckd", "ckd", "ckd"], ("notckd", "ckd")),
        (["malignant", "benign", "malignant"], ("benign", "malignant")),
        (["home", "ward", "home"], ("home", "ward")),
        (["home", "ward", "ward"], ("ward", "home")),
        ([0.5, 1.5, 2.5], ("0.5", "1.5", "2.5")),
        ([10, 9, 2], ("2", "9", "10")),
        (["c", "a", "b"], ("a", "b", "c")),
    ],
)
def test_classes_and_which_one_is_positive(labels: list[object], classes: tuple[str, ...]) -> None:
    cohort = outcomes(labels * 20)
    assert cohort.classes == classes
    assert any("positive" in note for note in cohort.notes) == (len(classes) == 2)
    assert cohort.positive is None


@pytest.mark.parametrize(
    ("labels", "positive", "classes"),
    [
        ([0, 1], "0", ("1", "0")),
        ([0, 1], "0.0", ("1", "0")),
        (["yes", "no"], "NO", ("yes", "no")),
        (["a", "b", "c"], "b", ("not b", "b")),
        (["NO", ">30", "<30"], "<30", ("not <30", "<30")),
        ([0, 1, 2, 3], ">0", ("y <= 0", "y > 0")),
        ([0, 1, 2, 3], " >= 2 ", ("y < 2", "y >= 2")),
        ([0, 1, 2, 3], "<1.5", ("y >= 1.5", "y < 1.5")),
        ([0, 1, 2, 3], "<=-0", ("y > -0", "y <= -0")),
        (list(range(30)), "0", ("not 0", "0")),
        (list(range(30)), ">=12", ("y < 12", "y >= 12")),
    ],
)
def test_positive_is_a_label_or_a_cut_point(
    labels: list[object], positive: str, classes: tuple[str, ...]
) -> None:
    cohort = outcomes(labels * 20, positive=positive)
    assert cohort.classes == classes
    assert cohort.positive == positive
    assert cohort.all().outcome.max() == 1


def test_a_cut_point_puts_every_row_on_its_side() -> None:
    values = list(np.linspace(0, 1, 61))
    np.testing.assert_array_equal(outcomes(values, positive=">=0.5").all().outcome, np.array(values) >= 0.5)
    np.testing.assert_array_equal(outcomes(values, positive="<0.5").all().outcome, np.array(values) < 0.5)


def test_rows_without_an_outcome_are_left_out_with_a_note() -> None:
    cohort = outcomes(["yes", "no", "NA", "", None, "no"] * 20)
    assert cohort.classes == ("no", "yes")
    assert len(cohort.all()) == 60
    assert "60 of 120 rows have no outcome and are left out." in cohort.notes
    assert cohort.quality.rows == 120
    assert cohort.all().rows[:4].tolist() == [0, 1, 5, 6]


@pytest.mark.parametrize(
    ("values", "choices", "words"),
    [
        ([1] * 40, {}, "only one class, '1'"),
        (["a"] * 40, {}, "only one class, 'a'"),
        ([None] * 40, {}, "has no values"),
        ([0, 1] * 20, {"positive": ">5"}, "only one class, 'y <= 5'"),
        ([f"t{i}" for i in range(40)], {}, "one class a row"),
        ([i + 0.5 for i in range(40)], {}, "a cut-point, such as --positive '>=20'"),
        (
            [i % 21 for i in range(84)],
            {},
            "has 21 different numbers; choose a cut-point, such as --positive '>=10'",
        ),
        ([f"t{i % 21}" for i in range(84)], {}, "has 21 classes, more than 20"),
        ([0] * 36 + [1] * 4, {}, "The class '1' has fewer than 5 patients"),
        (["a", "b"] * 20, {"positive": "bb"}, "no class 'bb'; choose one of 'a' and 'b'"),
        (["a", "b"] * 20, {"positive": ">0"}, "is text and has no cut-point"),
        ([0, 1] * 20, {"positive": "yes"}, "no class 'yes'"),
        ([0, 1] * 6, {}, "fewer than 20 patients"),
    ],
)
def test_outcomes_that_cannot_be_predicted(values: list[object], choices: dict[str, Any], words: str) -> None:
    assert words in refused(lambda: outcomes(values, **choices))


def test_twenty_numbers_are_classes() -> None:
    assert len(outcomes([i % 20 for i in range(100)]).classes) == 20


def test_few_patients_with_many_rows_are_too_few() -> None:
    frame = table(100).assign(who=[i % 4 for i in range(100)])
    assert "fewer than 5 patients" in refused(lambda: load_cohort(frame, outcome="died", patient="who"))


def test_a_class_that_only_shares_patients_may_miss_a_split() -> None:
    frame = table(200).assign(who=[i // 2 for i in range(200)])
    frame["died"] = [1, 1] * 94 + [0, 1] * 5 + [1, 1]
    refusals = []
    for seed in range(20):
        try:
            cohort = load_cohort(frame, outcome="died", patient="who", seed=seed)
        except BadInput as error:
            refusals.append(str(error))
        else:
            assert all(set(split.outcome) == {0, 1} for split in splits(cohort))
    assert refusals
    assert all("has the class '0'" in sentence for sentence in refusals)


# ---- columns ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"outcome": "dead"}, "no outcome column 'dead' (did you mean 'died'?)"),
        ({"outcome": "DIED"}, "did you mean 'died'?"),
        ({"outcome": "zzz"}, "its columns are 'age', 'crp', 'sex' and 'died'"),
        ({"outcome": "died", "patient": "who"}, "no patient column 'who'"),
        ({"outcome": "died", "exclude": ["Agee"]}, "no column to exclude 'Agee' (did you mean 'age'?)"),
        ({"outcome": "died", "subgroups": "sexe"}, "no subgroup column 'sexe' (did you mean 'sex'?)"),
        ({"outcome": "died", "patient": "died"}, "cannot be the patient column or excluded"),
        ({"outcome": "died", "exclude": "died"}, "cannot be the patient column or excluded"),
        ({"outcome": "died", "exclude": ["age", "crp", "sex"]}, "No column is left"),
        ({"outcome": "died", "time": "age"}, "--time"),
        ({"outcome": "died", "horizon": 365.0}, "--time"),
    ],
)
def test_choices_that_are_wrong(choices: dict[str, Any], words: str) -> None:
    assert words in refused(lambda: load_cohort(table(), **choices))


def test_text_in_a_numeric_column_is_refused_when_the_column_is_used() -> None:
    frame = table().assign(lab=["1.5"] * 98 + [SECRET, "<0.1"])
    assert "'lab'" in refused(lambda: load_cohort(frame, outcome="died"))
    assert "lab" not in load_cohort(frame, outcome="died", exclude="lab").all().frame
    assert load_cohort(frame, outcome="died", exclude=["lab"], subgroups=["lab"]).all().subgroups.shape == (
        100,
        1,
    )


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("empty", [None] * 100, "every value is missing"),
        ("blank", [""] * 100, "every value is missing"),
        ("same", [7] * 100, "the same value in every row"),
        ("same", ["x"] * 100, "the same value in every row"),
        ("born", pd.date_range("1950-01-01", periods=100), "dates"),
        ("born", [f"1950-01-{i % 28 + 1:02d}" for i in range(100)], "dates"),
        ("name", [f"name {i}" for i in range(100)], "identifier"),
        ("name", [f"name {i}" for i in range(98)] + ["name 1", None], "identifier"),
        ("seqn", list(range(233, 333)), "identifier"),
        ("patientId", list(range(100)), "identifier"),
        ("PATIENT NO", list(range(100)), "identifier"),
        ("mrn", [f"{i:05d}" for i in range(100)], "identifier"),
        ("mrn", [str(i) for i in range(90)] + [f"A{i}" for i in range(10)], "identifier"),
        ("Unnamed: 0", list(range(100)), "identifier"),
        ("patient_nbr", [i % 80 for i in range(100)], "name it with --patient"),
    ],
)
def test_columns_that_are_no_features_are_kept_out_with_a_note(name: str, values: Any, reason: str) -> None:
    cohort = load_cohort(table().assign(**{name: values}), outcome="died")
    assert [column for column, _ in cohort.kept_out] == [name]
    assert reason in cohort.kept_out[0][1]
    assert any(repr(name) in note and reason in note for note in cohort.notes)
    assert name not in cohort.all().frame


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("half", [None, 1] * 50),
        ("patient_weight", [i / 3 for i in range(100)]),
        ("weight", list(range(100))),
        ("site_id", [i % 7 for i in range(100)]),
        ("drug", [f"drug {i % 60}" for i in range(100)]),
        ("icd", ["A1", "B2"] * 50),
    ],
)
def test_columns_that_may_look_odd_stay_features(name: str, values: list[object]) -> None:
    assert name in load_cohort(table().assign(**{name: values}), outcome="died").all().frame


def test_excluded_columns_are_noted_and_missing_values_never_drop_a_row() -> None:
    cohort = load_cohort(table(), outcome="died", exclude="age")
    assert cohort.exclude == ("age",)
    assert "Left out as asked for: 'age'." in cohort.notes
    assert len(cohort.all()) == 100
    assert cohort.all().frame["crp"].isna().sum() == table()["crp"].isna().sum()


def test_infinite_values_are_noted() -> None:
    frame = table()
    frame.loc[:1, "crp"] = np.inf
    assert "2 infinite values of 'crp' count as missing." in load_cohort(frame, outcome="died").notes


def test_digits_that_are_codes_stay_text() -> None:
    frame = patient_table(100)
    ward = [f"{k % 7:03}" for k in range(100)]
    number = [f"{10**19 + k % 9}" for k in range(100)]
    dose = [f"0.{k % 7}" for k in range(100)]
    cohort = load_cohort(frame.assign(ward=ward, device=number, dose=dose), outcome="stage")
    kinds = {feature.name: feature.kind for feature in cohort.features}
    assert (kinds["ward"], kinds["device"], kinds["dose"]) == ("category", "category", "number")
    assert set(cohort.all().frame["ward"]) == set(ward)
