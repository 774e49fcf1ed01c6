"""What a statistician would pick instead: a logistic regression on the inputs that the smaller model needs.

A network, pruned or not, that does no better than this has little to say for itself; the review prints it
beside both.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from medprune.cohort import Split
from medprune.compaction import compact
from medprune.model import RiskModel
from medprune.review.estimate import Estimate
from medprune.review.observed import Observed
from medprune.review.side_by_side import figures_of

Floats = NDArray[np.float64]
ITERATIONS = 2_000


@dataclass(frozen=True)
class Comparator:
    """Of one class against the rest, each figure of :func:`figures_of`, for the logistic regression."""

    label: str
    figures: dict[str, Estimate]


def logistic_risks(model: RiskModel, train: Split, split: Split) -> Floats:
    """Risks (N, classes) on ``split`` of a ridge logistic regression fitted on train.

    It reads what ``model`` reads, prepared as it prepares it (scaled, missing values as it has them), with
    the usual penalty (C = 1) and nothing tuned.
    """
    small = compact(model)
    columns = [small.prepared(each).astype(np.float64) for each in (train, split)]
    fit = LogisticRegression(max_iter=ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a comparison that is nearly there will do
        fit.fit(columns[0], train.outcome, sample_weight=getattr(train, "weight", None))
    risks = np.zeros((len(split), len(model.classes)))
    risks[:, fit.classes_] = fit.predict_proba(columns[1])
    return risks


def comparators(
    model: RiskModel, train: Split, split: Split, act_at: float, prevalence: float | None = None
) -> tuple[Comparator, ...]:
    """The comparator's figures for the positive of two classes, or for each of more; none without train.

    ``prevalence`` weights them as the figures that they stand beside.
    """
    if len(np.unique(train.outcome)) < 2:  # noqa: PLR2004 - one outcome teaches nothing
        return ()
    risks, many = logistic_risks(model, train, split), len(model.classes) > 2  # noqa: PLR2004
    found = []
    for klass in range(len(model.classes)) if many else [1]:
        figures = figures_of(Observed.of(split, klass, prevalence), risks[:, klass], act_at)
        estimates = {name: figure.estimate(split.patients) for name, figure in figures.items()}
        found.append(Comparator(model.classes[klass], estimates))
    return tuple(found)
