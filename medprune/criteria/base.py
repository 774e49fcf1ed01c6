"""What every criterion shares: the mergeable sums, and the outer-product identity for gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor

from medprune.mask import Mask
from medprune.model import RiskModel
from medprune.network import Network, Trace
from medprune.registry import Registry

CRITERIA: Registry[Criterion] = Registry("criterion")


def seed_setting(name: str, seed: int) -> dict[str, int]:
    """The setting that gives this seed to a criterion that draws by chance; none for the others."""
    known = {setting.name for setting in fields(CRITERIA.get(name))}  # type: ignore[arg-type]
    return {"seed": seed} if "seed" in known else {}


@dataclass
class ScoreSums:
    """Sums of scores over patients, kept apart by class: update by adding, merge, then take the mean.

    ``weights[l]`` (classes, out, in), ``units[l]`` (classes, width), ``features`` (classes, features),
    ``patients`` (classes,): how many patients each class's sums are over. All double precision.
    """

    weights: list[Tensor]
    units: list[Tensor]
    features: Tensor
    patients: Tensor

    @classmethod
    def zeros(cls, model: RiskModel) -> ScoreSums:
        classes = len(model.classes)
        double = torch.float64
        return cls(
            weights=[torch.zeros(classes, *w.shape, dtype=double) for w in model.network.weights()],
            units=[torch.zeros(classes, tail.spec.width, dtype=double) for tail in model.network.tails],
            features=torch.zeros(classes, len(model.features), dtype=double),
            patients=torch.zeros(classes, dtype=double),
        )

    def merge(self, other: ScoreSums) -> ScoreSums:
        """The sums over both groups of patients."""
        return ScoreSums(
            weights=[a + b for a, b in zip(self.weights, other.weights, strict=True)],
            units=[a + b for a, b in zip(self.units, other.units, strict=True)],
            features=self.features + other.features,
            patients=self.patients + other.patients,
        )


class Criterion(ABC):
    """Base of all criteria; members are frozen dataclasses of settings."""

    name: ClassVar[str]
    classes_are_predicted: ClassVar[bool] = False  # the class axis is the predicted, not the true class
    needs_patients: ClassVar[bool] = True

    def ready(self, model: RiskModel, batches: Iterator[tuple[Tensor, Tensor]]) -> Criterion:
        """The criterion with what it must learn from the patients first; most need nothing."""
        return self

    @abstractmethod
    def update(self, sums: ScoreSums, model: RiskModel, x: Tensor, y: Tensor) -> None:
        """Add the scores of a batch of prepared columns (N, inputs) and outcomes (N,) to ``sums``."""


@dataclass(frozen=True)
class View:
    """One set of logit cotangents (N, classes) and the class (N,) each patient's score is added to."""

    cotangent: Tensor
    group: Tensor


class GradientCriterion(Criterion):
    """Scores E|w * cotangent-weighted gradient|, without one gradient a patient.

    For a linear layer the gradient of one patient is the outer product d a^T, and
    |d_i a_j| = |d_i| |a_j|: the mean absolute score of all weights is |W| * (|D|^T |A|) / N.
    One extra matrix product a layer, and no memory per patient and weight.
    """

    signed: bool = False

    @abstractmethod
    def views(self, risks: Tensor, outcome: Tensor) -> Iterator[View]:
        """Cotangents dL/dz of the logits (N, classes), already weighted by the criterion."""

    def update(self, sums: ScoreSums, model: RiskModel, x: Tensor, y: Tensor) -> None:
        network, mask = model.network, model.mask
        with torch.enable_grad():
            trace = network.trace(x.detach().clone().requires_grad_(True), mask)
        risks = torch.softmax(trace.logits.detach(), dim=1)
        for view in self.views(risks, y):
            slopes = torch.autograd.grad(trace.logits, trace.sums, view.cotangent, retain_graph=True)
            self._add(sums, model, trace, slopes, view.group)
        sums.patients += _patients(y, len(model.classes), self.classes_are_predicted)

    @torch.no_grad()
    def _add(
        self, sums: ScoreSums, model: RiskModel, trace: Trace, slopes: tuple[Tensor, ...], group: Tensor
    ) -> None:
        network, mask = model.network, model.mask
        members = torch.nn.functional.one_hot(group, len(model.classes)).to(trace.logits.dtype)
        for layer, weight in enumerate(_effective_weights(network, mask)):
            reach = slopes[layer] @ weight  # dL/d(input of this layer), (N, in)
            for k in group.unique().tolist():
                mine = group == k
                sums.weights[layer][k] += weight.abs() * self._product(
                    slopes[layer][mine], trace.inputs[layer][mine]
                )
            if layer == 0:
                sums.features += members.T.double() @ _feature_scores(model, trace.inputs[0], reach).double()
            else:
                units = (trace.inputs[layer] * reach * mask_of(mask, layer)).abs()
                sums.units[layer - 1] += (members.T @ units).double()

    def _product(self, slope: Tensor, value: Tensor) -> Tensor:
        if self.signed:
            return slope.T @ value
        return slope.abs().T @ value.abs()


def _effective_weights(network: Network, mask: Mask | None) -> list[Tensor]:
    if mask is None:
        return list(network.weights())
    return [w * alive for w, alive in zip(network.weights(), mask.alive_weights(), strict=True)]


def mask_of(mask: Mask | None, layer: int) -> Tensor:
    """1 for a kept source of ``layer``, 0 for a removed one."""
    return torch.ones(()) if mask is None else mask.sources(layer).float()


def _feature_scores(model: RiskModel, x: Tensor, reach: Tensor) -> Tensor:
    """|sum over a feature's columns of (x - reference) dL/dx|, (N, features)."""
    moved = (x - torch.from_numpy(model.preparation.reference)) * reach
    place = torch.from_numpy(model.preparation.feature_of_column)
    return torch.zeros(len(x), len(model.features), dtype=x.dtype).index_add_(1, place, moved).abs()


def _patients(y: Tensor, classes: int, predicted: bool) -> Tensor:
    if predicted:  # every patient counts for every predicted class
        return torch.full((classes,), float(len(y)), dtype=torch.float64)
    return torch.bincount(y, minlength=classes).double()


class WeightOnlyCriterion(Criterion):
    """Scores that look at no patient: every class gets the same, counted as one patient a class."""

    needs_patients = False

    @abstractmethod
    def scores(self, model: RiskModel) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Scores of the weights (out, in) a layer, the units (width,) a layer and the features."""

    @torch.no_grad()
    def update(self, sums: ScoreSums, model: RiskModel, x: Tensor, y: Tensor) -> None:
        weights, units, features = self.scores(model)
        for total, score in zip([*sums.weights, *sums.units], [*weights, *units], strict=True):
            total.add_(score.double())
        sums.features += features.double()
        sums.patients += 1
