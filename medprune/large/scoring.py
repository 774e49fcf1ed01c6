"""Scores over a table larger than memory: the sums are added up block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import torch
from torch import Tensor

from medprune.criteria import CRITERIA, Criterion, ScoreSums
from medprune.large.patients import LargePatients, Watch, unwatched
from medprune.model import RiskModel
from medprune.scoring import BATCH, Contributions, contributions_from
from medprune.training import few_threads

Batches: TypeAlias = Callable[[], Iterator[tuple[Tensor, Tensor]]]


def score_large(
    model: RiskModel,
    patients: LargePatients,
    criterion: str = "contribution",
    *,
    balanced: bool = False,
    watch: Watch = unwatched,
    **settings: Any,
) -> Contributions:
    """:func:`medprune.score` over a table larger than memory, with the same scores.

    Memory does not grow with the rows. Every block of rows passes through ``watch``. Raises BadInput for
    an unknown criterion or setting, and for what is wrong with the table.
    """
    chosen = CRITERIA.make(criterion, **settings)

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for block in patients.blocks(model, watch):
            columns, outcomes = torch.from_numpy(block.columns), torch.from_numpy(block.outcome)
            yield from zip(columns.split(BATCH), outcomes.split(BATCH), strict=True)

    with few_threads(model.network):  # the other core reads
        sums = _sums(model, batches, chosen)
    return contributions_from(model, criterion, sums, patients=len(patients), balanced=balanced)


def _sums(model: RiskModel, batches: Batches, criterion: Criterion) -> ScoreSums:
    """The criterion's sums over all batches; read again where it must learn from the patients first."""
    sums = ScoreSums.zeros(model, squares=criterion.needs_patients)
    ready = criterion.ready(model, batches())
    for x, y in batches():
        ready.update(sums, model, x, y)
        if not ready.needs_patients:
            break
    return sums
