"""What a layer kind is: its settings, and how it computes, loses groups and becomes compact.

A network is a row of layers. Between two layers flows a :class:`Stream`; the entries of its last axis
are a *set of groups* with a name. A layer that makes new units names a new set; a layer that adds to
what flows past it (a residual block) or sums it up (a pool) leaves the set as it is, so that removing
one of its units means the same in every layer that the set flows through.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from medprune.errors import BadInput, listed
from medprune.kinds.mask import KindMask
from medprune.registry import Registry
from medprune.settings import check_settings, settings_of

KINDS: Registry[LayerKind] = Registry("layer kind")
COLUMNS, SEQUENCE, TOKENS = "columns", "sequence", "tokens"
State = dict[str, Tensor]


@dataclass(frozen=True)
class Stream:
    """What flows between layers: columns (N, width), sequence (N, time, width) or tokens (N, tokens, width).

    ``groups`` names the set of its last axis, ``tokens`` the set of the tokens, the first of which
    (the one that is read out) belongs to no feature and always stays. ``raw``: its entries are the
    patients' own values, or stand for them, so that no layer may add to them.
    """

    shape: str
    width: int
    groups: str
    tokens: str = ""
    raw: bool = False


class Parts(nn.ModuleDict):
    """The torch modules of one layer, by name."""

    def __getitem__(self, name: str) -> Any:  # each kind knows what it has put there
        return super().__getitem__(name)


@dataclass(frozen=True)
class Place:
    """Where a layer stands: its name and the stream that comes in."""

    name: str
    stream: Stream

    def own(self, part: str) -> str:
        """The full name of one of this layer's own sets of groups or parameters."""
        return f"{self.name}.{part}"


@dataclass(frozen=True)
class Groups:
    """A set of groups: each of ``size`` can be removed. Each holds ``each`` values next to each other.

    Without ``constant`` a removed group is replaced by zero, whatever its mean was.
    """

    name: str
    size: int
    each: int = 1
    constant: bool = True


@dataclass
class Means:
    """A running mean (values,) over patients and, in sequences, over time."""

    total: Tensor
    count: int = 0

    def add(self, h: Tensor) -> None:
        rows = h.detach().reshape(-1, h.shape[-1])
        self.total += rows.sum(dim=0).double()
        self.count += len(rows)

    def mean(self) -> Tensor:
        return (self.total / max(self.count, 1)).float()


@dataclass(frozen=True, eq=False)
class Keeping:
    """What one pass through the network keeps; every layer asks it for what its groups become.

    ``gates`` (one number a group, 1 kept and 0 removed) stand in for the mask's yes and no when the
    slope of removal is wanted. ``noise`` is dropout's, given while training only. ``seen`` collects
    what the groups say.
    """

    mask: KindMask | None = None
    gates: Mapping[str, Tensor] | None = None
    noise: torch.Generator | None = None
    seen: dict[str, Means] | None = None

    def or_constant(
        self, name: str, h: Tensor, constants: Tensor | None = None, index: Tensor | None = None
    ) -> Tensor:
        """``h`` (..., values) with every removed group replaced by its constants.

        ``constants`` other than the mask's, and the group of each value (``index``), when these are not
        simply one after another.
        """
        if self.seen is not None and constants is None:
            self.seen.setdefault(name, Means(torch.zeros(h.shape[-1], dtype=torch.float64))).add(h)
        if self.mask is None:
            return h
        constants = self.mask.constants_of(name, h) if constants is None else constants
        if self.gates is not None:
            return constants + _spread(self.gates[name], h, index) * (h - constants)
        return torch.where(_spread(self.mask.groups[name], h, index), h, constants)

    def or_zero(self, name: str, h: Tensor) -> Tensor:
        """``h`` with every removed group replaced by zero: what a layer adds to a stream."""
        return self.or_constant(name, h, h.new_zeros(h.shape[-1]))

    def kept(self, name: str) -> Tensor | None:
        """Which groups of a set are kept; None when nothing is removed at all."""
        return None if self.mask is None else self.mask.groups[name]

    def dropout(self, h: Tensor, rate: float) -> Tensor:
        """Dropout with noise of our own: the global generator is shared by everything in the process."""
        if self.noise is None or not rate:
            return h
        return h * (torch.rand(h.shape, generator=self.noise) >= rate) / (1 - rate)


def _spread(groups: Tensor, h: Tensor, index: Tensor | None) -> Tensor:
    """One entry a group to one entry a value."""
    if index is not None:
        return groups[index]
    each = h.shape[-1] // len(groups)
    return groups if each == 1 else groups[:, None].expand(-1, each).reshape(-1)


@dataclass(frozen=True)
class LayerKind(ABC):
    """Base of all layer kinds; members are frozen dataclasses of settings, checked when they are made.

    ``parts`` are the torch modules of one layer, ``place`` says where it stands.
    """

    name: ClassVar[str]
    shapes: ClassVar[tuple[str, ...]] = (COLUMNS, SEQUENCE, TOKENS)  # the streams that it takes
    only_first: ClassVar[bool] = False  # it reads the network's inputs, one by one
    adds: ClassVar[bool] = False  # it adds to what flows past it, and gives the stream that came in
    removes_inputs: ClassVar[bool] = False  # replaces the network's removed inputs by itself

    def __post_init__(self) -> None:
        for name, (default, how) in settings_of(type(self)).items():
            given = getattr(self, name)
            if type(given) not in ((int, float) if isinstance(default, float) else (type(default),)):
                raise BadInput(f"{how.label} of a {self.name} layer cannot be {given!r}.")
        check_settings(self)

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.name, **asdict(self)}

    @abstractmethod
    def out(self, place: Place) -> Stream:
        """The stream that leaves; BadInput naming the layer when what comes in does not fit."""

    @abstractmethod
    def build(self, place: Place) -> Parts:
        """The torch modules of the layer; their values are filled in by the network."""

    @abstractmethod
    def run(self, place: Place, parts: Parts, x: Tensor, keep: Keeping) -> Tensor:
        """The layer's output, with what ``keep`` removes replaced."""

    def compact(self, place: Place, parts: Parts, mask: KindMask) -> tuple[LayerKind, State]:
        """The smaller layer and its values, when everything that the mask removes is gone.

        ``parts`` hold zeros where weights were removed. Constants of the removed go into a bias. A kind
        that does not say how is refused as soon as something is removed from it (see :meth:`refusal`).
        """
        return self, dict(parts.state_dict())

    def groups(self, place: Place) -> tuple[Groups, ...]:
        """The sets of groups that this layer brings into being."""
        return ()

    def weights(self) -> tuple[str, ...]:
        """The parameters whose entries can be removed one by one."""
        return ()

    def start(self, parts: Parts, generator: torch.Generator) -> None:
        """Fill in the values that training starts from: He-uniform, biases zero."""
        for module in parts.modules():
            if isinstance(module, nn.Linear | nn.Conv1d):
                limit = math.sqrt(6.0 / max(module.weight[0].numel(), 1))
                module.weight.uniform_(-limit, limit, generator=generator)
            elif isinstance(module, nn.Embedding):
                limit = 1 / math.sqrt(module.embedding_dim)
                module.weight.uniform_(-limit, limit, generator=generator)

    def refusal(self, place: Place, mask: KindMask) -> str | None:
        """One sentence when the layer cannot be made compact with this mask, naming it and the reason."""
        own = (groups.name for groups in self.groups(place))
        touched = [n for n in (place.stream.groups, *own) if not bool(mask.groups[n].all())]
        if type(self).compact is not LayerKind.compact or not touched:
            return None
        return (
            f"Layer {place.name!r} is of the kind {self.name!r}, which cannot be made compact yet: "
            f"keep everything of {listed(touched)}, or remove weights only."
        )

    def settle(self, place: Place, parts: Parts, mask: KindMask) -> KindMask:
        """The mask with what follows from it inside this layer removed too; it computes the same."""
        return mask

    def heard(self, place: Place, parts: Parts, mask: KindMask) -> dict[str, Tensor]:
        """For each set that the layer reads: which groups have a say in what comes out."""
        return {place.stream.groups: torch.ones_like(mask.groups[place.stream.groups])}

    def length(self, place: Place, time: int) -> int:
        """How many points in time leave when ``time`` come in; BadInput when there are too few."""
        return time

    def codes(self) -> tuple[int, ...]:
        """How many categories each of the last input columns has; none when all columns are numbers."""
        return ()

    def about(self) -> str:
        """The settings in words, for :meth:`describe`."""
        return ", ".join(f"{field.name} {getattr(self, field.name)}" for field in fields(self))

    def describe(self, place: Place) -> str:
        """One line about the layer: its name, what comes in and goes out, its settings."""
        out = self.out(place)
        flow = f"{place.stream.width} {place.stream.shape} to {out.width} {out.shape}"
        return f"{place.name}: {flow}; {self.about()}" if self.about() else f"{place.name}: {flow}"


def fold(weight: Tensor, bias: Tensor, sources: Tensor, constants: Tensor) -> tuple[Tensor, Tensor]:
    """A weight (out, in) of the kept sources only; the constants of the others go into the bias (out,)."""
    return weight[:, sources], bias + weight[:, ~sources] @ constants[~sources]


def at_least_one(left: Tensor, kept: Tensor) -> Tensor:
    """``left``, or the first of ``kept`` when nothing would be left: a set never becomes empty."""
    if bool(left.any()) or not bool(kept.any()):
        return left
    return torch.arange(len(kept)) == int(kept.int().argmax())


def without_deaf(
    kind: LayerKind, place: Place, parts: Parts, mask: KindMask, *, name: str, hears: Tensor, time: int = 1
) -> KindMask:
    """The mask without the units that hear nothing: each says the same for everyone, which is its constant.

    ``time`` points are enough for the layer to say something.
    """
    left = at_least_one(mask.groups[name] & hears, mask.groups[name])
    if bool((left == mask.groups[name]).all()):
        return mask
    outside = mask.constants_of(place.stream.groups, torch.zeros(place.stream.width))
    x = torch.where(mask.groups[place.stream.groups], torch.zeros_like(outside), outside)
    shape = (1, -1) if place.stream.shape == COLUMNS else (1, time, -1)
    said = kind.run(place, parts, x.expand(*shape), Keeping())
    return mask.keeping_groups({name: left}, {name: said.reshape(-1, said.shape[-1])[0]})
