"""The document's first formula: the slope of the predicted probability itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from medprune.criteria.base import CRITERIA, GradientCriterion, loss_slopes


@CRITERIA.register("contribution")
@dataclass(frozen=True)
class Contribution(GradientCriterion):
    """How much the predicted probability of a patient's true outcome moves when it is removed.

    E_n |w * dL/dw * p(y|x)| = E_n |w * dp(y|x)/dw|, the absolute value inside the mean: signed means
    cancel, and vanish at an optimum. Formula (1) of the method, times the weight.
    """

    name = "contribution"
    title = "Contribution"

    def cotangents(self, risks: Tensor, outcome: Tensor) -> Iterator[tuple[Tensor, None]]:
        own = risks.gather(1, outcome[:, None])
        yield loss_slopes(risks, outcome) * own, None
