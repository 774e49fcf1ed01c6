"""Metrics against scikit-learn, and the weighted ones of the bootstrap against repeated rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from medprune import BadInput, performance
from medprune.performance import (
    METRICS,
    auprc,
    auroc,
    check_metric,
    decisions,
    higher_is_better,
    log_loss,
    net_benefit,
)
from medprune.selection import bootstrap_weights, weighted_metric

cases = st.tuples(st.integers(0, 2**31), st.integers(20, 80), st.integers(2, 4), st.booleans())


def made(seed: int, n: int, classes: int, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    outcome = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    risks = rng.dirichlet(np.ones(classes), n)
    if ties:
        risks = np.round(risks, 1) + 0.05
        risks /= risks.sum(axis=1, keepdims=True)
    return outcome, risks


@given(cases)
def test_metrics_equal_scikit_learn(case: tuple[int, int, int, bool]) -> None:
    outcome, risks = made(*case)
    ours, k = performance(outcome, risks), risks.shape[1]
    decided = decisions(risks)
    average = "binary" if k == 2 else "macro"
    assert ours.accuracy == pytest.approx(metrics.accuracy_score(outcome, decided))
    assert ours.f1 == pytest.approx(metrics.f1_score(outcome, decided, average=average, zero_division=0))
    assert ours.sensitivity == pytest.approx(metrics.recall_score(outcome, decided, average=average))
    assert ours.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(outcome, decided))
    if k == 2:
        assert ours.auprc == pytest.approx(metrics.average_precision_score(outcome, risks[:, 1]))
        assert ours.auroc == pytest.approx(metrics.roc_auc_score(outcome, risks[:, 1]))
        assert ours.brier == pytest.approx(metrics.brier_score_loss(outcome, risks[:, 1]))
        assert ours.specificity == pytest.approx(metrics.recall_score(outcome, decided, pos_label=0))
    else:
        truth = np.eye(k)[outcome]
        assert ours.auprc == pytest.approx(metrics.average_precision_score(truth, risks, average="macro"))
        assert ours.auroc == pytest.approx(metrics.roc_auc_score(outcome, risks, multi_class="ovr"))
        against = [metrics.recall_score(outcome != c, decided != c) for c in range(k)]
        assert ours.specificity == pytest.approx(np.mean(against))
    assert log_loss(outcome, risks) == pytest.approx(metrics.log_loss(outcome, risks, labels=range(k)))


@given(cases, st.floats(0, 0.99))
def test_net_benefit_is_its_definition(case: tuple[int, int, int, bool], act_at: float) -> None:
    """Vickers and Elkin: TP / n - FP / n * t / (1 - t), for every class that can be acted on."""
    outcome, risks = made(*case)
    classes = [1] if risks.shape[1] == 2 else range(risks.shape[1])
    each = []
    for k in classes:
        acted = [risk[k] >= act_at for risk in risks]
        right = sum(a and y == k for a, y in zip(acted, outcome, strict=True))
        wrong = sum(a and y != k for a, y in zip(acted, outcome, strict=True))
        each.append((right - wrong * act_at / (1 - act_at)) / len(outcome))
    assert net_benefit(outcome, risks, act_at) == pytest.approx(np.mean(each))


def test_net_benefit_at_the_ends() -> None:
    outcome, risks = made(0, 40, 2, ties=False)
    assert net_benefit(outcome, risks, 0.0) == pytest.approx(outcome.mean())  # everyone is treated
    assert np.isnan(net_benefit(outcome, risks, 1.0))
    with pytest.raises(BadInput, match="no net benefit of acting at a risk of 1"):
        weighted_metric("net_benefit", outcome, risks, np.ones((1, 40)), act_at=1.0)


def test_only_errors_are_better_when_smaller() -> None:
    assert [metric for metric in METRICS if not higher_is_better(metric)] == ["brier"]
    with pytest.raises(BadInput, match="Metric must be one of"):
        higher_is_better("loss")


@pytest.mark.parametrize("act_at", [0.2, 0.5])
@given(case=cases, metric=st.sampled_from(METRICS))
def test_weighted_metrics_equal_repeated_rows(
    case: tuple[int, int, int, bool], metric: str, act_at: float
) -> None:
    outcome, risks = made(*case)
    weights = np.random.default_rng(case[0]).integers(1, 4, (3, len(outcome)))
    values = weighted_metric(metric, outcome, risks, weights.astype(float), act_at)
    for row, value in zip(weights, values, strict=True):
        again = performance(np.repeat(outcome, row), np.repeat(risks, row, axis=0), act_at)
        assert value == pytest.approx(again[metric])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("metric", [auroc, auprc])
@pytest.mark.parametrize("only", [0, 1])
def test_sorting_patients_of_one_class_is_not_a_number(metric, classes: int, only: int) -> None:
    outcome, risks = np.full(5, only), np.full((5, classes), 1 / classes)
    assert np.isnan(metric(outcome, risks))
    assert np.isnan(weighted_metric(metric.__name__, outcome, risks, np.ones((2, 5)), 0.5)).all()


def test_the_cut_off_is_inclusive() -> None:
    assert decisions(np.array([[0.8, 0.2], [0.81, 0.19]]), act_at=0.2).tolist() == [1, 0]


def test_an_unknown_metric_is_named() -> None:
    with pytest.raises(BadInput, match=r"Metric must be one of auroc, .*, got 'auc'"):
        check_metric("auc")


def test_the_bootstrap_draws_patients_within_their_outcome() -> None:
    outcome = np.array([0, 0, 1, 1, 1, 0])
    patients = np.array([1, 1, 2, 2, 3, 4], dtype=np.uint64)
    weights = bootstrap_weights(outcome, patients, 200, np.random.default_rng(0))
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == weights[:, 3]).all()
    assert (weights[:, 0] + weights[:, 5] == 2).all()
    assert (weights[:, 2] + weights[:, 4] == 2).all()
    assert abs(weights[:, 0].mean() - 1) < 0.2
