"""For every layer kind a few tiny networks that use it, with patients to run them on, and random masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from medprune.kinds import KINDS, Arrays, KindMask, KindNetwork, KindSpec, LayerKind, initial, tidy
from tests.kinds import simulate


@dataclass(frozen=True)
class Example:
    """Layers before the logits, and the patients that they are for."""

    data: Callable[..., Arrays]
    layers: tuple[LayerKind, ...]

    @property
    def spec(self) -> KindSpec:
        inputs = self.data(patients=4).inputs
        shape = "sequence" if inputs.ndim == 3 else "columns"
        return KindSpec(
            shape, inputs.shape[-1], (*self.layers, layer("linear", width=2, activation="identity"))
        )

    def network(self, seed: int = 0) -> KindNetwork:
        return random_network(self.spec, seed)

    def patients(self, first: int, last: int) -> Arrays:
        return simulate.part(self.data(patients=last), first, last)


def layer(kind: str, **settings: Any) -> LayerKind:
    return KINDS.make(kind, **settings)


def _example(data: Callable[..., Arrays], *layers: LayerKind) -> Example:
    return Example(data, layers)


EXAMPLES = {
    "linear": _example(simulate.numbers, layer("linear", width=6), layer("linear", width=4)),
    "linear batch norm": _example(
        simulate.numbers,
        layer("linear", width=6, norm="batch", activation="tanh"),
        layer("linear", width=5, norm="layer", activation="gelu"),
    ),
    "residual": _example(
        simulate.numbers,
        layer("linear", width=6, activation="identity"),
        layer("residual", inner=4),
        layer("residual", inner=5, norm="batch"),
        layer("residual", inner=3, norm="layer", activation="silu"),
    ),
    "conv1d": _example(
        simulate.vital_signs,
        layer("conv1d", channels=5, kernel=4, norm="batch"),
        layer("conv1d", channels=4, kernel=3, stride=2, padding="none"),
        layer("pool", how="mean"),
    ),
    "conv1d residual": _example(
        simulate.ecg,
        layer("conv1d", channels=5, kernel=5, norm="layer"),
        layer("residual", inner=4, norm="layer"),
        layer("pool", how="max"),
    ),
    "gru": _example(simulate.vital_signs, layer("gru", width=5), layer("pool", how="last")),
    "gru behind conv1d": _example(
        partial(simulate.ecg, time=24),
        layer("conv1d", channels=4, kernel=3, stride=2),
        layer("gru", width=4),
        layer("linear", width=3),
        layer("pool", how="mean"),
    ),
    "embeddings": _example(
        simulate.table,
        layer("embeddings", categories=(4, 3)),
        layer("linear", width=6),
        layer("residual", inner=4),
    ),
    "transformer": _example(
        simulate.table,
        layer("tokenizer", width=6, categories=(4, 3)),
        layer("attention", heads=2, head_width=3),
        layer("residual", inner=5, norm="layer"),
        layer("attention", heads=3, head_width=2),
        layer("readout"),
    ),
    "transformer of numbers": _example(
        simulate.numbers,
        layer("tokenizer", width=4),
        layer("attention", heads=2, head_width=2),
        layer("readout", activation="gelu"),
    ),
    "pool last": _example(simulate.ecg, layer("linear", width=4), layer("pool", how="last")),
}


def random_network(spec: KindSpec, seed: int = 0) -> KindNetwork:
    """Random weights, biases, and normalisation statistics that matter."""
    network = initial(spec, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if not value.is_floating_point():
                continue
            if "norm." in name:
                value.normal_(1.0, 0.3, generator=generator)
                if name.endswith("running_var"):
                    value.abs_().add_(0.1)
            elif name.endswith("bias"):
                value.normal_(0.0, 0.5, generator=generator)
    return network.eval()


def random_mask(network: KindNetwork, seed: int, keep: float = 0.6) -> KindMask:
    """Weights and groups removed at random, each set keeping one, with constants that matter.

    Drawn again where nothing would be left: an embedding's only units those of removed inputs.
    """
    mask = _drawn(network, seed, keep)
    again = tidy(network, mask)
    emptied = any(not kept.any() for kept in again.groups.values())
    return random_mask(network, seed + 1000, keep) if emptied else mask


def _drawn(network: KindNetwork, seed: int, keep: float) -> KindMask:
    generator = torch.Generator().manual_seed(seed)

    def some(like: torch.Tensor) -> torch.Tensor:
        kept = torch.rand(like.shape, generator=generator) < keep
        if not kept.any():
            kept.view(-1)[int(torch.randint(kept.numel(), (1,), generator=generator))] = True
        return kept

    full = network.full_mask()
    return replace(
        full,
        weights={name: some(kept) for name, kept in full.weights.items()},
        groups={
            name: kept if name == network.stream.groups else some(kept) for name, kept in full.groups.items()
        },
        constants={
            name: torch.randn(constants.shape, generator=generator)
            for name, constants in full.constants.items()
        },
    )
