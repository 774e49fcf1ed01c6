"""The slope of the loss of every member of a stack, by hand where there is no normalisation.

A training step of a small network is so short that autograd's book-keeping takes most of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from medprune.network import ACTIVATIONS
from medprune.stack import Stack

# From the slope of what an activation says, what it said, and what it heard: the slope of what it heard.
BACK: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "relu": lambda slope, said, heard: torch.ops.aten.threshold_backward(slope, said, 0),
    "gelu": lambda slope, said, heard: torch.ops.aten.gelu_backward(slope, heard),
    "silu": lambda slope, said, heard: torch.ops.aten.silu_backward(slope, heard),
    "tanh": lambda slope, said, heard: torch.ops.aten.tanh_backward(slope, said),
    "sigmoid": lambda slope, said, heard: torch.ops.aten.sigmoid_backward(slope, said),
    "identity": lambda slope, said, heard: slope,
}


@dataclass(frozen=True)
class Batch:
    """Patients of every member: what the first layer ``heard`` (members, N, inputs), classes ``y``, what the
    loss of each counts (``say``, (members, N, 1)), less of its own class (``aim``, (members, N, classes)),
    and ``noise`` as :meth:`Stack.noise` gives it.
    """

    heard: Tensor
    y: Tensor
    say: Tensor
    aim: Tensor
    noise: Sequence[Tensor]


def slopes(stack: Stack, batch: Batch) -> Tensor:
    """The slopes (members, numbers) of the loss, in the order of the stack's rows."""
    plain = all(tail.norm == "none" for tail in stack.layout.spec.tails)
    found = _by_hand(stack, batch) if plain else _by_autograd(stack, batch)
    return torch.cat([slope.flatten(1) for slope in found], dim=1).mul_(stack.free)


def losses(logits: Tensor, y: Tensor, say: Tensor) -> Tensor:
    """The loss of every member (members,)."""
    each = functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
    return (each.view(y.shape) * say).sum(dim=1)


def _by_autograd(stack: Stack, batch: Batch) -> list[Tensor]:
    leaves = {name: value.detach().requires_grad_() for name, value in stack.values.items()}
    with torch.enable_grad():
        loss = losses(stack.logits(batch.heard, leaves, batch.noise), batch.y, batch.say[..., 0]).sum()
    return list(torch.autograd.grad(loss, list(leaves.values())))


def _by_hand(stack: Stack, batch: Batch) -> list[Tensor]:
    tails, weights = stack.layout.spec.tails, stack.weights
    inputs, sums, said = [batch.heard], [], []
    for layer, tail in enumerate(tails):
        sums.append(torch.baddbmm(stack.biases[layer], inputs[-1], weights[layer].transpose(1, 2)))
        said.append(_there(stack, layer, ACTIVATIONS[tail.activation](sums[-1]), sums[-1]))
        inputs.append(torch.addcmul(stack.rest[layer + 1], said[-1], batch.noise[layer]))
    z = torch.baddbmm(stack.biases[-1], inputs[-1], weights[-1].transpose(1, 2))
    risks, found = torch.softmax(z[..., : stack.layout.spec.outputs], dim=-1), []
    slope = z.zero_()  # of cross-entropy: risk minus outcome, and zero where there is padding
    torch.addcmul(batch.aim, risks, batch.say, out=slope[..., : stack.layout.spec.outputs])
    for layer in reversed(range(len(tails) + 1)):
        found += [slope.sum(dim=1), torch.bmm(slope.transpose(1, 2), inputs[layer])]
        if layer:
            above = torch.bmm(slope, weights[layer]).mul_(batch.noise[layer - 1])
            back = BACK[tails[layer - 1].activation](above, said[layer - 1], sums[layer - 1])
            slope = _there(stack, layer - 1, back, above)
    return found[::-1]


def _there(stack: Stack, layer: int, with_layer: Tensor, without: Tensor) -> Tensor:
    """A removed layer passes its sums, and slopes, on."""
    if stack.whole[layer]:
        return with_layer
    return torch.where(stack.layers[:, layer, None, None], with_layer, without)
