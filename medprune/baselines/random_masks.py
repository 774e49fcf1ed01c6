"""What chance finds with as many models: the bar that every search has to clear."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medprune.candidate import Candidate, Problem, features_needed
from medprune.model import RiskModel
from medprune.pareto import front
from medprune.performance import METRICS
from medprune.removal import keep_exactly, mask_of, removed_share
from medprune.settings import check_settings, setting
from medprune.strategies.base import BASELINES, Strategy
from medprune.strategies.subsets import TOGETHER, Groups, in_parts, worth
from medprune.training import RETRAINING, Schedule

TRIES = 20  # draws for each model that may be trained: a small space runs out of new masks


@dataclass(frozen=True, eq=False)
class Drawn:
    """A model drawn by chance and retrained: what it is worth, and its size."""

    model: RiskModel
    worth: float
    size: int


@BASELINES.register("random_search")
@dataclass(frozen=True)
class RandomSearch(Strategy):
    """Draw subsets of random sizes, retrain each like any other, and show the best: chance at equal budget.

    ``models``: how many are trained. What is shown is what no
    other that was drawn matches or beats in both the metric and the size.
    """

    models: int = setting(200, "Models", "how many are drawn and trained", low=1, high=100_000)
    metric: str = setting("auroc", "Metric", "on tuning patients, to be high", choices=METRICS)
    features_too: bool = setting(False, "Features too", "draw the features along with the neurons")
    schedule: Schedule = RETRAINING
    name = "random_search"
    title = "Random search"
    granularities = ("neuron", "feature")
    counts_models = True

    def __post_init__(self) -> None:
        check_settings(self)

    def planned(self, problem: Problem) -> int:
        return self.models

    def candidates(self, problem: Problem) -> Iterator[Candidate | None]:
        yield problem.candidate(problem.model, threshold=0.0, requested=0.0)
        found: list[Drawn] = []
        for models in in_parts(self._drawn(problem), TOGETHER):
            finished = problem.evaluator.from_dense(models, self.schedule)
            found += [self._measured(problem, model) for model in finished]
            best = front([drawn.worth for drawn in found], [drawn.size for drawn in found])
            found = [found[place] for place in best]
            yield None
        for drawn in sorted(found, key=lambda drawn: removed_share(drawn.model, problem.granularity)):
            yield problem.candidate(drawn.model, threshold=0.0, requested=None)

    def _drawn(self, problem: Problem) -> Iterator[RiskModel]:
        """Different masks, at most as many as may be trained, fewer when there are no more."""
        groups = Groups.of(problem)
        also = self.features_too and problem.granularity == "neuron"
        features = Groups.of(replace(problem, granularity="feature")) if also else None
        rng = np.random.default_rng(problem.seed)
        seen: set[bytes] = set()
        for _ in range(TRIES * self.models):
            if len(seen) == self.models:
                return
            model = groups.keep(_draw(groups, rng))
            if features is not None and model is not None:
                model = keep_exactly(model, features.kept(_draw(features, rng))[0], None, None, ())
            if model is not None and (digest := mask_of(model).digest()) not in seen:
                seen.add(digest)
                yield model

    def _measured(self, problem: Problem, model: RiskModel) -> Drawn:
        """Sizes are counted in features, or, for neurons, in weights."""
        features = problem.granularity == "feature"
        size = len(features_needed(model)) if features else mask_of(model).kept_weights()
        return Drawn(model, worth(problem, model, self.metric), size)


def _draw(groups: Groups, rng: np.random.Generator) -> NDArray[np.bool_]:
    """As many of the free groups as chance will have, at least one."""
    n = len(groups.free)
    kept: NDArray[np.bool_] = rng.permutation(n) < rng.integers(1, n + 1)
    return kept
