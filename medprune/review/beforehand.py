"""Which groups were at risk before anything was pruned, told by tuning patients, and how well that held."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprune.cohort import Split
from medprune.errors import BadInput
from medprune.model import RiskModel
from medprune.review.forecast import Forecast, Foretold, change_in_loss, compare, forecast, moved
from medprune.review.groups import Grouping

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Beforehand:
    """The forecast of each group from the dense model alone, and its order beside what the reviewed patients
    of the group then lost."""

    forecast: Forecast
    held: Foretold

    def to_json(self) -> dict[str, Any]:
        groups = [asdict(group) for group in self.forecast.ranked]
        return {"distance": self.forecast.distance, "groups": groups, "held": asdict(self.held)}


def beforehand(
    models: tuple[RiskModel, RiskModel],
    tuning: tuple[Split, Grouping],
    reviewed: tuple[Split, Grouping],
    risks: tuple[Floats, Floats],
) -> Beforehand | None:
    """The forecast for the dense of two ``models`` from tuning patients and their groups, held against the
    ``risks`` (N, classes) of both on the reviewed ones; None without groups.

    Groups are matched by name: one that tuning patients do not have foretells nothing.
    """
    (dense, pruned), (learnt, groups) = models, tuning
    if not len(groups) or not len(learnt):
        return None
    made = forecast(
        dense,
        dense.prepared(learnt),
        learnt.outcome,
        groups.groups,
        weights=learnt.weight,
        distance=_distance(dense, pruned),
    )
    split, there = reviewed
    happened = change_in_loss(split.outcome, *risks, there.groups, split.weight)
    by_name = {group.name: figure.value for group, figure in zip(there, happened, strict=True)}
    return Beforehand(made, compare(made, [by_name.get(one.name, np.nan) for one in made.groups]))


def _distance(dense: RiskModel, pruned: RiskModel) -> float | None:
    """How far pruning moved the parameters; None for a model that is compact already, or lost a layer."""
    try:
        return moved(dense, pruned)
    except BadInput:
        return None
