"""A gated recurrent unit: it reads a sequence step by step and remembers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from medprune.kinds.base import (
    KINDS,
    SEQUENCE,
    Groups,
    Keeping,
    LayerKind,
    Parts,
    Place,
    State,
    Stream,
    fold,
)
from medprune.kinds.mask import KindMask
from medprune.network import WIDEST
from medprune.settings import setting

GATES = 3  # reset, update, candidate: the order of torch.nn.GRU, and its formulas


@KINDS.register("gru")
@dataclass(frozen=True)
class Gru(LayerKind):
    """What was seen so far, in a few hidden units that are updated at every step (Cho et al. 2014).

    A removed hidden unit has its constant at every step, the first one included, so that the others hear
    the same at every step and compaction folds it into the recurrent bias. The candidate's recurrent bias
    lies inside the reset gate, as in torch, which is what makes that exact.
    """

    width: int = setting(16, "Width", "hidden units", low=1, high=WIDEST)
    name = "gru"
    shapes = (SEQUENCE,)

    def out(self, place: Place) -> Stream:
        return replace(place.stream, width=self.width, groups=place.own("units"), raw=False)

    def groups(self, place: Place) -> tuple[Groups, ...]:
        return (Groups(place.own("units"), self.width),)

    def weights(self) -> tuple[str, ...]:
        return ("hears.weight", "recalls.weight")

    def build(self, place: Place) -> Parts:
        return Parts(
            {
                "hears": nn.Linear(place.stream.width, GATES * self.width),
                "recalls": nn.Linear(self.width, GATES * self.width),
            }
        )

    def start(self, parts: Parts, generator: torch.Generator) -> None:
        limit = 1 / math.sqrt(self.width)
        for name in ("hears", "recalls"):
            parts[name].weight.uniform_(-limit, limit, generator=generator)

    def run(self, place: Place, parts: Parts, x: Tensor, keep: Keeping) -> Tensor:
        units = place.own("units")
        heard = parts["hears"](x)
        h = keep.or_constant(units, heard.new_zeros(len(x), self.width))
        steps = []
        for now in heard.unbind(dim=1):
            h = keep.or_constant(units, self._next(now, parts["recalls"](h), h))
            steps.append(h)
        return torch.stack(steps, dim=1)

    @staticmethod
    def _next(heard: Tensor, recalled: Tensor, h: Tensor) -> Tensor:
        reset_x, update_x, new_x = heard.chunk(GATES, dim=-1)
        reset_h, update_h, new_h = recalled.chunk(GATES, dim=-1)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + torch.sigmoid(reset_x + reset_h) * new_h)
        return new + update * (h - new)

    def compact(self, place: Place, parts: Parts, mask: KindMask) -> tuple[LayerKind, State]:
        hears, recalls = parts["hears"], parts["recalls"]
        units, sources = mask.groups[place.own("units")], mask.groups[place.stream.groups]
        gates = units.repeat(GATES)
        outside = mask.constants_of(place.stream.groups, hears.weight)
        heard_weight, heard_bias = fold(hears.weight, hears.bias, sources, outside)
        constants = mask.constants_of(place.own("units"), recalls.weight)
        recalled_weight, recalled_bias = fold(recalls.weight, recalls.bias, units, constants)
        state = {
            "hears.weight": heard_weight[gates],
            "hears.bias": heard_bias[gates],
            "recalls.weight": recalled_weight[gates],
            "recalls.bias": recalled_bias[gates],
        }
        return replace(self, width=int(units.sum())), state

    def heard(self, place: Place, parts: Parts, mask: KindMask) -> dict[str, Tensor]:
        gates = mask.groups[place.own("units")].repeat(GATES)
        return {
            place.stream.groups: (parts["hears"].weight[gates] != 0).any(dim=0),
            place.own("units"): (parts["recalls"].weight[gates] != 0).any(dim=0),
        }
