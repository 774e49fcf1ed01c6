"""A convolution over time: vital signs, ECG."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from medprune.errors import BadInput
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

PADDINGS = ("edge", "none", "zeros")


@KINDS.register("conv1d")
@dataclass(frozen=True)
class Conv1d(LayerKind):
    """The same small window of weights at every point in time, a channel for each pattern it looks for.

    Padding ``edge`` repeats the first and the last value, so that a channel that is constant stays
    constant, and compaction is exact. Behind padding with ``zeros`` it is not, at either end: a channel
    can then be removed only for a constant of zero.
    """

    channels: int = setting(16, "Channels", "patterns looked for", low=1, high=WIDEST)
    kernel: int = setting(5, "Kernel", "points in time that a window covers", low=1, high=1024)
    stride: int = setting(1, "Stride", "points in time from window to window", low=1, high=1024)
    padding: str = setting("edge", "Padding", "what is beyond the ends", choices=PADDINGS)
    activation: str = activation_setting()
    norm: str = norm_setting()
    dropout: float = setting(0.0, "Dropout", "share of values left out in training", low=0, high=0.95)
    name = "conv1d"
    shapes = (SEQUENCE,)

    def out(self, place: Place) -> Stream:
        return replace(place.stream, width=self.channels, groups=place.own("channels"), raw=False)

    def groups(self, place: Place) -> tuple[Groups, ...]:
        return (Groups(place.own("channels"), self.channels),)

    def weights(self) -> tuple[str, ...]:
        return ("conv.weight",)

    def length(self, place: Place, time: int) -> int:
        padded = time if self.padding == "none" else time + self.kernel - 1
        if padded < self.kernel:
            raise BadInput(
                f"Layer {place.name!r} needs at least {self.kernel} points in time, got {time}: "
                "give longer sequences or a shorter kernel."
            )
        return (padded - self.kernel) // self.stride + 1

    def build(self, place: Place) -> Parts:
        conv = nn.Conv1d(place.stream.width, self.channels, self.kernel, self.stride)
        return Parts({"conv": conv, **make_norm(self.norm, self.channels)})

    def run(self, place: Place, parts: Parts, x: Tensor, keep: Keeping) -> Tensor:
        channels = place.own("channels")
        z = parts["conv"](self._padded(x).transpose(1, 2)).transpose(1, 2)
        h = act(self.activation, normalise(parts, z, keep.kept(channels)))
        return keep.or_constant(channels, keep.dropout(h, self.dropout))

    def _padded(self, x: Tensor) -> Tensor:
        if self.padding == "none":
            return x
        before = (self.kernel - 1) // 2
        head = x[:, :1].expand(-1, before, -1)
        tail = x[:, -1:].expand(-1, self.kernel - 1 - before, -1)
        if self.padding == "zeros":
            head, tail = torch.zeros_like(head), torch.zeros_like(tail)
        return torch.cat([head, x, tail], dim=1)

    def refusal(self, place: Place, mask: KindMask) -> str | None:
        going = ~mask.groups[place.stream.groups]
        constants = mask.constants.get(place.stream.groups)
        if self.padding != "zeros" or constants is None or not bool((constants[going] != 0).any()):
            return None
        return (
            f"Layer {place.name!r} pads with zeros, so a removed channel with a constant other than zero "
            "cannot be folded into its bias: use padding 'edge' or constants of zero."
        )

    def compact(self, place: Place, parts: Parts, mask: KindMask) -> tuple[LayerKind, State]:
        conv, sources = parts["conv"], mask.groups[place.stream.groups]
        channels = mask.groups[place.own("channels")]
        over_time = conv.weight.sum(dim=2)  # what a constant channel adds, at every point in time
        constants = mask.constants_of(place.stream.groups, over_time)
        bias = conv.bias + over_time[:, ~sources] @ constants[~sources]
        state = {
            "conv.weight": conv.weight[channels][:, sources],
            "conv.bias": bias[channels],
            **sliced_norm(parts, channels),
        }
        return replace(self, channels=int(channels.sum())), state

    def heard(self, place: Place, parts: Parts, mask: KindMask) -> dict[str, Tensor]:
        channels = mask.groups[place.own("channels")]
        heard = {place.stream.groups: (parts["conv"].weight[channels] != 0).any(dim=2).any(dim=0)}
        return {**heard, **heard_by_norm(self.norm, place.own("channels"), channels)}

    def settle(self, place: Place, parts: Parts, mask: KindMask) -> KindMask:
        if self.norm == "layer" or self.refusal(place, mask):
            return mask
        weight = parts["conv"].weight[:, mask.groups[place.stream.groups]]
        hears = (weight != 0).any(dim=2).any(dim=1)
        return without_deaf(
            self, place, parts, mask, name=place.own("channels"), hears=hears, time=self.kernel
        )
