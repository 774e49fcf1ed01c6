"""What the checks look at, and what they say: a table of typed features, and findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.quality.alone import FEW_VALUES, separations
from medprune.quality.ranges import Ranges, spellings

__all__ = ["FEW_VALUES", "MANY", "Finding", "Findings", "Table", "spellings"]

MANY = 5  # rows that must share a value before a message may show it
SAMPLED = 50_000  # rows that a check looks at where exactness is not needed


@dataclass(frozen=True, eq=False)
class Table:
    """Rows that have an outcome, features typed (and treated, where treatments are in force)."""

    frame: pd.DataFrame  # (N, features), numbers float64, text object
    outcome_name: str
    outcome: NDArray[np.int64]  # (N,) class indices
    classes: tuple[str, ...]
    patients: NDArray[np.uint64]  # (N,)
    patient_name: str | None
    rows: NDArray[np.uint64]  # (N,) hash of everything in a row but identifiers
    kept_out: tuple[tuple[str, str], ...]
    ranges: Ranges
    repeats: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    # of columns that number patients with several rows: how many there are, and how many have several
    dates: pd.DataFrame = field(default_factory=pd.DataFrame)  # (N, date columns), text as it stands
    known: NDArray[np.bool_] | None = None  # (N,) whose outcome is known; None: everybody's

    def __len__(self) -> int:
        return len(self.outcome)

    @property
    def numbers(self) -> list[str]:
        return [name for name in self.frame.columns if self.frame[name].dtype.kind == "f"]

    @property
    def categories(self) -> list[str]:
        return [name for name in self.frame.columns if self.frame[name].dtype.kind != "f"]

    @cached_property
    def counts(self) -> dict[str, pd.Series]:
        """How often each value of a column occurs, missing ones included, the commonest first."""
        return {name: self.frame[name].value_counts(dropna=False) for name in self.frame.columns}

    @cached_property
    def missing(self) -> pd.DataFrame:
        """(N, features): what is missing."""
        return self.frame.isna()

    @cached_property
    def judged(self) -> Table:
        """The rows whose outcome is known: what a check that looks at the outcome is about."""
        if self.known is None or bool(self.known.all()):
            return self
        return replace(
            self,
            frame=self.frame[self.known].reset_index(drop=True),
            outcome=self.outcome[self.known],
            patients=self.patients[self.known],
            rows=self.rows[self.known],
            dates=self.dates[self.known].reset_index(drop=True) if len(self.dates) else self.dates,
            known=None,
        )

    @cached_property
    def alone(self) -> dict[str, float]:
        """By column, the largest AUROC that it reaches alone for one class against the rest. Sampled."""
        if self.judged is not self:
            return self.judged.alone
        rows, frame = self.some, self.frame
        frame = frame if len(rows) == len(self) else frame.iloc[rows].reset_index(drop=True)
        return separations(frame, self.outcome[rows], self.patients[rows], len(self.classes))

    @cached_property
    def some(self) -> NDArray[np.intp]:
        """The rows, or SAMPLED of them drawn evenly, in order: for checks that need not be exact."""
        if len(self) <= SAMPLED:
            return np.arange(len(self))
        drawn = np.random.default_rng(0).choice(len(self), SAMPLED, replace=False)
        return np.sort(drawn)


@dataclass(frozen=True)
class Finding:
    """What a check found in one column (or in none). ``facts`` fill its sentence.

    ``remedies`` are ids of treatments, the one to try first in front; ``suggested`` says that this one
    loses nothing that a careful reader would keep, so that ``--treat suggested`` takes it.
    """

    column: str | None
    count: int
    facts: dict[str, Any] = field(default_factory=dict)
    remedies: tuple[str, ...] = ()
    suggested: bool = False


Findings: TypeAlias = "Iterator[Finding]"
