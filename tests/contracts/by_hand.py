"""What every criterion scores, by its definition, one patient at a time: slow, plain, in double precision.

A new criterion needs one function here: what each patient gives every weight, unit and feature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import grad, vmap

from medprune.mask import Mask
from medprune.model import RiskModel
from medprune.network import ACTIVATIONS, Tail


@dataclass(frozen=True)
class Case:
    """A model in double precision and its patients: prepared columns (N, columns), classes (N,)."""

    model: RiskModel
    x: Tensor
    y: Tensor

    @property
    def mask(self) -> Mask:
        return self.model.network.full_mask() if self.model.mask is None else self.model.mask

    @property
    def weights(self) -> list[Tensor]:
        """Zero where removed, or where one end is."""
        masks = self.mask.alive_weights()
        return [w * alive for w, alive in zip(self.model.network.weights(), masks, strict=True)]


@dataclass(frozen=True)
class Scores:
    """Of every patient: ``weights[l]`` (N, out, in), ``units[l]`` (N, width), ``features`` (N, features)."""

    weights: list[Tensor]
    units: list[Tensor]
    features: Tensor

    def parts(self) -> list[Tensor]:
        return [*self.weights, *self.units, self.features]

    def map(self, change: Callable[[Tensor], Tensor]) -> Scores:
        return Scores([*map(change, self.weights)], [*map(change, self.units)], change(self.features))

    def __add__(self, other: Scores) -> Scores:
        each = [a + b for a, b in zip(self.parts(), other.parts(), strict=True)]
        layers = len(self.weights)
        return Scores(each[:layers], each[layers:-1], each[-1])


# --- one patient, forwards -------------------------------------------------------------------------


@dataclass(frozen=True)
class Forward:
    """Of one patient: what enters each layer, and the sums that leave it."""

    heard: list[Tensor]
    sums: list[Tensor]


def forward(case: Case, row: Tensor, weights: list[Tensor], shifts: list[Tensor]) -> Forward:
    """The network as its mask means it; ``shifts[l]`` is added to what enters layer l."""
    network, mask = case.model.network, case.mask
    heard, sums = [], []
    h = torch.where(mask.inputs, row, mask.input_constants.double())
    for layer, linear in enumerate(network.layers):
        heard.append(h + shifts[layer])
        sums.append((weights[layer] * mask.weights[layer]) @ heard[-1] + linear.bias)
        if layer < len(network.tails):
            h = sums[-1]
            if mask.layers[layer]:
                h = network.tails[layer](h[None], mask.units[layer])[0]
            h = torch.where(mask.units[layer], h, mask.unit_constants[layer].double())
    return Forward(heard, sums)


def still(case: Case) -> list[Tensor]:
    return [torch.zeros(w.shape[1], dtype=torch.float64) for w in case.weights]


def seen(case: Case) -> list[Forward]:
    """Every patient's own forward pass."""
    weights = list(case.model.network.weights())
    return [forward(case, row, weights, still(case)) for row in case.x]


def risks(case: Case) -> Tensor:
    return torch.stack([torch.softmax(patient.sums[-1], dim=0) for patient in seen(case)])


def in_columns(case: Case, values: Tensor) -> Tensor:
    """(N, features): a feature's kept columns added up, one by one."""
    out = torch.zeros(len(values), len(case.model.features), dtype=torch.float64)
    for column, feature in enumerate(case.model.preparation.feature_of_column.tolist()):
        if case.mask.inputs[column]:
            out[:, feature] += values[:, column]
    return out


def reference(case: Case) -> Tensor:
    return torch.from_numpy(case.model.preparation.reference).double()


# --- the gradients of every patient, by torch.func ---------------------------------------------------


def slopes_of_the_loss(case: Case, classes: Tensor) -> Scores:
    """w dL/dw, a dL/da and the sum of (x - reference) dL/dx, with L = -log p(class|x), signed."""

    def loss(weights: list[Tensor], shifts: list[Tensor], row: Tensor, k: Tensor) -> Tensor:
        logits = forward(case, row, weights, shifts).sums[-1]
        return -torch.log_softmax(logits, dim=0).gather(0, k[None])[0]

    each = vmap(grad(loss, argnums=(0, 1)), in_dims=(None, None, 0, 0))
    by_weights, by_values = each(list(case.model.network.weights()), still(case), case.x, classes)
    patients = seen(case)
    heard = [torch.stack([p.heard[layer] for p in patients]) for layer in range(len(case.weights))]
    return Scores(
        [w * slope for w, slope in zip(case.weights, by_weights, strict=True)],
        [
            heard[layer] * by_values[layer] * case.mask.units[layer - 1]
            for layer in range(1, len(case.weights))
        ],
        in_columns(case, (heard[0] - reference(case)) * by_values[0]),
    )


def times(scores: Scores, factor: Tensor) -> Scores:
    """Each patient's scores times the patient's own number (N,)."""
    return scores.map(lambda part: part * factor.reshape(-1, *[1] * (part.dim() - 1)))


def contribution(criterion: Any, case: Case) -> list[Scores]:
    own = risks(case).gather(1, case.y[:, None])[:, 0]
    return [times(slopes_of_the_loss(case, case.y), own).map(torch.abs)]


def class_contribution(criterion: Any, case: Case) -> list[Scores]:
    p = risks(case)
    classes = p.shape[1]
    uniform = torch.full((classes,), 1 / classes, dtype=torch.float64)
    rates = [p[case.y == k].mean(dim=0) if (case.y == k).any() else uniform for k in range(classes)]
    slopes = [slopes_of_the_loss(case, torch.full_like(case.y, k)) for k in range(classes)]
    views = []
    for j in range(classes):
        view = times(slopes[0], p[:, 0] * rates[0][j])
        for k in range(1, classes):
            view = view + times(slopes[k], p[:, k] * rates[k][j])
        views.append(view.map(torch.abs))
    return views


def taylor(criterion: Any, case: Case) -> list[Scores]:
    slopes = slopes_of_the_loss(case, case.y)
    sized = slopes.map(torch.abs)
    return [Scores(slopes.weights, sized.units, sized.features) if criterion.signed else sized]


def fisher(criterion: Any, case: Case) -> list[Scores]:
    if not criterion.expected:
        return [slopes_of_the_loss(case, case.y).map(torch.square)]
    p = risks(case)
    as_k = [slopes_of_the_loss(case, torch.full_like(case.y, k)).map(torch.square) for k in range(p.shape[1])]
    whole = times(as_k[0], p[:, 0])
    for k in range(1, p.shape[1]):
        whole = whole + times(as_k[k], p[:, k])
    return [whole]


# --- what passes through -----------------------------------------------------------------------------


def activation(criterion: Any, case: Case) -> list[Scores]:
    patients, layers = seen(case), range(len(case.weights))
    heard = [torch.stack([p.heard[layer].abs() for p in patients]) for layer in layers]
    inputs = torch.stack([p.heard[0] for p in patients])
    return [
        Scores(
            [case.weights[layer].abs() * heard[layer][:, None, :] for layer in layers],
            [heard[layer] * case.mask.units[layer - 1] for layer in layers[1:]],
            in_columns(case, (inputs - reference(case)).abs()),
        )
    ]


def lrp(criterion: Any, case: Case) -> list[Scores]:
    each = [
        messages_of(case, patient, int(k), criterion.epsilon)
        for patient, k in zip(seen(case), case.y, strict=True)
    ]
    layers = range(len(case.weights))
    arriving = [torch.stack([messages[layer].sum(dim=0) for messages in each]) for layer in layers]
    return [
        Scores(
            [torch.stack([messages[layer].abs() for messages in each]) for layer in layers],
            [arriving[layer].abs() * case.mask.units[layer - 1] for layer in layers[1:]],
            in_columns(case, arriving[0]).abs(),
        )
    ]


def messages_of(case: Case, patient: Forward, k: int, epsilon: float) -> list[Tensor]:
    """R_ij = a_j w_ij c_i (out, in) of every layer, c_i the relevance of unit i for each of its sum."""
    logits = patient.sums[-1]
    relevances = -logits / len(logits)
    relevances[k] += logits[k]
    c = relevances / logits
    messages: list[Tensor] = []
    for layer in reversed(range(len(case.weights))):
        messages.insert(0, c[:, None] * case.weights[layer] * patient.heard[layer])
        if layer:
            c = before(case, layer - 1, patient, case.weights[layer], c, epsilon)
    return messages


def before(case: Case, layer: int, patient: Forward, weight: Tensor, c: Tensor, epsilon: float) -> Tensor:
    """c of a hidden layer from that of the next, whose weights are ``weight``."""
    tail, keep, z = case.model.network.tails[layer], case.mask.units[layer], patient.sums[layer]
    act = ACTIVATIONS[tail.spec.activation]
    if not case.mask.layers[layer]:  # its sums are the next layer's inputs
        return (weight.T @ c) * keep
    if tail.spec.norm_first:
        v = tail.normalise(z[None], keep)[0]
        units = act(v) * (weight.T @ c) * keep  # the relevance of what each unit says
        return folded(tail, z, keep).T @ (units / (v + epsilon * sign(v)))
    h = act(z)
    units = h * (folded(tail, h, keep).T @ (weight.T @ c))  # the normalisation is part of the next sum
    return units / (z + epsilon * sign(z))


def sign(v: Tensor) -> Tensor:
    return torch.where(v < 0, -1.0, 1.0)


def folded(tail: Tail, h: Tensor, keep: Tensor) -> Tensor:
    """The normalisation of one patient as a matrix T: T h + t, the spread of LayerNorm a constant."""
    width = len(h)
    matrix, shift = torch.eye(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    norm = tail.norm
    if isinstance(norm, nn.BatchNorm1d):
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        matrix, shift = torch.diag(scale), norm.bias - scale * norm.running_mean
    elif isinstance(norm, nn.LayerNorm):
        present = h[keep] if keep.any() else torch.zeros(1, dtype=torch.float64)
        spread = (present.var(unbiased=False) + norm.eps).sqrt()
        centred = matrix - keep.double() / len(present)
        matrix, shift = norm.weight[:, None] / spread * centred, norm.bias
    torch.testing.assert_close((matrix @ h + shift)[keep], tail.normalise(h[None], keep)[0][keep])
    return matrix * keep  # what is removed has no say


# --- what looks at no patient --------------------------------------------------------------------------


def magnitude(criterion: Any, case: Case) -> list[Scores]:
    first = case.weights[0]
    features = in_columns(case, first.square().sum(dim=0)[None]).sqrt()
    units = [w.square().sum(dim=1).sqrt()[None] for w in case.weights[:-1]]
    return [Scores([w.abs()[None] for w in case.weights], units, features)]


def random(criterion: Any, case: Case) -> list[Scores]:
    """Uniform numbers in the order weights, units, features; what is removed scores 0."""
    drawn = torch.Generator().manual_seed(criterion.seed)
    weights = [torch.rand(w.shape, generator=drawn)[None] * a for w, a in alive(case)]
    units = [torch.rand(u.shape, generator=drawn)[None] * u for u in case.mask.units]
    features = torch.rand(len(case.model.features), generator=drawn)[None]
    used = in_columns(case, torch.ones(1, len(case.mask.inputs), dtype=torch.float64)) > 0
    return [Scores(weights, units, features * used)]


def alive(case: Case) -> list[tuple[Tensor, Tensor]]:
    return list(zip(case.model.network.weights(), case.mask.alive_weights(), strict=True))


REFERENCES: dict[str, Callable[[Any, Case], list[Scores]]] = {
    "activation": activation,
    "class_contribution": class_contribution,
    "contribution": contribution,
    "fisher": fisher,
    "lrp": lrp,
    "magnitude": magnitude,
    "random": random,
    "taylor": taylor,
}
