"""Intervals for figures without a formula: whole patients are drawn again, never rows of one patient.

Efron and Tibshirani (1993) for the percentile interval; for several figures at once a band by the largest
standardised deviation in each draw (max-T, as Romano and Wolf 2005), which holds for all of them together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from medprune.review.estimate import CONFIDENCE, Estimate

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
DRAWS = 1_000
FEW_EVENTS = 50  # patients with the event, under which their number is kept in every draw


def drawn_again(
    patients: NDArray[np.uint64], event: NDArray[np.bool_], *, draws: int = DRAWS, seed: int = 0
) -> Iterator[Rows]:
    """Rows of as many patients as there are, drawn with replacement; a patient comes with all rows.

    ``patients`` (N,) tells whose row it is, ``event`` (N,) whether it has the event. With few events, those
    who have it in any row and the others are drawn apart, so that no draw is without them.
    """
    _, owner, rows = np.unique(patients, return_inverse=True, return_counts=True)
    order, starts = np.argsort(owner, kind="stable"), np.concatenate([[0], np.cumsum(rows)])
    ill = np.bincount(owner, weights=event) > 0
    groups = [np.arange(len(rows))]
    if ill.sum() < FEW_EVENTS:
        groups = [np.flatnonzero(ill), np.flatnonzero(~ill)]
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        chosen = np.concatenate([rng.choice(group, len(group)) for group in groups if len(group)])
        yield _rows_of(chosen, order, starts, rows)


def _rows_of(chosen: Rows, order: Rows, starts: Rows, rows: Rows) -> Rows:
    """The rows of the chosen patients, one patient after the other."""
    lengths = rows[chosen]
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    found: Rows = order[np.repeat(starts[chosen], lengths) + within]
    return found


def interval(
    figure: Callable[[Rows], float],
    patients: NDArray[np.uint64],
    event: NDArray[np.bool_],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Estimate:
    """A figure of rows, and the percentile interval of the same over :func:`drawn_again` patients.

    Draws in which the figure cannot be known are passed over; unknown when it never can.
    """
    value = figure(np.arange(len(patients)))
    again = np.array([figure(rows) for rows in drawn_again(patients, event, draws=draws, seed=seed)])
    known = again[~np.isnan(again)]
    if np.isnan(value) or not len(known):
        return Estimate.unknown()
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(value), float(low), float(high))


def together(values: Floats, draws: Floats, confidence: float = CONFIDENCE) -> tuple[Estimate, ...]:
    """Intervals that hold for all of several figures at once: values (G,), their draws (B, G).

    One reach, in standard errors, for all: the quantile of each draw's largest deviation. A figure that is
    NaN, or never varies, gets its value and no width, and does not widen the others.
    """
    errors, known = np.zeros(len(values)), (~np.isnan(draws)).sum(axis=0) > 1
    errors[known] = np.nanstd(draws[:, known], axis=0, ddof=1)
    usable = ~np.isnan(values) & (errors > 0)
    if not usable.any():
        return tuple(Estimate(float(v), float(v), float(v)) for v in values)
    apart = np.abs(draws[:, usable] - values[usable]) / errors[usable]
    reach = float(np.nanquantile(np.nanmax(apart, axis=1), confidence))
    ends = np.where(usable, reach * errors, 0.0)
    return tuple(Estimate(float(v), float(v - e), float(v + e)) for v, e in zip(values, ends, strict=True))
