"""The one-shot sweep over a table larger than memory: exact metrics, one threshold in memory at a time.

The table is read once for all thresholds, and the risks go to disk; then each threshold's come back alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from medprune.large.patients import LargePatients, Watch, unwatched
from medprune.large.spill import Spill
from medprune.model import RiskModel
from medprune.performance import METRICS, performance
from medprune.ranking import USUAL_SCOPE, normalise
from medprune.removal import Cut, alive_groups, mean_activations_over, removed_share
from medprune.scoring import Contributions
from medprune.size import SIZES, size_of
from medprune.sweep import COLUMNS, Tradeoff, threshold_grid
from medprune.training import few_threads


def sweep_large(
    model: RiskModel,
    patients: LargePatients,
    contributions: Contributions,
    thresholds: int | NDArray[np.float64] | list[float] = 101,
    *,
    granularity: str = "weight",
    scope: str = USUAL_SCOPE,
    watch: Watch = unwatched,
) -> Tradeoff:
    """:func:`medprune.sweep` over external patients of a table larger than memory, with the same metrics.

    About 120 bytes a patient are in memory, and the risks of every different cut on disk for a while: 8
    bytes a patient (of more than two classes, a class too). Every block of rows passes through ``watch``.
    Raises BadInput when the disk has no room, and for a threshold outside [0, 1].
    """
    grid = threshold_grid(thresholds)
    with few_threads(model.network):  # the other core reads
        cuts, place = _different(_cut(model, patients, contributions, granularity, scope, watch), grid)
    with Spill(len(cuts), len(patients), len(model.classes)) as spill, few_threads(model.network):
        outcome = np.empty(len(patients), dtype=np.int64)
        first = 0
        for block in patients.blocks(model, watch):
            outcome[first : first + len(block.outcome)] = block.outcome
            for cut, risks in enumerate(_risks(cuts, block.columns)):
                spill.put(cut, first, risks)
            first += len(block.outcome)
        rows = [_row(pruned, outcome, spill.risks(cut), granularity) for cut, pruned in enumerate(cuts)]
    table = [{"threshold": float(t)} | rows[cut] for t, cut in zip(grid, place, strict=True)]
    return Tradeoff(pd.DataFrame(table, columns=list(COLUMNS)), granularity, scope, patients.name)


def _cut(
    model: RiskModel,
    patients: LargePatients,
    contributions: Contributions,
    granularity: str,
    scope: str,
    watch: Watch,
) -> Cut:
    """:meth:`Cut.of`; the means that stand in for units are measured block by block."""
    alive = alive_groups(model, granularity)
    order = normalise(contributions.scores(granularity), alive, scope)
    if granularity != "neuron":
        return Cut(model, granularity, alive, order, ())
    columns = (torch.from_numpy(block.columns) for block in patients.blocks(model, watch))
    return Cut(model, granularity, alive, order, mean_activations_over(model, columns))


def _different(cut: Cut, grid: NDArray[np.float64]) -> tuple[list[RiskModel], list[int]]:
    """The different models of all thresholds, and for every threshold the place of its own."""
    cuts: list[RiskModel] = []
    place: list[int] = []
    before: float | None = None
    for threshold in grid:
        pruned = cut.at(float(threshold))
        sparsity = removed_share(pruned, cut.granularity)
        if sparsity != before:  # masks are nested: the same share means the same mask
            cuts.append(pruned)
            before = sparsity
        place.append(len(cuts) - 1)
    return cuts, place


def _risks(cuts: Sequence[RiskModel], columns: NDArray[np.float32]) -> Iterator[NDArray[np.float64]]:
    """The risks (N, classes) of every cut."""
    return (pruned.risks_of(columns) for pruned in cuts)


def _row(
    pruned: RiskModel, outcome: NDArray[np.int64], risks: NDArray[np.float64], granularity: str
) -> dict[str, float]:
    scores, size = performance(outcome, risks, pruned.act_at), size_of(pruned)
    measured = {name: scores[name] for name in METRICS} | {name: getattr(size, name) for name in SIZES}
    return measured | {"sparsity": removed_share(pruned, granularity), "gap": np.nan}
