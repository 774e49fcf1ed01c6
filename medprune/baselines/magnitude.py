"""The baseline everyone knows: small weights go first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from medprune.candidate import Candidate, Problem
from medprune.strategies.base import BASELINES, Strategy
from medprune.strategies.contribution import ContributionPath
from medprune.training import RETRAINING, Schedule


@BASELINES.register("magnitude")
@dataclass(frozen=True)
class Magnitude(Strategy):
    """Remove the smallest weights in rounds with retraining between them, layers made comparable.

    The magnitude criterion in the adaptive scope: LAMP (Lee et al., ICLR 2021), in rounds.
    """

    sparsities: tuple[float, ...] | None = None
    schedule: Schedule = RETRAINING
    name = "magnitude"
    title = "Magnitude path"
    nested = True

    def planned(self, problem: Problem) -> int:
        return self._path().planned(problem)

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        return self._path().candidates(problem)

    def _path(self) -> ContributionPath:
        return ContributionPath(
            "magnitude", scope="adaptive", sparsities=self.sparsities, schedule=self.schedule
        )
