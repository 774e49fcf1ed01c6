"""The network: a plain multilayer perceptron, its spec, and its forward pass with a mask.

A network is a row of *layers*. Every layer but the last is followed by a *tail* (normalisation,
activation, dropout) that works unit by unit, or, for LayerNorm, over the units of that layer. The
last layer gives one logit a class; a binary outcome has two.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from medprune.errors import BadInput
from medprune.mask import Mask

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "identity": lambda z: z,
}
NORMS = ("none", "batch", "layer")
Module = TypeVar("Module", bound=nn.Module)
WIDEST = 16_384  # units in a hidden layer


@dataclass(frozen=True)
class TailSpec:
    """What follows a hidden layer: its width, normalisation, activation and dropout."""

    width: int
    activation: str = "relu"
    norm: str = "none"
    norm_first: bool = True
    dropout: float = 0.0
    eps: float = 1e-5

    def __post_init__(self) -> None:
        if self.width < 1:
            raise BadInput(f"A hidden layer needs at least one unit, got {self.width}.")
        if self.activation not in ACTIVATIONS:
            raise BadInput(f"Activation must be one of {', '.join(ACTIVATIONS)}, got {self.activation!r}.")
        if self.norm not in NORMS:
            raise BadInput(f"Normalisation must be one of {', '.join(NORMS)}, got {self.norm!r}.")
        if not 0 <= self.dropout < 1:
            raise BadInput(f"Dropout must lie in [0, 1), got {self.dropout}.")


@dataclass(frozen=True)
class NetworkSpec:
    """The shape of a network: prepared input columns, hidden tails, classes."""

    inputs: int
    tails: tuple[TailSpec, ...]
    outputs: int

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths from the input columns to the logits."""
        return (self.inputs, *(tail.width for tail in self.tails), self.outputs)

    def to_json(self) -> dict[str, Any]:
        return {
            "inputs": self.inputs,
            "tails": [asdict(tail) for tail in self.tails],
            "outputs": self.outputs,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> NetworkSpec:
        tails = tuple(TailSpec(**tail) for tail in value["tails"])
        return cls(int(value["inputs"]), tails, int(value["outputs"]))


@dataclass(frozen=True)
class MLP:
    """A recipe for a network, before the table has said how many inputs and classes there are.

    >>> MLP(hidden=(8, 4)).network_spec(inputs=3, outputs=2).widths
    (3, 8, 4, 2)
    """

    hidden: tuple[int, ...] = (64, 32)
    activation: str = "relu"
    norm: str = "none"
    dropout: float = 0.1

    def network_spec(self, inputs: int, outputs: int) -> NetworkSpec:
        tails = (TailSpec(width, self.activation, self.norm, dropout=self.dropout) for width in self.hidden)
        return NetworkSpec(inputs, tuple(tails), outputs)


def hidden_widths(text: str) -> tuple[int, ...]:
    """Widths of the hidden layers as a user writes them; none is a logistic regression.

    >>> hidden_widths("64, 32")
    (64, 32)
    """
    try:
        widths = tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        widths = (0,)
    if not all(0 < width <= WIDEST for width in widths):
        raise BadInput(f"Hidden widths are whole numbers from 1 to {WIDEST:,} such as 64,32, got {text!r}.")
    return widths


@dataclass(frozen=True)
class Trace:
    """What one forward pass saw: ``inputs[l]`` (N, in) enters layer l, ``sums[l]`` (N, out) leaves it."""

    inputs: tuple[Tensor, ...]
    sums: tuple[Tensor, ...]

    @property
    def logits(self) -> Tensor:
        return self.sums[-1]


class Tail(nn.Module):
    """Normalisation, activation and dropout after one hidden layer."""

    def __init__(self, spec: TailSpec) -> None:
        super().__init__()
        self.spec = spec
        self.noise: torch.Generator | None = None  # of dropout, set while training
        self.norm: nn.Module | None = None
        if spec.norm == "batch":
            self.norm = nn.BatchNorm1d(spec.width, eps=spec.eps)
        elif spec.norm == "layer":
            self.norm = nn.LayerNorm(spec.width, eps=spec.eps)

    @property
    def mixes_units(self) -> bool:
        """LayerNorm makes every unit depend on all units of its layer."""
        return self.spec.norm == "layer"

    @property
    def is_relu(self) -> bool:
        """Nothing but a ReLU, as the tail of a finished model often is."""
        noisy = self.training and self.spec.dropout
        return self.spec.activation == "relu" and self.norm is None and not noisy

    def normalise(self, z: Tensor, keep: Tensor | None) -> Tensor:
        if self.norm is None:
            return z
        if isinstance(self.norm, nn.LayerNorm) and keep is not None:
            return _layer_norm_over(z, keep, self.norm)
        result: Tensor = self.norm(z)
        return result

    def forward(self, z: Tensor, keep: Tensor | None = None) -> Tensor:
        act = ACTIVATIONS[self.spec.activation]
        h = act(self.normalise(z, keep)) if self.spec.norm_first else self.normalise(act(z), keep)
        return self._dropped_out(h) if self.training and self.spec.dropout else h

    def _dropped_out(self, h: Tensor) -> Tensor:
        """Dropout with noise of our own: the global generator is shared by everything else in the process."""
        kept = torch.rand(h.shape, generator=self.noise) >= self.spec.dropout
        return h * kept / (1 - self.spec.dropout)


def _layer_norm_over(z: Tensor, keep: Tensor, norm: nn.LayerNorm) -> Tensor:
    """LayerNorm over the kept units only, so that a removed unit has no say in the mean and the spread."""
    weight = keep.to(z.dtype) / keep.sum().clamp(min=1)  # with no unit left, no NaN in its gradient
    mean = (z * weight).sum(-1, keepdim=True)
    variance = ((z - mean).square() * weight).sum(-1, keepdim=True)
    return (z - mean) / torch.sqrt(variance + norm.eps) * norm.weight + norm.bias


class Network(nn.Module):
    """A multilayer perceptron whose forward pass takes a mask.

    ``network(x)`` and ``network(x, mask)`` give logits (N, classes) for prepared columns (N, inputs).
    A removed input or unit is replaced by the mask's constant; a removed weight counts as zero.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = spec.widths
        linears, tails = [nn.Linear(a, b) for a, b in pairwise(widths)], [Tail(tail) for tail in spec.tails]
        # A ModuleList holds modules of any kind; ours are of one, and say so.
        self.layers: Sequence[nn.Linear] = nn.ModuleList(linears)  # type: ignore[assignment]
        self.tails: Sequence[Tail] = nn.ModuleList(tails)  # type: ignore[assignment]

    def trace(self, x: Tensor, mask: Mask | None = None) -> Trace:
        inputs: list[Tensor] = []
        sums: list[Tensor] = []
        h = x if mask is None else torch.where(mask.inputs, x, mask.input_constants)
        for index, layer in enumerate(self.layers):
            weight = layer.weight if mask is None else layer.weight * mask.weights[index]
            inputs.append(h)
            sums.append(functional.linear(h, weight, layer.bias))
            if index < len(self.tails):
                h = sums[-1]
                if mask is None or mask.layers[index]:
                    h = self.tails[index](h, None if mask is None else mask.units[index])
                if mask is not None:
                    h = torch.where(mask.units[index], h, mask.unit_constants[index])
        return Trace(tuple(inputs), tuple(sums))

    def forward(self, x: Tensor, mask: Mask | None = None) -> Tensor:
        return self.trace(x, mask).logits

    def weights(self) -> tuple[Tensor, ...]:
        """The weight matrices (out, in), from input to output."""
        return tuple(layer.weight for layer in self.layers)

    def full_mask(self) -> Mask:
        """The mask that keeps everything."""
        return Mask.full(self.spec.widths)

    def layer_names(self) -> tuple[str, ...]:
        return (*(f"hidden {index + 1}" for index in range(len(self.tails))), "output")

    def nonzero(self) -> int:
        """Non-zero weights and biases, normalisation included."""
        return int(sum(int(torch.count_nonzero(p)) for p in self.parameters()))

    def stored(self) -> int:
        """Weights and biases held in the file, zero or not."""
        return sum(p.numel() for p in self.parameters())


def initial_network(spec: NetworkSpec, seed: int) -> Network:
    """A network with He-uniform weights and zero biases, the same for the same seed."""
    network = Network(spec)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in network.layers:
            limit = math.sqrt(6.0 / layer.weight.shape[1]) * (0.5 if layer is network.layers[-1] else 1.0)
            layer.weight.uniform_(-limit, limit, generator=generator)
            layer.bias.zero_()
    return network


def frozen(network: Network) -> Network:
    """A copy in evaluation mode whose parameters take no gradient: how finished models hold their network."""
    return _copied(network).eval()


def _copied(module: Module) -> Module:
    """A copy with numbers of its own, ten times as fast as deepcopy, which walks through every attribute."""
    twin = copy.copy(module)
    twin._parameters = {
        name: None if value is None else nn.Parameter(value.detach().clone(), requires_grad=False)
        for name, value in module._parameters.items()
    }
    twin._buffers = {
        name: None if value is None else value.detach().clone() for name, value in module._buffers.items()
    }
    twin._modules = {
        name: None if child is None else _copied(child) for name, child in module._modules.items()
    }
    return twin
