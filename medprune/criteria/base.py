"""What every criterion shares, and the outer-product identity for gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import ClassVar, Literal

import torch
from torch import Tensor

from medprune.criteria.sums import Batch, ByClass, PatientScores, ScoreSums, Totals
from medprune.criteria.two_way import TwoWay, alive_weights
from medprune.mask import Mask
from medprune.model import RiskModel
from medprune.registry import Registry

# Patients at a time: so many that the numbers of the widest layer stay near the processor.
SMALLEST, IN_CACHE = 512, 1_048_576

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

    def ready(self, model: RiskModel, batches: Iterator[Batch]) -> Criterion:
        """The criterion with what it must learn from the patients first; most need nothing."""
        return self

    @abstractmethod
    def update(
        self, sums: ScoreSums, model: RiskModel, x: Tensor, y: Tensor, weight: Tensor | None = None
    ) -> None:
        """Add the scores of a batch of prepared columns (N, inputs) and outcomes (N,) to ``sums``.

        Each patient counts as its ``weight`` (N,) says; None: alike.
        """


class PatientCriterion(Criterion):
    """Scores every patient, and adds up over patients."""

    precision: ClassVar[torch.dtype | None] = None  # of one batch's scores; None: as the network's weights

    @abstractmethod
    def views(self, model: RiskModel, x: Tensor, y: Tensor) -> Iterator[tuple[PatientScores, int | None]]:
        """The scores of a batch, with the class they are added to, or None for each patient's own; several
        in turn."""

    def size(self, weight: Tensor) -> Tensor:
        """What all patients' scores of the weights (out, in) are multiplied by: done once, not a patient."""
        return weight.abs()

    @torch.no_grad()
    def update(
        self, sums: ScoreSums, model: RiskModel, x: Tensor, y: Tensor, weight: Tensor | None = None
    ) -> None:
        patients = ByClass.of(x, y, len(model.classes), weight)
        weights = alive_weights(model)
        scores = Totals.zeros(model, self.precision or weights[0].dtype)
        squares = None if sums.squares is None else Totals.zeros(model)
        for block in patients.blocks(max(SMALLEST, IN_CACHE // max(model.network.spec.widths))):
            self._add_block(scores, squares, model, block)

        sizes = [self.size(weight) for weight in weights]
        kept = [kept_sources(model.mask, layer) for layer in range(1, len(sizes))]
        sums.scores.add_sized(scores, sizes, kept)
        if sums.squares is not None and squares is not None:
            sums.squares.add_sized(squares, [size.double().square() for size in sizes], kept)
        sums.patients += self._patients(patients)

    def _add_block(self, scores: Totals, squares: Totals | None, model: RiskModel, block: ByClass) -> None:
        whole: PatientScores | None = None
        for each, klass in self.views(model, block.x, block.y):
            scored = each if block.weight is None else each.weighted(block.weight)
            scores.add(scored, block.runs if klass is None else ((klass, slice(None)),))
            if squares is not None:
                whole = scored if whole is None else whole + scored
        if squares is not None and whole is not None:
            squares.add(whole.squared(), block.runs)

    def _patients(self, patients: ByClass) -> Tensor:
        if self.classes_are_predicted:  # every patient counts for every predicted class
            return patients.patients.sum().expand(len(patients.counts))
        return patients.patients


class GradientCriterion(PatientCriterion):
    """Scores E|w * cotangent-weighted gradient|, without one gradient a patient.

    For a linear layer the gradient of one patient is the outer product d a^T, and
    |d_i a_j| = |d_i| |a_j|: the mean absolute score of all weights is |W| * (|D|^T |A|) / N.
    One extra matrix product a layer, and no memory per patient and weight: what a plain backward pass
    spends on the gradients of the weights, which nobody needs here.
    """

    signed: bool = False

    @abstractmethod
    def cotangents(self, risks: Tensor, outcome: Tensor) -> Iterator[tuple[Tensor, int | None]]:
        """Weighted cotangents dL/dz of the logits (N, classes), each with the class its scores go to, or
        None for each patient's own."""

    def size(self, weight: Tensor) -> Tensor:
        return weight if self.signed else weight.abs()

    def views(self, model: RiskModel, x: Tensor, y: Tensor) -> Iterator[tuple[PatientScores, int | None]]:
        run = TwoWay.of(model, x)
        risks = torch.softmax(run.logits, dim=1)
        reference = torch.from_numpy(model.preparation.reference)
        for cotangent, klass in self.cotangents(risks, y):
            slopes, reach = run.back(cotangent)
            yield outer_products(model, run.inputs, slopes, reference, reach, signed=self.signed), klass


def loss_slopes(risks: Tensor, outcome: Tensor) -> Tensor:
    """dL/dz of L = -log p(y|x): p - e_y (N, classes)."""
    return risks - torch.nn.functional.one_hot(outcome, risks.shape[1]).to(risks.dtype)


def outer_products(
    model: RiskModel,
    values: Sequence[Tensor],
    slopes: Sequence[Tensor],
    origin: Tensor,
    reach: Sequence[Tensor],
    *,
    signed: bool = False,
) -> PatientScores:
    """Scores from what enters every layer (N, in) and the slope of every sum (N, out): |d a| of a weight,
    to be multiplied by its size, and |a reach| of a unit.

    The reach d W is what arrives at the inputs of a layer (N, in); a feature scores
    |sum over its columns of (x - origin) reach|. ``signed`` keeps the sign of the weights' scores. Slopes and
    reach are used up: at thousands of patients fresh memory costs as much as a product.
    """
    features = over_columns(model, reach[0].mul_(values[0] - origin)).abs_()
    if signed:
        units = [(reach[layer] * values[layer]).abs_() for layer in range(1, len(values))]
        return PatientScores(tuple(slopes), tuple(values), tuple(units), features)

    slopes = [slope.abs_() for slope in slopes]
    values = [v if _is_positive(model, layer) else v.abs() for layer, v in enumerate(values)]
    units = []
    for layer in range(1, len(values)):
        if reach[layer] is slopes[layer - 1]:  # through a plain ReLU, whose slope is needed again
            units.append(reach[layer] * values[layer])
        else:
            units.append(reach[layer].abs_().mul_(values[layer]))
    return PatientScores(tuple(slopes), tuple(values), tuple(units), features)


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
    def update(
        self, sums: ScoreSums, model: RiskModel, x: Tensor, y: Tensor, weight: Tensor | None = None
    ) -> None:
        weights, units, features = self.scores(model)
        totals = sums.scores
        for total, score in zip([*totals.weights, *totals.units], [*weights, *units], strict=True):
            total.add_(score.double())
        totals.features += features.double()
        sums.patients += 1
