"""The one-shot sweep: what every threshold would remove, and what that does before any retraining."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.cohort import Split
from medprune.errors import BadInput
from medprune.model import RiskModel
from medprune.performance import METRICS, check_share, performance
from medprune.ranking import USUAL_SCOPE
from medprune.removal import Cut, removed_share
from medprune.scoring import Contributions
from medprune.size import SIZES, size_of
from medprune.training import prepare


@dataclass(frozen=True, eq=False)
class Tradeoff:
    """One row a threshold: threshold, sparsity, the metrics on the split, the sizes, the gap.

    Before retraining. ``gap`` is AUROC on the reference split (train) minus AUROC on the split, NaN
    when there is none. ``table`` has the columns in :data:`COLUMNS`.
    """

    table: pd.DataFrame
    granularity: str
    scope: str
    split: str

    @property
    def thresholds(self) -> NDArray[np.float64]:
        thresholds: NDArray[np.float64] = self.table["threshold"].to_numpy()
        return thresholds

    def at(self, threshold: float) -> pd.Series:
        """The row of the swept threshold nearest to ``threshold``."""
        return self.table.iloc[int(np.abs(self.thresholds - threshold).argmin())]

    def to_json(self) -> dict[str, Any]:
        lists = {name: self.table[name].tolist() for name in COLUMNS if name != "threshold"}
        return {"thresholds": self.thresholds.tolist(), **lists}


COLUMNS = ("threshold", "sparsity", *METRICS, *SIZES, "gap")


def threshold_grid(thresholds: int | NDArray[np.float64] | list[float]) -> NDArray[np.float64]:
    """A count of even steps from 0 to 1, or given thresholds, each checked to lie in [0, 1]."""
    if isinstance(thresholds, int):
        if thresholds < 2:  # noqa: PLR2004 - both ends
            raise BadInput(f"A sweep needs at least 2 thresholds, got {thresholds}.")
        return np.linspace(0.0, 1.0, thresholds)
    return np.array([check_share(float(t), "The threshold") for t in thresholds])


def sweep(
    model: RiskModel,
    split: Split,
    contributions: Contributions,
    thresholds: int | NDArray[np.float64] | list[float] = 101,
    *,
    granularity: str = "weight",
    scope: str = USUAL_SCOPE,
    train: Split | None = None,
) -> Tradeoff:
    """Performance on ``split`` (normally tuning) at every threshold, one shot, before retraining.

    ``train`` gives removed neurons their mean activation and the gap its reference; without it
    ``split`` does the former. Raises BadInput for a threshold outside [0, 1].
    """
    rows = sweep_rows(
        model, split, contributions, thresholds, granularity=granularity, scope=scope, train=train
    )
    return Tradeoff(pd.DataFrame(list(rows), columns=list(COLUMNS)), granularity, scope, split.name)


def sweep_rows(
    model: RiskModel,
    split: Split,
    contributions: Contributions,
    thresholds: int | NDArray[np.float64] | list[float] = 101,
    *,
    granularity: str = "weight",
    scope: str = USUAL_SCOPE,
    train: Split | None = None,
) -> Iterator[dict[str, float]]:
    """The rows of :func:`sweep`, one at a time."""
    here = prepare(model.preparation, split)
    reference = here if train is None else prepare(model.preparation, train)
    cut = Cut.of(model, contributions, granularity, scope, reference.columns)
    row: dict[str, float] = {}
    before: float | None = None
    for threshold in threshold_grid(thresholds):
        pruned = cut.at(float(threshold))
        sparsity = removed_share(pruned, granularity)
        if sparsity != before:  # masks are nested: the same share means the same mask
            risks = pruned.risks_of(here.columns)
            scores = performance(here.outcome, risks, model.act_at)
            size = size_of(pruned)
            gap = np.nan
            if train is not None:
                on_train = performance(reference.outcome, pruned.risks_of(reference.columns), model.act_at)
                gap = on_train.auroc - scores.auroc
            row = {name: scores[name] for name in METRICS} | {name: getattr(size, name) for name in SIZES}
            row |= {"sparsity": sparsity, "gap": gap}
            before = sparsity
        yield {"threshold": float(threshold)} | row
