"""The figures that groups and sites are compared by: of each model, and the change between the two."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medprune.review import influence
from medprune.review.estimate import Estimate
from medprune.review.influence import Figure
from medprune.review.observed import Observed
from medprune.review.utility import odds
from medprune.review.within import Part, alone, with_imagined

Floats = NDArray[np.float64]

# Imaginary patients: half of one to each cell of a paired table; two to each side of a share.
PAIRED, SHARE = ((1.0, 0.5), (-1.0, 0.5), (0.0, 1.0)), ((1.0, 2.0), (0.0, 2.0))


@dataclass(frozen=True)
class Measured:
    """One figure of both models on the same patients, and the second's less the first's, each with its own
    interval. A ratio (O/E) changes by a factor: its ``change`` is the natural logarithm of that."""

    dense: Estimate
    pruned: Estimate
    change: Estimate


class Measure(ABC):
    """One figure: ``name`` as in the code, ``title`` as on screen, the value of a perfect model."""

    name: str
    title: str
    ideal: float
    higher_is_better: bool | None = True  # None: neither is

    @abstractmethod
    def level(self, observed: Observed, risk: Floats, act_at: float) -> Part:
        """Of one model's risks (N,); of a ratio, its logarithm."""

    @abstractmethod
    def change(self, observed: Observed, dense: Floats, pruned: Floats, act_at: float) -> Part:
        """Pruned less dense, on the same patients."""

    def shown(self, level: Estimate) -> Estimate:
        """A level as it is read."""
        return level

    def measured(self, observed: Observed, dense: Floats, pruned: Floats, act_at: float) -> Measured:
        """Both models, and the change, on the same patients (N,)."""
        one, other = (
            self.shown(alone(self.level(observed, risk, act_at), observed.patients))
            for risk in (dense, pruned)
        )
        return Measured(one, other, alone(self.change(observed, dense, pruned, act_at), observed.patients))


@dataclass(frozen=True)
class Plain(Measure):
    """A figure whose change is the difference of two figures with influences."""

    name: str
    title: str
    ideal: float
    figure: Callable[[Observed, Floats], Figure]
    higher_is_better: bool | None = True
    is_log: bool = False

    def level(self, observed: Observed, risk: Floats, act_at: float) -> Part:
        return Part.of(self.figure(observed, risk))

    def change(self, observed: Observed, dense: Floats, pruned: Floats, act_at: float) -> Part:
        return Part.of(self.figure(observed, pruned) - self.figure(observed, dense))

    def shown(self, level: Estimate) -> Estimate:
        return Estimate(*np.exp([level.value, level.low, level.high]).tolist()) if self.is_log else level


class NetBenefit(Measure):
    """Its change counts half an imaginary patient caught, missed, alarmed and spared."""

    name, title, ideal = "net_benefit", "Net benefit", 1.0

    def level(self, observed: Observed, risk: Floats, act_at: float) -> Part:
        return Part.of(influence.net_benefit(observed, risk, act_at))

    def change(self, observed: Observed, dense: Floats, pruned: Floats, act_at: float) -> Part:
        price = odds(act_at)
        moved = _acted(pruned, act_at) - _acted(dense, act_at)
        imagined = (*PAIRED, (price, 0.5), (-price, 0.5), (0.0, 1.0))
        worth = np.where(observed.event, moved, -price * moved)
        return with_imagined(worth, observed.weights, observed.patients, imagined)


class Sensitivity(Measure):
    """The share of those with the event who are acted on, with imaginary patients as in :mod:`within`."""

    name, title, ideal = "sensitivity", "Sensitivity", 1.0

    def level(self, observed: Observed, risk: Floats, act_at: float) -> Part:
        return with_imagined(_acted(risk, act_at), _ill(observed), observed.patients, SHARE)

    def change(self, observed: Observed, dense: Floats, pruned: Floats, act_at: float) -> Part:
        moved = _acted(pruned, act_at) - _acted(dense, act_at)
        return with_imagined(moved, _ill(observed), observed.patients, PAIRED)

    def shown(self, level: Estimate) -> Estimate:
        return replace(level, low=max(level.low, 0.0), high=min(level.high, 1.0)) if level.is_known else level


def _acted(risk: Floats, act_at: float) -> Floats:
    return (risk >= act_at).astype(float)


def _ill(observed: Observed) -> Floats:
    return np.where(observed.event, observed.weights, 0.0)


MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Plain("auroc", "AUROC", 1.0, influence.auroc),
        Plain("slope", "Calibration slope", 1.0, influence.slope, None),
        Plain("observed_over_expected", "O/E", 1.0, influence.observed_over_expected, None, is_log=True),
        Plain("brier", "Brier score", 0.0, influence.brier, False),
        NetBenefit(),
        Sensitivity(),
    )
}
