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


@dataclass(frozen=True, eq=False)
class Parts:
    """One figure of both models and its change, before they are placed among other rows."""

    dense: Part
    pruned: Part
    change: Part


class Measure(ABC):
    """One figure: ``name`` as in the code, ``title`` as on screen, the value of a perfect model."""

    name: str
    title: str
    ideal: float
    higher_is_better: bool | None = True  # None: neither is

    @abstractmethod
    def parts(self, observed: Observed, dense: Floats, pruned: Floats, act_at: float) -> Parts:
        """Of two models' risks (N,) for the same patients; of a ratio, the logarithms."""

    @property
    def told(self) -> str:
        """The title within a sentence."""
        return self.title if self.title[:2].isupper() or "/" in self.title else self.title.lower()

    def shown(self, level: Estimate) -> Estimate:
        """A level as it is read."""
        return level

    def measured(self, parts: Parts, patients: NDArray[np.uint64]) -> Measured:
        """Both models, and the change, each with its own interval, for rows of these patients (N,)."""
        one, other = (self.shown(alone(part, patients)) for part in (parts.dense, parts.pruned))
        return Measured(one, other, alone(parts.change, patients))


@dataclass(frozen=True)
class Plain(Measure):
    """A figure whose change is the difference of two figures with influences."""

    name: str
    title: str
    ideal: float
    figure: Callable[[Observed, Floats], Figure]
    higher_is_better: bool | None = True
    is_log: bool = False

    def parts(self, observed: Observed, dense: Floats, pruned: Floats, act_at: float) -> Parts:
        one, other = self.figure(observed, dense), self.figure(observed, pruned)
        return Parts(Part.of(one), Part.of(other), Part.of(other - one))

    def shown(self, level: Estimate) -> Estimate:
        return Estimate(*np.exp([level.value, level.low, level.high]).tolist()) if self.is_log else level


class NetBenefit(Measure):
    """Its change counts half an imaginary patient caught, missed, alarmed and spared."""

    name, title, ideal = "net_benefit", "Net benefit", 1.0

    def parts(self, observed: Observed, dense: Floats, pruned: Floats, act_at: float) -> Parts:
        one, other = (Part.of(influence.net_benefit(observed, risk, act_at)) for risk in (dense, pruned))
        price = odds(act_at)
        moved = _acted(pruned, act_at) - _acted(dense, act_at)
        imagined = (*PAIRED, (price, 0.5), (-price, 0.5), (0.0, 1.0))
        worth = np.where(observed.event, moved, -price * moved)
        return Parts(one, other, with_imagined(worth, observed.weights, observed.patients, imagined))


class Sensitivity(Measure):
    """The share of those with the event who are acted on, with imaginary patients as in :mod:`within`."""

    name, title, ideal = "sensitivity", "Sensitivity", 1.0

    def parts(self, observed: Observed, dense: Floats, pruned: Floats, act_at: float) -> Parts:
        ill, patients = np.where(observed.event, observed.weights, 0.0), observed.patients
        before, after = _acted(dense, act_at), _acted(pruned, act_at)
        return Parts(
            with_imagined(before, ill, patients, SHARE),
            with_imagined(after, ill, patients, SHARE),
            with_imagined(after - before, ill, patients, PAIRED),
        )

    def shown(self, level: Estimate) -> Estimate:
        return replace(level, low=max(level.low, 0.0), high=min(level.high, 1.0)) if level.is_known else level


def side_changes(observed: Observed, dense: Floats, pruned: Floats, act_at: float) -> dict[str, Estimate]:
    """The changes that come of patients who change side, from the first to the second risks (N,): in net
    benefit, sensitivity and specificity, with intervals of 95 %.

    Where few change side, the usual interval is far too narrow: of a sensitivity that hung on one patient it
    held the truth in two samples of three. So imaginary patients are counted as in :mod:`within`, which errs
    on the wide side. Nobody can change side between risks that are all the same: those have no width.
    """
    well, moved = (
        np.where(observed.event, 0.0, observed.weights),
        _acted(dense, act_at) - _acted(pruned, act_at),
    )
    parts = {
        "net_benefit": NetBenefit().parts(observed, dense, pruned, act_at).change,
        "sensitivity": Sensitivity().parts(observed, dense, pruned, act_at).change,
        "specificity": with_imagined(moved, well, observed.patients, PAIRED),
    }
    if np.array_equal(dense, pruned):
        return {name: Estimate(part.value, part.value, part.value) for name, part in parts.items()}
    return {name: alone(part, observed.patients) for name, part in parts.items()}


def _acted(risk: Floats, act_at: float) -> Floats:
    return (risk >= act_at).astype(float)


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
