"""Training in a stack gives what training alone gives, and the same bits in any company."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from medprune import MLP, Cohort, RiskModel, Schedule
from medprune import evaluator as evaluator_module
from medprune.batch_training import MOST_NUMBERS, STACKED_BELOW, retrain_many
from medprune.compaction import compacted_widths, tidy
from medprune.evaluator import Evaluator
from medprune.training import Prepared, prepare, retrain
from tests.makers import patient_cohort, random_mask, untrained_model

SHORT = Schedule(epochs=12, patience=3, weight_decay=0.3, shrink=0.7)
COHORTS = {classes: patient_cohort(classes=classes) for classes in (2, 3)}


def data_of(cohort: Cohort, model: RiskModel) -> tuple[Prepared, Prepared]:
    return prepare(model.preparation, cohort.train), prepare(model.preparation, cohort.tuning)


def members(model: RiskModel, count: int) -> list[RiskModel]:
    """Masks of all kinds at once: units with constants, weights, inputs, whole layers."""
    masks = (tidy(random_mask(model.network, seed, keep=0.7), model.network) for seed in range(4 * count))
    working = [replace(model, mask=mask) for mask in masks if all(compacted_widths(mask))]
    shorter = replace(model.network.full_mask(), layers=torch.tensor([False, True]))
    return [model, replace(model, mask=shorter), *working][:count]


def same_bits(one: RiskModel, other: RiskModel) -> bool:
    pairs = zip(one.network.state_dict().values(), other.network.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("activation", "norm", "dropout", "classes"),
    [
        ("relu", "none", 0.2, 2),
        ("relu", "batch", 0.2, 3),
        ("gelu", "layer", 0.1, 2),
        ("gelu", "batch", 0.0, 2),
        ("silu", "none", 0.1, 3),
        ("tanh", "layer", 0.0, 3),
    ],
)
def test_a_member_becomes_what_it_becomes_alone(
    activation: str, norm: str, dropout: float, classes: int
) -> None:
    cohort = COHORTS[classes]
    model = untrained_model(cohort, MLP((9, 5), activation, norm, dropout))
    train, tuning = data_of(cohort, model)
    several = members(model, 6)
    # A bias before BatchNorm has no slope but rounding, and AdamW makes a step of any slope.
    close = 0.02 if norm == "batch" else 1e-4
    stacked = retrain_many(several, train, tuning, schedule=SHORT, seeds=range(6))
    moved = 0
    for seed, (member, together) in enumerate(zip(several, stacked, strict=True)):
        alone = retrain(member, train, tuning, schedule=SHORT, seed=seed)
        np.testing.assert_allclose(
            together.risks_of(tuning.columns), alone.risks_of(tuning.columns), atol=close
        )
        assert together.mask is member.mask
        assert not any(p.requires_grad for p in together.network.parameters())
        moved += not same_bits(together, retrain(member, train, tuning, schedule=Schedule(0), seed=seed))
    assert moved >= 3  # the comparison is of trained networks


@pytest.mark.parametrize("activation", ["relu", "silu", "gelu", "tanh", "sigmoid"])
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_a_member_does_not_depend_on_its_company(activation: str, norm: str) -> None:
    """Not in one bit: odd widths, odd batches, any place in the stack, neighbours that stop early."""
    cohort = COHORTS[2]
    model = untrained_model(cohort, MLP((7, 5), activation, norm, 0.1))
    data = data_of(cohort, model)
    several, seeds = members(model, 7), list(range(7))
    for schedule in (SHORT, replace(SHORT, batch_size=33)):
        together = retrain_many(several, *data, schedule=schedule, seeds=seeds)
        for company in ([3], [5, 3], [3, 0, 6], [6, 5, 4, 3, 2]):
            some = retrain_many(
                [several[k] for k in company], *data, schedule=schedule, seeds=[seeds[k] for k in company]
            )
            assert same_bits(some[company.index(3)], together[3])


def test_a_large_request_is_trained_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = COHORTS[2]
    model = untrained_model(cohort)
    data = data_of(cohort, model)
    several = members(model, 5)
    whole = retrain_many(several, *data, schedule=SHORT, seeds=range(5))
    assert 32 * len(data[1].outcome) < MOST_NUMBERS
    monkeypatch.setattr("medprune.batch_training.MOST_NUMBERS", 2 * 32 * len(data[1].outcome))
    parts = retrain_many(several, *data, schedule=SHORT, seeds=range(5))
    assert all(same_bits(a, b) for a, b in zip(whole, parts, strict=True))


def test_a_large_network_is_retrained_alone() -> None:
    cohort = COHORTS[2]
    model = untrained_model(cohort, MLP((400, 250)))
    assert model.network.stored() > STACKED_BELOW
    data = data_of(cohort, model)
    quick = replace(SHORT, epochs=1)
    [together] = retrain_many([model], *data, schedule=quick, seeds=[4])
    assert same_bits(together, retrain(model, *data, schedule=quick, seed=4))


def test_nothing_in_nothing_out() -> None:
    model = untrained_model(COHORTS[2])
    data = data_of(COHORTS[2], model)
    assert retrain_many([], *data, schedule=SHORT, seeds=[]) == []
    [still] = retrain_many([model], *data, schedule=Schedule(epochs=0), seeds=[0])
    assert same_bits(still, model)


def test_the_models_given_and_the_random_numbers_of_others_are_left_alone() -> None:
    model = untrained_model(COHORTS[2])
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    retrain_many([model, model], *data_of(COHORTS[2], model), schedule=SHORT, seeds=[0, 1])
    assert all(torch.equal(value, before[name]) for name, value in model.network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_the_evaluator_trains_a_mask_once_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    model = untrained_model(COHORTS[2])
    evaluator = Evaluator(*data_of(COHORTS[2], model), seed=3)
    several = members(model, 4)
    first = evaluator.from_dense([*several, several[1]], SHORT)
    assert evaluator.trained == 4
    assert first[4] is first[1]
    again = evaluator.from_dense([several[2]], SHORT)
    assert evaluator.trained == 4
    assert again[0] is first[2]
    monkeypatch.setattr(evaluator_module, "MOST_KNOWN", 2 * model.network.stored())
    evaluator.from_dense([several[0]], replace(SHORT, epochs=1))  # one more: only two are remembered
    assert evaluator.trained == 5
    [once_more] = evaluator.from_dense([several[2]], SHORT)
    assert evaluator.trained == 6
    assert same_bits(once_more, first[2])
