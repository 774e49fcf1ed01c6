"""The pruned network, drawn whole where it is small enough, and told layer by layer where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from medprune.compaction import compact
from medprune.model import RiskModel
from medprune.performance import BINARY
from medprune.report import svg

Floats = NDArray[np.float64]

WIDEST = 30  # inputs or units in a layer
MOST_WEIGHTS = 150
STEP = 22.0  # between two units
GAP = 190.0  # between two layers
LONGEST = 26  # letters of an input's name


@dataclass(frozen=True)
class LayerSummary:
    """One layer of the network that is left: what goes in and comes out, and its weights."""

    title: str
    inputs: int
    units: int
    weights: int
    possible: int
    then: str  # what follows: activation, normalisation


def summary(model: RiskModel) -> tuple[LayerSummary, ...]:
    """Every layer of the smaller network, in order."""
    network = compact(model).network
    told = [_then(tail.spec.activation, tail.spec.norm) for tail in network.tails]
    return tuple(
        LayerSummary(
            title,
            layer.in_features,
            layer.out_features,
            int((layer.weight != 0).sum()),
            layer.weight.numel(),
            then,
        )
        for title, layer, then in zip(
            network.layer_names(), network.layers, [*told, "softmax to risks"], strict=True
        )
    )


def _then(activation: str, norm: str) -> str:
    return activation if norm == "none" else f"{activation}, {norm} normalisation"


def is_small(model: RiskModel) -> bool:
    """Whether a person can follow every line of the drawing."""
    layers = summary(model)
    widest = max(max(layer.inputs, layer.units) for layer in layers)
    return widest <= WIDEST and sum(layer.weights for layer in layers) <= MOST_WEIGHTS


def network_svg(model: RiskModel, name: str = "network") -> Markup | None:
    """The whole network that is left, None where it is too large to be drawn.

    Width of a line: the weight's size beside the largest of its layer. A full line raises what it leads to,
    a dashed one lowers it. Two outputs are drawn as one, their difference: the risk depends on no more.
    """
    if not is_small(model):
        return None
    small = compact(model)
    weights = [layer.weight.detach().double().numpy() for layer in small.network.layers]
    outputs = list(small.classes)
    if len(outputs) == BINARY:
        weights[-1], outputs = weights[-1][1:] - weights[-1][:1], [f"{small.outcome} = {small.classes[1]}"]
    names = [column.name or column.feature for column in small.preparation.columns]
    widths = [len(names), *(weight.shape[0] for weight in weights)]
    height = max(widths) * STEP + 60
    places = _places(widths, height)
    said = (
        f"{len(names)} inputs: {', '.join(names)}. "
        f"{', '.join(f'{layer.title} with {layer.weights} weights' for layer in summary(model))}."
    )
    body = [*_lines(weights, places), *_units(places), *_names(names, outputs, places, widths)]
    size = (places[-1][0][0] + 150.0, height)
    return svg.picture(name, "The network that is left", said, size, body)


def _places(widths: Sequence[int], height: float) -> list[list[svg.Point]]:
    """Where each unit of each layer stands; every layer is centred."""
    tall = height - 60
    return [
        [(210.0 + GAP * layer, 40 + (tall - width * STEP) / 2 + STEP * (unit + 0.5)) for unit in range(width)]
        for layer, width in enumerate(widths)
    ]


def _lines(weights: Sequence[Floats], places: Sequence[Sequence[svg.Point]]) -> Iterable[str]:
    for layer, weight in enumerate(weights):
        largest = float(np.abs(weight).max()) or 1.0
        for unit, source in np.argwhere(weight != 0):
            (x1, y1), (x2, y2) = places[layer][source], places[layer + 1][unit]
            value = float(weight[unit, source])
            kind = "raises" if value > 0 else "lowers"
            width = 0.6 + 4.4 * abs(value) / largest
            drawn = svg.line(x1, y1, x2, y2, f"weight {kind}")
            yield drawn.replace("/>", f' stroke-width="{width:.2f}"/>')


def _units(places: Sequence[Sequence[svg.Point]]) -> Iterable[str]:
    for layer in places:
        for x, y in layer:
            yield svg.circle(x, y, 5, "unit")


def _names(
    names: Sequence[str], outputs: Sequence[str], places: Sequence[Sequence[svg.Point]], widths: Sequence[int]
) -> Iterable[str]:
    for title, (x, y) in zip(names, places[0], strict=True):
        yield svg.words(x - 12, y + 4, _fitting(title), "key", "end")
    for title, (x, y) in zip(outputs, places[-1], strict=True):
        yield svg.words(x + 12, y + 4, _fitting(title), "key")
    titles = ["inputs", *(f"hidden {n}" for n in range(1, len(widths) - 1)), "output"]
    for title, layer in zip(titles, places, strict=True):
        yield svg.words(layer[0][0], 18, title, "axis-name", "middle")


def _fitting(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
