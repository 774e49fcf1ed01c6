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
    everything that a candidate keeps, the candidate before it keeps too.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    granularities: ClassVar[tuple[str, ...]] = GRANULARITIES
    nested: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """The title, with what the settings change of it."""
        return self.title or self.name

    @abstractmethod
    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        """The dense model, then others, each ready to leave. The model given is untouched."""

    @abstractmethod
    def planned(self, problem: Problem) -> int:
        """At most how many candidates there will be: what a progress bar counts against."""
