"""How many patients a site's sums are over, and how many they must be over before they may leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from medprune.cohort import Split
from medprune.errors import BadInput
from medprune.large import LargePatients
from medprune.scoring import Batches

LEAST = 2  # a sum over one patient is that patient


@dataclass(frozen=True)
class Floor:
    """The fewest patients that sums may be over: in all, and of each class that is there at all."""

    patients: int = 20
    a_class: int = 5

    def __post_init__(self) -> None:
        if self.patients < LEAST or self.a_class < LEAST:
            raise BadInput(
                f"Sums need at least {LEAST} patients and {LEAST} of a class, as one patient's sum is that "
                f"patient; got {self.patients} and {self.a_class}."
            )

    @classmethod
    def read(cls, text: str) -> Self:
        """From "40" (patients; a quarter of them in each class) or "40,10"."""
        parts = [part.strip() for part in text.split(",")]
        if len(parts) > 2 or not all(part.isdecimal() and len(part) < 10 for part in parts):  # noqa: PLR2004
            raise BadInput(
                "The fewest patients of a site are a count such as 20, or two such as 20,5 (in all, and in "
                f"each class), got {text!r}."
            )
        counts = [int(part) for part in parts]
        return cls(counts[0], counts[1] if len(counts) > 1 else max(LEAST, -(-counts[0] // 4)))


@dataclass(frozen=True)
class Counts:
    """Distinct patients in all and of each class (a patient of two classes is in both), rows of each "
    "class."""

    patients: int
    of_class: tuple[int, ...]
    rows: tuple[int, ...]

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.patients + other.patients,
            tuple(a + b for a, b in zip(self.of_class, other.of_class, strict=True)),
            tuple(a + b for a, b in zip(self.rows, other.rows, strict=True)),
        )

    def check(self, floor: Floor, classes: Sequence[str]) -> None:
        """BadInput for fewer patients than the floor."""
        if self.patients < floor.patients:
            raise BadInput(
                f"The table has {self.patients} patients, and sums over fewer than {floor.patients} would "
                "tell too much about each; add patients, or score them together with another site's."
            )
        for label, count in zip(classes, self.of_class, strict=True):
            if 0 < count < floor.a_class:
                raise BadInput(
                    f"The class {label!r} has {count} patients here, and sums over fewer than "
                    f"{floor.a_class} of a class would tell too much about each; add patients, or score them "
                    "together with another site's."
                )


def counts_of(split: Split, classes: int) -> Counts:
    """Who is in a split, by patient and by row."""
    pairs = np.unique(np.stack((split.patients, split.outcome.astype(np.uint64))), axis=1)
    return Counts(
        patients=len(np.unique(split.patients)),
        of_class=tuple(np.bincount(pairs[1].astype(np.int64), minlength=classes).tolist()),
        rows=tuple(np.bincount(split.outcome, minlength=classes).tolist()),
    )


def counts_of_rows(patients: LargePatients, batches: Batches, classes: int) -> Counts:
    """Of a table in batches, where every row must be a patient: who is in which class is not held."""
    if patients.count != len(patients):
        raise BadInput(
            f"{patients.table.title} is read in batches and its patients have several rows, so the patients "
            "of each class cannot be counted; keep one row a patient, or use a smaller table."
        )
    rows = torch.zeros(classes, dtype=torch.int64)
    for _, y, *_ in batches():
        rows += torch.bincount(y, minlength=classes)
    return Counts(len(patients), tuple(rows.tolist()), tuple(rows.tolist()))
