"""Score every weight, unit and feature of a model on a split's patients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from medprune.cohort import Split
from medprune.criteria import CRITERIA, Criterion, ScoreSums, Totals
from medprune.criteria.sums import Batch, parts_of
from medprune.errors import BadInput
from medprune.model import RiskModel
from medprune.training import Prepared

BATCH = 8_192  # patients a pass; bounds memory, does not change the scores
GRANULARITIES = ("weight", "neuron", "feature")
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Effective:
    """Effective numbers of patients, in the shapes of the scores."""

    weights: tuple[Array, ...]
    units: tuple[Array, ...]
    features: Array


Batches: TypeAlias = Callable[[], Iterator[Batch]]  # each call starts over all patients


@dataclass(frozen=True, eq=False)
class Squares:
    """Whom a model was scored on, and how: enough to count the effective patients later."""

    model: RiskModel
    batches: Batches
    criterion: Criterion

    def effective(self, *, balanced: bool) -> Effective | None:
        sums = sum_batches(self.model, self.batches, self.criterion, squares=True)
        mean = _Mean(sums.patients.numpy(), balanced)
        return None if sums.squares is None else _effective(mean, sums.scores, sums.squares)


@dataclass(frozen=True, eq=False)
class Contributions:
    """The scores of one model: ``weight_scores[l]`` (out, in), ``unit_scores[l]`` (width,), and features.

    The effective numbers of patients cost as much again as the scores: where ``squares`` can still count
    them, that is done when somebody looks.

    The ``by_class`` arrays carry one more leading axis, the classes: for ``class_contribution`` the
    predicted class, otherwise the patients whose true class it is. ``patients`` counts who was scored.
    """

    criterion: str
    classes: tuple[str, ...]
    layer_names: tuple[str, ...]
    columns: tuple[str, ...]
    feature_names: tuple[str, ...]
    weight_scores: tuple[Array, ...]
    unit_scores: tuple[Array, ...]
    feature_scores: Array
    weights_by_class: tuple[Array, ...]
    units_by_class: tuple[Array, ...]
    features_by_class: Array
    patients: int
    balanced: bool = False
    effective: Effective | None = None
    squares: Squares | None = None

    @cached_property
    def weights(self) -> pd.DataFrame:
        """One row a weight: layer, row (its unit), column (its source), name, score, effective_patients."""
        return pd.concat(
            [self._weights_of(layer) for layer in range(len(self.weight_scores))], ignore_index=True
        )

    @cached_property
    def neurons(self) -> pd.DataFrame:
        """One row a hidden unit: layer, row, column (empty), name, score, effective_patients."""
        effective = self.effective_patients("neuron")
        frames = [
            pd.DataFrame(
                {
                    "layer": name,
                    "row": np.arange(len(scores)),
                    "column": pd.NA,
                    "score": scores,
                    "effective_patients": patients,
                }
            )
            for name, scores, patients in zip(self.layer_names, self.unit_scores, effective, strict=False)
        ]
        table = pd.concat(frames, ignore_index=True) if frames else _empty_table()
        table.insert(
            3, "name", [f"{a} unit {b + 1}" for a, b in zip(table["layer"], table["row"], strict=True)]
        )
        return table

    @cached_property
    def features(self) -> pd.DataFrame:
        """One row a source column of the table, in the user's own names."""
        n = len(self.feature_names)
        return pd.DataFrame(
            {
                "layer": "input",
                "row": pd.NA,
                "column": np.arange(n),
                "name": list(self.feature_names),
                "score": self.feature_scores,
                "effective_patients": self.effective_patients("feature")[0],
            }
        )

    def table(self, granularity: str, *, by_class: bool = False) -> pd.DataFrame:
        """The frame of one granularity; with ``by_class`` a further column a class, named by its label."""
        check_granularity(granularity)
        frame = {"weight": self.weights, "neuron": self.neurons, "feature": self.features}[granularity]
        if not by_class:
            return frame
        extra = self._flat_by_class(granularity)
        return frame.assign(**{f"score [{label}]": extra[k] for k, label in enumerate(self.classes)})

    def scores(self, granularity: str) -> tuple[Array, ...]:
        """Scores by layer: one array a layer for weights and neurons, a single one for features."""
        check_granularity(granularity)
        if granularity == "feature":
            return (self.feature_scores,)
        return self.weight_scores if granularity == "weight" else self.unit_scores

    def scores_of_class(self, granularity: str, place: int) -> tuple[Array, ...]:
        """As :meth:`scores`, for the class at ``place``."""
        if granularity == "feature":
            return (self.features_by_class[place],)
        each = self.weights_by_class if granularity == "weight" else self.units_by_class
        return tuple(scores[place] for scores in each)

    def effective_patients(self, granularity: str) -> tuple[Array, ...]:
        """How many patients carry each score, in the shape of :meth:`scores`: (sum s_n)^2 / sum s_n^2.

        All patients alike make it their number, a single one makes it 1; 0 where nobody moves the score,
        NaN where no patient was looked at. Rows are counted, where patients have several.
        """
        check_granularity(granularity)
        if self._effective is None:
            return tuple(np.full_like(scores, np.nan) for scores in self.scores(granularity))
        if granularity == "feature":
            return (self._effective.features,)
        return self._effective.weights if granularity == "weight" else self._effective.units

    @cached_property
    def _effective(self) -> Effective | None:
        return self.effective if self.squares is None else self.squares.effective(balanced=self.balanced)

    def _flat_by_class(self, granularity: str) -> list[Array]:
        each = (self.scores_of_class(granularity, k) for k in range(len(self.classes)))
        return [
            np.concatenate([layer.ravel() for layer in scores]) if scores else np.empty(0) for scores in each
        ]

    def _weights_of(self, layer: int) -> pd.DataFrame:
        scores = self.weight_scores[layer]
        rows, columns = np.indices(scores.shape).reshape(2, -1)
        sources = self.columns if layer == 0 else _unit_names(self.layer_names[layer - 1], scores.shape[1])
        if layer == len(self.unit_scores):
            targets = [f"output {label}" for label in self.classes]
        else:
            targets = _unit_names(self.layer_names[layer], scores.shape[0])
        names = [f"{sources[c]} → {targets[r]}" for r, c in zip(rows, columns, strict=True)]
        return pd.DataFrame(
            {
                "layer": self.layer_names[layer],
                "row": rows,
                "column": columns,
                "name": names,
                "score": scores.ravel(),
                "effective_patients": self.effective_patients("weight")[layer].ravel(),
            }
        )


def check_granularity(granularity: str) -> str:
    if granularity not in GRANULARITIES:
        raise BadInput(f"Granularity must be one of {', '.join(GRANULARITIES)}, got {granularity!r}.")
    return granularity


def _unit_names(layer: str, width: int) -> list[str]:
    return [f"{layer} unit {unit + 1}" for unit in range(width)]


def _empty_table() -> pd.DataFrame:
    return pd.DataFrame({"layer": [], "row": [], "column": [], "score": [], "effective_patients": []})


def score(
    model: RiskModel,
    split: Split,
    criterion: str = "contribution",
    *,
    balanced: bool = False,
    **settings: Any,
) -> Contributions:
    """Score ``model`` on the patients of ``split`` (normally train), in evaluation mode.

    ``balanced`` gives every class the same say in the mean, however rare. Further settings are the
    criterion's own (``seed`` of random, ``signed`` of taylor, ``rates`` of class_contribution).
    Raises BadInput for an unknown criterion or setting.
    """
    chosen = CRITERIA.make(criterion, **settings)
    batches = split_batches(model, split)
    return score_batches(model, batches, criterion, chosen, patients=len(split), balanced=balanced)


def split_batches(model: RiskModel, split: Split) -> Batches:
    """The prepared patients of a split in batches."""
    return partial(_batches, Prepared(model.prepared(split), split.outcome, split.weight))


def score_batches(
    model: RiskModel,
    batches: Batches,
    name: str,
    criterion: Criterion,
    *,
    patients: int,
    balanced: bool = False,
) -> Contributions:
    """The scores of patients who come in batches; their effective number goes over them again, if asked."""
    sums = sum_batches(model, batches, criterion)
    found = contributions_from(model, name, sums, patients=patients, balanced=balanced)
    return replace(found, squares=Squares(model, batches, criterion))


def sum_scores(model: RiskModel, data: Prepared, criterion: Criterion, *, squares: bool = False) -> ScoreSums:
    """The criterion's sums over all patients of ``data``; see :func:`sum_batches`."""
    return sum_batches(model, partial(_batches, data), criterion, squares=squares)


def sum_batches(
    model: RiskModel,
    batches: Batches,
    criterion: Criterion,
    *,
    squares: bool = False,
) -> ScoreSums:
    """The criterion's sums over all patients, batch by batch: no more than one batch is held.

    ``batches()`` starts over prepared columns (N, inputs) float32, outcomes (N,) int64 and, where not all
    count alike, weights (N,); a criterion that must learn from the patients first goes over them twice.
    ``squares`` sums the squares too, for the effective number of patients, where patients are looked at; that
    costs as much again.
    """
    sums = ScoreSums.zeros(model, squares=squares and criterion.needs_patients)
    ready = criterion.ready(model, batches())
    for batch in batches():
        x, y, weight = parts_of(batch)
        ready.update(sums, model, x, y, weight)
        if not ready.needs_patients:
            break
    return sums


def _batches(data: Prepared) -> Iterator[Batch]:
    columns = torch.from_numpy(data.columns).split(BATCH)
    outcomes = torch.from_numpy(data.outcome).split(BATCH)
    if data.weight is None:
        return zip(columns, outcomes, strict=True)
    return zip(columns, outcomes, torch.from_numpy(data.weight).split(BATCH), strict=True)


@dataclass(frozen=True)
class Names:
    """What the scores of a model are called: enough to show them where the model is not at hand."""

    classes: tuple[str, ...]
    layers: tuple[str, ...]  # the hidden ones, then the output
    columns: tuple[str, ...]  # prepared ones
    features: tuple[str, ...]

    @classmethod
    def of(cls, model: RiskModel) -> Names:
        columns = tuple(column.name for column in model.preparation.columns)
        return cls(model.classes, model.network.layer_names(), columns, model.features)


def contributions_from(
    model: RiskModel, criterion: str, sums: ScoreSums, *, patients: int, balanced: bool = False
) -> Contributions:
    """Means from sums: over all patients, or over the classes' means."""
    return contributions_named(Names.of(model), criterion, sums, patients=patients, balanced=balanced)


def contributions_named(
    names: Names, criterion: str, sums: ScoreSums, *, patients: int, balanced: bool = False
) -> Contributions:
    """As :func:`contributions_from`, without the model."""
    mean = _Mean(sums.patients.numpy(), balanced)
    totals = sums.scores
    features = totals.features.numpy()
    found = Contributions(
        criterion=criterion,
        classes=names.classes,
        layer_names=names.layers,
        columns=names.columns,
        feature_names=names.features,
        weight_scores=tuple(mean.overall(total.numpy()) for total in totals.weights),
        unit_scores=tuple(mean.overall(total.numpy()) for total in totals.units),
        feature_scores=mean.overall(features),
        weights_by_class=tuple(mean.each(total.numpy()) for total in totals.weights),
        units_by_class=tuple(mean.each(total.numpy()) for total in totals.units),
        features_by_class=mean.each(features),
        patients=patients,
        balanced=balanced,
    )
    return found if sums.squares is None else replace(found, effective=_effective(mean, totals, sums.squares))


def _effective(mean: _Mean, totals: Totals, squares: Totals) -> Effective:
    def each(sums: list[Tensor], of_squares: list[Tensor]) -> tuple[Array, ...]:
        return tuple(mean.effective(a.numpy(), b.numpy()) for a, b in zip(sums, of_squares, strict=True))

    return Effective(
        weights=each(totals.weights, squares.weights),
        units=each(totals.units, squares.units),
        features=mean.effective(totals.features.numpy(), squares.features.numpy()),
    )


@dataclass(frozen=True)
class _Mean:
    """Divides class sums (classes, ...) by patients (classes,), or by the sums of their weights."""

    patients: Array
    balanced: bool

    def each(self, total: Array) -> Array:
        mean: Array = np.abs(total) / self._along(total, self._there)
        return mean

    def overall(self, total: Array) -> Array:
        if self.balanced:
            mean: Array = self.each(total)[self.patients > 0].mean(axis=0)
        else:
            mean = np.abs(total.sum(axis=0)) / (self.patients.sum() or 1.0)
        return mean

    def effective(self, total: Array, squares: Array) -> Array:
        """(sum s_n)^2 / sum s_n^2 of the scores s_n as the mean weighs them."""
        say = 1 / self._there if self.balanced else np.ones_like(self.patients)
        share = self._along(total, say)
        top = np.square((total * share).sum(axis=0))
        bottom = (squares * np.square(share)).sum(axis=0)
        effective: Array = np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
        return effective

    @property
    def _there(self) -> Array:
        return np.where(self.patients > 0, self.patients, 1.0)

    @staticmethod
    def _along(total: Array, of_classes: Array) -> Array:
        return of_classes.reshape(-1, *([1] * (total.ndim - 1)))
