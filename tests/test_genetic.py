"""The genetic search: never worse than its seeds, the same whoever asks, and going on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from medprune import MLP, BadInput, Cohort, RiskModel, Schedule, compact, load_cohort, prune, train
from medprune.candidate import Candidate, Problem
from medprune.evaluator import Evaluator
from medprune.genome import Genes
from medprune.prices import Prices
from medprune.removal import alive_groups, mask_of
from medprune.strategies.contribution import ContributionPath
from medprune.strategies.genetic import GeneticSearch
from tests.makers import patient_cohort, patient_table

QUICK = Schedule(epochs=2, patience=2)
SEARCHES = (("feature", False), ("neuron", False), ("neuron", True))


def small(**settings: object) -> GeneticSearch:
    return GeneticSearch(**({"population": 6, "generations": 3, "schedule": QUICK} | settings))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return patient_cohort()


@pytest.fixture(scope="module")
def model(cohort: Cohort) -> RiskModel:
    return train(cohort, MLP(hidden=(6, 4)), seed=0, schedule=Schedule(epochs=20))


class Dying(Evaluator):
    """Fails in the middle of the generation in which more than ``lives`` models are to be trained."""

    lives = 0

    def retrained(self, models: Sequence[RiskModel], schedule: Schedule) -> list[RiskModel]:
        if self.trained + len(models) > self.lives:
            super().retrained(models[:1], schedule)
            raise KeyboardInterrupt
        return super().retrained(models, schedule)


def dying(problem: Problem) -> Problem:
    return replace(problem, evaluator=Dying(problem.train, problem.tuning, problem.seed))


def assert_same(found: Sequence[Candidate], expected: Sequence[Candidate]) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.mask.same_as(b.mask)
        np.testing.assert_array_equal(a.tuning_risks, b.tuning_risks)


@pytest.mark.parametrize(("granularity", "features_too"), SEARCHES)
def test_the_search_is_never_worse_than_its_seeds(
    cohort: Cohort, model: RiskModel, granularity: str, features_too: bool
) -> None:
    problem = Problem.of(model, cohort, granularity, 0)
    size = "features" if granularity == "feature" else "parameters"
    found = list(small(features_too=features_too).candidates(problem))[1:]
    genes = Genes.of(problem, features_too=features_too)
    trained = problem.evaluator.trained
    for seed in list(ContributionPath(schedule=QUICK).candidates(problem))[1:]:
        start = genes.model(genes.genome(seed.model))
        assert start is not None
        [again] = problem.evaluator.from_dense([start], QUICK)
        known = problem.candidate(again, threshold=0.0, requested=None)
        assert any(
            one.performance.auroc >= known.performance.auroc and getattr(one, size) <= getattr(known, size)
            for one in found
        )
    assert problem.evaluator.trained - trained == len(
        found_by_path(problem)
    )  # no seed had to be trained again


def found_by_path(problem: Problem) -> list[Candidate]:
    return list(ContributionPath(schedule=QUICK).candidates(problem))[1:]


@pytest.mark.parametrize(("granularity", "features_too"), SEARCHES)
def test_candidates_are_a_front_of_smaller_models(
    cohort: Cohort, model: RiskModel, granularity: str, features_too: bool
) -> None:
    path = prune(
        model, cohort, "genetic", granularity=granularity, population=6, generations=2,
        features_too=features_too, schedule=QUICK,
    )  # fmt: skip
    size = "features" if granularity == "feature" else "parameters"
    found = sorted(path.candidates[1:], key=lambda one: float(getattr(one, size)))
    quality = [one.performance.auroc for one in found]
    assert quality == sorted(set(quality))
    assert all(one.parameters < path.dense.parameters for one in found)
    for one in found:
        risks = compact(one.model).predict_proba(cohort.tuning.frame)
        np.testing.assert_allclose(risks, one.tuning_risks, atol=1e-5)


def test_among_few_features_it_finds_what_trying_all_of_them_finds(cohort: Cohort, model: RiskModel) -> None:
    problem = Problem.of(model, cohort, "feature", 0)
    found = list(small(population=16, generations=8).candidates(problem))[1:]
    genes = Genes.of(problem, features_too=False)
    every = [genes.model(np.array(genome)) for genome in product([False, True], repeat=genes.count)]
    trained = problem.evaluator.from_dense([one for one in every if one is not None], QUICK)
    all_of_them = [problem.candidate(one, threshold=0.0, requested=None) for one in trained]
    for one in found:
        rivals = [other for other in all_of_them if other.features <= one.features]
        assert one.performance.auroc == max(other.performance.auroc for other in rivals)


def test_the_same_seed_gives_the_same_search_and_no_mask_is_trained_twice(
    cohort: Cohort, model: RiskModel
) -> None:
    problems = [Problem.of(model, cohort, "neuron", seed) for seed in (3, 3, 4)]
    first, second, other = (list(small().candidates(problem)) for problem in problems)
    assert_same(first, second)
    assert [one.mask.digest() for one in first] != [one.mask.digest() for one in other]
    trained = problems[0].evaluator.trained
    list(small().candidates(problems[0]))
    assert problems[0].evaluator.trained - trained == len(
        found_by_path(Problem.of(model, cohort, "neuron", 3))
    )


@pytest.mark.parametrize(("lives", "finished"), [(3, 0), (15, 0), (25, 1)])
def test_a_search_that_was_killed_goes_on_and_ends_the_same(
    cohort: Cohort, model: RiskModel, tmp_path: Path, lives: int, finished: int
) -> None:
    problem = Problem.of(model, cohort, "neuron", 0)
    expected = list(small().candidates(problem))
    file = tmp_path / "search.json"
    killed = dying(Problem.of(model, cohort, "neuron", 0))
    killed.evaluator.lives = lives  # type: ignore[attr-defined]
    with pytest.raises(KeyboardInterrupt):
        list(small(checkpoint=str(file)).candidates(killed))
    assert file.exists() == bool(finished)
    if finished:
        assert finished <= len(json.loads(file.read_text())["generations"]) < 4
    again = Problem.of(model, cohort, "neuron", 0)
    assert_same(list(small(checkpoint=str(file)).candidates(again)), expected)
    assert again.evaluator.trained == problem.evaluator.trained


def test_more_generations_go_on_from_fewer(cohort: Cohort, model: RiskModel, tmp_path: Path) -> None:
    file = str(tmp_path / "search.json")
    list(small(generations=1, checkpoint=file).candidates(Problem.of(model, cohort, "feature", 0)))
    longer = list(small(checkpoint=file).candidates(Problem.of(model, cohort, "feature", 0)))
    assert_same(longer, list(small().candidates(Problem.of(model, cohort, "feature", 0))))


def test_a_checkpoint_of_another_search_is_refused(cohort: Cohort, model: RiskModel, tmp_path: Path) -> None:
    file = str(tmp_path / "search.json")
    problem = Problem.of(model, cohort, "feature", 0)
    search = small(generations=0, checkpoint=file)
    list(search.candidates(problem))
    other_model = train(cohort, MLP(hidden=(6, 4)), seed=1, schedule=Schedule(epochs=1))
    other_cohort = load_cohort(patient_table(seed=1), outcome="stage", seed=0)
    others = {
        "model": (Problem.of(other_model, cohort, "feature", 0), search),
        "patients": (Problem.of(model, other_cohort, "feature", 0), search),
        "granularity": (Problem.of(model, cohort, "neuron", 0), search),
        "seed": (Problem.of(model, cohort, "feature", 1), search),
        "prices": (Problem.of(model, cohort, "feature", 0, Prices.of({"age": 1.0})), search),
        "settings": (problem, replace(search, metric="brier")),
        "acting at": (Problem.of(replace(model, act_at=0.2), cohort, "feature", 0), search),
    }
    for what, (other, how) in others.items():
        with pytest.raises(BadInput, match=f"another search.*{what}"):
            list(how.candidates(other))


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 2, "problem": {}}',
        "[" * 100_000,
        "\ud800",
        '{"format": 1, "problem": 3}',
    ],
)
def test_a_damaged_checkpoint_is_told(cohort: Cohort, model: RiskModel, tmp_path: Path, content: str) -> None:
    file = tmp_path / "search.json"
    file.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(BadInput, match="delete it"):
        list(small(checkpoint=str(file)).candidates(Problem.of(model, cohort, "feature", 0)))


@pytest.mark.parametrize("change", [{"genome": "01"}, {"genome": 5}, {"size": "x"}, {"metric": []}])
def test_a_damaged_individual_is_told(
    cohort: Cohort, model: RiskModel, tmp_path: Path, change: dict[str, object]
) -> None:
    file = tmp_path / "search.json"
    search = small(generations=0, checkpoint=str(file))
    list(search.candidates(Problem.of(model, cohort, "feature", 0)))
    content = json.loads(file.read_text())
    content["generations"][0][0] |= change
    file.write_text(json.dumps(content))
    with pytest.raises(BadInput, match="delete it"):
        list(search.candidates(Problem.of(model, cohort, "feature", 0)))


def test_a_checkpoint_that_cannot_be_written_is_told_before_the_work(
    cohort: Cohort, model: RiskModel, tmp_path: Path
) -> None:
    problem = Problem.of(model, cohort, "feature", 0)
    with pytest.raises(BadInput, match="no folder"):
        list(small(checkpoint=str(tmp_path / "nowhere" / "search.json")).candidates(problem))
    assert problem.evaluator.trained == 0


def test_whole_layers_are_among_the_genes(cohort: Cohort, model: RiskModel) -> None:
    problem = Problem.of(model, cohort, "neuron", 0)
    genes = Genes.of(problem, features_too=True)
    assert genes.count == len(model.features) + 6 + 4 + 2
    genome = np.ones(genes.count, dtype=bool)
    genome[-2] = genome[0] = genome[len(model.features) + 6] = False
    small_model = genes.model(genome)
    assert small_model is not None
    assert mask_of(small_model).layers.tolist() == [False, True]
    assert int(alive_groups(small_model, "neuron")[1].sum()) == 3
    assert len(compact(small_model).network.tails) == 1
    np.testing.assert_array_equal(genes.genome(small_model), genome)
    drawn = genes.random(500, np.random.default_rng(0))
    assert 0.7 < drawn[:, -2:].mean() < 0.9
    assert genes.model(np.zeros(genes.count, dtype=bool)) is None


def test_what_was_gone_before_stays_gone(cohort: Cohort, model: RiskModel) -> None:
    problem = Problem.of(model, cohort, "neuron", 0)
    start = Genes.of(problem, features_too=False)
    genome = np.ones(start.count, dtype=bool)
    genome[[0, 3, 7]] = False
    smaller = start.model(genome)
    assert smaller is not None
    for one in small(generations=1).candidates(Problem.of(smaller, cohort, "neuron", 0)):
        assert one.mask.within(mask_of(smaller))


def test_the_size_can_be_a_price(cohort: Cohort, model: RiskModel) -> None:
    prices = Prices.of({"age": 9.0, "lactate": 1.0, "ward": 1.0, "sex": 0.5})
    problem = Problem.of(model, cohort, "feature", 0, prices)
    found = sorted(list(small(population=10).candidates(problem))[1:], key=lambda one: one.price)
    quality = [one.performance.auroc for one in found]
    assert quality == sorted(set(quality))
    assert found[0].price <= 1
    assert max(one.price for one in found) < prices.total(model.features)
    with pytest.raises(BadInput, match="prices"):
        list(small(size="price").candidates(Problem.of(model, cohort, "feature", 0)))


def test_the_search_leaves_the_model_and_the_global_noise_alone(cohort: Cohort, model: RiskModel) -> None:
    weights = {name: value.clone() for name, value in model.network.state_dict().items()}
    state = np.random.get_state()[1]
    list(small(generations=1).candidates(Problem.of(model, cohort, "neuron", 0)))
    assert all(torch.equal(value, weights[name]) for name, value in model.network.state_dict().items())
    np.testing.assert_array_equal(state, np.random.get_state()[1])


def test_brier_is_searched_downwards(cohort: Cohort, model: RiskModel) -> None:
    found = list(small(metric="brier").candidates(Problem.of(model, cohort, "feature", 0)))[1:]
    errors = [one.performance.brier for one in sorted(found, key=lambda one: one.features)]
    assert errors == sorted(errors, reverse=True)
    with pytest.raises(BadInput, match="Metric"):
        small(metric="auc")
