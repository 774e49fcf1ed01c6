"""A residual block: what flows past, plus what a small two-layer network makes of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from medprune.kinds.base import KINDS, Groups, Keeping, LayerKind, Parts, Place, State, Stream, fold
from medprune.kinds.mask import KindMask
from medprune.kinds.norms import act, activation_setting, make_norm, norm_setting, normalise, sliced_norm
from medprune.network import WIDEST
from medprune.settings import setting


@KINDS.register("residual")
@dataclass(frozen=True)
class Residual(LayerKind):
    """x + f(x) with f = product, activation, product, of x normalised: the ResNet of Gorishniy et al. (2021).

    Inner units are this block's own. A unit of the stream is one group over all blocks that it flows
    through: removed, it has its constant before and after each of them.
    """

    inner: int = setting(32, "Inner width", "units inside the block", low=1, high=WIDEST)
    activation: str = activation_setting()
    norm: str = norm_setting()
    dropout: float = setting(0.0, "Dropout", "share of inner units left out in training", low=0, high=0.95)
    name = "residual"
    adds = True

    def out(self, place: Place) -> Stream:
        return place.stream

    def groups(self, place: Place) -> tuple[Groups, ...]:
        return (Groups(place.own("inner"), self.inner),)

    def weights(self) -> tuple[str, ...]:
        return ("into.weight", "back.weight")

    def build(self, place: Place) -> Parts:
        width = place.stream.width
        products = {"into": nn.Linear(width, self.inner), "back": nn.Linear(self.inner, width)}
        return Parts({**products, **make_norm(self.norm, width)})

    def run(self, place: Place, parts: Parts, x: Tensor, keep: Keeping) -> Tensor:
        stream = place.stream.groups
        h = act(self.activation, parts["into"](normalise(parts, x, keep.kept(stream))))
        h = keep.or_constant(place.own("inner"), keep.dropout(h, self.dropout))
        return x + keep.or_zero(stream, parts["back"](h))

    def compact(self, place: Place, parts: Parts, mask: KindMask) -> tuple[LayerKind, State]:
        into, back = parts["into"], parts["back"]
        stream, inner = mask.groups[place.stream.groups], mask.groups[place.own("inner")]
        outside = mask.constants_of(place.stream.groups, into.weight)
        if self.norm != "none":
            outside = torch.zeros_like(outside)  # normalisation leaves nothing of a removed unit
        weight, bias = fold(into.weight, into.bias, stream, outside)
        constants = mask.constants_of(place.own("inner"), back.weight)
        back_weight, back_bias = fold(back.weight, back.bias, inner, constants)
        state = {
            "into.weight": weight[inner],
            "into.bias": bias[inner],
            "back.weight": back_weight[stream],
            "back.bias": back_bias[stream],
            **sliced_norm(parts, stream),
        }
        return replace(self, inner=int(inner.sum())), state

    def heard(self, place: Place, parts: Parts, mask: KindMask) -> dict[str, Tensor]:
        stream, inner = mask.groups[place.stream.groups], mask.groups[place.own("inner")]
        listens = (parts["into"].weight[inner] != 0).any(dim=0)
        if self.norm == "layer":
            listens = torch.ones_like(listens)  # every unit has a say in the mean and the spread
        return {
            place.stream.groups: listens,
            place.own("inner"): (parts["back"].weight[stream] != 0).any(dim=0),
        }
