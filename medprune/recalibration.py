"""Recalibration: what makes risks out of a network's scores again, fitted on tuning patients.

Class weights, and over- or under-sampling just as much, show the network another world than the patients live
in: with balanced weights an outcome of one patient in twenty counts like one in two. The order of the
patients hardly changes, and with it AUROC; but the risks come out far too high, an average patient's 5 % as
about 50 %, and whoever acts on them treats patients who need no treatment (van den Goorbergh et al., JAMIA
2022). On the NHEFS sample, where 19 % died, balanced weights told 39 % on average and raised the Brier score
from .121 to .170; recalibrated, it was .121 again (test, 5 seeds). So weights are offered only together with
a recalibration: :func:`finished` is where every training and retraining ends, and there a network that was
trained with weights, or that stood recalibrated, is fitted anew.

What is fitted. For two classes logistic recalibration, logit(risk) = intercept + slope * (z1 - z0), by
maximum likelihood (Cox, 1958; Steyerberg, 2009). For more classes its plain extension: one slope (the inverse
of temperature scaling; Guo et al., 2017) and an intercept a class. A slope a class (vector scaling, or the
diagonal Dirichlet map) was left out on purpose: it takes as many patients of *every* class as the two
parameters take in all, tuning splits seldom have them, and it can turn round the order of two patients in a
class's risk. One positive slope never does so for two classes, whose AUROC stays to the last patient.

The intercepts mend what the weights did; the slope mends an over-confident network, and is fitted only where
enough patients ask for it. On small tuning splits it does more harm than good: on the breast cancer sample,
with 42 events, a slope fitted in any case raised the Brier score on test from .0205 to .0238 (5 seeds).

At the maximum the mean risk of every class is its share among the tuning patients: calibration in the large.
Figures of calibration on tuning are therefore flattered, and those that count are on test.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import chi2

from medprune.cohort import Cohort
from medprune.errors import BadInput
from medprune.model import Recalibration, RiskModel, logits_of, softmax

Array = NDArray[np.float64]

# Patients outside the commonest class for a slope beside the intercepts: ten for each of two parameters, the
# usual rule. With fewer, a slope's error is larger than what it mends, and the intercepts mend the weights.
FOR_A_SLOPE = 20
# And they must ask for it: a closed test (Vergouwe et al., 2017) keeps slope 1 unless it is rejected at 5 %.
EVIDENCE = float(chi2.ppf(0.95, df=1))
# A slope of 0 or less would turn the model's order round. A large one means that tuning patients are all but
# separable, where the likelihood has no maximum: risks would go to 0 and 1 for want of patients in between.
SLOPES = (0.1, 2.0)
ABSENT = 0.5  # patients, of a class that tuning has none of: its risk becomes small, not 0
MOST_STEPS = 200


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
    free, fixed = _Fit(logits, outcome, weight=weight), _Fit(logits, outcome, slope=1.0, weight=weight)
    with_slope, without = (
        free.best(np.array([1.0, *np.zeros(classes - 1)])),
        fixed.best(np.zeros(classes - 1)),
    )
    evidence = len(outcome) if weight is None else weight.sum() ** 2 / np.square(weight).sum()
    gain = 2 * evidence * (fixed.loss(without) - free.loss(with_slope))
    if gain < EVIDENCE:
        return Recalibration(1.0, (0.0, *without.tolist()))
    return _with_slope(float(np.clip(with_slope[0], *SLOPES)), logits, outcome, weight)


def _with_slope(
    slope: float, logits: Array, outcome: NDArray[np.int64], weight: Array | None
) -> Recalibration:
    """The intercepts that go with a slope; the first class has none, as only differences count."""
    shifts = _Fit(logits, outcome, slope, weight).best(np.zeros(logits.shape[1] - 1))
    return Recalibration(slope, (0.0, *shifts.tolist()))


class _Fit:
    """The mean loss of ``slope * logits + intercepts``, convex in the slope and the intercepts.

    ``directions`` (parameters, N, classes) is what each parameter is multiplied by; with a given ``slope``
    the intercepts alone are free. ``share`` (N,) is what each patient counts in the mean.
    """

    def __init__(
        self,
        logits: Array,
        outcome: NDArray[np.int64],
        slope: float | None = None,
        weight: Array | None = None,
    ) -> None:
        n, classes = logits.shape
        self.share = np.full(n, 1 / n) if weight is None else weight / weight.sum()
        steps = np.broadcast_to(np.eye(classes)[1:, None, :], (classes - 1, n, classes))
        self.start = np.zeros_like(logits) if slope is None else slope * logits
        self.directions = np.concatenate([logits[None], steps]) if slope is None else steps
        shares = np.maximum(n * np.bincount(outcome, self.share, minlength=classes), ABSENT)
        own = self.share @ logits[np.arange(n), outcome]
        heard = (shares / shares.sum())[1:]
        self.wanted = np.array([own, *heard]) if slope is None else heard
        self.given = 0.0 if slope is None else slope * own

    def best(self, start: Array) -> Array:
        how = {"gtol": 1e-10, "maxiter": MOST_STEPS}
        found: Array = minimize(
            self.loss, start, jac=self.slope, hess=self.curve, method="trust-exact", options=how
        ).x
        return found

    def loss(self, parameters: Array) -> float:
        logits = self._logits(parameters)
        top = logits.max(axis=1, keepdims=True)
        mean = self.share @ (np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0])
        return float(mean - parameters @ self.wanted - self.given)

    def slope(self, parameters: Array) -> Array:
        found: Array = self._heard(softmax(self._logits(parameters))) @ self.share - self.wanted
        return found

    def curve(self, parameters: Array) -> Array:
        risks = softmax(self._logits(parameters))
        heard, say = self._heard(risks), risks * self.share[:, None]
        squares = np.einsum("ink,jnk,nk->ij", self.directions, self.directions, say, optimize=True)
        found: Array = squares - (heard * self.share) @ heard.T
        return found

    def _logits(self, parameters: Array) -> Array:
        found: Array = self.start + np.tensordot(parameters, self.directions, axes=1)
        return found

    def _heard(self, risks: Array) -> Array:
        """What every parameter's direction is on average under these risks (parameters, N)."""
        found: Array = (self.directions * risks).sum(axis=2)
        return found
