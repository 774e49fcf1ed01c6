"""The sample that a sweep answers from first: who is drawn, and what it says of all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from medprune import BadInput, load_cohort, score, sweep
from medprune.performance import auroc
from medprune.ranked import Sampled, measures
from medprune.sampling import stratified
from tests.makers import patient_cohort, untrained_model


def test_rare_classes_are_drawn_whole_and_the_sample_is_as_big_as_asked() -> None:
    outcome = np.repeat([0, 1, 2], [9_000, 900, 20])
    rows = stratified(outcome, 3, 600, seed=1)
    drawn = np.bincount(outcome[rows])
    assert len(rows) == len(set(rows)) == 600
    assert drawn[2] == 20
    assert drawn[1] > 100
    np.testing.assert_array_equal(rows, stratified(outcome, 3, 600, seed=1))
    assert (rows != stratified(outcome, 3, 600, seed=2)).any()


def test_a_sample_of_all_is_exact_and_one_of_some_says_so() -> None:
    cohort = patient_cohort(400)
    model = untrained_model(cohort)
    scored = score(model, cohort.train)
    exact = sweep(model, cohort.train, scored, 5)
    pd.testing.assert_frame_equal(exact.table, sweep(model, cohort.train, scored, 5, sample=10_000).table)
    some = sweep(model, cohort.train, scored, 5, sample=100)
    assert some.sampled == 100
    assert some.patients == len(cohort.train)
    assert (some.table["auroc_low"] < some.table["auroc"]).all()
    assert (some.table["auroc"] < some.table["auroc_high"]).all()
    np.testing.assert_array_equal(
        some.confusion.sum(axis=2), np.broadcast_to(np.bincount(cohort.train.outcome), (5, 2))
    )
    with pytest.raises(BadInput, match="too small"):
        sweep(model, cohort.train, scored, 5, sample=1)


@pytest.mark.parametrize("classes", [2, 3])
def test_nineteen_of_twenty_intervals_hold_the_auroc_of_all(classes: int) -> None:
    """Of 300 samples; at a coverage of .95 a share outside .91 to .985 is drawn once in 300 goes."""
    rng = np.random.default_rng(5)
    outcome = rng.choice(classes, size=3_000, p=[0.9, 0.1] if classes == 2 else [0.8, 0.15, 0.05])
    logits = rng.normal(size=(3_000, classes)) + np.eye(classes)[outcome]
    risks = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    risks = np.round(risks, 2)  # some are tied
    truth, of = auroc(outcome, risks), np.bincount(outcome)
    held = []
    for seed in range(300):
        rows = stratified(outcome, classes, 500, seed)
        found = measures(outcome[rows], risks[rows].T[None], 0.5, Sampled(of))
        held.append(found.auroc_low[0] <= truth <= found.auroc_high[0])
    assert 0.91 <= np.mean(held) <= 0.985


def test_counts_of_a_sample_are_weighted_back_to_the_split() -> None:
    """The rare class is drawn more densely: unweighted, all that hangs on prevalence would be off."""
    rng = np.random.default_rng(0)
    outcome = (rng.random(20_000) < 0.05).astype(np.int64)
    risk = 1 / (1 + np.exp(-rng.normal(size=20_000) - 2 * outcome))
    risks = np.stack([1 - risk, risk], axis=1)
    exact = measures(outcome, risks.T[None])
    rows = stratified(outcome, 2, 4_000, seed=0)
    some = measures(outcome[rows], risks[rows].T[None], 0.5, Sampled(np.bincount(outcome)))
    for metric in ("accuracy", "auprc", "f1", "net_benefit", "brier"):
        assert some.metrics[metric][0] == pytest.approx(exact.metrics[metric][0], abs=0.02), metric
    assert some.acted[0, 9, 0, 1] == pytest.approx(exact.acted[0, 9, 0, 1], rel=0.05)


def test_a_sample_sorted_without_a_mistake_still_has_an_interval() -> None:
    cohort = load_cohort(pd.DataFrame({"x": np.arange(200.0), "y": np.arange(200) % 2}), outcome="y", seed=0)
    outcome = cohort.train.outcome
    risk = np.where(outcome == 1, 0.9, 0.1)
    found = measures(outcome, np.stack([1 - risk, risk])[None], 0.5, Sampled(np.array([1_000, 1_000])))
    assert found.metrics["auroc"][0] == found.auroc_high[0] == 1.0
    assert 0.8 < found.auroc_low[0] < 1.0
