"""Groups of patients, chosen before anybody looks at what a model does to them.

A group follows from the columns that were chosen and from nothing else: the labels of a text, bands of a
number. Bands are cut at given values, at fixed ages, or at the tertiles of train; the outcome has no say in
them, and neither have the patients of a locked test. Who has no value is a group too, as patients about whom
less is known are often those who are treated otherwise. Small groups are kept: they are for the review to
call not assessable, and not for us to lose.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.cohort import Split
from medprune.errors import BadInput, listed, nearest
from medprune.intake.columns import as_label

MISSING = "missing"
AGES = (40.0, 65.0, 75.0)  # years; MedPrune default
AGE = re.compile(r"(?:^|[^a-z])age(?:$|[^a-z])|^alter$|(?:^|_)age(?:yrs|years)?$", re.IGNORECASE)
FEW_CODES = 6  # different whole numbers of a column: each is a label
PARTS = 3  # tertiles
MOST_LABELS = 30  # of a column; rarer ones are taken together
MOST_PAIRS = 100  # groups by two columns; smaller ones are left out and counted

Members = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Group:
    """Some of a split's rows: ``members`` (N,), by what ``columns`` say of them."""

    name: str
    columns: tuple[str, ...]
    members: Members

    @property
    def is_pair(self) -> bool:
        """Whether it is where two columns meet."""
        return len(self.columns) > 1


@dataclass(frozen=True, eq=False)
class Grouping:
    """The groups of a split, those by one column first; ``notes`` say in sentences what was decided."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)


@dataclass(frozen=True)
class Cut:
    """A chosen column, and the values at which its bands begin; none given: fixed ages, or tertiles.

    >>> Cut.parsed("age:40,65")
    Cut(column='age', at=(40.0, 65.0))
    >>> Cut.parsed("sex")
    Cut(column='sex', at=())
    """

    column: str
    at: tuple[float, ...] = ()

    @classmethod
    def parsed(cls, text: str, columns: Sequence[str] = ()) -> Cut:
        """``COLUMN`` or ``COLUMN:40,65``; a name among ``columns`` that holds a colon is a name."""
        column, colon, values = text.rpartition(":")
        if not colon or text in columns:
            return cls(text)
        try:
            at = tuple(float(value) for value in values.split(","))
        except ValueError:
            raise BadInput(
                f"{text!r} should be a column, or a column and where to cut it, such as age:40,65."
            ) from None
        return cls(column, at)

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise(self.at))
        if not rising or not all(math.isfinite(value) for value in self.at):
            raise BadInput(f"The cut-points of {self.column!r} must be finite and rise, such as 40,65.")


def groups_of(
    split: Split,
    chosen: Sequence[str | Cut] | None = None,
    *,
    train: Split | None = None,
    pairs: bool = True,
) -> Grouping:
    """The groups of a split (N rows) by its ``subgroups`` columns: all of them, or those ``chosen``.

    A choice is a column's name, a name with cut-points ("age:40,65") or a :class:`Cut`. ``train`` tells where
    a number that is no age is cut, at its tertiles; without train rows the split's own values do, never the
    outcome. With ``pairs``, every two columns meet too. The order of the rows plays no part. Raises BadInput
    for a column that was not loaded as a subgroup.
    """
    frame = split.subgroups
    names = [str(name) for name in frame.columns]
    wanted = [
        each if isinstance(each, Cut) else Cut.parsed(each, names)
        for each in (names if chosen is None else chosen)
    ]
    _check(wanted, names)
    notes: list[str] = []
    learnt = frame if train is None or not len(train) else train.subgroups
    if train is not None and not len(train):
        notes.append("There are no train patients: numbers are cut at tertiles of these patients.")
    by_column = {cut.column: _of_column(frame[cut.column], learnt[cut.column], cut, notes) for cut in wanted}
    alone = [group for groups in by_column.values() for group in groups]
    return Grouping((*alone, *(_pairs(by_column, notes) if pairs else ())), tuple(notes))


def _check(wanted: Sequence[Cut], names: Sequence[str]) -> None:
    unknown = [cut.column for cut in wanted if cut.column not in names]
    if unknown:
        raise BadInput(
            f"{listed(unknown)} was not chosen as a subgroup when the table was loaded"
            f"{nearest(unknown[0], names)}; name it among the subgroups first."
        )
    twice = {cut.column for cut in wanted if [c.column for c in wanted].count(cut.column) > 1}
    if twice:
        raise BadInput(f"{listed(sorted(twice))} is chosen as a subgroup twice; choose it once.")


def _of_column(values: pd.Series, learnt: pd.Series, cut: Cut, notes: list[str]) -> list[Group]:
    """The groups of one column: labels or bands, then who has no value."""
    missing = values.isna().to_numpy()
    if values.dtype.kind != "f":
        if cut.at:
            raise BadInput(f"{cut.column!r} holds text, which has no cut-points; choose it without them.")
        named = _labels(values, cut.column, notes)
    elif not cut.at and _are_codes(learnt):
        named = _labels(values.map(as_label, na_action="ignore"), cut.column, notes)
    else:
        named = _bands(values.to_numpy(np.float64), _cut_points(learnt, cut, notes), cut.column)
    if missing.any():
        named.append((f"{cut.column} {MISSING}", missing))
    return [Group(name, (cut.column,), members) for name, members in named]


def _labels(values: pd.Series, column: str, notes: list[str]) -> list[tuple[str, Members]]:
    """One group a label, in the order of the alphabet; beyond the commonest, the others together."""
    counts = values.value_counts()
    order = sorted(counts.index, key=lambda label: (-counts[label], str(label)))
    shown, others = order[:MOST_LABELS], order[MOST_LABELS:]
    named = [
        (f"{column} = {label}", (values == label).to_numpy(np.bool_)) for label in sorted(shown, key=str)
    ]
    if others:
        notes.append(
            f"{column!r} has {len(order)} labels: the {MOST_LABELS} commonest are groups, the other "
            f"{len(others)} are one."
        )
        named.append((f"{column}: {len(others)} other labels", values.isin(others).to_numpy(np.bool_)))
    return named


def _are_codes(values: pd.Series) -> bool:
    distinct = values.dropna().unique()
    return 0 < len(distinct) <= FEW_CODES and bool((distinct % 1 == 0).all())


def _cut_points(learnt: pd.Series, cut: Cut, notes: list[str]) -> tuple[float, ...]:
    if cut.at:
        return cut.at
    if AGE.search(cut.column):
        notes.append(
            f"{cut.column!r} is cut at {', '.join(f'{age:g}' for age in AGES)} years (MedPrune default)."
        )
        return AGES
    known = learnt.dropna().to_numpy(np.float64)
    if not len(known):
        return ()
    places = np.quantile(known, np.arange(1, PARTS) / PARTS, method="inverted_cdf")
    found = tuple(float(value) for value in np.unique(places) if value > known.min())
    notes.append(f"{cut.column!r} is cut at tertiles of train: {', '.join(f'{value:g}' for value in found)}.")
    return found


def _bands(x: NDArray[np.float64], at: Sequence[float], column: str) -> list[tuple[str, Members]]:
    """Bands from one cut-point to under the next; those that nobody is in are left out."""
    edges = (-math.inf, *at, math.inf)
    found = []
    for low, high in pairwise(edges):
        members = (x >= low) & (x < high)
        if members.any():
            found.append((f"{column} {_told(low, high)}", members))
    return found


def _told(low: float, high: float) -> str:
    if math.isinf(low):
        return f"under {high:g}" if math.isfinite(high) else "known"
    return f"{low:g} or over" if math.isinf(high) else f"{low:g} to under {high:g}"


def _pairs(by_column: Mapping[str, Sequence[Group]], notes: list[str]) -> list[Group]:
    """Where the groups of two columns meet, the largest; how many are left out is noted."""
    found = []
    for one, other in combinations(by_column.values(), 2):
        for a in one:
            for b in other:
                members = a.members & b.members
                if members.any():
                    found.append(Group(f"{a.name}, {b.name}", a.columns + b.columns, members))
    if len(found) > MOST_PAIRS:
        found.sort(key=lambda group: (-int(group.members.sum()), group.name))
        notes.append(
            f"Of {len(found)} groups by two columns the {MOST_PAIRS} largest are looked at, and the other "
            f"{len(found) - MOST_PAIRS} are not."
        )
    return found[:MOST_PAIRS]
