"""Laws of the scores: equal to their definition, additive, and blind to what must not matter."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch.func import functional_call, grad, vmap

from medprune import MLP, score, train
from medprune.criteria import CRITERIA
from medprune.criteria.class_contribution import class_rates
from medprune.criteria.contribution import Contribution
from medprune.model import RiskModel
from medprune.network import NetworkSpec
from medprune.preparation import fit_preparation
from medprune.scoring import sum_scores
from medprune.training import Prepared
from tests.makers import patient_cohort, random_mask, random_network, tails, untrained_model

GRADIENT = ("contribution", "taylor", "class_contribution")


def brute_force_weights(
    model: RiskModel, x: torch.Tensor, y: torch.Tensor, criterion: str
) -> dict[str, torch.Tensor]:
    """Mean over patients of |w * the patient's own gradient|, by torch.func, one patient at a time."""
    parameters = {name: p.double() for name, p in model.network.named_parameters()}
    buffers = {name: b.double() if b.is_floating_point() else b for name, b in model.network.named_buffers()}

    def risks(p: dict[str, torch.Tensor], row: torch.Tensor) -> torch.Tensor:
        logits = functional_call(model.network, (p, buffers), (row[None, :],))
        return torch.softmax(logits, dim=1)[0]

    if criterion == "class_contribution":
        rates = class_rates(model, iter([(x.float(), y)]))
        total = {name: torch.zeros_like(p) for name, p in parameters.items()}
        for j in range(len(model.classes)):
            slopes = vmap(grad(lambda p, row, j=j: risks(p, row) @ rates[:, j]), in_dims=(None, 0))(
                parameters, x
            )
            for name, p in parameters.items():
                total[name] += (p * slopes[name]).abs().mean(0) / len(model.classes)
        return total
    if criterion == "contribution":
        slopes = vmap(grad(lambda p, row, k: risks(p, row).gather(0, k[None])[0]), in_dims=(None, 0, 0))(
            parameters, x, y
        )
    else:
        slopes = vmap(
            grad(lambda p, row, k: -risks(p, row).gather(0, k[None])[0].log()), in_dims=(None, 0, 0)
        )(parameters, x, y)
    return {name: (p * slopes[name]).abs().mean(0) for name, p in parameters.items()}


@pytest.mark.parametrize("criterion", GRADIENT)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_weight_scores_equal_their_definition(criterion: str, classes: int, norm: str) -> None:
    cohort = patient_cohort(classes=classes)
    model = untrained_model(cohort, MLP(hidden=(4,), activation="tanh", norm=norm, dropout=0.5))
    scored = score(model, cohort.train, criterion)
    x = torch.from_numpy(model.prepared(cohort.train)).double()
    exact = brute_force_weights(model, x, torch.from_numpy(cohort.train.outcome), criterion)
    for layer, scores in enumerate(scored.weight_scores):
        np.testing.assert_allclose(scores, exact[f"layers.{layer}.weight"].numpy(), rtol=1e-4, atol=1e-7)


def test_unit_and_feature_scores_equal_their_definition() -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort, MLP(hidden=(4, 3), activation="silu"))
    scored = score(model, cohort.train, "contribution")
    x = torch.from_numpy(model.prepared(cohort.train)).requires_grad_(True)
    y = torch.from_numpy(cohort.train.outcome)
    units = [torch.zeros(4), torch.zeros(3)]
    features = torch.zeros(len(model.features))
    reference = torch.from_numpy(model.preparation.reference)
    place = torch.from_numpy(model.preparation.feature_of_column)
    for row, truth in zip(x, y, strict=True):
        trace = model.network.trace(row[None, :])
        risk = torch.softmax(trace.logits, dim=1)[0, truth]
        slopes = torch.autograd.grad(risk, trace.inputs)
        for layer in (1, 2):
            units[layer - 1] += (trace.inputs[layer] * slopes[layer])[0].abs().detach()
        moved = ((row - reference) * slopes[0][0]).detach()
        features += torch.zeros_like(features).index_add(0, place, moved).abs()
    for scores, exact in zip((*scored.unit_scores, scored.feature_scores), (*units, features), strict=True):
        np.testing.assert_allclose(scores, exact.numpy() / len(y), rtol=1e-4, atol=1e-7)


def test_magnitude_is_the_weight() -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort)
    for scores, weight in zip(
        score(model, cohort.train, "magnitude").weight_scores, model.network.weights(), strict=True
    ):
        np.testing.assert_allclose(scores, weight.abs().numpy(), rtol=1e-6)


@pytest.mark.parametrize("criterion", ["contribution", "taylor"])
def test_scores_agree_with_true_ablation_on_a_trained_network(criterion: str) -> None:
    """Against the mean absolute change of each patient's own probability (or loss), not of the mean loss."""
    cohort = patient_cohort(rows=400)
    model = train(cohort, MLP(hidden=(8, 6), dropout=0.0), seed=1)
    scored = score(model, cohort.train, criterion)
    x, y = torch.from_numpy(model.prepared(cohort.train)), torch.from_numpy(cohort.train.outcome)

    def measured(network: torch.nn.Module) -> torch.Tensor:
        own = torch.softmax(network(x), dim=1).gather(1, y[:, None])[:, 0]
        return own if criterion == "contribution" else -own.log()

    with torch.no_grad():
        before, ablated = measured(model.network), []
        for layer, weight in enumerate(model.network.weights()):
            for place in np.ndindex(*weight.shape):
                other = copy.deepcopy(model.network)
                other.layers[layer].weight[place] = 0.0
                ablated.append(float((measured(other) - before).abs().mean()))
    scores = np.concatenate([s.ravel() for s in scored.weight_scores])
    assert spearmanr(scores, ablated).statistic >= 0.95


LOOKS_AT_PATIENTS = [name for name in CRITERIA.names() if CRITERIA.get(name).needs_patients]


@pytest.mark.parametrize("criterion", LOOKS_AT_PATIENTS)
def test_merged_sums_equal_one_pass(criterion: str) -> None:
    cohort = patient_cohort(classes=3)
    model = untrained_model(cohort)
    everyone = Prepared(model.prepared(cohort.train), cohort.train.outcome)
    chosen = CRITERIA.make(criterion).ready(
        model, iter([(torch.from_numpy(everyone.columns), torch.from_numpy(everyone.outcome))])
    )
    whole = sum_scores(model, everyone, chosen)
    parts = [Prepared(everyone.columns[k::3], everyone.outcome[k::3]) for k in range(3)]
    merged = sum_scores(model, parts[0], chosen)
    for part in parts[1:]:
        merged = merged.merge(sum_scores(model, part, chosen))
    pairs = zip(
        [*whole.weights, *whole.units, whole.features],
        [*merged.weights, *merged.units, merged.features],
        strict=True,
    )
    for a, b in pairs:
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-6)
    assert whole.patients.tolist() == merged.patients.tolist()


@pytest.mark.parametrize("criterion", CRITERIA.names())
def test_scoring_leaves_the_network_as_found(criterion: str) -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort, MLP(hidden=(6, 5), norm="batch", dropout=0.5))
    before = {name: value.clone() for name, value in model.network.state_dict().items()}
    first = score(model, cohort.train, criterion)
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name])
    assert not model.network.training
    again = score(model, cohort.train, criterion)
    np.testing.assert_array_equal(first.feature_scores, again.feature_scores)


def test_a_features_score_does_not_depend_on_its_unit() -> None:
    cohort = patient_cohort(300)
    grams = cohort.train.frame
    milligrams = grams.assign(lactate=grams["lactate"] * 1000)
    model = untrained_model(cohort)
    sums = []
    for frame in (grams, milligrams):
        preparation = fit_preparation(frame, cohort.features)
        data = Prepared(preparation.transform(frame), cohort.train.outcome)
        sums.append(sum_scores(replace(model, preparation=preparation), data, Contribution()))
    np.testing.assert_allclose(sums[0].features.numpy(), sums[1].features.numpy(), rtol=1e-4, atol=1e-6)


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_permuting_patients_changes_nothing(seed: int) -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort)
    data = Prepared(model.prepared(cohort.train), cohort.train.outcome)
    order = np.random.default_rng(seed).permutation(len(data.outcome))
    a = sum_scores(model, data, Contribution())
    b = sum_scores(model, Prepared(data.columns[order], data.outcome[order]), Contribution())
    for left, right in zip(a.weights, b.weights, strict=True):
        np.testing.assert_allclose(left.numpy(), right.numpy(), rtol=1e-4, atol=1e-6)


@given(st.integers(0, 2**31), st.sampled_from(["none", "batch", "layer"]))
@settings(max_examples=20)
def test_permuting_hidden_units_permutes_their_scores(seed: int, norm: str) -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort, MLP(hidden=(6, 5), norm=norm), seed=seed % 1000)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(6))
    moved = copy.deepcopy(model.network)
    with torch.no_grad():
        first, second = moved.layers[0], moved.layers[1]
        first.weight.copy_(first.weight[order].clone())
        first.bias.copy_(first.bias[order].clone())
        second.weight.copy_(second.weight[:, order].clone())
        if moved.tails[0].norm is not None:
            for value in moved.tails[0].norm.state_dict().values():
                if value.dim() == 1:
                    value.copy_(value[order].clone())
    a = score(model, cohort.train)
    b = score(replace(model, network=moved), cohort.train)
    np.testing.assert_allclose(a.weight_scores[0][order.numpy()], b.weight_scores[0], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(a.unit_scores[0][order.numpy()], b.unit_scores[0], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(a.feature_scores, b.feature_scores, rtol=1e-3, atol=1e-6)


def test_with_constant_rates_the_second_formula_is_zero() -> None:
    """sum_k p_k dlog p_k = 0: without a P[k,j] that differs over k nothing is left."""
    cohort = patient_cohort(classes=3)
    model = untrained_model(cohort)
    constant = tuple((0.2, 0.3, 0.5) for _ in range(3))
    scored = score(model, cohort.train, "class_contribution", rates=constant)
    assert max(scores.max() for scores in scored.weight_scores) < 1e-6


def test_with_identity_rates_the_second_formula_is_the_first_with_y_equal_j() -> None:
    cohort = patient_cohort(classes=3)
    model = untrained_model(cohort)
    identity = tuple(tuple(float(k == j) for j in range(3)) for k in range(3))
    scored = score(model, cohort.train, "class_contribution", rates=identity)
    x = model.prepared(cohort.train)
    for j in range(3):
        as_j = Prepared(x, np.full(len(x), j))
        expected = sum_scores(model, as_j, Contribution()).weights[0][j].numpy() / len(x)
        np.testing.assert_allclose(scored.weights_by_class[0][j], expected, rtol=1e-4, atol=1e-7)


def test_for_two_classes_the_second_formula_scores_both_alike() -> None:
    cohort = patient_cohort()
    scored = score(untrained_model(cohort), cohort.train, "class_contribution")
    np.testing.assert_allclose(scored.features_by_class[0], scored.features_by_class[1], rtol=1e-4, atol=1e-7)


@given(st.integers(0, 2**31))
@settings(max_examples=20)
def test_removed_weights_score_nothing(seed: int) -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort)
    mask = random_mask(model.network, seed, 0.6)
    masked = replace(model, mask=mask)
    for criterion in CRITERIA.names():
        scored = score(masked, cohort.train, criterion)
        for scores, alive in zip(scored.weight_scores, mask.alive_weights(), strict=True):
            assert (scores[~alive.numpy()] == 0).all()


def test_random_network_spec_is_used() -> None:
    """The maker gives networks whose normalisation statistics matter (guards the tests above)."""
    network = random_network(NetworkSpec(3, tails(4, norm="batch"), 2))
    assert not torch.allclose(network.tails[0].norm.running_var, torch.ones(4))
