"""The one-shot sweep over a table larger than memory: exact metrics, one threshold in memory at a time.

The table is read once for all thresholds, and the risks go to disk; then each threshold's come back alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from medprune.large.patients import LargePatients, Watch, unwatched
from medprune.large.rows import Block
from medprune.large.spill import Spill
from medprune.model import RiskModel
from medprune.nested import NestedPass, Part, Patients
from medprune.ranking import USUAL_SCOPE, normalise
from medprune.removal import Cut, alive_groups, mean_activations_over
from medprune.scoring import Contributions
from medprune.sweep import Count, Tradeoff, threshold_grid
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
    outcome = np.empty(len(patients), dtype=np.int64)
    with few_threads(model.network):  # the other core reads
        count = Count.of(_cut(model, patients, contributions, granularity, scope, watch), grid, outcome)
    with Spill(len(count.steps), len(patients), len(model.classes)) as spill:
        with few_threads(model.network):
            biases = _fill(count, spill, patients.blocks(model, watch))
        parts = (
            Part(count.steps[[place]], spill.risks(place).T[None], biases[[place]])
            for place in range(len(count.steps))
        )
        for _ in count.through(parts, lambda steps: np.full(len(steps), np.nan)):
            pass
    return count.tradeoff(scope, patients.name, len(patients))


def _fill(count: Count, spill: Spill, blocks: Iterator[Block]) -> NDArray[np.int64]:
    """Risks to the disk and outcomes into the count; how many biases are not zero at every step (S,)."""
    passes, first = NestedPass(count.nest), 0
    biases = np.zeros(len(count.steps), dtype=np.int64)
    for block in blocks:
        count.outcome[first : first + len(block.outcome)] = block.outcome
        place = 0
        for part in passes.risks(Patients.of(block.columns), count.steps):
            biases[place : place + len(part.steps)] = part.biases
            for risks in part.risks:
                spill.put(place, first, risks.T)
                place += 1
        first += len(block.outcome)
    return biases


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
