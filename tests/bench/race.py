"""Ours beside a peer's: both timed in turn, so that a busy machine is busy for both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from medprune import Cohort, load_cohort

HEAD = ["what", "ours, s", "peer, s", "peer / ours", "lowest to highest", "goal", ""]


@dataclass(frozen=True)
class Race:
    """Seconds of every go (goes,), ours and the peer's."""

    all_ours: np.ndarray
    all_peer: np.ndarray

    @property
    def ours(self) -> float:
        return float(np.median(self.all_ours))

    @property
    def peer(self) -> float:
        return float(np.median(self.all_peer))

    @property
    def ratios(self) -> np.ndarray:
        """How many times as long the peer took, go by go."""
        return self.all_peer / self.all_ours

    @property
    def ratio(self) -> float:
        return float(np.median(self.ratios))

    def faster(self) -> str:
        """So many times as fast, with the spread of goes."""
        return f"{self.ratio:.1f}x ({self.ratios.min():.1f} to {self.ratios.max():.1f})"

    def cost(self) -> str:
        """Ours in units of theirs, with the spread of goes."""
        costs = 1 / self.ratios
        return f"{1 / self.ratio:.2f}x ({costs.min():.2f} to {costs.max():.2f})"

    def row(self, what: str, goal: float) -> list[str]:
        """A row under :data:`HEAD`; a goal of 1 is: never slower."""
        missed = "" if self.ratio >= goal else f"missed by {1 - self.ratio / goal:.0%}"
        seconds = (f"{part:.3g}" for part in (self.ours, self.peer))
        spread = f"{self.ratios.min():.2f} to {self.ratios.max():.2f}"
        return [what, *seconds, f"{self.ratio:.2f}", spread, f"at least {goal:g}", missed]


def race(ours: Callable[[], object], peer: Callable[[], object], goes: int) -> Race:
    """Both in turn, after one go each that does not count."""
    ours(), peer()
    taken = [(seconds(ours), seconds(peer)) for _ in range(goes)]
    return Race(*np.array(taken).T)


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def simulated(patients: int, columns: int, seed: int = 0) -> Cohort:
    """Made-up patients: ten columns matter, two of them together; two in five have the outcome."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(patients, columns))
    risk = x[:, :10] @ rng.normal(size=min(10, columns)) / 2 + x[:, 0] * x[:, 1] + rng.normal(size=patients)
    frame = pd.DataFrame(x, columns=[f"lab {place + 1}" for place in range(columns)])
    return load_cohort(frame.assign(died=(risk > np.quantile(risk, 0.6)).astype(int)), outcome="died")
