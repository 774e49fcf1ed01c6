"""The document's second formula: the label unknown, one score for every predicted class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from medprune.criteria.base import CRITERIA, GradientCriterion
from medprune.criteria.sums import Batch, parts_of
from medprune.model import RiskModel


@CRITERIA.register("class_contribution")
@dataclass(frozen=True)
class ClassContribution(GradientCriterion):
    """How much the prediction, smoothed by how the model confuses classes, moves when it is removed.

    Contrib(w, j) = sum_k p(k|x) dL(k,x)/dw p(j|k) = -dq_j/dw with q_j = sum_k p(k|x) P[k,j], where
    P[k,j] is the mean of p(j|x) over the patients of class k (formula (2) of the method). Its logit
    cotangent is v_j = p s_j - p * P[:,j] with s_j = sum_k p_k P[k,j]: one backward pass a class.
    """

    rates: tuple[tuple[float, ...], ...] | None = None
    name = "class_contribution"
    title = "Contribution to each predicted class"
    classes_are_predicted = True

    def ready(self, model: RiskModel, batches: Iterator[Batch]) -> ClassContribution:
        if self.rates is not None:
            return self
        rates = class_rates(model, batches)
        return replace(self, rates=tuple(tuple(row) for row in rates.tolist()))

    def cotangents(self, risks: Tensor, outcome: Tensor) -> Iterator[tuple[Tensor, int]]:
        rates = torch.tensor(self.rates, dtype=risks.dtype)
        for j in range(risks.shape[1]):
            smoothed = (risks @ rates[:, j])[:, None]
            yield risks * smoothed - risks * rates[:, j], j


@torch.no_grad()
def rate_sums(model: RiskModel, batches: Iterator[Batch]) -> tuple[Tensor, Tensor]:
    """Sums of risks (classes, classes), row k over the patients of class k, and how many those are.

    Like the sums of a score they can be added up over batches and hospitals.
    """
    classes = len(model.classes)
    total = torch.zeros(classes, classes, dtype=torch.float64)
    patients = torch.zeros(classes, dtype=torch.float64)
    for x, y, weight in map(parts_of, batches):
        risks = torch.softmax(model.network(x, model.mask), dim=1).double()
        total.index_add_(0, y, risks if weight is None else risks * weight[:, None])
        patients += torch.bincount(y, weight, minlength=classes)
    return total, patients


def rates_from(total: Tensor, patients: Tensor) -> Tensor:
    """P[k, j] from the sums of :func:`rate_sums` (rows sum to 1); a class without patients says nothing."""
    uniform = torch.full_like(total, 1 / len(total))
    return torch.where(
        patients[:, None] > 0, total / torch.where(patients > 0, patients, 1.0)[:, None], uniform
    )


def class_rates(model: RiskModel, batches: Iterator[Batch]) -> Tensor:
    """P[k, j]: the mean risk of class j over the patients of class k (rows sum to 1)."""
    return rates_from(*rate_sums(model, batches))
