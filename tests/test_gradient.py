"""Gates learnt by gradient: what a gate is, what is behind it, and the path that a rising price gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from medprune import MLP, BadInput, Cohort, RiskModel, Schedule, load_cohort, prune, train
from medprune.candidate import Problem
from medprune.gated_training import GatedTraining
from medprune.gates import Openings, chance_open, folded, gated_logits, sampled, settled
from medprune.prices import Prices
from medprune.removal import alive_groups, keep_groups, mask_of, mean_activations, removed_share
from medprune.scoring import GRANULARITIES
from medprune.strategies.gradient import GradientPath, stops
from tests.makers import patient_cohort, patient_table, untrained_model

QUICK = {"steps": 60, "schedule": Schedule(epochs=2, patience=2)}


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return patient_cohort()


@pytest.fixture(scope="module")
def model(cohort: Cohort) -> RiskModel:
    return train(cohort, MLP(hidden=(10, 6)), seed=0, schedule=Schedule(epochs=20))


@pytest.mark.parametrize("log_alpha", [-2.0, 0.0, 1.5])
def test_a_gate_with_noise_is_open_as_often_as_it_says(log_alpha: float) -> None:
    gates = sampled(torch.full((40_000,), log_alpha), torch.Generator().manual_seed(0))
    assert float(gates.min()) >= 0.0
    assert float(gates.max()) <= 1.0
    assert float((gates == 0).float().mean()) > 0.02
    assert float((gates == 1).float().mean()) > 0.001
    expected = float(chance_open(torch.tensor(log_alpha)))
    assert float((gates > 0).float().mean()) == pytest.approx(expected, abs=0.01)


def test_a_gate_without_noise_rises_from_0_to_1() -> None:
    gates = settled(torch.linspace(-4, 4, 50))
    assert bool((gates.diff() >= 0).all())
    assert (float(gates[0]), float(gates[-1])) == (0.0, 1.0)


def behind(
    model: RiskModel, granularity: str, gates: list[torch.Tensor], means: list[torch.Tensor]
) -> Openings:
    openings = Openings.of(model, granularity, means)
    if granularity == "weight":
        return openings.behind_weights(gates)
    if granularity == "neuron":
        return openings.behind_units(gates)
    return openings.behind_columns(gates[0][model.preparation.feature_of_column])


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_gates_of_0_and_1_are_a_mask(cohort: Cohort, granularity: str, norm: str) -> None:
    whole = untrained_model(cohort, MLP(hidden=(6, 5), norm=norm, dropout=0.0))
    x = torch.from_numpy(whole.prepared(cohort.train))
    means = mean_activations(whole, x.numpy())
    rng = np.random.default_rng(3)
    kept = tuple(rng.random(part.shape) < 0.6 for part in alive_groups(whole, granularity))
    masked = keep_groups(whole, granularity, kept, means)
    assert masked is not None
    openings = behind(whole, granularity, [torch.from_numpy(part).float() for part in kept], means)
    torch.testing.assert_close(
        gated_logits(whole.network, x, openings), masked.network(x, masked.mask), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_half_open_gates_go_into_the_weights(cohort: Cohort, granularity: str, norm: str) -> None:
    whole = untrained_model(cohort, MLP(hidden=(6, 5), norm=norm, dropout=0.0))
    x = torch.from_numpy(whole.prepared(cohort.train))
    means = mean_activations(whole, x.numpy())
    rng = np.random.default_rng(4)
    kept = tuple(rng.random(part.shape) < 0.7 for part in alive_groups(whole, granularity))
    gates = [torch.from_numpy(part * rng.random(part.shape)).float() for part in kept]
    openings = behind(whole, granularity, gates, means)
    network = folded(whole.network, openings)
    masked = keep_groups(replace(whole, network=network), granularity, kept, means)
    assert masked is not None
    torch.testing.assert_close(
        masked.network(x, masked.mask), gated_logits(whole.network, x, openings), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_the_path_falls_from_nearly_all_to_nearly_nothing(
    cohort: Cohort, model: RiskModel, granularity: str
) -> None:
    path = prune(model, cohort, "gradient", granularity=granularity, **QUICK)
    removed = [candidate.sparsity for candidate in path]
    assert removed == sorted(set(removed))
    assert len(path) >= 5
    assert removed[1] < 0.5
    assert removed[-1] > 0.8
    assert path.models_trained == 2 * len(path) - 1  # each but dense twice, and the one with the gates
    assert len(path) <= GradientPath().planned(Problem.of(model, cohort, granularity, 0))


def test_the_same_seed_gives_the_same_path_and_another_another(cohort: Cohort, model: RiskModel) -> None:
    first, second, other = (prune(model, cohort, "gradient", seed=seed, **QUICK) for seed in (1, 1, 2))
    for a, b in zip(first, second, strict=True):
        assert a.mask.same_as(b.mask)
        np.testing.assert_array_equal(a.tuning_risks, b.tuning_risks)
    assert not first.candidates[2].mask.same_as(other.candidates[2].mask)


def test_the_model_given_and_the_global_noise_are_left_alone(cohort: Cohort, model: RiskModel) -> None:
    weights = {name: value.clone() for name, value in model.network.state_dict().items()}
    training, state = GatedTraining(Problem.of(model, cohort, "weight", 0)), torch.get_rng_state()
    next(training.down((0.9,), 50))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, weights[name]) for name, value in model.network.state_dict().items())
    assert all(tail.noise is None for tail in model.network.tails)


def test_what_tells_nothing_goes_before_what_tells_most(cohort: Cohort, model: RiskModel) -> None:
    path = prune(model, cohort, "gradient", granularity="feature", steps=150, schedule=Schedule(epochs=2))
    by_count = {candidate.features: candidate.needed for candidate in path}
    assert "noise" not in by_count[3]  # the outcome was made of the age, the lactate and the ward
    assert by_count[min(by_count)] in (("age",), ("lactate",))


def test_of_two_equal_features_the_dearer_one_goes() -> None:
    table = patient_table(300)
    table["age again"] = table["age"]
    both = load_cohort(table, outcome="stage", seed=0)
    dense = train(both, MLP(hidden=(8,)), seed=0, schedule=Schedule(epochs=20))
    for dear, cheap in (("age", "age again"), ("age again", "age")):
        prices = Prices.of(dict.fromkeys(dense.features, 1.0) | {dear: 20.0})
        path = prune(dense, both, "gradient", granularity="feature", prices=prices, **QUICK)
        one_left = [c.needed for c in path if (dear in c.needed) != (cheap in c.needed)]
        assert one_left
        assert all(cheap in needed for needed in one_left)
        costs = [candidate.price for candidate in path]
        assert costs == sorted(costs, reverse=True)


def test_features_that_cost_nothing_stay(cohort: Cohort, model: RiskModel) -> None:
    prices = Prices.of({"lactate": 3.0, "ward": 1.0})
    path = prune(model, cohort, "gradient", granularity="feature", prices=prices, **QUICK)
    assert path.candidates[-1].price == 0.0
    assert {"age", "sex", "noise"} <= set(path.candidates[-1].needed)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_what_was_gone_before_stays_gone(cohort: Cohort, model: RiskModel, granularity: str) -> None:
    rng = np.random.default_rng(0)
    kept = tuple(rng.random(part.shape) < 0.7 for part in alive_groups(model, granularity))
    means = mean_activations(model, model.prepared(cohort.train))
    start = keep_groups(model, granularity, kept, means)
    assert start is not None
    start = replace(start, mask=replace(mask_of(start), layers=torch.tensor([True, False])))
    for candidate in prune(start, cohort, "gradient", granularity=granularity, **QUICK):
        assert candidate.mask.within(mask_of(start))
        assert candidate.sparsity >= removed_share(start, granularity)


def test_a_network_without_hidden_layers_has_gates_too(cohort: Cohort) -> None:
    logistic = train(cohort, MLP(hidden=()), seed=0, schedule=Schedule(epochs=5))
    for granularity in ("weight", "feature"):
        path = prune(logistic, cohort, "gradient", granularity=granularity, **QUICK)
        assert path.candidates[-1].features < 3


def test_stops_fall_and_end_with_almost_nothing() -> None:
    for groups in (0, 1, 2, 7, 12, 13, 30, 4000):
        shares = stops(groups)
        assert list(shares) == sorted(set(shares), reverse=True)
        assert len(shares) == groups - 1 if 0 < groups <= 12 else len(shares) <= 12
        assert all(0 < share < 1 for share in shares)


def test_too_few_steps_are_told() -> None:
    with pytest.raises(BadInput, match="Steps"):
        GradientPath(steps=0)
