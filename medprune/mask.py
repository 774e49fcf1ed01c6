"""The mask: which weights, units, whole layers and input columns of a network are kept.

A mask is a value. *Removal has one meaning*: a removed weight counts as zero; a removed unit or
input column is replaced by its constant (its mean activation on train; its "missing" encoding),
which compaction folds into the next bias; a removed layer passes its sums on as they are, with no
normalisation and no activation, so that compaction multiplies it into the next. Nothing here changes
a network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Mask:
    """``weights[l]`` (out, in), ``units[l]`` (width,), ``layers`` (hidden layers,), ``inputs`` (columns,).

    True is kept.

    >>> mask = Mask.full((3, 2, 2))
    >>> mask.kept_weights(), mask.total_weights()
    (10, 10)
    """

    weights: tuple[Tensor, ...]
    units: tuple[Tensor, ...]
    unit_constants: tuple[Tensor, ...]
    inputs: Tensor
    input_constants: Tensor
    layers: Tensor

    @classmethod
    def full(cls, widths: Sequence[int]) -> Mask:
        """Keep everything in a network with these widths, from input columns to logits."""
        pairs = pairwise(widths)
        hidden = widths[1:-1]
        return cls(
            weights=tuple(torch.ones(b, a, dtype=torch.bool) for a, b in pairs),
            units=tuple(torch.ones(width, dtype=torch.bool) for width in hidden),
            unit_constants=tuple(torch.zeros(width) for width in hidden),
            inputs=torch.ones(widths[0], dtype=torch.bool),
            input_constants=torch.zeros(widths[0]),
            layers=torch.ones(len(hidden), dtype=torch.bool),
        )

    def sources(self, layer: int) -> Tensor:
        """Which entries feeding ``layer`` are kept: input columns for layer 0, else units."""
        return self.inputs if layer == 0 else self.units[layer - 1]

    def source_constants(self, layer: int) -> Tensor:
        return self.input_constants if layer == 0 else self.unit_constants[layer - 1]

    def targets(self, layer: int) -> Tensor:
        """Which outputs of ``layer`` are kept; logits always are."""
        if layer < len(self.units):
            return self.units[layer]
        return torch.ones(self.weights[layer].shape[0], dtype=torch.bool)

    def alive(self, layer: int) -> Tensor:
        """Kept weights (out, in) of ``layer`` whose both ends are kept."""
        return self.weights[layer] & self.targets(layer)[:, None] & self.sources(layer)[None, :]

    def alive_weights(self) -> tuple[Tensor, ...]:
        return tuple(self.alive(layer) for layer in range(len(self.weights)))

    def kept_weights(self) -> int:
        return sum(int(alive.sum()) for alive in self.alive_weights())

    def total_weights(self) -> int:
        return sum(weights.numel() for weights in self.weights)

    def within(self, other: Mask) -> bool:
        """True when everything kept here is kept in ``other`` too (the masks are nested)."""
        mine = (*self.alive_weights(), *self.units, self.inputs, self.layers)
        theirs = (*other.alive_weights(), *other.units, other.inputs, other.layers)
        return all(bool((a <= b).all()) for a, b in zip(mine, theirs, strict=True))

    def same_as(self, other: Mask) -> bool:
        return self.within(other) and other.within(self)

    def digest(self) -> bytes:
        """sha256 of what is kept; masks that keep the same have the same."""
        kept = (*self.alive_weights(), *self.units, self.inputs, self.layers)
        return hashlib.sha256(b"".join(np.packbits(part.numpy()).tobytes() for part in kept)).digest()
