"""First-order Taylor expansion of the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from medprune.criteria.base import CRITERIA, GradientCriterion, loss_slopes
from medprune.settings import check_settings, setting


@CRITERIA.register("taylor")
@dataclass(frozen=True)
class Taylor(GradientCriterion):
    """How much a patient's loss moves when it is removed.

    E_n |w * dL/dw|. With ``signed`` the absolute value is taken of the mean of the weights' scores
    instead: what peers compute, kept for comparison.
    """

    signed: bool = setting(
        False, "Let patients cancel out", "the size of the mean over patients, not the mean size; of weights"
    )
    name = "taylor"
    title = "Taylor expansion of the loss"
    predicts = "loss"

    def __post_init__(self) -> None:
        check_settings(self)

    def cotangents(self, risks: Tensor, outcome: Tensor) -> Iterator[tuple[Tensor, None]]:
        yield loss_slopes(risks, outcome), None
