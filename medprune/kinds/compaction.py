"""Masked to compact: everything that is removed is physically gone, and the network computes the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medprune.errors import BadInput
from medprune.kinds.base import LayerKind, State, at_least_one
from medprune.kinds.mask import INPUTS, KindMask
from medprune.kinds.network import KindNetwork, KindSpec, frozen
from medprune.kinds.tied import check_untied

EXACT = 2**24  # whole numbers that float32 tells apart


@dataclass(frozen=True, eq=False)
class Compact:
    """The small network, and which of the original inputs (columns or channels) it still takes."""

    network: KindNetwork
    inputs: NDArray[np.bool_]

    def take(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The part of the original inputs (N, ..., inputs) that the small network takes."""
        return np.ascontiguousarray(inputs[..., self.inputs])


@torch.no_grad()
def zeroed(network: KindNetwork, mask: KindMask) -> KindNetwork:
    """A copy whose removed weights are stored as zeros."""
    copied = frozen(network)
    for name, weight in copied.weights().items():
        weight.mul_(mask.weights[name])
    return copied


def tidy(network: KindNetwork, mask: KindMask) -> KindMask:
    """The same mask with groups removed too that can no longer matter; the network computes the same."""
    return _tidied(zeroed(network, mask), mask)


def _tidied(network: KindNetwork, mask: KindMask) -> KindMask:
    """Repeated until nothing more goes: what nobody hears goes, and what only it heard goes with it."""
    while True:
        smaller = mask
        for kind, place, parts in network.rows()[:-1]:  # logits always stay
            if kind.out(place).groups not in network.added_to():
                settled = kind.settle(place, parts, smaller)
                smaller = smaller if _refused_by_a_layer(network, settled) else settled
        smaller = _without_unheard(network, smaller)
        if smaller.same_as(mask):
            return smaller
        mask = smaller


def _without_unheard(network: KindNetwork, mask: KindMask) -> KindMask:
    """The mask without the groups that no layer hears; each set keeps at least one."""
    heard: dict[str, Tensor] = {}
    for kind, place, parts in network.rows():
        for name, ears in kind.heard(place, parts, mask).items():
            heard[name] = heard[name] | ears if name in heard else ears
    left = {name: at_least_one(mask.groups[name] & ears, mask.groups[name]) for name, ears in heard.items()}
    return mask.keeping_groups(left, {name: torch.zeros_like(c) for name, c in mask.constants.items()})


def refusal(network: KindNetwork, mask: KindMask) -> str | None:
    """Why this mask cannot be made compact, naming the layer; None when it can."""
    for name, kept in mask.groups.items():
        if not bool(kept.any()):
            return f"Nothing would be left of {name!r}: keep at least one of them."
    if not bool(mask.groups[network.stream.groups].all()):
        return f"Logits cannot be removed, but {network.stream.groups!r} loses some: keep all of them."
    return _refused_by_a_layer(network, mask)


def _refused_by_a_layer(network: KindNetwork, mask: KindMask) -> str | None:
    reasons = (kind.refusal(place, mask) for kind, place, _ in network.rows())
    return next((reason for reason in reasons if reason is not None), None)


@torch.no_grad()
def compact_kind(network: KindNetwork, mask: KindMask) -> Compact:
    """The network of what is kept: masked(x) = compact(x) for every x.

    Raises BadInput, naming the layer, when that cannot be had or when weights are tied.
    """
    check_untied(network)
    return _compacted(zeroed(network, mask), mask)


def _compacted(source: KindNetwork, mask: KindMask) -> Compact:
    """As :func:`compact_kind`, of a network whose removed weights are zeros already."""
    mask = _tidied(source, mask)
    sentence = refusal(source, mask)
    if sentence is not None:
        raise BadInput(sentence)
    layers: list[LayerKind] = []
    states: list[State] = []
    for kind, place, parts in source.rows():
        layer, state = kind.compact(place, parts, mask)
        layers.append(layer)
        states.append(state)
    inputs = mask.groups[INPUTS]
    small = KindNetwork(KindSpec(source.spec.shape, int(inputs.sum()), tuple(layers)))
    for place, state in zip(small.places, states, strict=True):
        small.get_submodule(place.name).load_state_dict(state)
    return Compact(small.eval().requires_grad_(False), inputs.numpy())


@torch.no_grad()
def alive_weights(network: KindNetwork, mask: KindMask) -> dict[str, Tensor]:
    """The kept weights that lead somewhere, in the shape of ``mask.weights``.

    Whatever the layers are: every weight gets its own number, and those found again in the compact
    network are alive. Where compaction is refused, all that the mask keeps counts.
    """
    total = sum(kept.numel() for kept in mask.weights.values())
    if total >= EXACT:
        return dict(mask.weights)
    numbered, first = frozen(network), 1
    for name, weight in numbered.weights().items():
        own = torch.arange(first, first + weight.numel()).reshape(weight.shape)
        weight.copy_(own * mask.weights[name])
        first += weight.numel()
    found = torch.zeros(total + 1, dtype=torch.bool)
    try:
        small = _compacted(numbered, mask).network
    except BadInput:
        return dict(mask.weights)
    for weight in small.weights().values():
        found[weight.long().flatten()] = True
    parts = found[1:].split([kept.numel() for kept in mask.weights.values()])
    return {
        name: kept & part.reshape(kept.shape)
        for (name, kept), part in zip(mask.weights.items(), parts, strict=True)
    }
