"""Figures with what every patient's row adds to their error: one way to all intervals of the review.

A figure is a smooth function of the patients' distribution, and so it has an influence function: by how much
one more patient like this one would move it. Its variance is that of the mean of the influences, summed up
over the rows of a patient; that of a difference of two figures on the same patients comes from the difference
of their influences, paired without saying so; and several figures at once share one band (max-T) from the
same numbers, without drawing a patient again. Weights enter each formula once.

Hampel (JASA 1974) for the influence function; DeLong et al. (Biometrics 1988) and Obuchowski (Biometrics
1997, several rows a patient) for that of AUROC; Huber's sandwich for calibration in the large and slope.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

from medprune.review.estimate import CONFIDENCE, Estimate
from medprune.review.logits import logits
from medprune.review.observed import Observed
from medprune.review.utility import odds

Floats = NDArray[np.float64]
FEWEST = 2  # patients on either side, for a variance to exist
BAND_DRAWS = 10_000
MOST_AT_ONCE = 2_000_000  # random numbers held at a time while a band is drawn


@dataclass(frozen=True, eq=False)
class Figure:
    """A value, and the influence of every row (N,) on it, 0 on average; NaN where it cannot be known."""

    value: float
    influence: Floats

    @classmethod
    def unknown(cls, rows: int) -> Figure:
        return cls(math.nan, np.full(rows, np.nan))

    def __sub__(self, other: Figure) -> Figure:
        return Figure(self.value - other.value, self.influence - other.influence)

    def error(self, patients: NDArray[np.uint64]) -> float:
        """The standard error, rows of one patient taken together."""
        return float(_errors(_by_patient([self], patients))[0])

    def estimate(self, patients: NDArray[np.uint64]) -> Estimate:
        """The value with its interval of 95 %."""
        if math.isnan(self.value):
            return Estimate.unknown()
        return Estimate.normal(self.value, self.error(patients))


def share(who: NDArray[np.bool_], weights: Floats, patients: NDArray[np.uint64]) -> Estimate:
    """The weighted share of rows (N,), with Wilson's interval (JASA 1927).

    It is that of as many patients as would give the same error (Korn and Graubard, Survey Methodology 1998):
    rows of one patient and uneven weights are worth fewer. Where none or all of them are it, of all patients.
    """
    total = float(weights.sum())
    if not total > 0:
        return Estimate.unknown()
    value = float(weights[who].sum()) / total
    error = Figure(value, len(who) * weights / total * (who - value)).error(patients)
    worth = len(np.unique(patients[weights > 0]))
    count = value * (1 - value) / error**2 if error > 0 else worth
    square = float(norm.ppf((1 + CONFIDENCE) / 2)) ** 2
    centre = (value + square / (2 * count)) / (1 + square / count)
    reach = math.sqrt(square / count * (value * (1 - value) + square / (4 * count))) / (1 + square / count)
    return Estimate(value, max(0.0, min(value, centre - reach)), min(1.0, max(value, centre + reach)))


def band(
    figures: Sequence[Figure],
    patients: NDArray[np.uint64],
    *,
    confidence: float = CONFIDENCE,
    draws: int = BAND_DRAWS,
    seed: int = 0,
) -> tuple[Estimate, ...]:
    """Intervals that hold for all figures at once: one reach in standard errors, the quantile of the largest
    deviation under a normal multiplier bootstrap (max-T; Chernozhukov et al., Annals of Statistics 2013).

    Unknown figures stay unknown and do not widen the others.
    """
    known = [place for place, figure in enumerate(figures) if not math.isnan(figure.value)]
    if not known:
        return tuple(Estimate.unknown() for _ in figures)
    sums = _by_patient([figures[place] for place in known], patients)
    errors = _errors(sums)
    vary = errors > 0
    reach = _reach(sums[:, vary] / np.linalg.norm(sums[:, vary], axis=0), confidence, draws, seed)
    found = [Estimate.unknown() for _ in figures]
    for place, error in zip(known, errors, strict=True):
        value = figures[place].value
        found[place] = Estimate(value, float(value - reach * error), float(value + reach * error))
    return tuple(found)


def adjusted_p(
    figures: Sequence[Figure], patients: NDArray[np.uint64], *, draws: int = BAND_DRAWS, seed: int = 0
) -> tuple[float, ...]:
    """For each figure the p-value of its being 0, as many as they are looked at: the share of draws of
    :func:`band` in which the largest deviation of all is no smaller. NaN where it is unknown.

    With the same draws a figure has p below .05 where its band of 95 % is without 0.
    """
    found = np.array([math.nan if math.isnan(figure.value) else 1.0 for figure in figures])
    known = np.flatnonzero(~np.isnan(found))
    if not len(known):
        return tuple(found.tolist())
    sums = _by_patient([figures[int(place)] for place in known], patients)
    errors = _errors(sums)
    vary = errors > 0
    if vary.any():
        largest = _largest(sums[:, vary] / np.linalg.norm(sums[:, vary], axis=0), draws, seed)
        apart = np.abs([figures[int(place)].value for place in known[vary]]) / errors[vary]
        found[known[vary]] = [(1 + (largest >= each).sum()) / (1 + draws) for each in apart]
    return tuple(found.tolist())


def _reach(directions: Floats, confidence: float, draws: int, seed: int) -> float:
    """The quantile of the largest |N(0, 1)| among figures that correlate as directions (patients, G)."""
    if not directions.shape[1]:
        return 0.0
    return float(np.quantile(_largest(directions, draws, seed), confidence))


def _largest(directions: Floats, draws: int, seed: int) -> Floats:
    """The largest |N(0, 1)| in every draw (draws,), of figures that correlate as these directions."""
    correlation = directions.T @ directions
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(values.clip(min=0))
    rng, largest = np.random.default_rng(seed), []
    step = max(1, MOST_AT_ONCE // len(values))
    for start in range(0, draws, step):
        normal = rng.standard_normal((min(step, draws - start), len(values)))
        largest.append(np.abs(normal @ root.T).max(axis=1))
    return np.concatenate(largest)


def _by_patient(figures: Sequence[Figure], patients: NDArray[np.uint64]) -> Floats:
    """The influences (patients, figures), summed up over the rows of each patient, a share of all rows."""
    influence = np.stack([figure.influence for figure in figures], axis=1)
    who, owner = np.unique(patients, return_inverse=True)
    summed = np.zeros((len(who), len(figures)))
    np.add.at(summed, owner, influence)
    return summed / len(patients)


def _errors(sums: Floats) -> Floats:
    """Standard errors (figures,) of means whose summands, by patient, are these (patients, figures)."""
    count = len(sums)
    if count < FEWEST:
        return np.full(sums.shape[1], np.nan)
    errors: Floats = np.sqrt((sums**2).sum(axis=0) * count / (count - 1))
    return errors


# --- figures ---------------------------------------------------------------------------------------


def mean(values: Floats, weights: Floats) -> Figure:
    """The weighted mean of values (N,); unknown when no weight is left."""
    total = weights.sum()
    if not total > 0:
        return Figure.unknown(len(values))
    value = float((weights * values).sum() / total)
    return Figure(value, len(values) * weights * (values - value) / total)


def auroc(observed: Observed, risk: Floats) -> Figure:
    """P(risk of a patient with the event > risk of one without), ties half, pairs weighted."""
    event, weights = observed.event, observed.weights
    if min(observed.events, observed.others) < FEWEST:
        return Figure.unknown(len(risk))
    heavy = np.where(event, 0.0, weights), np.where(event, weights, 0.0)
    below, above = _share_below(risk, heavy[0]), 1 - _share_below(risk, heavy[1])
    value = float((heavy[1] * below).sum() / heavy[1].sum())
    of_events = heavy[1] * (below - value) / heavy[1].sum()
    of_others = heavy[0] * (above - value) / heavy[0].sum()
    return Figure(value, len(risk) * (of_events + of_others))


def _share_below(risk: Floats, weights: Floats) -> Floats:
    """For every risk (N,) the weighted share of patients with a smaller one, those of the same risk half."""
    distinct, place = np.unique(risk, return_inverse=True)
    here = np.bincount(place, weights=weights, minlength=len(distinct))
    found: Floats = ((np.cumsum(here) - here / 2) / weights.sum())[place]
    return found


def brier(observed: Observed, risk: Floats) -> Figure:
    """The mean squared distance of risk and outcome: 0 is perfect."""
    return mean((risk - observed.event) ** 2, observed.weights)


def scaled_brier(observed: Observed, risk: Floats) -> Figure:
    """1 - Brier / (prevalence (1 - prevalence)): 1 is perfect, 0 no better than telling the prevalence."""
    error, share = brier(observed, risk), mean(observed.event.astype(float), observed.weights)
    worst = share.value * (1 - share.value)
    if not worst > 0:
        return Figure.unknown(len(risk))
    of_share = error.value * (1 - 2 * share.value) / worst**2
    return Figure(1 - error.value / worst, of_share * share.influence - error.influence / worst)


def net_benefit(observed: Observed, risk: Floats, act_at: float) -> Figure:
    """Rightly treated patients a patient, needless treatments taken off at the odds of ``act_at``."""
    worth = np.where(observed.event, 1.0, -odds(act_at)) * (risk >= act_at)
    return mean(worth, observed.weights)


def sensitivity(observed: Observed, risk: Floats, act_at: float) -> Figure:
    """The share of those with the event who are acted on."""
    return mean((risk >= act_at).astype(float), observed.weights * observed.event)


def specificity(observed: Observed, risk: Floats, act_at: float) -> Figure:
    """The share of those without the event who are left alone."""
    return mean((risk < act_at).astype(float), observed.weights * ~observed.event)


def observed_over_expected(observed: Observed, risk: Floats) -> Figure:
    """The natural logarithm of mean outcome over mean risk, ideal 0."""
    seen, told = mean(observed.event.astype(float), observed.weights), mean(risk, observed.weights)
    if not (seen.value > 0 and told.value > 0):
        return Figure.unknown(len(risk))
    return Figure(
        math.log(seen.value / told.value), seen.influence / seen.value - told.influence / told.value
    )


def in_the_large(observed: Observed, risk: Floats) -> Figure:
    """The intercept of y ~ 1 with the logit of the risk as offset, ideal 0."""
    lp, _ = logits(risk)
    return _coefficient(observed, np.ones((len(lp), 1)), lp)


def slope(observed: Observed, risk: Floats) -> Figure:
    """The slope of y ~ logit of the risk, ideal 1; unknown where all risks are the same."""
    lp, _ = logits(risk)
    if np.ptp(lp) == 0:
        return Figure.unknown(len(risk))
    return _coefficient(observed, np.stack([np.ones(len(lp)), lp], axis=1), np.zeros(len(lp)))


def _coefficient(observed: Observed, columns: Floats, offset: Floats) -> Figure:
    """The last coefficient of a weighted logistic regression, by the sandwich; unknown where none fits."""
    event, weights, rows = observed.event.astype(float), observed.weights, len(offset)
    if not 0 < observed.prevalence < 1:
        return Figure.unknown(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PerfectSeparationWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # of exponents that overflow on the way there
        try:
            fit = sm.GLM(
                event, columns, family=sm.families.Binomial(), offset=offset, var_weights=weights
            ).fit()
        except (PerfectSeparationWarning, np.linalg.LinAlgError):
            return Figure.unknown(rows)
    told = expit(columns @ fit.params + offset)
    curvature = (columns * (weights * told * (1 - told))[:, None]).T @ columns
    try:
        moved = np.linalg.solve(curvature, (columns * (weights * (event - told))[:, None]).T)
    except np.linalg.LinAlgError:
        return Figure.unknown(rows)
    return Figure(float(fit.params[-1]), rows * moved[-1])
