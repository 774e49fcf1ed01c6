"""How well each column tells the outcome by itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MANY = 5  # rows that a class needs on either side
FEW_VALUES = 50  # distinct numbers that are also looked at as categories


def separations(
    frame: pd.DataFrame, outcome: NDArray[np.int64], patients: NDArray[np.uint64], classes: int
) -> dict[str, float]:
    """By column, the largest AUROC of any score of it alone for one class against the rest.

    ``frame`` (N, columns) is typed, ``outcome`` (N,) holds class indices, ``patients`` (N,) hashes.
    """
    half = (patients & np.uint64(1)).astype(np.int64)  # rates come from the other half
    found = {}
    for name in frame.columns:
        scores = _scores_of(frame[name], outcome, half, classes)
        found[str(name)] = max(_separation(score, outcome, which) for score, which in scores)
    return found


def _scores_of(
    values: pd.Series, outcome: NDArray[np.int64], half: NDArray[np.int64], classes: int
) -> Iterator[tuple[NDArray[np.float64], tuple[int, ...]]]:
    """Every way to make a score (N,) of one column, and the classes it may tell from the rest."""
    everyone = tuple(range(classes))
    if values.dtype.kind == "f":
        x = values.to_numpy(np.float64)
        missing = np.isnan(x)
        yield np.where(missing, -np.inf, x), everyone
        if missing.any():
            yield np.where(missing, np.inf, x), everyone
    codes, distinct = pd.factorize(values, use_na_sentinel=False)
    if values.dtype.kind == "f" and len(distinct) > FEW_VALUES:
        return
    counts = np.zeros((2, len(distinct), classes))
    np.add.at(counts, (half, codes, outcome), 1)
    share = np.bincount(outcome, minlength=classes) / len(outcome)
    rates = (counts + share) / (counts.sum(axis=2, keepdims=True) + 1)
    for place in everyone:
        yield rates[1 - half, codes, place], (place,)


def _separation(score: NDArray[np.float64], outcome: NDArray[np.int64], classes: tuple[int, ...]) -> float:
    """The largest AUROC, in either direction, of a score (N,) for one of the classes against the rest."""
    ranks = pd.Series(score).rank().to_numpy()
    best = 0.0
    for place in classes:
        inside = outcome == place
        n = int(inside.sum())
        m = len(outcome) - n
        if min(n, m) >= MANY:
            area = float(ranks[inside].sum() - n * (n + 1) / 2) / (n * m)
            best = max(best, area, 1 - area)
    return best
