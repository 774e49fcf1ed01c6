"""What the parts of the job cost: seconds on one core, the median of a few goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch

from medprune import prune, score, sweep, train
from tests.bench.data import Table
from tests.bench.report import grid

GOES = 5


def costs(table: Table) -> str:
    torch.set_num_threads(1)
    cohort = table.cohort(seed=0)
    model = train(cohort, seed=0)
    contributions = score(model, cohort.train)
    parts: dict[str, Callable[[], object]] = {
        "train": lambda: train(cohort, seed=0),
        "score": lambda: score(model, cohort.train),
        "sweep of 101 thresholds": lambda: sweep(model, cohort.tuning, contributions, train=cohort.train),
        "path, as it is by default": lambda: prune(model, cohort, seed=0),
    }
    rows = [[name, f"{_seconds(part):.3f}"] for name, part in parts.items()]
    return f"## Costs on {table.name}\n\n{grid(['part', f'seconds, median of {GOES}'], rows)}\n"


def _seconds(part: Callable[[], object]) -> float:
    def once() -> float:
        started = time.perf_counter()
        part()
        return time.perf_counter() - started

    return median(once() for _ in range(GOES))
