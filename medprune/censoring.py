"""Outcomes that take time: who had the event by a horizon, who had not, and of whom nobody knows.

The outcome column then says whether the event was seen (its positive label) or follow-up ended before that,
and a second column when. Status at the horizon T: event at or before T, the positive class; still without
the event at T, the negative one (followed up to T or beyond, whatever came then); censored before T, unknown.

Leaving the unknown out, or counting them as no event, makes the event too common or too rare: whoever is
followed for longer has more time for either. So they stay among the patients with weight 0, and everybody
whose status is known stands for some of them: inverse probability of censoring weights (Graf et al.,
Statistics in Medicine 1999), w = 1 / G(min(time, T)-), with G the Kaplan-Meier curve of *not yet being
censored*. Of an event and a censoring at the same time the event comes first, so G is taken just before. That
is Graf's G(T) for those beyond T wherever nobody is censored at T itself; where a study ends for all at T,
G(T) would be 0, and they are known to be without the event all the same.

G is estimated on each split by itself, and weighs its patients alone. Then the weights of a split sum to its
rows, and the weighted share of events is one minus the Kaplan-Meier estimate at T on these patients, to the
last digit (Satten and Datta, American Statistician 2001): what calibration in the large is held against.

Censoring must not depend on the risk (given nothing else): a table cannot show that. Nor can it show what
ended a follow-up: a death from another cause counted as censored makes the event look more common than it
will be. With such competing events, name the one of interest *or any other* as the event, or take a fixed
horizon by which everybody's status is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.errors import BadInput
from medprune.intake.columns import TypedColumn
from medprune.outcome import BINARY, OUTCOME_MISSING

Array = NDArray[np.float64]
BEYOND, EARLY, EVENT = range(3)  # a patient with several rows is dealt under the highest
STATUSES = ("event by the horizon", "followed up beyond it", "censored before it")
HEAVY = 10.0  # a weight from which on figures hang on few patients


@dataclass(frozen=True, eq=False)
class Times:
    """Follow-up of rows (N,): how long, whether it ended with the event, and the horizon."""

    time: Array
    event: NDArray[np.bool_]
    horizon: float

    @property
    def status(self) -> NDArray[np.int64]:
        """BEYOND, EARLY or EVENT (N,)."""
        by_then = self.event & (self.time <= self.horizon)
        early = ~self.event & (self.time < self.horizon)
        found: NDArray[np.int64] = np.where(by_then, EVENT, np.where(early, EARLY, BEYOND))
        return found

    @property
    def outcome(self) -> NDArray[np.int64]:
        """1 for an event by the horizon, else 0 (N,); the 0 of those censored before it means nothing."""
        found: NDArray[np.int64] = (self.status == EVENT).astype(np.int64)
        return found

    def check_enough(self, least: int) -> None:
        """BadInput when fewer than ``least`` rows have the event by the horizon, or are without it then."""
        counts = np.bincount(self.status, minlength=3)
        for status, what, mend in (
            (BEYOND, "are followed up to it without the event", "an earlier"),
            (EVENT, "have the event by then", "a later"),
        ):
            if counts[status] < least:
                raise BadInput(
                    f"With the horizon {self.horizon:g} fewer than {least} rows {what}; choose {mend} "
                    "--horizon."
                )

    def of(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Times:
        return Times(self.time[rows], self.event[rows], self.horizon)

    def weights(self) -> Array:
        """What each row counts (N,): 1 / G just before its event or the horizon, 0 where unknown.

        BadInput when nobody is followed up to the horizon.
        """
        if not (self.time >= self.horizon).any():
            raise BadInput(
                f"Nobody in a group of {len(self.time):,} rows (train, tuning, test, or an external table) "
                f"is followed up to the horizon of {self.horizon:g}, so it cannot be known who is without "
                "the event then; choose an earlier --horizon."
            )
        at, free = not_censored(self.time, self.event)
        before = free[np.searchsorted(at, np.minimum(self.time, self.horizon), side="left")]
        found: Array = np.divide(1.0, before, out=np.zeros(len(before)), where=self.status != EARLY)
        return found


def not_censored(time: Array, event: NDArray[np.bool_]) -> tuple[Array, Array]:
    """Different times in rising order (D,), and the share not yet censored before each and at last (D + 1,).

    Kaplan and Meier's, of the censoring; events leave before the censorings of the same time.

    >>> not_censored(np.array([1.0, 2.0, 2.0, 3.0]), np.array([False, True, False, True]))[1]
    array([1.   , 0.75 , 0.375, 0.375])
    """
    at, place = np.unique(time, return_inverse=True)
    events = np.bincount(place, event, minlength=len(at))
    lost = np.bincount(place, ~event, minlength=len(at))
    at_risk = np.cumsum((events + lost)[::-1])[::-1] - events
    stay = 1 - np.divide(lost, at_risk, out=np.zeros(len(at)), where=at_risk > 0)
    return at, np.concatenate([[1.0], np.cumprod(stay)])


@dataclass(frozen=True)
class FollowUp:
    """What is told of the follow-up: rows by their status, and how long they were followed.

    ``median`` is that of the time under observation by reverse Kaplan-Meier (Schemper and Smith, Controlled
    Clinical Trials 1996), None where it is not reached. ``heaviest`` is the largest weight of any row.
    """

    time: str
    horizon: float
    events: int
    beyond: int
    early: int
    median: float | None
    heaviest: float
    share: float  # with the event by the horizon, as the weights have it

    @classmethod
    def of(cls, name: str, times: Times, weight: Array) -> FollowUp:
        beyond, early, events = np.bincount(times.status, minlength=3).tolist()
        at, free = not_censored(times.time, times.event)
        half = np.flatnonzero(free[1:] <= 0.5)  # noqa: PLR2004 - the median
        median = float(at[half[0]]) if len(half) else None
        share = float(weight @ times.outcome / weight.sum())
        return cls(name, times.horizon, events, beyond, early, median, float(weight.max()), share)

    def notes(self, *, counts: bool = True) -> tuple[str, ...]:
        """In sentences, for the cohort's notes; without ``counts`` where small ones are kept back."""
        if not counts:
            told = f"{self.time!r} is the follow-up time and no feature; some are censored before "
            return (f"{told}{self.horizon:g}: they count 0, and the others stand for them.",)
        rows = self.events + self.beyond + self.early
        median = "not reached" if self.median is None else f"{self.median:g}"
        found = [
            f"{self.time!r} is the follow-up time and no feature. Of {rows:,} rows {self.events:,} have the "
            f"event by {self.horizon:g}, {self.beyond:,} are followed up to then without it, and "
            f"{self.early:,} ({self.early / max(rows, 1):.1%}) are censored before (median follow-up "
            f"{median}).",
        ]
        if self.early:
            found.append(
                "Those censored before stay among the patients, but nobody knows their status: they count 0 "
                "in every figure, and the others stand for them (inverse probability of censoring weights, "
                f"from 1 to {self.heaviest:.3g}). So weighted, {self.share:.1%} have the event by "
                f"{self.horizon:g}. That holds if who is censored does not depend on the risk."
            )
        if self.heaviest > HEAVY:
            found.append(
                f"Less than one in {HEAVY:g} is still followed up at {self.horizon:g} among those without "
                "the event: every figure hangs on few patients; an earlier --horizon is surer."
            )
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def asked(time: str | None, horizon: float | None) -> tuple[str, float] | None:
    """The column and the horizon, or None; BadInput for one of them alone, or a horizon not above 0."""
    if time is None and horizon is None:
        return None
    if time is None or horizon is None:
        given, other = ("--horizon", "--time COL") if time is None else ("--time", "--horizon T")
        raise BadInput(
            f"A censored outcome takes a column of follow-up times and a horizon; {given} is given alone, "
            f"so add {other}."
        )
    if not (np.isfinite(horizon) and horizon > 0):
        raise BadInput(f"The horizon must be a number above 0, in the unit of {time!r}, got {horizon:g}.")
    return time, float(horizon)


def check_two_labels(column: TypedColumn) -> None:
    """BadInput when the event column tells more than event and no event: other events are not censoring."""
    known = column.values[~column.values.isin(OUTCOME_MISSING)].dropna()
    if known.nunique() > BINARY:
        raise BadInput(
            f"Outcome {column.name!r} has {known.nunique()} different values, and with a follow-up time it "
            "must have two: the event, and censored without it; competing events cannot be told from "
            "censoring, so make a column of the event of interest or any other, or leave --time and "
            "--horizon out."
        )


def times_of(column: TypedColumn, event: NDArray[np.bool_], used: NDArray[np.bool_], horizon: float) -> Times:
    """Follow-up of all rows (N,), checked where they are used; BadInput says what is wrong with it."""
    name = column.name
    if column.kind != "number" or len(column.text_rows):
        raise BadInput(
            f"The follow-up times in {name!r} must be numbers, such as days from the start; correct the "
            "column, or name another with --time."
        )
    time = pd.to_numeric(column.values, errors="coerce").to_numpy(np.float64)
    wrong = {"no": int(np.isnan(time[used]).sum()), "a negative": int((time[used] < 0).sum())}
    for what, count in wrong.items():
        if count:
            raise BadInput(
                f"{count:,} rows have {what} follow-up time in {name!r}; correct them, or leave these rows "
                "out of the table."
            )
    return Times(np.where(np.isnan(time), 0.0, time), event, horizon)


def again(follow_up: FollowUp | None) -> dict[str, Any]:
    """The choices of ``load_cohort`` that gave this follow-up."""
    return {} if follow_up is None else {"time": follow_up.time, "horizon": follow_up.horizon}


def told_of(training: Mapping[str, Any] | None) -> tuple[str, float] | None:
    """The time column and the horizon that a model was trained for; None where it has none."""
    found = (training or {}).get("follow_up")
    if not isinstance(found, Mapping):
        return None
    return str(found["time"]), float(found["horizon"])
