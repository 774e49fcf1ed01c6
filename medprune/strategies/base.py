"""The one verb of a strategy: yield candidates, each a finished model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from medprune.candidate import Candidate, Problem
from medprune.registry import Registry
from medprune.scoring import GRANULARITIES

STRATEGIES: Registry[Strategy] = Registry("strategy")
BASELINES: Registry[Strategy] = Registry("baseline")


class Strategy(ABC):
    """Base of all strategies and baselines; members are frozen dataclasses of settings.

    ``title``: what it is called on a chart. ``granularities``: where the strategy makes sense. ``nested``:
    everything that a candidate keeps, the candidate before it keeps too. ``counts_models``: many models
    are trained for each candidate, so that progress is told in models trained.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    granularities: ClassVar[tuple[str, ...]] = GRANULARITIES
    nested: ClassVar[bool] = False
    counts_models: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The title, with what the settings change of it."""
        return self.title or self.name

    @abstractmethod
    def candidates(self, problem: Problem) -> Iterator[Candidate | None]:
        """The dense model, then others, each ready to leave. The model given is untouched.

        None in between says that more models have been trained and none is ready yet.
        """

    @abstractmethod
    def planned(self, problem: Problem) -> int:
        """At most how many candidates, or models trained, there will be: what a bar counts against."""
