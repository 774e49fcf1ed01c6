"""Why prune at all: a network that was small from the start."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from medprune.candidate import Candidate, Problem
from medprune.errors import BadInput
from medprune.model import Recalibration, RiskModel
from medprune.network import Network, NetworkSpec, frozen, initial_network
from medprune.performance import check_share
from medprune.recalibration import finished
from medprune.settings import check_settings, setting
from medprune.strategies.base import BASELINES, Strategy
from medprune.training import BALANCED, Schedule, fit, like_trained

SIZES = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
FACTORS = 2_000  # tried for the common factor of the hidden widths


@BASELINES.register("small_network")
@dataclass(frozen=True)
class SmallNetwork(Strategy):
    """Dense networks of the sizes along the path, trained from scratch with the dense network's schedule.

    All hidden widths are shrunk by one factor, the largest with which the network has no more weights (or
    neurons) than the path has left there. ``sparsities``: the shares to do without (None: the usual ones).
    """

    sparsities: tuple[float, ...] | None = None
    starts: int = setting(
        3, "Starts", "from other random weights; the best on tuning is kept", low=1, high=20
    )
    schedule: Schedule = field(default_factory=Schedule)
    name = "small_network"
    title = "Small network from scratch"
    granularities = ("weight", "neuron")

    def __post_init__(self) -> None:
        check_settings(self)
        for share in self.sparsities or ():
            check_share(share, "A sparsity")

    def planned(self, problem: Problem) -> int:
        return 1 + len(self._specs(problem))

    def candidates(self, problem: Problem) -> Iterator[Candidate]:
        yield problem.candidate(problem.model, requested=0.0)
        for share, spec in self._specs(problem):
            yield problem.candidate(self._trained(problem, spec), requested=share)

    def _specs(self, problem: Problem) -> list[tuple[float, NetworkSpec]]:
        """Every share asked for and its network; without sizes that no network on this table can have."""
        dense = problem.model.network.spec
        if not dense.tails:
            raise BadInput(
                "This network has no hidden layer, so there is none to shrink; compare l1_logistic."
            )
        specs = smaller(dense)
        found: dict[NetworkSpec, float] = {}
        for share in sorted(set(self.sparsities or SIZES)):
            most = (1 - share) * size(dense, problem.granularity)
            fitting = [spec for spec in specs if size(spec, problem.granularity) <= most]
            if fitting:
                found.setdefault(max(fitting, key=lambda spec: size(spec, problem.granularity)), share)
        return [(share, spec) for spec, share in found.items()]

    def _trained(self, problem: Problem, spec: NetworkSpec) -> RiskModel:
        """The best start by the loss on tuning: the smallest networks often die on the way."""
        started = [self._started(problem, spec, start) for start in range(self.starts)]
        _, best = min(started, key=lambda found: found[0])
        model = replace(problem.model, network=frozen(best), mask=None, recalibration=Recalibration())
        weighted = self._schedule(problem).class_weights == BALANCED
        tuning = problem.tuning
        return finished(model, tuning.columns, tuning.outcome, weighted=weighted, weight=tuning.weight)

    def _schedule(self, problem: Problem) -> Schedule:
        return like_trained(self.schedule, problem.model)

    def _started(self, problem: Problem, spec: NetworkSpec, start: int) -> tuple[float, Network]:
        seed = int(np.random.SeedSequence([problem.seed, start, *spec.widths]).generate_state(1)[0])
        schedule, start_from = self._schedule(problem), initial_network(spec, seed)
        steps = fit(start_from, problem.train, problem.tuning, schedule=schedule, seed=seed)
        problem.evaluator.trained += 1
        epochs, networks = zip(*steps, strict=True)
        return min(epoch.tuning_loss for epoch in epochs), networks[-1]


def smaller(dense: NetworkSpec) -> Sequence[NetworkSpec]:
    """The network with its hidden widths shrunk by a common factor, in all the shapes that this gives."""
    widest = max(tail.width for tail in dense.tails)
    shapes = {
        tuple(max(1, round(tail.width * factor)) for tail in dense.tails)
        for factor in np.geomspace(1 / widest, 1, FACTORS)
    }
    return [
        replace(dense, tails=tuple(replace(t, width=w) for t, w in zip(dense.tails, shape, strict=True)))
        for shape in sorted(shapes)
    ]


def size(spec: NetworkSpec, granularity: str) -> int:
    """How many weights, or neurons, a dense network of this shape has."""
    if granularity == "neuron":
        return sum(tail.width for tail in spec.tails)
    return sum(a * b for a, b in pairwise(spec.widths))
