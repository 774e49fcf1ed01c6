"""From a table to a verdict: a network pruned so that it harms one group on purpose fails, and says whom."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from medprune import MLP, Cohort, RiskModel, Schedule, load_cohort, train
from medprune.removal import keep_groups, mean_activations
from medprune.review.flips import Flips
from medprune.review.gate import FAIL, PASS
from medprune.review.group_check import group_check
from medprune.review.group_words import told_of
from medprune.review.groups import groups_of
from medprune.review.limits import Limits
from medprune.review.observed import Observed
from medprune.review.subgroups import SubgroupReview, subgroup_changes

ACT_AT = 0.3
HOW = Schedule(epochs=15, batch_size=256, learning_rate=0.01)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """Troponin tells who falls ill among men alone, pressure among women alone."""
    rng = np.random.default_rng(0)
    sex = rng.choice(["female", "male"], 8_000)
    troponin, pressure = rng.normal(size=(2, 8_000))
    lp = -1 + 2.5 * np.where(sex == "male", troponin, pressure)
    frame = pd.DataFrame(
        {"sex": sex, "troponin": troponin, "pressure": pressure, "age": rng.normal(60, 15, 8_000)}
    )
    return load_cohort(
        frame.assign(ill=(rng.random(8_000) < 1 / (1 + np.exp(-lp))).astype(int)),
        outcome="ill",
        subgroups=["sex", "age"],
    )


@pytest.fixture(scope="module")
def dense(cohort: Cohort) -> RiskModel:
    return replace(train(cohort, MLP(hidden=(16,)), schedule=HOW), act_at=ACT_AT)


def reviewed(cohort: Cohort, dense: RiskModel, pruned: RiskModel) -> SubgroupReview:
    risks = [model.predict_proba(cohort.test.frame)[:, 1] for model in (dense, pruned)]
    groups = groups_of(cohort.test, train=cohort.train)
    return subgroup_changes(Observed.of(cohort.test), risks[0], risks[1], groups.groups, ACT_AT)


def test_a_network_without_what_tells_one_groups_illness_fails_there(
    cohort: Cohort, dense: RiskModel
) -> None:
    kept = (np.array([name != "troponin" for name in dense.features]),)
    means = mean_activations(dense, dense.prepared(cohort.train))
    pruned = keep_groups(dense, "feature", kept, means)
    assert pruned is not None
    review = reviewed(cohort, dense, pruned)
    by_name = {group.name: group for group in review.groups}
    assert by_name["sex = male"].state == FAIL
    assert by_name["sex = female"].state != FAIL
    check = group_check([review], Flips(10, 1, 1, 1, 1), Limits())
    assert check.state == FAIL
    assert "sex = male" in check.sentence
    apart = by_name["sex = male"].changes["net_benefit"].apart
    assert apart.high < -0.02, "men lose more than women, beyond chance"
    found = review.furthest("net_benefit")
    assert found is not None
    assert found[1] < 0.001


def test_the_same_network_passes_in_every_group_that_is_large_enough(
    cohort: Cohort, dense: RiskModel
) -> None:
    review = reviewed(cohort, dense, dense)
    assert {group.state for group in review.groups if min(group.events, group.others) >= 80} == {PASS}
    assert review.state != FAIL
    assert review.worst is not None
    if review.worst.state != PASS:  # none changes side; of so few patients that is no proof
        assert review.worst.events < 80
        assert "cannot be ruled out" in told_of(review.worst, review)
