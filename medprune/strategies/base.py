"""The one verb of a strategy: yield candidates, each a finished model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from medprune.candidate import Candidate, Problem
from medprune.registry import Registry

STRATEGIES: Registry[Strategy] = Registry("strategy")


class Strategy(ABC):
    """Base of all strategies; members are frozen dataclasses of settings."""

    name: ClassVar[str]

    @abstractmethod
    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        """Walk from the dense model on; each candidate is ready to leave. The model given is untouched."""

    @abstractmethod
    def planned(self, problem: Problem) -> int:
        """At most how many candidates there will be: what a progress bar counts against."""
