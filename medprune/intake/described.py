"""From what was read in a foreign file to inert tensors and text: all that leaves the reader of a file.

When the file says how columns become inputs, its full description stands under :data:`KEY`, as in a file
of ours, and :data:`UNSAID` lists what it still leaves open. When it does not, there are tensors by layer
and what is known of them, for its user to complete as with a state_dict.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from medprune.description import KEY, describe
from medprune.errors import BadInput
from medprune.intake.tensor_file import TensorFile
from medprune.intake.traced import Resolved
from medprune.model import Origin, RiskModel, check_finite
from medprune.network import WIDEST, Network, NetworkSpec, TailSpec, frozen

UNSAID = "medprune.unsaid"  # JSON: what a foreign file leaves open
ACTIVATIONS_KEY = "medprune.activations"  # JSON: names, one a hidden layer
CLASSES_KEY = "medprune.classes"  # JSON: names, in the order of the logits
MOST_LAYERS = 100


@dataclass(frozen=True, eq=False)
class Layer:
    """One linear layer (out, in) of a foreign network, in double, and what follows it.

    ``norm`` is the (weight, bias) of a LayerNorm, ``norm_first`` whether it comes before the activation.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    activation: str = "identity"
    norm: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    norm_first: bool = True
    eps: float = 1e-5


def two_classes(layers: Sequence[Layer]) -> list[Layer]:
    """A head of one logit as one of two: zero, and the logit of the second class."""
    *before, head = layers
    if len(head.weight) != 1:
        return list(layers)
    weight = np.concatenate([np.zeros_like(head.weight), head.weight])
    return [*before, Layer(weight, np.concatenate([[0.0], head.bias]))]


def network_of(layers: Sequence[Layer], title: str) -> Network:
    """The network of these layers; the last one's activation is not applied. Raises BadInput."""
    if len(layers) > MOST_LAYERS or any(len(layer.weight) > WIDEST for layer in layers[:-1]):
        raise BadInput(
            f"{title} has {len(layers)} layers, the widest of "
            f"{max(len(la.weight) for la in layers):,} units; "
            f"at most {MOST_LAYERS} layers of {WIDEST:,} units can be read."
        )
    tails = tuple(
        TailSpec(
            len(layer.weight),
            layer.activation,
            "none" if layer.norm is None else "layer",
            norm_first=layer.norm_first,
            eps=layer.eps,
        )
        for layer in layers[:-1]
    )
    network = Network(NetworkSpec(layers[0].weight.shape[1], tails, len(layers[-1].weight)))
    state: dict[str, Tensor] = {}
    for place, layer in enumerate(layers):
        state |= {f"layers.{place}.weight": _float(layer.weight), f"layers.{place}.bias": _float(layer.bias)}
        if layer.norm is not None:
            state |= {
                f"tails.{place}.norm.{w}": _float(v)
                for w, v in zip(("weight", "bias"), layer.norm, strict=True)
            }
    network.load_state_dict(state)
    check_finite(network)
    return frozen(network)


def _float(values: NDArray[np.float64]) -> Tensor:
    with np.errstate(over="ignore"):  # told by check_finite
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def after(resolved: Resolved, layers: Sequence[Layer]) -> list[Layer]:
    """The layers, taking what our preparation makes instead of the foreign one's columns."""
    first = layers[0]
    bias = first.bias + first.weight @ resolved.constant
    taking = Layer(
        first.weight @ resolved.matrix, bias, first.activation, first.norm, first.norm_first, first.eps
    )
    return [taking, *layers[1:]]


def risk_model(resolved: Resolved, layers: Sequence[Layer], classes: Sequence[str], title: str) -> RiskModel:
    """The foreign model as one of ours; its outcome has no name yet."""
    if not resolved.preparation.columns:
        raise BadInput(f"{title} reads no column of a table, so there is nothing to prune.")
    return RiskModel(
        preparation=resolved.preparation,
        network=network_of(after(resolved, two_classes(layers)), title),
        outcome="",
        classes=tuple(classes),
        origin=Origin(source="uploaded"),
    )


def described_file(
    model: RiskModel, title: str, unsaid: dict[str, Any], notes: Sequence[str] = ()
) -> TensorFile:
    """Tensors and the whole description. ``unsaid``: ``inputs`` (how many columns the file only numbers, or
    None), ``classes`` (whether it only numbers them), ``missing`` (columns whose missing values it refused).
    """
    tensors = {name: value.clone() for name, value in model.network.state_dict().items()}
    metadata = {KEY: json.dumps(describe(model)), UNSAID: json.dumps(unsaid)}
    return TensorFile(title, tensors, metadata, ordered=True, notes=tuple(notes))
