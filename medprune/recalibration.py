"""Recalibration: what makes risks out of a network's scores again, fitted on tuning patients.

Two things spoil the risks. Pruning does: of a network that has lost half of what it knew the scores lie
nearer together, and its risks are timid, all near the average. AUROC sees nothing of it, but who acts on a
risk of 20 % no longer finds the patients. One cut of 80 % of the weights by magnitude, without retraining,
left NHEFS a slope of 2.86 and took .059 of its net benefit; recalibrated, these were 1.07 and .007 (test, 20
seeds; `make bench` prints them). So every candidate of a path is recalibrated as it is finished
(:meth:`medprune.candidate.Problem.candidate`). Retraining leaves little to mend, and where tuning patients
are few, so that they pin an intercept down badly, recalibration can make it slightly worse.

Class weights do too. They, and over- or under-sampling just as much, show the network another world than the
patients live in: with balanced weights an outcome of one patient in twenty counts like one in two. The order
of the patients hardly changes, and with it AUROC; but the risks come out far too high, an average patient's 5
% as about 50 %, and whoever acts on them treats patients who need no treatment (van den Goorbergh et al.,
JAMIA 2022). So weights are offered only together with a recalibration: :func:`finished` is where every
training and retraining ends, and there a network that was trained with weights, or that stood recalibrated,
is fitted anew.

What is fitted. For two classes logistic recalibration, logit(risk) = intercept + slope * (z1 - z0), by
maximum likelihood (Cox, 1958; Steyerberg, 2009). For more classes its plain extension: one slope (the inverse
of temperature scaling; Guo et al., 2017) and an intercept a class. A slope a class (vector scaling, or the
diagonal Dirichlet map) was left out on purpose: it takes as many patients of *every* class as the two
parameters take in all, tuning splits seldom have them, and it can turn round the order of two patients in a
class's risk. One positive slope never does so for two classes, whose AUROC stays to the last patient.

The intercepts mend what the weights did; the slope mends timid or over-confident risks, and is fitted only
where enough patients ask for it: on small tuning splits it does more harm than good. The slope is not the one
of largest likelihood, which is infinite where a score separates the tuning patients, and far too large where
it nearly does. Its targets are Platt's (1999), (n + 1) / (n + 2) and 1 / (n + 2) of a class of n patients in
place of 1 and 0; of K classes (n + 1) / (n + K) and 1 / (n + K), Laplace's rule. For many patients that is
the same.

The intercepts are of largest likelihood given the slope: there the mean risk of every class is its share
among the tuning patients, calibration in the large. Figures of calibration on tuning are therefore flattered,
and those that count are on test.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from medprune.cohort import Cohort
from medprune.errors import BadInput
from medprune.model import Recalibration, RiskModel, logits_of, softmax
from medprune.performance import BINARY

Array = NDArray[np.float64]

# Patients outside the commonest class for a slope beside the intercepts: ten for each of two parameters, the
# usual rule. With fewer, a slope's error is larger than what it mends, and the intercepts mend the weights.
FOR_A_SLOPE = 20
# And they must ask for it: a closed test (Vergouwe et al., 2017) keeps slope 1 unless it is rejected at 5 %.
EVIDENCE = float(chi2.ppf(0.95, df=1))
# A slope of 0 or less would turn the model's order round. Large ones are right after hard cuts: of the 98 %
# of smallest magnitude, 13 on NHEFS and 20 on breast cancer. Its targets hold a slope; this is a guard.
SLOPES = (0.1, 20.0)
ABSENT = 0.5  # patients, of a class that tuning has none of: its risk becomes small, not 0
MOST_STEPS = 100
FLAT, ROUNDING = 1e-10, 1e-14


def fit_recalibration(model: RiskModel, cohort: Cohort) -> RiskModel:
    """The model, recalibrated on the cohort's tuning patients; the one given is untouched.

    Whatever recalibration it had is fitted anew. Raises BadInput when the cohort has no tuning patients.
    """
    if not len(cohort.tuning):
        raise BadInput(
            "Recalibration takes tuning patients, and an external table has none; use the table that the "
            "model was made on."
        )
    tuning = cohort.tuning
    return recalibrated(model, model.prepared(tuning), tuning.outcome, tuning.weight)


def recalibrated(
    model: RiskModel,
    columns: NDArray[np.float32],
    outcome: NDArray[np.int64],
    weight: Array | None = None,
) -> RiskModel:
    """As :func:`fit_recalibration`, from prepared columns (N, inputs), outcomes (N,) and weights (N,)."""
    logits = logits_of(model.network, columns, model.mask)
    return replace(model, recalibration=fitted(logits, outcome, weight))


def finished(
    model: RiskModel,
    columns: NDArray[np.float32],
    outcome: NDArray[np.int64],
    *,
    weighted: bool,
    weight: Array | None = None,
) -> RiskModel:
    """What a training ends with, on its tuning patients: recalibrated when it was ``weighted``.

    So is what started from a recalibrated model: its logits are other ones now.
    """
    if not weighted and model.recalibration.is_identity:
        return model
    return recalibrated(model, columns, outcome, weight)


def in_words(how: Recalibration) -> str:
    """What a recalibration does to the log odds.

    >>> in_words(Recalibration(1.3, (0.0, -0.12))), in_words(Recalibration(1.0, (0.0, 0.1, 0.2)))
    ('slope 1.30, intercept -0.12', 'slope 1, an intercept for each of 3 classes')
    """
    slope = "slope 1" if how.slope == 1 else f"slope {how.slope:.2f}"
    if len(how.intercepts) <= BINARY:
        return f"{slope}, intercept {how.intercepts[-1] - how.intercepts[0] if how.intercepts else 0:.2f}"
    return f"{slope}, an intercept for each of {len(how.intercepts)} classes"


def fitted(logits: Array, outcome: NDArray[np.int64], weight: Array | None = None) -> Recalibration:
    """The recalibration of largest likelihood for logits (N, classes) and outcomes (N,).

    ``weight`` (N,) is what each patient counts (None: alike); with unequal ones fewer count as evidence for a
    slope: (sum w)^2 / sum w^2 of them (Kish, 1965).
    """
    if weight is not None:
        there = weight > 0
        logits, outcome, weight = logits[there], outcome[there], weight[there]
    counts = np.bincount(outcome, minlength=logits.shape[1])
    if counts.sum() - counts.max() < FOR_A_SLOPE:
        return _with_slope(1.0, logits, outcome, weight)
    classes = logits.shape[1]
    start = np.array([1.0, *np.zeros(classes - 1)])
    free, fixed = _Fit(logits, outcome, weight=weight), _Fit(logits, outcome, slope=1.0, weight=weight)
    without = fixed.best(start[1:])
    evidence = len(outcome) if weight is None else weight.sum() ** 2 / np.square(weight).sum()
    gain = 2 * evidence * (fixed.loss(without) - free.loss(free.best(start)))
    if gain < EVIDENCE:
        return Recalibration(1.0, (0.0, *without.tolist()))
    smoothed = _Fit(logits, outcome, targets=_platts(outcome, classes, weight), weight=weight).best(start)
    return _with_slope(float(np.clip(smoothed[0], *SLOPES)), logits, outcome, weight)


def _platts(outcome: NDArray[np.int64], classes: int, weight: Array | None) -> Array:
    """What each patient (N, classes) counts as, nearly the own class: see the top of this module."""
    counts = np.bincount(outcome, weight, minlength=classes)[outcome]
    return (np.eye(classes)[outcome] * counts[:, None] + 1) / (counts + classes)[:, None]


def _with_slope(
    slope: float, logits: Array, outcome: NDArray[np.int64], weight: Array | None
) -> Recalibration:
    """The intercepts that go with a slope; the first class has none, as only differences count."""
    shifts = _Fit(logits, outcome, slope, weight=weight).best(np.zeros(logits.shape[1] - 1))
    return Recalibration(slope, (0.0, *shifts.tolist()))


class _Fit:
    """The mean loss of ``slope * logits + intercepts``, convex in the slope and the intercepts.

    ``directions`` (parameters, N, classes) is what each parameter is multiplied by; with a given ``slope``
    the intercepts alone are free. ``targets`` (N, classes) take the place of the outcomes.
    ``share`` (N,) is what each patient counts in the mean.
    """

    def __init__(
        self,
        logits: Array,
        outcome: NDArray[np.int64],
        slope: float | None = None,
        targets: Array | None = None,
        weight: Array | None = None,
    ) -> None:
        n, classes = logits.shape
        self.share = np.full(n, 1 / n) if weight is None else weight / weight.sum()
        steps = np.broadcast_to(np.eye(classes)[1:, None, :], (classes - 1, n, classes))
        self.start = np.zeros_like(logits) if slope is None else slope * logits
        self.directions = np.concatenate([logits[None], steps]) if slope is None else steps
        if targets is None:
            shares = np.maximum(n * np.bincount(outcome, self.share, minlength=classes), ABSENT)
            own = self.share @ logits[np.arange(n), outcome]
        else:
            shares, own = n * self.share @ targets, self.share @ (targets * logits).sum(axis=1)
        heard = (shares / shares.sum())[1:]
        self.wanted = np.array([own, *heard]) if slope is None else heard
        self.given = 0.0 if slope is None else slope * own

    def best(self, start: Array) -> Array:
        """The parameters of least loss, by Newton's steps, halved while they lead uphill."""
        found, loss = start, self.loss(start)
        for _ in range(MOST_STEPS):
            slope, curve = self._slope_and_curve(found)
            if np.abs(slope).max() < FLAT:
                break
            step = np.linalg.lstsq(curve, slope, rcond=None)[
                0
            ]  # where all logits are alike, any slope will do
            while (lower := self.loss(found - step)) > loss + ROUNDING and np.abs(step).max() > ROUNDING:
                step = step / 2
            found, loss = found - step, lower
        return found

    def loss(self, parameters: Array) -> float:
        logits = self._logits(parameters)
        top = logits.max(axis=1)
        mean = self.share @ (np.log(np.exp(logits - top[:, None]).sum(axis=1)) + top)
        return float(mean - parameters @ self.wanted - self.given)

    def _slope_and_curve(self, parameters: Array) -> tuple[Array, Array]:
        """First derivatives (parameters,) and second ones (parameters, parameters) of the loss."""
        risks = softmax(self._logits(parameters))
        heard = (self.directions * risks).sum(axis=2)
        spread = (self.directions * np.sqrt(risks * self.share[:, None])).reshape(len(heard), -1)
        return heard @ self.share - self.wanted, spread @ spread.T - (heard * self.share) @ heard.T

    def _logits(self, parameters: Array) -> Array:
        found: Array = self.start + np.tensordot(parameters, self.directions, axes=1)
        return found
