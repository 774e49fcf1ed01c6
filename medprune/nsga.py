"""NSGA-II: who survives a generation, and who its children are. Plain arrays, no models.

Deb, Pratap, Agarwal and Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II",
IEEE Transactions on Evolutionary Computation 6 (2002). ``costs`` are (N, objectives), smaller is
better; genomes are rows of booleans (N, genes).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Costs = NDArray[np.float64]
Genomes = NDArray[np.bool_]
Places = NDArray[np.int64]

CROSSOVER = 0.9  # the share of children with two parents: the paper's value
FLIPS = 0.5  # expected, of kept genes and of the others: one a child, the paper's value


def ranks(costs: Costs) -> Places:
    """The front each point (N,) lies on: 0 is dominated by nothing, 1 by points of front 0 alone, and so on.

    >>> ranks(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [3.0, 3.0]])).tolist()
    [0, 0, 1, 2]
    """
    no_worse = (costs[:, None] <= costs[None]).all(axis=-1)
    dominates = no_worse & ~no_worse.T
    rank = np.full(len(costs), -1, dtype=np.int64)
    front = 0
    while (rank < 0).any():
        left = rank < 0
        rank[left & ~(dominates & left[:, None]).any(axis=0)] = front
        front += 1
    return rank


def crowding(costs: Costs) -> NDArray[np.float64]:
    """The room around each point (N,) of one front; the ends of the front have all the room there is.

    >>> crowding(np.array([[0.0, 4.0], [1.0, 1.0], [4.0, 0.0]])).tolist()
    [inf, 2.0, inf]
    """
    room = np.zeros(len(costs))
    for column in costs.T:
        order = np.argsort(column, kind="stable")
        ranked = column[order]
        width = ranked[-1] - ranked[0]
        room[order[[0, -1]]] = np.inf
        if width > 0:
            room[order[1:-1]] += (ranked[2:] - ranked[:-2]) / width
    return room


def fitness_order(costs: Costs) -> Places:
    """Places from the fittest to the least fit: by front, then by room, then as they came."""
    rank = ranks(costs)
    room = np.empty(len(costs))
    for front in np.unique(rank):
        room[rank == front] = crowding(costs[rank == front])
    return np.lexsort((-room, rank)).astype(np.int64)


def survivors(costs: Costs, most: int) -> Places:
    """Places of the fittest, the fittest first."""
    return fitness_order(costs)[:most]


def children(parents: Genomes, rng: np.random.Generator) -> Genomes:
    """As many children as parents, who come the fittest first.

    Both parents win a binary tournament; genes are taken from either (uniform crossover). Then on
    average ``FLIPS`` of the kept genes flip and as many of the others: with one rate for both, a genome
    that keeps 2 genes of 50 would gain one in every child and hardly ever lose or swap one.
    """
    count, genes = parents.shape
    first, second = (rng.integers(count, size=(2, count)).min(axis=0) for _ in range(2))
    from_first = (rng.random((count, genes)) < 0.5) | (rng.random((count, 1)) >= CROSSOVER)  # noqa: PLR2004
    mixed = np.where(from_first, parents[first], parents[second])
    kept = mixed.sum(axis=1, keepdims=True)
    alike = np.where(
        mixed, kept, genes - kept
    )  # how many genes of the child are kept, or not, as this one is
    flipped: Genomes = mixed ^ (rng.random((count, genes)) < FLIPS / alike)
    return flipped
