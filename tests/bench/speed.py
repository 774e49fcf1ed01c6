"""Networks and patients of the speed parts, and how a goal is told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from medprune.cohort import Cohort, load_cohort
from medprune.model import RiskModel
from medprune.network import MLP, frozen, initial_network
from medprune.preparation import fit_preparation

THREADS = 2
SHAPES = {"4 k": (30, (64, 32)), "59 k": (60, (256, 160)), "730 k": (200, (1024, 512))}


def told(goal: float, reached: float, *, at_most: bool = False) -> str:
    """The goal, and by how much it is missed."""
    missed = reached > goal if at_most else reached < goal
    wanted = f"{'at most' if at_most else 'at least'} {goal:g}x"
    return f"{wanted}: missed by a factor of {max(goal / reached, reached / goal):.2f}" if missed else wanted


def made_up(rows: int, inputs: int) -> Cohort:
    """Patients of normal columns and an outcome that depends on them, also through a product."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, inputs))
    slope = rng.normal(size=inputs) / np.sqrt(inputs)
    ill = x @ slope + 0.5 * x[:, 0] * x[:, 1] + 0.7 * rng.normal(size=rows) > 0
    frame = pd.DataFrame(x, columns=[f"value {k + 1}" for k in range(inputs)])
    return load_cohort(frame.assign(ill=ill.astype(int)), outcome="ill", seed=0)


def untrained(cohort: Cohort, hidden: tuple[int, ...]) -> RiskModel:
    preparation = fit_preparation(cohort.train.frame, cohort.features)
    spec = MLP(hidden=hidden, dropout=0.0).network_spec(len(preparation.columns), len(cohort.classes))
    return RiskModel(preparation, frozen(initial_network(spec, seed=0)), cohort.outcome, cohort.classes)


def rows_for(patients: int) -> int:
    """Rows of a table whose train split has so many."""
    return -(-patients * 5 // 3)


def use_threads() -> None:
    torch.set_num_threads(THREADS)
