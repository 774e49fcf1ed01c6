"""Family three: remove what the metric misses least, measured by leaving out each group alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medprune.candidate import Candidate, Problem
from medprune.drops import Judge, single_drops
from medprune.model import RiskModel
from medprune.performance import METRICS, check_share, higher_is_better
from medprune.ranking import Array
from medprune.removal import Cut, alive_groups, mean_activations, removed_share
from medprune.settings import check_settings, setting
from medprune.strategies.base import STRATEGIES, Strategy
from medprune.strategies.contribution import usual_stops
from medprune.training import BALANCED, RETRAINING, Schedule, like_trained


@dataclass(frozen=True)
class ByDrop(Strategy):
    """What the strategies that measure share: the metric, how far it may fall, and whom it is measured on.

    The walk goes on until the metric on tuning has fallen by more than ``tolerance`` below the dense
    model's (None or 1: to the end); the candidate that fell so far is the last, to show where it fell.
    ``sparsities``: the shares to have removed instead, one candidate each, however far it falls.

    Removals are judged on tuning, as the method has it: the more are compared on the same few patients,
    the more their figures there flatter the result. ``judge`` "train" leaves tuning to the choice.
    """

    metric: str = setting("auroc", "Metric", "what must not fall", choices=METRICS)
    tolerance: float | None = setting(
        0.02, "Tolerance", "how far it may fall below the dense model's; 1: to the end", low=0, high=1
    )
    judge: str = setting("tuning", "Judged on", "whose metric decides what goes", choices=("tuning", "train"))
    sparsities: tuple[float, ...] | None = None
    schedule: Schedule = RETRAINING
    nested = True

    def __post_init__(self) -> None:
        check_settings(self)
        for share in self.sparsities or ():
            check_share(share, "A sparsity")

    def fell(self, candidate: Candidate, dense: Candidate) -> bool:
        """Has the metric on tuning fallen too far for the walk to go on?"""
        if self.sparsities is not None or self.tolerance is None or self.tolerance >= 1:
            return False
        fall = dense.performance[self.metric] - candidate.performance[self.metric]
        return (fall if higher_is_better(self.metric) else -fall) > self.tolerance

    def goes_on_from(self, candidate: Candidate) -> RiskModel:
        """The model before it was recalibrated as a candidate; class weights are never left alone."""
        weighted = like_trained(self.schedule, candidate.model).class_weights == BALANCED
        plain = candidate.raw_recalibration.is_identity and not weighted
        return candidate.raw if plain else candidate.model

    def measured(self, problem: Problem, model: RiskModel) -> Cut:
        """What is left of the model, in the order in which the metric would miss it, ready to be cut.

        The drop alone leaves many ties (most drops of an AUROC are exactly 0 on few patients): of two
        equal ones that goes first which moves the risks less, in the mean over patients. Where features
        have prices, it is the drop for the price saved that counts, and those that are free go last.
        """
        granularity = problem.granularity
        data = problem.tuning if self.judge == "tuning" else problem.train
        everyone = Judge(self.metric, data.outcome, model.act_at, data.say[None])
        means = mean_activations(model, problem.train.columns) if granularity == "neuron" else ()
        alive = alive_groups(model, granularity)
        lost, change = ([np.full(part.shape, np.nan) for part in alive] for _ in range(2))
        for one in single_drops(model, data, granularity, everyone, means):
            lost[one.layer].flat[one.places] = one.drops[:, 0]
            change[one.layer].flat[one.places] = one.change
        prices = None
        if granularity == "feature" and problem.prices:
            prices = np.array([problem.prices.price(name) for name in model.features])
        return Cut(model, granularity, alive, ranks(lost, change, prices), means)

    def retrained(self, problem: Problem, model: RiskModel, threshold: float, asked: float) -> Candidate:
        [model] = problem.evaluator.retrained([model], self.schedule)
        return problem.candidate(model, threshold=threshold, requested=asked)


def ranks(lost: list[Array], change: list[Array], prices: Array | None = None) -> tuple[Array, ...]:
    """Places in (0, 1] by layer, the least missed lowest; 0 for what is gone already (NaN).

    >>> ranks([np.array([.1, 0., np.nan, 0.])], [np.array([.5, .2, np.nan, .1])])
    (array([1.        , 0.66666667, 0.        , 0.33333333]),)
    """
    drop, moved = (np.concatenate([part.ravel() for part in parts]) for parts in (lost, change))
    free = np.zeros(len(drop), dtype=bool)
    if prices is not None:
        free = prices == 0
        paid = np.where(free, 1.0, prices)
        # What does harm goes first, and the dearer the sooner.
        drop, moved = np.where(drop > 0, drop / paid, drop * paid), moved / paid
    living = np.flatnonzero(~np.isnan(moved))
    order = living[np.lexsort((moved[living], drop[living], free[living]))]
    place = np.zeros(len(drop))
    place[order] = np.arange(1, len(order) + 1) / max(len(order), 1)
    ends = np.cumsum([part.size for part in lost])[:-1]
    parts = np.split(place, ends)
    return tuple(part.reshape(like.shape) for part, like in zip(parts, lost, strict=True))


@STRATEGIES.register("performance")
@dataclass(frozen=True)
class PerformancePath(ByDrop):
    """Measure what the metric loses without each one, remove those it misses least, retrain, measure again.

    A share goes in every round, as on the contribution path; few neurons or features go one at a time.
    A candidate's threshold is the share of what was left in its round that was missed no more.
    """

    name = "performance"
    title = "By performance"

    def planned(self, problem: Problem) -> int:
        return 1 + len(self._stops(problem))

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        dense = candidate = problem.candidate(problem.model, threshold=0.0, requested=0.0)
        yield dense
        for share in self._stops(problem):
            if candidate.sparsity >= share:
                continue  # so much is gone already
            cut = self.measured(problem, self.goes_on_from(candidate))
            smaller, threshold = cut.to(round((1 - share) * cut.groups))
            if removed_share(smaller, problem.granularity) <= candidate.sparsity:
                continue  # the rest always stays
            candidate = self.retrained(problem, smaller, threshold, share)
            yield candidate
            if self.fell(candidate, dense):
                return

    def _stops(self, problem: Problem) -> tuple[float, ...]:
        if self.sparsities is not None:
            return tuple(sorted(set(self.sparsities)))
        return usual_stops(problem.model, problem.granularity)
