"""More than two classes: the mean over classes one against the rest, and every pair of classes.

Hand and Till (Machine Learning 2001) for the pairwise AUROC: of two classes, the mean of how well the risk
of either sorts the patients of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from medprune.cohort import Split
from medprune.review import influence
from medprune.review.estimate import Estimate
from medprune.review.influence import Figure
from medprune.review.observed import Observed

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """How well two classes are told apart by the dense and the pruned model, and the change."""

    first: str
    second: str
    dense: Estimate
    pruned: Estimate
    change: Estimate


def pairs(split: Split, classes: Sequence[str], dense: Floats, pruned: Floats) -> tuple[Pair, ...]:
    """The pairwise AUROC of risks (N, classes) for every two classes."""
    both = combinations(range(len(classes)), 2)
    return tuple(_pair(split, classes, two, dense, pruned) for two in both)


def _pair(split: Split, classes: Sequence[str], two: tuple[int, int], dense: Floats, pruned: Floats) -> Pair:
    one, other = two
    rows = np.flatnonzero(np.isin(split.outcome, (one, other)))
    patients = split.patients[rows]

    def figure(risks: Floats) -> Figure:
        first = influence.auroc(Observed.of(split, one).take(rows), risks[rows, one])
        second = influence.auroc(Observed.of(split, other).take(rows), risks[rows, other])
        return average([first, second])

    before, after = figure(dense), figure(pruned)
    return Pair(
        classes[one],
        classes[other],
        before.estimate(patients),
        after.estimate(patients),
        (after - before).estimate(patients),
    )


def average(figures: Sequence[Figure]) -> Figure:
    """The mean of figures of the same patients, those left out that cannot be known."""
    known = [figure for figure in figures if not np.isnan(figure.value)]
    if not known:
        return Figure.unknown(len(figures[0].influence))
    return Figure(
        float(np.mean([figure.value for figure in known])),
        np.mean([figure.influence for figure in known], axis=0),
    )


def macro_auroc(split: Split, risks: Floats) -> Figure:
    """The mean over classes of the AUROC of one against the rest, as ``performance`` has it."""
    return average([influence.auroc(Observed.of(split, k), risks[:, k]) for k in range(risks.shape[1])])
