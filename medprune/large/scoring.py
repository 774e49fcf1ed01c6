"""Scores over a table larger than memory: the sums are added up block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from medprune.criteria import CRITERIA
from medprune.criteria.sums import Batch
from medprune.large.patients import LargePatients, Watch, unwatched
from medprune.model import RiskModel
from medprune.scoring import BATCH, Batches, Contributions, score_batches
from medprune.training import few_threads


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

    Memory does not grow with the rows. Effective numbers of patients, when looked at, read the table again.
    Every block of rows passes through ``watch``. Raises BadInput for
    an unknown criterion or setting, and for what is wrong with the table.
    """
    chosen = CRITERIA.make(criterion, **settings)
    batches = large_batches(model, patients, watch)
    return score_batches(model, batches, criterion, chosen, patients=len(patients), balanced=balanced)


def large_batches(model: RiskModel, patients: LargePatients, watch: Watch = unwatched) -> Batches:
    """The prepared patients in batches, read anew at every call."""

    def batches() -> Iterator[Batch]:
        with few_threads(model.network):  # the other core reads
            for block in patients.blocks(model, watch):
                columns, outcomes = torch.from_numpy(block.columns), torch.from_numpy(block.outcome)
                yield from zip(columns.split(BATCH), outcomes.split(BATCH), strict=True)

    return batches
