"""What every criterion shares, and the outer-product identity for gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import ClassVar, Literal

import torch
from torch import Tensor

from medprune.criteria.sums import PatientScores, ScoreSums
from medprune.criteria.two_way import TwoWay, alive_weights
from medprune.mask import Mask
from medprune.model import RiskModel
from medprune.network import Trace
from medprune.registry import Registry

# Patients at a time: so many that the numbers of the widest layer stay near the processor.
SMALLEST, IN_CACHE = 512, 524_288

CRITERIA: Registry[Criterion] = Registry("criterion")


def seed_setting(name: str, seed: int) -> dict[str, int]:
    """The setting that gives this seed to a criterion that draws by chance; none for the others."""
    known = {setting.name for setting in fields(CRITERIA.get(name))}  # type: ignore[arg-type]
    return {"seed": seed} if "seed" in known else {}


class Criterion(ABC):
    """Base of all criteria; members are frozen dataclasses of settings.

    ``title`` is the name on screen. ``predicts`` says what of a patient moves with the scores when the
    thing scored is truly removed: the risk of the true class, or the loss.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    predicts: ClassVar[Literal["risk", "loss"]] = "risk"
    classes_are_predicted: ClassVar[bool] = False  # the class axis is the predicted, not the true class
    needs_patients: ClassVar[bool] = True

    def ready(self, model: RiskModel, batches: Iterator[tuple[Tensor, Tensor]]) -> Criterion:
        """The criterion with what it must learn from the patients first; most need nothing."""
        return self

    @abstractmethod
    def update(self, sums: ScoreSums, model: RiskModel, x: Tensor, y: Tensor) -> None:
        """Add the scores of a batch of prepared columns (N, inputs) and outcomes (N,) to ``sums``."""


class PatientCriterion(Criterion):
    """Scores every patient, and adds up over patients."""

    @abstractmethod
    def views(self, model: RiskModel, x: Tensor, y: Tensor) -> Iterator[tuple[PatientScores, Tensor]]:
        """The scores of a batch, with the class (N,) that each patient's are added to; several in turn."""

    @torch.no_grad()
    def update(self, sums: ScoreSums, model: RiskModel, x: Tensor, y: Tensor) -> None:
        order = torch.argsort(y, stable=True)  # those of a class together are summed without being copied
        block = max(SMALLEST, IN_CACHE // max(model.network.spec.widths))
        for some in order.tensor_split(max(1, round(len(order) / block))):  # no small rest: it costs as much
            self._update_block(sums, model, x[some], y[some])
        sums.patients += self._patients(y, len(model.classes))

    def _update_block(self, sums: ScoreSums, model: RiskModel, x: Tensor, y: Tensor) -> None:
        whole: PatientScores | None = None
        for scored, group in self.views(model, x, y):
            sums.scores.add(scored, group)
            if sums.squares is not None:
                whole = scored if whole is None else whole + scored
        if sums.squares is not None and whole is not None:
            sums.squares.add(whole.squared(), y)

    def _patients(self, y: Tensor, classes: int) -> Tensor:
        if self.classes_are_predicted:  # every patient counts for every predicted class
            return torch.full((classes,), float(len(y)), dtype=torch.float64)
        return torch.bincount(y, minlength=classes).double()


class GradientCriterion(PatientCriterion):
    """Scores E|w * cotangent-weighted gradient|, without one gradient a patient.

    For a linear layer the gradient of one patient is the outer product d a^T, and
    |d_i a_j| = |d_i| |a_j|: the mean absolute score of all weights is |W| * (|D|^T |A|) / N.
    One extra matrix product a layer, and no memory per patient and weight: what a plain backward pass
    spends on the gradients of the weights, which nobody needs here.
    """

    signed: bool = False

    @abstractmethod
    def cotangents(self, risks: Tensor, outcome: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Weighted cotangents dL/dz of the logits (N, classes), each with the class (N,) its scores go to."""

    def views(self, model: RiskModel, x: Tensor, y: Tensor) -> Iterator[tuple[PatientScores, Tensor]]:
        run = TwoWay.of(model, x)
        risks = torch.softmax(run.trace.logits, dim=1)
        reference = torch.from_numpy(model.preparation.reference)
        for cotangent, group in self.cotangents(risks, y):
            slopes, reach = run.back(cotangent)
            yield outer_products(model, run.trace, slopes, reference, reach=reach, signed=self.signed), group


def loss_slopes(risks: Tensor, outcome: Tensor) -> Tensor:
    """dL/dz of L = -log p(y|x): p - e_y (N, classes)."""
    return risks - torch.nn.functional.one_hot(outcome, risks.shape[1]).to(risks.dtype)


def outer_products(
    model: RiskModel,
    trace: Trace,
    slopes: Sequence[Tensor],
    origin: Tensor,
    *,
    reach: Sequence[Tensor] | None = None,
    signed: bool = False,
) -> PatientScores:
    """Scores from the slope of every sum (N, out): |w d a| of a weight, |a reach| of a unit.

    The reach d W is what arrives at the inputs of a layer; a feature scores
    |sum over its columns of (x - origin) reach|. ``signed`` keeps the sign of the weights' scores. Slopes and
    reach are used up: at thousands of patients fresh memory costs as much as a product.
    """
    weights, values = alive_weights(model), trace.inputs
    if reach is None:
        reach = [slope @ weight for slope, weight in zip(slopes, weights, strict=True)]

    features = over_columns(model, (values[0] - origin) * reach[0]).abs_()
    units = tuple(
        reach[layer].mul_(values[layer]).abs_() * kept_sources(model.mask, layer)
        for layer in range(1, len(values))
    )
    if not signed:
        weights = [weight.abs() for weight in weights]
        slopes = [slope.abs_() for slope in slopes]
        values = tuple(v if _is_positive(model, layer) else v.abs() for layer, v in enumerate(values))
    return PatientScores(tuple(weights), tuple(slopes), values, units, features)


def _is_positive(model: RiskModel, layer: int) -> bool:
    """Whether nothing below zero can enter a layer."""
    if layer == 0 or model.mask is not None:
        return False
    tail = model.network.spec.tails[layer - 1]
    return tail.activation in ("relu", "sigmoid") and (tail.norm == "none" or tail.norm_first)


def kept_sources(mask: Mask | None, layer: int) -> Tensor | float:
    """1 for a kept source of ``layer``, 0 for a removed one."""
    return 1.0 if mask is None else mask.sources(layer).float()


def over_columns(model: RiskModel, values: Tensor) -> Tensor:
    """The sum over the kept columns of each feature (N, features) of what every column has (N, columns)."""
    place = torch.from_numpy(model.preparation.feature_of_column)
    kept = values * kept_sources(model.mask, 0) if model.mask is not None else values
    if place.equal(torch.arange(len(model.features))):  # a column each
        return kept
    return torch.zeros(len(values), len(model.features), dtype=kept.dtype).index_add_(1, place, kept)


class WeightOnlyCriterion(Criterion):
    """Scores that look at no patient: every class gets the same, counted as one patient a class."""

    needs_patients = False

    @abstractmethod
    def scores(self, model: RiskModel) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Scores of the weights (out, in) a layer, the units (width,) a layer and the features."""

    @torch.no_grad()
    def update(self, sums: ScoreSums, model: RiskModel, x: Tensor, y: Tensor) -> None:
        weights, units, features = self.scores(model)
        totals = sums.scores
        for total, score in zip([*totals.weights, *totals.units], [*weights, *units], strict=True):
            total.add_(score.double())
        totals.features += features.double()
        sums.patients += 1
