"""Every strategy and baseline on the same splits, with equal retraining: AUROC on locked test patients.

At a level a method is read at its largest finished model with at least that much removed (weights and
neurons: the share; features: the count left), or its smallest model when it has none so small. Nothing is
chosen by looking at test.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from medprune import Candidate, Cohort, Path, RiskModel, prune, train
from medprune.performance import auroc
from medprune.strategies.contribution import STOPS
from tests.bench.data import Table

SHARES = (0.80, 0.90, 0.95, 0.98)
COUNTS = (16, 8, 4, 2)
CLOSE = 0.005  # a share that is so near counts as reached
ROUNDS = tuple(stop for stop in STOPS if stop <= max(SHARES))
DENSE = "dense network"


@dataclass(frozen=True)
class Method:
    """A strategy or a baseline, as the study runs it."""

    title: str
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


PATH = Method("contribution path", "contribution")
METHODS: dict[str, tuple[Method, ...]] = {
    "weight": (
        PATH,
        Method("contribution, one shot", "contribution", {"one_shot": True, "sparsities": SHARES}),
        Method("class contribution path", "contribution", {"criterion": "class_contribution"}),
        Method("Taylor path", "contribution", {"criterion": "taylor"}),
        Method("gradient (gates)", "gradient"),
        Method("performance", "performance", {"tolerance": 1.0}),
        Method("magnitude path", "magnitude"),
        Method("random path", "random"),
        Method("small network from scratch", "small_network"),
        Method("L1 logistic regression", "l1_logistic"),
    ),
    "neuron": (
        PATH,
        Method("genetic", "genetic"),
        Method("gradient (gates)", "gradient"),
        Method("greedy", "greedy", {"tolerance": 1.0}),
        Method("performance", "performance", {"tolerance": 1.0}),
        Method("magnitude path", "magnitude"),
        Method("random path", "random"),
        Method("random search", "random_search"),
        Method("small network from scratch", "small_network"),
    ),
    "feature": (
        PATH,
        Method("genetic", "genetic"),
        Method("gradient (gates)", "gradient"),
        Method("greedy", "greedy", {"tolerance": 1.0}),
        Method("performance", "performance", {"tolerance": 1.0}),
        Method("magnitude path", "magnitude"),
        Method("random path", "random"),
        Method("random search", "random_search"),
        Method("L1 logistic regression", "l1_logistic"),
        Method("RFE (logistic regression)", "rfe"),
        Method("sequential selection (logistic regression)", "sequential_selection"),
    ),
}


@dataclass(frozen=True)
class Result:
    """AUROC on test; ``level`` is a share removed, or a count of features left; None where nothing is."""

    table: str
    seed: int
    granularity: str
    method: str
    level: float | None
    auroc: float
    reached: float = 0.0
    trained: int = 0
    seconds: float = 0.0


def run(table: Table, seed: int, granularity: str, method: Method) -> list[Result]:
    """One method on one split of a table; the seed deals the patients and starts the network."""
    torch.set_num_threads(1)
    cohort = table.cohort(seed)
    dense = train(cohort, seed=seed)
    started = time.perf_counter()
    path = prune(dense, cohort, method.name, granularity=granularity, seed=seed, **method.settings)
    seconds = time.perf_counter() - started
    nothing = Result(table.name, seed, granularity, DENSE, None, on_test(dense, cohort))
    return [nothing] + [
        Result(
            table.name, seed, granularity, method.title, level, on_test(found.model, cohort),
            reached_by(found, granularity), path.models_trained, seconds,
        )
        for level in levels(granularity, dense)
        for found in [at(path, granularity, level)]
    ]  # fmt: skip


def levels(granularity: str, dense: RiskModel) -> tuple[float, ...]:
    return tuple(c for c in COUNTS if c < len(dense.features)) if granularity == "feature" else SHARES


def reached_by(candidate: Candidate, granularity: str) -> float:
    return float(candidate.features) if granularity == "feature" else candidate.sparsity


def at(path: Path, granularity: str, level: float) -> Candidate:
    """The largest model of the path that is small enough, else its smallest."""
    if granularity == "feature":
        fitting = [one for one in path if one.features <= level]
        return max(
            fitting, key=lambda one: (one.features, one.performance.auroc), default=path.candidates[-1]
        )
    fitting = [one for one in path if one.sparsity >= level - CLOSE]
    return min(fitting, key=lambda one: one.sparsity, default=path.candidates[-1])


def on_test(model: RiskModel, cohort: Cohort) -> float:
    return auroc(cohort.test.outcome, model.risks_of(model.prepared(cohort.test)))
