"""A fully connected layer; in a sequence, the same one at every point in time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from medprune.kinds.base import (
    KINDS,
    Groups,
    Keeping,
    LayerKind,
    Parts,
    Place,
    State,
    Stream,
    fold,
    without_deaf,
)
from medprune.kinds.mask import KindMask
from medprune.kinds.norms import (
    act,
    activation_setting,
    heard_by_norm,
    make_norm,
    norm_setting,
    normalise,
    sliced_norm,
)
from medprune.network import WIDEST
from medprune.settings import setting


@KINDS.register("linear")
@dataclass(frozen=True)
class Linear(LayerKind):
    """Every unit hears everything that comes in: product, normalisation, activation, dropout."""

    width: int = setting(32, "Width", "units", low=1, high=WIDEST)
    activation: str = activation_setting()
    norm: str = norm_setting()
    dropout: float = setting(0.0, "Dropout", "share of units left out in training", low=0, high=0.95)
    name = "linear"

    def out(self, place: Place) -> Stream:
        return replace(place.stream, width=self.width, groups=place.own("units"), raw=False)

    def groups(self, place: Place) -> tuple[Groups, ...]:
        return (Groups(place.own("units"), self.width),)

    def weights(self) -> tuple[str, ...]:
        return ("linear.weight",)

    def build(self, place: Place) -> Parts:
        return Parts(
            {"linear": nn.Linear(place.stream.width, self.width), **make_norm(self.norm, self.width)}
        )

    def run(self, place: Place, parts: Parts, x: Tensor, keep: Keeping) -> Tensor:
        units = place.own("units")
        z = normalise(parts, parts["linear"](x), keep.kept(units))
        return keep.or_constant(units, keep.dropout(act(self.activation, z), self.dropout))

    def compact(self, place: Place, parts: Parts, mask: KindMask) -> tuple[LayerKind, State]:
        linear, sources = parts["linear"], mask.groups[place.stream.groups]
        units = mask.groups[place.own("units")]
        weight, bias = fold(
            linear.weight, linear.bias, sources, mask.constants_of(place.stream.groups, linear.weight)
        )
        state = {"linear.weight": weight[units], "linear.bias": bias[units], **sliced_norm(parts, units)}
        return replace(self, width=int(units.sum())), state

    def heard(self, place: Place, parts: Parts, mask: KindMask) -> dict[str, Tensor]:
        units = mask.groups[place.own("units")]
        heard = {place.stream.groups: (parts["linear"].weight[units] != 0).any(dim=0)}
        return {**heard, **heard_by_norm(self.norm, place.own("units"), units)}

    def settle(self, place: Place, parts: Parts, mask: KindMask) -> KindMask:
        if self.norm == "layer":
            return mask  # no unit is constant: each is measured against the others
        hears = (parts["linear"].weight[:, mask.groups[place.stream.groups]] != 0).any(dim=1)
        return without_deaf(self, place, parts, mask, name=place.own("units"), hears=hears)
