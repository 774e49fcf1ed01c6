"""Some patients for all: a sample stratified by outcome, in which rare classes are drawn more densely.

A first answer on a big table comes from a sample. The interval of AUROC hangs on the smaller class, so that
every class gets an even part of half the sample first, or all its patients when it has fewer; the rest is
dealt in proportion. Whatever depends on how common a class is must then be weighted back.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medprune.cohort import Split, refuse_weights
from medprune.errors import BadInput
from medprune.model import RiskModel
from medprune.ranked import Sampled
from medprune.training import Prepared


def stratified(outcome: NDArray[np.int64], classes: int, count: int, seed: int) -> NDArray[np.intp]:
    """Rows of ``count`` patients (about: classes are dealt whole patients) in ascending order."""
    sizes = np.bincount(outcome, minlength=classes)
    first = np.minimum(sizes, count // (2 * classes))
    left = sizes - first
    more = (count - first.sum()) / max(1, left.sum()) * left
    shares = np.minimum(sizes, first + np.diff(np.rint(np.cumsum(more)), prepend=0).astype(np.int64))
    rng = np.random.default_rng(seed)
    rows = [
        rng.choice(np.flatnonzero(outcome == k), size=share, replace=False) for k, share in enumerate(shares)
    ]
    return np.sort(np.concatenate(rows))


def drawn(model: RiskModel, split: Split, count: int | None, seed: int) -> tuple[Prepared, Sampled | None]:
    """A split prepared, or ``count`` of its rows and whom they stand for; all where it has no more."""
    if count is None or count >= len(split):
        return Prepared(model.prepared(split), split.outcome, split.weight), None
    refuse_weights(split, "A sweep on a sample")
    classes = len(model.classes)
    if count < 2 * classes:
        raise BadInput(f"A sample of {count} rows is too small for {classes} classes; take more.")
    rows = stratified(split.outcome, classes, count, seed)
    some = replace(split, frame=split.frame.iloc[rows], outcome=split.outcome[rows])
    return Prepared(model.prepared(some), some.outcome), Sampled(
        np.bincount(split.outcome, minlength=classes)
    )
