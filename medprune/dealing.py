"""Which rows go into which split: dealt anew, or as a model's split has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.censoring import EARLY
from medprune.errors import BadInput, listed
from medprune.outcome import UNKNOWN, OutcomeUnfit
from medprune.splits import NOWHERE, SPLITS, TEST, SplitRecord, deal

PATIENTS_A_CLASS = 5  # three to train, one to tune, one to test
PATIENTS = 20
EXTERNAL = "The patients are external: all are used to test, none to train or tune."


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a table (N,) that are dealt: whose they are, their outcome, and which are used."""

    table_hash: str
    patients: NDArray[np.uint64]
    outcome: NDArray[np.int64]  # places in the classes, or UNKNOWN
    classes: tuple[str, ...]
    used: NDArray[np.bool_]
    status: NDArray[np.int64] | None = None  # at the horizon, where follow-up was censored: what is dealt by

    @property
    def told(self) -> NDArray[np.bool_]:
        """The used rows (N,) whose outcome is known: not those censored before the horizon."""
        return self.used if self.status is None else self.used & (self.status != EARLY)


def place(
    rows: Rows, seed: int, split: SplitRecord | None, external: bool
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """For every row (N,) the place of its split, or NOWHERE; and what to say about it.

    Raises BadInput when a class has too few patients, or when the table is not the one of the split.
    """
    used = rows.used
    without = int((rows.outcome == UNKNOWN).sum())
    notes = (f"{without} of {len(used)} rows have no outcome and are left out.",) if without else ()
    if split is not None and external and split.table_hash == rows.table_hash:
        raise BadInput(
            "This is the table that the model was made on, so its patients are not external; use a table of "
            "other patients, or leave --external out."
        )
    if external:
        notes = (*notes, EXTERNAL)
        return np.where(used, TEST, NOWHERE).astype(np.int64), notes
    if split is not None:
        return _reused(rows, split, notes)
    if seed < 0:
        raise BadInput(f"The seed must be a whole number from 0, got {seed}.")
    _check_enough(rows.patients[rows.told], rows.outcome[rows.told], rows.classes)
    places = np.full(len(used), NOWHERE, dtype=np.int64)
    strata = rows.outcome if rows.status is None else rows.status
    places[used] = deal(rows.patients[used], strata[used], seed)
    _check_spread(places[rows.told], rows.outcome[rows.told], rows.classes)
    return places, notes


def _reused(
    rows: Rows, split: SplitRecord, notes: tuple[str, ...]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if split.table_hash != rows.table_hash:
        raise BadInput(
            "The table has changed since the model was made, so its test patients are not known any more; "
            "use the same table, or declare it as other patients with --external."
        )
    places = np.where(rows.used, split.splits_of(rows.patients), NOWHERE).astype(np.int64)
    unseen = int((rows.used & (places == NOWHERE)).sum())
    more = (f"{unseen} rows are in no split of the model and are left out.",) if unseen else ()
    if not all((places == place).any() for place in range(len(SPLITS))):
        raise BadInput(
            "The model's split leaves train, tuning or test empty on this table; train a new model."
        )
    return places, (*notes, "The split is the one that the model was made with.", *more)


def _check_enough(patients: NDArray[np.uint64], outcome: NDArray[np.int64], classes: Sequence[str]) -> None:
    seen = pd.DataFrame({"patient": patients, "outcome": outcome}).drop_duplicates()
    counts = np.bincount(seen["outcome"], minlength=len(classes))
    small = [label for label, count in zip(classes, counts, strict=True) if count < PATIENTS_A_CLASS]
    if small:
        raise OutcomeUnfit(
            f"The class {listed(small)} has fewer than {PATIENTS_A_CLASS} patients; join it with another "
            "class (--treat group-rare:OUTCOME joins all rare ones), leave it out, or find more patients."
        )
    if len(np.unique(patients)) < PATIENTS:
        raise BadInput(f"There are fewer than {PATIENTS} patients with an outcome; find more patients.")


def _check_spread(places: NDArray[np.int64], outcome: NDArray[np.int64], classes: Sequence[str]) -> None:
    """With several outcomes a patient, few patients may still leave a class out of a split."""
    for place, name in enumerate(SPLITS):
        absent = [label for i, label in enumerate(classes) if not (outcome[places == place] == i).any()]
        if absent:
            raise BadInput(
                f"No {name} patient has the class {listed(absent)}, as patients have several outcomes each; "
                "try another --seed, join classes, or find more patients."
            )
