"""From a sequence to one value a channel."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from medprune.kinds.base import COLUMNS, KINDS, SEQUENCE, Keeping, LayerKind, Parts, Place, State, Stream
from medprune.kinds.mask import KindMask
from medprune.settings import setting


@KINDS.register("pool")
@dataclass(frozen=True)
class Pool(LayerKind):
    """The mean, the largest or the last value of each channel over time."""

    how: str = setting("mean", "Pooling", "what is kept of a channel", choices=("mean", "max", "last"))
    name = "pool"
    shapes = (SEQUENCE,)

    def out(self, place: Place) -> Stream:
        # A constant channel pools to its constant, so the set of groups stays the same.
        return replace(place.stream, shape=COLUMNS)

    def build(self, place: Place) -> Parts:
        return Parts()

    def run(self, place: Place, parts: Parts, x: Tensor, keep: Keeping) -> Tensor:
        if self.how == "last":
            return x[:, -1]
        return x.mean(dim=1) if self.how == "mean" else x.amax(dim=1)

    def compact(self, place: Place, parts: Parts, mask: KindMask) -> tuple[LayerKind, State]:
        return self, {}

    def heard(self, place: Place, parts: Parts, mask: KindMask) -> dict[str, Tensor]:
        return {}  # it passes everything on: the next layer says what it hears
