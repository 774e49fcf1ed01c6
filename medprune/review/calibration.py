"""Whether risks mean what they say: calibration in the large, slope, observed over expected, and the curve.

Van Calster et al. (BMC Medicine 2019) for what to report; Austin and Steyerberg (Statistics in Medicine 2019)
for the integrated calibration index. LP is the logit of the risk.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

from medprune.review.estimate import Estimate
from medprune.review.logits import logits

Floats = NDArray[np.float64]
SPAN = 2 / 3  # of the patients, in each local line of the smoother
SMOOTHER = "lowess, a span of two thirds, without robust reweighting"
MANY = 5_000  # patients from which the smoother joins local lines less than 1 % of the range apart


@dataclass(frozen=True)
class Calibration:
    """How far risks lie from what happened.

    - ``in_the_large``: the intercept of y ~ 1 with LP as offset, ideal 0; not the slope model's intercept.
    - ``slope``: of y ~ LP, ideal 1; below 1 the risks are too extreme, above too timid.
    - ``observed_over_expected``: ideal 1; its inverse is E/O.
    - ``ici``, ``e50``, ``e90``, ``emax``: mean, median, 90th percentile and maximum of
      |risk - smoothed outcome|, by ``smoother``.
    - ``clipped``: how many risks were taken from 0 or 1 before their logit.
    """

    in_the_large: Estimate
    slope: Estimate
    observed_over_expected: Estimate
    ici: float
    e50: float
    e90: float
    emax: float
    clipped: int
    smoother: str = SMOOTHER


def calibration(event: NDArray[np.bool_], risk: Floats) -> Calibration:
    """The calibration of risks (N,) for who has the event (N,); unknown where all or nobody has it."""
    _, clipped = logits(risk)
    weak, nan = weak_calibration(event, risk), float("nan")
    off = np.array([nan]) if not 0 < event.mean() < 1 else np.abs(risk - smoothed(event, risk))
    return Calibration(
        in_the_large=weak["in_the_large"],
        slope=weak["slope"],
        observed_over_expected=weak["observed_over_expected"],
        ici=float(off.mean()),
        e50=float(np.median(off)),
        e90=float(np.quantile(off, 0.9)),
        emax=float(off.max()),
        clipped=clipped,
    )


def weak_calibration(event: NDArray[np.bool_], risk: Floats) -> dict[str, Estimate]:
    """Calibration in the large, slope and O/E with the textbook's intervals, by name; unknown where all or
    nobody has the event. The curve is left to :func:`smoothed`, which takes far longer."""
    if not 0 < event.mean() < 1:
        return dict.fromkeys(("in_the_large", "slope", "observed_over_expected"), Estimate.unknown())
    lp, _ = logits(risk)
    return {
        "in_the_large": _coefficient(event, np.ones((len(lp), 1)), offset=lp),
        "slope": _coefficient(event, sm.add_constant(lp, has_constant="add")),
        "observed_over_expected": _observed_over_expected(event, risk),
    }


def smoothed(event: NDArray[np.bool_], risk: Floats, *, quick: bool = False) -> Floats:
    """The share with the event among patients of about each risk (N,), by :data:`SMOOTHER`.

    The library's usual three robust rounds would treat the rarer outcome as outliers: none are made.
    ``quick`` joins local lines as for many patients, a hundred times faster and the same to about 1e-4.
    """
    spread = float(np.ptp(risk))
    if spread == 0:
        return np.full(len(risk), float(event.mean()))
    delta = 0.01 * spread if quick or len(risk) > MANY else 0.0
    curve: Floats = sm.nonparametric.lowess(
        event.astype(float), risk, frac=SPAN, it=0, delta=delta, return_sorted=False
    )
    return np.clip(curve, 0.0, 1.0)


def scaled_brier(event: NDArray[np.bool_], risk: Floats) -> float:
    """1 - Brier / (prevalence (1 - prevalence)): 1 is perfect, 0 no better than the prevalence."""
    prevalence = float(event.mean())
    if prevalence in (0.0, 1.0):
        return float("nan")
    return 1 - float(((risk - event) ** 2).mean()) / (prevalence * (1 - prevalence))


def _coefficient(event: NDArray[np.bool_], columns: Floats, offset: Floats | None = None) -> Estimate:
    """The last coefficient of a logistic regression, with its Wald interval; unknown where the risks part
    those with the event from the others, so that no finite one fits."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", PerfectSeparationWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # of exponents that overflow on the way there
        try:
            fit = sm.GLM(event.astype(float), columns, family=sm.families.Binomial(), offset=offset).fit()
        except (PerfectSeparationWarning, np.linalg.LinAlgError):
            return Estimate.unknown()
    return Estimate.normal(float(fit.params[-1]), float(fit.bse[-1]))


def _observed_over_expected(event: NDArray[np.bool_], risk: Floats) -> Estimate:
    """Mean outcome over mean risk; the interval on the logarithm, of the paired ratio of two means."""
    observed, expected = float(event.mean()), float(risk.mean())
    ratio = observed / expected
    spread = (event / observed - risk / expected).std(ddof=1) / np.sqrt(len(risk))
    log = Estimate.normal(float(np.log(ratio)), float(spread))
    return Estimate(ratio, float(np.exp(log.low)), float(np.exp(log.high)))
