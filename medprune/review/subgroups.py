"""What pruning does to each group of patients: changes, held against those outside the group.

The question is not whether a model does equally well in all groups, which it does nowhere, but whether the
smaller one does worse than its parent, and whether in some groups more so: a difference in differences. All
groups are looked at together, so intervals are those of a band that holds for all of them at once (max-T).
A group with few events is not assessable: it gets its figures, no band, and never a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.errors import BadInput
from medprune.review.estimate import Estimate
from medprune.review.flips import Flips, flips
from medprune.review.gate import FAIL, NOT_ASSESSABLE, PASS, STATES, WARN, worst
from medprune.review.groups import Group
from medprune.review.influence import Figure, adjusted_p, band
from medprune.review.measures import MEASURES, Measure, Measured, Parts
from medprune.review.observed import Observed
from medprune.review.utility import odds
from medprune.review.within import Ground, Part, around

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

FEWEST = 50  # patients with the event, and without it, for a group to be assessable; MedPrune default
ALLOWED = 0.05  # of loss in sensitivity, and in net benefit; MedPrune default
JUDGED_BY = ("sensitivity", "net_benefit")
CHANCE = 0.05


@dataclass(frozen=True)
class GroupChange:
    """One figure of a group.

    ``band`` is the change with an interval that holds for all assessable groups at once. ``apart`` is the
    change less the change of those outside the group, with such an interval, and ``p`` that of its being 0,
    adjusted for all groups. They are unknown for a group, or a rest, that is not assessable.
    """

    measured: Measured
    band: Estimate
    apart: Estimate
    p: float


@dataclass(frozen=True)
class GroupReview:
    """A group: patients whose outcome is known, those with the event in any row, those without; rows that
    change side (``flips``, weighted where rows are), and ``missed`` and ``caught`` patients with the event,
    counted once and without weights."""

    name: str
    columns: tuple[str, ...]
    patients: int
    events: int
    others: int
    flips: Flips
    missed: int
    caught: int
    changes: dict[str, GroupChange]
    state: str

    @property
    def is_assessable(self) -> bool:
        return self.state != NOT_ASSESSABLE


@dataclass(frozen=True)
class SubgroupReview:
    """All groups, in the order given, acting at ``act_at``, with a loss of up to ``allowed``; ``fewest``
    patients with the event, and without it, make a group assessable."""

    groups: tuple[GroupReview, ...]
    act_at: float
    allowed: float = ALLOWED
    fewest: int = FEWEST

    @property
    def state(self) -> str:
        """The worst of the groups, in the order fail, not assessable, warn, pass.

        A pair of columns that is not assessable is shown and does not count: almost always some pair is too
        small, and its patients are in two groups by one column. Without any group: not assessable.
        """
        counted = [group.state for group in self.groups if group.is_assessable or len(group.columns) == 1]
        return worst(counted) if counted else NOT_ASSESSABLE

    @property
    def worst(self) -> GroupReview | None:
        """The assessable group in the worst state; of several, where sensitivity changes most for the worse,
        then net benefit."""
        able = [group for group in self.groups if group.is_assessable]

        def how_bad(group: GroupReview) -> tuple[float, ...]:
            return (STATES.index(group.state), *(group.changes[name].band.value for name in JUDGED_BY))

        return min(able, key=how_bad, default=None)

    def furthest(self, measure: str) -> tuple[GroupReview, float] | None:
        """The group whose change lies furthest from that of the others, in standard errors, and its adjusted
        p; None where no group can be held against others."""
        known = [group for group in self.groups if group.changes[measure].apart.is_known]

        def far(group: GroupReview) -> tuple[float, float]:
            apart = group.changes[measure].apart
            width = apart.high - apart.low
            return -group.changes[measure].p, abs(apart.value) / width if width else 0.0

        found = max(known, key=far, default=None)
        return None if found is None else (found, found.changes[measure].p)

    def table(self) -> pd.DataFrame:
        """One row a group and figure: counts, state, and each estimate with its ends."""
        rows = []
        for group in self.groups:
            for name, change in group.changes.items():
                row: dict[str, object] = {"group": group.name, "patients": group.patients}
                row |= {"events": group.events, "others": group.others, "state": group.state, "figure": name}
                measured = change.measured
                for what, each in (
                    ("dense", measured.dense),
                    ("pruned", measured.pruned),
                    ("change", measured.change),
                    ("band", change.band),
                    ("apart", change.apart),
                ):
                    row |= {what: each.value, f"{what}_low": each.low, f"{what}_high": each.high}
                rows.append(row | {"p": change.p})
        return pd.DataFrame(rows)


def subgroup_changes(
    observed: Observed,
    dense: Floats,
    pruned: Floats,
    groups: Sequence[Group],
    act_at: float,
    *,
    allowed: float = ALLOWED,
    fewest: int = FEWEST,
    measures: Sequence[str] = tuple(MEASURES),
    seed: int = 0,
) -> SubgroupReview:
    """What becomes of each group between two models' risks (N,) of the observed rows, acting at ``act_at``.

    A group passes when the lower ends of the bands of both the change of sensitivity and of net benefit lie
    above minus ``allowed``; it fails when the upper end of either lies below; it warns in between. The bands
    hold over groups, for one figure at a time: a pass takes both, which needs no further adjustment. A group
    with fewer than ``fewest`` patients with the event, or without it, is not assessable.
    ``measures`` are the figures looked at; those that a group is judged by are among them in any case.
    ``seed`` is that of the bands' draws. Raises BadInput for arrays that do not go together.
    """
    _check(observed, dense, pruned, groups, allowed)
    odds(act_at)
    pair = _Pair(observed, dense, pruned, act_at)
    ours = [_Ours.of(group, observed, fewest) for group in groups]
    found: list[dict[str, GroupChange]] = [{} for _ in groups]
    for name in dict.fromkeys((*measures, *JUDGED_BY)):
        for place, change in enumerate(_changes(_measure(name), pair, ours, seed)):
            found[place][name] = change
    return SubgroupReview(
        tuple(
            _reviewed(our, pair.take(our.inside), changes, allowed)
            for our, changes in zip(ours, found, strict=True)
        ),
        act_at,
        allowed,
        fewest,
    )


@dataclass(frozen=True, eq=False)
class _Pair:
    """Two models' risks of some rows."""

    observed: Observed
    dense: Floats
    pruned: Floats
    act_at: float

    def take(self, rows: Rows) -> _Pair:
        return _Pair(self.observed.take(rows), self.dense[rows], self.pruned[rows], self.act_at)

    def parts(self, measure: Measure) -> Parts:
        return measure.parts(self.observed, self.dense, self.pruned, self.act_at)


@dataclass(frozen=True, eq=False)
class _Ours:
    """A group's rows and all others, and whether there are enough patients in each."""

    group: Group
    inside: Rows
    outside: Rows
    enough: bool
    enough_outside: bool

    @classmethod
    def of(cls, group: Group, observed: Observed, fewest: int) -> _Ours:
        def enough(rows: Rows) -> bool:
            some = observed.take(rows)
            return min(some.events, some.others) >= fewest

        inside, outside = np.flatnonzero(group.members), np.flatnonzero(~group.members)
        return cls(group, inside, outside, enough(inside), enough(outside))


def _measure(name: str) -> Measure:
    if name not in MEASURES:
        raise BadInput(f"A figure must be one of {', '.join(MEASURES)}, got {name!r}.")
    return MEASURES[name]


def _changes(measure: Measure, pair: _Pair, ours: Sequence[_Ours], seed: int) -> list[GroupChange]:
    """One figure of all groups: each with its own intervals, and the bands over all."""
    ground = Ground.of(pair.observed.patients, 2 * len(ours))
    nothing = Part.of(Figure.unknown(0))
    measured, placed, apart, values = [], [], [], []
    for place, our in enumerate(ours):
        inside, outside = pair.take(our.inside), pair.take(our.outside)
        parts = inside.parts(measure)
        part = parts.change if our.enough else nothing
        rest = outside.parts(measure).change if our.enough and our.enough_outside else nothing
        measured.append(measure.measured(parts, inside.observed.patients))
        placed.append(ground.place(part, our.inside, place))
        apart.append(placed[-1] - ground.place(rest, our.outside, len(ours) + place))
        values.append((part.value, part.value - rest.value))
    bands, bands_apart = (band(figures, ground.patients, seed=seed) for figures in (placed, apart))
    chances = adjusted_p(apart, ground.patients, seed=seed)
    return [
        GroupChange(found, around(change, here), around(difference, beyond), p)
        for found, (change, difference), here, beyond, p in zip(
            measured, values, bands, bands_apart, chances, strict=True
        )
    ]


def _reviewed(our: _Ours, pair: _Pair, changes: dict[str, GroupChange], allowed: float) -> GroupReview:
    observed = pair.observed
    ill = np.flatnonzero(observed.event & observed.known)
    before, after = pair.dense[ill] >= pair.act_at, pair.pruned[ill] >= pair.act_at
    return GroupReview(
        name=our.group.name,
        columns=our.group.columns,
        patients=observed.events + observed.others,
        events=observed.events,
        others=observed.others,
        flips=flips(observed.event, pair.dense, pair.pruned, pair.act_at, observed.weight),
        missed=len(np.unique(observed.patients[ill][before & ~after])),
        caught=len(np.unique(observed.patients[ill][after & ~before])),
        changes=changes,
        state=_state(changes, allowed) if our.enough else NOT_ASSESSABLE,
    )


def _state(changes: dict[str, GroupChange], allowed: float) -> str:
    bands = [changes[name].band for name in JUDGED_BY]
    if not all(each.is_known for each in bands):
        return NOT_ASSESSABLE
    if any(each.high < -allowed for each in bands):
        return FAIL
    return PASS if all(each.exceeds(-allowed) for each in bands) else WARN


def _check(
    observed: Observed, dense: Floats, pruned: Floats, groups: Sequence[Group], allowed: float
) -> None:
    for what, array in (("dense risks", dense), ("pruned risks", pruned)):
        if array.shape != (len(observed),):
            raise BadInput(
                f"There are {len(observed)} rows but {what} of shape {array.shape}; give one each."
            )
        if not ((array >= 0) & (array <= 1)).all():
            raise BadInput(f"Some {what} do not lie between 0 and 1; give risks, not logits.")
    if not 0 < allowed < 1:
        raise BadInput(f"The loss that is allowed must lie between 0 and 1, got {allowed:g}.")
    wrong = [group.name for group in groups if group.members.shape != (len(observed),)]
    if wrong:
        raise BadInput(f"The group {wrong[0]!r} is of other rows; make the groups of the reviewed split.")
