"""A forward pass with everything the way back needs, and ways back from any slopes of the logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from medprune.model import RiskModel
from medprune.network import Tail


@dataclass(frozen=True)
class TwoWay:
    """One forward pass of a batch. Only what follows a layer is differentiated by autograd, layer by layer.

    The products with the weights are few and known, and a way back made of them computes what reaches the
    inputs of every layer once: it is what the scores of units and features need too.
    """

    inputs: tuple[Tensor, ...]  # (N, in): what enters each layer
    logits: Tensor  # (N, classes)
    weights: tuple[Tensor, ...]  # alive
    before: tuple[Tensor | None, ...]  # (N, width): each hidden layer's sums, leaves of their tails' graphs;
    after: tuple[Tensor, ...]  # (N, width): what the tail makes of them; a plain ReLU needs only this

    @classmethod
    @torch.no_grad()
    def of(cls, model: RiskModel, x: Tensor) -> Self:
        """As :meth:`medprune.network.Network.trace` of prepared columns (N, inputs)."""
        network, mask = model.network, model.mask
        h = x if mask is None else torch.where(mask.inputs, x, mask.input_constants)
        inputs: list[Tensor] = [h]
        before: list[Tensor | None] = []
        after: list[Tensor] = []
        for layer, linear in enumerate(network.layers):
            weight = linear.weight if mask is None else linear.weight * mask.weights[layer]
            z = functional.linear(h, weight, linear.bias)
            if layer == len(network.tails):
                break
            tail, there = network.tails[layer], mask is None or bool(mask.layers[layer])
            if there and tail.is_relu:
                leaf, h = None, z.relu_()
            else:
                leaf, h = _followed(tail, z, None if mask is None else mask.units[layer], there)
            before.append(leaf)
            after.append(h)
            h = h.detach()
            if mask is not None:
                h = torch.where(mask.units[layer], h, mask.unit_constants[layer])
            inputs.append(h)
        return cls(tuple(inputs), z, tuple(alive_weights(model)), tuple(before), tuple(after))

    def back(self, slope: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """From slopes of the logits (N, classes): of the sums of every layer, and of what enters each.

        No two of them share memory, but for a plain ReLU: what arrives behind it and its sums' slope are one
        tensor, as they differ only where nothing leaves it.
        """
        slopes, reach = [slope], [slope @ self.weights[-1]]
        for layer in reversed(range(len(self.before))):
            slopes.insert(0, self._through(layer, reach[0]))
            reach.insert(0, slopes[0] @ self.weights[layer])
        return slopes, reach

    def _through(self, layer: int, slope: Tensor) -> Tensor:
        """Back through a tail. Removed units have no weights that are alive: no slope arrives at them."""
        leaf, heard = self.before[layer], self.after[layer]
        if leaf is None:
            through: Tensor = torch.ops.aten.threshold_backward.grad_input(
                slope, heard, 0.0, grad_input=slope
            )
            return through
        if heard is leaf:
            return slope.clone()
        [before] = torch.autograd.grad(heard, leaf, slope, retain_graph=True)
        return before if before.data_ptr() != slope.data_ptr() else before.clone()


def _followed(tail: Tail, z: Tensor, keep: Tensor | None, there: bool) -> tuple[Tensor, Tensor]:
    """The sums as the leaf of a graph, and what the tail makes of them in it."""
    leaf = z.detach().requires_grad_(True)
    with torch.enable_grad():
        return leaf, tail(leaf, keep) if there else leaf


def alive_weights(model: RiskModel) -> list[Tensor]:
    """The weights (out, in) a layer, zero where they or one of their ends are removed."""
    weights = model.network.weights()
    if model.mask is None:
        return list(weights)
    return [w * alive for w, alive in zip(weights, model.mask.alive_weights(), strict=True)]
