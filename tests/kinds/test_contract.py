"""What every layer kind must keep: JSON and back, exact scores, masked = compact, training, purity."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medprune.errors import BadInput
from medprune.kinds import (
    KINDS,
    Arrays,
    KindMask,
    KindNetwork,
    KindSpec,
    compact_kind,
    fit_kind,
    fit_steps,
    initial,
    logits_of,
    prune_kind,
    refusal,
    score_kind,
    tidy,
)
from medprune.kinds.base import Keeping
from medprune.training import Schedule
from tests.kinds.makers import EXAMPLES, random_mask

QUICK = Schedule(epochs=6, patience=6, learning_rate=5e-3, weight_decay=0.01)
each_example = pytest.mark.parametrize("name", EXAMPLES)


def test_every_kind_is_tested_here() -> None:
    used = {layer.name for example in EXAMPLES.values() for layer in example.spec.layers}
    assert used == set(KINDS.names())


@each_example
def test_the_spec_survives_json(name: str) -> None:
    spec = EXAMPLES[name].spec
    assert KindSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert [type(kind) for kind, _, _ in KindNetwork(spec).rows()] == [type(kind) for kind in spec.layers]


@each_example
def test_every_layer_says_what_it_is(name: str) -> None:
    network = EXAMPLES[name].network()
    for line, place in zip(network.describe(), network.places, strict=True):
        assert line.startswith(place.name)
        assert "\n" not in line


@each_example
def test_masked_computes_the_same_as_compact(name: str) -> None:
    network, data = EXAMPLES[name].network(), EXAMPLES[name].patients(0, 9)
    stored = []
    for seed in range(12):
        mask = random_mask(network, seed, keep=(0.3, 0.6, 0.9)[seed % 3])
        small = compact_kind(network, mask)
        masked = logits_of(network, data.inputs, mask)
        torch.testing.assert_close(
            logits_of(small.network, small.take(data.inputs)), masked, atol=1e-5, rtol=1e-5
        )
        stored.append(small.network.stored())
        assert small.inputs.sum() == small.network.spec.inputs
    assert max(stored) <= network.stored()
    assert min(stored) < network.stored() / 2


@each_example
@given(seed=st.integers(0, 2**31))
@settings(max_examples=5)
def test_a_tidy_mask_computes_the_same(name: str, seed: int) -> None:
    network, data = EXAMPLES[name].network(seed % 5), EXAMPLES[name].patients(0, 5)
    mask = random_mask(network, seed, keep=0.4)
    tidied = tidy(network, mask)
    assert tidied.within(mask)
    assert tidy(network, tidied).same_as(tidied)
    torch.testing.assert_close(
        logits_of(network, data.inputs, tidied), logits_of(network, data.inputs, mask), atol=1e-5, rtol=1e-5
    )


@each_example
def test_a_full_mask_changes_nothing(name: str) -> None:
    network, data = EXAMPLES[name].network(), EXAMPLES[name].patients(0, 9)
    full = network.full_mask()
    torch.testing.assert_close(logits_of(network, data.inputs, full), logits_of(network, data.inputs))


@each_example
def test_what_is_removed_has_no_say(name: str) -> None:
    """Whatever a removed input holds, and whatever a removed weight is, the logits stay."""
    network, data = EXAMPLES[name].network(), EXAMPLES[name].patients(0, 9)
    masks = (random_mask(network, seed, keep=0.5) for seed in range(9))
    mask = next(mask for mask in masks if not mask.groups["inputs"].all())
    before = logits_of(network, data.inputs, mask)
    gone = ~mask.groups["inputs"].numpy()
    codes = len(network.spec.layers[0].codes())
    other = data.inputs.copy()
    other[..., gone] = other[::-1][..., gone] + (0 if codes else 7.0)
    with torch.no_grad():
        for weight_name, weight in network.weights().items():
            weight.add_(9.0 * ~mask.weights[weight_name])
    torch.testing.assert_close(logits_of(network, other, mask), before)


def brute_force(
    network: KindNetwork, data: Arrays, criterion: str, mask: KindMask
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Scores from one backward pass a patient, straight from the definitions."""
    inputs, outcome = torch.from_numpy(data.inputs), torch.from_numpy(data.outcome)
    weights = {name: w.detach().requires_grad_(True) for name, w in network.masked_weights(mask).items()}
    gates = {name: kept.float().requires_grad_(True) for name, kept in mask.groups.items()}
    leaves = [*weights.values(), *gates.values()]

    def risks(place: int) -> torch.Tensor:
        keep = Keeping(mask, gates=gates)
        logits = torch.func.functional_call(network, weights, (inputs[place : place + 1], keep))
        return torch.softmax(logits[0], dim=0)

    with torch.no_grad():
        everyone = torch.stack([risks(n) for n in range(len(inputs))])
    rates = torch.stack([everyone[outcome == k].mean(dim=0) for k in range(2)])
    totals = [torch.zeros_like(leaf, dtype=torch.float64) for leaf in leaves]
    for n in range(len(inputs)):
        p = risks(n)
        if criterion == "class_contribution":
            targets = [(p @ rates[:, j]) / 2 for j in range(2)]
        elif criterion == "contribution":
            targets = [p[outcome[n]]]
        else:
            targets = [-torch.log(p[outcome[n]])]
        for target in targets:
            slopes = torch.autograd.grad(target, leaves, retain_graph=True, allow_unused=True)
            for total, slope, leaf in zip(totals, slopes, leaves, strict=True):
                if slope is not None:
                    moved = (slope * leaf.detach()).double()
                    total.add_(moved.square() if criterion == "fisher" else moved.abs())
    found = [(total / len(inputs)).numpy() for total in totals]
    cut = len(weights)
    return dict(zip(weights, found[:cut], strict=True)), dict(zip(gates, found[cut:], strict=True))


@each_example
@pytest.mark.parametrize("criterion", ["contribution", "class_contribution", "taylor", "fisher"])
def test_scores_equal_one_gradient_a_patient(name: str, criterion: str) -> None:
    network, data = EXAMPLES[name].network(), EXAMPLES[name].patients(0, 4)
    for mask in (network.full_mask(), random_mask(network, 1, keep=0.8)):
        scores = score_kind(network, data, criterion, mask=mask)
        weights, groups = brute_force(network, data, criterion, mask)
        for found, expected in ((scores.weights, weights), (scores.groups, groups)):
            assert found.keys() == expected.keys()
            for key, value in expected.items():
                np.testing.assert_allclose(found[key], value, rtol=2e-4, atol=1e-6, err_msg=key)


@each_example
def test_a_groups_score_agrees_with_removing_it(name: str) -> None:
    """The slope along a gate is that of the path from kept to its constant: checked by a small step."""
    network, data = EXAMPLES[name].network().double(), EXAMPLES[name].patients(0, 4)
    mask = random_mask(network, 5, keep=1.0)
    x, step = torch.from_numpy(data.inputs).double(), 1e-5
    weights = network.masked_weights(mask)

    def logits(gates: dict[str, torch.Tensor]) -> torch.Tensor:
        return torch.func.functional_call(network, weights, (x, Keeping(mask, gates=gates))).detach()

    kept = {key: groups.double() for key, groups in mask.groups.items()}
    scores = score_kind(network.float(), data, "taylor", mask=mask)
    network.double()
    truth = torch.nn.functional.one_hot(torch.from_numpy(data.outcome), 2)
    for key, groups in kept.items():
        for place in range(len(groups)):
            losses = []
            for way in (1 + step, 1 - step):
                moved = groups.clone()
                moved[place] = way
                losses.append(-(torch.log_softmax(logits({**kept, key: moved}), 1) * truth).sum(1))
            slope = (losses[0] - losses[1]).abs().mean() / (2 * step)
            assert scores.groups[key][place] == pytest.approx(float(slope), rel=1e-3, abs=1e-5)


@each_example
@pytest.mark.parametrize("criterion", ["magnitude", "random"])
def test_scores_that_look_at_no_patient(name: str, criterion: str) -> None:
    network, data = EXAMPLES[name].network(), EXAMPLES[name].patients(0, 6)
    mask = random_mask(network, 2, keep=0.8)
    scores = score_kind(network, data, criterion, mask=mask, seed=4)
    for found, kept in ((scores.weights, mask.weights), (scores.groups, mask.groups)):
        for key, part in found.items():
            assert part.shape == tuple(kept[key].shape)
            assert (part[~kept[key].numpy()] == 0).all()
    if criterion == "magnitude":
        for key, weight in network.weights().items():
            np.testing.assert_allclose(
                scores.weights[key], (weight * mask.weights[key]).abs().detach().numpy(), rtol=1e-6
            )


@each_example
def test_training_lowers_the_tuning_loss_and_its_seed_decides(name: str) -> None:
    example = EXAMPLES[name]
    data = example.patients(0, 120), example.patients(120, 160)
    network = initial(example.spec, 0)
    losses = [epoch.tuning_loss for epoch, _ in fit_steps(network, *data, schedule=QUICK)]
    assert min(losses) < losses[0] - 0.005
    first, again, other = (fit_kind(network, *data, schedule=QUICK, seed=seed) for seed in (0, 0, 1))
    states = [torch.cat([p.flatten() for p in trained.parameters()]) for trained in (first, again, other)]
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@each_example
@pytest.mark.parametrize("granularity", ["weight", "neuron", "feature"])
def test_a_path_is_nested_and_pure(name: str, granularity: str) -> None:
    example = EXAMPLES[name]
    data = example.patients(0, 60), example.patients(60, 100)
    network = example.network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    schedule, shares = Schedule(epochs=1), (0.7,) if granularity == "weight" else (0.4, 0.8)
    path = list(prune_kind(network, *data, granularity=granularity, sparsities=shares, schedule=schedule))
    assert len(path) >= 2
    for larger, smaller in pairwise(path):
        assert smaller.mask.within(larger.mask)
        assert smaller.sparsity > larger.sparsity
        assert smaller.stored <= larger.stored
        assert refusal(smaller.network, smaller.mask) is None
        compact = compact_kind(smaller.network, smaller.mask)
        torch.testing.assert_close(
            logits_of(compact.network, compact.take(data[1].inputs)),
            logits_of(smaller.network, data[1].inputs, smaller.mask),
            atol=1e-5,
            rtol=1e-5,
        )
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


@each_example
def test_scoring_leaves_the_network_as_found(name: str) -> None:
    network, data = EXAMPLES[name].network().train(), EXAMPLES[name].patients(0, 6)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    for criterion in ("contribution", "magnitude"):
        score_kind(network, data, criterion)
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@each_example
def test_no_set_is_ever_emptied(name: str) -> None:
    network = EXAMPLES[name].network()
    full = network.full_mask()
    for key in full.groups:
        empty = full.keeping_groups({key: torch.zeros_like(full.groups[key])}, {})
        with pytest.raises(BadInput, match=key if key != network.stream.groups else "."):
            compact_kind(network, empty)
