"""Recipes: networks of kinds, before the patients have said how many inputs and classes there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from medprune.kinds.base import COLUMNS, SEQUENCE, LayerKind
from medprune.kinds.layers.attention import Attention
from medprune.kinds.layers.conv1d import Conv1d
from medprune.kinds.layers.gru import Gru
from medprune.kinds.layers.linear import Linear
from medprune.kinds.layers.pool import Pool
from medprune.kinds.layers.readout import Readout
from medprune.kinds.layers.residual import Residual
from medprune.kinds.layers.tokenizer import Tokenizer
from medprune.kinds.network import KindSpec


class Recipe(Protocol):
    """What :class:`medprune.network.MLP` is for the plain network."""

    def kind_spec(self, inputs: int, outputs: int) -> KindSpec:
        """The network for so many input columns or channels and so many classes."""


def _spec(shape: str, inputs: int, outputs: int, layers: list[LayerKind]) -> KindSpec:
    return KindSpec(shape, inputs, (*layers, Linear(width=outputs, activation="identity")))


@dataclass(frozen=True)
class ResidualMLP:
    """The ResNet for tables of Gorishniy et al. (2021).

    >>> [layer.name for layer in ResidualMLP(blocks=1).kind_spec(inputs=9, outputs=2).layers]
    ['linear', 'residual', 'linear']
    """

    width: int = 64
    blocks: int = 2
    inner: int = 64
    norm: str = "layer"
    dropout: float = 0.1

    def kind_spec(self, inputs: int, outputs: int) -> KindSpec:
        block = Residual(inner=self.inner, norm=self.norm, dropout=self.dropout)
        layers: list[LayerKind] = [Linear(width=self.width, activation="identity"), *[block] * self.blocks]
        return _spec(COLUMNS, inputs, outputs, layers)


@dataclass(frozen=True)
class FTTransformer:
    """The FT-Transformer of Gorishniy et al. (2021), with one activation where the paper has two gated parts.

    ``categories``: how many each of the last input columns has, when these are codes.
    """

    width: int = 32
    blocks: int = 2
    heads: int = 4
    dropout: float = 0.1
    categories: tuple[int, ...] = ()

    def kind_spec(self, inputs: int, outputs: int) -> KindSpec:
        head = max(1, self.width // self.heads)
        block: list[LayerKind] = [
            Attention(heads=self.heads, head_width=head, dropout=self.dropout),
            Residual(inner=2 * self.width, norm="layer", dropout=self.dropout),
        ]
        tokens = Tokenizer(width=self.width, categories=self.categories)
        return _spec(COLUMNS, inputs, outputs, [tokens, *block * self.blocks, Readout()])


@dataclass(frozen=True)
class ConvNet:
    """Convolutions over time, the mean of each channel, and a product: for vital signs and ECG."""

    channels: tuple[int, ...] = (16, 16)
    kernel: int = 5
    norm: str = "batch"

    def kind_spec(self, inputs: int, outputs: int) -> KindSpec:
        layers: list[LayerKind] = [
            Conv1d(channels=width, kernel=self.kernel, norm=self.norm) for width in self.channels
        ]
        return _spec(SEQUENCE, inputs, outputs, [*layers, Pool("mean")])


@dataclass(frozen=True)
class GruNet:
    """A GRU whose last state is read out."""

    width: int = 16

    def kind_spec(self, inputs: int, outputs: int) -> KindSpec:
        return _spec(SEQUENCE, inputs, outputs, [Gru(self.width), Pool("last")])
