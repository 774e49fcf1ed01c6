"""What a plain state_dict is made of: linear layers in their order, and the normalisation after each.

The file knows names and shapes. Where these leave two readings, it is refused rather than guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import torch
from torch import Tensor

from medprune.errors import BadInput, listed
from medprune.intake.tensor_file import COUNTER, TensorFile

LINEAR_PARTS = ({"weight"}, {"weight", "bias"})
STATISTICS = {"running_mean", "running_var"}
NORM_PARTS = ({"weight", "bias"}, STATISTICS, {"weight", "bias"} | STATISTICS)
MOST_LAYERS = 100
MOST_STEPS = 20_000  # of the search for an order
EPS = 1e-5  # BatchNorm1d's own; a state_dict does not tell
SEQUENTIAL_HINT = "export the model as an nn.Sequential in the order of its layers"
INPUT = -1  # the place of a normalisation before the first layer


@dataclass(frozen=True)
class Block:
    """One linear layer (out, in) and the normalisation between it and the next."""

    weight: Tensor
    bias: Tensor
    norm: Mapping[str, Tensor] | None = None
    norm_first: bool | None = None  # before the activation; None: the file does not tell


@dataclass(frozen=True)
class _Group:
    """The tensors of one module."""

    name: str
    parts: Mapping[str, Tensor]

    @property
    def weight(self) -> Tensor:
        return self.parts["weight"]

    @property
    def width(self) -> int:
        """How many values come out of it."""
        return next(iter(self.parts.values())).shape[0]

    @property
    def place(self) -> tuple[str, int] | None:
        """The container and the place in it, when the module has a number for a name (nn.Sequential)."""
        container, _, last = self.name.rpartition(".")
        return (container, int(last)) if last.isdecimal() else None

    @property
    def numbers(self) -> tuple[int, ...]:
        return tuple(int(digits) for digits in re.findall(r"\d+", self.name))

    @property
    def stem(self) -> str:
        return re.sub(r"\d+", "#", self.name)


def read_blocks(file: TensorFile) -> list[Block]:
    """The layers from input to output; BadInput when the file is no plain perceptron, or ambiguous."""
    linears, norms = _sorted_out(file)
    if not file.ordered:
        linears = _in_order(linears, file.title)
    _check_chain(linears, file.title)
    blocks = [Block(each.weight, each.parts.get("bias", torch.zeros(each.width))) for each in linears]
    for norm, place in _placed(norms, linears, file).items():
        parts = norms[norm].parts
        if place == INPUT:
            blocks[0] = _folded(blocks[0], parts, file.title)
        else:
            first = _adjacent(norms[norm], linears[place])
            blocks[place] = replace(blocks[place], norm=parts, norm_first=first)
    return blocks


def _sorted_out(file: TensorFile) -> tuple[list[_Group], list[_Group]]:
    """Linear layers and normalisations in file order; nothing else may be there."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in file.tensors.items():
        prefix, _, leaf = name.rpartition(".")
        parts.setdefault(prefix, {})[leaf] = value
    linears, norms = [], []
    for name, group in parts.items():
        leaves = set(group) - {COUNTER}
        dims = {group[leaf].dim() for leaf in leaves}
        if leaves in LINEAR_PARTS and group["weight"].dim() == 2 and _rows_agree(group):  # noqa: PLR2004
            linears.append(_Group(name, group))
        elif leaves in NORM_PARTS and dims == {1} and len({len(group[leaf]) for leaf in leaves}) == 1:
            norms.append(_Group(name, _complete(group, file.title)))
        else:
            raise BadInput(
                f"{file.title}: {name or 'the model'!r} (with {listed(sorted(group))}) is no linear layer "
                "and no BatchNorm1d or LayerNorm with weight and bias; only perceptrons of these can be read."
            )
    if not linears:
        raise BadInput(f"{file.title} holds no linear layer; only multilayer perceptrons can be read.")
    if len(linears) > MOST_LAYERS:
        raise BadInput(f"{file.title} has {len(linears)} layers; at most {MOST_LAYERS} can be read.")
    return linears, norms


def _rows_agree(group: Mapping[str, Tensor]) -> bool:
    bias = group.get("bias")
    return bias is None or bias.shape == group["weight"].shape[:1]


def _complete(group: Mapping[str, Tensor], title: str) -> dict[str, Tensor]:
    """A normalisation with weight and bias, which are 1 and 0 where it learnt none."""
    variance = group.get("running_var")
    if variance is not None and bool((variance < 0).any()):
        raise BadInput(f"{title}: a normalisation has negative variances; train or export the model again.")
    learnt = {leaf: value for leaf, value in group.items() if leaf != COUNTER}
    width = len(next(iter(learnt.values())))
    return {"weight": torch.ones(width), "bias": torch.zeros(width), **learnt}


# --- the order of the layers -----------------------------------------------------------------------


def _in_order(linears: list[_Group], title: str) -> list[_Group]:
    """Layers of a file that has forgotten their order: by number within a stem, and by widths."""
    numbered = sorted(linears, key=lambda group: group.numbers)
    if len({group.stem for group in linears}) == 1:
        return numbered
    found = list(islice(_chains(numbered, title), 2))
    if len(found) > 1:
        raise BadInput(
            f"{title} does not tell the order of its layers {listed(sorted(g.name for g in linears))}; "
            f"save it as a PyTorch state_dict, or {SEQUENTIAL_HINT}."
        )
    return found[0] if found else numbered


def _chains(numbered: Sequence[_Group], title: str) -> Iterator[list[_Group]]:
    """Every order in which the widths fit and the layers of a stem keep the order of their numbers."""
    steps = 0

    def longer(chain: list[_Group], rest: list[_Group]) -> Iterator[list[_Group]]:
        nonlocal steps
        steps += 1
        if steps > MOST_STEPS:
            raise BadInput(f"{title} does not tell the order of its layers; {SEQUENTIAL_HINT}.")
        if not rest:
            yield chain
        stems: set[str] = set()
        for place, group in enumerate(rest):
            if group.stem in stems:
                continue
            stems.add(group.stem)
            if not chain or group.weight.shape[1] == chain[-1].width:
                yield from longer([*chain, group], [*rest[:place], *rest[place + 1 :]])

    return longer([], list(numbered))


def _check_chain(linears: Sequence[_Group], title: str) -> None:
    for place, (first, second) in enumerate(pairwise(linears), start=2):
        if second.weight.shape[1] != first.width:
            raise BadInput(
                f"{title}: layer {place} expects {second.weight.shape[1]} inputs and gets {first.width} "
                f"from the layer before; {SEQUENTIAL_HINT}."
            )


# --- which layer a normalisation follows -----------------------------------------------------------


def _placed(norms: Sequence[_Group], linears: Sequence[_Group], file: TensorFile) -> dict[int, int]:
    """For every normalisation the layer it follows, or INPUT; BadInput when that is open."""
    found = [_by_container(norms, linears)]
    if found[0] is None:
        found = [_by_number(norms, linears)]
        found.append(_by_file(norms, linears, file) if file.ordered else None)
    if found == [None, None] and not file.ordered:
        found = [_by_width(norms, linears)]
    fitting = [places for places in found if places is not None and _fit(places, norms, linears)]
    if fitting and all(places == fitting[0] for places in fitting):
        return dict(enumerate(fitting[0]))
    raise BadInput(
        f"{file.title} does not tell which layers its normalisations {listed(n.name for n in norms)} follow; "
        f"{SEQUENTIAL_HINT}."
    )


def _by_container(norms: Sequence[_Group], linears: Sequence[_Group]) -> list[int] | None:
    """The layer before it in the same nn.Sequential."""
    containers = {group.place[0] for group in linears if group.place}
    places = []
    for norm in norms:
        if norm.place is None or norm.place[0] not in containers:
            return None
        places.append(_last(linears, norm.place))
    return places


def _last(linears: Sequence[_Group], before: tuple[str, int]) -> int:
    container, number = before
    mine = ((place, group.place) for place, group in enumerate(linears) if group.place)
    return max((place for place, (where, at) in mine if where == container and at < number), default=INPUT)


def _by_number(norms: Sequence[_Group], linears: Sequence[_Group]) -> list[int] | None:
    """The layer whose name has the same numbers: bn1 and fc1."""
    of = {group.numbers: place for place, group in enumerate(linears) if group.numbers}
    if len(of) < sum(bool(group.numbers) for group in linears) or any(n.numbers not in of for n in norms):
        return None
    return [of[norm.numbers] for norm in norms]


def _by_file(norms: Sequence[_Group], linears: Sequence[_Group], file: TensorFile) -> list[int]:
    """The layer before it in the file, which keeps the order in which modules were made."""
    order = {name.rpartition(".")[0]: place for place, name in enumerate(file.tensors)}
    return [
        max((i for i, g in enumerate(linears) if order[g.name] < order[norm.name]), default=INPUT)
        for norm in norms
    ]


def _by_width(norms: Sequence[_Group], linears: Sequence[_Group]) -> list[int] | None:
    """The only hidden layer of its width."""
    of = {group.width: place for place, group in enumerate(linears[:-1])}
    unique = len(of) == len(linears) - 1
    return [of[n.width] for n in norms] if unique and all(n.width in of for n in norms) else None


def _fit(places: Sequence[int], norms: Sequence[_Group], linears: Sequence[_Group]) -> bool:
    """One normalisation a layer, as wide as what it normalises."""
    inputs = linears[0].weight.shape[1]
    wide = [inputs if place == INPUT else linears[place].width for place in places]
    return len(set(places)) == len(places) and wide == [norm.width for norm in norms]


def _adjacent(norm: _Group, linear: _Group) -> bool | None:
    """True when the normalisation comes right after the layer, so before the activation."""
    if norm.place is None or linear.place is None or norm.place[0] != linear.place[0]:
        return None
    return norm.place[1] == linear.place[1] + 1


def _folded(block: Block, norm: Mapping[str, Tensor], title: str) -> Block:
    """The first layer with the BatchNorm1d of its inputs folded in: W (a x + b) = (W a) x + W b."""
    if not set(norm) >= STATISTICS:
        raise BadInput(f"{title} begins with a LayerNorm over its inputs, which cannot be read.")
    scale = norm["weight"].double() / torch.sqrt(norm["running_var"].double() + EPS)
    shift = norm["bias"].double() - norm["running_mean"].double() * scale
    weight = block.weight.double()
    return replace(
        block, weight=(weight * scale).float(), bias=(block.bias.double() + weight @ shift).float()
    )
