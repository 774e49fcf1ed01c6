"""The document's first formula: the slope of the predicted probability itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from medprune.criteria.base import CRITERIA, GradientCriterion, View


@CRITERIA.register("contribution")
@dataclass(frozen=True)
class Contribution(GradientCriterion):
    """How much the predicted probability of a patient's true outcome moves when it is removed.

    E_n |w * dL/dw * p(y|x)| = E_n |w * dp(y|x)/dw|, the absolute value inside the mean: signed means
    cancel, and vanish at an optimum. Formula (1) of the method, times the weight.
    """

    name = "contribution"

    def views(self, risks: Tensor, outcome: Tensor) -> Iterator[View]:
        truth = torch.nn.functional.one_hot(outcome, risks.shape[1]).to(risks.dtype)
        own = risks.gather(1, outcome[:, None])
        yield View((risks - truth) * own, outcome)
