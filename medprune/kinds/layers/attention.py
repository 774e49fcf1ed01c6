"""Multi-head self-attention over the tokens of a patient's features."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from medprune.kinds.base import (
    KINDS,
    TOKENS,
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
from medprune.kinds.norms import make_norm, normalise, sliced_norm
from medprune.settings import setting

HEARING = ("query", "key", "value")


@KINDS.register("attention")
@dataclass(frozen=True)
class Attention(LayerKind):
    """x + attention(LayerNorm(x)): every token gathers from those that concern it (Vaswani et al. 2017).

    With a residual block with LayerNorm after it, one block of the FT-Transformer. A head can be
    removed; its constants go into the last bias. A removed input's token is attended to by nobody.
    """

    heads: int = setting(4, "Heads", "ways of gathering", low=1, high=256)
    head_width: int = setting(8, "Head width", "numbers that a head gathers", low=1, high=4_096)
    dropout: float = setting(0.0, "Dropout", "share of attention left out in training", low=0, high=0.95)
    name = "attention"
    shapes = (TOKENS,)
    adds = True

    def out(self, place: Place) -> Stream:
        return place.stream

    def groups(self, place: Place) -> tuple[Groups, ...]:
        return (Groups(place.own("heads"), self.heads, each=self.head_width),)

    def weights(self) -> tuple[str, ...]:
        return tuple(f"{name}.weight" for name in (*HEARING, "back"))

    def build(self, place: Place) -> Parts:
        width, inner = place.stream.width, self.heads * self.head_width
        hearing = {name: nn.Linear(width, inner) for name in HEARING}
        return Parts({**hearing, "back": nn.Linear(inner, width), **make_norm("layer", width)})

    def run(self, place: Place, parts: Parts, x: Tensor, keep: Keeping) -> Tensor:
        stream = place.stream
        h = normalise(parts, x, keep.kept(stream.groups))
        query, key, value = (self._by_head(parts[name](h)) for name in HEARING)
        fit = query @ key.transpose(-1, -2) / math.sqrt(self.head_width)
        shares = keep.dropout(self._shares(fit, stream.tokens, keep), self.dropout)
        gathered = (shares @ value).transpose(1, 2).flatten(2)  # (N, tokens, heads * head width)
        return x + keep.or_zero(stream.groups, parts["back"](keep.or_constant(place.own("heads"), gathered)))

    def _by_head(self, h: Tensor) -> Tensor:
        """(N, tokens, heads * head width) to (N, heads, tokens, head width)."""
        split: Tensor = h.unflatten(2, (self.heads, self.head_width))
        return split.transpose(1, 2)

    @staticmethod
    def _shares(fit: Tensor, tokens: str, keep: Keeping) -> Tensor:
        """How much each token gathers from each other one: nothing from those that are removed."""
        kept = keep.kept(tokens)
        if kept is None:
            return torch.softmax(fit, dim=-1)
        kept = torch.cat([kept.new_ones(1), kept])
        shares = torch.softmax(torch.where(kept, fit, -torch.inf), dim=-1)
        if keep.gates is None:
            return shares
        gates = keep.gates[tokens]
        weighed = shares * torch.cat([gates.new_ones(1), gates])
        return weighed / weighed.sum(dim=-1, keepdim=True)

    def heard(self, place: Place, parts: Parts, mask: KindMask) -> dict[str, Tensor]:
        """LayerNorm hears every dimension; a token is heard whatever it says, for its share of attention."""
        kept = mask.groups[place.stream.groups]
        by_head = (parts["back"].weight[kept] != 0).any(dim=0).unflatten(0, (self.heads, self.head_width))
        return {place.stream.groups: torch.ones_like(kept), place.own("heads"): by_head.any(dim=1)}

    def compact(self, place: Place, parts: Parts, mask: KindMask) -> tuple[LayerKind, State]:
        kept, heads = mask.groups[place.stream.groups], mask.groups[place.own("heads")]
        values = heads.repeat_interleave(self.head_width)
        state = sliced_norm(parts, kept)
        for name in HEARING:  # what LayerNorm leaves of a removed dimension is zero
            state[f"{name}.weight"] = parts[name].weight[values][:, kept]
            state[f"{name}.bias"] = parts[name].bias[values]
        back = parts["back"]
        constants = mask.constants_of(place.own("heads"), back.weight)
        weight, bias = fold(back.weight, back.bias, values, constants)
        return replace(self, heads=int(heads.sum())), {
            **state,
            "back.weight": weight[kept],
            "back.bias": bias[kept],
        }
