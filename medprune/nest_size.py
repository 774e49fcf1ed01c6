"""How big every cut of a nest is, counted as :mod:`medprune.size` counts, without building the models.

Parameters and numbers stored follow from the lasts. The bytes of model.onnx do too: two networks of one
preparation differ in nothing but the shapes of their tensors, so one file of the same columns is written
around the narrowest network there is, and the rest is added as the format has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from medprune.model import RiskModel
from medprune.nest import Nest, Whole
from medprune.network import Network, NetworkSpec
from medprune.onnx_graph import onnx_model
from medprune.removal import mask_of

Counts = NDArray[np.int64]


def there(nest: Nest, lasts: Whole) -> Counts:
    """How many of these (any shape) are still there at each step (steps,)."""
    ending = np.bincount(lasts.ravel(), minlength=nest.steps + 1)
    counts: Counts = lasts.size - np.cumsum(ending)[:-1]
    return counts


class NestSizes:
    """The sizes of the cuts of a nest that keeps all hidden layers, by the names in ``size.SIZES``."""

    def __init__(self, nest: Nest) -> None:
        assert bool(mask_of(nest.model).layers.all())
        self.nest = nest
        self.widths = np.stack([there(nest, lasts) for lasts in nest.living], axis=1)
        self.features = there(nest, nest.features)
        self.norms = np.zeros((2, nest.steps), dtype=np.int64)  # those that are not zero, and all
        for lasts, tail in zip(nest.living[1:], nest.model.network.tails, strict=False):
            for values in tail.parameters():
                self.norms[0] += there(nest, lasts[values.numpy() != 0])
                self.norms[1] += there(nest, lasts)
        self.weights = np.zeros(nest.steps, dtype=np.int64)  # that are not zero
        for lasts, weight in zip(nest.alive, nest.model.network.weights(), strict=True):
            self.weights += there(nest, lasts[weight.numpy() != 0])
        self._files: dict[bytes, _FileSize] = {}
        self._narrow = _narrow(nest.model)

    def at(self, steps: NDArray[np.intp], biases: Counts) -> dict[str, Counts]:
        """Sizes (S,) at these steps, of whose biases in the compacted network so many (S,) are not zero."""
        widths = self.widths[steps]
        products = (widths[:, :-1] * widths[:, 1:]).sum(axis=1)
        return {
            "parameters": self.weights[steps] + biases + self.norms[0, steps],
            "stored": products + widths[:, 1:].sum(axis=1) + self.norms[1, steps],
            "features": self.features[steps],
            "bytes": np.array([self._bytes(step) for step in steps.tolist()]),
        }

    def _bytes(self, step: int) -> int:
        columns = self.nest.living[0] > step
        key = columns.tobytes()
        if key not in self._files:
            preparation = self.nest.model.preparation.keep(np.flatnonzero(columns).tolist())
            self._files[key] = _FileSize(replace(self._narrow, preparation=preparation))
        return self._files[key].of(self.widths[step].tolist())


def _narrow(model: RiskModel) -> RiskModel:
    """The model with two inputs and two units a layer: not to be run, but a file of it has all operators."""
    spec = model.network.spec
    tails = tuple(replace(tail, width=2) for tail in spec.tails)
    return replace(
        model, network=Network(NetworkSpec(2, tails, spec.outputs)).eval().requires_grad_(False), mask=None
    )


class _FileSize:
    """The size of model.onnx for any widths of its layers, the columns being those of ``narrow``."""

    def __init__(self, narrow: RiskModel) -> None:
        self.normalised = [tail.norm != "none" for tail in narrow.network.spec.tails]
        proto = onnx_model(narrow)
        # Preparation and recalibration are in double; a single number belongs to an activation.
        ours = [
            t for t in proto.graph.initializer if t.data_type == TensorProto.FLOAT and list(t.dims) != [1]
        ]
        self.names = [len(tensor.name) for tensor in ours]
        graph = proto.graph.ByteSize()
        self.around = proto.ByteSize() - _framed(graph)
        self.rest = graph - self._tensors(narrow.network.spec.widths)

    def of(self, widths: Sequence[int]) -> int:
        return int(self.around) + _framed(self.rest + self._tensors(widths))

    def _tensors(self, widths: Sequence[int]) -> int:
        shapes = _shapes(widths, self.normalised)
        return sum(_framed(_tensor(name, shape)) for name, shape in zip(self.names, shapes, strict=True))


def _shapes(widths: Sequence[int], normalised: Sequence[bool]) -> Iterator[tuple[int, ...]]:
    """Of the tensors of a network, in the order of the file."""
    for (before, after), norm in zip(pairwise(widths), (*normalised, False), strict=True):
        yield (after, before)
        yield (after,)
        if norm:
            yield from ((after,), (after,))


@lru_cache(maxsize=4_096)
def _tensor(name: int, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor of floats: its dimensions, type, name (so many characters) and raw numbers."""
    dims = sum(1 + _varint(dim) for dim in shape)
    return dims + 2 + _framed(name) + _framed(4 * prod(shape))


def _framed(length: int) -> int:
    """Bytes of a field of so many bytes: a tag, its length, and itself (the encoding of protocol buffers)."""
    return 1 + _varint(length) + length


def _varint(value: int) -> int:
    """Bytes of a whole number, seven bits in each."""
    return max(1, -(-value.bit_length() // 7))
