"""Which candidates are worth a look: those that no other matches in both size and performance, or beats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def front(metrics: Sequence[float], sizes: Sequence[float]) -> list[int]:
    """Places of the non-dominated points, in the order given.

    A larger metric and a smaller size are better; of equal points the first stands for all; one
    without a metric (NaN) is never worth a look.

    >>> front([0.9, 0.8, 0.7, 0.8], [10, 5, 6, 5])
    [0, 1]
    """
    metric, size = np.asarray(metrics, dtype=float), np.asarray(sizes, dtype=float)
    # Smallest first, the better of equally small, then the earlier: each must beat all before it.
    order = np.lexsort((np.arange(len(metric)), -metric, size))
    found, best = [], -np.inf
    for place in order.tolist():
        if metric[place] > best:
            found.append(place)
            best = metric[place]
    return sorted(found)
