"""Walks side by side: each becomes what it becomes alone, nothing runs at once, errors are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from medprune import MLP, BadInput, Cohort, RiskModel, Schedule, Validation, cross_validate, prune
from medprune.batch_training import STACKED_BELOW, Training, retrain_all
from medprune.cohort import Split
from medprune.cross_validation import PathWalk, Task
from medprune.evaluator import Evaluator
from medprune.fold_selection import Place
from medprune.folds import folds
from medprune.together import trained, walk_together
from medprune.training import prepare
from tests.makers import patient_cohort, untrained_model
from tests.test_batch_training import same_bits

QUICK = Schedule(epochs=10, patience=6, learning_rate=5e-3, weight_decay=0.3, shrink=0.7)


def training(cohort: Cohort, recipe: MLP, seed: int) -> Training:
    """Two models on the patients of a cohort, with its own number of inputs."""
    model = untrained_model(cohort, recipe, seed)
    data = (prepare(model.preparation, split) for split in (cohort.train, cohort.tuning))
    return Training([model, model], *data, QUICK, [seed, seed + 100])


def taken(cohort: Cohort, rows: int) -> Cohort:
    def some(split: Split) -> Split:
        return split.take(split.name, np.arange(min(rows, len(split))))

    return replace(cohort, train=some(cohort.train), tuning=some(cohort.tuning))


@pytest.mark.parametrize(
    ("activation", "norm"),
    [
        ("relu", "none"),
        ("gelu", "none"),
        ("silu", "batch"),
        ("tanh", "layer"),
        ("sigmoid", "none"),
        ("sigmoid", "batch"),
        ("identity", "none"),
    ],
)
def test_other_patients_beside_it_change_no_bit_of_a_model(activation: str, norm: str) -> None:
    """Folds of other sizes, some with as many batches and some with more, some with other columns."""
    recipe = MLP((9, 5), activation, norm, 0.2)
    cohorts = [
        *folds(patient_cohort(350), 4),
        *(taken(patient_cohort(400), rows) for rows in (70, 91, 130, 191)),
    ]
    asked = [training(cohort, recipe, seed) for seed, cohort in enumerate(cohorts)]
    together = retrain_all(asked)
    moved = 0
    for one, models in zip(asked, together, strict=True):
        [alone] = retrain_all([one])
        assert all(same_bits(a, b) for a, b in zip(models, alone, strict=True))
        moved += not same_bits(models[0], models[1])
    assert moved >= 4  # the comparison is of trained networks, each with its own seed
    companies = {one.company for one in asked}
    assert 1 < len(companies) < len(asked) or norm == "batch"  # some did share a stack, and not all


def test_large_and_small_networks_may_be_asked_for_together() -> None:
    cohort = patient_cohort()
    large, small = (training(cohort, MLP(hidden), 0) for hidden in ((400, 250), (6,)))
    assert large.models[0].network.stored() > STACKED_BELOW
    large = replace(large, schedule=replace(QUICK, epochs=1))
    found = retrain_all([large, small, large])
    assert [len(models) for models in found] == [2, 2, 2]
    assert same_bits(found[0][1], found[2][1])
    assert same_bits(found[1][0], retrain_all([small])[0][0])


def test_walks_meet_whenever_all_of_them_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first asks once, the second twice, the third never: no one waits for those who have left."""
    sizes: list[int] = []

    def counted(asked: list[Training]) -> list[list[RiskModel]]:
        sizes.append(len(asked))
        return retrain_all(asked)

    monkeypatch.setattr("medprune.together.retrain_all", counted)
    one = training(patient_cohort(), MLP((6,)), 0)

    def walk(times: int) -> list[RiskModel]:
        return [trained(one)[0] for _ in range(times)]

    found = walk_together(walk, [1, 2, 0])
    assert [len(models) for models in found] == [1, 2, 0]
    assert sizes == [2, 1]
    assert all(same_bits(model, trained(one)[0]) for models in found for model in models)


def test_only_one_walks_at_a_time() -> None:
    one, walking = training(patient_cohort(), MLP((6,)), 0), []

    def walk(unit: int) -> None:
        for _ in range(3):
            walking.append(unit)
            assert walking == [unit]
            torch.ones(50_000).sum()  # time enough for another thread
            walking.remove(unit)
            trained(one)

    walk_together(walk, range(4))


def test_the_error_of_a_walk_is_raised_as_it_is_and_ends_the_others() -> None:
    one, done = training(patient_cohort(), MLP((6,)), 0), []

    def walk(unit: int) -> None:
        for step in range(5):
            if (unit, step) == (2, 1):
                raise BadInput("the third stumbled.")
            trained(one)
            done.append(unit)

    with pytest.raises(BadInput, match="the third stumbled"):
        walk_together(walk, range(3))
    assert len(done) < 9


def test_a_path_in_company_is_the_path_alone() -> None:
    """Every strategy retrains through the evaluator: one model or many, out of step with the others."""
    cohort = patient_cohort(150)
    model = untrained_model(cohort, MLP((6,), dropout=0.1))
    parts = folds(cohort, 3)
    how = {"contribution": "weight", "greedy": "feature", "genetic": "feature"}
    quick = {"genetic": {"population": 8, "generations": 2, "schedule": QUICK}}

    def walk(at: int) -> list[RiskModel]:
        name = list(how)[at]
        settings = quick.get(name, {"schedule": QUICK})
        path = prune(model, parts[at], name, granularity=how[name], seed=at, **settings)
        return [candidate.model for candidate in path]

    for at, together in enumerate(walk_together(walk, range(3))):
        alone = walk(at)
        assert len(alone) == len(together) > 1
        assert all(same_bits(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("most", [1, 2])
def test_folds_in_company_choose_what_folds_alone_choose(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = patient_cohort(120)
    model = untrained_model(cohort, MLP((6, 5), dropout=0.1))
    how = Validation(folds=3, schedule=QUICK, processes=1)
    settings = {"sparsities": (0.5, 0.8), "schedule": QUICK}
    whole = cross_validate(model, cohort, how=how, **settings)
    monkeypatch.setattr("medprune.cross_validation.MOST_TOGETHER", most)
    parts = cross_validate(model, cohort, how=how, **settings)
    assert whole.held_out.equals(parts.held_out)
    assert whole.table.equals(parts.table)


def test_much_work_is_shared_out_over_processes_and_little_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = patient_cohort(120)

    def sizes(model: RiskModel, processes: int, repeats: int = 1) -> list[int]:
        how = Validation(folds=5, repeats=repeats, processes=processes)
        task = Task(model, cohort, how, PathWalk(how, "contribution", "weight", None, {}), 0)
        places = [Place(repeat, fold) for repeat in range(repeats) for fold in range(5)]
        return [len(some) for some in task.shared_out(places)]

    small = untrained_model(cohort)
    assert sizes(small, 2) == [5]
    assert sizes(small, 2, repeats=7) == [30, 5]
    assert sizes(untrained_model(cohort, MLP((400, 250))), 2) == [1] * 5
    monkeypatch.setattr("medprune.cross_validation.LITTLE", 0)
    assert sizes(small, 2) == [3, 2]
    assert sizes(small, 8) == [1] * 5
    monkeypatch.setattr("medprune.cross_validation.MOST_ROWS", 200)
    assert sizes(small, 1) == [2, 2, 1]


def test_the_evaluator_counts_in_company_too() -> None:
    cohort = patient_cohort()
    one = training(cohort, MLP((6,)), 0)

    def walk(seed: int) -> int:
        evaluator = Evaluator(one.train, one.tuning, seed)
        evaluator.retrained(one.models, QUICK)
        return evaluator.trained

    assert walk_together(walk, range(3)) == [2, 2, 2]
