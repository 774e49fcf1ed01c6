"""Two models on the same patients, one outcome against the others: every figure, and how it changed.

The essential four of Van Calster et al. (Lancet Digital Health 2025) and what belongs to them: AUROC, the
calibration plot, net benefit with its curve, and the risks by outcome.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprune.review import influence
from medprune.review.bootstrap import drawn_again
from medprune.review.calibration import weak_calibration
from medprune.review.curves import Curves, curves
from medprune.review.discrimination import auroc_interval, paired_auroc
from medprune.review.estimate import CONFIDENCE, Estimate
from medprune.review.flips import Flips, flips
from medprune.review.influence import Figure
from medprune.review.logits import logits
from medprune.review.measures import side_changes
from medprune.review.observed import Observed
from medprune.review.resampled import auprc, ici

Floats = NDArray[np.float64]
Estimates = Mapping[str, Estimate]
DRAWS = 500  # of those figures that have no formula (AUPRC and the ICI); fewer of many rows:
LEAST_DRAWS, DRAWN_ROWS = 100, 500_000  # whose intervals are narrow, and whose draws take long

FIGURES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "brier": "Brier score",
    "scaled_brier": "Scaled Brier score",
    "in_the_large": "Calibration in the large",
    "slope": "Calibration slope",
    "observed_over_expected": "Observed over expected (O/E)",
    "ici": "Integrated calibration index (ICI)",
    "net_benefit": "Net benefit",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}
RESAMPLED: Mapping[str, Callable[[Observed, Floats], float]] = {"auprc": auprc, "ici": ici}


@dataclass(frozen=True, eq=False)
class SideBySide:
    """The dense and the pruned model, for one class against the rest. Estimates by the names of FIGURES.

    ``raw`` is the pruned model before its recalibration, where it has one; ``change`` is pruned less dense
    and ``raw_change`` raw less dense, with paired intervals.
    """

    label: str
    rows: int
    events: int
    others: int
    prevalence: float
    dense: Estimates
    pruned: Estimates
    change: Estimates
    flips: Flips
    curves: Curves
    clipped: int  # risks of either model that were taken from 0 or 1 before their logit
    raw: Estimates | None = None
    raw_change: Estimates | None = None
    raw_flips: Flips | None = None
    raw_curves: Curves | None = None

    @property
    def treat_all(self) -> float:
        """The net benefit of acting on everybody."""
        return float(self.curves.everybody[self.curves.act_at == self.curves.at][0])

    @property
    def simplest(self) -> float:
        """The net benefit of the better of acting on everybody and on nobody."""
        return max(self.treat_all, 0.0)

    def doubt(self, loss: float) -> float:
        """The probability that net benefit fell by more than ``loss``, by its normal approximation."""
        change = self.change["net_benefit"]
        error = (change.high - change.low) / 2 / NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
        if not error > 0:
            return float(change.value < -loss)
        return NormalDist(change.value, error).cdf(-loss)

    def to_json(self) -> dict[str, Any]:
        return {
            "class": self.label,
            "rows": self.rows,
            "events": self.events,
            "non_events": self.others,
            "prevalence": self.prevalence,
            "dense": estimates_json(self.dense),
            "pruned": estimates_json(self.pruned),
            "change": estimates_json(self.change),
            "raw": None if self.raw is None else estimates_json(self.raw),
            "raw_change": None if self.raw_change is None else estimates_json(self.raw_change),
            "curves": self.curves.to_json(),
        }


def estimates_json(found: Estimates) -> dict[str, dict[str, float]]:
    return {name: {"value": e.value, "low": e.low, "high": e.high} for name, e in found.items()}


def side_by_side(
    observed: Observed,
    dense: Floats,
    pruned: Floats,
    act_at: float,
    *,
    raw: Floats | None = None,
    label: str = "",
    act_range: tuple[float, float] | None = None,
    seed: int = 0,
) -> SideBySide:
    """Compare risks (N,) of two models for ``observed``; ``raw`` are the second's before recalibration."""
    models = [dense, pruned, *([] if raw is None else [raw])]
    alone = [figures_of(observed, risk, act_at) for risk in models]
    draws = int(np.clip(DRAWN_ROWS // len(observed), LEAST_DRAWS, DRAWS))
    values = _resampled(observed, models, seed, draws)
    single = [_alone(observed, risk, found) for risk, found in zip(models, alone, strict=True)]
    for place, name in enumerate(RESAMPLED):
        for which, estimates in enumerate(single):
            estimates[name] = _percentile(values[:, which, place])
    changes = []
    for which in range(1, len(models)):
        change = {
            name: (alone[which][name] - alone[0][name]).estimate(observed.patients) for name in alone[0]
        }
        change["auroc"] = auroc_of_two(observed, dense, models[which])[2]
        change |= side_changes(observed, dense, models[which], act_at)
        for place, name in enumerate(RESAMPLED):
            change[name] = _percentile(values[:, which, place] - values[:, 0, place])
        changes.append(_in_order(change))
    single = [_in_order(each) for each in single]
    drawn = [curves(observed, dense, risk, act_at, act_range) for risk in models[1:]]
    return SideBySide(
        label=label,
        rows=len(observed),
        events=observed.events,
        others=observed.others,
        prevalence=observed.prevalence,
        dense=single[0],
        pruned=single[1],
        change=changes[0],
        flips=flips(observed.event, dense, pruned, act_at, observed.weight),
        curves=drawn[0],
        clipped=sum(logits(risk)[1] for risk in models[:2]),
        raw=None if raw is None else single[2],
        raw_change=None if raw is None else changes[1],
        raw_flips=None if raw is None else flips(observed.event, dense, raw, act_at, observed.weight),
        raw_curves=None if raw is None else drawn[1],
    )


def figures_of(observed: Observed, risk: Floats, act_at: float) -> dict[str, Figure]:
    """Every figure that has an influence function; O/E as a ratio."""
    log_ratio = influence.observed_over_expected(observed, risk)
    ratio = math.exp(log_ratio.value)
    return {
        "auroc": influence.auroc(observed, risk),
        "brier": influence.brier(observed, risk),
        "scaled_brier": influence.scaled_brier(observed, risk),
        "in_the_large": influence.in_the_large(observed, risk),
        "slope": influence.slope(observed, risk),
        "observed_over_expected": Figure(ratio, ratio * log_ratio.influence),
        "net_benefit": influence.net_benefit(observed, risk, act_at),
        "sensitivity": influence.sensitivity(observed, risk, act_at),
        "specificity": influence.specificity(observed, risk, act_at),
    }


def _alone(observed: Observed, risk: Floats, found: Mapping[str, Figure]) -> dict[str, Estimate]:
    """One model's intervals: the textbook's where every row is a patient, else by influence."""
    estimates = {name: figure.estimate(observed.patients) for name, figure in found.items()}
    if observed.is_simple:
        estimates |= weak_calibration(observed.event, risk)
        estimates["auroc"] = auroc_interval(observed.event, risk)
    return estimates


def auroc_of_two(observed: Observed, dense: Floats, pruned: Floats) -> tuple[Estimate, Estimate, Estimate]:
    """The AUROC of both models, and the change: DeLong's own where every row is a patient, so that they are
    the figures that other software gives."""
    if observed.is_simple:
        found = paired_auroc(observed.event, dense, pruned)
        return found.first, found.second, found.difference
    before, after = influence.auroc(observed, dense), influence.auroc(observed, pruned)
    who = observed.patients
    return before.estimate(who), after.estimate(who), (after - before).estimate(who)


def _in_order(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    return {name: estimates[name] for name in FIGURES}


def _resampled(observed: Observed, models: list[Floats], seed: int, draws: int) -> Floats:
    """AUPRC and ICI of every model (1 + draws, models, 2): of the patients first, then of those drawn again;
    the same draws for all models, so that changes are paired."""
    shown = [np.arange(len(observed))]
    shown += list(drawn_again(observed.patients, observed.event & observed.known, draws=draws, seed=seed))
    values = np.empty((len(shown), len(models), len(RESAMPLED)))
    for draw, rows in enumerate(shown):
        again = observed.take(rows)
        for which, risk in enumerate(models):
            for place, figure in enumerate(RESAMPLED.values()):
                values[draw, which, place] = figure(again, risk[rows])
    return values


def _percentile(values: Floats) -> Estimate:
    """The first value with the percentile interval of the others."""
    again = values[1:][~np.isnan(values[1:])]
    if math.isnan(values[0]) or not len(again):
        return Estimate.unknown()
    low, high = np.quantile(again, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(values[0]), float(low), float(high))
