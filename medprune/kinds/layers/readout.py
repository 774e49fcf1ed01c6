"""From tokens to columns: the token that gathered from all others is read out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from medprune.kinds.base import COLUMNS, KINDS, TOKENS, Keeping, LayerKind, Parts, Place, State, Stream
from medprune.kinds.mask import KindMask
from medprune.kinds.norms import act, activation_setting, make_norm, normalise, sliced_norm
from medprune.settings import setting


@KINDS.register("readout")
@dataclass(frozen=True)
class Readout(LayerKind):
    """The first token, normalised and bent: what the FT-Transformer's last product hears.

    A removed dimension of the tokens is zero here too, so the set of groups stays the same.
    """

    activation: str = activation_setting()
    dropout: float = setting(0.0, "Dropout", "share of values left out in training", low=0, high=0.95)
    name = "readout"
    shapes = (TOKENS,)

    def out(self, place: Place) -> Stream:
        return replace(place.stream, shape=COLUMNS, tokens="")

    def build(self, place: Place) -> Parts:
        return Parts(make_norm("layer", place.stream.width))

    def run(self, place: Place, parts: Parts, x: Tensor, keep: Keeping) -> Tensor:
        h = normalise(parts, x[:, 0], keep.kept(place.stream.groups))
        return keep.dropout(act(self.activation, h), self.dropout)

    def compact(self, place: Place, parts: Parts, mask: KindMask) -> tuple[LayerKind, State]:
        return self, sliced_norm(parts, mask.groups[place.stream.groups])
