"""Family two, by gradient: gates learn together with the weights what is worth its price."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from medprune.candidate import Candidate, Problem
from medprune.gated_training import GatedTraining
from medprune.model import RiskModel
from medprune.performance import log_loss
from medprune.removal import alive_groups, removed_share
from medprune.settings import check_settings, setting
from medprune.strategies.base import STRATEGIES, Strategy
from medprune.training import RETRAINING, Schedule

MOST_STOPS = 12


@STRATEGIES.register("gradient")
@dataclass(frozen=True)
class GradientPath(Strategy):
    """Gates learn together with the weights what is worth keeping, while the price of keeping rises.

    One run of training with a hard-concrete gate (Louizos, Welling and Kingma, ICLR 2018) on every
    weight, unit or feature, and a price on each gate for being open. The price rises a little with every
    step; whenever so much has closed that the next stop is reached, what is open becomes a candidate.
    It is retrained twice, from the dense weights and from those learnt with the gates, and the one with
    the lower tuning loss is kept: the learnt ones were overfitted where much is left, the dense ones at
    times dead where little is. Where the features have prices, a gate costs what its feature costs. A
    gate may open again, so that candidates need not be nested.
    """

    steps: int = setting(250, "Steps", "of training while the price rises tenfold", low=10, high=100_000)
    schedule: Schedule = RETRAINING
    name = "gradient"
    title = "Gates (gradient)"

    def __post_init__(self) -> None:
        check_settings(self)

    def planned(self, problem: Problem) -> int:
        return 1 + len(stops(_groups(problem)))

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        yield problem.candidate(problem.model, threshold=0.0, requested=0.0)
        training = GatedTraining(problem)
        problem.evaluator.trained += 1  # the one with the gates
        removed = removed_share(problem.model, problem.granularity)
        for share in training.down(stops(_groups(problem)), self.steps):
            of_dense, of_learnt = training.smaller()
            if removed_share(of_dense, problem.granularity) <= removed:
                continue  # gates have opened again since, or the last ones always stay
            removed = removed_share(of_dense, problem.granularity)
            both = [
                *problem.evaluator.from_dense([of_dense], self.schedule),
                *problem.evaluator.retrained([of_learnt], self.schedule),
            ]
            yield problem.candidate(
                min(both, key=partial(_tuning_loss, problem)), threshold=0.0, requested=1 - share
            )


def _tuning_loss(problem: Problem, model: RiskModel) -> float:
    tuning = problem.tuning
    return log_loss(tuning.outcome, model.risks_of(tuning.columns), tuning.weight)


def _groups(problem: Problem) -> int:
    return sum(int(part.sum()) for part in alive_groups(problem.model, problem.granularity))


def stops(groups: int) -> tuple[float, ...]:
    """The shares of the whole price at which to take a candidate, falling; few groups go one at a time.

    >>> stops(4)
    (0.75, 0.5, 0.25)
    """
    if groups <= MOST_STOPS:
        counts = np.arange(groups - 1, 0, -1, dtype=float)
    else:
        counts = np.geomspace(0.75 * groups, max(1, 0.015 * groups), MOST_STOPS).round()
    return tuple(float(count) / groups for count in np.unique(counts)[::-1])
