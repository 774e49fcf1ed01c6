"""A table of patients, ready for a network: features, outcome, and who is in train, tuning and test.

:func:`load_cohort` is the door. Whatever it decides or leaves out is a plain sentence in the cohort's
notes; no row is dropped silently, and missing values stay missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.censoring import FollowUp, Times, asked
from medprune.dealing import Rows, place
from medprune.errors import BadInput, listed
from medprune.intake.clean import NOTHING, Clean
from medprune.intake.columns import IDENTIFIES, MIXES, REPEATS, Feature, typed, typed_for, unfit
from medprune.intake.table_choices import TableChoices
from medprune.intake.table_file import Source, TableFile, opened
from medprune.outcome import MOST_CLASSES, UNKNOWN, Outcome, OutcomeUnfit, read_outcome
from medprune.quality import Finding, QualityReport, Ranges, Table, assess, told, usual_ranges
from medprune.reading import (
    Ask,
    Read,
    check_there,
    cleaned,
    followed,
    patient_column,
    read_table_of,
    refuse_censoring,
    treated,
)
from medprune.splits import NOWHERE, SPLITS, SplitRecord, cells_of, row_hashes
from medprune.treating import Plan, kept_rows
from medprune.treatments import SUGGESTED, Treatment, treatments_of

__all__ = ["Cohort", "Feature", "Split", "TableFile", "check_there", "load_cohort", "refuse_censoring"]

TREATED = "Treated as asked for:"  # how a note on a treatment begins
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
    weight: NDArray[np.float64] | None = (
        None  # (N,) what each counts: 0 where the outcome is unknown; None: 1
    )

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whose outcome is known (N,): all but those censored before the horizon."""
        return np.ones(len(self), dtype=np.bool_) if self.weight is None else self.weight > 0

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
            weight=None if self.weight is None else self.weight[places],
        )


def refuse_weights(split: Split, what: str) -> None:
    """BadInput when the rows count by weights, and ``what`` would count them all alike."""
    if split.weight is not None:
        raise BadInput(
            f"{what} cannot weigh patients by their censored follow-up; leave it out, or use an outcome that "
            "is known of everybody, without --time and --horizon."
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
    treatments: tuple[str, ...] = ()  # ids of those in force
    follow_up: FollowUp | None = None  # where the outcome is the status at a horizon

    @property
    def rows(self) -> int:
        """How many rows are in use, over the three splits."""
        return len(self.train) + len(self.tuning) + len(self.test)

    @property
    def groups(self) -> tuple[str, ...]:
        """What a patient is counted under: the classes, and the unknown where follow-up was censored."""
        if self.follow_up is None:
            return self.classes
        at = f"at {self.follow_up.horizon:g}"
        return (*(f"{label} {at}" for label in self.classes), f"unknown {at} (censored)")

    def group_of(self, split: Split) -> NDArray[np.int64]:
        """The place in :attr:`groups` of every row (N,)."""
        return np.where(split.known, split.outcome, len(self.classes))

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
            weight=_one_after_the_other([split.weight for split in splits]),
        )
        return together.take("all", np.argsort(together.rows))

    def record(self) -> SplitRecord:
        """Who is in which split, for a model to carry."""
        ids = {name: np.unique(getattr(self, name).patients) for name in SPLITS}
        return SplitRecord(self.table_hash, self.seed, self.patient, **ids)


def _one_after_the_other(weights: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    there = [weight for weight in weights if weight is not None]
    return np.concatenate(there) if there else None


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
    treatments: Sequence[str | Treatment] = (),
    ranges: Ranges | None = None,
    survey: bool = False,
) -> Cohort:
    """Read a table and deal its patients to train, tuning and test (60 / 20 / 20, stratified by outcome).

    ``source`` is the path of a CSV, Parquet or .xlsx file, an upload (:class:`TableFile`) or a data frame.
    Files are opened in a process of its own; ``choices`` says what a file cannot (which sheet, which mark).
    ``positive`` is the label to predict, or a cut-point such as ">0". Without a ``patient`` column every
    row is a patient. For a model that exists, ``split`` reuses its split and refuses a changed table,
    unless ``external`` declares other patients, who then all go into test; ``classes`` gives its class
    order and ``features`` the columns it reads, cleaned as it cleans them.

    ``treatments`` are ids such as "sentinel-missing:chol:0" (see :mod:`medprune.treatments`), or
    "suggested"; what is fitted for them is fitted on train. The table is not changed: loaded without them,
    it is as it was. ``ranges`` replaces the usual dictionary of plausible values. With ``survey`` an outcome
    of too many or too rare classes, and columns that mix numbers and text, become problems of the quality
    report where possible.

    With ``time``, a column of follow-up times, the outcome says whether the event was seen at that time (its
    positive label) or follow-up ended without it, and what is predicted is the event by ``horizon``. Patients
    censored before then stay, with weight 0, and the others stand for them: see :mod:`medprune.censoring`.
    Raises BadInput when the table or a choice is wrong.
    """
    wanted = [each for each in treatments if each != SUGGESTED]
    ask = Ask(
        outcome=outcome,
        patient=patient,
        positive=positive,
        exclude=_names(exclude),
        subgroups=_names(subgroups),
        seed=seed,
        split=split,
        external=external,
        classes=classes,
        features=features,
        ranges=usual_ranges() if ranges is None else ranges,
        treatments=treatments_of(wanted),
        follow_up=asked(time, horizon),
    )
    raw, notes = opened(source, choices)
    if len(wanted) < len(treatments):
        found = _surveyed(raw, notes, ask).quality.suggested
        more = treatments_of([*ask.treatments, *found])
        ask = replace(ask, treatments=more, optional=frozenset(found))
    return _surveyed(raw, notes, ask) if survey else _loaded(raw, notes, ask)


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _surveyed(raw: pd.DataFrame, notes: tuple[str, ...], ask: Ask) -> Cohort:
    """The cohort with what :func:`_loaded` would refuse among its problems, where that can be helped."""
    try:
        return _loaded(raw, notes, ask, lenient=True)
    except OutcomeUnfit as error:
        trouble = error
    column = typed(raw[ask.outcome], ask.outcome)
    if column.kind == "number" and column.values.nunique() > MOST_CLASSES:
        raise trouble  # a measurement: joining its rare values would say nothing
    for kinds in (("group-rare",), ("cut-brackets",), ("cut-brackets", "group-rare")):
        remedies = tuple(f"{kind}:{ask.outcome}" for kind in kinds)
        try:
            more = treatments_of([*ask.treatments, *remedies])
            cohort = _loaded(raw, notes, replace(ask, treatments=more), lenient=True)
        except BadInput:
            continue
        finding = Finding(ask.outcome, len(raw), {"sentence": trouble.sentence}, remedies)
        [problem] = told("outcome_unfit", [finding], len(raw))
        problem = replace(problem, suggested=remedies)
        quality = replace(cohort.quality, problems=(problem, *cohort.quality.problems))
        unasked = [_asked_for(each) for each in treatments_of(remedies)]
        kept = [note for note in cohort.notes if note not in unasked]
        so = "The outcome is read as if it were treated: " + " ".join(t.told for t in treatments_of(remedies))
        return replace(cohort, quality=quality, notes=(*kept, so))
    raise trouble


def _asked_for(each: Treatment) -> str:
    return f"{TREATED} {each.told}"


def _loaded(raw: pd.DataFrame, notes: tuple[str, ...], ask: Ask, *, lenient: bool = False) -> Cohort:
    plan = Plan(ask.treatments, ask.outcome)
    plan.check([str(name) for name in raw.columns])
    exclude = tuple(dict.fromkeys([*ask.exclude, *plan.drops]))
    patient = patient_column(plan.patient or ask.patient, ask.split, ask.external)
    time = None if ask.follow_up is None else ask.follow_up[0]
    read = treated(read_table_of(raw, notes, ask.outcome, patient, exclude, ask.subgroups, time=time), plan)
    target = read_outcome(read.columns[ask.outcome], positive=ask.positive, classes=ask.classes)
    no_features = {ask.outcome, patient, time, *exclude}
    known = target.index != UNKNOWN
    used = kept_rows(plan, known, read.patients, read.columns, [*exclude])
    target, times = followed(read, target, used, ask)
    status = None if times is None else times.status
    rows = Rows(read.hash, read.patients, target.index, target.classes, used, status)
    places, more = place(rows, ask.seed, ask.split, ask.external)
    read, cleans, unfitted = cleaned(read, plan, places, no_features, ask)
    kept_out = () if ask.features else _kept_out(read, places != NOWHERE, no_features, lenient=lenient)
    chosen = tuple(ask.features or _features(read, no_features | set(dict(kept_out)), cleans))
    everyone = _everyone(read, places != NOWHERE, target, chosen, ask.subgroups, given=bool(ask.features))
    follow_up = None
    if ask.follow_up is not None and times is not None:
        everyone, follow_up = _weighed(everyone, places, times, ask.follow_up[0])
    train, tuning, test = _parts(everyone, places)
    quality = _quality(
        read,
        everyone,
        outcome=(ask.outcome, target),
        patient=patient,
        exclude=exclude,
        kept_out=kept_out,
        ranges=ask.ranges,
    )
    in_force = tuple(each for each in ask.treatments if each.id not in unfitted)
    fewer = int(known.sum() - used.sum())
    done = [_asked_for(each) for each in in_force if each.kind != "drop"]
    done += [f"{fewer} rows are left out by these treatments."] if fewer else []
    return Cohort(
        train=train,
        tuning=tuning,
        test=test,
        features=chosen,
        outcome=ask.outcome,
        classes=target.classes,
        positive=ask.positive,
        quality=quality,
        notes=(
            *read.notes,
            *target.notes,
            *_column_notes(read, chosen, exclude, kept_out),
            *more,
            *(() if follow_up is None else follow_up.notes()),
            *done,
        ),
        table_hash=read.hash,
        seed=ask.seed if ask.split is None or ask.external else ask.split.seed,
        patient=patient,
        exclude=exclude,
        kept_out=kept_out,
        treatments=tuple(each.id for each in in_force),
        follow_up=follow_up,
    )


def _kept_out(read: Read, used: NDArray[np.bool_], no_features: set[str | None], *, lenient: bool) -> KeptOut:
    """Columns that are no features although nobody excluded them, and why."""
    reasons = {name: unfit(column, used) for name, column in read.columns.items() if name not in no_features}
    if lenient:
        mixed = {name: MIXES for name in reasons if len(read.columns[name].text_rows)}
        reasons = {name: reason or mixed.get(name) for name, reason in reasons.items()}
    return tuple((name, reason) for name, reason in reasons.items() if reason is not None)


def _features(read: Read, no_features: set[str | None], cleans: dict[str, Clean]) -> list[Feature]:
    """The columns that are left, in the order of the table; BadInput when one mixes numbers and text."""
    usable = [column.usable() for name, column in read.columns.items() if name not in no_features]
    if not usable:
        raise BadInput("No column is left to predict from; exclude fewer columns, or add some that vary.")
    return [
        Feature(
            column.name,
            "number" if column.kind == "number" else "category",
            cleans.get(column.name, NOTHING),
        )
        for column in usable
    ]


def _everyone(
    read: Read,
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


def _weighed(everyone: Split, places: NDArray[np.int64], times: Times, name: str) -> tuple[Split, FollowUp]:
    """The rows with their weights, those of a split from its own rows; and what there is to tell of them."""
    mine, place = times.of(everyone.rows), places[everyone.rows]
    weight = np.zeros(len(everyone))
    for one in np.unique(place):
        weight[place == one] = mine.of(place == one).weights()
    return replace(everyone, weight=weight), FollowUp.of(name, mine, weight)


def _parts(everyone: Split, places: NDArray[np.int64]) -> tuple[Split, ...]:
    used = places[everyone.rows]
    return tuple(everyone.take(name, np.flatnonzero(used == place)) for place, name in enumerate(SPLITS))


def _quality(
    read: Read,
    everyone: Split,
    *,
    outcome: tuple[str, Outcome],
    patient: str | None,
    exclude: Sequence[str],
    kept_out: KeptOut,
    ranges: Ranges,
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
        ranges=ranges,
        repeats={name: _repeats(read, everyone.rows, name) for name, why in kept_out if why == REPEATS},
        dates=_dates(read, everyone.rows, exclude),
        known=None if everyone.weight is None else everyone.known,
    )
    return assess(table, rows=len(read.raw), columns=len(read.columns))


def _repeats(read: Read, rows: NDArray[np.int64], name: str) -> tuple[int, int]:
    """How many different values these rows of a column have, and how many of them occur in several rows."""
    counts = read.columns[name].values.iloc[rows].value_counts()
    return len(counts), int((counts > 1).sum())


def _dates(read: Read, rows: NDArray[np.int64], exclude: Sequence[str]) -> pd.DataFrame:
    """The date columns of these rows, as text."""
    dates = {n: c.values.iloc[rows] for n, c in read.columns.items() if c.kind == "date" and n not in exclude}
    return pd.DataFrame(dates).reset_index(drop=True)


def _column_notes(
    read: Read, features: Sequence[Feature], exclude: Sequence[str], kept_out: KeptOut
) -> tuple[str, ...]:
    notes = [f"{name!r} is left out: {reason}." for name, reason in kept_out]
    if exclude:
        notes.append(f"Left out as asked for: {listed(exclude, most=len(exclude))}.")
    infinite = [(f.name, read.columns[f.name].infinite) for f in features]
    notes += [f"{count} infinite values of {name!r} count as missing." for name, count in infinite if count]
    return tuple(notes)
