"""Family one: score, remove, retrain, and again, from dense to nearly empty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from medprune.candidate import Candidate, Problem
from medprune.criteria import CRITERIA, seed_setting
from medprune.errors import BadInput
from medprune.model import RiskModel
from medprune.performance import check_share
from medprune.ranking import SCOPES, USUAL_SCOPE
from medprune.removal import Cut, alive_groups, removed_share
from medprune.scoring import contributions_from, sum_scores
from medprune.settings import check_settings, setting
from medprune.strategies.base import STRATEGIES, Strategy
from medprune.training import RETRAINING, Schedule

STOPS = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.975, 0.98, 0.985, 0.99)
MOST_STOPS = 24  # of neurons and features


@STRATEGIES.register("contribution")
@dataclass(frozen=True)
class ContributionPath(Strategy):
    """Score what is left, remove the least, retrain, and go on: a path of nested finished models.

    Features with prices go by their contribution for their price, so that the path gets cheap early.
    ``sparsities``: the shares to have removed, one candidate each (None: the usual stops).
    ``threshold``: instead, the cut in each of ``rounds`` re-scored rounds. ``one_shot`` cuts every
    candidate from the dense model's scores alone and gives it the retraining of as many rounds: the
    document's literal flow, for comparison.
    """

    criterion: str = setting("contribution", "Criterion", "what a weight is worth", choices=CRITERIA.names())
    scope: str = setting(USUAL_SCOPE, "Scope", "among which scores the lowest go", choices=tuple(SCOPES))
    sparsities: tuple[float, ...] | None = None
    threshold: float | None = None
    rounds: int = 5
    one_shot: bool = False
    options: tuple[tuple[str, Any], ...] = ()  # the criterion's own settings that are not the usual ones
    balanced: bool = setting(False, "Every class the same say", "however rare it is")
    schedule: Schedule = RETRAINING
    name = "contribution"
    title = "Contribution path"
    nested = True

    def __post_init__(self) -> None:
        CRITERIA.make(self.criterion, **dict(self.options))  # tells the nearest name, the wrong setting
        check_settings(self)
        if self.threshold is not None:
            check_share(self.threshold, "The threshold")
        if self.rounds < 1:
            raise BadInput(f"A path needs at least one round, got {self.rounds}.")
        for share in self.sparsities or ():
            check_share(share, "A sparsity")

    @property
    def label(self) -> str:
        return self.title if self.criterion == self.name else f"Path by {self.criterion}"

    def planned(self, problem: Problem) -> int:
        return 1 + (self.rounds if self.threshold is not None else len(self._stops(problem)))

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        yield problem.candidate(problem.model, threshold=0.0, requested=0.0)
        if self.threshold is not None:
            yield from self._at_threshold(problem, self.threshold)
        else:
            yield from self._at_sparsities(problem)

    def _at_sparsities(self, problem: Problem) -> Iterator[Candidate]:
        model = problem.model
        for step, share in enumerate(self._stops(problem), start=1):
            start = problem.model if self.one_shot else model
            cut = self._scored(problem, start)
            smaller, threshold = cut.to(round((1 - share) * cut.groups))
            if not _is_smaller(smaller, model, problem.granularity):
                continue  # so much is gone already, or the rest always stays
            model = self._retrained(problem, smaller, rounds=step if self.one_shot else 1)
            yield problem.candidate(model, threshold=threshold, requested=share)

    def _stops(self, problem: Problem) -> tuple[float, ...]:
        """The shares to remove: as asked, or the usual ones."""
        if self.sparsities is not None:
            return tuple(sorted(set(self.sparsities)))
        return usual_stops(problem.model, problem.granularity)

    def _at_threshold(self, problem: Problem, threshold: float) -> Iterator[Candidate]:
        model = problem.model
        for _ in range(self.rounds):
            smaller = self._scored(problem, model).at(threshold)
            if not _is_smaller(smaller, model, problem.granularity):
                return  # nothing scores below the threshold any more
            model = self._retrained(problem, smaller, rounds=1)
            yield problem.candidate(model, threshold=threshold, requested=None)

    def _scored(self, problem: Problem, model: RiskModel) -> Cut:
        """What is left of the model, scored on train, ready to be cut."""
        settings = seed_setting(self.criterion, problem.seed) | dict(self.options)
        sums = sum_scores(model, problem.train, CRITERIA.make(self.criterion, **settings))
        patients = len(problem.train.outcome)
        scored = contributions_from(model, self.criterion, sums, patients=patients, balanced=self.balanced)
        cut = Cut.of(model, scored, problem.granularity, self.scope, problem.train.columns)
        if problem.granularity == "feature" and problem.prices:
            return cut.per_price(problem.feature_prices)
        return cut

    def _retrained(self, problem: Problem, model: RiskModel, rounds: int) -> RiskModel:
        """The model with its remaining weights trained on, for as long as ``rounds`` rounds last."""
        schedule = replace(
            self.schedule, epochs=self.schedule.epochs * rounds, patience=self.schedule.patience * rounds
        )
        [retrained] = problem.evaluator.retrained([model], schedule)
        return retrained


def usual_stops(model: RiskModel, granularity: str) -> tuple[float, ...]:
    """The shares to remove where nothing else is asked for; few neurons or features go one at a time."""
    if granularity == "weight":
        return STOPS
    groups = sum(part.size for part in alive_groups(model, granularity))
    counts = np.unique(np.geomspace(max(groups - 1, 1), 1, MOST_STOPS).round()).astype(int)[::-1]
    return tuple(1 - int(count) / groups for count in counts)


def _is_smaller(model: RiskModel, than: RiskModel, granularity: str) -> bool:
    return removed_share(model, granularity) > removed_share(than, granularity)
