"""What selections of features share: from an order of features to finished models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medprune.baselines.grouped import Codes, GroupedLogistic, codes_of
from medprune.baselines.regression import Regressions, no_bigger
from medprune.candidate import Candidate, Problem
from medprune.model import RiskModel
from medprune.removal import Cut, alive_groups
from medprune.settings import setting
from medprune.strategies.base import Strategy
from medprune.training import RETRAINING, Schedule

MOST_COUNTS = 24


@dataclass(frozen=True)
class FeatureSelection(Strategy):
    """Base of the selections: put features in an order, then fit on the first of them, so many at a time.

    ``network``: retrain the dense network with the features selected, instead of a logistic regression,
    so that selection is compared with selection.
    """

    network: bool = setting(False, "Retrain the network", "with these features, not a logistic regression")
    schedule: Schedule = RETRAINING
    granularities = ("feature",)

    @property
    def label(self) -> str:
        return f"{self.title} ({'network' if self.network else 'logistic regression'})"

    @abstractmethod
    def ranked(self, problem: Problem, asked: GroupedLogistic, codes: Codes) -> Sequence[int]:
        """Places of columns of ``codes``, two or more, the first to keep first."""

    @abstractmethod
    def longest(self, features: int) -> int:
        """How many of the features the largest candidate keeps."""

    def planned(self, problem: Problem) -> int:
        return 1 + len(counts_to(self.longest(len(there(problem)))))

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        yield from no_bigger(problem, self._models(problem))

    def _models(self, problem: Problem) -> Iterator[RiskModel]:
        train = Regressions.of(problem)
        order = self._order(problem, train)
        for count in counts_to(len(order)):
            if self.network:
                smaller = with_only(problem.model, order[:count])
                yield from problem.evaluator.from_dense([smaller], self.schedule)
            else:
                places = train.columns_of(order[:count])
                problem.evaluator.trained += 1
                yield train.model(train.ridge(places), places)

    def _order(self, problem: Problem, train: Regressions) -> NDArray[np.int64]:
        """The features of the dense model, the first to keep first."""
        features = there(problem)
        if len(features) == 1:
            return features
        asked = GroupedLogistic(train, [])
        ranked = self.ranked(problem, asked, codes_of(train, features))
        problem.evaluator.trained += len(asked.tried)
        return features[list(ranked)]


def there(problem: Problem) -> NDArray[np.int64]:
    """Places of the features that the dense model uses."""
    [alive] = alive_groups(problem.model, "feature")
    return np.flatnonzero(alive).astype(np.int64)


def counts_to(most: int) -> list[int]:
    """Counts of features, every one when they are few, the largest first."""
    counts = np.unique(np.geomspace(most, 1, MOST_COUNTS).round()).astype(int)
    return [int(count) for count in counts[::-1]]


def with_only(model: RiskModel, features: NDArray[np.int64]) -> RiskModel:
    """The model, not retrained, whose other features are tests that were not taken."""
    alive = alive_groups(model, "feature")
    kept = np.isin(np.arange(len(model.features)), features)
    return Cut(model, "feature", alive, (kept.astype(np.float64),), ()).keep((kept,))
