"""The baseline everyone knows: small weights go first."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medprune.criteria.base import CRITERIA, WeightOnlyCriterion
from medprune.criteria.two_way import alive_weights
from medprune.model import RiskModel


@CRITERIA.register("magnitude")
@dataclass(frozen=True)
class Magnitude(WeightOnlyCriterion):
    """The size of the weight; a unit counts the weights it hears, a feature the weights it feeds.

    |w|; for a unit the Euclidean norm of its incoming weights, for a feature that of the first-layer
    weights of its columns. Looks at no patient.
    """

    name = "magnitude"
    title = "Magnitude"

    def scores(self, model: RiskModel) -> tuple[list[Tensor], list[Tensor], Tensor]:
        kept = alive_weights(model)
        squares = kept[0].square().sum(dim=0)
        place = torch.from_numpy(model.preparation.feature_of_column)
        features = torch.zeros(len(model.features), dtype=squares.dtype).index_add_(0, place, squares).sqrt()
        return [w.abs() for w in kept], [w.norm(dim=1) for w in kept[:-1]], features
