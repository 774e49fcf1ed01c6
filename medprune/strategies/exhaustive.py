"""Every subset of a few groups, each retrained: the proven best of every size, to check others against."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from medprune.candidate import Candidate, Problem
from medprune.errors import BadInput
from medprune.model import RiskModel
from medprune.performance import METRICS
from medprune.removal import mask_of
from medprune.settings import check_settings, setting
from medprune.strategies.base import STRATEGIES, Strategy
from medprune.strategies.subsets import TOGETHER, Groups, in_parts, worth
from medprune.training import RETRAINING, Schedule

MOST = 16  # groups: 65,535 models


@STRATEGIES.register("exhaustive")
@dataclass(frozen=True)
class Exhaustive(Strategy):
    """Try every subset of up to 16 features, neurons or weights: the proven best of every size.

    Each is retrained from the weights of the model given. Best is by ``metric`` on tuning; of equals the
    one with fewer weights, then the first. ``among``: the features to choose among, the others stay.
    """

    metric: str = setting("auroc", "Metric", "on tuning patients, to be high", choices=METRICS)
    among: tuple[str, ...] | None = None
    schedule: Schedule = RETRAINING
    name = "exhaustive"
    title = "Every subset"
    counts_models = True

    def __post_init__(self) -> None:
        check_settings(self)

    def planned(self, problem: Problem) -> int:
        groups = self._groups(problem)
        every: int = 2 ** len(groups.free)
        return every if groups.staying else every - 1

    def candidates(self, problem: Problem) -> Iterator[Candidate | None]:
        groups = self._groups(problem)
        yield problem.candidate(problem.model, threshold=0.0, requested=0.0)
        for size in range(len(groups.free), -1 if groups.staying else 0, -1):
            best = yield from self._best(problem, groups, size)
            if best is not None:
                yield problem.candidate(best, threshold=0.0, requested=None)

    def _best(self, problem: Problem, groups: Groups, size: int) -> Generator[None, None, RiskModel | None]:
        """The best subset of this size; None when all of them leave something that leads nowhere."""
        best: RiskModel | None = None
        highest = (-np.inf, 0)
        for models in in_parts(_subsets(groups, size), TOGETHER):
            for model in problem.evaluator.from_dense(models, self.schedule):
                value = (worth(problem, model, self.metric), -mask_of(model).kept_weights())
                if best is None or value > highest:
                    best, highest = model, value
            yield
        return best

    def _groups(self, problem: Problem) -> Groups:
        groups = Groups.of(problem, self.among)
        if (n := len(groups.free)) > MOST:
            few = "or name the features to choose among" if problem.granularity == "feature" else "first"
            raise BadInput(
                f"Every subset can be tried of up to {MOST} {problem.granularity}s, and there are {n:,}: "
                f"prune by contribution and go on from a candidate with at most {MOST}, {few}."
            )
        return groups


def _subsets(groups: Groups, size: int) -> Iterator[RiskModel]:
    """Every model with ``size`` of the free groups, all of them of use, in order."""
    for places in combinations(range(len(groups.free)), size):
        model = groups.keep(np.isin(np.arange(len(groups.free)), places))
        if model is not None and groups.left(model) == size + groups.staying:
            yield model
