"""What patients score, in factors, and the mergeable sums over patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import torch
from torch import Tensor

from medprune.model import RiskModel


@dataclass(frozen=True)
class PatientScores:
    """The scores of a batch of patients, without a number for every patient and weight.

    For patient n weight (i, j) of layer l scores ``outputs[l][n, i] * inputs[l][n, j]`` times its size, which
    is the same for all: outputs (N, out), inputs (N, in). ``units[l]`` is (N, width), ``features``
    (N, features).
    """

    outputs: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    units: tuple[Tensor, ...]
    features: Tensor

    def __add__(self, other: PatientScores) -> PatientScores:
        """The same patients in another view, of the same inputs: the sum of both scores."""
        return PatientScores(
            tuple(a + b for a, b in zip(self.outputs, other.outputs, strict=True)),
            self.inputs,
            tuple(a + b for a, b in zip(self.units, other.units, strict=True)),
            self.features + other.features,
        )

    def squared(self) -> PatientScores:
        """The squares of these scores: those of the factors, in double, where small ones do not vanish."""

        def squares(parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return tuple(part.double().square() for part in parts)

        return PatientScores(
            squares(self.outputs),
            squares(self.inputs),
            squares(self.units),
            self.features.double().square(),
        )

    def weighted(self, weight: Tensor) -> PatientScores:
        """These scores, each patient's times its weight (N,), which is not negative."""
        each = weight.to(self.features.dtype)[:, None]
        return PatientScores(
            tuple(part * each for part in self.outputs),
            self.inputs,
            tuple(part * each for part in self.units),
            self.features * each,
        )


# A batch: prepared columns (N, inputs) float32, outcomes (N,) int64, and, where patients do not all count
# alike, what each counts (N,) float64.
Batch: TypeAlias = "tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]"


def parts_of(batch: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
    """Columns, outcomes and weights; None where all count alike."""
    return (*batch, None) if len(batch) == 2 else batch  # noqa: PLR2004


Runs: TypeAlias = "Sequence[tuple[int, slice]]"  # a class, and which of a batch's patients are of it


@dataclass(frozen=True)
class ByClass:
    """A batch's patients, those of a class one after the other: so they are summed without being copied.

    Prepared columns ``x`` (N, inputs), true classes ``y`` (N,), how many each class has (classes,), and what
    each patient counts, ``weight`` (N,), None: alike. Who counts nothing is left out.
    """

    x: Tensor
    y: Tensor
    counts: Tensor
    weight: Tensor | None = None

    @classmethod
    def of(cls, x: Tensor, y: Tensor, classes: int, weight: Tensor | None = None) -> Self:
        if weight is not None:
            there = weight > 0
            x, y, weight = x[there], y[there], weight[there]
        order = torch.argsort(y, stable=True)
        mine = None if weight is None else weight.index_select(0, order)
        counts = torch.bincount(y, minlength=classes)
        return cls(x.index_select(0, order), y.index_select(0, order), counts, mine)

    @property
    def patients(self) -> Tensor:
        """How many patients each class counts as (classes,): the sum of their weights."""
        if self.weight is None:
            return self.counts.double()
        return torch.bincount(self.y, self.weight.double(), minlength=len(self.counts))

    @property
    def runs(self) -> Runs:
        ends = self.counts.cumsum(0).tolist()
        starts = [0, *ends[:-1]]
        return [(k, slice(a, b)) for k, (a, b) in enumerate(zip(starts, ends, strict=True)) if b > a]

    def blocks(self, patients: int) -> Iterator[ByClass]:
        """About so many patients at a time, and no small rest: it costs as much."""
        parts = max(1, round(len(self.y) / patients))
        if parts == 1:
            yield self
            return
        weights = [None] * parts if self.weight is None else self.weight.tensor_split(parts)
        for x, y, weight in zip(self.x.tensor_split(parts), self.y.tensor_split(parts), weights, strict=True):
            yield ByClass(x, y, torch.bincount(y, minlength=len(self.counts)), weight)


@dataclass
class Totals:
    """Sums over patients, kept apart by class; in double precision, but for those of a single batch.

    ``weights[l]`` (classes, out, in), ``units[l]`` (classes, width), ``features`` (classes, features).
    """

    weights: list[Tensor]
    units: list[Tensor]
    features: Tensor

    @classmethod
    def zeros(cls, model: RiskModel, dtype: torch.dtype = torch.float64) -> Self:
        classes, network = len(model.classes), model.network
        return cls(
            weights=[torch.zeros(classes, *w.shape, dtype=dtype) for w in network.weights()],
            units=[torch.zeros(classes, tail.spec.width, dtype=dtype) for tail in network.tails],
            features=torch.zeros(classes, len(model.features), dtype=dtype),
        )

    def add(self, scored: PatientScores, runs: Runs) -> None:
        """Add a batch's scores, those of each run to its class, the weights' without their sizes.

        The sum over patients of an outer product is one matrix product: the whole trick.
        """
        for k, mine in runs:
            for total, left, right in zip(self.weights, scored.outputs, scored.inputs, strict=True):
                total[k].addmm_(left[mine].T, right[mine])
            for total, units in zip(self.units, scored.units, strict=True):
                total[k] += units[mine].sum(dim=0)
            self.features[k] += scored.features[mine].sum(dim=0)

    def add_sized(self, batch: Self, sizes: Sequence[Tensor], kept: Sequence[Tensor | float]) -> None:
        """Add a batch's sums, which are used up: its weights' times their sizes (out, in), its units' where
        they are kept (width,)."""
        for total, mine, size in zip(self.weights, batch.weights, sizes, strict=True):
            total.add_(mine.mul_(size))
        for total, mine, there in zip(self.units, batch.units, kept, strict=True):
            total.add_(mine.mul_(there))
        self.features += batch.features

    def merge(self, other: Self) -> Self:
        """The sums over both groups of patients."""
        return type(self)(
            weights=[a + b for a, b in zip(self.weights, other.weights, strict=True)],
            units=[a + b for a, b in zip(self.units, other.units, strict=True)],
            features=self.features + other.features,
        )


@dataclass
class ScoreSums:
    """A criterion's sums over patients: update by adding, merge, then take the mean.

    ``scores`` are by class: the patients' true one or, for ``class_contribution``, the predicted one.
    ``patients`` (classes,) counts how many patients each class's scores are over. ``squares``, where asked
    for, are those of each patient's score over all views, always by true class.
    """

    scores: Totals
    patients: Tensor
    squares: Totals | None = None

    @classmethod
    def zeros(cls, model: RiskModel, *, squares: bool = False) -> ScoreSums:
        patients = torch.zeros(len(model.classes), dtype=torch.float64)
        return cls(Totals.zeros(model), patients, Totals.zeros(model) if squares else None)

    def merge(self, other: ScoreSums) -> ScoreSums:
        """The sums over both groups of patients; squares only where both have them."""
        squares = None
        if self.squares is not None and other.squares is not None:
            squares = self.squares.merge(other.squares)
        return ScoreSums(self.scores.merge(other.scores), self.patients + other.patients, squares)
