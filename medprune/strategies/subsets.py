"""Subsets of groups: what a search chooses among, and what a subset's model is worth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from medprune.candidate import Problem
from medprune.errors import BadInput, nearest
from medprune.model import RiskModel
from medprune.performance import performance
from medprune.ranking import Kept
from medprune.removal import alive_groups, keep_groups, mean_activations

TOGETHER = 128  # models trained between two signs of life
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of a model that a subset may keep or leave; the others of that granularity stay.

    ``free`` are places in ``alive``, all parts in a row.
    """

    model: RiskModel
    granularity: str
    alive: Kept
    free: NDArray[np.intp]
    means: list[Tensor]

    @classmethod
    def of(cls, problem: Problem, among: Iterable[str] | None = None) -> Groups:
        """All that are still alive, or the features ``among`` them; BadInput for an unknown feature."""
        alive = alive_groups(problem.model, problem.granularity)
        free = np.flatnonzero(np.concatenate([part.ravel() for part in alive]))
        if among is not None:
            free = np.intersect1d(free, _places(problem, among))
        neurons = problem.granularity == "neuron"
        means = mean_activations(problem.model, problem.train.columns) if neurons else []
        return cls(problem.model, problem.granularity, alive, free, means)

    @property
    def staying(self) -> int:
        """How many groups no subset can leave out."""
        return sum(int(part.sum()) for part in self.alive) - len(self.free)

    def kept(self, chosen: NDArray[np.bool_]) -> Kept:
        """What is kept with only these of the free groups (free,), in the shape of ``alive``."""
        flat = np.concatenate([part.ravel() for part in self.alive])
        flat[self.free] = chosen
        parts = np.split(flat, np.cumsum([part.size for part in self.alive])[:-1])
        return tuple(part.reshape(alive.shape) for part, alive in zip(parts, self.alive, strict=True))

    def keep(self, chosen: NDArray[np.bool_]) -> RiskModel | None:
        """The model with only these of the free groups, not retrained; None when nothing is left."""
        return keep_groups(self.model, self.granularity, self.kept(chosen), self.means)

    def left(self, model: RiskModel) -> int:
        """How many groups a model still has: fewer than were kept, when some of them led nowhere."""
        return sum(int(part.sum()) for part in alive_groups(model, self.granularity))


def _places(problem: Problem, among: Iterable[str]) -> list[int]:
    features = problem.model.features
    if problem.granularity != "feature":
        raise BadInput(f"Only features can be named to choose among, not {problem.granularity}s.")
    for name in (names := tuple(among)):
        if name not in features:
            raise BadInput(f"There is no feature {name!r} to choose among{nearest(name, features)}.")
    return [features.index(name) for name in names]


def worth(problem: Problem, model: RiskModel, metric: str) -> float:
    """The metric on tuning, turned so that larger is better; nothing is worse than one that is unknown.

    Of the network as it is: what becomes a candidate is recalibrated, what is only tried is not.
    """
    risks = model.risks_of(problem.tuning.columns)
    value = performance(problem.tuning.outcome, risks, model.act_at, problem.tuning.weight)[metric]
    return -np.inf if np.isnan(value) else -value if metric == "brier" else value


def in_parts(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items, ``size`` at a time.

    >>> list(in_parts("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    rest = iter(items)
    while part := list(islice(rest, size)):
        yield part
