"""The table as it was read, its treatments included, before anything is left out; and the choices made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.censoring import Times, check_two_labels, times_of
from medprune.dealing import PATIENTS_A_CLASS
from medprune.errors import BadInput, listed, nearest
from medprune.intake.clean import Clean
from medprune.intake.columns import Feature, TypedColumn, typed
from medprune.outcome import UNKNOWN, Outcome
from medprune.quality import Ranges
from medprune.splits import TRAIN, SplitRecord, patients_of, table_hash
from medprune.treating import Plan, apply, fitted, read_again, treated_outcome
from medprune.treatments import Treatment


@dataclass(frozen=True)
class Ask:
    """The choices of :func:`load_cohort`; ``optional`` treatments are left out where they do not fit."""

    outcome: str
    patient: str | None
    positive: str | None
    exclude: tuple[str, ...]
    subgroups: tuple[str, ...]
    seed: int
    split: SplitRecord | None
    external: bool
    classes: Sequence[str] | None
    features: Sequence[Feature] | None
    ranges: Ranges
    treatments: tuple[Treatment, ...]
    follow_up: tuple[str, float] | None = None  # the column of follow-up times, and the horizon
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Read:
    """The table as it was read, before anything is left out; N rows."""

    raw: pd.DataFrame
    columns: dict[str, TypedColumn]
    hash: str
    rows: NDArray[np.uint64]  # (N,) hash of a row's cells
    patients: NDArray[np.uint64]  # (N,)
    notes: tuple[str, ...]


def read_table_of(
    raw: pd.DataFrame,
    notes: tuple[str, ...],
    outcome: str,
    patient: str | None,
    exclude: Sequence[str],
    subgroups: Sequence[str],
    *,
    time: str | None = None,
) -> Read:
    names = [str(name) for name in raw.columns]
    check_there("outcome column", [outcome], names)
    check_there("patient column", [patient] if patient is not None else [], names)
    check_there("column to exclude", exclude, names)
    check_there("subgroup column", subgroups, names)
    if outcome == patient or outcome in exclude:
        raise BadInput(
            f"The outcome {outcome!r} cannot be the patient column or excluded too; name another column."
        )
    check_there("follow-up time column", [time] if time is not None else [], names)
    if time is not None and time in (outcome, patient, *subgroups):
        raise BadInput(
            f"The follow-up time {time!r} cannot be the outcome, the patient column or a subgroup too; name "
            "another column with --time."
        )
    columns = {name: typed(raw[name], name) for name in names}
    hashed, rows = table_hash(list(columns.values()))
    patients, unnamed = patients_of(rows, None if patient is None else raw[patient], hashed)
    if patient is None:
        notes = (
            *notes,
            "Every row counts as one patient; if patients have several rows, name their column (--patient).",
        )
    elif unnamed:
        notes = (*notes, f"{unnamed} rows have no value in {patient!r}; each counts as a patient of its own.")
    return Read(raw, columns, hashed, rows, patients, notes)


def treated(read: Read, plan: Plan) -> Read:
    """The table with those treatments that nothing is fitted for: how a column is read, and the outcome."""
    columns = dict(read.columns)
    for name in dict.fromkeys(each.column for each in plan.cells if each.column):
        kinds = [each.kind for each in plan.cells if each.column == name]
        columns[name] = read_again(columns[name], read.raw[name], kinds)
    columns[plan.outcome] = treated_outcome(columns[plan.outcome], plan.of_outcome)
    return replace(read, columns=columns)


def cleaned(
    read: Read, plan: Plan, places: NDArray[np.int64], no_features: set[str | None], ask: Ask
) -> tuple[Read, dict[str, Clean], frozenset[str]]:
    """The table with its cells treated, what was fitted on train for each, and which did not fit.

    A model that is given brings its own; external patients have no train rows to fit on.
    """
    wanted = [each for each in plan.cells if each.column not in no_features]
    if wanted and (ask.features or ask.external):
        raise BadInput(
            "A model that exists treats its columns as it was trained to; leave the treatments out here, or "
            "train a new model with them."
        )
    cleans, unfitted = fitted(wanted, read.columns, places == TRAIN, ask.ranges, ask.optional)
    columns = {
        name: apply(cleans[name], column) if name in cleans else column
        for name, column in read.columns.items()
    }
    return replace(read, columns=columns), cleans, unfitted


def refuse_censoring(time: str | None, horizon: float | None) -> None:
    """BadInput when a follow-up time or a horizon is given for a table that is read in batches."""
    if time is not None or horizon is not None:
        raise BadInput(
            "A table that is read in batches has no weights for censored follow-up (--time, --horizon); use "
            "one that fits into memory, or make a column that says whether it happened within the horizon "
            "where that is known of everybody."
        )


def followed(read: Read, target: Outcome, used: NDArray[np.bool_], ask: Ask) -> tuple[Outcome, Times | None]:
    """The outcome as the status at the horizon, with the times behind it, where a horizon is asked for."""
    if ask.follow_up is None:
        return target, None
    name, horizon = ask.follow_up
    if name in [feature.name for feature in ask.features or ()]:
        raise BadInput(
            f"The model reads {name!r}, which cannot be the follow-up time: no patient has it when the risk "
            "is needed; name another column with --time."
        )
    check_two_labels(read.columns[ask.outcome])
    times = times_of(read.columns[name], target.index == 1, used, horizon)
    if not ask.external:
        times.of(used).check_enough(PATIENTS_A_CLASS)
    index = np.where(target.index == UNKNOWN, UNKNOWN, times.outcome)
    return replace(target, index=index), times


def patient_column(patient: str | None, split: SplitRecord | None, external: bool) -> str | None:
    """The named patient column, or else the one of the split that is reused."""
    if split is None or external or patient == split.patient:
        return patient
    if patient is None:
        return split.patient
    was = "every row as a patient" if split.patient is None else f"the patient column {split.patient!r}"
    raise BadInput(
        f"The model was made with {was}, not with {patient!r}; leave --patient out, or train a new model."
    )


def check_there(what: str, wanted: Sequence[str], names: Sequence[str]) -> None:
    """BadInput naming the first wanted column that is not among the table's ``names``."""
    for name in wanted:
        if name not in names:
            near = nearest(name, names)
            raise BadInput(
                f"The table has no {what} {name!r}{near}; "
                + ("correct the name." if near else f"its columns are {listed(names, most=12)}.")
            )
