"""A scorecard on one page, for a model with few inputs: points to add up, and the risk they stand for.

Where every way through the network is linear the points are the model, up to their rounding. Anywhere else
no sum of points is the model: the card then holds what each input does on average over the reviewed patients,
is called an approximation, and says how far it was off. Ten points double the odds (Sullivan, Massaro and
D'Agostino, Statistics in Medicine 2004, for cards of points).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medprune.cohort import Split
from medprune.compaction import compact
from medprune.disclosure import FLOOR
from medprune.model import RiskModel
from medprune.performance import BINARY
from medprune.preparation import CategoryCode, NumberCode

Floats = NDArray[np.float64]

MOST_INPUTS = 10
PER_LOG_ODDS = 10 / math.log(2)
FEW_VALUES = 6  # of a number: each is a line of the card
CUTS = (0.05, 0.15, 0.3, 0.5, 0.7, 0.85, 0.95)  # else; narrow at both ends, where risks change most
A_CURVE = 5  # values, from which one can be drawn
AVERAGED = 500  # patients
UNKNOWN = "not known"
SHOWN_RISKS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
LABELS = 12  # of a category that are printed


@dataclass(frozen=True)
class Line:
    """What one finding about a patient counts: of an exact card per unit of a number."""

    finding: str
    points: float


@dataclass(frozen=True)
class Input:
    """An input with its lines; ``per_unit`` where points are counted for each unit of a number."""

    name: str
    lines: tuple[Line, ...]
    per_unit: float | None = None


@dataclass(frozen=True)
class Curve:
    """The mean risk (P,) were one number at each of the values (P,) in everybody."""

    name: str
    values: tuple[float, ...]
    risks: tuple[float, ...]


@dataclass(frozen=True)
class Error:
    """How far the card's risks were from the model's on the reviewed patients."""

    patients: int
    largest: float
    usual: float  # the mean distance
    nearly_all: float  # 95 in 100 lie within
    decided_otherwise: float  # the share at the risk that is acted on


@dataclass(frozen=True)
class Scorecard:
    """Points by input. ``risk = 1 / (1 + 2 ** ((zero - total) / 10))``; ``lookup`` has totals for risks."""

    exact: bool
    inputs: tuple[Input, ...]
    zero: float
    act_at: float
    error: Error
    curves: tuple[Curve, ...] = ()

    @property
    def lookup(self) -> tuple[tuple[float, float], ...]:
        """Risks with the smallest total of points that reaches each, the risk that is acted on among them."""
        risks = sorted({*SHOWN_RISKS, self.act_at})
        return tuple((risk, self.total_for(risk)) for risk in risks)

    def total_for(self, risk: float) -> float:
        return self.zero + PER_LOG_ODDS * math.log(risk / (1 - risk))

    def risk_of(self, total: Floats) -> Floats:
        made: Floats = 1 / (1 + 2 ** ((self.zero - total) / 10))
        return made


def scorecard(model: RiskModel, split: Split, floor: int = FLOOR) -> Scorecard | None:
    """The card of a model for two classes with at most ten inputs, measured on a split; None for others."""
    small = compact(model)
    if len(small.classes) != BINARY or not 0 < len(small.features) <= MOST_INPUTS or not len(split):
        return None
    return _exact(small, split) if is_linear(small) else _approximate(small, split, floor)


def is_linear(small: RiskModel) -> bool:
    """Whether the log odds are a weighted sum of the prepared columns."""
    tails = small.network.spec.tails
    return all(tail.activation == "identity" and tail.norm != "layer" for tail in tails)


def log_odds(model: RiskModel, prepared: NDArray[np.float32]) -> Floats:
    """Log odds of the event (N,) from prepared columns, as the risks have it."""
    risk = model.risks_of(prepared)
    least = np.finfo(np.float64).tiny
    made: Floats = np.log(np.maximum(risk[:, 1], least)) - np.log(np.maximum(risk[:, 0], least))
    return made


# ---- where the network is linear: the points are the model


def _exact(small: RiskModel, split: Split) -> Scorecard:
    columns = small.preparation.columns
    nothing = np.zeros((1, len(columns)), dtype=np.float32)
    base = float(log_odds(small, nothing)[0])
    weight = log_odds(small, np.eye(len(columns), dtype=np.float32)) - base
    zero, inputs = -PER_LOG_ODDS * base, []
    for code in small.preparation.numbers:
        made, shift = _of_number(small, code, weight)
        zero -= shift
        inputs.append(made)
    inputs += [_of_category(small, code, weight) for code in small.preparation.categories]
    made_card = Scorecard(True, tuple(inputs), round(zero, 1), small.act_at, _NOT_YET)
    return _measured(made_card, small, split, FLOOR)


_NOT_YET = Error(0, math.nan, math.nan, math.nan, math.nan)


def _of_number(small: RiskModel, code: NumberCode, weight: Floats) -> tuple[Input, float]:
    """Points for each unit of a number, and those that every patient gets for its mean."""
    by_role = {
        column.role: float(w)
        for column, w in zip(small.preparation.columns, weight, strict=True)
        if column.feature == code.name
    }
    slope = PER_LOG_ODDS * by_role.get("value", 0.0) / code.scale
    missing = slope * code.fill + PER_LOG_ODDS * by_role.get("flag", 0.0)
    lines = (Line(UNKNOWN, round(missing, 1)),)
    return Input(code.name, lines, float(f"{slope:.4g}")), -slope * code.mean


def _of_category(small: RiskModel, code: CategoryCode, weight: Floats) -> Input:
    by_code = {
        column.code: float(w)
        for column, w in zip(small.preparation.columns, weight, strict=True)
        if column.feature == code.name
    }
    names = [*code.labels, "any other"]
    lines = [Line(name, PER_LOG_ODDS * by_code.get(place, 0.0)) for place, name in enumerate(names)]
    lines.append(Line(UNKNOWN, PER_LOG_ODDS * by_code.get(code.fill, 0.0)))
    return Input(code.name, tuple(Line(line.finding, round(line.points, 1)) for line in lines))


# ---- elsewhere: what each input does on average


def _approximate(small: RiskModel, split: Split, floor: int) -> Scorecard:
    """Points from partial dependence (Friedman, Annals of Statistics 2001) of the log odds."""
    frame = _some(split.frame)
    base = float(log_odds(small, small.preparation.transform(frame)).mean())
    inputs: list[Input] = []
    curves: list[Curve] = []
    for number in small.preparation.numbers:
        bands = _bands(split.frame[number.name], floor)
        points = _points(small, frame, number.name, [*(value for _, _, value in bands), math.nan], base)
        lines = [Line(title, each) for (title, *_), each in zip(bands, points, strict=False)]
        inputs.append(Input(number.name, (*lines, Line(UNKNOWN, points[-1]))))
        curves += _curve(small, frame, number.name)
    for category in small.preparation.categories:
        labels = category.labels[:LABELS]
        points = _points(small, frame, category.name, [*labels, None], base)
        named = zip([*labels, UNKNOWN], points, strict=True)
        inputs.append(Input(category.name, tuple(Line(*each) for each in named)))
    zero = float(round(-PER_LOG_ODDS * base))
    made = Scorecard(False, tuple(inputs), zero, small.act_at, _NOT_YET, tuple(curves))
    return _measured(made, small, split, floor)


def _some(frame: pd.DataFrame) -> pd.DataFrame:
    """At most so many rows, evenly taken."""
    step = max(1, math.ceil(len(frame) / AVERAGED))
    return frame.iloc[::step].reset_index(drop=True)


def _with_all(
    small: RiskModel, frame: pd.DataFrame, name: str, values: Sequence[object]
) -> NDArray[np.float32]:
    """Prepared columns (values x rows, columns): everybody with one input at each of the values."""
    many = pd.concat([frame] * len(values), ignore_index=True)
    numeric = frame[name].dtype != object
    repeated = np.repeat(np.array(values, dtype=np.float64 if numeric else object), len(frame))
    many[name] = pd.Series(repeated, dtype=np.float64 if numeric else object)
    return small.preparation.transform(many)


def _points(
    small: RiskModel, frame: pd.DataFrame, name: str, values: Sequence[object], base: float
) -> list[float]:
    odds = log_odds(small, _with_all(small, frame, name, values)).reshape(len(values), -1).mean(axis=1)
    return [float(round(PER_LOG_ODDS * (each - base))) + 0.0 for each in odds]


def _curve(small: RiskModel, frame: pd.DataFrame, name: str) -> list[Curve]:
    known = frame[name].dropna().to_numpy(np.float64)
    if len(np.unique(known)) < A_CURVE:
        return []
    values = np.linspace(float(np.quantile(known, 0.05)), float(np.quantile(known, 0.95)), 25)
    risks = small.risks_of(_with_all(small, frame, name, values.tolist()))[:, 1]
    return [Curve(name, tuple(values.tolist()), tuple(risks.reshape(len(values), -1).mean(axis=1).tolist()))]


def _bands(seen: pd.Series, floor: int) -> list[tuple[str, float, float]]:
    """A number in bands: title, lower end, and the value it counts as, the median of its patients.

    Few values have a band each, many have bands between quantiles; each band has more than ``floor``
    patients.
    """
    known = np.sort(seen.dropna().to_numpy(np.float64))
    if not len(known):
        return []
    values = np.unique(known)
    wanted = values[1:] if len(values) <= FEW_VALUES else np.quantile(known, CUTS, method="higher")
    ends = [-math.inf]
    for cut in sorted({float(f"{cut:.6g}") for cut in wanted}):
        inside = (known >= ends[-1]) & (known < cut)
        if inside.sum() > floor and (known >= cut).sum() > floor:
            ends.append(cut)
    bands = []
    for low, high in pairwise([*ends, math.inf]):
        inside = known[(known >= low) & (known < high)]
        bands.append((_band_title(low, high), low, float(np.median(inside))))
    return bands


def _band_title(low: float, high: float) -> str:
    if math.isinf(low):
        return "any" if math.isinf(high) else f"below {high:g}"
    return f"{low:g} or more" if math.isinf(high) else f"{low:g} to below {high:g}"


# ---- both: the card as printed, against the model


def totals(card: Scorecard, small: RiskModel, split: Split, floor: int = FLOOR) -> Floats:
    """What the card as printed adds up to for every reviewed patient (N,)."""
    total = np.zeros(len(split))
    for made in card.inputs:
        seen = split.frame[made.name]
        by_finding = {line.finding: line.points for line in made.lines}
        if seen.dtype == object:
            code = next(each for each in small.preparation.categories if each.name == made.name)
            total += _category_totals(code, seen, by_finding)
            continue
        number = next(each for each in small.preparation.numbers if each.name == made.name)
        values = number.clean.numbers(seen.to_numpy(np.float64))
        bands = made.per_unit is None
        added = _banded(values, seen, made, floor) if bands else (made.per_unit or 0.0) * values
        total += np.where(np.isnan(values), by_finding[UNKNOWN], added)
    return total


def _category_totals(code: CategoryCode, seen: pd.Series, by_finding: Mapping[str, float]) -> Floats:
    other = by_finding.get("any other", 0.0)
    labels = code.clean.categories(seen) if code.clean else seen
    return np.array(
        [by_finding[UNKNOWN] if pd.isna(label) else by_finding.get(str(label), other) for label in labels]
    )


def _banded(values: Floats, seen: pd.Series, made: Input, floor: int) -> Floats:
    lows = np.array([low for _, low, _ in _bands(seen, floor)])
    if not len(lows):
        return np.zeros(len(values))
    place = np.clip(np.searchsorted(lows, values, side="right") - 1, 0, len(lows) - 1)
    points = np.array([line.points for line in made.lines[:-1]])
    banded: Floats = points[place]
    return banded


def _measured(card: Scorecard, small: RiskModel, split: Split, floor: int) -> Scorecard:
    model = small.risks_of(small.prepared(split))[:, 1]
    found = card.risk_of(totals(card, small, split, floor))
    apart = np.abs(found - model)
    error = Error(
        len(np.unique(split.patients)),
        float(apart.max()),
        float(apart.mean()),
        float(np.quantile(apart, 0.95)),
        float(((found >= card.act_at) != (model >= card.act_at)).mean()),
    )
    return replace(card, error=error)
