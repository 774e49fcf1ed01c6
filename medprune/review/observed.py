"""What happened to the patients whom a review looks at: one outcome against the others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from medprune.cohort import Split
from medprune.errors import BadInput

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Observed:
    """N rows of patients: who has the event, whose row it is, and how many patients a row stands for.

    ``weight`` is None where every row stands for itself. A row of weight 0 says nothing about the outcome
    (its patient was lost to follow-up before the horizon), whatever its ``event`` holds.
    """

    event: NDArray[np.bool_]
    patients: NDArray[np.uint64]
    weight: Floats | None = None

    @classmethod
    def of(cls, split: Split, klass: int = 1, prevalence: float | None = None) -> Self:
        """A split's patients, those of one class against all others; as if at ``prevalence`` where given."""
        found = cls(split.outcome == klass, split.patients, getattr(split, "weight", None))
        return found if prevalence is None else found.as_if(prevalence)

    def __len__(self) -> int:
        return len(self.event)

    def take(self, rows: NDArray[np.intp] | Rows) -> Observed:
        weight = None if self.weight is None else self.weight[rows]
        return Observed(self.event[rows], self.patients[rows], weight)

    @property
    def weights(self) -> Floats:
        """How much each row counts (N,), 1 on average or as given."""
        return np.ones(len(self.event)) if self.weight is None else self.weight

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whose outcome is known (N,)."""
        return self.weights > 0

    @property
    def events(self) -> int:
        """Patients with the event in any row, counted once."""
        return len(np.unique(self.patients[self.event & self.known]))

    @property
    def others(self) -> int:
        """Patients whose outcome is known and who have the event in no row."""
        return len(np.unique(self.patients[self.known])) - self.events

    @property
    def prevalence(self) -> float:
        """The share with the event, as the weights have it; NaN where nobody's outcome is known."""
        total = float(self.weights.sum())
        return float((self.weights * self.event).sum()) / total if total else float("nan")

    @property
    def is_simple(self) -> bool:
        """Whether every row is a patient that stands for itself, as the textbook formulas have it."""
        return self.weight is None and len(np.unique(self.patients)) == len(self.patients)

    def as_if(self, prevalence: float) -> Self:
        """These patients weighted to another share with the event, such as that of a clinic whose cases and
        controls were sampled apart. BadInput outside (0, 1), or where only one outcome occurs."""
        now = self.prevalence
        if not 0 < prevalence < 1:
            raise BadInput(f"The prevalence must lie between 0 and 1, got {prevalence:g}.")
        if not 0 < now < 1:
            raise BadInput("These patients all have one outcome: no weights give them another prevalence.")
        factor = np.where(self.event, prevalence / now, (1 - prevalence) / (1 - now))
        return replace(self, weight=self.weights * factor)
