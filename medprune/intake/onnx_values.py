"""What flows through an ONNX graph that is a perceptron, told without running it.

Before the first layer there are :class:`Columns` of the table; from then on :class:`Units`, sums over what
a layer said (its basis), bent by an activation (:class:`Bent`) or normalised (:class:`Normed`), and at the
end :class:`Risks`. Constants are plain arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medprune.intake.traced import MOST_CELLS, MOST_COLUMNS, Traced

Numbers: TypeAlias = NDArray[np.float64]


class Unreadable(Exception):  # noqa: N818 - caught and told as a sentence
    """Why a graph is not one that can be read; the rest of a sentence."""


@dataclass(frozen=True, eq=False)
class Columns:
    """Columns of the table, side by side."""

    traced: tuple[Traced, ...]

    @cached_property
    def units(self) -> Units:
        return Units(self, np.ones(len(self.traced)), np.zeros(len(self.traced)))


@dataclass(frozen=True, eq=False)
class Codes:
    """One text column as whole numbers."""

    source: int
    known: Mapping[str, int]
    unseen: int


@dataclass(frozen=True, eq=False)
class Hidden:
    """What a hidden layer says: its sums, normalised (weight, bias, eps) and bent in either order."""

    sums: Units
    activation: str
    norm: tuple[Numbers, Numbers, float] | None = None
    norm_first: bool = True


Basis: TypeAlias = "Columns | Hidden"


@dataclass(frozen=True, eq=False)
class Units:
    """``weight @ basis + bias``; a weight of one dimension is a diagonal."""

    basis: Basis
    weight: Numbers  # (out, in) or (out,)
    bias: Numbers  # (out,)

    @property
    def width(self) -> int:
        return len(self.bias)

    @property
    def same(self) -> bool:
        """Whether these are the values of the basis themselves."""
        return self.weight.ndim == 1 and np.allclose(self.weight, 1) and not self.bias.any()

    @property
    def full(self) -> Numbers:
        """The weight (out, in)."""
        if self.weight.ndim == 1 and self.width**2 > MOST_CELLS:
            raise Unreadable("its layers are wider than any network here")
        return np.diag(self.weight) if self.weight.ndim == 1 else self.weight

    def times(self, matrix: Numbers) -> Units:
        """``units @ matrix``, of (in, out)."""
        if matrix.ndim != 2 or matrix.shape[0] != self.width:  # noqa: PLR2004 - a matrix
            raise Unreadable("its layers do not fit each other")
        inner = self.weight.shape[-1]
        if max(matrix.shape[1], inner) > MOST_COLUMNS or matrix.shape[1] * inner > MOST_CELLS:
            raise Unreadable("its layers are wider than any network here")
        weight = matrix.T * self.weight if self.weight.ndim == 1 else matrix.T @ self.weight
        return Units(self.basis, weight, self.bias @ matrix)

    def scaled(self, by: Numbers, plus: Numbers) -> Units:
        """Every unit times ``by`` plus ``plus``, each () or (width,)."""
        rows = by if self.weight.ndim == 1 or by.ndim == 0 else by[:, None]
        return Units(self.basis, self.weight * rows, self.bias * by + plus)

    def ratio(self, other: Units) -> float | None:
        """The number that ``other`` must be multiplied by to be these units; None when there is none."""
        if self.basis is not other.basis or self.weight.shape != other.weight.shape:
            return None
        mine, others = (np.append(units.weight, units.bias) for units in (self, other))
        place = int(np.abs(others).argmax())
        if others[place] == 0:
            return None
        by = float(mine[place] / others[place])
        return by if np.allclose(mine, by * others, rtol=1e-6, atol=1e-12) else None


@dataclass(frozen=True, eq=False)
class Bent:
    """``scale * activation(sums) + shift``; also of "erf", which is a part of GELU."""

    sums: Units
    activation: str
    scale: float = 1.0
    shift: float = 0.0

    @property
    def plain(self) -> bool:
        return (self.scale, self.shift) == (1.0, 0.0)

    @cached_property
    def units(self) -> Units:
        """A hidden layer of its own; one with the LayerNorm before it, where there is one."""
        if self.activation == "erf":
            raise Unreadable("its operators are not in the order of a perceptron")
        hidden = Hidden(self.sums, self.activation)
        before = self.sums.basis
        if isinstance(before, Hidden) and before.norm and before.activation == "identity" and self.sums.same:
            hidden = Hidden(before.sums, self.activation, before.norm)
        ones = np.ones(self.sums.width)
        return Units(hidden, ones * self.scale, ones * self.shift)


@dataclass(frozen=True, eq=False)
class Normed:
    """Sums after a LayerNorm, bent before it or not."""

    sums: Units
    activation: str | None
    norm: tuple[Numbers, Numbers, float]

    @cached_property
    def units(self) -> Units:
        first = self.activation is None
        hidden = Hidden(self.sums, self.activation or "identity", self.norm, norm_first=first)
        return Units(hidden, np.ones(self.sums.width), np.zeros(self.sums.width))


@dataclass(frozen=True, eq=False)
class Risks:
    """The end: risks that sum to one, from logits."""

    logits: Units
    classes: tuple[str, ...] = ()


Value: TypeAlias = "Columns | Codes | Units | Bent | Normed | Risks | NDArray[Any]"


def units_of(value: Value) -> Units:
    """The value as sums over a basis. Raises Unreadable."""
    if isinstance(value, Units):
        return value
    if isinstance(value, Columns | Bent | Normed):
        return value.units
    raise Unreadable("its operators are not in the order of a perceptron")


def with_scale(value: Bent, by: float, plus: float) -> Bent:
    return replace(value, scale=value.scale * by, shift=value.shift * by + plus)
