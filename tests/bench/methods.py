"""What is compared on one table with one seed, every method with the same budget of retraining.

The budget at a level is that of the path in rounds there: so many epochs a round, so many rounds. One
shot takes them all after its one cut, and so does the dense network, which removes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from medprune import Cohort, RiskModel, prune, train
from medprune.flow import measure, sparsities_to
from medprune.training import RETRAINING, Schedule, prepare, retrain
from tests.bench.data import Table
from tests.bench.logistic import l1_logistic

LEVELS = (0.80, 0.90, 0.95, 0.98)
STOPS = sparsities_to(max(LEVELS))
CRITERIA = ("contribution", "magnitude", "random")

DENSE, RETRAINED, LOGISTIC = "dense", "dense, retrained", "L1 logistic regression"
PATH = "contribution, rounds"


@dataclass(frozen=True)
class Result:
    """AUROC on test of one method with one seed; ``level`` is None where nothing is removed."""

    table: str
    seed: int
    method: str
    level: float | None
    auroc: float
    achieved: float = 0.0


def compare(table: Table, seed: int) -> list[Result]:
    """Every method on one split of a table; the seed deals the patients and starts the network."""
    torch.set_num_threads(1)
    cohort = table.cohort(seed)
    dense = train(cohort, seed=seed)
    return [
        Result(table.name, seed, DENSE, None, _auroc(dense, cohort)),
        Result(table.name, seed, RETRAINED, None, _auroc(_retrained(dense, cohort, seed), cohort)),
        Result(table.name, seed, LOGISTIC, None, l1_logistic(cohort)),
        *(
            Result(table.name, seed, method, level, _auroc(model, cohort), achieved)
            for criterion in CRITERIA
            for method, level, model, achieved in _pruned(dense, cohort, criterion, seed)
        ),
    ]


def budget(level: float) -> Schedule:
    """The retraining of all rounds down to a level, in one go."""
    rounds = STOPS.index(level) + 1
    return replace(RETRAINING, epochs=RETRAINING.epochs * rounds, patience=RETRAINING.patience * rounds)


def _pruned(
    dense: RiskModel, cohort: Cohort, criterion: str, seed: int
) -> Iterator[tuple[str, float, RiskModel, float]]:
    """(method, level, model, achieved sparsity) of a criterion, in rounds and then in one shot."""
    path = prune(dense, cohort, criterion=criterion, sparsities=STOPS, seed=seed)
    for level in LEVELS:
        found = path.nearest(level)
        yield f"{criterion}, rounds", level, found.model, found.sparsity
        once = prune(
            dense,
            cohort,
            criterion=criterion,
            sparsities=(level,),
            one_shot=True,
            schedule=budget(level),
            seed=seed,
        )
        found = once.candidates[-1]
        yield f"{criterion}, one shot", level, found.model, found.sparsity


def _retrained(dense: RiskModel, cohort: Cohort, seed: int) -> RiskModel:
    data = (prepare(dense.preparation, split) for split in (cohort.train, cohort.tuning))
    return retrain(dense, *data, schedule=budget(max(LEVELS)), seed=seed)


def _auroc(model: RiskModel, cohort: Cohort) -> float:
    return measure(model, cohort.test).performance.auroc
