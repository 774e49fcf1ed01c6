"""The mask of a network of layer kinds: which weights and which groups are kept.

As in :mod:`medprune.mask`, removal has one meaning: a removed weight counts as zero, a removed group
(unit, channel, head, input) is replaced by its constants, which compaction folds into the next bias.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

INPUTS = "inputs"  # the set of the network's input columns or channels


@dataclass(frozen=True, eq=False)
class KindMask:
    """``weights[name]`` in the shape of that parameter, ``groups[set]`` (groups of the set,); True is kept.

    ``constants[set]`` replace what is removed, one number for each value of the set's groups; a set
    without constants is replaced by zero.
    """

    weights: Mapping[str, Tensor]
    groups: Mapping[str, Tensor]
    constants: Mapping[str, Tensor] = field(default_factory=dict)

    def constants_of(self, name: str, like: Tensor) -> Tensor:
        """What replaces the removed of a set; zeros in the width of ``like`` when it has no constants."""
        found = self.constants.get(name)
        return like.new_zeros(like.shape[-1]) if found is None else found.to(like.dtype)

    def kept(self) -> Iterator[Tensor]:
        yield from self.weights.values()
        yield from self.groups.values()

    def within(self, other: KindMask) -> bool:
        """True when everything kept here is kept in ``other`` too (the masks are nested)."""
        return all(bool((a <= b).all()) for a, b in zip(self.kept(), other.kept(), strict=True))

    def same_as(self, other: KindMask) -> bool:
        return self.within(other) and other.within(self)

    def digest(self) -> bytes:
        """sha256 of what is kept; masks that keep the same have the same."""
        return hashlib.sha256(b"".join(np.packbits(part.numpy()).tobytes() for part in self.kept())).digest()

    def keeping_weights(self, kept: Mapping[str, Tensor]) -> KindMask:
        """The mask that keeps of its weights only those kept here too."""
        return replace(self, weights={name: old & kept.get(name, old) for name, old in self.weights.items()})

    def keeping_groups(self, kept: Mapping[str, Tensor], constants: Mapping[str, Tensor]) -> KindMask:
        """The mask that keeps of its groups only those kept here too; the ones that go get ``constants``."""
        groups = {name: old & kept.get(name, old) for name, old in self.groups.items()}
        filled = {
            name: _refilled(old, self.groups[name] & ~groups[name], constants.get(name))
            for name, old in self.constants.items()
        }
        return replace(self, groups=groups, constants=filled)


def _refilled(old: Tensor, going: Tensor, new: Tensor | None) -> Tensor:
    if new is None:
        return old
    return torch.where(going.repeat_interleave(len(old) // len(going)), new.to(old.dtype), old)
