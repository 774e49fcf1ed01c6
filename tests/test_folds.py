"""Folds: patients whole, everyone held out once, classes everywhere, test not even there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medprune import BadInput, Cohort, load_cohort
from medprune.cohort import Split
from medprune.folds import folds, learnt_from, without_test
from tests.makers import patient_cohort, patient_table

PARTS = ("train", "tuning", "test")


class Locked:
    """A test split that tells when it is looked at."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"test was opened: {name}")

    def __len__(self) -> int:
        raise AssertionError("test was counted")


def locked(cohort: Cohort) -> Cohort:
    return replace(cohort, test=Locked())  # type: ignore[arg-type]


def visits(patients: int, seed: int, classes: int = 2) -> Cohort:
    """Patients with one to four rows each; the outcome belongs to the patient."""
    rng = np.random.default_rng(seed)
    table = patient_table(patients, classes, seed).assign(who=np.arange(patients))
    table = table.loc[rng.permutation(np.repeat(table.index, rng.integers(1, 5, patients)))]
    table = table.assign(noise=rng.normal(size=len(table)))
    return load_cohort(table, outcome="stage", patient="who", seed=seed)


def ids(split: Split) -> set[int]:
    return set(split.patients.tolist())


@given(
    patients=st.integers(60, 140), k=st.integers(2, 7), classes=st.integers(2, 3), seed=st.integers(0, 2**20)
)
@settings(max_examples=20)
def test_a_fold_parts_patients_and_everyone_is_held_out_once(
    patients: int, k: int, classes: int, seed: int
) -> None:
    cohort = visits(patients, seed, classes)
    everyone = ids(cohort.train) | ids(cohort.tuning)
    held_out: list[int] = []
    for fold in folds(cohort, k, seed):
        train, tuning, test = (ids(getattr(fold, part)) for part in PARTS)
        assert train | tuning | test == everyone
        assert len(train) + len(tuning) + len(test) == len(everyone)
        assert abs(len(tuning) - len(train | tuning) / 4) <= 1
        held_out += test
        for part in PARTS:
            assert set(getattr(fold, part).outcome.tolist()) == set(range(classes))
    assert sorted(held_out) == sorted(everyone)
    sizes = [len(ids(fold.test)) for fold in folds(cohort, k, seed)]
    assert max(sizes) - min(sizes) <= 1


def test_folds_are_stratified() -> None:
    cohort = patient_cohort(300)
    share = learnt_from(cohort).outcome.mean()
    for fold in folds(cohort, 5):
        for part in PARTS:
            assert getattr(fold, part).outcome.mean() == pytest.approx(share, abs=0.02)


def test_a_row_stays_with_its_outcome_and_its_values() -> None:
    cohort = visits(60, 3)
    table = cohort.all()
    place = {int(row): at for at, row in enumerate(table.rows)}
    for fold in folds(cohort, 3):
        for part in PARTS:
            split = getattr(fold, part)
            at = [place[int(row)] for row in split.rows]
            pd.testing.assert_frame_equal(split.frame, table.frame.iloc[at].reset_index(drop=True))
            np.testing.assert_array_equal(split.outcome, table.outcome[at])
            np.testing.assert_array_equal(split.patients, table.patients[at])


def test_the_order_of_the_rows_does_not_matter() -> None:
    table = patient_table(100)
    shuffled = table.sample(frac=1, random_state=1)
    first, second = (
        [ids(getattr(fold, part)) for fold in folds(load_cohort(t, outcome="stage"), 4) for part in PARTS]
        for t in (table, shuffled)
    )
    assert first == second


def test_another_seed_deals_other_folds() -> None:
    cohort = patient_cohort()
    first, same, other = (ids(folds(cohort, 5, seed)[0].test) for seed in (0, 0, 1))
    assert first == same != other


def test_test_patients_are_not_in_a_fold_and_not_looked_at() -> None:
    cohort = patient_cohort()
    for fold in folds(locked(cohort), 5):
        assert not ids(cohort.test) & set().union(*(ids(getattr(fold, part)) for part in PARTS))
    assert len(without_test(locked(cohort)).test) == 0


def rare(count: int) -> Cohort:
    """A cohort with ``count`` patients of the rare class in train and tuning together."""
    table = patient_table(200).assign(stage=["rare"] * count + ["common"] * (200 - count))
    return load_cohort(table, outcome="stage", positive="rare")


@pytest.mark.parametrize(("count", "k", "told"), [(5, 5, "no folds are possible"), (12, 20, "at most 9 ")])
def test_too_few_of_a_class_says_how_many_folds_are_possible(count: int, k: int, told: str) -> None:
    cohort = rare(count)
    have = int((learnt_from(cohort).outcome == 1).sum())
    with pytest.raises(BadInput, match=rf"'rare' has {have} patients .* too few for {k} folds; {told}"):
        folds(cohort, k)
    if "at most" in told:
        assert len(folds(cohort, 9)) == 9


def test_few_folds_may_hold_out_too_many() -> None:
    cohort = rare(6)  # five of them in train and tuning: two folds would leave two to learn from
    assert int((learnt_from(cohort).outcome == 1).sum()) == 5
    with pytest.raises(BadInput, match="too few for 2 folds; 5 to 5 folds are possible"):
        folds(cohort, 2)
    assert len(folds(cohort, 5)) == 5


@pytest.mark.parametrize("k", [-1, 0, 1, 21])
def test_a_number_of_folds_that_makes_no_sense(k: int) -> None:
    with pytest.raises(BadInput, match=r"must lie in \[2, 20\]"):
        folds(patient_cohort(), k)


def test_an_external_cohort_has_nobody_to_learn_from() -> None:
    cohort = load_cohort(patient_table(), outcome="stage", external=True)
    with pytest.raises(BadInput, match="needs train patients"):
        folds(cohort, 5)


def test_patients_with_several_outcomes_may_leave_a_class_out() -> None:
    """Every patient counts under the highest class: the lower one may then be nowhere in a part."""
    table = patient_table(60).assign(who=np.arange(60), stage=[1] * 52 + [0] * 8)
    cohort = load_cohort(table, outcome="stage", patient="who")
    mixed = replace(cohort, train=with_higher(cohort.train), tuning=with_higher(cohort.tuning))
    with pytest.raises(BadInput, match="several outcomes each"):
        folds(mixed, 5)


def with_higher(split: Split) -> Split:
    """The split with a row of the higher class for everyone."""
    twice = split.take(split.name, np.repeat(np.arange(len(split)), 2))
    outcome = twice.outcome.copy()
    outcome[1::2] = 1
    return replace(twice, outcome=outcome)
