"""Entity embeddings: codes of categories become a few numbers each, beside the numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from medprune.errors import BadInput
from medprune.kinds.base import COLUMNS, KINDS, Groups, Keeping, LayerKind, Parts, Place, State, Stream
from medprune.kinds.categories import check_categories, whole_numbers
from medprune.kinds.mask import INPUTS, KindMask
from medprune.settings import setting

WIDEST_TABLE = 1_024


@KINDS.register("embeddings")
@dataclass(frozen=True)
class Embeddings(LayerKind):
    """Each category has a row of learned numbers (Guo and Berkhahn 2016); plain numbers pass as they are.

    The last ``len(categories)`` input columns are codes from 0, which means unknown. ``widths`` of the
    rows may be left out: half the number of categories, at most 50. A removed code has the row of its
    reference code for every patient.
    """

    categories: tuple[int, ...] = setting((), "Categories", "how many each code column has")
    widths: tuple[int, ...] = setting((), "Widths", "numbers for each code column")
    name = "embeddings"
    shapes = (COLUMNS,)
    only_first = True
    removes_inputs = True

    def __post_init__(self) -> None:
        categories = check_categories(self.name, self.categories)
        usual = tuple(min(50, (most + 1) // 2) for most in categories)
        widths = whole_numbers(self.name, "Widths", self.widths, WIDEST_TABLE) or usual
        if len(widths) != len(categories):
            raise BadInput(f"{len(categories)} code columns need as many widths, got {len(widths)}.")
        object.__setattr__(self, "categories", categories)
        object.__setattr__(self, "widths", widths)
        super().__post_init__()

    def codes(self) -> tuple[int, ...]:
        return self.categories

    def _numbers(self, place: Place) -> int:
        return place.stream.width - len(self.categories)

    def sources(self, place: Place) -> Tensor:
        """Which input column each unit (width,) stands for."""
        numbers = self._numbers(place)
        repeats = torch.tensor([1] * numbers + list(self.widths))
        return torch.arange(place.stream.width).repeat_interleave(repeats)

    def out(self, place: Place) -> Stream:
        if self._numbers(place) < 0:
            raise BadInput(
                f"Layer {place.name!r} has {len(self.categories)} code columns, "
                f"but only {place.stream.width} inputs come in."
            )
        # A unit stands for its input still: what adds to it would hide that the input is gone.
        width = self._numbers(place) + sum(self.widths)
        return replace(place.stream, width=width, groups=place.own("units"), raw=True)

    def groups(self, place: Place) -> tuple[Groups, ...]:
        return (Groups(place.own("units"), self._numbers(place) + sum(self.widths)),)

    def weights(self) -> tuple[str, ...]:
        return tuple(f"table_{place}.weight" for place in range(len(self.categories)))

    def build(self, place: Place) -> Parts:
        tables = zip(self.categories, self.widths, strict=True)
        return Parts({f"table_{place}": nn.Embedding(*shape) for place, shape in enumerate(tables)})

    def run(self, place: Place, parts: Parts, x: Tensor, keep: Keeping) -> Tensor:
        h = self._looked_up(place, parts, x)
        if keep.mask is not None:
            reference = keep.mask.constants_of(INPUTS, x)
            h = keep.or_constant(
                INPUTS, h, self._looked_up(place, parts, reference[None])[0], self.sources(place)
            )
        return keep.or_constant(place.own("units"), h)

    def _looked_up(self, place: Place, parts: Parts, x: Tensor) -> Tensor:
        numbers = self._numbers(place)
        columns = enumerate(x[:, numbers:].unbind(dim=1))
        most = self.categories
        # A reference that is no code (a mean, in a mask made by hand) counts as the nearest code.
        rows = [parts[f"table_{k}"](codes.round().long().clamp(0, most[k] - 1)) for k, codes in columns]
        return torch.cat([x[:, :numbers], *rows], dim=1)

    def settle(self, place: Place, parts: Parts, mask: KindMask) -> KindMask:
        """The units of a removed input are constant: they go too."""
        sources, name = self.sources(place), place.own("units")
        reference = mask.constants_of(INPUTS, torch.zeros(place.stream.width))
        said = self._looked_up(place, parts, reference[None])[0]
        return mask.keeping_groups({name: mask.groups[INPUTS][sources]}, {name: said})

    def heard(self, place: Place, parts: Parts, mask: KindMask) -> dict[str, Tensor]:
        """An input is heard as long as one of its units is kept."""
        kept = mask.groups[place.own("units")].long()
        count = torch.zeros(place.stream.width, dtype=torch.long).index_add_(0, self.sources(place), kept)
        return {INPUTS: count > 0}

    def compact(self, place: Place, parts: Parts, mask: KindMask) -> tuple[LayerKind, State]:
        units, numbers = mask.groups[place.own("units")], self._numbers(place)
        kept = units[numbers:].split(list(self.widths))
        stay = [k for k, row in enumerate(kept) if bool(row.any())]
        state = {
            f"table_{new}.weight": parts[f"table_{old}"].weight[:, kept[old]] for new, old in enumerate(stay)
        }
        categories = tuple(self.categories[k] for k in stay)
        return replace(self, categories=categories, widths=tuple(int(kept[k].sum()) for k in stay)), state
