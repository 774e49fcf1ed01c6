"""Numbers over the runs of a cross-validation, and the rules that choose from them.

A run is one fold of one repeat. Options are compared run by run: what makes a fold hard makes it hard for
all. Runs share train patients, so their plain standard error is too small; it is corrected as Nadeau and
Bengio (Machine Learning 2003) do, for repeated folds as Bouckaert and Frank (2004).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

Array = NDArray[np.float64]
LEVEL = 0.95


def standard_error(values: Array, folds: int) -> Array:
    """Of the mean over the last axis, the runs: s * sqrt(1 / runs + held out / learnt from)."""
    runs = values.shape[-1]
    error: Array = values.std(axis=-1, ddof=1) * np.sqrt(1 / runs + 1 / (folds - 1))
    return error


@dataclass(frozen=True)
class Estimate:
    """A mean over runs, its corrected standard error and its 95 % t interval."""

    mean: float
    se: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def estimate(values: Array, folds: int) -> Estimate:
    """The mean of one number a run (runs,)."""
    mean, error = float(values.mean()), float(standard_error(values, folds))
    half = float(student.ppf((1 + LEVEL) / 2, len(values) - 1)) * error
    return Estimate(mean, error, mean - half, mean + half)


# A rule gives, for scores (options, runs), larger is better, and those of the dense model (runs,), the
# lowest mean score (options,) with which each option may still be chosen.
Rule = Callable[[Array, Array, int, float], Array]


def one_se(scores: Array, dense: Array, folds: int, margin: float) -> Array:
    """Not worse than the best by more than one standard error of the difference, run by run."""
    best = scores[scores.mean(axis=1).argmax()]
    limits: Array = best.mean() - standard_error(scores - best, folds)
    return limits


def non_inferior(scores: Array, dense: Array, folds: int, margin: float) -> Array:
    """The one-sided 95 % t interval of the difference from dense stays above minus the margin."""
    quantile = float(student.ppf(LEVEL, scores.shape[1] - 1))
    needed: Array = dense.mean() - margin + quantile * standard_error(scores - dense, folds)
    needed[(scores == dense).all(axis=1)] = dense.mean()  # itself
    return needed


def smallest(scores: Array, dense: Array, folds: int, margin: float) -> Array:
    """Whatever it costs: for a size that was fixed beforehand."""
    return np.full(len(scores), -np.inf)


FOLD_RULES: dict[str, Rule] = {"one-se": one_se, "non-inferior": non_inferior, "smallest": smallest}


def pick(means: Array, limits: Array, sizes: Array) -> int:
    """The smallest option at or above its limit, the better of two as small; the best when there is none."""
    allowed = means >= limits
    if not allowed.any():
        return int(means.argmax())
    places = np.lexsort((-means, np.where(allowed, sizes, np.inf)))
    return int(places[0])
