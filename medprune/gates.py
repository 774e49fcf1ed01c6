"""Gates that are learnt: hard-concrete gates on features, units or weights, and the network behind them.

Louizos, Welling and Kingma, "Learning sparse neural networks through L0 regularization", ICLR 2018. A
gate lies in [0, 1], is exactly 0 or 1 with a probability above zero, and is smooth in its ``log_alpha``
in between. A gate at 0 means removed in the one sense that removal has here: a weight counts as zero,
a unit or an input column gives way to its constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from medprune.mask import Mask
from medprune.model import RiskModel
from medprune.network import Network, frozen
from medprune.removal import mask_of

BETA, GAMMA, ZETA = 2 / 3, -0.1, 1.1  # temperature and stretch: the paper's values


def sampled(log_alpha: Tensor, generator: torch.Generator) -> Tensor:
    """Gates with noise, as in training (equations 10 and 11 of the paper)."""
    u = torch.rand(log_alpha.shape, generator=generator).clamp(1e-6, 1 - 1e-6)
    s = torch.sigmoid((torch.logit(u) + log_alpha) / BETA)
    return (s * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def settled(log_alpha: Tensor) -> Tensor:
    """Gates without noise, as after training (equation 13).

    >>> settled(torch.tensor([-3.0, 3.0]))
    tensor([0., 1.])
    """
    return (torch.sigmoid(log_alpha) * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def chance_open(log_alpha: Tensor) -> Tensor:
    """The probability that a gate with noise is not 0 (equation 12): what a price is paid for."""
    return torch.sigmoid(log_alpha - BETA * math.log(-GAMMA / ZETA))


@dataclass(frozen=True)
class Openings:
    """How far all is open, in [0, 1]: ``weights[l]`` (out, in), ``units[l]`` (width,), ``inputs`` (columns,).

    ``mask`` holds the constants that what is closed gives way to.
    """

    weights: tuple[Tensor, ...]
    units: tuple[Tensor, ...]
    inputs: Tensor
    mask: Mask

    @classmethod
    def of(cls, model: RiskModel, granularity: str, means: Sequence[Tensor]) -> Openings:
        """All that the model's mask keeps is open; what has a gate at this granularity has its constant."""
        mask = mask_of(model)
        if granularity == "neuron":
            constants = zip(mask.units, means, mask.unit_constants, strict=True)
            mask = replace(mask, unit_constants=tuple(torch.where(*each) for each in constants))
        elif granularity == "feature":
            reference = torch.from_numpy(model.preparation.reference)
            mask = replace(mask, input_constants=torch.where(mask.inputs, reference, mask.input_constants))
        weights, units = (tuple(part.float() for part in parts) for parts in (mask.weights, mask.units))
        return cls(weights, units, mask.inputs.float(), mask)

    def behind_weights(self, gates: Sequence[Tensor]) -> Openings:
        """With a gate (out, in) on every weight of every layer."""
        return replace(self, weights=tuple(w * gate for w, gate in zip(self.weights, gates, strict=True)))

    def behind_units(self, gates: Sequence[Tensor]) -> Openings:
        """With a gate (width,) on every unit of every hidden layer."""
        return replace(self, units=tuple(unit * gate for unit, gate in zip(self.units, gates, strict=True)))

    def behind_columns(self, gate: Tensor) -> Openings:
        """With a gate on every input column (columns,)."""
        return replace(self, inputs=self.inputs * gate)

    def sources(self, layer: int) -> Tensor:
        """How far the entries feeding ``layer`` are open."""
        return self.inputs if layer == 0 else self.units[layer - 1]


def gated_logits(network: Network, x: Tensor, openings: Openings) -> Tensor:
    """Logits (N, classes) for prepared columns (N, inputs) behind gates.

    With gates of 0 and 1 alone they are those of the masked network.
    """
    mask, h = openings.mask, x
    for index, layer in enumerate(network.layers):
        h = torch.lerp(mask.source_constants(index), h, openings.sources(index))
        h = functional.linear(h, layer.weight * openings.weights[index], layer.bias)
        if index < len(network.tails) and mask.layers[index]:
            units = openings.units[index] > 0
            h = network.tails[index](h, units if bool(units.any()) else None)
    return h


@torch.no_grad()
def folded(network: Network, openings: Openings) -> Network:
    """The network whose masked logits are the gated ones: gates between 0 and 1 go into weights and biases.

    What is closed is left to the mask, which has the same constants.
    """
    work = frozen(network)
    for index, layer in enumerate(work.layers):
        weight = layer.weight * _or_masked(openings.weights[index])
        share = _or_masked(openings.sources(index))
        heard = weight * (openings.weights[index] > 0)
        layer.bias.add_(heard @ ((1 - share) * openings.mask.source_constants(index)))
        layer.weight.copy_(weight * share)
    for tail in work.tails:
        tail.noise = None
    return work


def _or_masked(share: Tensor) -> Tensor:
    return torch.where(share > 0, share, 1.0)
