"""What a cut means at each granularity: weights, neurons (hidden units) or features become a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from medprune.compaction import tidy
from medprune.mask import Mask
from medprune.model import BATCH, RiskModel
from medprune.ranking import Array, Kept, strongest_paths
from medprune.scoring import check_granularity, feature_columns


def mask_of(model: RiskModel) -> Mask:
    return model.network.full_mask() if model.mask is None else model.mask


def alive_groups(model: RiskModel, granularity: str) -> Kept:
    """What is still there and could be removed, by layer, in the shape of the scores."""
    mask = mask_of(model)
    if check_granularity(granularity) == "weight":
        return tuple(alive.numpy() for alive in mask.alive_weights())
    if granularity == "neuron":
        return tuple(units.numpy() for units in mask.units)
    used = np.zeros(len(model.features), dtype=bool)
    np.logical_or.at(used, model.preparation.feature_of_column, mask.inputs.numpy())
    return (used,)


def removed_share(model: RiskModel, granularity: str) -> float:
    """The sparsity reached: the share of weights, units or features that are gone."""
    alive = alive_groups(model, granularity)
    total = sum(part.size for part in alive)
    return 1.0 - sum(int(part.sum()) for part in alive) / total if total else 0.0


def remove(
    model: RiskModel,
    kept: Kept,
    granularity: str,
    *,
    order: Sequence[Array],
    train_columns: NDArray[np.float32],
) -> Mask:
    """The model's mask with everything outside ``kept`` removed, and what no longer matters with it.

    ``order`` are the scores that decide what always stays: a way from an input to the outcome, one
    unit a layer, one feature. ``train_columns`` give a removed unit's mean activation.
    """
    alive = alive_groups(model, granularity)
    if granularity == "weight":
        mask = _remove_weights(model, kept, order, alive)
    elif granularity == "neuron":
        mask = _remove_units(model, kept, order, alive, train_columns)
    else:
        mask = _remove_features(model, kept, order, alive)
    return tidy(mask, model.network)


def _remove_weights(model: RiskModel, kept: Kept, order: Sequence[Array], alive: Kept) -> Mask:
    mask = mask_of(model)
    # A weight whose source is gone carries that source's constant: it is not ours to remove.
    always = strongest_paths(order, alive)
    stay = [part | way | ~living for part, way, living in zip(kept, always, alive, strict=True)]
    weights = (old & torch.from_numpy(part) for old, part in zip(mask.weights, stay, strict=True))
    return replace(mask, weights=tuple(weights))


def _remove_units(
    model: RiskModel, kept: Kept, order: Sequence[Array], alive: Kept, train_columns: NDArray[np.float32]
) -> Mask:
    mask = mask_of(model)
    means = mean_activations(model, train_columns)
    ways = _unit_ways(model, order)
    units, constants = [], []
    for layer, part in enumerate(kept):
        stay = part | (ways[layer] & alive[layer])
        going = mask.units[layer] & ~torch.from_numpy(stay)
        units.append(mask.units[layer] & ~going)
        constants.append(torch.where(going, means[layer], mask.unit_constants[layer]))
    return replace(mask, units=tuple(units), unit_constants=tuple(constants))


def _unit_ways(model: RiskModel, order: Sequence[Array]) -> Kept:
    """For each hidden layer the units (width,) on the best way from an input to a logit, over living weights.

    The best unit of each layer alone is not enough: in a network whose weights were pruned before,
    these need not be connected.
    """
    weights = alive_groups(model, "weight")
    scores = (*order, np.ones(len(weights[-1])))
    spread = [np.broadcast_to(s[:, None], w.shape) for s, w in zip(scores, weights, strict=True)]
    return tuple(np.asarray(way.any(axis=1)) for way in strongest_paths(spread, weights)[:-1])


def _remove_features(model: RiskModel, kept: Kept, order: Sequence[Array], alive: Kept) -> Mask:
    mask = mask_of(model)
    stay = kept[0] | _top(order[0], alive[0])
    going = torch.from_numpy(feature_columns(model.preparation, ~stay)) & mask.inputs
    reference = torch.from_numpy(model.preparation.reference)
    return replace(
        mask,
        inputs=mask.inputs & ~going,
        input_constants=torch.where(going, reference, mask.input_constants),
    )


def _top(order: Array, alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Marks the best alive one, so that a layer or the table never empties."""
    top = np.zeros(len(order), dtype=bool)
    top[int(np.where(alive, order, -np.inf).argmax())] = True
    return top & alive


@torch.no_grad()
def mean_activations(model: RiskModel, columns: NDArray[np.float32]) -> list[torch.Tensor]:
    """The mean output of every hidden unit over these patients, as the next layer hears it."""
    totals = [torch.zeros(tail.spec.width, dtype=torch.float64) for tail in model.network.tails]
    for batch in torch.from_numpy(columns).split(BATCH):
        for total, heard in zip(totals, model.network.trace(batch, model.mask).inputs[1:], strict=True):
            total.add_(heard.sum(dim=0).double())
    return [(total / len(columns)).float() for total in totals]
