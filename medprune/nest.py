"""Nested cuts of one network as numbers: at how many of the leading cuts each part is still there.

The masks of a sweep are nested, so a hundred of them are one whole number a weight, its *last*: the
weight is there at cut t if and only if its last is greater than t. What :func:`medprune.compaction.tidy`
does to every mask (whatever nothing listens to, or hears nothing, goes too) becomes one pass of minima
along ways and maxima over them, for all cuts at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from medprune.mask import Mask
from medprune.model import RiskModel
from medprune.removal import Cut, mask_of

Whole = NDArray[np.integer[Any]]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Lasts:
    """At how many of the leading thresholds each part is alive: at the threshold at t if last > t.

    ``weights`` (out, in) a layer, ``units`` (width,) a hidden layer, ``features`` (features,); int64.
    """

    weights: tuple[NDArray[np.int64], ...]
    units: tuple[NDArray[np.int64], ...]
    features: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Nest:
    """``steps`` nested cuts of ``model``, from the one that keeps most to the one that keeps least.

    ``weights[l]`` (out, in), ``units[l]`` (width,) and ``inputs`` (columns,) are the lasts of what is
    kept by name; ``unit_constants[l]`` (steps or 1, width) and ``input_constants`` (steps or 1, columns)
    stand in for units and inputs that are not. All cuts remove the same whole layers.
    """

    model: RiskModel
    steps: int
    weights: tuple[Whole, ...]
    units: tuple[Whole, ...]
    inputs: Whole
    unit_constants: tuple[Floats, ...]
    input_constants: Floats

    @classmethod
    def of_cut(cls, cut: Cut, thresholds: NDArray[np.float64]) -> Nest:
        """The cuts at these thresholds, in ascending order; the same as ``cut.at`` of each."""
        base, steps = mask_of(cut.model), len(thresholds)
        stay = tuple(
            np.where(always, steps, np.searchsorted(thresholds, order, side="right")).astype(_whole(steps))
            for always, order in zip(cut.always(), cut.order, strict=True)
        )
        nest = cls._constant(cut.model, base, steps)
        return _CUT[cut.granularity](nest, cut, base, stay)

    @classmethod
    def _constant(cls, model: RiskModel, base: Mask, steps: int) -> Nest:
        """The same mask at every step."""

        def whole(kept: torch.Tensor) -> Whole:
            result: Whole = kept.numpy() * np.array(steps, _whole(steps))
            return result

        return cls(
            model=model,
            steps=steps,
            weights=tuple(whole(part) for part in base.weights),
            units=tuple(whole(part) for part in base.units),
            inputs=whole(base.inputs),
            unit_constants=tuple(part.numpy()[None] for part in base.unit_constants),
            input_constants=base.input_constants.numpy()[None],
        )

    @classmethod
    def of_models(cls, models: Sequence[RiskModel]) -> Nest | None:
        """Cuts of one network, most kept first; None when they are not nested."""
        masks = [mask_of(model) for model in models]
        first = models[0]
        for model, before, mask in zip(models[1:], masks[:-1], masks[1:], strict=True):
            if model.network is not first.network or model.recalibration != first.recalibration:
                return None
            kept = zip(_parts(mask), _parts(before), strict=True)
            if not all(bool((a <= b).all()) for a, b in kept) or not mask.layers.equal(before.layers):
                return None
        kind = _whole(len(masks))

        def lasts(parts: Iterable[torch.Tensor]) -> Whole:
            found: Whole = np.sum([part.numpy() for part in parts], axis=0, dtype=kind)
            return found

        constants = zip(*(mask.unit_constants for mask in masks), strict=True)
        return cls(
            model=first,
            steps=len(masks),
            weights=tuple(lasts(parts) for parts in zip(*(m.weights for m in masks), strict=True)),
            units=tuple(lasts(parts) for parts in zip(*(m.units for m in masks), strict=True)),
            inputs=lasts(mask.inputs for mask in masks),
            unit_constants=tuple(torch.stack(each).numpy() for each in constants),
            input_constants=torch.stack([mask.input_constants for mask in masks]).numpy(),
        )

    @cached_property
    def heard(self) -> tuple[Whole, ...]:
        """The lasts of a kept way on to a logit: of input columns, of each hidden layer, of the logits."""
        classes = self.weights[-1].shape[0]
        targets: Whole = np.full(classes, self.steps, dtype=self.weights[-1].dtype)
        heard = [targets]
        for layer in reversed(range(len(self.weights))):
            targets = np.minimum(self.weights[layer], targets[:, None]).max(axis=0, initial=0)
            heard.insert(0, targets)
            targets = np.minimum(targets, self.sources(layer))
        return tuple(heard)

    def sources(self, layer: int) -> Whole:
        """The lasts of what feeds ``layer`` and is kept by name: input columns for layer 0, else units."""
        return self.inputs if layer == 0 else self.units[layer - 1]

    @cached_property
    def living(self) -> tuple[Whole, ...]:
        """The lasts of what can still matter: of the input columns, of each hidden layer, of the logits."""
        layers = mask_of(self.model).layers
        living = [np.minimum(self.inputs, self.heard[0])]
        for layer, tail in enumerate(self.model.network.tails):
            kept = np.minimum(self.units[layer], self.heard[layer + 1])
            if not (tail.mixes_units and layers[layer]):
                hears = np.minimum(self.weights[layer], living[-1][None, :]).max(axis=1, initial=0)
                kept = np.minimum(kept, hears)
            living.append(kept)
        return (*living, self.heard[-1])

    @cached_property
    def alive(self) -> tuple[Whole, ...]:
        """The lasts of the weights (out, in) whose both ends live."""
        return tuple(
            np.minimum(np.minimum(weights, targets[:, None]), sources[None, :])
            for weights, sources, targets in zip(self.weights, self.living, self.living[1:], strict=False)
        )

    @cached_property
    def features(self) -> Whole:
        """The lasts of the features (features,): a feature is needed while one of its columns lives."""
        lasts = np.zeros(len(self.model.features), dtype=self.inputs.dtype)
        np.maximum.at(lasts, self.model.preparation.feature_of_column, self.living[0])
        return lasts

    @cached_property
    def lasts(self) -> Lasts:
        units = zip(self.living[1:-1], mask_of(self.model).layers.tolist(), strict=True)
        return Lasts(
            weights=tuple(part.astype(np.int64) for part in self.alive),
            units=tuple(part.astype(np.int64) * there for part, there in units),
            features=self.features.astype(np.int64),
        )

    def changes(self) -> NDArray[np.intp]:
        """The steps at which something goes that could matter, the first step included."""
        changed = np.zeros(self.steps + 1, dtype=bool)
        changed[0] = True
        for weights, targets in zip(self.weights, self.heard[1:], strict=True):
            changed[np.minimum(weights, targets[:, None]).ravel()] = True
        for layer, heard in enumerate(self.heard[:-1]):
            changed[np.minimum(self.sources(layer), heard)] = True
        return np.flatnonzero(changed[:-1])


def _whole(steps: int) -> type[np.integer[Any]]:
    """Small numbers: a hundred times the weights are compared with them."""
    return np.int16 if steps < np.iinfo(np.int16).max else np.int32


def _parts(mask: Mask) -> tuple[torch.Tensor, ...]:
    return (*mask.weights, *mask.units, mask.inputs)


def _of_weights(nest: Nest, cut: Cut, base: Mask, stay: tuple[Whole, ...]) -> Nest:
    # A weight whose source is gone carries that source's constant: it stays.
    weights = (
        np.where(alive, part, old) for part, alive, old in zip(stay, cut.alive, nest.weights, strict=True)
    )
    return replace(nest, weights=tuple(weights))


def _of_units(nest: Nest, cut: Cut, base: Mask, stay: tuple[Whole, ...]) -> Nest:
    units, constants = [], []
    for layer, alive in enumerate(cut.alive):
        units.append(np.where(alive, stay[layer], nest.units[layer]))
        mean = cut.means[layer].numpy()
        constants.append(np.where(alive, mean, nest.unit_constants[layer]))
    return replace(nest, units=tuple(units), unit_constants=tuple(constants))


def _of_features(nest: Nest, cut: Cut, base: Mask, stay: tuple[Whole, ...]) -> Nest:
    preparation, kept = cut.model.preparation, base.inputs.numpy()
    inputs = np.where(kept, stay[0][preparation.feature_of_column], nest.inputs)
    constants = np.where(kept, preparation.reference, nest.input_constants)
    return replace(nest, inputs=inputs, input_constants=constants)


_CUT = {"weight": _of_weights, "neuron": _of_units, "feature": _of_features}
