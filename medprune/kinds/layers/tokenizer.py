"""The feature tokenizer of the FT-Transformer: every feature becomes a token, beside one that is read out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from medprune.errors import BadInput
from medprune.kinds.base import (
    COLUMNS,
    KINDS,
    TOKENS,
    Groups,
    Keeping,
    LayerKind,
    Parts,
    Place,
    State,
    Stream,
)
from medprune.kinds.categories import check_categories
from medprune.kinds.mask import INPUTS, KindMask
from medprune.network import WIDEST
from medprune.settings import setting


@KINDS.register("tokenizer")
@dataclass(frozen=True)
class Tokenizer(LayerKind):
    """A number times its learned direction, a category's own direction: one token a feature.

    Gorishniy et al. (2021). The last ``len(categories)`` input columns are codes from 0. A removed
    input's token is not attended to by any other, in any block, and so has no say in the token that is
    read out; it needs no reference. A dimension of the tokens is one group over all blocks.
    """

    width: int = setting(16, "Width", "numbers in a token", low=1, high=WIDEST)
    categories: tuple[int, ...] = setting((), "Categories", "how many each code column has")
    name = "tokenizer"
    shapes = (COLUMNS,)
    only_first = True
    removes_inputs = True  # attention does

    def __post_init__(self) -> None:
        object.__setattr__(self, "categories", check_categories(self.name, self.categories))
        super().__post_init__()

    def codes(self) -> tuple[int, ...]:
        return self.categories

    def _numbers(self, place: Place) -> int:
        return place.stream.width - len(self.categories)

    def out(self, place: Place) -> Stream:
        if self._numbers(place) < 0:
            raise BadInput(
                f"Layer {place.name!r} has {len(self.categories)} code columns, "
                f"but only {place.stream.width} inputs come in."
            )
        return Stream(TOKENS, self.width, place.own("dimensions"), tokens=INPUTS)

    def groups(self, place: Place) -> tuple[Groups, ...]:
        return (Groups(place.own("dimensions"), self.width, constant=False),)

    def weights(self) -> tuple[str, ...]:
        return ("numbers.weight", *(f"table_{k}.weight" for k in range(len(self.categories))))

    def build(self, place: Place) -> Parts:
        """``numbers`` (number columns, width) and ``biases`` (tokens, width), the one read out first."""
        tables = {f"table_{k}": nn.Embedding(most, self.width) for k, most in enumerate(self.categories)}
        numbers = nn.Embedding(self._numbers(place), self.width)
        return Parts(
            {"numbers": numbers, "biases": nn.Embedding(1 + place.stream.width, self.width), **tables}
        )

    def start(self, parts: Parts, generator: torch.Generator) -> None:
        limit = 1 / math.sqrt(self.width)
        for name in parts:
            parts[name].weight.uniform_(-limit, limit, generator=generator)

    def run(self, place: Place, parts: Parts, x: Tensor, keep: Keeping) -> Tensor:
        numbers = self._numbers(place)
        first = x.new_zeros(len(x), 1, self.width)
        each = x[:, :numbers, None] * parts["numbers"].weight
        columns = enumerate(x[:, numbers:].unbind(dim=1))
        rows = [parts[f"table_{k}"](codes.long())[:, None] for k, codes in columns]
        tokens = torch.cat([first, each, *rows], dim=1) + parts["biases"].weight
        return keep.or_zero(place.own("dimensions"), tokens)

    def heard(self, place: Place, parts: Parts, mask: KindMask) -> dict[str, Tensor]:
        return {}  # whether a token is heard, attention says

    def compact(self, place: Place, parts: Parts, mask: KindMask) -> tuple[LayerKind, State]:
        inputs, kept = mask.groups[INPUTS], mask.groups[place.own("dimensions")]
        numbers = self._numbers(place)
        tokens = torch.cat([torch.ones(1, dtype=torch.bool), inputs])
        stay = torch.nonzero(inputs[numbers:]).flatten().tolist()
        state = {
            "numbers.weight": parts["numbers"].weight[inputs[:numbers]][:, kept],
            "biases.weight": parts["biases"].weight[tokens][:, kept],
        }
        state |= {f"table_{new}.weight": parts[f"table_{k}"].weight[:, kept] for new, k in enumerate(stay)}
        categories = tuple(self.categories[k] for k in stay)
        return replace(self, width=int(kept.sum()), categories=categories), state
