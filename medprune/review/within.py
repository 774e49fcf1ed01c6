"""Figures of some of the rows, placed among all rows, so that figures of several groups have one band.

A change in sensitivity among 60 patients of whom none changes side is 0, and its influences are 0 too: by
them it would be certain. It is not: the next patient may change side. Agresti and Min (Statistics in Medicine
2005) add two imaginary patients, half of one to each cell of the paired table, so half a patient changes
side each way; the interval then covers as it should in small groups and where few are discordant. Their
imaginary patients stand in a row of their own behind the real ones, for each figure another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medprune.review.estimate import Estimate
from medprune.review.influence import Figure

Floats = NDArray[np.float64]
Patients = NDArray[np.uint64]
Imagined = Sequence[tuple[float, float]]  # values of imaginary patients, and how many of each


@dataclass(frozen=True, eq=False)
class Part:
    """A figure of n rows before it is placed: its value as it is, and the figure that its interval is of.

    ``beside`` is what imaginary patients add, in standard errors; ``few`` asks for the n / (n - 1) of a
    variance, which imaginary patients make up for.
    """

    value: float
    figure: Figure
    beside: float = 0.0
    few: bool = True

    @classmethod
    def of(cls, figure: Figure) -> Part:
        return cls(figure.value, figure)


def with_imagined(values: Floats, weights: Floats, patients: Patients, imagined: Imagined) -> Part:
    """The weighted mean of values (n,) whose interval counts imaginary patients of average weight too.

    With ``((1, .5), (-1, .5), (0, 1))`` and values of -1, 0 and 1 it is that of Agresti and Min; with
    ``((1, 2), (0, 2))`` and values of 0 and 1 that of Agresti and Coull (American Statistician 1998).
    """
    total = float(weights.sum())
    if not total > 0:
        return Part(math.nan, Figure.unknown(len(values)))
    each = total / len(np.unique(patients[weights > 0]))  # what a patient weighs
    more = each * sum(count for _, count in imagined)
    summed = float((weights * values).sum())
    centre = (summed + each * sum(value * count for value, count in imagined)) / (total + more)
    influence = len(values) * weights * (values - centre) / (total + more)
    spread = sum(count * (value - centre) ** 2 for value, count in imagined)
    return Part(
        summed / total, Figure(centre, influence), each * math.sqrt(spread) / (total + more), few=False
    )


@dataclass(frozen=True, eq=False)
class Ground:
    """All rows of a review, whose they are, and behind them an imaginary patient for each of some figures."""

    rows: int
    people: int  # without the imaginary ones
    patients: Patients  # (rows + imaginary,)

    @classmethod
    def of(cls, patients: Patients, imaginary: int) -> Ground:
        who, owner = np.unique(patients, return_inverse=True)
        more = np.arange(len(who), len(who) + imaginary)
        return cls(len(patients), len(who), np.concatenate([owner, more]).astype(np.uint64))

    def place(self, part: Part, at: NDArray[np.intp], imaginary: int) -> Figure:
        """The figure of the rows ``at`` (n,) among all rows, its imaginary patient in the place given.

        Its error is the same as that of the group alone.
        """
        if math.isnan(part.value):
            return Figure.unknown(len(self.patients))
        influence = np.zeros(len(self.patients))
        influence[at] = part.figure.influence / len(at)
        influence[self.rows + imaginary] = part.beside
        own = _few(len(np.unique(self.patients[at]))) if part.few else 1.0
        everybody = self.people + len(self.patients) - self.rows
        scale = len(self.patients) * math.sqrt(own / _few(everybody))
        return Figure(part.figure.value, influence * scale)


def alone(part: Part, patients: Patients) -> Estimate:
    """A part's value with its own interval of 95 %."""
    ground = Ground.of(patients, 1)
    return around(part.value, ground.place(part, np.arange(len(patients)), 0).estimate(ground.patients))


def around(value: float, interval: Estimate) -> Estimate:
    """The value as it is, with an interval whose own centre imaginary patients have moved."""
    return Estimate(value, interval.low, interval.high) if interval.is_known else interval


def _few(patients: int) -> float:
    return patients / (patients - 1) if patients > 1 else math.nan
