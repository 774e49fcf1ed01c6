"""Who changes side, patient by patient, and what becomes of it at other risks; from a review in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from medprune.performance import decisions
from medprune.review import influence
from medprune.review.curves import curves
from medprune.review.estimate import CONFIDENCE, Estimate
from medprune.review.evidence import Evidence
from medprune.review.flips import Flips, flips, sides_of
from medprune.review.influence import Figure
from medprune.review.limits import Limits
from medprune.review.measures import side_changes
from medprune.review.observed import Observed
from medprune.review.result import Review
from medprune.review.utility import of_everybody

Who = NDArray[np.bool_]


def observed_of(review: Review, klass: int = 1) -> Observed:
    """The reviewed patients, those of one class against all others, weighted as the review was."""
    return Observed.of(review.split, klass, review.prevalence)


def changed_sides(review: Review) -> dict[str, Who]:
    """The rows (N,) that change side, by what that does to them, in the words of :class:`Flips`."""
    before, after = (decisions(r, review.act_at) for r in (review.dense_risks, review.pruned_risks))
    return sides_of(review.split.outcome, before, after, binary=review.is_binary)


def per_1000(review: Review, who: Who) -> Estimate:
    """How many of a thousand patients they are, with 95 %.

    Exact (Clopper and Pearson, Biometrika 1934) where every row is a patient that stands for itself, as the
    counts are small; else by influence, the rows of a patient taken together.
    """
    observed = observed_of(review)
    weights = observed.weights
    total = float(weights.sum())
    value = float(weights[who].sum()) / total if total else float("nan")
    if observed.is_simple and total:
        low, high = _exact(int(who.sum()), len(who))
        return Estimate(1000 * value, 1000 * low, 1000 * high)
    found = Figure(value, len(who) * weights / total * (who - value)).estimate(observed.patients)
    return Estimate(1000 * value, 1000 * max(0.0, found.low), 1000 * min(1.0, found.high))


def _exact(count: int, of: int) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, of - count)) if count < of else 1.0
    return low, high


@dataclass(frozen=True)
class Elsewhere:
    """What acting on another risk would do: nobody has agreed on it, so the gate does not look at it."""

    act_at: float
    flips: Flips
    dense: Estimate  # net benefit, as the next two
    pruned: Estimate
    change: Estimate
    everybody: float


def elsewhere(review: Review, act_at: float, klass: int = 1) -> Elsewhere:
    """The reviewed patients, acted on at ``act_at`` or more; of several classes, for one against the rest.

    Computed from the risks that the review holds: no patient is opened anew. BadInput outside (0, 1).
    """
    observed = observed_of(review, klass)
    dense, pruned = review.dense_risks[:, klass], review.pruned_risks[:, klass]
    first, second = (influence.net_benefit(observed, risk, act_at) for risk in (dense, pruned))
    who = observed.patients
    return Elsewhere(
        act_at,
        flips(observed.event, dense, pruned, act_at, observed.weight),
        first.estimate(who),
        second.estimate(who),
        side_changes(observed, dense, pruned, act_at)["net_benefit"],
        of_everybody(observed.prevalence, act_at),
    )


def with_limits(review: Review, limits: Limits, evidence: Evidence) -> Review:
    """The same patients and risks, held against other limits: nothing is measured anew but the range of
    risks that somebody may act on."""
    if limits.act_range == review.limits.act_range:
        return replace(review, limits=limits, evidence=evidence)
    looked_at = [1] if review.is_binary else list(range(len(review.classes)))
    sides = []
    for klass, side in zip(looked_at, review.sides, strict=True):
        dense, pruned = review.dense_risks[:, klass], review.pruned_risks[:, klass]
        drawn = curves(observed_of(review, klass), dense, pruned, review.act_at, limits.act_range)
        sides.append(replace(side, curves=drawn))
    return replace(review, limits=limits, evidence=evidence, sides=tuple(sides))
