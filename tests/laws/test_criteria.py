"""Laws of single formulas; what holds for every criterion is in tests/contracts/test_criteria.py."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from medprune import MLP, score
from medprune.criteria import CRITERIA
from medprune.criteria.contribution import Contribution
from medprune.network import NetworkSpec
from medprune.scoring import contributions_from, sum_batches, sum_scores
from medprune.training import Prepared
from tests.makers import patient_cohort, random_network, tails, untrained_model


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
        expected = sum_scores(model, as_j, Contribution()).scores.weights[0][j].numpy() / len(x)
        np.testing.assert_allclose(scored.weights_by_class[0][j], expected, rtol=1e-4, atol=1e-7)


def test_for_two_classes_the_second_formula_scores_both_alike() -> None:
    cohort = patient_cohort()
    scored = score(untrained_model(cohort), cohort.train, "class_contribution")
    np.testing.assert_allclose(scored.features_by_class[0], scored.features_by_class[1], rtol=1e-4, atol=1e-7)


def test_the_slope_of_a_risk_is_bounded_by_the_fisher_information() -> None:
    """For two classes F = E p_0 p_1 s^2, and (E |p_0 p_1 s|)^2 <= E p_0 p_1 s^2 / 4."""
    cohort = patient_cohort()
    model = untrained_model(cohort)
    own = score(model, cohort.train, "fisher", expected=True)
    rates = ((1.0, 0.0), (0.0, 1.0))
    slope = score(model, cohort.train, "class_contribution", rates=rates)  # E |p_0 p_1 s|
    assert (np.square(slope.features_by_class[1]) <= own.feature_scores / 4 + 1e-12).all()


def test_what_is_added_to_every_logit_carries_no_relevance() -> None:
    """It changes no risk; the relevance of units and features, and of all earlier weights, stays."""
    cohort = patient_cohort(classes=3)
    model = untrained_model(cohort)
    moved = copy.deepcopy(model.network)
    with torch.no_grad():
        last = moved.layers[-1]
        last.weight.add_(torch.linspace(-1, 1, last.weight.shape[1]))
        last.bias.add_(0.7)
    a = score(model, cohort.train, "lrp")
    b = score(replace(model, network=moved), cohort.train, "lrp")
    for left, right in zip(a.weight_scores[:-1], b.weight_scores[:-1], strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    for left, right in zip(a.unit_scores, b.unit_scores, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(a.feature_scores, b.feature_scores, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3])
def test_without_epsilon_and_biases_relevance_is_gradient_times_input(classes: int) -> None:
    """Of a ReLU network without biases (Ancona et al., ICLR 2018): of the centred logit, here by autograd."""
    cohort = patient_cohort(classes=classes)
    model = untrained_model(cohort, MLP(hidden=(6, 5), dropout=0.0))
    for layer in model.network.layers:
        layer.bias.zero_()
    scored = score(model, cohort.train, "lrp", epsilon=1e-6)
    x = torch.from_numpy(model.prepared(cohort.train)).requires_grad_(True)
    y = torch.from_numpy(cohort.train.outcome)
    logits = model.network(x)
    evidence = logits.gather(1, y[:, None])[:, 0] - logits.mean(dim=1)
    [slopes] = torch.autograd.grad(evidence.sum(), [x])
    place = torch.from_numpy(model.preparation.feature_of_column)
    exact = torch.zeros(len(x), len(model.features)).index_add_(1, place, (x * slopes).detach())
    np.testing.assert_allclose(scored.feature_scores, exact.abs().mean(dim=0), rtol=1e-3, atol=1e-5)
    signed = exact.sum(dim=1)
    np.testing.assert_allclose(signed, evidence.detach(), rtol=1e-3, atol=1e-4)  # nothing is lost on the way


def test_random_network_spec_is_used() -> None:
    """The maker gives networks whose normalisation statistics matter (guards the contract tests)."""
    network = random_network(NetworkSpec(3, tails(4, norm="batch"), 2))
    assert not torch.allclose(network.tails[0].norm.running_var, torch.ones(4))


@pytest.mark.parametrize("name", ["contribution", "class_contribution", "activation", "random"])
def test_batches_from_anywhere_are_the_same_sums(name: str) -> None:
    """They may come from a file, once for what a criterion must learn first and once for the scores."""
    cohort = patient_cohort(classes=3)
    model = untrained_model(cohort)
    data = Prepared(model.prepared(cohort.train), cohort.train.outcome)

    def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for start in range(0, len(data.columns), 17):
            some = slice(start, start + 17)
            yield torch.from_numpy(data.columns[some]), torch.from_numpy(data.outcome[some])

    criterion = CRITERIA.make(name)
    whole, parts = (
        sum_scores(model, data, criterion, squares=True),
        sum_batches(model, batches, criterion, squares=True),
    )
    torch.testing.assert_close(parts.patients, whole.patients)
    pairs = [(parts.scores, whole.scores)]
    if whole.squares is not None and parts.squares is not None:
        pairs.append((parts.squares, whole.squares))
    for a, b in pairs:
        for left, right in zip(
            [*a.weights, *a.units, a.features], [*b.weights, *b.units, b.features], strict=True
        ):
            torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


def test_effective_patients_are_counted_when_asked_as_if_at_once() -> None:
    cohort = patient_cohort()
    model = untrained_model(cohort)
    data = Prepared(model.prepared(cohort.train), cohort.train.outcome)
    for balanced in (False, True):
        later = score(model, cohort.train, balanced=balanced)
        sums = sum_scores(model, data, Contribution(), squares=True)
        now = contributions_from(model, "contribution", sums, patients=len(data.outcome), balanced=balanced)
        for granularity in ("weight", "neuron", "feature"):
            asked, known = later.effective_patients(granularity), now.effective_patients(granularity)
            for a, b in zip(asked, known, strict=True):
                np.testing.assert_array_equal(a, b)
                assert (a > 0).any()
