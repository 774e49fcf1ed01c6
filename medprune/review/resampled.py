"""Figures whose intervals are drawn, not computed: average precision and the integrated calibration index."""

from __future__ import annotations

import warnings

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning, SingularMatrixWarning

from medprune.review.calibration import smoothed
from medprune.review.logits import logits
from medprune.review.observed import Observed

Floats = NDArray[np.float64]
BY_SPLINES = "logistic regression on a restricted cubic spline of the logit, 3 knots"
MANY = 1_000  # patients from which a curve is drawn from local lines a hundredth of the range apart
KNOTS = (0.1, 0.5, 0.9)  # quantiles of the logit (Harrell 2015, section 2.4.6)


def auprc(observed: Observed, risk: Floats) -> float:
    """The average precision, weighted; NaN where only one outcome occurs."""
    if not 0 < observed.prevalence < 1:
        return float("nan")
    return float(average_precision_score(observed.event, risk, sample_weight=observed.weight))


def ici(observed: Observed, risk: Floats) -> float:
    """The mean distance of risk and smoothed outcome (Austin and Steyerberg 2019)."""
    if not 0 < observed.prevalence < 1:
        return float("nan")
    return float(np.average(np.abs(risk - curve(observed, risk)), weights=observed.weights))


def curve(observed: Observed, risk: Floats, at: Floats | None = None) -> Floats:
    """The share with the event among patients of about each risk (N,), or at given risks.

    The named smoother of :mod:`medprune.review.calibration`; weights it cannot take, and for weighted
    patients the curve is :data:`BY_SPLINES` instead.
    """
    if observed.weight is None:
        fitted = smoothed(observed.event, risk, quick=at is None or len(risk) > MANY)
        if at is None:
            return fitted
        order = np.argsort(risk)
        found: Floats = np.interp(at, risk[order], fitted[order])
        return found
    return _by_splines(observed, risk, risk if at is None else at)


def _by_splines(observed: Observed, risk: Floats, at: Floats) -> Floats:
    flat = np.full(len(at), observed.prevalence)
    lp, there = logits(risk)[0], logits(at)[0]
    if np.ptp(lp) == 0:
        return flat
    with warnings.catch_warnings():
        warnings.simplefilter("error", PerfectSeparationWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        warnings.simplefilter("ignore", SingularMatrixWarning)  # knots that fall together
        try:
            knots = np.quantile(lp, KNOTS)
            fit = sm.GLM(
                observed.event.astype(float), _spline(lp, knots), family=sm.families.Binomial(),
                var_weights=observed.weights,
            ).fit()  # fmt: skip
            found: Floats = fit.predict(_spline(there, knots))
            return found
        except (PerfectSeparationWarning, np.linalg.LinAlgError, ValueError):
            return flat


def _spline(x: Floats, knots: Floats) -> Floats:
    """A cubic between three knots and straight lines beyond (N, 3): constant, line, bend."""
    first, middle, last = knots
    if first == last:
        return np.stack([np.ones(len(x)), x], axis=1)

    def cubed(knot: float) -> Floats:
        above: Floats = np.clip(x - knot, 0, None) ** 3
        return above

    bend = cubed(first) - cubed(middle) * (last - first) / max(last - middle, 1e-9)
    bend += cubed(last) * (middle - first) / max(last - middle, 1e-9)
    return np.stack([np.ones(len(x)), x, bend / (last - first) ** 2], axis=1)
