"""What every weight and every group of a network of kinds is worth, exactly, from per-patient gradients.

The outer-product identity of :mod:`medprune.criteria.base` does not hold where weights are shared over
points in time or tokens. Here each patient's own gradient is taken (``vmap(grad)``), a few patients at
a time, so that memory stays bounded.

A group's gate is a number that is 1 when it is kept and 0 when it is replaced by its constant. The
slope along the gate is the first-order change when the group goes, in all the places where it is
heard: for a unit a_u dL/da_u, for a channel the sum over time, for a token that of all its attention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medprune.criteria.base import GradientCriterion
from medprune.criteria.class_contribution import ClassContribution
from medprune.criteria.contribution import Contribution
from medprune.criteria.fisher import Fisher
from medprune.criteria.taylor import Taylor
from medprune.errors import BadInput
from medprune.kinds.base import Keeping
from medprune.kinds.compaction import compact_kind, refusal, zeroed
from medprune.kinds.mask import INPUTS, KindMask
from medprune.kinds.network import Arrays, KindNetwork, few_threads, frozen, risks_of

CRITERIA_OF_KINDS = ("contribution", "class_contribution", "taylor", "fisher", "magnitude", "random")
MOST_NUMBERS = 4_000_000  # gradients and activations held at a time
Array = NDArray[np.float64]
Leaves = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class KindScores:
    """``weights[name]`` in the shape of that parameter, ``groups[set]`` (groups of the set,).

    Inputs that belong to one feature have one score together: ``groups["inputs"]`` is (features,).

    The ``by_class`` arrays have the classes as a further first axis: for ``class_contribution`` the
    predicted class, otherwise the patients whose true class it is.
    """

    criterion: str
    weights: Mapping[str, Array]
    groups: Mapping[str, Array]
    weights_by_class: Mapping[str, Array]
    groups_by_class: Mapping[str, Array]


@dataclass(eq=False)
class KindSums:
    """Sums of scores over patients, kept apart by class (first axis); they can be merged."""

    weights: Leaves
    groups: Leaves
    patients: Tensor

    @classmethod
    def zeros(cls, network: KindNetwork, features: Tensor) -> KindSums:
        classes, double = network.spec.outputs, torch.float64
        sizes = {**{g.name: g.size for g in network.groups()}, INPUTS: int(features.max()) + 1}
        return cls(
            {name: torch.zeros(classes, *w.shape, dtype=double) for name, w in network.weights().items()},
            {name: torch.zeros(classes, size, dtype=double) for name, size in sizes.items()},
            torch.zeros(classes, dtype=double),
        )

    def merge(self, other: KindSums) -> KindSums:
        """The sums over both groups of patients."""
        return KindSums(
            {name: total + other.weights[name] for name, total in self.weights.items()},
            {name: total + other.groups[name] for name, total in self.groups.items()},
            self.patients + other.patients,
        )

    def scores(self, criterion: str, *, balanced: bool = False) -> KindScores:
        """Means over patients; ``balanced`` gives every class the same say, however rare."""
        weights, groups = self.weights.items(), self.groups.items()
        return KindScores(
            criterion=criterion,
            weights={name: self._mean(total, balanced) for name, total in weights},
            groups={name: self._mean(total, balanced) for name, total in groups},
            weights_by_class={name: self._each(total).numpy() for name, total in weights},
            groups_by_class={name: self._each(total).numpy() for name, total in groups},
        )

    def _each(self, total: Tensor) -> Tensor:
        return total / self.patients.clamp(min=1).reshape(-1, *([1] * (total.dim() - 1)))

    def _mean(self, total: Tensor, balanced: bool) -> Array:
        if balanced:
            mean: Array = self._each(total)[self.patients > 0].mean(dim=0).numpy()
        else:
            mean = (total.sum(dim=0) / self.patients.sum().clamp(min=1)).numpy()
        return mean


def score_kind(
    network: KindNetwork,
    data: Arrays,
    criterion: str = "contribution",
    *,
    mask: KindMask | None = None,
    features: NDArray[np.int64] | None = None,
    balanced: bool = False,
    seed: int = 0,
) -> KindScores:
    """Score every weight and every group on the patients of ``data`` (normally train).

    In evaluation mode; the network is left as it was found. What the mask removed scores 0.
    ``features`` (inputs,) says which feature each input belongs to; without it each is its own.
    contribution E|w dp(y|x)/dw|, class_contribution (formula 2 of the method), taylor E|w dL/dw|,
    fisher E(w dL/dw)^2, and for groups the same with the slope along the group's gate; magnitude |w|,
    for a group the Euclidean norm of all weights that go with it; random (by ``seed``). Raises BadInput.
    """
    data = data.checked(network)
    mask = network.full_mask() if mask is None else mask
    quiet, place = frozen(network), feature_places(network, features)
    with few_threads(quiet):
        if criterion == "magnitude":
            sums = _magnitudes(quiet, mask, place)
        elif criterion == "random":
            sums = _random(quiet, mask, place, seed)
        else:
            sums = sum_scores(quiet, data, criterion, mask, place)
    return sums.scores(criterion, balanced=balanced)


def feature_places(network: KindNetwork, features: NDArray[np.int64] | None) -> Tensor:
    """The feature of each input (inputs,), checked."""
    if features is None:
        return torch.arange(network.spec.inputs)
    if features.shape != (network.spec.inputs,) or not np.issubdtype(features.dtype, np.integer):
        raise BadInput(f"The features must be {network.spec.inputs} whole numbers, one an input.")
    if set(features.tolist()) != set(range(int(features.max()) + 1)):
        raise BadInput("The features must be numbered from 0 without a gap.")
    return torch.from_numpy(features.astype(np.int64))


def kept_features(inputs: Tensor, features: Tensor) -> Tensor:
    """A feature is kept as long as one of its inputs is."""
    return torch.zeros(int(features.max()) + 1).index_add_(0, features, inputs.float()) > 0


def sum_scores(
    network: KindNetwork, data: Arrays, criterion: str, mask: KindMask, features: Tensor
) -> KindSums:
    """The sums of a criterion that looks at gradients, over all patients of ``data``."""
    views = _views(network, data, criterion, mask)
    predicted = isinstance(views, ClassContribution)
    size = (lambda g: g.square()) if criterion == "fisher" else torch.abs
    sums = KindSums.zeros(network, features)
    slopes = _slopes(network, mask, features)
    gradients = sum(leaf.numel() for leaf in mask.kept())
    for x, y in _chunks(data, max(1, MOST_NUMBERS // (gradients + network.numbers(data.inputs)))):
        with torch.no_grad():
            risks = torch.softmax(network.logits(x, mask), dim=1)
        for cotangent, klass in views.cotangents(risks, y):
            _add(sums, slopes(x, cotangent), y if klass is None else torch.full_like(y, klass), size)
        classes = len(sums.patients)
        counted = torch.full((classes,), len(y)) if predicted else torch.bincount(y, minlength=classes)
        sums.patients += counted.double()
    return sums


def _views(network: KindNetwork, data: Arrays, criterion: str, mask: KindMask) -> GradientCriterion:
    """What gives the slopes at the logits; for class_contribution, with the class rates of these patients."""
    if criterion == "class_contribution":
        risks = risks_of(network, data.inputs, mask)
        classes = range(risks.shape[1])
        own = [risks[data.outcome == k] for k in classes]
        rates = [part.mean(axis=0) if len(part) else np.full(len(classes), 1 / len(classes)) for part in own]
        return ClassContribution(rates=tuple(tuple(rate.tolist()) for rate in rates))
    known: dict[str, type[GradientCriterion]] = {
        "contribution": Contribution,
        "taylor": Taylor,
        "fisher": Fisher,
    }
    if criterion not in known:
        raise BadInput(
            f"A network of layer kinds cannot be scored by {criterion!r}: choose one of "
            f"{', '.join(CRITERIA_OF_KINDS)}."
        )
    return known[criterion]()


def _slopes(
    network: KindNetwork, mask: KindMask, features: Tensor
) -> Callable[[Tensor, Tensor], tuple[Leaves, Leaves]]:
    """Per patient (first axis): weight times slope, and gate times slope, of cotangent * logits."""
    weights = {name: value.detach() for name, value in network.masked_weights(mask).items()}
    kept = {**mask.groups, INPUTS: kept_features(mask.groups[INPUTS], features)}
    gates = {name: part.float() for name, part in kept.items()}
    inputs = mask.groups[INPUTS].float()
    fixed = {name: value.detach() for name, value in network.named_parameters()}

    def pulled(leaves: tuple[Leaves, Leaves], x: Tensor, cotangent: Tensor) -> Tensor:
        keep = Keeping(mask, gates={**leaves[1], INPUTS: leaves[1][INPUTS][features] * inputs})
        logits = torch.func.functional_call(network, {**fixed, **leaves[0]}, (x[None], keep))
        result: Tensor = (logits[0] * cotangent).sum()
        return result

    each = torch.func.vmap(torch.func.grad(pulled), in_dims=(None, 0, 0))

    def slopes(x: Tensor, cotangent: Tensor) -> tuple[Leaves, Leaves]:
        of_weights, of_gates = each((weights, gates), x, cotangent)
        return (
            {name: slope * weights[name] for name, slope in of_weights.items()},
            {name: slope * gates[name] for name, slope in of_gates.items()},
        )

    return slopes


def _add(
    sums: KindSums, slopes: tuple[Leaves, Leaves], group: Tensor, size: Callable[[Tensor], Tensor]
) -> None:
    for totals, found in zip((sums.weights, sums.groups), slopes, strict=True):
        for name, slope in found.items():
            totals[name].index_add_(0, group, size(slope).double())


def _chunks(data: Arrays, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    inputs, outcomes = torch.from_numpy(data.inputs), torch.from_numpy(data.outcome)
    return zip(inputs.split(size), outcomes.split(size), strict=True)


@torch.no_grad()
def _magnitudes(network: KindNetwork, mask: KindMask, features: Tensor) -> KindSums:
    """|w|, and for a group the norm of what compaction drops with it; counted as one patient a class."""
    sums = KindSums.zeros(network, features)
    for name, weight in zeroed(network, mask).weights().items():
        sums.weights[name] += weight.abs().double()
    for name, totals in sums.groups.items():
        place = features if name == INPUTS else torch.arange(totals.shape[1])
        for group in place[mask.groups[name]].unique().tolist():
            smaller = replace(mask, groups={**mask.groups, name: mask.groups[name] & (place != group)})
            totals[:, group] = _lost(network, mask, smaller)
    sums.patients += 1
    return sums


def _lost(network: KindNetwork, mask: KindMask, smaller: KindMask) -> float:
    """The Euclidean norm of the weights that go with a smaller mask; of all, where nothing would be left."""
    whole = _square(zeroed(network, mask))
    left = 0.0 if refusal(network, smaller) else _square(compact_kind(network, smaller).network)
    return math.sqrt(max(whole - left, 0.0))


def _square(network: KindNetwork) -> float:
    return sum(float(weight.double().square().sum()) for weight in network.weights().values())


def _random(network: KindNetwork, mask: KindMask, features: Tensor, seed: int) -> KindSums:
    """Chance; what is removed already scores 0."""
    sums, generator = KindSums.zeros(network, features), torch.Generator().manual_seed(seed)
    groups = {**mask.groups, INPUTS: kept_features(mask.groups[INPUTS], features)}
    for totals, kept in ((sums.weights, mask.weights), (sums.groups, groups)):
        for name, part in kept.items():
            totals[name] += torch.rand(part.shape, generator=generator) * part
    sums.patients += 1
    return sums
