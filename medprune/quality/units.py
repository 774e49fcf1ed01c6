"""Two units in one column: a second mode at a known factor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medprune.quality.ranges import Range
from medprune.quality.table import MANY, Finding, Findings, Table

# Glucose, cholesterol, triglycerides and creatinine between their units, and powers of ten.
USUAL_FACTORS = (10.0, 18.016, 38.67, 88.57, 88.42, 100.0, 1000.0)
TOLERANCE = 0.15
SHARE = 0.02
NAMED_SHARE = 0.001  # where the name tells the unit, less is enough
GAP = 2.0  # nothing lies between the two groups over at least this factor


def mixed_units(table: Table) -> Findings:
    """A column in two groups a usual conversion factor apart; or, by its name, values in another unit."""
    for name in table.numbers:
        x = table.frame[name].to_numpy(np.float64)
        x = x[~np.isnan(x)]
        found = by_gap(x) or by_name(x, table.ranges.of(name))
        if found is not None:
            factor, count, _ = found
            remedy = (f"unit:{name}:{factor:.6g}",)
            yield Finding(name, count, {"ratio": max(factor, 1 / factor)}, remedy, suggested=True)


Found = tuple[float, int, float]  # the factor, how many values are in the smaller group, where it begins


def by_gap(x: NDArray[np.float64]) -> Found | None:
    """Two groups of positive values, a usual factor apart, with nothing between them.

    The place where the upper group begins, and what turns the lower group into the upper one.
    """
    x = np.sort(x)
    if len(x) < 2 * MANY or x[0] <= 0:
        return None
    steps = np.diff(np.log(x))
    cut = int(steps.argmax()) + 1
    ratio = float(np.exp(np.median(np.log(x[cut:])) - np.median(np.log(x[:cut]))))
    count = min(cut, len(x) - cut)
    near = [usual for usual in USUAL_FACTORS if abs(ratio / usual - 1) < TOLERANCE]
    varied = min(len(np.unique(x[:cut])), len(np.unique(x[cut:]))) >= MANY  # measurements, not codes
    if near and varied and steps[cut - 1] > np.log(GAP) and count >= max(MANY, SHARE * len(x)):
        factor = min(near, key=lambda usual: abs(ratio / usual - 1))
        return factor, count, float(np.sqrt(x[cut - 1] * x[cut]))
    return None


def by_name(x: NDArray[np.float64], entry: Range | None) -> Found | None:
    """Values outside the plausible range that lie inside it once they are converted."""
    if entry is None:
        return None
    other = in_other_unit(x, entry)
    count = int(other.sum())
    bounds = entry.bounds_for(x)
    if not count or bounds is None:
        return None
    low, high, unit = bounds
    factor = entry.factor if unit == entry.unit else 1 / entry.factor
    return factor, count, low if factor > 1 else high


def in_other_unit(x: NDArray[np.float64], entry: Range) -> NDArray[np.bool_]:
    """Which of these known values (N,) are in the entry's other unit than most are; none, if too few."""
    bounds = entry.bounds_for(x) if entry.other_unit and not entry.offset else None
    if bounds is None:
        return np.zeros(len(x), dtype=np.bool_)
    low, high, unit = bounds
    converted = x * (entry.factor if unit == entry.unit else 1 / entry.factor)
    other: NDArray[np.bool_] = ((x < low) | (x > high)) & (converted >= low) & (converted <= high)
    enough = other.sum() >= max(MANY, NAMED_SHARE * len(x)) and len(np.unique(x[other])) >= MANY
    return other if enough else np.zeros_like(other)
