"""The strategies that measure: performance and greedy remove what the metric misses least."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medprune import MLP, BadInput, Cohort, RiskModel, Schedule, compact, prune, train
from medprune.candidate import Problem
from medprune.performance import METRICS, performance
from medprune.prices import Prices
from medprune.removal import Cut, alive_groups, mean_activations
from medprune.strategies import STRATEGIES
from medprune.strategies.performance import ranks
from tests.makers import patient_cohort

QUICK = Schedule(epochs=2, patience=2)
WHERE = [
    (name, granularity)
    for name in ("performance", "greedy")
    for granularity in STRATEGIES.get(name).granularities
]


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return patient_cohort()


@pytest.fixture(scope="module")
def model(cohort: Cohort) -> RiskModel:
    return train(cohort, MLP(hidden=(8, 6)), seed=0, schedule=Schedule(epochs=20))


@pytest.fixture(scope="module")
def large() -> tuple[RiskModel, Cohort]:
    """Enough patients that no single feature does as well as all."""
    cohort = patient_cohort(600)
    return train(cohort, MLP(hidden=(8,)), seed=0, schedule=Schedule(epochs=40)), cohort


@pytest.mark.parametrize(("name", "granularity"), WHERE)
def test_the_path_is_nested_and_leads_to_the_end(
    cohort: Cohort, model: RiskModel, name: str, granularity: str
) -> None:
    path = prune(model, cohort, name, granularity=granularity, tolerance=1, schedule=QUICK)
    for before, after in zip(path.candidates[:-1], path.candidates[1:], strict=True):
        assert after.mask.within(before.mask)
        assert after.sparsity > before.sparsity
    assert path.models_trained == len(path) - 1
    last = path.candidates[-1]
    np.testing.assert_allclose(
        compact(last.model).predict_proba(cohort.test.frame),
        last.model.predict_proba(cohort.test.frame),
        atol=1e-5,
    )
    if granularity == "feature":
        assert [candidate.features for candidate in path] == [6, 5, 4, 3, 2, 1]
    if granularity == "neuron":
        assert [int(units.sum()) for units in last.mask.units] == [1, 1]


@pytest.mark.parametrize(("name", "granularity"), WHERE)
def test_the_same_seed_gives_the_same_path(
    cohort: Cohort, model: RiskModel, name: str, granularity: str
) -> None:
    first, second = (
        prune(model, cohort, name, granularity=granularity, sparsities=(0.3, 0.6), schedule=QUICK, seed=3)
        for _ in range(2)
    )
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.tuning_risks, b.tuning_risks)


@pytest.mark.parametrize("metric", METRICS)
def test_greedy_removes_the_one_that_brute_force_would(cohort: Cohort, model: RiskModel, metric: str) -> None:
    """Every single removal tried on tuning by a pass of its own; of equal ones, the one that moves least."""
    [alive], means = alive_groups(model, "feature"), mean_activations(model, model.prepared(cohort.train))
    columns, outcome = model.prepared(cohort.tuning), cohort.tuning.outcome
    risks = model.risks_of(columns)
    sign = -1 if metric == "brier" else 1
    tried = []
    for place in range(len(alive)):
        kept = np.arange(len(alive)) != place
        without = Cut(model, "feature", (alive,), (kept.astype(float),), means).keep((kept,))
        after = without.risks_of(columns)
        loss = sign * -performance(outcome, after, model.act_at)[metric]
        tried.append((round(loss, 9), np.abs(after - risks).mean(), model.features[place]))
    path = prune(
        model, cohort, "greedy", granularity="feature", metric=metric, tolerance=1, at_once=0, schedule=QUICK
    )
    assert set(model.features) - set(path.candidates[1].needed) == {min(tried)[2]}


@pytest.mark.parametrize("name", ["performance", "greedy"])
@pytest.mark.parametrize("metric", ["auroc", "brier"])
def test_the_walk_ends_where_the_metric_has_fallen_too_far(
    large: tuple[RiskModel, Cohort], name: str, metric: str
) -> None:
    model, cohort = large
    whole, short = (
        prune(
            model,
            cohort,
            name,
            granularity="feature",
            metric=metric,
            tolerance=tolerance,
            schedule=Schedule(epochs=0),
        )
        for tolerance in (1, 0.003)
    )
    sign = -1 if metric == "brier" else 1
    falls = [sign * (whole.dense.performance[metric] - one.performance[metric]) for one in whole]
    too_far = next(place for place, fall in enumerate(falls) if fall > 0.003)
    assert len(whole) == 6
    assert len(short) == too_far + 1, "the last shows where it fell"
    assert all(a.mask.same_as(b.mask) for a, b in zip(short, whole, strict=False))


@pytest.mark.parametrize("name", ["performance", "greedy"])
@pytest.mark.parametrize("tolerance", [1, None])
def test_without_a_tolerance_the_walk_goes_to_the_end(
    cohort: Cohort, model: RiskModel, name: str, tolerance: float | None
) -> None:
    path = prune(model, cohort, name, granularity="feature", tolerance=tolerance, schedule=Schedule(epochs=0))
    assert path.candidates[-1].features == 1


@pytest.mark.parametrize(("name", "granularity"), WHERE)
def test_a_sparsity_that_is_asked_for_is_reached_however_far_it_falls(
    cohort: Cohort, model: RiskModel, name: str, granularity: str
) -> None:
    path = prune(
        model,
        cohort,
        name,
        granularity=granularity,
        sparsities=(0.3, 0.6),
        tolerance=0.0,
        schedule=Schedule(epochs=0),
    )
    assert [candidate.requested for candidate in path] == [0, 0.3, 0.6]
    assert path.candidates[-1].sparsity == pytest.approx(0.6, abs=0.08)


@pytest.mark.parametrize("name", ["performance", "greedy"])
def test_the_dear_feature_goes_before_the_cheap_one(cohort: Cohort, model: RiskModel, name: str) -> None:
    """At equal use: the first to go is one with a price, and free features are what is left."""
    prices = Prices.of({"noise": 50, "visit": 1})
    path = prune(model, cohort, name, granularity="feature", prices=prices, tolerance=1, schedule=QUICK)
    paid = [one.price for one in path]
    assert paid[0] == 51
    assert paid[2] == 0, "both that cost something are gone after two steps"
    assert paid == sorted(paid, reverse=True)


def test_ties_go_by_the_change_of_risk() -> None:
    lost = [np.array([0.0, 0.2, 0.0]), np.array([[-0.1], [np.nan]])]
    change = [np.array([0.3, 0.1, 0.2]), np.array([[0.9], [np.nan]])]
    first, second = ranks(lost, change)
    assert first.tolist() == [0.75, 1.0, 0.5]
    assert second.tolist() == [[0.25], [0.0]]


def test_prices_divide_the_drop_and_the_free_go_last() -> None:
    lost, change = [np.array([0.2, 0.1, -0.1, -0.1, -0.9])], [np.ones(5)]
    [order] = ranks(lost, change, np.array([10.0, 1.0, 1.0, 5.0, 0.0]))
    assert np.argsort(order).tolist() == [3, 2, 0, 1, 4]


def test_drops_may_be_judged_on_train(cohort: Cohort, model: RiskModel) -> None:
    problem = Problem.of(model, cohort, "neuron", seed=0)
    on = {
        judge: STRATEGIES.make("performance", judge=judge).measured(problem, model)  # type: ignore[attr-defined]
        for judge in ("tuning", "train")
    }
    assert any((a != b).any() for a, b in zip(on["tuning"].order, on["train"].order, strict=True))
    swapped = replace(problem, tuning=problem.train)
    again = STRATEGIES.make("performance").measured(swapped, model)  # type: ignore[attr-defined]
    assert all((a == b).all() for a, b in zip(on["train"].order, again.order, strict=True))


def test_what_cannot_be_asked_for_is_said(cohort: Cohort, model: RiskModel) -> None:
    with pytest.raises(BadInput, match="'greedy' does not prune weights; choose neuron or feature"):
        prune(model, cohort, "greedy", granularity="weight")
    with pytest.raises(BadInput, match="Metric must be one of auroc"):
        prune(model, cohort, "performance", metric="auc")
    with pytest.raises(BadInput, match=r"Tolerance must be in \[0, 1\], got 2"):
        prune(model, cohort, "performance", tolerance=2)
    with pytest.raises(BadInput, match="A sparsity must lie in"):
        prune(model, cohort, "greedy", granularity="neuron", sparsities=(1.5,))
    certain = replace(model, act_at=1.0)
    with pytest.raises(BadInput, match="no net benefit of acting at a risk of 1"):
        prune(certain, cohort, "performance", metric="net_benefit")
