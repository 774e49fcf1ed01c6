"""Fisher information: the squares of the slopes of the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add

import torch
from torch import Tensor

from medprune.criteria.base import CRITERIA, GradientCriterion, loss_slopes
from medprune.criteria.sums import PatientScores
from medprune.model import RiskModel
from medprune.settings import check_settings, setting


@CRITERIA.register("fisher")
@dataclass(frozen=True)
class Fisher(GradientCriterion):
    """How sharply the loss depends on it: the mean square of how much a patient's loss moves.

    E_n (w dL/dw)^2; for a unit E_n (a dL/da)^2, for a feature E_n (sum over its columns of
    (x - reference) dL/dx)^2. These take the patients' true classes (the empirical Fisher information,
    as in Theis et al., 2018); with ``expected`` the mean over the model's own classes stands in,
    sum_k p_k (w dL_k/dw)^2, the Fisher information proper, exact and at one backward pass a class.
    """

    expected: bool = setting(
        False, "Expect the classes the model does", "instead of the patients' true classes"
    )
    name = "fisher"
    title = "Fisher information"
    predicts = "loss"
    precision = torch.float64  # squares of small slopes vanish in single

    def __post_init__(self) -> None:
        check_settings(self)

    def cotangents(self, risks: Tensor, outcome: Tensor) -> Iterator[tuple[Tensor, None]]:
        if not self.expected:
            yield loss_slopes(risks, outcome), None
            return
        for k in range(risks.shape[1]):
            as_k = loss_slopes(risks, torch.full_like(outcome, k))
            yield as_k * risks[:, k : k + 1].sqrt(), None  # squared, the root is the class's weight

    def size(self, weight: Tensor) -> Tensor:
        return weight.double().square()

    def views(self, model: RiskModel, x: Tensor, y: Tensor) -> Iterator[tuple[PatientScores, None]]:
        yield reduce(add, (scored.squared() for scored, _ in super().views(model, x, y))), None
