"""Who is in which group: by the chosen columns alone, missing values kept, in any order of rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprune import BadInput, load_cohort
from medprune.cohort import Split
from medprune.review.groups import AGES, MOST_LABELS, MOST_PAIRS, PARTS, Cut, Grouping, groups_of
from tests.makers import patient_table


def split_of(**columns: object) -> Split:
    frame = pd.DataFrame(columns)
    nobody = np.arange(len(frame))
    return Split("test", frame[[]], nobody * 0, nobody.astype(np.uint64), nobody, frame)


def named(found: Grouping) -> dict[str, list[int]]:
    return {group.name: np.flatnonzero(group.members).tolist() for group in found}


def test_labels_bands_and_missing_are_groups() -> None:
    split = split_of(
        sex=np.array(["f", "m", None, "f"], dtype=object), age=[39.5, 40.0, np.nan, 80.0], code=[0.0, 1, 1, 0]
    )
    assert named(groups_of(split, pairs=False)) == {
        "sex = f": [0, 3],
        "sex = m": [1],
        "sex missing": [2],
        "age under 40": [0],
        "age 40 to under 65": [1],
        "age 75 or over": [3],
        "age missing": [2],
        "code = 0": [0, 3],
        "code = 1": [1, 2],
    }
    assert AGES == (40, 65, 75)


def test_given_cut_points_are_kept_to() -> None:
    split = split_of(age=[39.0, 50.0, 50.1])
    assert named(groups_of(split, ["age:50"])) == {"age under 50": [0], "age 50 or over": [1, 2]}
    with pytest.raises(BadInput, match="cut it, such as age:40,65"):
        groups_of(split, ["age:old"])
    with pytest.raises(BadInput, match="finite and rise"):
        groups_of(split, ["age:65,40"])
    with pytest.raises(BadInput, match=r"did you mean 'age'\?"):
        groups_of(split, ["agee"])
    with pytest.raises(BadInput, match="twice"):
        groups_of(split, ["age", "age:40"])
    with pytest.raises(BadInput, match="holds text"):
        groups_of(split_of(sex=np.array(["f"], dtype=object)), ["sex:1"])
    assert Cut.parsed("a:1", ["a:1"]) == Cut("a:1")


@given(st.integers(0, 10_000))
def test_every_row_is_in_one_group_of_a_column_and_in_one_of_a_pair(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(40) < 0.2, np.nan, rng.normal(size=40))
    split = split_of(x=values, sex=rng.choice(np.array(["f", "m", None], dtype=object), 40))
    found = groups_of(split)
    for columns in {group.columns for group in found}:
        times = sum(group.members.astype(int) for group in found if group.columns == columns)
        np.testing.assert_array_equal(times, 1)
    assert {group.columns for group in found} == {("x",), ("sex",), ("x", "sex")}


def test_the_order_of_rows_plays_no_part() -> None:
    rng = np.random.default_rng(0)
    split = split_of(x=rng.normal(size=50), ward=rng.choice(np.array(["A", "B", None], dtype=object), 50))
    order = rng.permutation(50)
    straight, turned = groups_of(split), groups_of(split.take("test", order))
    assert [group.name for group in straight] == [group.name for group in turned]
    for one, other in zip(straight, turned, strict=True):
        np.testing.assert_array_equal(one.members[order], other.members)


def test_tertiles_are_those_of_train_and_the_outcome_has_no_say() -> None:
    cohort = load_cohort(patient_table(300), outcome="stage", subgroups=["lactate"])
    train = cohort.train.subgroups["lactate"].dropna()
    found = groups_of(cohort.test, train=cohort.train)
    low, middle, high, missing = found.groups
    assert missing.name == "lactate missing"
    values = cohort.test.subgroups["lactate"].to_numpy()
    cuts = np.quantile(train, np.arange(1, PARTS) / PARTS, method="inverted_cdf")
    np.testing.assert_array_equal(low.members, values < cuts[0])
    np.testing.assert_array_equal(middle.members, (values >= cuts[0]) & (values < cuts[1]))
    np.testing.assert_array_equal(high.members, values >= cuts[1])
    assert "tertiles of train" in found.notes[0]
    flipped = replace(cohort.test, outcome=1 - cohort.test.outcome)
    assert named(groups_of(flipped, train=cohort.train)) == named(found)
    external = groups_of(cohort.test, train=cohort.train.take("train", np.empty(0, dtype=np.intp)))
    assert external.notes[0].startswith("There are no train patients")


def test_rare_labels_are_kept_and_what_is_too_many_is_told() -> None:
    wards = [f"ward {k:02d}" for k in range(MOST_LABELS + 5) for _ in range(1 + (k < MOST_LABELS))]
    split = split_of(ward=np.array(wards, dtype=object), room=np.array(wards[::-1], dtype=object))
    found = groups_of(split)
    alone = [group for group in found if group.columns == ("ward",)]
    assert len(alone) == MOST_LABELS + 1
    assert alone[-1].name == "ward: 5 other labels"
    assert alone[-1].members.sum() == 5
    assert min(group.members.sum() for group in alone) == 2
    many = split_of(
        a=np.array([f"a{k % 20}" for k in range(400)], dtype=object),
        b=np.array([f"b{k // 20}" for k in range(400)], dtype=object),
    )
    pairs = [group for group in groups_of(many) if group.is_pair]
    assert len(pairs) == MOST_PAIRS
    assert groups_of(many).notes[-1].startswith("Of 400 groups by two columns the 100 largest")
