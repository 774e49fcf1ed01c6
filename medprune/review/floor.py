"""The noise floor: how many patients change side when the dense network is just trained again.

Riley and Collins (Biometrical Journal 2023) call it classification instability. A network that is trained
anew from another seed disagrees with its twin about a few patients in a hundred; a pruned one that changes
no more than that has done nothing that a retraining would not do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprune.cohort import Cohort, Split
from medprune.cross_validation import like, seed_of
from medprune.model import RiskModel
from medprune.performance import BINARY, decisions
from medprune.review.observed import Observed
from medprune.training import Schedule

REFITS = 20


@dataclass(frozen=True)
class Floor:
    """The share of reviewed patients whom each refit treats differently from the dense model."""

    rates: tuple[float, ...]

    @property
    def rate(self) -> float:
        return float(np.mean(self.rates))

    @property
    def low(self) -> float:
        return float(min(self.rates))

    @property
    def high(self) -> float:
        return float(max(self.rates))

    def to_json(self) -> dict[str, Any]:
        return {"rate": self.rate, "low": self.low, "high": self.high, "refits": len(self.rates)}


@dataclass(frozen=True)
class FloorStep:
    """How many refits are done; the last step carries the floor."""

    number: int
    of: int
    floor: Floor | None = None

    def event(self) -> dict[str, Any]:
        return {"number": self.number, "of": self.of}


def floor_steps(
    dense: RiskModel,
    cohort: Cohort,
    split: Split,
    act_at: float,
    *,
    refits: int = REFITS,
    prevalence: float | None = None,
    seed: int = 0,
) -> Iterator[FloorStep]:
    """Train networks like the dense one on the same train and tuning patients, from ``refits`` other seeds.

    The floor stays unknown for a model that was not trained here: how it was trained is not known, and
    training another one would measure another procedure. Rows count as in the changed decisions
    that the floor is held against: weighted where follow-up or ``prevalence`` asks for it.
    """
    if not is_trainable(dense, cohort) or refits < 1:
        yield FloorStep(0, 0)
        return
    before, rates = _sides(dense, split, act_at), list[float]()
    weight = _weight(split, len(dense.classes), prevalence)
    for number in range(refits):
        yield FloorStep(number, refits)
        again = like(dense, cohort, schedule_of(dense), seed_of(seed, dense.origin.seed, number, 2))
        rates.append(float(np.average(_sides(again, split, act_at) != before, weights=weight)))
    yield FloorStep(refits, refits, Floor(tuple(rates)))


def _weight(split: Split, classes: int, prevalence: float | None) -> NDArray[np.float64] | None:
    return Observed.of(split, prevalence=prevalence).weight if classes == BINARY else None


def is_trainable(dense: RiskModel, cohort: Cohort | None) -> bool:
    """Whether it is known how the dense model was trained, and on whom."""
    trained_here = dense.origin.source == "trained here" and dense.origin.training is not None
    return trained_here and cohort is not None and len(cohort.train) > 0 and len(cohort.tuning) > 0


def schedule_of(dense: RiskModel) -> Schedule:
    """How the dense model was trained, as far as it says."""
    training = dense.origin.training or {}
    return Schedule(**dict(training.get("schedule", {})))


def _sides(model: RiskModel, split: Split, act_at: float) -> NDArray[np.int64]:
    return decisions(model.risks_of(model.prepared(split)), act_at)
