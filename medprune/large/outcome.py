"""The outcome of a large table: what its values are is learnt in one pass, then batches are read by it.

:func:`medprune.outcome.read_outcome` judges a column by all its values. It is given each different value
here, and in every batch it is given again what the whole column holds, so that it decides the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.errors import BadInput
from medprune.intake.columns import typed
from medprune.outcome import CUT_POINT, UNKNOWN, read_outcome

MOST_DIFFERENT = 10_000  # values that are held; of more, as of a measurement, the extremes are


@dataclass(frozen=True, eq=False)
class LargeOutcome:
    """How to read the outcome of any batch. ``witnesses`` are values that the whole column holds."""

    name: str
    positive: str | None
    classes: tuple[str, ...]
    witnesses: pd.Series
    rows: int  # with an outcome

    def index(self, values: pd.Series) -> NDArray[np.int64]:
        """The place of each value (N,) of a raw column among the classes, or UNKNOWN."""
        codes, different = pd.factorize(values)
        column = typed(pd.concat([pd.Series(different), self.witnesses], ignore_index=True), self.name)
        places = read_outcome(column, positive=self.positive, classes=self.classes).index
        index: NDArray[np.int64] = np.append(places[: len(different)], UNKNOWN)[codes]  # missing: code -1
        return index


def survey(
    batches: Iterable[pd.Series], name: str, *, positive: str | None, classes: Sequence[str]
) -> LargeOutcome:
    """Look through the raw outcome column once.

    Raises BadInput as :func:`medprune.outcome.read_outcome` does, and for a column of more than
    MOST_DIFFERENT values that no cut-point divides.
    """
    seen = _Seen()
    for values in batches:
        seen.add(values)
    if seen.many and not (seen.numbers and CUT_POINT.fullmatch(positive or "")):
        raise BadInput(
            f"Outcome {name!r} has over {MOST_DIFFERENT:,} different values; choose another column, or a "
            "cut-point such as --positive '>0'."
        )
    witnesses = seen.witnesses()
    found = read_outcome(typed(witnesses, name), positive=positive, classes=classes)
    known = found.index[: len(seen.counts)] != UNKNOWN
    rows = seen.known if seen.many else int(seen.counts.to_numpy()[known].sum())
    return LargeOutcome(name, positive, tuple(classes), witnesses, rows)


class _Seen:
    """The different values of a column, and how often each occurs; of too many, their extremes."""

    def __init__(self) -> None:
        self.counts = pd.Series(dtype=np.int64)  # by value
        self.many = False
        # Of many values alone:
        self.numbers, self.known = True, 0  # whether all are numbers, and how many are not missing
        self.low, self.high = np.inf, -np.inf

    def add(self, values: pd.Series) -> None:
        new = values.value_counts(sort=False)
        if not self.many:
            both = pd.concat([self.counts, new]) if len(self.counts) else new
            self.counts = both.groupby(level=0, sort=False).sum()
            if len(self.counts) <= MOST_DIFFERENT:
                return
            self.many, new = True, self.counts
        self._measure(new)

    def _measure(self, counts: pd.Series) -> None:
        column = typed(pd.Series(counts.index), "")
        there = column.values.notna().to_numpy()
        self.known += int(counts.to_numpy()[there].sum())
        self.numbers &= column.kind == "number"
        if self.numbers and there.any():
            self.low = min(self.low, column.values.min())
            self.high = max(self.high, column.values.max())

    def witnesses(self) -> pd.Series:
        """Every value, twice where it occurs more than once: so many classes are no class a row.

        Of many numbers the extremes: a cut-point that divides all divides them.
        """
        if self.many:
            return pd.Series([self.low, self.high] * 2)
        values = pd.Series(self.counts.index)
        return pd.concat([values, values[self.counts.to_numpy() > 1]], ignore_index=True)
