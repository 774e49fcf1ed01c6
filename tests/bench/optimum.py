"""Small enough to try everything: how near the searches come to the proven best set of features.

Every set that a method finds is valued by the same evaluator as the exhaustive search: one retraining
from the dense weights, AUROC on tuning. A share is (AUROC - 0.5) of the method's set over that of the
best of as many features, the mean over all sizes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from joblib import Parallel, delayed

from medprune import prune, train
from medprune.candidate import Problem, features_needed
from medprune.path import Path
from medprune.removal import keep_exactly
from medprune.training import RETRAINING
from tests.bench.data import CORONARY, PIMA, PROGRESSION, Table
from tests.bench.report import grid

SEEDS = range(5)
METHODS = {
    "genetic": "genetic",
    "greedy": "greedy",
    "gradient (gates)": "gradient",
    "contribution path": "contribution",
    "performance": "performance",
    "random search": "random_search",
}
SETTINGS = {"greedy": {"tolerance": 1.0}, "performance": {"tolerance": 1.0}}
CHANCE = 0.5


def optimum(processes: int) -> Iterator[str]:
    """The part of the report."""
    tables = [table for table in (PROGRESSION, CORONARY, PIMA) if table.there]
    jobs = [delayed(shares)(table, seed) for table in tables for seed in SEEDS]
    rows = pd.DataFrame([row for rows in Parallel(n_jobs=processes)(jobs) for row in rows])
    yield "## Share of the proven best set of features\n"
    for table in tables:
        here = rows[rows.table == table.name]
        cells = [
            [name, f"{part.share.mean():.3f} ± {part.share.std():.3f}", f"{part.trained.mean():.0f}"]
            for name in ("exhaustive", *METHODS)
            for part in [here[here.method == name]]
        ]
        yield f"{table.name}, seeds {SEEDS[0]} to {SEEDS[-1]}:\n"
        yield grid(["method", "share of the best", "models trained"], cells) + "\n"


def shares(table: Table, seed: int) -> list[dict[str, object]]:
    """The share of every method on one split; random search gets as many models as the genetic one."""
    torch.set_num_threads(1)
    cohort = table.cohort(seed)
    dense = train(cohort, seed=seed)
    problem = Problem.of(dense, cohort, "feature", seed)
    everything = prune(dense, cohort, "exhaustive", granularity="feature", seed=seed)
    best = {count: value(problem, everything, count) for count in range(1, len(dense.features))}
    rows = [_row(table, seed, "exhaustive", 1.0, everything.models_trained)]
    budget = 0
    for title, name in METHODS.items():
        settings = {"models": budget} if name == "random_search" else SETTINGS.get(name, {})
        path = prune(dense, cohort, name, granularity="feature", seed=seed, **settings)
        budget = path.models_trained if name == "genetic" else budget
        mine = [(value(problem, path, count) - CHANCE) / (best[count] - CHANCE) for count in best]
        rows.append(_row(table, seed, title, float(np.mean(mine)), path.models_trained))
    return rows


def value(problem: Problem, path: Path, count: int) -> float:
    """AUROC on tuning of the path's best set of at most so many features; chance when it has none."""
    values = [CHANCE]
    for candidate in path:
        if candidate.features <= count:
            kept = np.isin(problem.model.features, features_needed(candidate.model))
            model = keep_exactly(problem.model, kept, None, None, ())
            if model is not None:
                [retrained] = problem.evaluator.from_dense([model], RETRAINING)
                values.append(problem.candidate(retrained).performance.auroc)
    return max(values)


def _row(table: Table, seed: int, method: str, share: float, trained: int) -> dict[str, object]:
    return {"table": table.name, "seed": seed, "method": method, "share": share, "trained": trained}
