"""First-order Taylor expansion of the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from medprune.criteria.base import CRITERIA, GradientCriterion, View


@CRITERIA.register("taylor")
@dataclass(frozen=True)
class Taylor(GradientCriterion):
    """How much a patient's loss moves when it is removed.

    E_n |w * dL/dw|. With ``signed`` the absolute value is taken of the mean of the weights' scores
    instead: what peers compute, kept for comparison.
    """

    signed: bool = False
    name = "taylor"

    def views(self, risks: Tensor, outcome: Tensor) -> Iterator[View]:
        truth = torch.nn.functional.one_hot(outcome, risks.shape[1]).to(risks.dtype)
        yield View(risks - truth, outcome)
