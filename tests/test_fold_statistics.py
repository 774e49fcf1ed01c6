"""Standard errors over folds and the rules that choose, against known answers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from medprune.fold_statistics import FOLD_RULES, estimate, non_inferior, one_se, pick, standard_error


def test_the_standard_error_is_corrected_for_shared_train_patients() -> None:
    values = np.array([0.8, 0.9, 0.85, 0.7, 0.95])
    plain = stats.sem(values)
    assert standard_error(values, 5) == pytest.approx(plain * np.sqrt((1 / 5 + 1 / 4) * 5))
    assert standard_error(values[None], 5)[0] == standard_error(values, 5)


def test_repeats_cannot_make_the_error_vanish() -> None:
    """More repeats of the same patients: the plain error goes to zero, the corrected one does not."""
    values = np.tile([0.8, 0.9, 0.85, 0.7, 0.95], 1000)
    assert stats.sem(values) < 0.002
    assert standard_error(values, 5) > values.std() / 2


def test_the_interval_is_students() -> None:
    found = estimate(np.array([0.1, 0.2, 0.3]), 3)
    half = stats.t.ppf(0.975, 2) * found.se
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.2 - half, 0.2 + half))


def test_the_interval_of_the_mean_covers_it_as_often_as_it_says() -> None:
    """Runs that share their train patients: the variance between runs misses what they share.

    Each run is truth + a part shared by pairs of runs in proportion rho + its own; with rho = 1 / folds,
    the share that the correction assumes, the interval covers in 95 of 100.
    """
    rng, folds = np.random.default_rng(0), 5
    rho = 1 / folds
    shared = np.sqrt(rho) * rng.normal(size=(4000, 1))
    runs = shared + np.sqrt(1 - rho) * rng.normal(size=(4000, folds))
    errors = standard_error(runs, folds)
    covered = np.abs(runs.mean(axis=1)) < stats.t.ppf(0.975, folds - 1) * errors
    assert covered.mean() == pytest.approx(0.95, abs=0.015)
    plain = np.abs(runs.mean(axis=1)) < stats.t.ppf(0.975, folds - 1) * stats.sem(runs, axis=1)
    assert plain.mean() < 0.90


SCORES = np.array([[0.80, 0.82, 0.84], [0.83, 0.85, 0.87], [0.82, 0.85, 0.86], [0.60, 0.85, 0.70]])
SIZES = np.array([100.0, 50.0, 20.0, 5.0])


def chosen(rule: str, scores: np.ndarray = SCORES, margin: float = 0.02) -> int:
    limits = FOLD_RULES[rule](scores, scores[0], 3, margin)
    return pick(scores.mean(axis=1), limits, SIZES[: len(scores)])


def test_one_standard_error_is_of_the_paired_difference() -> None:
    best = SCORES[1]
    limits = one_se(SCORES, SCORES[0], 3, 0.02)
    np.testing.assert_allclose(limits, best.mean() - standard_error(SCORES - best, 3))
    assert limits[0] == pytest.approx(best.mean()), "a steady difference has no error: dense is worse"
    assert chosen("one-se") == 1
    close = SCORES.copy()
    close[2] = [0.82, 0.86, 0.86]  # on average 0.003 less, now more, now less
    assert chosen("one-se", close) == 2


def test_what_swings_with_the_folds_cannot_pass_as_non_inferior() -> None:
    assert chosen("non-inferior") == 2
    assert chosen("non-inferior", margin=0.9) == 3
    worse = np.array([[0.80, 0.82, 0.84], [0.75, 0.77, 0.79], [0.78, 0.83, 0.81]])
    assert chosen("non-inferior", worse) == 0, "dense is never inferior to itself"


def test_non_inferior_is_the_one_sided_interval() -> None:
    dense, other = np.array([0.8, 0.9, 0.85]), np.array([0.82, 0.88, 0.86])
    limit = non_inferior(np.array([dense, other]), dense, 3, 0.02)[1]
    change = other - dense
    low = change.mean() - stats.t.ppf(0.95, 2) * standard_error(change, 3)
    assert (other.mean() >= limit) == (low >= -0.02)
    assert other.mean() - limit == pytest.approx(low + 0.02)


def test_whatever_it_costs() -> None:
    assert chosen("smallest") == 3


def test_of_two_as_small_the_better() -> None:
    assert pick(np.array([0.9, 0.8, 0.85]), np.full(3, -np.inf), np.array([9.0, 5.0, 5.0])) == 2


def test_when_nothing_passes_the_best_is_taken() -> None:
    assert pick(np.array([0.7, 0.8, 0.75]), np.full(3, 0.9), np.array([9.0, 5.0, 2.0])) == 1
