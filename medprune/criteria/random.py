"""The baseline nobody should lose to."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medprune.criteria.base import CRITERIA, WeightOnlyCriterion, over_columns
from medprune.model import RiskModel


@CRITERIA.register("random")
@dataclass(frozen=True)
class Random(WeightOnlyCriterion):
    """Chance: what pruning without looking would remove."""

    seed: int = 0
    name = "random"
    title = "Chance"

    def scores(self, model: RiskModel) -> tuple[list[Tensor], list[Tensor], Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        mask = model.mask if model.mask is not None else model.network.full_mask()
        weights = [torch.rand(a.shape, generator=generator) * a for a in mask.alive_weights()]
        units = [torch.rand(u.shape, generator=generator) * u for u in mask.units]
        used = over_columns(model, torch.ones(1, len(mask.inputs)))[0] > 0
        return weights, units, torch.rand(len(model.features), generator=generator) * used
