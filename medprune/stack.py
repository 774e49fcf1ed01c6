"""Many masked networks of one shape, stacked: one batched product a layer serves them all.

What a member computes is the same to the last bit whatever else is in the stack. Products and vectorised
functions round differently when a member's numbers start elsewhere in a cache line, or fall into the odd
rest of a vectorised loop; so every width is padded with zeros until neither happens.

Every member may have patients of its own, (members, N, inputs), as long as these are equally many; where
they are not, rows are padded too, and count for nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from medprune.mask import Mask
from medprune.model import RiskModel
from medprune.network import ACTIVATIONS, Network, NetworkSpec
from medprune.removal import mask_of

LINE = 32  # floats: two cache lines, and what a vectorised loop takes at a time (twice 512 bits)
MOMENTUM = 0.1  # of the running statistics: that of torch.nn.BatchNorm1d
Place = tuple[slice, tuple[int, ...]]  # where in a member's row of numbers, and in which shape


def padded(width: int) -> int:
    """The width in whole lines.

    >>> padded(30), padded(65)
    (32, 96)
    """
    return -(-width // LINE) * LINE


def sees_padding(spec: NetworkSpec) -> bool:
    """BatchNorm looks at all rows of a batch."""
    return any(tail.norm == "batch" for tail in spec.tails)


@dataclass(frozen=True)
class Layout:
    """Where each trained number (``parameters``) and running statistic (``buffers``) of a member lies."""

    spec: NetworkSpec
    parameters: dict[str, Place]
    buffers: dict[str, Place]

    @classmethod
    def of(cls, network: Network) -> Layout:
        statistics = {name: value for name, value in network.named_buffers() if value.dim()}
        return cls(network.spec, _places(dict(network.named_parameters())), _places(statistics))


def _places(values: Mapping[str, Tensor]) -> dict[str, Place]:
    places: dict[str, Place] = {}
    start = 0
    for name, value in values.items():
        shape = tuple(padded(size) for size in value.shape)
        size = torch.Size(shape).numel()
        places[name] = (slice(start, start + size), shape)
        start += size
    return places


def views(rows: Tensor, places: dict[str, Place]) -> dict[str, Tensor]:
    """Each value of every member, (members, ...), sharing the memory of ``rows`` (members, numbers)."""
    return {name: rows[:, place].view(len(rows), *shape) for name, (place, shape) in places.items()}


def _packed(values: Sequence[Mapping[str, Tensor]], places: dict[str, Place]) -> Tensor:
    """Rows (members, numbers) of the members' values, zero where there is padding."""
    total = max((place.stop for place, _ in places.values()), default=0)
    rows = torch.zeros(len(values), total)
    for name, view in views(rows, places).items():
        _fill(view, [value[name] for value in values])
    return rows


def _fill(target: Tensor, values: Sequence[Tensor]) -> Tensor:
    for row, value in zip(target, values, strict=True):
        row[tuple(slice(size) for size in value.shape)] = value
    return target


def _line(values: Sequence[Tensor]) -> Tensor:
    """Values (width,) of each member as (members, 1, padded width)."""
    target = torch.zeros(len(values), padded(len(values[0])), dtype=values[0].dtype)
    return _fill(target, values)[:, None]


@dataclass(eq=False)
class Stack:
    """The members. All tensors have them along their first axis.

    ``rows`` (members, parameters) are trained, ``statistics`` (members, buffers) follow BatchNorm's
    batches; ``free`` is 1 for a parameter that may move. ``keep[l]`` and ``constants[l]`` (members, 1,
    width) are of the input columns and then of each hidden layer, ``layers`` (members, hidden layers).
    """

    layout: Layout
    rows: Tensor
    statistics: Tensor
    free: Tensor
    keep: list[Tensor]
    constants: list[Tensor]
    layers: Tensor
    generators: list[torch.Generator]

    def __post_init__(self) -> None:
        self.whole = [bool(there) for there in self.layers.all(dim=0)]  # layers that all members have
        self.sees_padding = sees_padding(self.layout.spec)
        self.values = views(self.rows, self.layout.parameters)  # share the memory of the rows
        depth = range(len(self.keep))
        self.weights = [self.values[f"layers.{layer}.weight"] for layer in depth]
        self.biases = [self.values[f"layers.{layer}.bias"][:, None] for layer in depth]
        tails = self.layout.spec.tails
        self.draws = [
            [bool(t.dropout) and there for t, there in zip(tails, mine, strict=True)]
            for mine in self.layers.tolist()
        ]
        dropout = self.layers * torch.tensor([tail.dropout for tail in tails])
        each = [share[:, None, None] for share in dropout.unbind(dim=1)]
        # An activation stays where a number drawn is not less: always without dropout, never when removed.
        self.least = [torch.where(keep, share, 2.0) for keep, share in zip(self.keep[1:], each, strict=True)]
        self.scale = [1 / (1 - share) for share in each]
        self.rest = [torch.where(k, 0.0, c) for k, c in zip(self.keep, self.constants, strict=True)]

    @classmethod
    def of(cls, models: Sequence[RiskModel], seeds: Sequence[int], shrink: float) -> Stack:
        """The models, all of one shape; removed weights are zero, the others shrunk by a factor."""
        layout = Layout.of(models[0].network)
        masks = [mask_of(model) for model in models]
        parameters = [dict(model.network.named_parameters()) for model in models]
        rows = _packed(parameters, layout.parameters)
        free = _packed([_free(p, mask) for p, mask in zip(parameters, masks, strict=True)], layout.parameters)
        rows *= free
        _shrink(views(rows, layout.parameters), shrink)
        depth = range(len(masks[0].units) + 1)
        return cls(
            layout=layout,
            rows=rows,
            statistics=_packed([dict(model.network.named_buffers()) for model in models], layout.buffers),
            free=free,
            keep=[_line([mask.sources(layer) for mask in masks]) for layer in depth],
            constants=[_line([mask.source_constants(layer) for mask in masks]) for layer in depth],
            layers=torch.stack([mask.layers for mask in masks]),
            generators=[torch.Generator().manual_seed(seed) for seed in seeds],
        )

    def only(self, members: Tensor) -> Stack:
        """The stack of these members (places); each goes on where it was."""
        return replace(
            self,
            rows=self.rows[members],
            statistics=self.statistics[members],
            free=self.free[members],
            keep=[keep[members] for keep in self.keep],
            constants=[constants[members] for constants in self.constants],
            layers=self.layers[members],
            generators=[self.generators[member] for member in members.tolist()],
        )

    def heard(self, x: Tensor) -> Tensor:
        """What the first layer hears (members, N, inputs) of columns, padded: removed ones are constant."""
        return torch.where(self.keep[0], x, self.constants[0])

    def logits(self, h: Tensor, values: dict[str, Tensor], noise: Sequence[Tensor] | None = None) -> Tensor:
        """Logits (members, N, classes) for what the first layer hears; ``noise`` is there while training."""
        for layer in range(len(self.keep)):
            weight, bias = values[f"layers.{layer}.weight"], values[f"layers.{layer}.bias"]
            z = torch.baddbmm(bias[:, None], h, weight.transpose(1, 2))
            if layer == len(self.layout.spec.tails):
                break
            said = self._tail(z, layer, values, training=noise is not None)
            if not self.whole[layer]:
                said = torch.where(self.layers[:, layer, None, None], said, z)
            if noise is None:
                h = torch.where(self.keep[layer + 1], said, self.constants[layer + 1])
            else:
                h = torch.addcmul(self.rest[layer + 1], said, noise[layer])
        return z[..., : self.layout.spec.outputs]

    def _tail(self, z: Tensor, layer: int, values: dict[str, Tensor], *, training: bool) -> Tensor:
        spec, act = self.layout.spec.tails[layer], ACTIVATIONS[self.layout.spec.tails[layer].activation]
        h = act(z) if not spec.norm_first else z
        if spec.norm != "none":
            norm = self._batch_norm if spec.norm == "batch" else self._layer_norm
            scale, shift = (values[f"tails.{layer}.norm.{name}"][:, None] for name in ("weight", "bias"))
            h = norm(h, layer, training=training) * scale + shift
        return act(h) if spec.norm_first else h

    def _layer_norm(self, z: Tensor, layer: int, *, training: bool) -> Tensor:
        """Over the kept units only."""
        kept = self.keep[layer + 1].to(z.dtype)
        weight = kept / kept.sum(-1, keepdim=True)
        mean = (z * weight).sum(-1, keepdim=True)
        variance = ((z - mean).square() * weight).sum(-1, keepdim=True)
        return (z - mean) / torch.sqrt(variance + self.layout.spec.tails[layer].eps)

    def _batch_norm(self, z: Tensor, layer: int, *, training: bool) -> Tensor:
        running = views(self.statistics, self.layout.buffers)
        running_mean, running_variance = (
            running[f"tails.{layer}.norm.{name}"] for name in ("running_mean", "running_var")
        )
        mean, variance = running_mean[:, None], running_variance[:, None]
        if training:
            mean, variance = z.mean(1, keepdim=True), z.var(1, unbiased=False, keepdim=True)
            n = z.shape[1]
            there = self.layers[:, layer, None]  # a removed layer has no normalisation that could learn
            for old, new in ((running_mean, mean), (running_variance, variance * n / (n - 1))):
                moved = old * (1 - MOMENTUM) + new[:, 0].detach() * MOMENTUM
                old.copy_(torch.where(there, moved, old))
        return (z - mean) / torch.sqrt(variance + self.layout.spec.tails[layer].eps)

    def noise(self, sizes: Sequence[Sequence[int]], buffers: Sequence[Tensor]) -> list[Tensor]:
        """For every hidden layer (batches, members, rows, width): what an activation is multiplied by.

        That is dropout, and zero for a removed unit. ``sizes[k]`` are those of the next batches of member k.
        Every member draws from its own generator, for all of them at once, just what it would draw layer by
        layer; one without a layer draws nothing for it. ``buffers`` are the last noise, or ones.
        """
        tails, noise = self.layout.spec.tails, [buffer[: len(sizes[0])] for buffer in buffers]
        for member, (mine, generator) in enumerate(zip(sizes, self.generators, strict=True)):
            drawn = [k for k, draws in enumerate(self.draws[member]) if draws]
            if drawn:
                widths = [tails[k].width for k in drawn]
                numbers = torch.rand(sum(mine) * sum(widths), generator=generator)
                _deal(numbers, mine, widths, [noise[k][:, member] for k in drawn])
        for part, least, scale in zip(noise, self.least, self.scale, strict=True):
            part.ge_(least).mul_(scale)
        return noise


def _free(parameters: Mapping[str, Tensor], mask: Mask) -> dict[str, Tensor]:
    """1 where a parameter may move: everywhere but in removed weights."""
    free = {name: torch.ones_like(value) for name, value in parameters.items()}
    for layer, kept in enumerate(mask.weights):
        free[f"layers.{layer}.weight"] = kept.float()
    return free


def _shrink(values: dict[str, Tensor], factor: float) -> None:
    for name, value in values.items():
        if name.startswith("layers."):
            value.mul_(factor)


def _deal(numbers: Tensor, sizes: Sequence[int], widths: Sequence[int], targets: Sequence[Tensor]) -> None:
    """Numbers drawn batch by batch and layer by layer into ``targets`` (batches, rows, padded width)."""
    start = place = 0
    for size, equal in itertools.groupby(sizes):
        count = len(list(equal))
        ours = numbers[start : start + count * size * sum(widths)].view(count, -1)
        parts = ours.split([size * width for width in widths], dim=1)
        for target, part, width in zip(targets, parts, widths, strict=True):
            target[place : place + count, :size, :width] = part.view(count, size, width)
        start, place = start + ours.numel(), place + count
