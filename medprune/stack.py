"""Many masked networks of one shape, stacked: one batched product a layer serves them all.

What a member computes is the same to the last bit whatever else is in the stack. Products and vectorised
functions round differently when a member's numbers start elsewhere in a cache line, or fall into the odd
rest of a vectorised loop; so every width is padded with zeros until neither happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from medprune.mask import Mask
from medprune.model import RiskModel
from medprune.network import ACTIVATIONS, Network, NetworkSpec, TailSpec
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

    def logits(self, x: Tensor, values: dict[str, Tensor], *, training: bool = False) -> Tensor:
        """Logits (members, N, classes) for columns (N, inputs) or (members, N, inputs), padded."""
        h = torch.where(self.keep[0], x, self.constants[0])
        for layer in range(len(self.keep)):
            weight, bias = values[f"layers.{layer}.weight"], values[f"layers.{layer}.bias"]
            z = torch.baddbmm(bias[:, None], h, weight.transpose(1, 2))
            if layer == len(self.layout.spec.tails):
                break
            said = self._tail(z, layer, values, training=training)
            if not bool(self.layers[:, layer].all()):
                said = torch.where(self.layers[:, layer, None, None], said, z)
            h = torch.where(self.keep[layer + 1], said, self.constants[layer + 1])
        return z[..., : self.layout.spec.outputs]

    def _tail(self, z: Tensor, layer: int, values: dict[str, Tensor], *, training: bool) -> Tensor:
        spec, act = self.layout.spec.tails[layer], ACTIVATIONS[self.layout.spec.tails[layer].activation]
        h = act(z) if not spec.norm_first else z
        if spec.norm != "none":
            norm = self._batch_norm if spec.norm == "batch" else self._layer_norm
            scale, shift = (values[f"tails.{layer}.norm.{name}"][:, None] for name in ("weight", "bias"))
            h = norm(h, layer, training=training) * scale + shift
        h = act(h) if spec.norm_first else h
        return self._dropped_out(h, layer, spec) if training and spec.dropout else h

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

    def _dropped_out(self, h: Tensor, layer: int, spec: TailSpec) -> Tensor:
        """Every member draws its own noise; one without this layer draws none."""
        noise = torch.ones_like(h)
        there = self.layers[:, layer].tolist()
        for mine, draws, generator in zip(noise, there, self.generators, strict=True):
            if draws:
                mine[:, : spec.width].uniform_(generator=generator)
        return h * (noise >= spec.dropout) / (1 - spec.dropout)


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
