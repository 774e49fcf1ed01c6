"""What the baselines share that are the contribution path by another criterion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from medprune.candidate import Candidate, Problem
from medprune.ranking import USUAL_SCOPE
from medprune.strategies.base import Strategy
from medprune.strategies.contribution import ContributionPath
from medprune.training import RETRAINING, Schedule


@dataclass(frozen=True)
class PathByCriterion(Strategy):
    """The contribution path with ``criterion`` in ``scope``; ``sparsities`` and ``schedule`` as there."""

    sparsities: tuple[float, ...] | None = None
    schedule: Schedule = RETRAINING
    criterion: ClassVar[str]
    scope: ClassVar[str] = USUAL_SCOPE
    nested = True

    def planned(self, problem: Problem) -> int:
        return self._path().planned(problem)

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        return self._path().candidates(problem)

    def _path(self) -> ContributionPath:
        return ContributionPath(
            self.criterion, scope=self.scope, sparsities=self.sparsities, schedule=self.schedule
        )
