"""The forecast against brute force: every derivative by hand on a small network."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from medprune import BadInput, Cohort, RiskModel
from medprune.cohort import Split
from medprune.model import Recalibration
from medprune.network import MLP
from medprune.removal import Cut
from medprune.review.forecast import (
    NEAR,
    AtRisk,
    Forecast,
    MeanLoss,
    change_in_loss,
    compare,
    forecast,
    moved,
)
from medprune.review.groups import Group
from medprune.scoring import score
from tests.makers import patient_cohort, random_mask, untrained_model


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return patient_cohort(160)


def model_of(cohort: Cohort, **how: object) -> RiskModel:
    return untrained_model(cohort, MLP(hidden=(3,), dropout=0.0, **how))  # type: ignore[arg-type]


def halves(split: Split) -> list[Group]:
    first = np.arange(len(split)) % 2 == 0
    return [Group("first", ("h",), first), Group("second", ("h",), ~first)]


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gradient_and_curvature_are_those_of_brute_force(cohort: Cohort, activation: str) -> None:
    recalibration = Recalibration(0.8, (0.0, 0.3))
    model = replace(model_of(cohort, activation=activation), recalibration=recalibration)
    columns = model.prepared(cohort.tuning)
    before = model.risks_of(columns)
    made = forecast(model, columns, cohort.tuning.outcome, halves(cohort.tuning), distance=0.7)
    for group, found in zip(halves(cohort.tuning), made.groups, strict=True):
        rows = np.flatnonzero(group.members)
        loss = MeanLoss(model, columns[rows], cohort.tuning.outcome[rows], np.ones(len(rows)))
        own = model.risks_of(columns[rows])[np.arange(len(rows)), cohort.tuning.outcome[rows]]
        assert float(loss(loss.at)) == pytest.approx(-np.log(own).mean(), rel=1e-5)
        steps = torch.eye(len(loss.at), dtype=torch.float64) * 1e-6
        slope = [float(loss(loss.at + step) - loss(loss.at - step)) / 2e-6 for step in steps]
        assert found.gradient == pytest.approx(np.linalg.norm(slope), rel=1e-4)
        hessian = torch.autograd.functional.hessian(loss, loss.at)
        largest = float(torch.linalg.eigvalsh(hessian)[-1])
        assert found.curvature == pytest.approx(largest, rel=1e-4)
        assert found.bound == pytest.approx(found.gradient * 0.7 + largest / 2 * 0.49, rel=1e-4)
    np.testing.assert_array_equal(model.risks_of(columns), before)


def test_a_mask_and_normalisation_are_part_of_the_model(cohort: Cohort) -> None:
    model = model_of(cohort, norm="batch")
    model = replace(model, mask=random_mask(model.network, 3, keep=0.7))
    columns = model.prepared(cohort.tuning)
    loss = MeanLoss(model, columns, cohort.tuning.outcome, np.ones(len(columns)))
    own = model.risks_of(columns)[np.arange(len(columns)), cohort.tuning.outcome]
    assert float(loss(loss.at)) == pytest.approx(-np.log(own).mean(), rel=1e-5)
    hessian = torch.autograd.functional.hessian(loss, loss.at)
    assert loss.curvature() == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=1e-4, abs=1e-8)


def test_weights_are_patients_told_several_times(cohort: Cohort) -> None:
    model = model_of(cohort, activation="tanh")
    columns, outcome = model.prepared(cohort.tuning), cohort.tuning.outcome
    times = np.random.default_rng(0).integers(0, 3, len(outcome))
    rows = np.repeat(np.arange(len(outcome)), times)
    [group] = halves(cohort.tuning)[:1]
    [weighted] = forecast(model, columns, outcome, [group], weights=times.astype(float)).groups
    again = Group(group.name, group.columns, group.members[rows])
    [told] = forecast(model, columns[rows], outcome[rows], [again]).groups
    assert weighted.gradient == pytest.approx(told.gradient)
    assert weighted.curvature == pytest.approx(told.curvature, rel=1e-3)


def test_it_bounds_what_small_moves_do(cohort: Cohort) -> None:
    model = model_of(cohort, activation="tanh")
    columns = model.prepared(cohort.tuning)
    loss = MeanLoss(model, columns, cohort.tuning.outcome, np.ones(len(columns)))
    everybody = [Group("all", ("all",), np.ones(len(columns), dtype=bool))]
    [told] = forecast(model, columns, cohort.tuning.outcome, everybody, distance=0.01).groups
    gained = [
        float(
            loss(loss.at + 0.01 * torch.nn.functional.normalize(torch.randn_like(loss.at), dim=0))
            - loss(loss.at)
        )
        for _ in range(50)
    ]
    assert max(gained) <= told.bound * 1.001
    downhill = loss.gradient() / loss.gradient().norm()
    assert float(loss(loss.at + 0.01 * downhill) - loss(loss.at)) > 0.5 * told.bound


def test_the_distance_of_a_cut_is_the_norm_of_what_it_removed(cohort: Cohort) -> None:
    model = model_of(cohort)
    assert moved(model, model) == 0
    cut = Cut.of(model, score(model, cohort.train), "weight", "global", model.prepared(cohort.train))
    pruned, _ = cut.to(8)
    assert pruned.mask is not None
    gone = [w[~m] for w, m in zip(model.network.weights(), pruned.mask.alive_weights(), strict=True)]
    dead = ~pruned.mask.units[0]
    lost = sum(float(w.square().sum()) for w in gone) + float(
        model.network.layers[0].bias[dead].square().sum()
    )
    if not dead.any():
        assert moved(model, pruned) == pytest.approx(math.sqrt(lost), rel=1e-5)
    assert moved(model, pruned) >= math.sqrt(sum(float(w.square().sum()) for w in gone)) * 0.999
    other = untrained_model(cohort, MLP(hidden=(5,)))
    with pytest.raises(BadInput, match="differ in shape"):
        moved(model, other)
    with pytest.raises(BadInput, match="whole layer"):
        moved(model, replace(model, mask=replace(model.network.full_mask(), layers=torch.tensor([False]))))


def test_patients_near_the_threshold_are_counted(cohort: Cohort) -> None:
    model = model_of(cohort)
    columns = model.prepared(cohort.tuning)
    risk = model.risks_of(columns)[:, 1]
    logit = np.log(risk / (1 - risk))
    made = forecast(model, columns, cohort.tuning.outcome, halves(cohort.tuning), act_at=0.3)
    near = np.abs(logit - math.log(0.3 / 0.7)) <= NEAR
    assert made.groups[0].near == pytest.approx(near[::2].mean())
    assert math.isnan(made.groups[0].bound)
    assert [one.gradient for one in made.ranked] == sorted((g.gradient for g in made.groups), reverse=True)


def test_a_forecast_is_held_against_what_happened() -> None:
    groups = tuple(
        AtRisk(f"g{k}", 10, gradient=k, curvature=1.0, bound=float(k), near=float(-k)) for k in range(5)
    )
    made = Forecast(groups, 1.0)
    right = compare(made, [0.0, 0.1, 0.2, 0.3, 0.4])
    assert (right.groups, right.by_bound, right.by_margin) == (5, pytest.approx(1.0), pytest.approx(-1.0))
    some = compare(made, [math.nan, 0.1, 0.3, 0.2, math.nan])
    assert (some.groups, some.by_bound) == (3, pytest.approx(0.5))
    assert math.isnan(compare(made, [0.1, 0.2, *[math.nan] * 3]).by_bound)
    with pytest.raises(BadInput, match="5 groups"):
        compare(made, [0.1])
    assert made.ranked[0].name == "g4"


def test_the_change_in_loss_is_a_mean_over_the_group() -> None:
    rng = np.random.default_rng(0)
    outcome = rng.integers(0, 3, 60)
    dense, pruned = (rng.dirichlet(np.ones(3), 60) for _ in range(2))
    group = Group("g", ("g",), rng.random(60) < 0.5)
    [found] = change_in_loss(outcome, dense, pruned, [group])
    own = np.arange(60), outcome
    assert found.value == pytest.approx((np.log(dense[own]) - np.log(pruned[own]))[group.members].mean())
    [twice] = change_in_loss(outcome, dense, pruned, [group], np.full(60, 2.0))
    assert twice.value == pytest.approx(found.value)


def test_groups_of_other_rows_are_refused(cohort: Cohort) -> None:
    model = model_of(cohort)
    with pytest.raises(BadInput, match="other rows"):
        forecast(model, model.prepared(cohort.tuning), cohort.tuning.outcome, halves(cohort.train))
    nobody = [Group("nobody", ("x",), np.zeros(len(cohort.tuning), dtype=bool))]
    [found] = forecast(model, model.prepared(cohort.tuning), cohort.tuning.outcome, nobody).groups
    assert math.isnan(found.gradient)
    assert math.isnan(found.near)
