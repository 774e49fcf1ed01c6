"""What pruning does to patients of real tables: every arm against the dense network, on locked test patients.

A seed deals the patients and starts the network, as in the other parts. Each dense network is cut once to
every sparsity by magnitude and by contribution, without any retraining (``raw``); the same candidates are
recalibrated on tuning (``recalibrated``); and the product's path, which retrains in every round and then
recalibrates, is read at the same sparsities (``retrained``). Beside them stand the dense network trained
again from other seeds, which nobody pruned (``refit``: the floor), and the dense network recalibrated.

The risk that is acted on is the prevalence among train patients, to the next twentieth: no other was tried.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from medprune import Cohort, RiskModel, prune, score, train
from medprune.candidate import Candidate, Problem
from medprune.cohort import Split
from medprune.performance import auroc, decisions
from medprune.ranking import USUAL_SCOPE
from medprune.recalibration import fit_recalibration
from medprune.removal import Cut
from medprune.review import influence
from medprune.review.discrimination import paired_auroc
from medprune.review.flips import foretold
from medprune.review.forecast import Forecast, change_in_loss, compare, forecast, moved
from medprune.review.groups import Group, groups_of
from medprune.review.limits import Limits
from medprune.review.observed import Observed
from medprune.review.subgroups import SubgroupReview, subgroup_changes
from tests.bench.data import FETAL, HEART, NHEFS, PIMA, Table
from tests.bench.study import ROUNDS, at

Floats = NDArray[np.float64]

SEEDS = range(20)
LEVELS = (0.50, 0.70, 0.80, 0.90, 0.95, 0.98)
CRITERIA = ("magnitude", "contribution")
RAW, RECALIBRATED, RETRAINED = "raw", "recalibrated", "retrained"
REFIT, DENSE = "refit", "dense, recalibrated"
REFITS = 3
FEWEST = 10  # with the event, and without: to look at chance. A review asks for 50, which no group here has
IN_TRAIN = 30  # rows of a group, for its gradient to be its own
COLUMNS: Mapping[str, tuple[str, ...]] = {
    NHEFS.name: ("sex", "age", "race"),
    HEART.name: ("sex", "age", "site"),
    PIMA.name: ("age",),
    FETAL.name: (),
}
HARM_TABLES = (NHEFS, HEART, PIMA, FETAL)
LIMITS = Limits()


@dataclass(frozen=True)
class Row:
    """One model on one seed's test patients; changes are against the dense network, NaN where not defined.

    ``low`` and ``high`` end the change of AUROC (DeLong, paired); ``worst`` is the lowest change of net
    benefit in a group; ``p_benefit`` and ``p_sensitivity`` are the smallest p, adjusted for all groups, of a
    group that loses more than the others losing as they do. ``foretold``: how well the dense margin
    told who flips; ``by_bound``, ``by_margin``: the forecast's rank correlations with the groups' losses.
    """

    table: str
    seed: int
    criterion: str
    arm: str
    level: float
    act_at: float
    auroc: float
    low: float = math.nan
    high: float = math.nan
    slope: float = math.nan
    flips: float = math.nan
    floor: float = math.nan
    benefit: float = math.nan
    change: float = math.nan
    simplest: float = math.nan
    worst: float = math.nan
    p_benefit: float = math.nan
    p_sensitivity: float = math.nan
    foretold: float = math.nan
    by_bound: float = math.nan
    by_margin: float = math.nan


@dataclass(frozen=True, eq=False)
class Against:
    """The dense network on test, and everything its smaller models are held against."""

    table: Table
    seed: int
    dense: RiskModel
    split: Split
    groups: tuple[Group, ...]
    act_at: float
    floor: float

    @property
    def binary(self) -> bool:
        return len(self.dense.classes) == 2

    def row(self, model: RiskModel, arm: str, criterion: str = "", level: float = 0.0, **more: float) -> Row:
        before, after = (risks(each, self.split) for each in (self.dense, model))
        aurocs = [auroc(self.split.outcome, each) for each in (before, after)]
        sides = [decisions(each, self.act_at) for each in (before, after)]
        made = Row(
            self.table.name, self.seed, criterion, arm, level, self.act_at, aurocs[1] - aurocs[0],
            flips=float((sides[0] != sides[1]).mean()), floor=self.floor,
        )  # fmt: skip
        return replace(made, **more, **(self._binary(before[:, 1], after[:, 1]) if self.binary else {}))

    def _binary(self, before: Floats, after: Floats) -> dict[str, float]:
        observed = Observed.of(self.split)
        difference = paired_auroc(observed.event, before, after).difference
        benefits = [influence.net_benefit(observed, each, self.act_at).value for each in (before, after)]
        everybody = influence.net_benefit(observed, np.ones(len(after)), self.act_at).value
        found = {
            "low": difference.low,
            "high": difference.high,
            "slope": influence.slope(observed, after).value,
            "benefit": benefits[1],
            "change": benefits[1] - benefits[0],
            "simplest": max(everybody, 0.0),
            "foretold": foretold(before, after, self.act_at),
        }
        if not self.groups:
            return found
        made = subgroup_changes(
            observed, before, after, self.groups, self.act_at, fewest=FEWEST, measures=(), seed=self.seed
        )
        return found | _groups(made)


def _groups(made: SubgroupReview) -> dict[str, float]:
    able = [
        group.changes["net_benefit"].measured.change.value for group in made.groups if group.is_assessable
    ]
    return {
        "worst": min(able, default=math.nan),
        "p_benefit": _smallest(made, "net_benefit"),
        "p_sensitivity": _smallest(made, "sensitivity"),
    }


def _smallest(made: SubgroupReview, measure: str) -> float:
    """The smallest adjusted p among groups that lose more than the others do; 1 where none does."""
    known = [found for group in made.groups if (found := group.changes[measure]).apart.is_known]
    return min((found.p for found in known if found.apart.value < 0), default=1.0) if known else math.nan


def risks(model: RiskModel, split: Split) -> Floats:
    found: Floats = model.risks_of(model.prepared(split))
    return found


def acted_on(cohort: Cohort) -> float:
    """The prevalence among train patients, to the next twentieth."""
    return float(np.clip(round(20 * float((cohort.train.outcome == 1).mean())) / 20, 0.05, 0.95))


def harm_rows(table: Table, seed: int) -> list[Row]:
    """All arms at all sparsities for one seed."""
    torch.set_num_threads(1)
    cohort = table.cohort(seed)
    dense, again = (
        train(cohort, seed=seed),
        [train(cohort, seed=1000 * n + seed) for n in range(1, REFITS + 1)],
    )
    act_at, split = acted_on(cohort), cohort.test
    sides = [decisions(risks(each, split), act_at) for each in (dense, *again)]
    floor = float(np.mean([(sides[0] != side).mean() for side in sides[1:]]))
    dense = replace(dense, act_at=act_at)
    against = Against(table, seed, dense, split, grouped(table, split, cohort.train), act_at, floor)
    found = [against.row(each, REFIT) for each in again]
    found.append(against.row(fit_recalibration(dense, cohort), DENSE))
    told = _forecast(against, cohort.train) if against.binary else None
    for criterion in CRITERIA:
        for level, candidate in _cut_once(dense, cohort, criterion, seed):
            order = {} if told is None else _order(told, against, candidate)
            found.append(against.row(candidate.raw, RAW, criterion, level, **order))
            found.append(against.row(candidate.model, RECALIBRATED, criterion, level))
    path = prune(dense, cohort, "contribution", seed=seed, sparsities=ROUNDS)
    return found + [against.row(at(path, "weight", level).model, RETRAINED, "", level) for level in LEVELS]


def _cut_once(
    dense: RiskModel, cohort: Cohort, criterion: str, seed: int
) -> Iterator[tuple[float, Candidate]]:
    """The dense network without its lowest scores, at every sparsity, never retrained."""
    problem = Problem.of(dense, cohort, "weight", seed)
    scored = score(problem.model, cohort.train, criterion)
    cut = Cut.of(problem.model, scored, "weight", USUAL_SCOPE, problem.train.columns)
    for level in LEVELS:
        smaller, threshold = cut.to(round((1 - level) * cut.groups))
        yield level, problem.candidate(smaller, threshold=threshold, requested=level)


# --- groups ----------------------------------------------------------------------------------------


def grouped(table: Table, split: Split, learnt: Split) -> tuple[Group, ...]:
    """The table's groups by one column at a time, cut where those of train are."""
    chosen = COLUMNS[table.name]
    if not chosen:
        return ()
    here, there = (replace(each, subgroups=each.frame[list(chosen)]) for each in (split, learnt))
    return groups_of(here, chosen, train=there, pairs=False).groups


def _forecast(against: Against, learnt: Split) -> tuple[Forecast, tuple[Group, ...]]:
    """The forecast on train of the groups that are large enough there and on test, without a distance."""
    on_train = {group.name: group for group in grouped(against.table, learnt, learnt)}
    on_test = tuple(
        group
        for group in against.groups
        if group.name in on_train
        and on_train[group.name].members.sum() >= IN_TRAIN
        and group.members.sum() >= FEWEST
    )
    chosen = [on_train[group.name] for group in on_test]
    return forecast(against.dense, against.dense.prepared(learnt), learnt.outcome, chosen), on_test


def _order(
    told: tuple[Forecast, tuple[Group, ...]], against: Against, candidate: Candidate
) -> dict[str, float]:
    """Whether the groups that were foretold to lose most on train did so on test, after one raw cut."""
    made, groups = told
    distance = moved(against.dense, candidate.raw)
    bounds = [
        replace(each, bound=each.gradient * distance + each.curvature / 2 * distance**2)
        for each in made.groups
    ]
    before, after = risks(against.dense, against.split), risks(candidate.raw, against.split)
    changes = [each.value for each in change_in_loss(against.split.outcome, before, after, groups)]
    found = compare(Forecast(tuple(bounds), distance), changes)
    return {"by_bound": found.by_bound, "by_margin": found.by_margin}


def frame_of(rows: list[Row]) -> pd.DataFrame:
    told: list[dict[str, Any]] = [asdict(row) for row in rows]
    return pd.DataFrame(told)
