"""One contract for every strategy and every baseline, found by name: a new one is tested by being there."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from medprune import MLP, BadInput, Cohort, Path, RiskModel, Schedule, compact, prune, train
from medprune.candidate import Problem
from medprune.path import method, prune_steps
from medprune.scoring import GRANULARITIES
from medprune.strategies import BASELINES, STRATEGIES, Strategy
from tests.makers import patient_cohort

NAMES = (*STRATEGIES.names(), *BASELINES.names())

# Short runs: a strategy takes those of these that are among its settings.
QUICK: dict[str, Any] = {
    "schedule": Schedule(epochs=2, patience=2, shrink=0.7),
    "models": 6,
    "population": 4,
    "generations": 1,
    "steps": 20,
}
PLACES = [(name, granularity) for name in NAMES for granularity in method(name).granularities]
MOST_WEIGHTS = 9  # that an exhaustive search of weights is given


def kind_of(name: str) -> type[Strategy]:
    return type(method(name))


def quick(name: str) -> dict[str, Any]:
    known = {field.name for field in fields(kind_of(name))}  # type: ignore[arg-type]
    return {key: value for key, value in QUICK.items() if key in known}


@cache
def cohort() -> Cohort:
    return patient_cohort(rows=150)


@cache
def model(name: str, granularity: str) -> RiskModel:
    trained = train(cohort(), MLP(hidden=(3, 3)), seed=0, schedule=Schedule(epochs=10))
    if (name, granularity) != ("exhaustive", "weight"):
        return trained
    total = trained.network.full_mask().total_weights()
    walked = prune(trained, cohort(), sparsities=(1 - MOST_WEIGHTS / total,), schedule=QUICK["schedule"])
    return walked.candidates[-1].model


@cache
def walked(name: str, granularity: str, again: int = 0) -> Path:
    start = model(name, granularity)
    torch.manual_seed(again)  # whatever state others have left it in
    np.random.seed(again)
    return prune(start, cohort(), name, granularity=granularity, seed=3, **quick(name))


@pytest.mark.parametrize(("name", "granularity"), PLACES)
def test_the_dense_model_comes_first(name: str, granularity: str) -> None:
    path = walked(name, granularity)
    assert path.strategy == name
    assert path.dense.model is model(name, granularity)
    assert len(path) > 1
    assert path.models_trained >= 0


@pytest.mark.parametrize(("name", "granularity"), PLACES)
def test_every_candidate_but_the_dense_one_is_recalibrated_on_tuning(name: str, granularity: str) -> None:
    path, tuning = walked(name, granularity), cohort().tuning
    dense = path.dense
    assert not dense.is_recalibrated
    assert dense.raw_performance == dense.performance
    share = tuning.outcome.mean()
    for candidate in path.candidates[1:]:
        columns = candidate.model.prepared(tuning)
        raw, right = (model.risks_of(columns)[:, 1] for model in (candidate.raw, candidate.model))
        np.testing.assert_array_equal(candidate.tuning_risks[:, 1], right)
        assert right.mean() == pytest.approx(share, abs=1e-7)
        assert candidate.is_recalibrated
        assert candidate.raw.network is candidate.model.network
        assert candidate.raw_performance.auroc == pytest.approx(candidate.performance.auroc, abs=1e-12)
        order = np.argsort(raw, kind="stable")
        assert (np.diff(right[order]) >= 0).all()  # nobody changes places


@pytest.mark.parametrize(("name", "granularity"), PLACES)
def test_every_candidate_is_finished_and_of_a_size(name: str, granularity: str) -> None:
    path = walked(name, granularity)
    frame = cohort().test.frame
    for candidate in path:
        assert 0 <= candidate.sparsity <= 1
        small = compact(candidate.model)
        assert candidate.size.stored == small.network.stored()
        assert candidate.parameters <= candidate.size.stored
        assert candidate.features == len(candidate.needed) <= path.dense.features
        assert candidate.price == candidate.features  # no prices were given
        risks = candidate.model.predict_proba(frame)
        np.testing.assert_allclose(risks.sum(axis=1), 1.0, atol=1e-9)
        np.testing.assert_allclose(small.predict_proba(frame), risks, atol=1e-5)
    sparsities = [candidate.sparsity for candidate in path.candidates[1:]]
    assert sparsities == sorted(sparsities)


@pytest.mark.parametrize(("name", "granularity"), PLACES)
def test_the_model_given_is_untouched(name: str, granularity: str) -> None:
    start = model(name, granularity)
    before = {key: value.clone() for key, value in start.network.state_dict().items()}
    mask = None if start.mask is None else start.mask.digest()
    walked.__wrapped__(name, granularity)
    assert all(torch.equal(value, before[key]) for key, value in start.network.state_dict().items())
    assert (None if start.mask is None else start.mask.digest()) == mask


@pytest.mark.parametrize(("name", "granularity"), PLACES)
def test_the_same_seed_gives_the_same(name: str, granularity: str) -> None:
    first, second = walked(name, granularity), walked(name, granularity, again=1)
    assert first is not second
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.tuning_risks, other.tuning_risks)
        assert one.mask.same_as(other.mask)


@pytest.mark.parametrize(("name", "granularity"), PLACES)
def test_nested_is_what_calls_itself_nested(name: str, granularity: str) -> None:
    path = walked(name, granularity)
    for before, after in pairwise(path.candidates):
        if after.model.network.spec == path.dense.model.network.spec:  # not a small network of its own
            assert after.mask.within(path.dense.mask)
        if kind_of(name).nested:
            assert after.mask.within(before.mask)


@pytest.mark.parametrize(("name", "granularity"), PLACES)
def test_progress_grows_and_stays_within_what_was_planned(name: str, granularity: str) -> None:
    start = model(name, granularity)
    places = []
    last = None
    for last in prune_steps(start, cohort(), name, granularity=granularity, seed=3, **quick(name)):
        places.append(last.number)
        assert 0 <= last.number <= last.of
    assert places == sorted(places)
    assert last is not None
    assert last.path is not None
    assert last.of == method(name, **quick(name)).planned(Problem.of(start, cohort(), granularity, seed=3))


@pytest.mark.parametrize("name", NAMES)
def test_a_granularity_it_does_not_know_is_refused_in_a_sentence(name: str) -> None:
    for granularity in set(GRANULARITIES) - set(kind_of(name).granularities):
        with pytest.raises(BadInput, match=f"does not prune {granularity}s; choose"):
            prune(model(name, "feature"), cohort(), name, granularity=granularity, **quick(name))
    with pytest.raises(BadInput):
        prune(model(name, "feature"), cohort(), name, granularity="patient", **quick(name))
    with pytest.raises(BadInput, match="does not take"):
        prune(model(name, "feature"), cohort(), name, no_such_setting=1)


@pytest.mark.parametrize("name", NAMES)
def test_its_first_line_explains_it(name: str) -> None:
    family = STRATEGIES if name in STRATEGIES.names() else BASELINES
    assert 20 < len(family.explanation(name)) < 120
    assert kind_of(name).name == name
