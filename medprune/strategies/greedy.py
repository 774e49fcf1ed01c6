"""Greedy elimination: of all single removals, always the one that keeps the metric highest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medprune.candidate import Candidate, Problem
from medprune.model import RiskModel
from medprune.ranking import Kept
from medprune.removal import Cut, alive_groups, removed_share
from medprune.settings import setting
from medprune.strategies.base import STRATEGIES
from medprune.strategies.performance import ByDrop


@STRATEGIES.register("greedy")
@dataclass(frozen=True)
class Greedy(ByDrop):
    """Of all that is left, remove the one whose removal keeps the metric highest, and measure again.

    The document's ``prune()``, on units and features instead of whole parameter tensors, judged on tuning
    instead of test. Every single removal is measured before each step; ``at_once`` is the share of what
    is left that goes like this, one by one, before the rest is retrained (0: one). Weights are not for it:
    there are thousands, each of which would have to be measured again after each removal.
    """

    at_once: float = setting(
        0.1, "Share between retrainings", "what goes, one by one, before the rest is trained", low=0, high=0.5
    )
    name = "greedy"
    title = "Greedy elimination"
    granularities = ("neuron", "feature")

    def planned(self, problem: Problem) -> int:
        return 1 + len(self._targets(problem))

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        dense = candidate = problem.candidate(problem.model, threshold=0.0, requested=0.0)
        yield dense
        for share, target in self._targets(problem):
            smaller = self._down_to(problem, self.goes_on_from(candidate), target)
            if removed_share(smaller, problem.granularity) <= candidate.sparsity:
                continue  # so much is gone already, or the rest always stays
            candidate = self.retrained(problem, smaller, 0.0, share)
            yield candidate
            if self.fell(candidate, dense):
                return

    def _targets(self, problem: Problem) -> list[tuple[float, int]]:
        """At each retraining, the share of all that shall be gone, and how many that leaves."""
        alive = alive_groups(problem.model, problem.granularity)
        groups, left = sum(part.size for part in alive), sum(int(part.sum()) for part in alive)
        if self.sparsities is not None:
            return [(share, round((1 - share) * groups)) for share in sorted(set(self.sparsities))]
        targets = []
        while left > 1:
            left -= max(1, int(self.at_once * left))
            targets.append((1 - left / groups, left))
        return targets

    def _down_to(self, problem: Problem, model: RiskModel, target: int) -> RiskModel:
        """The model with one after the other removed until ``target`` are left, or none can go."""
        while sum(int(part.sum()) for part in alive_groups(model, problem.granularity)) > target:
            smaller = _one_less(self.measured(problem, model))
            if smaller is None:
                break
            model = smaller
        return model


def _one_less(cut: Cut) -> RiskModel | None:
    """The model without the one that is least missed and may go; None when all always stay."""
    before = removed_share(cut.model, cut.granularity)
    places = np.sort(
        np.concatenate([part[living] for part, living in zip(cut.order, cut.alive, strict=True)])
    )
    for place in places:
        smaller = cut.keep(_without(cut, place))
        if removed_share(smaller, cut.granularity) > before:
            return smaller
    return None


def _without(cut: Cut, place: float) -> Kept:
    return tuple(living & (order != place) for living, order in zip(cut.alive, cut.order, strict=True))
