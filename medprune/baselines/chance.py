"""The baseline nobody should lose to: a path that looks at nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from medprune.candidate import Candidate, Problem
from medprune.strategies.base import BASELINES, Strategy
from medprune.strategies.contribution import ContributionPath
from medprune.training import RETRAINING, Schedule


@BASELINES.register("random")
@dataclass(frozen=True)
class Chance(Strategy):
    """Remove by chance, in rounds with retraining between them: what retraining alone makes good."""

    sparsities: tuple[float, ...] | None = None
    schedule: Schedule = RETRAINING
    name = "random"
    title = "Random path"
    nested = True

    def planned(self, problem: Problem) -> int:
        return self._path().planned(problem)

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        return self._path().candidates(problem)

    def _path(self) -> ContributionPath:
        return ContributionPath("random", sparsities=self.sparsities, schedule=self.schedule)
