"""Laws of searching subsets: exhaustive is brute force, and chance never beats it on the same space."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from medprune import MLP, BadInput, Cohort, RiskModel, Schedule, load_cohort, prune, train
from medprune.batch_training import retrain_many
from medprune.candidate import Problem
from medprune.path import Path, prune_steps
from medprune.removal import alive_groups, keep_exactly, mask_of
from medprune.strategies.exhaustive import MOST
from tests.makers import patient_cohort, untrained_model

QUICK = Schedule(epochs=3, patience=3, shrink=0.7)


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    """Four features, of which two matter."""
    rng = np.random.default_rng(5)
    table = pd.DataFrame(rng.normal(size=(240, 4)).round(3), columns=["a", "b", "c", "d"])
    risk = table["a"] - 0.6 * table["c"] + rng.normal(size=240)
    return load_cohort(table.assign(outcome=(risk > 0).astype(int)), outcome="outcome")


@pytest.fixture(scope="module")
def model(cohort: Cohort) -> RiskModel:
    return train(cohort, MLP(hidden=(6, 4)), seed=0, schedule=Schedule(epochs=20))


@pytest.fixture(scope="module")
def every_subset(cohort: Cohort, model: RiskModel) -> Path:
    return prune(model, cohort, "exhaustive", granularity="feature", schedule=QUICK, seed=2)


@pytest.mark.parametrize("metric", ["auroc", "brier"])
def test_exhaustive_is_brute_force(cohort: Cohort, model: RiskModel, metric: str) -> None:
    path = prune(model, cohort, "exhaustive", granularity="feature", schedule=QUICK, seed=2, metric=metric)
    assert [candidate.features for candidate in path] == [4, 4, 3, 2, 1]
    problem = Problem.of(model, cohort, "feature", seed=2)
    for candidate in path.candidates[1:]:
        values = []
        for chosen in combinations(range(4), candidate.features):
            masked = keep_exactly(problem.model, np.isin(np.arange(4), chosen), None, None, ())
            assert masked is not None
            [alone] = retrain_many(
                [masked],
                problem.train,
                problem.tuning,
                schedule=QUICK,
                seeds=[problem.evaluator.seed_of(masked)],
            )
            values.append(problem.candidate(alone, threshold=0.0, requested=None).performance[metric])
        assert candidate.performance[metric] == (min(values) if metric == "brier" else max(values))


def test_chance_never_beats_it_on_the_same_space(
    cohort: Cohort, model: RiskModel, every_subset: Path
) -> None:
    proven = {candidate.features: candidate.performance.auroc for candidate in every_subset.candidates[1:]}
    for models in (3, 30):
        found = prune(
            model, cohort, "random_search", granularity="feature", schedule=QUICK, seed=2, models=models
        )
        assert found.models_trained <= min(models, 15)
        for candidate in found.candidates[1:]:
            assert candidate.performance.auroc <= proven[candidate.features]
    best = max(proven.values())
    assert max(candidate.performance.auroc for candidate in found.candidates[1:]) == best  # all 15 drawn


def test_every_subset_is_trained_once(every_subset: Path) -> None:
    assert every_subset.models_trained == 15


def test_progress_is_told_in_models(
    cohort: Cohort, model: RiskModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medprune.strategies.exhaustive.TOGETHER", 2)
    steps = prune_steps(model, cohort, "exhaustive", granularity="feature", schedule=QUICK)
    told = [(step.number, step.of) for step in steps]
    assert told[0] == (0, 15)
    assert told[-1] == (15, 15)
    assert max(np.diff([number for number, _ in told])) == 2


def test_the_features_named_are_chosen_among_and_the_others_stay(cohort: Cohort, model: RiskModel) -> None:
    path = prune(model, cohort, "exhaustive", granularity="feature", schedule=QUICK, among=("b", "d"))
    assert path.models_trained == 4
    assert [candidate.features for candidate in path] == [4, 4, 3, 2]
    assert all({"a", "c"} <= set(candidate.needed) for candidate in path)
    with pytest.raises(BadInput, match="no feature 'e'"):
        prune(model, cohort, "exhaustive", granularity="feature", among=("e",))
    with pytest.raises(BadInput, match="Only features"):
        prune(model, cohort, "exhaustive", granularity="neuron", among=("a",))


@pytest.mark.parametrize("granularity", ["neuron", "weight", "feature"])
def test_too_many_groups_are_refused_with_a_way_out(granularity: str) -> None:
    cohort = patient_cohort(rows=60)
    model = untrained_model(cohort, MLP(hidden=(20,)))
    if granularity == "feature":
        wide = np.random.default_rng(0).normal(size=(60, MOST + 1)).round(2)
        table = pd.DataFrame(wide, columns=[f"f{k}" for k in range(MOST + 1)])
        cohort = load_cohort(table.assign(y=[0, 1] * 30), outcome="y")
        model = untrained_model(cohort)
    groups = sum(part.size for part in alive_groups(model, granularity))
    with pytest.raises(BadInput, match=f"up to {MOST} .* there are {groups}.*contribution"):
        prune(model, cohort, "exhaustive", granularity=granularity)


def test_it_goes_on_from_a_candidate(cohort: Cohort, model: RiskModel) -> None:
    """Neurons that are gone stay gone, and the rest is searched from the candidate's weights."""
    walked = prune(model, cohort, granularity="neuron", sparsities=(0.5,), schedule=QUICK)
    start = walked.candidates[-1].model
    left = sum(int(part.sum()) for part in alive_groups(start, "neuron"))
    path = prune(start, cohort, "exhaustive", granularity="neuron", schedule=QUICK)
    assert path.dense.model is start
    assert path.models_trained <= 2**left - 1
    assert all(candidate.mask.within(mask_of(start)) for candidate in path)
    kept = [sum(int(part.sum()) for part in alive_groups(c.model, "neuron")) for c in path.candidates[1:]]
    assert kept == list(range(left, 1, -1))  # both layers need one


def test_chance_shows_nothing_that_is_beaten(cohort: Cohort, model: RiskModel) -> None:
    path = prune(
        model, cohort, "random_search", granularity="neuron", schedule=QUICK, models=25, features_too=True
    )
    drawn = path.candidates[1:]
    assert len(drawn) >= 1
    assert path.models_trained == 25
    assert len({candidate.features for candidate in drawn}) >= 1
    for one in drawn:
        for other in drawn:
            if one is not other:
                smaller = one.mask.kept_weights() < other.mask.kept_weights()
                assert smaller == (one.performance.auroc < other.performance.auroc)


def test_features_are_drawn_along_with_neurons_when_asked(cohort: Cohort, model: RiskModel) -> None:
    from medprune.baselines.random_masks import RandomSearch

    problem = Problem.of(model, cohort, "neuron", seed=0)
    for also in (False, True):
        drawn = list(RandomSearch(models=10, features_too=also)._drawn(problem))
        assert len({mask_of(one).digest() for one in drawn}) == 10
        assert any(not alive_groups(one, "feature")[0].all() for one in drawn) == also
        assert replace(model, mask=drawn[0].mask).network is model.network
