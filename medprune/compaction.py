"""From a masked network to a small one that computes the same: tidy the mask, fold, slice.

The law: ``compact(model)`` and ``model`` give the same risks to 1e-5, on every mask and every export.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from medprune.mask import Mask
from medprune.model import RiskModel
from medprune.network import Network, NetworkSpec, Tail, frozen


def tidy(mask: Mask, network: Network) -> Mask:
    """The same mask with everything that can no longer matter removed too.

    A unit that nothing listens to goes. A unit that hears nothing is a constant: it goes, and its
    constant stays with the mask. Under LayerNorm no unit is constant, and removal means that the
    unit has no say in its layer's mean and spread.
    """
    heard = _heard(mask)
    units: list[Tensor] = []
    constants: list[Tensor] = []
    inputs = mask.inputs & heard[0]
    sources, source_constants = inputs, mask.input_constants
    for layer, tail in enumerate(network.tails):
        weights = mask.weights[layer]
        kept = mask.units[layer] & heard[layer + 1]
        hears = (weights & sources[None, :]).any(dim=1)
        constant = mask.unit_constants[layer]
        alone = mask.units[layer] & ~hears
        if bool(alone.any()) and not (tail.mixes_units and mask.layers[layer]):
            still = _output_without_sources(
                network, layer, weights, sources, source_constants, kept_layer=bool(mask.layers[layer])
            )
            constant = torch.where(alone, still, constant)
            kept = kept & hears
        units.append(kept)
        constants.append(constant)
        sources, source_constants = kept, constant
    return replace(mask, inputs=inputs, units=tuple(units), unit_constants=tuple(constants))


def _heard(mask: Mask) -> list[Tensor]:
    """For the input columns and each hidden layer: is there a kept way on to a logit?"""
    heard: list[Tensor] = []
    targets = torch.ones(mask.weights[-1].shape[0], dtype=torch.bool)
    for layer in reversed(range(len(mask.weights))):
        targets = (mask.weights[layer] & targets[:, None]).any(dim=0) & mask.sources(layer)
        heard.insert(0, targets)
    return heard


@torch.no_grad()
def _output_without_sources(
    network: Network, layer: int, weights: Tensor, sources: Tensor, constants: Tensor, *, kept_layer: bool
) -> Tensor:
    """What each unit of ``layer`` says when all of its sources are constants or cut off."""
    linear = network.layers[layer]
    removed = torch.where(sources, torch.zeros_like(constants), constants)
    z = linear.bias + (linear.weight * weights) @ removed
    result: Tensor = network.tails[layer](z[None, :])[0] if kept_layer else z
    return result


def compacted_widths(mask: Mask) -> tuple[int, ...]:
    """Widths from inputs to logits after compaction of a tidy mask."""
    hidden = (int(units.sum()) for units in mask.units)
    return (int(mask.inputs.sum()), *hidden, mask.weights[-1].shape[0])


@torch.no_grad()
def compact_network(network: Network, mask: Mask) -> Network:
    """The network of the kept inputs, units and layers; constants of the removed go into the next bias."""
    mask = tidy(mask, network)
    tails = tuple(
        replace(tail.spec, width=int(units.sum()))
        for tail, units in zip(network.tails, mask.units, strict=True)
    )
    small = Network(NetworkSpec(int(mask.inputs.sum()), tails, network.spec.outputs))
    for layer, (old, new) in enumerate(zip(network.layers, small.layers, strict=True)):
        weight = old.weight * mask.weights[layer]
        sources, targets = mask.sources(layer), mask.targets(layer)
        folded = old.bias + weight[:, ~sources] @ mask.source_constants(layer)[~sources]
        new.weight.copy_(weight[targets][:, sources])
        new.bias.copy_(folded[targets])
    for old_tail, new_tail, units in zip(network.tails, small.tails, mask.units, strict=True):
        _slice_norm(old_tail, new_tail, units)
    return frozen(_without_layers(small, mask.layers))


def _without_layers(network: Network, kept: Tensor) -> Network:
    """The network with every removed layer multiplied into the next one."""
    if bool(kept.all()):
        return network
    linears: list[tuple[Tensor, Tensor]] = []
    product: tuple[Tensor, Tensor] | None = None
    for place, linear in enumerate(network.layers):
        weight: Tensor = linear.weight
        bias: Tensor = linear.bias
        if product is not None:
            weight, bias = weight @ product[0], weight @ product[1] + bias
        last = place == len(network.tails)
        product = None if last or kept[place] else (weight, bias)
        if product is None:
            linears.append((weight, bias))
    tails = [tail for tail, stays in zip(network.tails, kept, strict=True) if stays]
    spec = replace(network.spec, tails=tuple(tail.spec for tail in tails))
    shorter = Network(spec)
    for new, (product_weight, product_bias) in zip(shorter.layers, linears, strict=True):
        new.weight.copy_(product_weight)
        new.bias.copy_(product_bias)
    for new_tail, old_tail in zip(shorter.tails, tails, strict=True):
        new_tail.load_state_dict(old_tail.state_dict())
    return shorter


def _slice_norm(old: Tail, new: Tail, units: Tensor) -> None:
    if not isinstance(old.norm, nn.BatchNorm1d | nn.LayerNorm) or new.norm is None:
        return
    sliced = {
        name: value[units] if value.dim() == 1 else value for name, value in old.norm.state_dict().items()
    }
    new.norm.load_state_dict(sliced)


def compact(model: RiskModel) -> RiskModel:
    """The small model: dead features, columns and units are gone, and no mask is left."""
    if model.mask is None:
        return model
    mask = tidy(model.mask, model.network)
    network = compact_network(model.network, mask)
    columns = torch.nonzero(mask.inputs).flatten().tolist()
    return replace(model, preparation=model.preparation.keep(columns), network=network, mask=None)
