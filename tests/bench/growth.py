"""How the cost of scoring and of the sweep grows with patients, weights and thresholds: a table and a plot.

The unit is one forward and backward pass of the same network over the same patients in plain PyTorch.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch.nn import functional

from medprune import MLP, Cohort, RiskModel, Schedule, score, sweep, train
from tests.bench.data import REPO
from tests.bench.peers import sequential
from tests.bench.race import seconds, simulated
from tests.bench.report import grid

IMAGE = REPO / "assets" / "growth.svg"
PATIENTS = (500, 1_500, 5_000, 15_000, 50_000)
HIDDEN = {"4 k": (64, 32), "18 k": (128, 96), "59 k": (256, 200), "210 k": (512, 384), "730 k": (896, 768)}
THRESHOLDS = (11, 33, 101, 333, 1_001)
USUAL = (5_000, "4 k", 101)  # patients, weights, thresholds: two stay so while the third grows
COLUMNS, BATCH, GOES, LONGEST = 30, 8_192, 3, 5.0


@dataclass(frozen=True)
class Cost:
    """Seconds, the median of a few goes taken in turn."""

    axis: str
    patients: int
    weights: int
    thresholds: int
    forward_backward: float
    scoring: float
    sweeping: float


def growth() -> Iterator[str]:
    """The part of the report; the plot is written beside the README's other pictures."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    costs = pd.DataFrame(list(_costs()))
    torch.set_num_threads(before)
    yield _conditions()
    for axis, title in TITLES.items():
        yield f"By {title}:\n\n{_table(costs[costs.axis == axis], axis)}\n"
    yield draw(costs)


TITLES = {"patients": "patients", "weights": "weights", "thresholds": "thresholds of the sweep"}


def _costs() -> Iterator[Cost]:
    patients, name, thresholds = USUAL
    for count in PATIENTS:
        yield _cost("patients", count, name, thresholds)
    for other in HIDDEN:
        yield _cost("weights", patients, other, thresholds)
    for count in THRESHOLDS:
        yield _cost("thresholds", patients, name, count)


def _cost(axis: str, patients: int, name: str, thresholds: int) -> Cost:
    cohort = simulated(patients, COLUMNS)
    cohort = _all_in(cohort)
    model = train(cohort, MLP(HIDDEN[name]), schedule=Schedule(epochs=1))
    contributions = score(model, cohort.train)
    work: list[Callable[[], object]] = [
        forward_backward(model, cohort),
        partial(score, model, cohort.train),
        partial(sweep, model, cohort.train, contributions, thresholds),
    ]
    goes = [[seconds(one) for one in work]]
    goes += [[seconds(one) for one in work] for _ in range(1 if sum(goes[0]) > LONGEST else GOES)]
    weights = sum(weight.numel() for weight in model.network.weights())
    return Cost(axis, patients, weights, thresholds, *np.median(goes[1:], axis=0).tolist())
