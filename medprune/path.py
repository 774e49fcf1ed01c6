"""The path: nested finished models from dense to nearly empty, and the rules that choose one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprune.baselines import BASELINES
from medprune.candidate import Candidate, Problem
from medprune.cohort import Cohort
from medprune.errors import BadInput
from medprune.model import RiskModel
from medprune.prices import Prices
from medprune.registry import Registry
from medprune.scoring import check_granularity
from medprune.selection import RULES, Rule
from medprune.strategies import STRATEGIES, Strategy

COUNTS = ("parameters", "features", "price")


@dataclass(frozen=True, eq=False)
class Path:
    """Candidates in order of sparsity, the dense model first. Iterating gives each :class:`Candidate`.

    ``strategy`` may also be a baseline. ``models_trained`` is the search burden: how many models had to
    be retrained on the way.
    """

    candidates: tuple[Candidate, ...]
    strategy: str
    settings: Strategy
    granularity: str
    seconds: float
    tuning_outcome: NDArray[np.int64]
    tuning_patients: NDArray[np.uint64]
    prices: Prices
    models_trained: int
    recalibrated: bool = True  # on tuning, every candidate but the dense one
    tuning_weight: NDArray[np.float64] | None = None  # what each tuning patient counts; None: alike

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    @property
    def dense(self) -> Candidate:
        return self.candidates[0]

    def nearest(self, sparsity: float) -> Candidate:
        """The finished candidate whose removed share is closest to ``sparsity``."""
        return min(self.candidates, key=lambda candidate: abs(candidate.sparsity - sparsity))

    def smallest_needed(self, sparsity: float) -> Candidate:
        """The one asked for with this share removed; of a search, the largest with so much removed."""
        asked = [one for one in self.candidates if one.requested == sparsity]
        enough = [one for one in self.candidates if one.sparsity >= sparsity]
        return [*asked, *enough, self.candidates[-1]][0]

    def choose(
        self,
        rule: str = "one-se",
        *,
        margin: float = 0.02,
        metric: str = "auroc",
        smallest: str = "parameters",
    ) -> Candidate:
        """The smallest candidate a rule allows, judged on tuning patients.

        ``smallest`` counts in parameters, features or price.

        ``one-se``: within one standard error of the best, the bootstrap's, of the paired difference.
        ``non-inferior``: the 95 % interval of its loss against dense stays within ``margin``.
        Candidates are recalibrated on these very patients and the dense model is not: AUROC does not see it,
        but a choice by Brier score or net benefit favours them a little; cross-validation does not.
        Raises BadInput for an unknown rule or metric.
        """
        if rule not in RULES:
            raise BadInput(f"Rule must be one of {', '.join(RULES)}, got {rule!r}.")
        if smallest not in COUNTS:
            raise BadInput(f"Smallest must be counted in one of {', '.join(COUNTS)}, got {smallest!r}.")
        chosen: Callable[..., int] = RULES[rule]
        place = chosen(
            Rule(
                risks=[candidate.tuning_risks for candidate in self.candidates],
                sizes=[float(getattr(candidate, smallest)) for candidate in self.candidates],
                outcome=self.tuning_outcome,
                patients=self.tuning_patients,
                act_at=self.dense.model.act_at,
                metric=metric,
                margin=margin,
                weight=self.tuning_weight,
            )
        )
        return self.candidates[place]


def acting_at(path: Path, cohort: Cohort, act_at: float) -> Path:
    """The same path and models, the figures counted for acting on a risk of ``act_at`` or more."""
    dense = replace(path.dense.model, act_at=act_at)
    problem = Problem.of(dense, cohort, path.granularity, seed=0, prices=path.prices)
    candidates = tuple(
        problem.measured(
            replace(candidate.model, act_at=act_at),
            candidate.raw_recalibration,
            threshold=candidate.threshold,
            requested=candidate.requested,
        )
        for candidate in path
    )
    return replace(path, candidates=candidates)


@dataclass(frozen=True)
class PathStep:
    """What :func:`prune_steps` yields: the latest candidate and, at the end, the whole path.

    ``number`` of at most ``of``: candidates, or models trained where each candidate takes many.
    """

    candidate: Candidate
    number: int
    of: int
    path: Path | None = None

    def event(self) -> dict[str, Any]:
        """How far it is, and the candidate's figures on tuning patients."""
        return (
            {"number": self.number, "of": self.of}
            | asdict(self.candidate.performance)
            | {
                "sparsity": self.candidate.sparsity,
                "parameters": self.candidate.parameters,
                "features": self.candidate.features,
                "price": self.candidate.price,
            }
        )


def member(name: str) -> type[Strategy]:
    """The class of the strategy or baseline called ``name``; BadInput when there is none."""
    return _family(name).get(name)


def method(name: str, **settings: Any) -> Strategy:
    """The strategy or baseline called ``name`` with its settings; BadInput when there is none."""
    return _family(name).make(name, **settings)


def explanation(name: str) -> str:
    """What a strategy or baseline does, in a sentence."""
    return _family(name).explanation(name)


def _family(name: str) -> Registry[Strategy]:
    return BASELINES if name in BASELINES.names() else STRATEGIES


def prune(
    model: RiskModel,
    cohort: Cohort,
    strategy: str = "contribution",
    *,
    granularity: str = "weight",
    seed: int = 0,
    prices: Prices | None = None,
    recalibrate: bool = True,
    **settings: Any,
) -> Path:
    """Walk a path of ever smaller finished models from ``model``, on the cohort's train and tuning.

    ``strategy`` may also name a baseline; ``granularity`` is weight, neuron or feature; ``prices`` are
    those of the features; further ``settings`` are the strategy's own. Every candidate is recalibrated on
    tuning once it is finished (:mod:`medprune.recalibration`), unless ``recalibrate`` is False; the dense
    model stays as it came. The given model is untouched, the same seed gives the same path. Raises BadInput.
    """
    steps = prune_steps(
        model,
        cohort,
        strategy,
        granularity=granularity,
        seed=seed,
        prices=prices,
        recalibrate=recalibrate,
        **settings,
    )
    *_, last = steps
    assert last.path is not None
    return last.path


def prune_steps(
    model: RiskModel,
    cohort: Cohort,
    strategy: str = "contribution",
    *,
    granularity: str = "weight",
    seed: int = 0,
    prices: Prices | None = None,
    recalibrate: bool = True,
    **settings: Any,
) -> Iterator[PathStep]:
    """The steps of :func:`prune`, at least one a candidate; the last one carries the path."""
    started = time.perf_counter()
    how = method(strategy, **settings)
    if check_granularity(granularity) not in how.granularities:
        raise BadInput(
            f"{strategy!r} does not prune {granularity}s; choose {' or '.join(how.granularities)}."
        )
    problem = Problem.of(model, cohort, granularity, seed, prices, recalibrate=recalibrate)
    found: list[Candidate] = []
    for candidate in how.candidates(problem):
        found += [] if candidate is None else [candidate]
        yield PathStep(found[-1], *_progress(how, problem, len(found)))
    dense, *others = found
    path = Path(
        candidates=(dense, *sorted(others, key=lambda candidate: candidate.sparsity)),
        strategy=strategy,
        settings=how,
        granularity=granularity,
        seconds=time.perf_counter() - started,
        tuning_outcome=problem.tuning.outcome,
        tuning_patients=problem.tuning_split.patients,
        prices=problem.prices,
        models_trained=problem.evaluator.trained,
        recalibrated=recalibrate,
        tuning_weight=problem.tuning.weight,
    )
    yield PathStep(found[-1], *_progress(how, problem, len(found)), path)


def _progress(how: Strategy, problem: Problem, found: int) -> tuple[int, int]:
    """How far, and how far it goes at most."""
    return problem.evaluator.trained if how.counts_models else found, how.planned(problem)
