"""Who is likely to change side, told from the dense model alone: those near the risk that is acted on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medprune.review.flips import foretold, margin

Floats = NDArray[np.float64]
NEAR = 0.1  # the share of patients who are nearest


@dataclass(frozen=True)
class Forecast:
    """The tenth of the patients whose dense risks, ``low`` to ``high``, lie nearest to the risk acted on, how
    many of them changed, and of the others; ``foretold`` is the AUROC of the margin for changing at all."""

    low: float
    high: float
    near: int
    changed_near: int
    others: int
    changed_others: int
    foretold: float


def forecast(dense: Floats, pruned: Floats, act_at: float, share: float = NEAR) -> Forecast:
    """Hold the margin of dense risks (N,) against who changes side with the pruned ones (N,).

    Iofinova et al. (2023): those at risk can be told from the dense model. It works for moderate pruning and
    fails for a heavy one, which moves everybody; so how well it foretold is said with it.
    """
    changed = (dense >= act_at) != (pruned >= act_at)
    near = np.argsort(-margin(dense, act_at), kind="stable")[: math.ceil(share * len(dense))]
    inside = np.zeros(len(dense), dtype=bool)
    inside[near] = True
    return Forecast(
        low=float(dense[inside].min()),
        high=float(dense[inside].max()),
        near=int(inside.sum()),
        changed_near=int((changed & inside).sum()),
        others=int((~inside).sum()),
        changed_others=int((changed & ~inside).sum()),
        foretold=foretold(dense, pruned, act_at),
    )
