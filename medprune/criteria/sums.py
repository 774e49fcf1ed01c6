"""What patients score, in factors, and the mergeable sums over patients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from medprune.model import RiskModel


@dataclass(frozen=True)
class PatientScores:
    """The scores of a batch of patients, without a number for every patient and weight.

    For patient n weight (i, j) of layer l scores ``sizes[l][i, j] * outputs[l][n, i] * inputs[l][n, j]``:
    sizes (out, in), outputs (N, out), inputs (N, in). ``units[l]`` is (N, width), ``features`` (N, features).
    """

    sizes: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    units: tuple[Tensor, ...]
    features: Tensor

    def __add__(self, other: PatientScores) -> PatientScores:
        """The same patients in another view, of the same sizes and inputs: the sum of both scores."""
        return PatientScores(
            self.sizes,
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
            squares(self.sizes),
            squares(self.outputs),
            squares(self.inputs),
            squares(self.units),
            self.features.double().square(),
        )


@dataclass
class Totals:
    """Sums over patients, kept apart by class, in double precision.

    ``weights[l]`` (classes, out, in), ``units[l]`` (classes, width), ``features`` (classes, features).
    """

    weights: list[Tensor]
    units: list[Tensor]
    features: Tensor

    @classmethod
    def zeros(cls, model: RiskModel) -> Self:
        classes, network = len(model.classes), model.network
        double = torch.float64
        return cls(
            weights=[torch.zeros(classes, *w.shape, dtype=double) for w in network.weights()],
            units=[torch.zeros(classes, tail.spec.width, dtype=double) for tail in network.tails],
            features=torch.zeros(classes, len(model.features), dtype=double),
        )

    def add(self, scored: PatientScores, group: Tensor) -> None:
        """Add a batch's scores, each patient's to the class in ``group`` (N,).

        The sum over patients of an outer product is one matrix product: the whole trick.
        """
        for k, mine in _runs(group):
            for total, size, left, right in zip(
                self.weights, scored.sizes, scored.outputs, scored.inputs, strict=True
            ):
                total[k] += (left[mine].T @ right[mine]).mul_(size)
            for total, units in zip(self.units, scored.units, strict=True):
                total[k] += units[mine].sum(dim=0)
            self.features[k] += scored.features[mine].sum(dim=0)

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


def _runs(group: Tensor) -> Iterator[tuple[int, slice | Tensor]]:
    """Every class and its patients: a slice where they stand one after the other, else who they are."""
    classes, counts = group.unique_consecutive(return_counts=True)
    if len(classes) > len(classes.unique()):
        yield from ((int(k), group == k) for k in classes.unique())
        return
    ends = counts.cumsum(0)
    for k, start, end in zip(classes.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True):
        yield k, slice(start, end)
