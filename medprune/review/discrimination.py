"""How well risks sort patients, and how sure the difference between two models on the same patients is.

DeLong, DeLong and Clarke-Pearson (Biometrics 1988), by midranks as Sun and Xu (IEEE Signal Processing Letters
2014), so that it takes N log N and not one comparison for every pair of patients.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from medprune.review.estimate import Estimate

Floats = NDArray[np.float64]
FEWEST = 2  # patients on either side, for a variance to exist


@dataclass(frozen=True)
class PairedAuroc:
    """AUROCs of two models on the same patients, and the second's less the first's.

    ``z`` and ``p`` (two-sided) test a difference of zero. A large p is no evidence of equality: for that,
    ask whether ``difference.exceeds(-margin)``. Two models that sort alike have z 0 and p 1.
    """

    first: Estimate
    second: Estimate
    difference: Estimate
    z: float
    p: float


def auroc_interval(event: NDArray[np.bool_], risk: Floats) -> Estimate:
    """The AUROC of risks (N,) for who has the event (N,), with DeLong's interval; unknown where either side
    has fewer than two patients."""
    return _intervals(event, risk[None])[0][0]


def paired_auroc(event: NDArray[np.bool_], first: Floats, second: Floats) -> PairedAuroc:
    """The AUROCs of two models' risks (N,), and the difference second - first with its interval."""
    (one, other), covariance = _intervals(event, np.stack([first, second]))
    change = other.value - one.value
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if math.isnan(change):
        return PairedAuroc(one, other, Estimate.unknown(), math.nan, math.nan)
    error = math.sqrt(max(float(variance), 0.0))
    if error < np.finfo(float).eps:  # they sort alike, or every patient is sorted rightly by both
        return PairedAuroc(one, other, Estimate(change, change, change), 0.0, 1.0)
    z = change / error
    return PairedAuroc(one, other, Estimate.normal(change, error), z, float(2 * norm.sf(abs(z))))


def _intervals(event: NDArray[np.bool_], risks: Floats) -> tuple[list[Estimate], Floats]:
    """The AUROC of each row of risks (models, N), and their covariance (models, models)."""
    models, events, others = len(risks), int(event.sum()), int((~event).sum())
    if min(events, others) < FEWEST:
        return [Estimate.unknown()] * models, np.full((models, models), np.nan)
    of_events, of_others = _placements(event, risks)
    covariance = np.atleast_2d(np.cov(of_events)) / events + np.atleast_2d(np.cov(of_others)) / others
    areas = of_events.mean(axis=1)
    errors = np.sqrt(np.diag(covariance).clip(min=0))
    return [Estimate.normal(float(a), float(e)) for a, e in zip(areas, errors, strict=True)], covariance


def _placements(event: NDArray[np.bool_], risks: Floats) -> tuple[Floats, Floats]:
    """Of each patient with the event the share of others below, of each other the share of events above
    (models, patients): ties count half."""
    among_all = rankdata(risks, axis=1)
    events, others = int(event.sum()), int((~event).sum())
    below = (among_all[:, event] - rankdata(risks[:, event], axis=1)) / others
    above = 1 - (among_all[:, ~event] - rankdata(risks[:, ~event], axis=1)) / events
    return below, above
