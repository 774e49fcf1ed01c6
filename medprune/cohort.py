"""A table of patients, ready for a network: features, outcome, and who is in train, tuning and test.

:func:`load_cohort` is the door. Whatever it decides or leaves out is a plain sentence in the cohort's
notes; no row is dropped silently, and missing values stay missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.errors import BadInput, listed, nearest
from medprune.intake.columns import IDENTIFIES, REPEATS, Feature, TypedColumn, typed, typed_for, unfit
from medprune.intake.table_choices import TableChoices
from medprune.intake.table_file import Source, TableFile, opened
from medprune.outcome import UNKNOWN, Outcome, read_outcome
from medprune.quality import QualityReport, Table, assess
from medprune.splits import (
    NOWHERE,
    SPLITS,
    TEST,
    SplitRecord,
    cells_of,
    deal,
    patients_of,
    row_hashes,
    table_hash,
)

__all__ = ["Cohort", "Feature", "Split", "TableFile", "load_cohort"]

PATIENTS_A_CLASS = 5  # three to train, one to tune, one to test
PATIENTS = 20
EXTERNAL = "The patients are external: all are used to test, none to train or tune."

KeptOut = tuple[tuple[str, str], ...]  # columns that are no features, and why


@dataclass(frozen=True, eq=False)
class Split:
    """Some of the cohort's rows, in the order of the table; N of them."""

    name: str  # train, tuning, test or all
    frame: pd.DataFrame  # (N, features): numbers float64 with NaN missing, text object with None missing
    outcome: NDArray[np.int64]  # (N,) places in the cohort's classes
    patients: NDArray[np.uint64]  # (N,) hashed identifiers, salted with the table's hash
    rows: NDArray[np.int64]  # (N,) row numbers in the table, from 0
    subgroups: pd.DataFrame  # (N, subgroup columns), typed like features

    def __len__(self) -> int:
        return len(self.outcome)

    def told(self) -> str:
        """How many patients, and how many rows when that is not the same."""
        patients = len(np.unique(self.patients))
        whose = f"{self.name} patients" if self.name in SPLITS else "patients"
        told = f"{patients:,} {whose}"
        return told if patients == len(self) else f"{told} ({len(self):,} rows)"

    def take(self, name: str, places: NDArray[np.intp]) -> Split:
        """The rows at these places, under another name."""
        return Split(
            name=name,
            frame=self.frame.iloc[places].reset_index(drop=True),
            outcome=self.outcome[places],
            patients=self.patients[places],
            rows=self.rows[places],
            subgroups=self.subgroups.iloc[places].reset_index(drop=True),
        )


@dataclass(frozen=True, eq=False)
class Cohort:
    """Patients in three splits. An external cohort has all rows in test; its train and tuning are empty."""

    train: Split
    tuning: Split
    test: Split
    features: tuple[Feature, ...]
    outcome: str
    classes: tuple[str, ...]  # labels in class order; of two, the negative one first
    positive: str | None  # what was asked for: a label, a cut-point such as ">0", or None
    quality: QualityReport
    notes: tuple[str, ...]  # every decision and exclusion, a sentence each
    table_hash: str
    seed: int
    patient: str | None
    exclude: tuple[str, ...]
    kept_out: KeptOut

    @property
    def rows(self) -> int:
        """How many rows are in use, over the three splits."""
        return len(self.train) + len(self.tuning) + len(self.test)

    def all(self) -> Split:
        """The three splits together, in the order of the table."""
        splits = [split for split in (self.train, self.tuning, self.test) if len(split)]
        together = Split(
            name="all",
            frame=pd.concat([split.frame for split in splits], ignore_index=True),
            outcome=np.concatenate([split.outcome for split in splits]),
            patients=np.concatenate([split.patients for split in splits]),
            rows=np.concatenate([split.rows for split in splits]),
            subgroups=pd.concat([split.subgroups for split in splits], ignore_index=True),
        )
        return together.take("all", np.argsort(together.rows))

    def record(self) -> SplitRecord:
        """Who is in which split, for a model to carry."""
        ids = {name: np.unique(getattr(self, name).patients) for name in SPLITS}
        return SplitRecord(self.table_hash, self.seed, self.patient, **ids)


def load_cohort(  # noqa: PLR0913 - one table, and the choices that a user makes about it
    source: Source,
    *,
    outcome: str,
    patient: str | None = None,
    positive: str | None = None,
    exclude: Sequence[str] = (),
    subgroups: Sequence[str] = (),
    time: str | None = None,
    horizon: float | None = None,
    seed: int = 0,
    split: SplitRecord | None = None,
    external: bool = False,
    classes: Sequence[str] | None = None,
    features: Sequence[Feature] | None = None,
    choices: TableChoices | None = None,
) -> Cohort:
    """Read a table and deal its patients to train, tuning and test (60 / 20 / 20, stratified by outcome).

    ``source`` is the path of a CSV, Parquet or .xlsx file, an upload (:class:`TableFile`) or a data frame.
    Files are opened in a process of its own; ``choices`` says what a file cannot (which sheet, which mark).
    ``positive`` is the label to predict, or a cut-point such as ">0". Without a ``patient`` column every
    row is a patient. For a model that exists, ``split`` reuses its split and refuses a changed table,
    unless ``external`` declares other patients, who then all go into test; ``classes`` gives its class
    order and ``features`` the columns it reads. Raises BadInput when the table or a choice is wrong.
    """
    refuse_censoring(time, horizon)
    exclude, subgroups = _names(exclude), _names(subgroups)
    patient = _patient_column(patient, split, external)
    read = _read(opened(source, choices), outcome, patient, exclude, subgroups)
    target = read_outcome(read.columns[outcome], positive=positive, classes=classes)
    places, notes = _place(read, target, seed, split, external)
    no_features = {outcome, patient, *exclude}
    kept_out = () if features else _kept_out(read, places != NOWHERE, no_features)
    chosen = tuple(features or _features(read, no_features | set(dict(kept_out))))
    everyone = _everyone(read, places != NOWHERE, target, chosen, subgroups, given=bool(features))
    train, tuning, test = _parts(everyone, places)
    quality = _quality(
        read, everyone, outcome=(outcome, target), patient=patient, exclude=exclude, kept_out=kept_out
    )
    return Cohort(
        train=train,
        tuning=tuning,
        test=test,
        features=chosen,
        outcome=outcome,
        classes=target.classes,
        positive=positive,
        quality=quality,
        notes=(*read.notes, *target.notes, *_column_notes(read, chosen, exclude, kept_out), *notes),
        table_hash=read.hash,
        seed=seed if split is None or external else split.seed,
        patient=patient,
        exclude=exclude,
        kept_out=kept_out,
    )


@dataclass(frozen=True, eq=False)
class _Read:
    """The table as it was read, before anything is left out; N rows."""

    raw: pd.DataFrame
    columns: dict[str, TypedColumn]
    hash: str
    rows: NDArray[np.uint64]  # (N,) hash of a row's cells
    patients: NDArray[np.uint64]  # (N,)
    notes: tuple[str, ...]


def _read(
    table: tuple[pd.DataFrame, tuple[str, ...]],
    outcome: str,
    patient: str | None,
    exclude: Sequence[str],
    subgroups: Sequence[str],
) -> _Read:
    raw, notes = table
    names = [str(name) for name in raw.columns]
    check_there("outcome column", [outcome], names)
    check_there("patient column", [patient] if patient is not None else [], names)
    check_there("column to exclude", exclude, names)
    check_there("subgroup column", subgroups, names)
    if outcome == patient or outcome in exclude:
        raise BadInput(
            f"The outcome {outcome!r} cannot be the patient column or excluded too; name another column."
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
    return _Read(raw, columns, hashed, rows, patients, notes)


def refuse_censoring(time: str | None, horizon: float | None) -> None:
    """BadInput when a follow-up time or a horizon is given."""
    if time is not None or horizon is not None:
        raise BadInput(
            "Censored outcomes (a follow-up time and a horizon) are not handled in this version; make a "
            "column that says whether it happened within the horizon, and name that as the outcome."
        )


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _patient_column(patient: str | None, split: SplitRecord | None, external: bool) -> str | None:
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


def _place(
    read: _Read, target: Outcome, seed: int, split: SplitRecord | None, external: bool
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """For every row (N,) the place of its split, or NOWHERE; and what to say about it."""
    known = target.index != UNKNOWN
    without = int((~known).sum())
    notes = (f"{without} of {len(known)} rows have no outcome and are left out.",) if without else ()
    if split is not None and external and split.table_hash == read.hash:
        raise BadInput(
            "This is the table that the model was made on, so its patients are not external; use a table of "
            "other patients, or leave --external out."
        )
    if external:
        notes = (*notes, EXTERNAL)
        return np.where(known, TEST, NOWHERE).astype(np.int64), notes
    if split is not None:
        return _reused(read, known, split, notes)
    if seed < 0:
        raise BadInput(f"The seed must be a whole number from 0, got {seed}.")
    _check_enough(read.patients[known], target.index[known], target.classes)
    places = np.full(len(known), NOWHERE, dtype=np.int64)
    places[known] = deal(read.patients[known], target.index[known], seed)
    _check_spread(places[known], target.index[known], target.classes)
    return places, notes


def _reused(
    read: _Read, known: NDArray[np.bool_], split: SplitRecord, notes: tuple[str, ...]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if split.table_hash != read.hash:
        raise BadInput(
            "The table has changed since the model was made, so its test patients are not known any more; "
            "use the same table, or declare it as other patients with --external."
        )
    places = np.where(known, split.splits_of(read.patients), NOWHERE).astype(np.int64)
    unseen = int((known & (places == NOWHERE)).sum())
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
        raise BadInput(
            f"The class {listed(small)} has fewer than {PATIENTS_A_CLASS} patients; join it with another "
            "class, leave it out, or find more patients."
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


def _kept_out(read: _Read, used: NDArray[np.bool_], no_features: set[str | None]) -> KeptOut:
    """Columns that are no features although nobody excluded them, and why."""
    reasons = {name: unfit(column, used) for name, column in read.columns.items() if name not in no_features}
    return tuple((name, reason) for name, reason in reasons.items() if reason is not None)


def _features(read: _Read, no_features: set[str | None]) -> list[Feature]:
    """The columns that are left, in the order of the table; BadInput when one mixes numbers and text."""
    usable = [column.usable() for name, column in read.columns.items() if name not in no_features]
    if not usable:
        raise BadInput("No column is left to predict from; exclude fewer columns, or add some that vary.")
    return [Feature(column.name, "number" if column.kind == "number" else "category") for column in usable]


def _everyone(
    read: _Read,
    used: NDArray[np.bool_],
    target: Outcome,
    features: Sequence[Feature],
    subgroups: Sequence[str],
    *,
    given: bool,
) -> Split:
    """All rows that are used. A model's features are read as it reads them, whatever they look like here."""
    columns = {feature.name: read.columns[feature.name].values for feature in features} if not given else {}
    frame = typed_for(read.raw, features) if given else pd.DataFrame(columns)
    rows = np.flatnonzero(used).astype(np.int64)
    groups = pd.DataFrame({name: read.columns[name].values for name in subgroups}, index=read.raw.index)
    return Split(
        name="all",
        frame=frame.iloc[rows].reset_index(drop=True),
        outcome=target.index[used],
        patients=read.patients[used],
        rows=rows,
        subgroups=groups.iloc[rows].reset_index(drop=True),
    )


def _parts(everyone: Split, places: NDArray[np.int64]) -> tuple[Split, ...]:
    used = places[everyone.rows]
    return tuple(everyone.take(name, np.flatnonzero(used == place)) for place, name in enumerate(SPLITS))


def _quality(
    read: _Read,
    everyone: Split,
    *,
    outcome: tuple[str, Outcome],
    patient: str | None,
    exclude: Sequence[str],
    kept_out: KeptOut,
) -> QualityReport:
    identifiers = [name for name, reason in kept_out if reason in (IDENTIFIES, REPEATS)]
    content = [column for name, column in read.columns.items() if name not in (*exclude, *identifiers)]
    rows = read.rows if len(content) == len(read.columns) else row_hashes(cells_of(content))
    table = Table(
        frame=everyone.frame,
        outcome_name=outcome[0],
        outcome=everyone.outcome,
        classes=outcome[1].classes,
        patients=everyone.patients,
        patient_name=patient,
        rows=rows[everyone.rows],
        kept_out=kept_out,
    )
    return assess(table, rows=len(read.raw), columns=len(read.columns))


def _column_notes(
    read: _Read, features: Sequence[Feature], exclude: Sequence[str], kept_out: KeptOut
) -> tuple[str, ...]:
    notes = [f"{name!r} is left out: {reason}." for name, reason in kept_out]
    if exclude:
        notes.append(f"Left out as asked for: {listed(exclude, most=len(exclude))}.")
    infinite = [(f.name, read.columns[f.name].infinite) for f in features]
    notes += [f"{count} infinite values of {name!r} count as missing." for name, count in infinite if count]
    return tuple(notes)
