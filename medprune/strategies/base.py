"""The one verb of a strategy: yield candidates, each a finished model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from medprune.candidate import Candidate, Problem
from medprune.errors import BadInput
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


def make_strategy(name: str, **settings: Any) -> Strategy:
    """A strategy with its settings; BadInput names those that it does not have."""
    member = STRATEGIES.get(name)
    try:
        return member(**settings)
    except TypeError as error:
        wrong = ", ".join(sorted(settings))
        raise BadInput(f"The strategy {name!r} does not take these settings together: {wrong}.") from error
