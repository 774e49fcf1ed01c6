"""What the benchmark compares is the same network on both sides, the toys are as they are described, and a
study says what its rows say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from medprune import MLP, RiskModel
from medprune.review.estimate import Estimate
from medprune.review.observed import Observed
from medprune.review.side_by_side import figures_of
from tests.bench.coverage import ACT_AT, Score, events, known, people
from tests.bench.data import PIMA
from tests.bench.harm import CRITERIA, LEVELS, RAW, RECALIBRATED, REFIT, Row, acted_on, frame_of
from tests.bench.harm_report import ARMS, told
from tests.bench.peers import as_model, sequential
from tests.bench.toy import CLASSES, points
from tests.makers import patient_cohort, untrained_model


@pytest.fixture(scope="module")
def model() -> RiskModel:
    return untrained_model(patient_cohort(classes=3), MLP(hidden=(9, 7)))


def test_the_peer_is_given_our_network(model: RiskModel) -> None:
    x = torch.from_numpy(model.prepared(patient_cohort(classes=3).test))
    net = sequential(model.network)
    torch.testing.assert_close(net(x), model.network(x))
    net[0].weight.data.zero_()  # theirs to change, and not ours
    assert model.network.layers[0].weight.abs().sum() > 0


def test_what_the_peer_leaves_comes_back_as_it_is(model: RiskModel) -> None:
    net = sequential(model.network)
    kept = torch.tensor([0, 3, 4])
    smaller = torch.nn.Linear(net[0].in_features, 3), torch.nn.Linear(3, 7)
    smaller[0].load_state_dict({"weight": net[0].weight[kept], "bias": net[0].bias[kept]})
    smaller[1].load_state_dict({"weight": net[2].weight[:, kept], "bias": net[2].bias})
    net[0], net[2] = smaller
    back = as_model(net, model)
    assert back.network.spec.widths[1:] == (3, 7, 3)
    x = torch.from_numpy(model.prepared(patient_cohort(classes=3).test))
    torch.testing.assert_close(back.network.eval()(x), net(x))


@pytest.mark.parametrize("name", CLASSES)
def test_a_toy_has_as_many_points_of_each_class_and_a_seed_decides(name: str) -> None:
    data = points(name, 40 * CLASSES[name], seed=3)
    np.testing.assert_array_equal(np.bincount(data.outcome), [40] * CLASSES[name])
    np.testing.assert_array_equal(data.columns, points(name, 40 * CLASSES[name], seed=3).columns)
    assert (data.columns != points(name, 40 * CLASSES[name], seed=4).columns).any()
    assert np.abs(data.columns).max() < 3


# --- coverage of the review's intervals ----------------------------------------------------------------


def test_the_truth_is_what_many_patients_come_to() -> None:
    """Chances in place of outcomes: every figure lies within what drawing the outcomes can move it."""
    rng = np.random.default_rng(5)
    of = people(rng, 20_000)
    drawn = Observed(events(rng, of), np.arange(20_000).astype(np.uint64))
    whole = known(of)
    for risk in (of.dense, of.pruned):
        true = figures_of(whole, np.tile(risk, 2), ACT_AT)
        for name, figure in figures_of(drawn, risk, ACT_AT).items():
            assert abs(figure.value - true[name].value) < 4 * figure.error(drawn.patients), name


def test_rows_of_a_patient_are_related_and_patients_are_not() -> None:
    rng = np.random.default_rng(6)
    of = people(rng, 20_000, 2)
    residual = (events(rng, of, 2) - of.chance).reshape(-1, 2)
    assert abs(residual.mean()) < 0.01, "the chance of a row is still the chance"
    assert np.corrcoef(residual.T)[0, 1] > 0.1
    assert abs(np.corrcoef(residual[1:, 0], residual[:-1, 0])[0, 1]) < 0.03


def test_a_score_counts_each_side() -> None:
    score = Score()
    for low, high in ((0.0, 2.0), (1.5, 2.0), (0.0, 0.5), (0.0, 1.0)):
        score.add(Estimate(1.0, low, high), true=1.0)
    score.add(Estimate.unknown(), true=1.0)
    assert (score.inside, score.above, score.below, score.unknown) == (2, 1, 1, 1)
    assert score.coverage == pytest.approx(0.5)
    assert score.doubt == pytest.approx(0.25)


# --- what pruning does to patients ---------------------------------------------------------------------


def made_up_rows(share: float) -> pd.DataFrame:
    """A study in which recalibration leaves a share of the loss, and raw cuts are seen to harm a group."""
    rng, rows = np.random.default_rng(0), []
    for seed in range(8):
        for criterion, arm in (("", REFIT), *ARMS):
            for level in (0.0,) if arm == REFIT else LEVELS:
                change = {RAW: -0.1, RECALIBRATED: -0.1 * share}.get(arm, 0.0) + rng.normal(0, 0.005)
                rows.append(
                    Row(
                        PIMA.name, seed, criterion, arm, level, 0.35, 0.0, low=-0.01, high=0.01, slope=1.0,
                        flips=0.3 if arm == RAW else 0.01, floor=0.04, benefit=0.1 + change, change=change,
                        simplest=0.0, worst=change, p_benefit=0.01 if arm == RAW else 0.9,
                        p_sensitivity=0.9, foretold=0.9,
                    )
                )  # fmt: skip
    return frame_of(rows)


@pytest.mark.parametrize(("share", "answer"), [(0.2, "**yes**"), (0.9, "**no**")])
def test_the_study_of_harm_says_what_its_rows_say(share: float, answer: str) -> None:
    told_ = "\n".join(told(made_up_rows(share), [PIMA]))
    assert told_.count(answer) == len(CRITERIA)
    assert f"{1 - share:.0%} (" in told_
    exceeds = [line for line in told_.replace("\n  ", " ").splitlines() if "**exceeds chance**" in line]
    assert len(exceeds) == len(CRITERIA)
    assert all("Net benefit" in line and ", raw," in line for line in exceeds)
    assert "raw 80 pass, 100% fail by flips" in told_
    assert "refit 8 pass, 0% fail by flips" in told_


def test_the_risk_acted_on_follows_from_train_alone() -> None:
    cohort = patient_cohort()
    prevalence = float((cohort.train.outcome == 1).mean())
    assert acted_on(cohort) == pytest.approx(prevalence, abs=0.025)
    other = replace(cohort, test=replace(cohort.test, outcome=1 - cohort.test.outcome))
    assert acted_on(other) == acted_on(cohort)
